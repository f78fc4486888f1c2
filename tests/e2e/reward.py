# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""An outcome reward that differs within groups even for an untrained policy: 1 for an even number of characters."""

from typing import Any


def compute_score(data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None, **_: Any) -> float:
    """verl's custom reward function."""
    return float(len(solution_str) % 2 == 0)
