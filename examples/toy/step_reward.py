# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Step reward of the toy task by a rule, without a PRM: `reward.prm.score_function.path=examples/toy/step_reward.py`.

A step is right when each of its equations holds modulo 10, and a box in it holds the answer. What has neither has no
score. The rule does not see a step that works with the wrong number: that is what the PRM of the task (prm.py) is for.
"""

import re
from collections.abc import Sequence
from typing import Any

from task import MODULUS, apply

_EQUATION = re.compile(r"(\d)([+\-*])(\d)=(\d)")
_BOX = re.compile(r"\\boxed\{(\d+)\}")


def score(
    messages: Sequence[dict[str, Any]], segments: Sequence[str], ground_truth: str, **row: Any
) -> list[float | None]:
    """Score each segment: 1 when all it says is right, 0 when something is wrong, None when it says nothing.

    Args:
        messages: the prompt as chat messages (not used).
        segments: the steps.
        ground_truth: the answer, one digit.
        row: what else belongs to the row (not used).
    """
    scores: list[float | None] = []
    for segment in segments:
        right = [apply(int(a), (op, int(b))) == int(c) % MODULUS for a, op, b, c in _EQUATION.findall(segment)]
        right += [box == ground_truth for box in _BOX.findall(segment)]
        scores.append(float(all(right)) if right else None)
    return scores


score.score_range = (0, 1)  # type: ignore[attr-defined]
