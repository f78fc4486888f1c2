# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The scorer as a function in verl's form, for `reward.custom_reward_function.path`:

`pkg://verl_prpo.outcome.reward_function`, for those who keep another reward manager, such as `dapo`.
"""

from typing import Any

from verl_prpo.outcome.scorer import UNDECIDED, score_answer
from verl_prpo.settings.timeouts import COMPARISON_TIMEOUT


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: dict[str, Any] | None = None,
    correct: float = 1.0,
    wrong: float = -1.0,
    timeout: float = COMPARISON_TIMEOUT,
    **_: Any,
) -> dict[str, Any]:
    """Score one response.

    Args:
        data_source, solution_str, ground_truth: as verl passes them.
        extra_info: not read.
        correct, wrong: the two rewards.
        timeout: longest comparison of one answer, in seconds.

    Returns:
        score: `correct` or `wrong`. acc: 1.0 or 0.0. pred: the extracted answer, "" if there is none (verl's majority
        votes in validation read it). method: see `Verdict`. undecided: 1.0 where no comparison led to the verdict.
    """
    verdict = score_answer(data_source, solution_str, ground_truth, timeout=timeout)
    return {
        "score": correct if verdict.correct else wrong,
        "acc": float(verdict.correct),
        "pred": verdict.answer or "",
        "method": verdict.method,
        "undecided": float(verdict.method in UNDECIDED),
    }
