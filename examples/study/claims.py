# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The questions that the study asks, and the answers that the runs give: nothing here is decided by hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from study import statistics
from study.results import Results
from study.sections import FIGURES
from study.statistics import Difference
from study.tables import interval, table

MARGIN = 0.032
"""The paper's gain of PRPO over GRPO, MATH500 at 1.5B: 61.2 to 64.4."""


@dataclass(frozen=True)
class Question:
    """One arm against another.

    Attributes:
        asks: for people.
        arm, base: names of arms.
        prm: that both are trained with.
        least: the least difference that counts, a share.
    """

    asks: str
    arm: str
    base: str
    prm: str = "oracle"
    least: float = 0.0


QUESTIONS = (
    Question("PRPO over GRPO by the paper's 3.2 points, learned PRM?", "prpo", "grpo", "learned", MARGIN),
    Question("PRPO over GRPO by the paper's 3.2 points, oracle?", "prpo", "grpo", "oracle", MARGIN),
    Question("Does placing credit help? PRPO over GRPO on the mean score, oracle", "prpo", "grpo_mean_score"),
    Question("The same with the learned PRM", "prpo", "grpo_mean_score", "learned"),
    Question("Does the outcome shift help? PRPO over process only, oracle", "prpo", "process"),
    Question("The same with the learned PRM", "prpo", "process", "learned"),
    Question("PRPO over PRM-Avg, oracle?", "prpo", "prm_avg"),
    Question("The same with the learned PRM", "prpo", "prm_avg", "learned"),
    Question("PRPO over PURE, oracle?", "prpo", "pure"),
    Question("The same with the learned PRM", "prpo", "pure", "learned"),
    Question("Does the mean score help the outcome? PRM-Avg + PRPO over PRPO, oracle", "prm_avg_prpo", "prpo"),
    Question("The same with the learned PRM", "prm_avg_prpo", "prpo", "learned"),
    Question("Dr. GRPO over GRPO?", "dr_grpo", "grpo"),
)  # fmt: skip


def answers(results: Results, name: str = "greedy") -> str:
    """A table of questions, what the runs say on each task, and over all."""
    rows = []
    for question in QUESTIONS:
        of_task = results.differences(question.prm, question.arm, question.base, FIGURES[name])
        if of_task:
            each = [statistics.difference({task: values}) for task, values in of_task.items()]
            together = statistics.difference(of_task)
            rows.append([question.asks, verdict(each, together, question.least), interval(together)])
    return table(["question", "answer", "mean of tasks, points"], rows)


def verdict(each: Sequence[Difference], together: Difference, least: float = 0.0) -> str:
    """What differences by task and their mean say.

    Returns:
        "yes", "no: the reverse" or "not seen" by the interval of the mean (its mean must reach `least`, too), and on
        how many tasks the same holds, or its reverse.
    """
    better = sum(found.low > 0 and found.mean >= least for found in each)
    worse = sum(found.high < 0 for found in each)
    of_all = "not seen"
    if not isnan(together.low):
        if together.low > 0:
            of_all = "yes" if together.mean >= least else "yes, by less"
        elif together.high < 0:
            of_all = "no: the reverse"
    return f"{of_all} (tasks: {better} yes, {worse} the reverse, {len(each) - better - worse} open)"
