# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Outcome reward of the study's tasks for verl (`reward.custom_reward_function`): +1 for a right answer, -1 else."""

from typing import Any

from study.full_stack.problems import problem_of
from study.tasks import TASKS


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, Any], **kwargs: Any
) -> dict[str, float]:
    """Ask the task.

    Args:
        data_source: name of the data set (not used).
        solution_str: the decoded response, without EOS.
        ground_truth: of the row (not used).
        extra_info: names the problem, see `study.full_stack.problems`.
        kwargs: what else verl's reward managers pass on (not used).

    Returns:
        `score`, +1.0 or -1.0, and `acc`, 1.0 or 0.0, which verl reports in validation.
    """
    right = TASKS[extra_info["task"]].correct(problem_of(extra_info), solution_str)
    return {"score": 1.0 if right else -1.0, "acc": float(right)}
