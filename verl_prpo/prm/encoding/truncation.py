# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Find how many steps of a response fit into the PRM's context, with few tokenisations."""

import bisect
import math
from collections.abc import Callable, Sequence
from itertools import accumulate

_GUESSES = 6
"""How many counts are guessed from the lengths in characters before the interval is halved."""


def steps_that_fit(tokens: Callable[[int], float], steps: Sequence[str], length: int, room: int) -> int:
    """Return how many whole steps fit, from the first on.

    Two counts are known at any time: the greatest that fits and the least that does not. The next count to try is where
    the room would end if the tokens between the two were spread evenly over their characters. After a few such guesses
    the interval is halved.

    Args:
        tokens: length of the dialogue with so many steps, infinite when it cannot be encoded.
        steps: all of them, together too long.
        length: tokens of the dialogue with all of them.
        room: most tokens of a dialogue.

    Returns:
        The count, from 0 to one less than all.
    """
    ends = [0, *accumulate(map(len, steps))]
    low, high = 0, len(steps)
    at_low, at_high = 0.0, float(length)
    guesses = 0
    while high - low > 1:
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
    return low
