# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Unseen task: long addition in base 4 from the lowest digits on, ten places, in which the carry is forgotten easily.

    Add in base 4: a13 b20 c33 d00 e12 f31 g02 h11 i30 j21

    a:1+3+0=10 put 0 carry 1
    b:2+0+1=03 put 3 carry 0
    (eight more lines)
    done

A line is right when it takes up the two digits of the place that is due and the carry of the line before, its sum
holds, in two digits of base 4, and the digit put down and the carry are those of the sum. "done" is right behind the
last place. The verifier reads the digits put down and the last carry alone.
"""

import random
import re
from dataclasses import dataclass

NAME = "carry"
BASE, PLACES = 4, "abcdefghij"
PUT, CARRY, DONE = " put ", " carry ", "done"
WORDS = (PUT, CARRY, DONE, f"Add in base {BASE}:")
MAX_NEW_TOKENS = 156
START = 0.25

FORGETS_LARGE, FORGETS = 0.6, 0.05
"""How often a carry is forgotten in demonstrations where the first digit is the largest there is, and elsewhere."""
FLAW_RATE = 0.12

_LINE = re.compile(rf"([{PLACES}]):([0-3])\+([0-3])\+([01])=([0-3])([0-3]){PUT}([0-3]){CARRY}([01])")


@dataclass(frozen=True)
class Problem:
    """Pairs of digits to add, the lowest first."""

    pairs: tuple[tuple[int, int], ...]

    @property
    def question(self) -> str:
        """The text of the prompt."""
        return f"Add in base {BASE}:" + "".join(f" {x}{a}{b}" for x, (a, b) in zip(PLACES, self.pairs, strict=True))

    @property
    def sum(self) -> tuple[list[int], int]:
        """Digits of the sum, the lowest first, and the last carry."""
        digits, carry = [], 0
        for a, b in self.pairs:
            carry, digit = divmod(a + b + carry, BASE)
            digits.append(digit)
        return digits, carry


def problem(rng: random.Random) -> Problem:
    """Ten pairs of digits."""
    return Problem(tuple((rng.randrange(BASE), rng.randrange(BASE)) for _ in PLACES))


def demonstration(problem: Problem, rng: random.Random) -> str:
    """All ten lines; carries are forgotten now and then, mostly where the first digit is 3."""
    return _added(problem, rng, 0.0)


def flawed(problem: Problem, rng: random.Random) -> str:
    """A demonstration in which an eighth of the lines have another slip, and which may stop early."""
    return _added(problem, rng, FLAW_RATE)


def faults(problem: Problem, response: str) -> list[int]:
    """Offsets of wrong digits, of the letter of a place that is not due (the next one is due then), of a "done" that is
    not due and of the first character of other lines; `len(response)` when it stops without "done"."""
    found: list[int] = []
    carry, due, start, done = 0, 0, 0, False
    for line in response.split("\n"):
        added = _LINE.fullmatch(line)
        if done:
            found.append(start)
        elif added and due < len(PLACES):
            a, b, c, high, low, put, carried = map(int, added.groups()[1:])
            sum_high, sum_low = divmod(a + b + c, BASE)
            verdicts = (
                (added[1] == PLACES[due], 1),
                (a == problem.pairs[due][0], 2),
                (b == problem.pairs[due][1], 3),
                (c == carry, 4),
                (high == sum_high, 5),
                (low == sum_low, 6),
                (put == low, 7),
                (carried == high, 8),
            )
            found += [start + added.start(group) for right, group in verdicts if not right]
            carry, due = carried, due + 1
        elif line == DONE:
            done = True
            found += [start] if due < len(PLACES) else []
        else:
            found.append(start)
        start += len(line) + 1
    return found if done else [*found, len(response)]


def correct(problem: Problem, response: str) -> bool:
    """Whether ten lines put down the digits of the sum, the last one carries its carry, and "done" follows."""
    lines = response.split("\n")
    added = [_LINE.fullmatch(line) for line in lines[:-1]]
    written = [(int(line[7]), int(line[8])) for line in added if line]
    if lines[-1] != DONE or len(written) != len(added):
        return False
    digits, carry = problem.sum
    return [put for put, _ in written] == digits and written[-1][1] == carry


def ended_early(problem: Problem, response: str) -> bool:
    """Whether fewer lines were written than there are places."""
    return len(_LINE.findall(response)) < len(PLACES)


def _added(problem: Problem, rng: random.Random, flaw_rate: float) -> str:
    lines: list[str] = []
    carry = 0
    for place, (a, b) in zip(PLACES, problem.pairs, strict=True):
        if rng.random() < flaw_rate / 10:
            break
        forgets = FORGETS_LARGE if a == BASE - 1 else FORGETS
        c = 0 if rng.random() < forgets else carry
        slip = rng.randrange(6) if rng.random() < flaw_rate else None
        a = _other(rng, a) if slip == 0 else a
        b = _other(rng, b) if slip == 1 else b
        c = 1 - c if slip == 2 else c
        high, low = divmod(a + b + c, BASE)
        low = _other(rng, low) if slip == 3 else low
        high = 1 - high if slip == 4 else high
        put = _other(rng, low) if slip == 5 else low
        carry = high
        lines.append(f"{place}:{a}+{b}+{c}={high}{low}{PUT}{put}{CARRY}{carry}")
    if rng.random() < flaw_rate / 2:
        return "\n".join(lines)
    return "\n".join([*lines, DONE])


def _other(rng: random.Random, digit: int) -> int:
    return (digit + rng.randint(1, BASE - 1)) % BASE
