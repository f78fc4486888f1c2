# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The questions that the study asks, and the answers that the runs give: nothing here is decided by hand."""

from collections.abc import Sequence
from dataclasses import dataclass

from study import statistics
from study.results import Results
from study.sections import FIGURES
from study.statistics import Difference
from study.tables import interval, lies_above_0, lies_below_0, table


@dataclass(frozen=True)
class Question:
    """One arm against another.

    Attributes:
        asks: for people.
        arm, base: names of arms.
    """

    asks: str
    arm: str
    base: str


QUESTIONS = (
    Question("PRPO against GRPO", "prpo", "grpo"),
    Question("PRPO with half the process advantage against GRPO", "prpo_half", "grpo"),
    Question("PRPO with a quarter of it against GRPO", "prpo_quarter", "grpo"),
    Question("PRM-Avg against GRPO", "prm_avg", "grpo"),
    Question("PURE against GRPO", "pure", "grpo"),
    Question("PRPO against PRM-Avg: placement, beside the outcome", "prpo", "prm_avg"),
    Question("process only against GRPO on the mean score: placement, no outcome", "process", "grpo_mean_score"),
    Question("PRPO against process only: the outcome shift", "prpo", "process"),
    Question("PRPO against PURE", "prpo", "pure"),
    Question("PRM-Avg + PRPO against PRPO: the mean score in the outcome", "prm_avg_prpo", "prpo"),
)


def answers(results: Results, prm: str) -> str:
    """A table of questions and what the runs say over all tasks, by each figure; then task by task."""
    rows = []
    for question in QUESTIONS:
        found = {name: results.differences(prm, question.arm, question.base, of) for name, of in FIGURES.items()}
        if all(len(of_task) == len(results.tasks) for of_task in found.values()):
            each = [statistics.difference({task: values}) for task, values in found["greedy"].items()]
            told = [interval(statistics.difference(of_task)) for of_task in found.values()]
            seeds = min(map(len, found["greedy"].values()))
            rows.append([question.asks, *told, verdicts(each), str(seeds)])
    head = [f"PRM: {prm}", "final, greedy", "final, temperature 1", "area, greedy", "tasks, final greedy", "seeds"]
    return table(head, rows) if rows else ""


def verdicts(each: Sequence[Difference]) -> str:
    """On how many tasks the interval lies above 0, below it, or on both sides."""
    above, below = sum(map(lies_above_0, each)), sum(map(lies_below_0, each))
    return f"{above} above, {below} below, {len(each) - above - below} open"
