# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Bootstrap intervals that resample whole groups, since responses to one prompt are alike."""

from collections.abc import Callable, Sequence

import numpy as np
import scipy.stats

Array = np.ndarray

RESAMPLES = 1000
INTERVAL = (2.5, 97.5)
"""Percentiles of a bootstrap interval."""


def group_interval(
    statistic: Callable[..., Array | float], columns: Sequence[Array], seed: int, vectorized: bool = True
) -> tuple[float | None, float | None]:
    """Compute a 95% percentile bootstrap interval.

    Args:
        statistic: a function of as many arrays as there are columns, in which each group of the resample has a place.
            With `vectorized` it takes arrays `[resamples, groups]` and `axis=-1`. It gives NaN where it has no value.
        columns: each `[groups]`, what is known of each group. The same groups of all columns are drawn together.
        seed: seed of the resampling.
        vectorized: whether `statistic` takes all resamples at once.

    Returns:
        The ends of the interval. Both are None for fewer than two groups, or where most resamples have no value.
    """
    if len(columns[0]) < 2:
        return None, None
    drawn = scipy.stats.bootstrap(
        columns,
        statistic,
        paired=True,
        vectorized=vectorized,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).bootstrap_distribution
    known = drawn[~np.isnan(drawn)]
    if len(known) < RESAMPLES // 2:
        return None, None
    low, high = np.percentile(known, INTERVAL)
    return float(low), float(high)


def group_sums(values: Sequence[float] | Array, groups: Sequence[str]) -> Array:
    """Return the sum of the values of each group, `[groups]` in the order of the sorted groups."""
    return np.bincount(np.unique(np.asarray(groups), return_inverse=True)[1], weights=np.asarray(values, dtype=float))


def ratio_of_sums(numerators: Array, denominators: Array, axis: int = -1) -> Array:
    """Divide the sum of the numerators by that of the denominators. The result is NaN where the latter is 0."""
    below = denominators.sum(axis)
    return np.divide(numerators.sum(axis), below, out=np.full_like(below, np.nan, dtype=float), where=below != 0)
