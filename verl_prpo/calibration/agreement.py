# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""How far scores agree with what is known of responses and steps: areas under curves, precision and recall."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from verl_prpo.calibration.intervals import Array, group_interval, group_sums, ratio_of_sums


@dataclass(frozen=True)
class Estimate:
    """A figure of a sample, such as an area under the ROC curve.

    Attributes:
        value: the figure.
        low, high: 95% bootstrap interval. Both are None when there is too little to resample.
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
    """How well a score below a threshold finds wrong steps.

    Attributes:
        threshold: a step that scores below it is called wrong.
        recall: share of the wrong steps that are called wrong.
        precision: share of the steps called wrong that are wrong, None when no step is called wrong.
        f1: harmonic mean of both, 0 when nothing is found.
    """

    threshold: float
    recall: float
    precision: float | None
    f1: float


def auroc(scores: Sequence[float] | Array, right: Sequence[bool] | Array) -> float | None:
    """Compute the area under the ROC curve, exactly, from ranks (Mann-Whitney's U over the number of pairs).

    Args:
        scores: float `[n]`.
        right: bool `[n]`.

    Returns:
        A number from 0 to 1, where 0.5 means no agreement. None when all are right or all are wrong.
    """
    labels = np.asarray(right, dtype=bool)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return None
    wins = rankdata(scores)[labels].sum() - positives * (positives + 1) / 2  # mannwhitneyu's U, thirty times as fast
    return float(wins / (positives * negatives))


def auroc_with_interval(
    scores: Sequence[float], right: Sequence[bool], groups: Sequence[str], seed: int
) -> Estimate | None:
    """Compute `auroc` with a bootstrap interval that resamples whole groups, since responses to one prompt are alike.

    Args:
        scores: `[n]`.
        right: `[n]`.
        groups: `[n]`, what responses to the same prompt share.
        seed: seed of the resampling.
    """
    values, labels = np.asarray(scores, dtype=float), np.asarray(right, dtype=bool)
    value, members = auroc(values, labels), _members(groups)
    if value is None:
        return None

    def of(picked: Array) -> float:
        rows = np.concatenate([members[i] for i in picked])
        area = auroc(values[rows], labels[rows])
        return np.nan if area is None else area

    return Estimate(value, *group_interval(of, [np.arange(len(members))], seed, vectorized=False))


def auroc_within(scores: Sequence[float], right: Sequence[bool], groups: Sequence[str], seed: int) -> Estimate | None:
    """Compute the share of pairs of a right and a wrong response to the same prompt in which the right one scores
    higher.

    Ties count half. The interval resamples whole groups.

    Args:
        scores: `[n]`.
        right: `[n]`.
        groups: `[n]`, what responses to the same prompt share.
        seed: seed of the resampling.

    Returns:
        The share with its interval. None when no group has both kinds.
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
    value = float(ratio_of_sums(wins, counts))
    return Estimate(value, *group_interval(ratio_of_sums, [wins, counts], seed))


def informedness(
    scores: Sequence[float], right: Sequence[bool], groups: Sequence[str], threshold: float, seed: int
) -> Estimate | None:
    """Compute the share of wrong steps that score below a threshold, less the share of right ones that do (Youden's J).

    At 1 the PRM flags all wrong steps and no right one. At 0 its flags say nothing.

    Args:
        scores: `[n]`.
        right: `[n]`.
        groups: `[n]`, what steps of responses to the same prompt share.
        threshold: threshold in units of the score.
        seed: seed of the resampling.

    Returns:
        The difference of the shares with its interval. None when all steps are right or all are wrong.
    """
    flagged, good = np.asarray(scores, dtype=float) < threshold, np.asarray(right, dtype=bool)
    bad = ~good
    columns = [group_sums(rows, groups) for rows in (flagged & bad, bad, flagged & good, good)]

    def of(*sums: Array, axis: int = -1) -> Array:
        return ratio_of_sums(sums[0], sums[1], axis) - ratio_of_sums(sums[2], sums[3], axis)

    value = float(of(*columns))
    return None if np.isnan(value) else Estimate(value, *group_interval(of, columns, seed))


def detection(scores: Sequence[float], right: Sequence[bool], threshold: float) -> Detection:
    """Measure how well `score < threshold` finds the wrong steps.

    Args:
        scores: `[n]`.
        right: `[n]`, with at least one wrong.
        threshold: threshold in units of the score.
    """
    called = np.asarray(scores, dtype=float) < threshold
    wrong = ~np.asarray(right, dtype=bool)
    found = int((called & wrong).sum())
    recall = found / int(wrong.sum())
    precision = found / int(called.sum()) if called.any() else None
    f1 = 2 * found / (int(called.sum()) + int(wrong.sum()))
    return Detection(float(threshold), recall, precision, f1)


def best_detection(scores: Sequence[float], right: Sequence[bool]) -> Detection:
    """Return the detection of highest F1 among all thresholds half-way between two scores and above the last."""
    distinct = np.unique(np.asarray(scores, dtype=float))
    between = (distinct[1:] + distinct[:-1]) / 2
    thresholds = [*between.tolist(), float(np.nextafter(distinct[-1], np.inf))]
    return max((detection(scores, right, threshold) for threshold in thresholds), key=lambda found: found.f1)


def _members(groups: Sequence[str]) -> list[Array]:
    """Return the rows of each group."""
    _, which = np.unique(np.asarray(groups), return_inverse=True)
    order = np.argsort(which, kind="stable")
    return np.split(order, np.cumsum(np.bincount(which))[:-1])
