# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""From token spans of a response to text, the only thing that crosses from the policy's tokenizer to the PRM's."""

from collections.abc import Sequence
from typing import Any

_LONGEST_BROKEN_TAIL = 3  # a UTF-8 character has at most four bytes, so at most three tokens of it can lie before a cut


def segment_texts(tokenizer: Any, response_ids: Sequence[int], bounds: Sequence[tuple[int, int]]) -> list[str]:
    """The text of each segment; together they are the decoded response, character for character.

    A character whose bytes lie on both sides of a cut goes whole to the segment that holds its last byte. Decoding is
    by prefix, so that decoders which look at the start of their input (a leading space, say) see what they see in the
    whole.

    Args:
        tokenizer: the policy's Hugging Face tokenizer.
        response_ids: token ids of one response, without padding.
        bounds: half-open token spans that tile the response, in order; none at all for a response without segments.

    Returns:
        One string per span; "" where a span has no text, such as one of special tokens alone.

    Raises:
        ValueError: spans that leave a gap, overlap, or do not cover the response.
    """
    ids = list(response_ids)
    if not bounds:
        return []
    _require_tiling(bounds, len(ids))
    cuts = [end for _, end in bounds[:-1]]
    whole, *prefixes = tokenizer.batch_decode([ids, *(ids[:cut] for cut in cuts)], skip_special_tokens=True)
    ends: list[int] = []
    for cut, prefix in zip(cuts, prefixes, strict=True):
        ends.append(max(_end_of_text(tokenizer, ids, cut, prefix, whole), ends[-1] if ends else 0))
    return [whole[begin:end] for begin, end in zip([0, *ends], [*ends, len(whole)], strict=True)]


def _end_of_text(tokenizer: Any, ids: list[int], cut: int, prefix: str, whole: str) -> int:
    """How many characters of `whole` are complete before token `cut`."""
    if whole.startswith(prefix):
        return len(prefix)
    # The cut breaks a character. Some decoders then spoil the characters before it too, hence the shorter prefixes.
    special = set(tokenizer.all_special_ids)
    spoken = [token for token in ids[:cut] if token not in special]
    shorter = [spoken[:-back] for back in range(1, _LONGEST_BROKEN_TAIL + 1) if back < len(spoken)]
    candidates = [prefix, *tokenizer.batch_decode(shorter, skip_special_tokens=True)]
    return max(_common_length(candidate, whole) for candidate in candidates)


def _common_length(a: str, b: str) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _require_tiling(bounds: Sequence[tuple[int, int]], length: int) -> None:
    at = 0
    for begin, end in bounds:
        if begin != at or end < begin:
            raise ValueError(
                f"segment bounds {list(bounds)} do not tile the response: ({begin}, {end}) must begin at {at}"
            )
        at = end
    if at != length:
        raise ValueError(f"segment bounds {list(bounds)} end at token {at}, but the response has {length} tokens")
