# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The questions that the study asks, and the answers that the runs give: nothing here is decided by hand."""

from collections.abc import Sequence
from dataclasses import dataclass

from study import statistics
from study.results import Results
from study.sections import ENDS, FIGURES
from study.tables import PRM_NAMES, interval, table


@dataclass(frozen=True)
class Question:
    """One arm against another.

    Attributes:
        asks: for people.
        arm, base: names of arms.
        prm: by name.
    """

    asks: str
    arm: str
    base: str
    prm: str


SUMMARY = (
    Question("PRPO, the paper's", "prpo", "grpo", "learned"),
    Question("PRPO with half the process advantage", "prpo_half", "grpo", "learned"),
    Question("PURE (`credit=pure`)", "pure", "grpo", "learned"),
    Question("PRPO, the paper's", "prpo", "grpo", "oracle"),
    Question("PRPO with half the process advantage", "prpo_half", "grpo", "oracle"),
)
"""What the page and the README say first."""

PAIRS = tuple(
    Question(asks, arm, base, prm)
    for prm in ("learned", "oracle")
    for asks, arm, base in (
        ("placement, beside the outcome: PRPO against PRM-Avg", "prpo", "prm_avg"),
        ("placement, no outcome: process only against GRPO on the mean score", "process", "grpo_mean_score"),
        ("the outcome shift: PRPO against process only", "prpo", "process"),
        ("the credit: PRPO against PURE", "prpo", "pure"),
        ("the mean score in the outcome: PRM-Avg + PRPO against PRPO", "prm_avg_prpo", "prpo"),
    )
)
"""Arms that differ in one part, or nearly."""


def answers(results: Results, questions: Sequence[Question], about: str) -> str:
    """A table of questions and what the runs say over all tasks, in points; unanswered ones are left out."""
    rows = []
    for ask in questions:
        found = [results.differences(ask.prm, ask.arm, ask.base, FIGURES[name]) for name in ENDS]
        if found[0] and len(found[0]) == len(results.tasks):
            told = [interval(statistics.difference(of_task)) for of_task in found]
            rows.append([ask.asks, PRM_NAMES[ask.prm], *told])
    return table([about, "PRM", "final, greedy", "final, temperature 1"], rows) if rows else ""
