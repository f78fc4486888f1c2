# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A solution that is right and one with a known wrong step. Any process reward model should distinguish the two."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verl_prpo.prm.results import PrmRequest


@dataclass(frozen=True)
class WorkedExample:
    """A problem with two solutions of as many steps.

    Attributes:
        problem: as the user asks it.
        good: steps of a right solution. With their blank lines they concatenate to the response.
        bad: steps of a solution that is the same up to `wrong`.
        wrong: index of the first wrong step of `bad`.
        row: of the data, for a score function: data_source, ground_truth and extra_info.
    """

    problem: str
    good: list[str]
    bad: list[str]
    wrong: int
    row: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.wrong < min(len(self.good), len(self.bad)):
            raise ValueError(f"the wrong step {self.wrong + 1} must be one of both solutions")
        if self.good[: self.wrong] != self.bad[: self.wrong] or self.good[self.wrong] == self.bad[self.wrong]:
            raise ValueError(f"the solutions must agree before step {self.wrong + 1} and differ in it")

    def requests(self) -> tuple[PrmRequest, PrmRequest]:
        """Write the good and the bad solution as requests to an engine."""
        messages = [{"role": "user", "content": self.problem}]
        row = {"data_source": None, "ground_truth": None, "extra_info": {}, **self.row}
        return PrmRequest(messages, self.good, row=row), PrmRequest(messages, self.bad, row=row)


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
    row={"ground_truth": "13"},
)


def read_example(path: Path) -> WorkedExample:
    """Read an example of your own, for a PRM of another field.

    Args:
        path: a JSON file with `problem`, `good` and `bad` (lists of texts) and `wrong_step` (from 1), and for a score
            function `row` (data_source, ground_truth, extra_info).

    Raises:
        ValueError: what is missing in it.
        OSError: the file cannot be read.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    try:
        good, bad = ([str(step) for step in content[key]] for key in ("good", "bad"))
        wrong, row = int(content["wrong_step"]) - 1, dict(content.get("row") or {})
        return WorkedExample(str(content["problem"]), good, bad, wrong, row)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} must hold problem, good and bad (lists of steps) and wrong_step (from 1): "
            f"{type(error).__name__}: {error}"
        ) from error
