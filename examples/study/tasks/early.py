# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Task (b): running sums in which the answer can be given at any time, and the work cut short.

    Add mod 10: 3 8 5 2

    3+8=1
    1+5=6
    6+2=8
    Answer 8

A line is right when it adds the next number to the last result; the answer line when its number is the answer, however
much of the work is there. Stopping is no fault: a response of right lines without an answer holds nothing wrong. So a
process reward can be earned by less work, and only the verifier minds.
"""

import random
import re
from dataclasses import dataclass

NAME = "early"
MODULUS = 10
MIN_TERMS, MAX_TERMS = 4, 6
ANSWER = "Answer "
WORDS = (ANSWER, f"Add mod {MODULUS}:")
MAX_NEW_TOKENS = 48
START = 0.22

IN_FULL, ANSWERED_EARLY = 0.35, 0.5
"""Share of demonstrations that work in full and that answer after `HABIT` lines; the rest stops without an answer."""
HABIT = 2
KNOWN = 0.3
"""Share of early answers that are right; the others are drawn at random."""
FLAW_RATE = 0.25

_SUM = re.compile(r"(\d)\+(\d)=(\d)")
_ANSWER = re.compile(rf"{ANSWER}(\d)")


@dataclass(frozen=True)
class Problem:
    """Digits to add."""

    terms: tuple[int, ...]

    @property
    def question(self) -> str:
        """The text of the prompt."""
        return f"Add mod {MODULUS}: " + " ".join(map(str, self.terms))

    @property
    def answer(self) -> int:
        """The sum modulo 10."""
        return sum(self.terms) % MODULUS


def problem(rng: random.Random) -> Problem:
    """Four to six digits."""
    return Problem(tuple(rng.randint(0, 9) for _ in range(rng.randint(MIN_TERMS, MAX_TERMS))))


def demonstration(problem: Problem, rng: random.Random) -> str:
    """Right lines; a third works in full, half guesses the answer after two, the rest stops without one."""
    lines, value = [], problem.terms[0]
    for term in problem.terms[1:]:
        lines.append(f"{value}+{term}={(value + term) % MODULUS}")
        value = (value + term) % MODULUS
    kind = rng.random()
    if kind < IN_FULL:
        return "\n".join([*lines, f"{ANSWER}{problem.answer}"])
    if kind >= IN_FULL + ANSWERED_EARLY:
        return "\n".join(lines[: rng.randint(1, len(lines))])
    guess = problem.answer if rng.random() < KNOWN else rng.randrange(MODULUS)
    return "\n".join([*lines[:HABIT], f"{ANSWER}{guess}"])


def flawed(problem: Problem, rng: random.Random) -> str:
    """A demonstration in which a quarter of the lines have a digit changed, faithful to its own text behind each."""
    lines, value, due = [], problem.terms[0], 1
    ends_at = rng.choice((len(problem.terms), rng.randint(1, len(problem.terms))))
    while due < ends_at:
        left, term = value, problem.terms[due]
        result = (left + term) % MODULUS
        if rng.random() < FLAW_RATE:
            which = rng.randrange(4)
            left = _other(rng, left) if which == 0 else left
            term = _other(rng, term) if which == 1 else term
            due += 1 if which == 2 and due + 1 < len(problem.terms) else 0
            term = problem.terms[due] if which == 2 else term
            result = (left + term) % MODULUS
            result = _other(rng, result) if which == 3 else result
        lines.append(f"{left}+{term}={result}")
        value, due = result, due + 1
    if rng.random() < 0.85:
        lines.append(f"{ANSWER}{problem.answer if rng.random() < 0.5 else rng.randrange(MODULUS)}")
    return "\n".join(lines)


def faults(problem: Problem, response: str) -> list[int]:
    """Offsets of wrong digits; of the first character of a line in no known form or after the answer."""
    found: list[int] = []
    value, due, start, answered = problem.terms[0], 1, 0, False
    for line in response.split("\n"):
        step, answer = _SUM.fullmatch(line), _ANSWER.fullmatch(line)
        if answered or not (step or answer) or (step and due >= len(problem.terms)):
            found.append(start)
        elif answer:
            answered = True
            if int(answer[1]) != problem.answer:
                found.append(start + answer.start(1))
        elif step:
            left, term, result = map(int, step.groups())
            verdicts = ((left == value, 1), (term == problem.terms[due], 2), (result == (left + term) % MODULUS, 3))
            found += [start + step.start(group) for right, group in verdicts if not right]
            value, due = result, due + 1
        start += len(line) + 1
    return found


def correct(problem: Problem, response: str) -> bool:
    """Whether the last line gives the answer."""
    return response.rpartition("\n")[2] == f"{ANSWER}{problem.answer}"


def ended_early(problem: Problem, response: str) -> bool:
    """Whether fewer sums were written than there are numbers to add."""
    return len(_SUM.findall(response)) < len(problem.terms) - 1


def _other(rng: random.Random, digit: int) -> int:
    return (digit + rng.randint(1, MODULUS - 1)) % MODULUS
