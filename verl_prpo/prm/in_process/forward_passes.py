# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Choose which dialogues share a forward pass, so that little of what the model reads is padding."""

from collections.abc import Sequence

LIKE = 0.8
"""Least length of a dialogue, as a share of the longest that it shares a pass with."""


def forward_passes(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Sort dialogues by length and fill passes with those of like length.

    The longest come first, so that a pass too large for the memory fails at once. On calls of 32 dialogues with lengths
    as in math (`benchmarks/padding.py`), and 16384 tokens per pass, the model reads 1.06 to 1.09 tokens for each that
    is no padding. Passes that are filled to the limit whatever the lengths read 1.09 to 1.40. The best partition, with
    each pass counted as 512 tokens, costs 2% to 3% less than this one.

    Args:
        lengths: of the dialogues, in tokens.
        max_tokens: greatest product of the rows of a pass and its longest dialogue. A single dialogue may exceed it.

    Returns:
        Indices into `lengths`, each once.
    """
    passes: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        longest = lengths[passes[-1][0]] if passes else 0
        if passes and lengths[i] >= LIKE * longest and (len(passes[-1]) + 1) * longest <= max_tokens:
            passes[-1].append(i)
        else:
            passes.append([i])
    return passes
