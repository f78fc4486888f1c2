# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Figures of a run, and comparisons of paired runs.

Intervals are percentile bootstrap intervals over seeds, drawn anew within each task and averaged over the tasks, so
that every task counts the same. They are narrow for few seeds: of 3, 5 and 20 normal differences a nominal 95% interval
covers the truth about 75, 84 and 92% of the time. P-values are of a sign-flip test over the pairs of task and seed; of
5 pairs it cannot go below 1/16. Holm's method adjusts them for the number of comparisons in a family.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from study.runs import Result
from study.trainer import Row

RESAMPLES = 10_000
SEED = 0
EXACT_SIGNS = 20
"""Most differences other than 0 for which a sign-flip test goes through all sign patterns."""

_AT_ONCE = 4_000_000
"""Numbers drawn at once."""

WINDOW = 0.25
"""Share of a run's steps at its begin and at its end that are averaged."""


@dataclass(frozen=True)
class Difference:
    """A mean difference of paired runs.

    Attributes:
        mean: of the tasks' mean differences.
        low, high: of a 95% interval.
        p: two-sided.
        pairs: how many.
    """

    mean: float
    low: float
    high: float
    p: float
    pairs: int


def final(rows: Sequence[Row], name: str) -> float:
    """The last value of a measure that is taken now and then."""
    return [row[name] for row in rows if name in row][-1]


def late(rows: Sequence[Row], name: str) -> float:
    """Mean of a step's measure over the last quarter of the steps."""
    steps = [row[name] for row in rows if row["step"] > 0]
    return float(np.mean(steps[-_window(steps) :]))


def early(rows: Sequence[Row], name: str) -> float:
    """Mean of a step's measure over the first quarter of the steps."""
    steps = [row[name] for row in rows if row["step"] > 0]
    return float(np.mean(steps[: _window(steps)]))


def area(rows: Sequence[Row]) -> float:
    """Mean greedy accuracy over training: the area under its curve by trapezia, over its length in steps."""
    at, value = zip(*((row["step"], row["greedy"]) for row in rows if "greedy" in row), strict=True)
    return float(np.trapezoid(value, at) / (at[-1] - at[0]))


def difference(of_task: Mapping[str, Sequence[float]]) -> Difference:
    """Paired differences, by task, as one.

    Args:
        of_task: differences by task, one for each seed.

    Returns:
        Bounds are NaN where a task has a single pair.
    """
    values = [np.asarray(found, dtype=float) for found in of_task.values()]
    together = np.concatenate(values)
    mean = float(np.mean([found.mean() for found in values]))
    low = high = float("nan")
    if min(map(len, values)) > 1:
        random = np.random.default_rng(SEED)
        resampled = [found[random.integers(len(found), size=(RESAMPLES, len(found)))].mean(1) for found in values]
        low, high = np.percentile(np.mean(resampled, axis=0), [2.5, 97.5])
    return Difference(mean, float(low), float(high), sign_flip_p(together, SEED), len(together))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted by Holm's step-down method for their number."""
    order = np.argsort(p_values, kind="stable")
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def rate_scores(results: Sequence[Result]) -> dict[tuple[str, str], dict[float, float]]:
    """By task and arm, for each learning rate: half the area under the greedy curve, half the final sampled accuracy.

    Either alone is noisy, and greedy accuracy alone is kind to rates that leave the policy as it is.
    """
    scores: dict[tuple[str, str], dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        score = (area(result.rows) + final(result.rows, "sampled")) / 2
        scores[result.run.task, result.run.settings.arm][result.run.settings.lr].append(score)
    return {of: {rate: float(np.mean(found)) for rate, found in sorted(by.items())} for of, by in scores.items()}


def best_rates(results: Sequence[Result]) -> dict[tuple[str, str], float]:
    """The learning rate with the largest mean score, by task and arm; the smaller of equals."""
    return {of: max(by, key=by.__getitem__) for of, by in rate_scores(results).items()}


def _window(steps: Sequence[float]) -> int:
    return max(1, round(WINDOW * len(steps)))


def sign_flip_p(differences: NDArray[np.float64], seed: int, resamples: int = RESAMPLES) -> float:
    """Two-sided paired permutation test: the sign of each pair's difference flipped at random.

    Args:
        differences: [pairs].
        seed: of the random flips, where there are too many patterns for all of them.
        resamples: random flips then.

    Returns:
        Share of sign patterns whose sum is at least as far from 0 as the one seen; the latter counts as one of the
        random ones, so that this is never 0. 1 where all differences are 0.
    """
    moved = differences[differences != 0]
    seen = abs(moved.sum()) - 1e-9
    if len(moved) <= EXACT_SIGNS:
        sums = np.zeros(1)
        for value in moved:
            sums = np.concatenate([sums + value, sums - value])
        return float((np.abs(sums) >= seen).mean())
    random = np.random.default_rng(seed)
    as_far = 0
    step = max(1, _AT_ONCE // len(moved))
    for begin in range(0, resamples, step):
        signs = 2 * random.integers(2, size=(min(step, resamples - begin), len(moved))) - 1
        as_far += int((np.abs(signs @ moved) >= seen).sum())
    return (as_far + 1) / (resamples + 1)
