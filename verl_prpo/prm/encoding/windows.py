# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Choose the windows in which a PRM reads a response longer than its context.

A window is the problem and some whole steps in a row, written as the family writes a response of these steps. Its last
steps are judged in it, and those before them are context. Each step is judged in exactly one window. In the first
window all steps that it shows are judged. In the later ones context takes about the share of the room that the user
chose, and more where room is left: a window goes back as far as whole steps fit. A step that does not fit even alone
after the problem is judged nowhere, and no window reaches across it.
"""

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

from verl_prpo.prm.families.base import Encoded


@dataclass(frozen=True)
class Window:
    """Steps that are read together, in numbers of steps of the response.

    Attributes:
        begin: the first one shown.
        judged: the first one judged. Those before it are context.
        end: one past the last one shown, which is judged.
    """

    begin: int
    judged: int
    end: int


@dataclass(frozen=True)
class Lengths:
    """An estimate of how many tokens a window would have, from the tokens of the whole response.

    Attributes:
        head: tokens before the first step.
        ends: tokens up to the end of each step, `head` included, in increasing order.
    """

    head: float
    ends: Sequence[float]

    @classmethod
    def of(cls, whole: Encoded, steps: Sequence[str]) -> "Lengths":
        """Take the lengths from where each step of the whole dialogue is scored, or spread its tokens over characters.

        Args:
            whole: the dialogue with all steps.
            steps: their texts, at least one.
        """
        ends = [_end(read) for read in whole.reads]
        characters = list(accumulate(map(len, steps), initial=0))
        known = [end for end in ends if end is not None]
        if len(known) == len(steps) and len(known) > 1 and all(a < b for a, b in pairwise([0, *known])):
            rate = (known[-1] - known[0]) / max(1, characters[-1] - characters[1])
            return cls(max(0.0, known[0] - rate * characters[1]), known)
        rate = len(whole.input_ids) / max(1, characters[-1])
        return cls(0.0, [rate * end for end in characters[1:]])

    def between(self, begin: int, end: int) -> float:
        """Return the tokens of the steps from `begin` to before `end`, without the head."""
        return (self.ends[end - 1] if end else self.head) - (self.ends[begin - 1] if begin else self.head)

    def last_within(self, begin: int, room: float) -> int:
        """Return one past the last step such that those from `begin` on are at most so many tokens."""
        return bisect.bisect_right(self.ends, (self.ends[begin - 1] if begin else self.head) + room)

    def first_within(self, end: int, room: float) -> int:
        """Return the first step such that those from it to before `end` are at most so many tokens."""
        return bisect.bisect_left([self.head, *self.ends], (self.ends[end - 1] if end else self.head) - room)


def plan_windows(fits: Callable[[int, int], bool], lengths: Lengths, room: int, context: float) -> list[Window]:
    """Choose the windows of a response, in order.

    Args:
        fits: whether the steps from the first number to before the second fit after the problem. Where they fit,
            fewer of them fit too.
        lengths: estimates that save trials. They decide nothing but how the room is shared.
        room: most tokens of a dialogue.
        context: share of the room after the problem for context, from 0 to less than 1.

    Returns:
        The windows, an empty list where not one step fits.
    """
    count = len(lengths.ends)
    behind_problem = max(0.0, room - lengths.head)
    windows: list[Window] = []
    at = floor = 0  # the next step to judge, and the first that a window may show
    while at < count:
        begin = max(floor, min(at, lengths.first_within(at, context * behind_problem)))
        guess = lengths.last_within(begin, behind_problem)
        end = _most(partial(fits, begin), at, count, guess)
        if end == at and begin < at:  # too much context for the next step
            begin = at
            end = at + fits(at, at + 1)
        if end == at:
            at = floor = at + 1
            continue
        guess = lengths.first_within(end, behind_problem)
        shown = _most(partial(_fits_back, fits, end), end - begin, end - floor, end - guess)
        windows.append(Window(end - shown, at, end))
        at = end
    return windows


def _fits_back(fits: Callable[[int, int], bool], end: int, steps: int) -> bool:
    """Return whether so many steps fit, the last of them just before `end`."""
    return fits(end - steps, end)


def _most(holds: Callable[[int], bool], low: int, high: int, guess: int) -> int:
    """Return the greatest number from `low` to `high` for which `holds` is true.

    It must be true of every number below that one. `low` itself is not tried. Trials begin at the guess and move away
    from it in growing strides.
    """
    if low >= high:
        return low
    at = min(max(guess, low + 1), high)
    stride = 1
    if holds(at):
        low = at
        while low < high:
            at = min(low + stride, high)
            if not holds(at):
                high = at - 1
                break
            low, stride = at, 2 * stride
    else:
        high = at - 1
        while low < high:
            at = max(high - stride + 1, low + 1)
            if holds(at):
                low = at
                break
            high, stride = at - 1, 2 * stride
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def _end(read: Any) -> float | None:
    """Return the position after the tokens of a step whose score is read at a position or over a span, or None."""
    if type(read) is int:
        return float(read + 1)
    if isinstance(read, (tuple, list)) and read and all(type(part) is int for part in read):
        return float(max(read))
    return None
