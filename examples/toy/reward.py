# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Outcome reward of the toy task, for verl: `reward.custom_reward_function.path=examples/toy/reward.py`.

A response earns 1 when the digit in its last box is the answer, else 0. How it got there does not count: that is what
the process reward model (prm.py) is for.
"""

import re
from typing import Any

_BOX = re.compile(r"\\boxed\{(\d+)\}")


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, Any] | None = None, **kwargs: Any
) -> dict[str, float]:
    """Compare the last boxed number with the answer.

    Args:
        data_source: name of the data set, from the row (not used: there is one task).
        solution_str: the decoded response.
        ground_truth: the answer, one digit.
        extra_info: further fields of the row (not used).
        kwargs: what else verl's reward managers pass on (not used).

    Returns:
        `score`, the outcome reward (1.0 or 0.0), and the same figure as `acc`, which verl reports in validation.
    """
    boxed = _BOX.findall(solution_str)
    score = float(bool(boxed) and boxed[-1] == ground_truth)
    return {"score": score, "acc": score}
