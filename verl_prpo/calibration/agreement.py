# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""How far scores agree with what is known of responses and steps: areas under curves, precision and recall."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

RESAMPLES = 1000
INTERVAL = (2.5, 97.5)
"""Percentiles of a bootstrap interval."""


@dataclass(frozen=True)
class Estimate:
    """A figure of a sample, such as an area under the ROC curve.

    Attributes:
        value: the figure.
        low, high: 95% bootstrap interval; None when there is too little to resample.
    """

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} (95% interval {self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Detection:
    """Finding wrong steps by a score below a threshold.

    Attributes:
        threshold: a step that scores below it is called wrong.
        recall: share of the wrong steps that are called wrong.
        precision: share of the steps called wrong that are wrong; None when none is.
        f1: harmonic mean of both, 0 when nothing is found.
    """

    threshold: float
    recall: float
    precision: float | None
    f1: float


def auroc(scores: Sequence[float] | Array, right: Sequence[bool] | Array) -> float | None:
    """The area under the ROC curve, exactly, from ranks (Mann-Whitney's U over the number of pairs).

    Args:
        scores: float `[n]`.
        right: bool `[n]`.

    Returns:
        From 0 to 1, 0.5 for no agreement; None when all are right or all wrong.
    """
    labels = np.asarray(right, dtype=bool)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return None
    _, which, counts = np.unique(np.asarray(scores, dtype=float), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[which]  # ties share the mean of their ranks
    wins = ranks[labels].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * negatives))


def auroc_with_interval(
    scores: Sequence[float], right: Sequence[bool], groups: Sequence[str], seed: int
) -> Estimate | None:
    """`auroc` with a bootstrap interval that resamples whole groups, since responses to one prompt are alike.

    Args:
        scores: `[n]`.
        right: `[n]`.
        groups: `[n]`, what responses to the same prompt share.
        seed: of the resampling.
    """
    values, labels = np.asarray(scores, dtype=float), np.asarray(right, dtype=bool)
    return _estimate(lambda rows: auroc(values[rows], labels[rows]), groups, seed)


def auroc_within(scores: Sequence[float], right: Sequence[bool], groups: Sequence[str], seed: int) -> Estimate | None:
    """The share of pairs of a right and a wrong response to the same prompt in which the right one scores higher, ties
    counted half; with an interval that resamples whole groups.

    Args:
        scores: `[n]`.
        right: `[n]`.
        groups: `[n]`, what responses to the same prompt share.
        seed: of the resampling.

    Returns:
        None when no group has both kinds.
    """
    values, labels = np.asarray(scores, dtype=float), np.asarray(right, dtype=bool)
    won, pairs = [], []
    for rows in _members(groups):
        share, both = auroc(values[rows], labels[rows]), int(labels[rows].sum() * (~labels[rows]).sum())
        if share is not None:
            won.append(share * both)
            pairs.append(both)
    if not pairs:
        return None
    wins, counts = np.asarray(won), np.asarray(pairs)
    value = float(wins.sum() / counts.sum())
    low, high = _interval(
        lambda drawn: float(wins[drawn].sum() / counts[drawn].sum()), [np.array([i]) for i in range(len(pairs))], seed
    )
    return Estimate(value, low, high)


def informedness(
    scores: Sequence[float], right: Sequence[bool], groups: Sequence[str], threshold: float, seed: int
) -> Estimate | None:
    """The share of wrong steps that score below a threshold, less the share of right ones that do (Youden's J).

    1 is a PRM whose flags tell right from wrong without fail, 0 one whose flags say nothing.

    Args:
        scores: `[n]`.
        right: `[n]`.
        groups: `[n]`, what steps of responses to the same prompt share.
        threshold: in units of the score.
        seed: of the resampling.

    Returns:
        None when all steps are right or all wrong.
    """
    flagged, labels = np.asarray(scores, dtype=float) < threshold, np.asarray(right, dtype=bool)

    def of(rows: Array) -> float | None:
        good, bad = flagged[rows][labels[rows]], flagged[rows][~labels[rows]]
        return float(bad.mean() - good.mean()) if len(good) and len(bad) else None

    return _estimate(of, groups, seed)


def detection(scores: Sequence[float], right: Sequence[bool], threshold: float) -> Detection:
    """How well `score < threshold` finds the wrong steps.

    Args:
        scores: `[n]`.
        right: `[n]`, with at least one wrong.
        threshold: in units of the score.
    """
    called = np.asarray(scores, dtype=float) < threshold
    wrong = ~np.asarray(right, dtype=bool)
    found = int((called & wrong).sum())
    recall = found / int(wrong.sum())
    precision = found / int(called.sum()) if called.any() else None
    f1 = 2 * found / (int(called.sum()) + int(wrong.sum()))
    return Detection(float(threshold), recall, precision, f1)


def best_detection(scores: Sequence[float], right: Sequence[bool]) -> Detection:
    """The detection of highest F1 among all thresholds half-way between neighbouring scores and above the last."""
    distinct = np.unique(np.asarray(scores, dtype=float))
    between = (distinct[1:] + distinct[:-1]) / 2
    thresholds = [*between.tolist(), float(np.nextafter(distinct[-1], np.inf))]
    return max((detection(scores, right, threshold) for threshold in thresholds), key=lambda found: found.f1)


def _members(groups: Sequence[str]) -> list[Array]:
    """The rows of each group."""
    _, which = np.unique(np.asarray(groups), return_inverse=True)
    order = np.argsort(which, kind="stable")
    return np.split(order, np.cumsum(np.bincount(which))[:-1])


def _estimate(statistic: Callable[[Array], float | None], groups: Sequence[str], seed: int) -> Estimate | None:
    """A statistic of rows with its interval, None where it has no value on all of them."""
    value = statistic(np.arange(len(groups)))
    if value is None:
        return None
    low, high = _interval(statistic, _members(groups), seed)
    return Estimate(value, low, high)


def _interval(
    statistic: Callable[[Array], float | None], members: list[Array], seed: int
) -> tuple[float | None, float | None]:
    if len(members) < 2:
        return None, None
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(RESAMPLES):
        picked = random.integers(0, len(members), len(members))
        value = statistic(np.concatenate([members[i] for i in picked]))
        if value is not None:
            drawn.append(value)
    if len(drawn) < RESAMPLES // 2:
        return None, None
    low, high = np.percentile(drawn, INTERVAL)
    return float(low), float(high)
