# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The study's tasks: each makes problems, demonstrations and flawed texts from a seed, and judges any text exactly.

A task is a module with the members of `Task`. Its texts are made of single characters and of the task's own `WORDS`,
which are one token each. Step labels are local: a line is compared with the text before it as it stands, so that a
faithful line after a wrong one is right.
"""

import hashlib
import random
from collections.abc import Sequence
from typing import Any, Protocol

from study.tasks import chained, early, walk, words

HELD_OUT_SHARE = 0.25
"""Share of all questions that nothing is ever trained on."""


class Task(Protocol):
    """What a task's module has."""

    NAME: str
    WORDS: Sequence[str]
    """Tokens of more than one character."""
    MAX_NEW_TOKENS: int
    START: float
    """Accuracy at temperature 1 at which the starting policy's lessons end."""

    def problem(self, rng: random.Random) -> Any:
        """A random problem; it has `question`, and equal problems have equal questions."""

    def demonstration(self, problem: Any, rng: random.Random) -> str:
        """A response of the kind the starting policy is taught: it may be wrong, cut short or roundabout."""

    def flawed(self, problem: Any, rng: random.Random) -> str:
        """A response with slips of every kind, for a learned PRM to see."""

    def faults(self, problem: Any, response: str) -> list[int]:
        """Offsets of the wrong characters, ascending; `len(response)` stands for the decision to stop."""

    def correct(self, problem: Any, response: str) -> bool:
        """The verifier: whether the response reaches the right answer."""

    def ended_early(self, problem: Any, response: str) -> bool:
        """Whether the response stops before its work is done."""


TASKS: dict[str, Task] = {task.NAME: task for task in (chained, early, words, walk)}  # type: ignore[misc]


def held_out(problem: Any) -> bool:
    """Whether a problem is kept from all training: decided by its question alone."""
    digest = hashlib.blake2b(problem.question.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") < HELD_OUT_SHARE * 2**32


def training_problem(task: Task, rng: random.Random) -> Any:
    """A random problem that is not held out."""
    while held_out(made := task.problem(rng)):
        pass
    return made


def held_out_problems(task: Task, seed: int, most: int) -> list[Any]:
    """Distinct held-out problems, `most` or as many as the task has."""
    rng = random.Random(seed)
    found: dict[str, Any] = {}
    for _ in range(100 * most):
        made = task.problem(rng)
        if held_out(made):
            found.setdefault(made.question, made)
        if len(found) == most:
            break
    return list(found.values())
