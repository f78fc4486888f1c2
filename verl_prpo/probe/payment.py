# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What a PRM pays for a response and for leaving it, in the unit of training: the process advantage z of tokens."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

TokenCount = Callable[[str], int]

_TOKENS = re.compile(r"[^\W\d_]+|\d|[^\w\s]|_|\n+")


def estimated_tokens(text: str) -> int:
    """Estimate how many tokens a text has: its words, digits, other marks and runs of newlines."""
    return sum(1 for _ in _TOKENS.finditer(text))


@dataclass(frozen=True)
class Judged:
    """A response and what a PRM makes of it.

    Attributes:
        segments: texts whose concatenation is the response.
        scores: score of each segment, in the PRM's units. A segment past the PRM's context has None.
        z: process advantage of each segment's tokens. It is 0 for a segment without a score, as in training.
    """

    segments: Sequence[str]
    scores: Sequence[float | None]
    z: Sequence[float]

    @classmethod
    def of(
        cls, segments: Sequence[str], scores: Sequence[float | None], prior_mean: float, prior_std: float
    ) -> "Judged":
        """Judge a response with z = (score - prior_mean) / prior_std."""
        z = [0.0 if score is None else (score - prior_mean) / prior_std for score in scores]
        return cls(segments, scores, z)


@dataclass(frozen=True)
class Pay:
    """What a response is paid.

    Attributes:
        at_change: z of the segment where the response parts from its counterpart.
        mean: mean of z over the response's tokens.
        total: sum of z over the response's tokens.
        score: mean over segments of the PRM's score, None when no segment has one.
        segment: index of the segment of `at_change`.
    """

    at_change: float
    mean: float
    total: float
    score: float | None
    segment: int


def pay_of_both(original: Judged, perturbed: Judged, tokens: TokenCount) -> tuple[Pay, Pay]:
    """Compute the pay of a response and of its perturbed counterpart.

    They part at the first character in which they differ. There the original is paid for the segment that holds this
    character. The perturbed one is paid for the segment where new text begins, with white space passed over. The token
    that ends a response belongs to its last segment and stands for what comes after its last character.

    Args:
        original: the response.
        perturbed: its counterpart.
        tokens: counts the tokens of a text.
    """
    one, other = ("".join(judged.segments) for judged in (original, perturbed))
    differing = (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    shared = next(differing, min(len(one), len(other)))
    new_text = len(other) - len(other[shared:].lstrip())
    return _pay(original, shared, tokens), _pay(perturbed, new_text, tokens)


def _pay(judged: Judged, at: int, tokens: TokenCount) -> Pay:
    """Compute what a response is paid that parts from its counterpart at a character."""
    segment, end = 0, len(judged.segments[0])
    while at >= end and segment < len(judged.segments) - 1:
        segment += 1
        end += len(judged.segments[segment])
    lengths = [tokens(part) for part in judged.segments]
    lengths[-1] += 1  # the token that ends the response
    total = sum(length * z for length, z in zip(lengths, judged.z, strict=True))
    known = [score for score in judged.scores if score is not None]
    score = sum(known) / len(known) if known else None
    return Pay(judged.z[segment], total / sum(lengths), total, score, segment)
