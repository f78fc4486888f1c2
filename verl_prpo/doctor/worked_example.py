# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A solution that is right and one with a known wrong step: what any process reward model should tell apart."""

import json
from dataclasses import dataclass
from pathlib import Path

from verl_prpo.prm.results import PrmRequest


@dataclass(frozen=True)
class WorkedExample:
    """A problem with two solutions of as many steps.

    Attributes:
        problem: as the user asks it.
        good: steps of a right solution; with their blank lines they concatenate to the response.
        bad: the same up to `wrong`.
        wrong: index of the first wrong step of `bad`.
    """

    problem: str
    good: list[str]
    bad: list[str]
    wrong: int

    def __post_init__(self) -> None:
        if not 0 <= self.wrong < min(len(self.good), len(self.bad)):
            raise ValueError(f"the wrong step {self.wrong + 1} must be one of both solutions")
        if self.good[: self.wrong] != self.bad[: self.wrong] or self.good[self.wrong] == self.bad[self.wrong]:
            raise ValueError(f"the solutions must agree before step {self.wrong + 1} and differ in it")

    def requests(self) -> tuple[PrmRequest, PrmRequest]:
        """The good and the bad solution, for an engine."""
        messages = [{"role": "user", "content": self.problem}]
        return PrmRequest(messages, self.good), PrmRequest(messages, self.bad)


BUILT_IN = WorkedExample(
    problem=(
        "A bakery bakes 12 trays of 8 rolls. It sells 70 rolls in the morning and half of the rest in the afternoon. "
        "How many rolls are left in the evening? Put the final answer in \\boxed{}."
    ),
    good=[
        "The bakery bakes 12 * 8 = 96 rolls.\n\n",
        "After the morning 96 - 70 = 26 rolls are left.\n\n",
        "In the afternoon it sells half of them, which is 26 / 2 = 13 rolls.\n\n",
        "So 26 - 13 = 13 rolls are left in the evening: \\boxed{13}",
    ],
    bad=[
        "The bakery bakes 12 * 8 = 96 rolls.\n\n",
        "After the morning 96 - 70 = 46 rolls are left.\n\n",
        "In the afternoon it sells half of them, which is 46 / 2 = 23 rolls.\n\n",
        "So 46 - 23 = 23 rolls are left in the evening: \\boxed{23}",
    ],
    wrong=1,
)


def read_example(path: Path) -> WorkedExample:
    """An example of your own, for a PRM of another field.

    Args:
        path: a JSON file with `problem`, `good` and `bad` (lists of texts) and `wrong_step` (from 1).

    Raises:
        ValueError: what is missing in it.
        OSError: the file cannot be read.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    try:
        good, bad = ([str(step) for step in content[key]] for key in ("good", "bad"))
        return WorkedExample(str(content["problem"]), good, bad, int(content["wrong_step"]) - 1)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} must hold problem, good and bad (lists of steps) and wrong_step (from 1): "
            f"{type(error).__name__}: {error}"
        ) from error
