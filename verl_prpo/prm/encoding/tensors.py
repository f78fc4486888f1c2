# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Turn dialogues into a padded tensor, and flat scores back into one list per dialogue, for `forward` of a family."""

from collections.abc import Sequence

import torch

from verl_prpo.prm.families.base import Encoded


def padded_ids(batch: Sequence[Encoded], device: torch.device, pad_id: int = 0) -> torch.Tensor:
    """Return the token ids `[rows, longest]` (int64), padded on the right.

    No attention mask goes with them: under causal attention nothing to the left of the padding can see it, and the
    values at the padding are not read.
    """
    longest = max(len(row.input_ids) for row in batch)
    return torch.tensor([row.input_ids + [pad_id] * (longest - len(row.input_ids)) for row in batch], device=device)


def read_index(batch: Sequence[Encoded], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return row and column (int64, `[reads]` each) of every read of the batch, where reads are positions."""
    rows = [row for row, encoded in enumerate(batch) for _ in encoded.reads]
    columns = [position for encoded in batch for position in encoded.reads]
    return torch.tensor(rows, device=device), torch.tensor(columns, device=device)


def per_row(scores: torch.Tensor, batch: Sequence[Encoded]) -> list[list[float]]:
    """Split flat scores `[reads]` into one list per dialogue."""
    return [part.tolist() for part in scores.float().cpu().split([len(row.reads) for row in batch])]
