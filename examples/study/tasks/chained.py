# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Task (a): the toy task of examples/toy, three operations in every problem, so that no length can be unlearnt.

    Start from 7 and work mod 10: (1) +5 (2) *3 (3) -4

Every step is needed, every response that works has the same length, and a text is right or wrong character by
character (examples/toy/task.py says how). A step starts with one of four words, a free choice.
"""

import random

from slips import SLIPS, random_plan, slipped_solution
from task import ANSWER, CONNECTIVES, MODULUS, Problem, check, make_problem, solution
from task import faults as _faults

NAME = "chained"
STEPS = 3
WORDS = (
    *CONNECTIVES,
    ANSWER,
    "\\boxed{",
    "Start from ",
    f" and work mod {MODULUS}:",
    *(f" ({i}) " for i in range(1, STEPS + 1)),
)
MAX_NEW_TOKENS = 48
START = 0.25
FLAW_RATE = 0.25
FLAWS = SLIPS


def problem(rng: random.Random) -> Problem:
    """A problem of three operations."""
    while True:
        made = make_problem(rng)
        if len(made.operations) == STEPS:
            return made


def demonstration(problem: Problem, rng: random.Random) -> str:
    """A right solution."""
    return solution(problem, rng)


def flawed(problem: Problem, rng: random.Random) -> str:
    """A solution with slips, faithful to its own text behind each."""
    return slipped_solution(problem, rng, random_plan(problem, rng, FLAW_RATE))


def faults(problem: Problem, response: str) -> list[int]:
    """Offsets of the wrong characters, see examples/toy/task.py; stopping early is one."""
    return _faults(problem, response)


def correct(problem: Problem, response: str) -> bool:
    """Whether there is a box and the last one holds the answer."""
    _, box, rest = response.rpartition("\\boxed{")
    return bool(box) and rest.startswith(f"{problem.answer}}}")


def ended_early(problem: Problem, response: str) -> bool:
    """Whether fewer lines than steps and answer were written."""
    return len(check(problem, response)) <= STEPS
