# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Which dialogues share a forward pass; dialogues to a padded tensor, and back to one list of scores per dialogue."""

from collections.abc import Sequence

import torch

from verl_prpo.prm.families.base import Encoded

PASS_COST = 512
"""Tokens that one more forward pass costs: about as many as a GPU computes, in a model of 7B parameters, in the time it
takes to start a pass and to read the weights."""


def forward_passes(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Partition dialogues into forward passes that read the fewest tokens, padding and `PASS_COST` included.

    Dialogues of like length share a pass, the longest come first: what does not fit in memory shows at once.

    Args:
        lengths: of the dialogues, in tokens.
        max_tokens: most rows times longest of one pass; a single dialogue may exceed it.

    Returns:
        Indices into `lengths`, each once.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    cost = [0] * (len(order) + 1)  # of the passes for the first so many dialogues of `order`
    first = [0] * (len(order) + 1)  # where the last of those passes begins
    for end in range(1, len(order) + 1):
        begin = end - 1
        cost[end], first[end] = cost[begin] + lengths[order[begin]] + PASS_COST, begin
        while begin > 0 and (end - begin + 1) * lengths[order[begin - 1]] <= max_tokens:
            begin -= 1
            tokens = cost[begin] + (end - begin) * lengths[order[begin]] + PASS_COST
            if tokens <= cost[end]:
                cost[end], first[end] = tokens, begin
    passes: list[list[int]] = []
    end = len(order)
    while end:
        passes.append(order[first[end] : end])
        end = first[end]
    return passes[::-1]


def padded_ids(batch: Sequence[Encoded], device: torch.device, pad_id: int = 0) -> torch.Tensor:
    """Token ids `[rows, longest]` (int64), padded on the right.

    No attention mask goes with them: under causal attention nothing to the left of the padding can see it, and the
    values at the padding are not read.
    """
    longest = max(len(row.input_ids) for row in batch)
    return torch.tensor([row.input_ids + [pad_id] * (longest - len(row.input_ids)) for row in batch], device=device)


def read_index(batch: Sequence[Encoded], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and column (int64, `[reads]` each) of every read of the batch, for families whose reads are positions."""
    rows = [row for row, encoded in enumerate(batch) for _ in encoded.reads]
    columns = [position for encoded in batch for position in encoded.reads]
    return torch.tensor(rows, device=device), torch.tensor(columns, device=device)


def per_row(scores: torch.Tensor, batch: Sequence[Encoded]) -> list[list[float]]:
    """Split flat scores `[reads]` into one list per dialogue."""
    return [part.tolist() for part in scores.float().cpu().split([len(row.reads) for row in batch])]
