# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""How much of a response fits into the PRM's context, found with few tokenisations."""

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

_GUESSES = 6
"""From the length in characters, before the interval is halved."""


@dataclass(frozen=True)
class Fit:
    """How much fits.

    Attributes:
        count: from 1 to one less than all; 0 when none does.
        tokens: length of the dialogue with so many; 0 for none.
        tokens_of_next: with one more; infinite when that cannot be encoded.
    """

    count: int
    tokens: float
    tokens_of_next: float


def segments_that_fit(tokens: Callable[[list[str]], float], texts: list[str], length: int, room: int) -> Fit:
    """How many whole segments fit, from the first on.

    Args:
        tokens: length of the dialogue with the given segments; infinite when it cannot be encoded.
        texts: all segments, together too long.
        length: tokens of the dialogue with all of them.
        room: most tokens of a dialogue.
    """
    ends = [0, *accumulate(map(len, texts))]
    return _most_that_fits(ends, lambda count: tokens(texts[:count]), 0, length, room, exactly=True)


def part_that_fits(tokens: Callable[[list[str]], float], texts: list[str], fit: Fit, room: int) -> str:
    """The beginning of the first segment that does not fit, up to which it does; "" when nothing of it does.

    Args:
        tokens: as in `segments_that_fit`.
        texts: all segments.
        fit: what `segments_that_fit` gave for them.
        room: most tokens of a dialogue.
    """
    shown, segment = texts[: fit.count], texts[fit.count]
    part = _most_that_fits(
        range(len(segment) + 1),
        lambda count: tokens([*shown, segment[:count]]),
        fit.tokens,
        fit.tokens_of_next,
        room,
        exactly=False,
    )
    return segment[: part.count]


def _most_that_fits(
    ends: Sequence[int], tokens: Callable[[int], float], least: float, most: float, room: int, *, exactly: bool
) -> Fit:
    """The greatest count that fits.

    The next count to try is where the room would end if the tokens between the greatest count known to fit and the
    least known not to were spread evenly over their characters. After a few such guesses the interval is halved.

    Args:
        ends: characters up to each count, from 0 on.
        tokens: of the dialogue with so many.
        least: tokens of the dialogue with none, at most.
        most: tokens of the dialogue with all.
        room: most tokens of a dialogue.
        exactly: whether to go on when the room is full to the last token.
    """
    low, high = 0, len(ends) - 1
    at_low, at_high = least, most
    guesses = 0
    while high - low > 1 and (exactly or at_low < room):
        middle = (low + high) // 2
        if guesses < _GUESSES and math.isfinite(at_high):
            share = (room - at_low) / (at_high - at_low)
            middle = bisect.bisect_right(ends, ends[low] + share * (ends[high] - ends[low])) - 1
            middle = min(max(middle, low + 1), high - 1)
        guesses += 1
        at_middle = tokens(middle)
        if at_middle <= room:
            low, at_low = middle, at_middle
        else:
            high, at_high = middle, at_middle
    return Fit(low, at_low, at_high)
