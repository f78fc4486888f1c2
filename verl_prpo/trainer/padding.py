# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Drop the padding rows that verl adds to a batch, so that it divides by the number of GPUs."""

from transfer_queue import KVBatchMeta


def rows_without_padding(batch: KVBatchMeta) -> list[int]:
    """Return the rows of a batch that are rollouts. Whoever reads a batch takes these rows alone.

    Args:
        batch: keys and tags of the rows. verl tags its padding rows with `is_padding`.
    """
    return [row for row, tag in enumerate(batch.tags) if not tag.get("is_padding", False)]


def rollouts_of(batch: KVBatchMeta) -> frozenset[str]:
    """Return the keys of the rollouts that a batch holds, whatever their order and padding."""
    return frozenset(batch.keys[row] for row in rows_without_padding(batch))
