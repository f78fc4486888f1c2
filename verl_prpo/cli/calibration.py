# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What scored responses say of a PRM: how its scores lie, and how far they agree with outcomes and step labels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from verl_prpo.cli.agreement import Area, Detection, auroc, auroc_with_interval, best_detection, detection
from verl_prpo.cli.responses import Response
from verl_prpo.prm.results import PrmResult

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

LEAST_STD = 1e-6
"""Standard deviation below which scores are called constant."""


@dataclass(frozen=True)
class Labelled:
    """Scores of steps whose labels are known.

    Attributes:
        right, wrong: number of steps.
        area: under the ROC curve; None when all labels agree.
        at_middle: finding wrong steps at the middle of the range; None without wrong steps.
        best: at the threshold of highest F1; None without wrong steps.
    """

    right: int
    wrong: int
    area: float | None
    at_middle: Detection | None
    best: Detection | None


@dataclass(frozen=True)
class Calibration:
    """What was found.

    Attributes:
        responses: number of responses that were scored.
        segments: number of scores.
        failures: number of responses without scores, by kind.
        unread: segments past the PRM's context.
        quantiles: of the segment scores, by level.
        mean, std: of the segment scores; std is 0 for a single one.
        prior_mean, prior_std: the same, each segment weighted by its length in characters, for z is given to tokens.
        outcomes_right, outcomes_wrong: scored responses whose outcome is known.
        area_of_mean, area_of_min: how the mean and the least score of a response rank it against its outcome.
        steps: agreement with step labels; None without any.
    """

    responses: int
    segments: int
    failures: dict[str, int]
    unread: int
    quantiles: dict[float, float]
    mean: float
    std: float
    prior_mean: float
    prior_std: float
    outcomes_right: int
    outcomes_wrong: int
    area_of_mean: Area | None
    area_of_min: Area | None
    steps: Labelled | None

    @property
    def suggests(self) -> bool:
        """Whether the scores vary enough to make a prior of."""
        return self.prior_std > LEAST_STD

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data, with the settings it suggests."""
        prior = {"prior_mean": self.prior_mean, "prior_std": self.prior_std} if self.suggests else None
        return {**asdict(self), "suggested": prior}


def calibrate(
    responses: Sequence[Response],
    results: Sequence[PrmResult],
    outcome_threshold: float,
    middle: float,
    seed: int,
) -> Calibration:
    """Hold scores against what is known of the responses.

    Args:
        responses: that were scored.
        results: of each.
        outcome_threshold: least outcome that counts as right.
        middle: of the score's range, the plain threshold for wrong steps.
        seed: of the bootstrap.

    Raises:
        ValueError: there is not one score.
    """
    failures = Counter(result.failure.value for result in results if result.failure is not None)
    read = [(r, _read(result)) for r, result in zip(responses, results, strict=True) if _read(result)]
    scores = np.array([score for _, known in read for score in known])
    if not len(scores):
        raise ValueError("not one segment has a score")
    weights = np.array([length for r, result in zip(responses, results, strict=True) for length in _lengths(r, result)])
    prior_mean = float(np.average(scores, weights=weights))
    judged = [(r, known) for r, known in read if r.outcome is not None]
    right = [is_right(r.outcome, outcome_threshold) is True for r, _ in judged]
    groups = [r.group for r, _ in judged]
    areas = [
        auroc_with_interval([float(pick(known)) for _, known in judged], right, groups, seed) for pick in (np.mean, min)
    ]
    return Calibration(
        responses=len(read),
        segments=len(scores),
        failures=dict(failures),
        unread=sum(score is None for result in results for score in result.scores or ()),
        quantiles={q: float(np.quantile(scores, q)) for q in QUANTILES},
        mean=float(scores.mean()),
        std=float(scores.std()),
        prior_mean=prior_mean,
        prior_std=float(np.average((scores - prior_mean) ** 2, weights=weights) ** 0.5),
        outcomes_right=sum(right),
        outcomes_wrong=len(right) - sum(right),
        area_of_mean=areas[0],
        area_of_min=areas[1],
        steps=_labelled(responses, results, middle),
    )


def is_right(outcome: float | None, threshold: float) -> bool | None:
    """Whether an outcome counts as right; None when it is unknown."""
    return None if outcome is None else outcome >= threshold


def _read(result: PrmResult) -> list[float]:
    return [score for score in result.scores or () if score is not None]


def _lengths(response: Response, result: PrmResult) -> list[int]:
    """Characters of each segment that was read, at least 1."""
    scored = zip(response.segments, result.scores or (), strict=False)
    return [max(len(text), 1) for text, score in scored if score is not None]


def _labelled(responses: Sequence[Response], results: Sequence[PrmResult], middle: float) -> Labelled | None:
    known = [
        (score, label)
        for response, result in zip(responses, results, strict=True)
        if response.step_labels is not None and result.scores is not None
        for score, label in zip(result.scores, response.step_labels, strict=True)
        if score is not None and label is not None
    ]
    if not known:
        return None
    scores, labels = [score for score, _ in known], [label for _, label in known]
    right = sum(labels)
    wrong = len(labels) - right
    return Labelled(
        right,
        wrong,
        auroc(scores, labels),
        detection(scores, labels, middle) if wrong else None,
        best_detection(scores, labels) if wrong else None,
    )
