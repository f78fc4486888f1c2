# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The `prpo/prm/judge/*` metrics of a step: what a judge that writes its verdicts cost, and how often it wrote none."""

from collections import Counter
from collections.abc import Sequence

from verl_prpo.prm.generated.counts import NAMES
from verl_prpo.step.messages import Scores


def judge_metrics(results: Sequence[Scores]) -> dict[str, float]:
    """Sum a judge's counts over a step. There are none where the PRM is no judge that writes.

    Args:
        results: one per request. Those that were remembered cost nothing and have no counts.
    """
    counted = [result.counts for result in results if result.counts]
    if not counted:
        return {}
    sums: Counter[str] = Counter()
    for counts in counted:
        sums.update(counts)
    return {f"prpo/prm/judge/{name}": sums[name] for name in NAMES}
