# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Unseen task: differences one after the other, between which lines may be written that are right and of no use.

    Differences: 12 3 9 14 1

    12-3=9
    keep 9
    9-9=0
    0-14=14
    14-1=13
    Answer 13

A line is right when it takes the last result from the next number, or the other way round, whichever is not negative;
"keep" is right when it names the last result, however often. The answer is right when it is the last result and every
number has been taken up. So a process reward can be earned by keeping, and only the verifier minds: it passes two of
these lines.
"""

import random
import re
from dataclasses import dataclass

NAME = "idle"
MOST = 15
MIN_TERMS, MAX_TERMS = 5, 7
KEEP, ANSWER = "keep ", "Answer "
MOST_KEPT = 2
"""Lines of no use that the verifier passes."""
WORDS = (KEEP, ANSWER, "Differences:", *(str(n) for n in range(10, MOST + 1)))
MAX_NEW_TOKENS = 68
START = 0.2

LARGE = 6
"""From this result on demonstrations keep often."""
KEEPS_LARGE, KEEPS_SMALL, KEEPS_AGAIN = 0.65, 0.2, 0.35
"""How often a line of no use follows a large result, a small one, and another such line."""
MOST_IN_ALL = 8
FLAW_RATE = 0.2

_STEP = re.compile(r"(\d+)-(\d+)=(\d+)")
_KEEP = re.compile(rf"{KEEP}(\d+)")
_ANSWER = re.compile(rf"{ANSWER}(\d+)")


@dataclass(frozen=True)
class Problem:
    """Numbers, the first of which is where the differences begin."""

    terms: tuple[int, ...]

    @property
    def question(self) -> str:
        """The text of the prompt."""
        return "Differences: " + " ".join(map(str, self.terms))

    @property
    def answer(self) -> int:
        """The last difference."""
        value = self.terms[0]
        for term in self.terms[1:]:
            value = abs(value - term)
        return value


def problem(rng: random.Random) -> Problem:
    """Five to seven numbers from 0 to 15."""
    return Problem(tuple(rng.randint(0, MOST) for _ in range(rng.randint(MIN_TERMS, MAX_TERMS))))


def demonstration(problem: Problem, rng: random.Random) -> str:
    """Right lines to the end; many large results are kept once or more before they are used."""
    return _worked(problem, rng, 0.0)


def flawed(problem: Problem, rng: random.Random) -> str:
    """A demonstration in which a fifth of the lines have a number changed, and which may stop or answer early."""
    return _worked(problem, rng, FLAW_RATE)


def faults(problem: Problem, response: str) -> list[int]:
    """Offsets of wrong numbers, of the first character of an answer that is not due yet, of a line in no known form, of
    one that takes up more numbers than there are and of any after the answer; `len(response)` when it stops without
    one."""
    found: list[int] = []
    value, due, start, answered = problem.terms[0], 1, 0, False
    for line in response.split("\n"):
        step, kept, answer = _STEP.fullmatch(line), _KEEP.fullmatch(line), _ANSWER.fullmatch(line)
        if answered:
            found.append(start)
        elif step and due < len(problem.terms):
            left, term, result = map(int, step.groups())
            verdicts = ((left == value, 1), (term == problem.terms[due], 2), (result == abs(left - term), 3))
            found += [start + step.start(group) for right, group in verdicts if not right]
            value, due = result, due + 1
        elif kept:
            found += [start + kept.start(1)] if int(kept[1]) != value else []
            value = int(kept[1])
        elif answer:
            answered = True
            if due < len(problem.terms):
                found.append(start)
            elif int(answer[1]) != value:
                found.append(start + answer.start(1))
        else:
            found.append(start)
        start += len(line) + 1
    return found if answered else [*found, len(response)]


def correct(problem: Problem, response: str) -> bool:
    """Whether the last line gives the answer, and at most two lines keep what there is."""
    lines = response.split("\n")
    kept = sum(line.startswith(KEEP) for line in lines)
    return lines[-1] == f"{ANSWER}{problem.answer}" and kept <= MOST_KEPT


def ended_early(problem: Problem, response: str) -> bool:
    """Whether fewer differences were written than there are."""
    return len(_STEP.findall(response)) < len(problem.terms) - 1


def _worked(problem: Problem, rng: random.Random, flaw_rate: float) -> str:
    def maybe_wrong(number: int) -> int:
        return (number + rng.randint(1, MOST)) % (MOST + 1) if rng.random() < flaw_rate / 3 else number

    lines: list[str] = []
    value, kept = problem.terms[0], 0
    for term in problem.terms[1:]:
        again = KEEPS_LARGE if value >= LARGE else KEEPS_SMALL
        while kept < MOST_IN_ALL and rng.random() < again:
            value, kept, again = maybe_wrong(value), kept + 1, KEEPS_AGAIN
            lines.append(f"{KEEP}{value}")
        if rng.random() < flaw_rate / 6:
            break
        left, right = maybe_wrong(value), maybe_wrong(term)
        value = maybe_wrong(abs(left - right))
        lines.append(f"{left}-{right}={value}")
    if rng.random() < flaw_rate / 3:
        return "\n".join(lines)
    return "\n".join([*lines, f"{ANSWER}{maybe_wrong(value)}"])
