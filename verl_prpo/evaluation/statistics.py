# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What an evaluation reports: pure functions of verdicts, with intervals over problems.

Intervals are percentile bootstrap intervals (Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13) over
problems. They say how far the figure would move with other problems of the kind, not with other samples alone. Where
every problem has the same value the interval has no width.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from math import comb

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 10_000
"""The number of resamples of a bootstrap, and of random flips in a permutation test that cannot be exact."""

_AT_ONCE = 4_000_000
"""The most numbers that are drawn at once."""


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Return the probability that one of k samples is right, 1 - C(n - c, k) / C(n, k).

    The estimate is unbiased (arXiv 2107.03374, equation 1).

    Args:
        samples: n, the number of samples drawn for the problem.
        correct: c, the number of right ones among them.
        k: at least 1 and at most n.

    Returns:
        In [0, 1].

    Raises:
        ValueError: counts that contradict each other.
    """
    if not (0 <= correct <= samples and 1 <= k <= samples):
        raise ValueError(f"pass@{k} of {correct} right ones among {samples} samples is not defined")
    return 1.0 - comb(samples - correct, k) / comb(samples, k)


def majority(votes: Sequence[Hashable | None], correct: Sequence[bool]) -> float:
    """Return 1 where the most frequent answer is right, 0 where it is wrong.

    Where several answers are the most frequent, return the expectation of drawing one of them evenly.

    Args:
        votes: one for each sample. Votes are equal for answers that count as the same. A sample without an answer has
            None and does not vote.
        correct: the verdicts, of the same length.

    Returns:
        A number in [0, 1]. It is 0 where no sample votes.
    """
    counts = Counter(vote for vote in votes if vote is not None)
    if not counts:
        return 0.0
    right = {vote for vote, is_right in zip(votes, correct, strict=True) if is_right}
    first = [vote for vote, count in counts.items() if count == max(counts.values())]
    return sum(vote in right for vote in first) / len(first)


def bootstrap_intervals(values: Floats, seed: int, resamples: int = RESAMPLES, level: float = 0.95) -> Floats:
    """Compute percentile bootstrap intervals of means over problems. All rows share their resamples.

    Args:
        values: [figures, problems].
        seed: seed of the resamples. The same seed gives the same intervals.
        resamples: number of resamples.
        level: share of the resamples within the interval.

    Returns:
        [figures, 2], the lower and the upper bound. Both are NaN for fewer than two problems.
    """
    from scipy.stats import bootstrap

    figures, problems = values.shape
    if problems < 2:
        return np.full((figures, 2), np.nan)
    at_once = max(1, _AT_ONCE // (figures * problems))
    found = bootstrap(
        (values,),
        np.mean,
        axis=-1,
        n_resamples=resamples,
        batch=at_once,
        confidence_level=level,
        method="percentile",
        rng=seed,
    ).confidence_interval
    return np.stack([found.low, found.high], axis=-1)


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Compute the exact two-sided McNemar test of two runs with one verdict a problem each.

    Args:
        only_a: problems that only the first solved.
        only_b: problems that only the second solved.

    Returns:
        The probability of a split at least as uneven when each such problem falls to either side evenly. It is 1 where
        there is no such problem.
    """
    from scipy.stats import binomtest

    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def sign_flip_p(differences: Floats, seed: int, resamples: int = RESAMPLES) -> float:
    """Compute the two-sided paired permutation test, which flips the sign of each problem's difference.

    Args:
        differences: [problems].
        seed: seed of the random flips, which are drawn where there are too many patterns to try all of them.
        resamples: number of random flips. With no more patterns than that (13 problems) the test is exact.

    Returns:
        Twice the share of sign patterns whose sum is at least as far from 0, on the same side, as the pattern seen.
        That pattern counts among the random ones, so the result is never 0. It is 1 where all differences are 0.
    """
    from scipy.stats import permutation_test

    moved = differences[differences != 0]
    if len(moved) < 2:
        return 1.0  # of one, either sign is as far from 0
    found = permutation_test(
        (moved,),
        np.sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,  # with fewer sign patterns than that it goes through all of them
        batch=max(1, _AT_ONCE // len(moved)),
        rng=seed,
    )
    return float(found.pvalue)
