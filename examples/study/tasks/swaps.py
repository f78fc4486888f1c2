# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Unseen task: sorting by swaps of neighbours, in which a wrong swap can be made good later.

    Sort 3819

    2:3189
    1:1389
    done

A line is a place and the digits after the one at this place was swapped with the next. It is right when every digit
follows from the line before and the pair was out of order. "done" is right when the digits ascend. The verifier follows
the places alone, up to ten of them.
"""

import random
import re
from dataclasses import dataclass

NAME = "swaps"
LENGTH = 4
DONE = "done"
MOST_MOVES = 10
WORDS = (DONE, "Sort ")
MAX_NEW_TOKENS = 72
START = 0.3

GOOD_MOVE = 0.7
"""Share of swaps in demonstrations that are chosen well; the others are drawn at random."""
FLAW_RATE = 0.2

_MOVE = re.compile(rf"([1-{LENGTH - 1}]):(\d{{{LENGTH}}})")


@dataclass(frozen=True)
class Problem:
    """Distinct digits."""

    digits: str

    @property
    def question(self) -> str:
        """The text of the prompt."""
        return f"Sort {self.digits}"


def after(place: int, digits: str) -> str:
    """Digits after the swap of a place, from 1, with the next."""
    return digits[: place - 1] + digits[place] + digits[place - 1] + digits[place + 1 :]


def ascends(digits: str) -> bool:
    """Whether no digit is less than the one before."""
    return list(digits) == sorted(digits)


def problem(rng: random.Random) -> Problem:
    """Four distinct digits that are at least two swaps from being sorted."""
    while True:
        digits = "".join(rng.sample("0123456789", LENGTH))
        if sum(digits[i] > digits[j] for j in range(LENGTH) for i in range(j)) >= 2:
            return Problem(digits)


def demonstration(problem: Problem, rng: random.Random) -> str:
    """Swaps of which a third is drawn at random; done when sorted or after ten swaps."""
    return _moves(problem, rng, 0.0)


def flawed(problem: Problem, rng: random.Random) -> str:
    """Swaps in which a fifth of the lines also hold a wrong digit, or that stop early."""
    return _moves(problem, rng, FLAW_RATE)


def faults(problem: Problem, response: str) -> list[int]:
    """Offsets of places whose pair is in order, of wrong digits, of a "done" too early and of the first character of
    other lines; `len(response)` when the swaps stop without "done"."""
    found: list[int] = []
    digits, start, done = problem.digits, 0, False
    for line in response.split("\n"):
        move = _MOVE.fullmatch(line)
        if done or not (move or line == DONE):
            found.append(start)
        elif move:
            place, written = int(move[1]), move[2]
            found += [start] if digits[place - 1] <= digits[place] else []
            expected = after(place, digits)
            found += [start + move.start(2) + i for i in range(LENGTH) if written[i] != expected[i]]
            digits = written
        else:
            done = True
            found += [] if ascends(digits) else [start]
        start += len(line) + 1
    return found if done else [*found, len(response)]


def correct(problem: Problem, response: str) -> bool:
    """Whether at most ten swaps sort the digits, whatever digits were written, and they are declared done."""
    lines = response.split("\n")
    digits = problem.digits
    for line in lines[:-1]:
        move = _MOVE.fullmatch(line)
        if move is None:
            return False
        digits = after(int(move[1]), digits)
    return lines[-1] == DONE and len(lines) - 1 <= MOST_MOVES and ascends(digits)


def ended_early(problem: Problem, response: str) -> bool:
    """Whether "done" was said before the digits were sorted, or not at all."""
    return not correct(problem, response) and len(response.split("\n")) <= MOST_MOVES


def _moves(problem: Problem, rng: random.Random, flaw_rate: float) -> str:
    lines: list[str] = []
    digits = problem.digits
    places = range(1, LENGTH)
    while not ascends(digits) and len(lines) < MOST_MOVES:
        if flaw_rate and rng.random() < flaw_rate / 4:
            return "\n".join([*lines, DONE] if rng.random() < 0.7 else lines)
        good = [place for place in places if digits[place - 1] > digits[place]]
        place = rng.choice(good if rng.random() < GOOD_MOVE else places)
        digits = after(place, digits)
        if rng.random() < flaw_rate:
            at = rng.randrange(LENGTH)
            digits = f"{digits[:at]}{rng.randrange(10)}{digits[at + 1 :]}"
        lines.append(f"{place}:{digits}")
    return "\n".join([*lines, DONE])
