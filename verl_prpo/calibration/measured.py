# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What scored responses say of a PRM: how its scores lie, and how far they agree with outcomes and step labels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from verl_prpo.calibration.agreement import (
    Detection,
    Estimate,
    auroc,
    auroc_with_interval,
    auroc_within,
    best_detection,
    detection,
    informedness,
)
from verl_prpo.calibration.responses import Response
from verl_prpo.calibration.trust import Earned, earned
from verl_prpo.calibration.unread import unread_kinds
from verl_prpo.prm.results import PrmResult

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

LEAST_STD = 1e-6
"""Standard deviation below which scores are called constant."""


@dataclass(frozen=True)
class Labelled:
    """Scores of steps whose labels are known.

    Attributes:
        right, wrong: number of steps.
        area: area under the ROC curve, None when all labels agree.
        informed: share of wrong steps below the middle of the range, less that of right ones. It is None unless both
            kinds are there.
        at_middle: how wrong steps are found at the middle of the range, None without wrong steps.
        best: how they are found at the threshold of highest F1, None without wrong steps.
    """

    right: int
    wrong: int
    area: float | None
    informed: Estimate | None
    at_middle: Detection | None
    best: Detection | None


@dataclass(frozen=True)
class Calibration:
    """What was found.

    Attributes:
        responses: number of responses that were scored.
        prompts: number of prompts that they answer.
        segments: number of scores.
        failures: number of responses without scores, by kind.
        unread: segments without a score, but for unfinished ones.
        unfinished: last segments of recorded responses that training did not judge, for they were cut off.
        quantiles: quantiles of the segment scores, by level.
        mean, std: mean and standard deviation of the segment scores. The latter is 0 for a single score.
        prior_mean, prior_std: the same, with each segment weighted by its length in characters, for z is given to
            tokens.
        outcomes_right, outcomes_wrong: numbers of scored responses that are known to be right or wrong.
        mixed: number of prompts with both.
        area_of_mean, area_of_min: how well the mean and the least score of a response separate right ones from wrong
            ones.
        area_within: how well the mean does so among responses to the same prompt.
        steps: agreement with step labels, None without any.
        trust: for each data source the weight that `credit=trust` would give.
        unread_kinds: why the unread segments have no score, counted by `verl_prpo.calibration.unread`. It is empty
            where all were read.
    """

    responses: int
    prompts: int
    segments: int
    failures: dict[str, int]
    unread: int
    unfinished: int
    quantiles: dict[float, float]
    mean: float
    std: float
    prior_mean: float
    prior_std: float
    outcomes_right: int
    outcomes_wrong: int
    mixed: int
    area_of_mean: Estimate | None
    area_of_min: Estimate | None
    area_within: Estimate | None
    steps: Labelled | None
    trust: list[Earned] = field(default_factory=list)
    unread_kinds: dict[str, int] = field(default_factory=dict)

    @property
    def varied(self) -> bool:
        """True if the scores differ at all."""
        return self.prior_std > LEAST_STD

    def as_dict(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return asdict(self)


def calibrate(
    responses: Sequence[Response],
    results: Sequence[PrmResult],
    middle: float,
    seed: int,
    windows: bool = False,
) -> Calibration:
    """Compare scores with what is known of the responses.

    Args:
        responses: responses that were scored.
        results: the PRM's result for each response.
        middle: middle of the score's range, the plain threshold for wrong steps.
        seed: seed of the bootstrap.
        windows: whether long responses were read in windows.

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
    unfinished = sum(_is_unfinished(r, result) for r, result in zip(responses, results, strict=True))
    unread = unread_kinds(responses, results, windows)
    judged = [(r, known) for r, known in read if r.right is not None]
    right = [r.right is True for r, _ in judged]
    groups = [r.group for r, _ in judged]
    means = [float(np.mean(known)) for _, known in judged]
    kinds = set(zip(groups, right, strict=True))
    return Calibration(
        responses=len(read),
        prompts=len({r.group for r, _ in read}),
        segments=len(scores),
        failures=dict(failures),
        unread=sum(unread.values()),
        unfinished=unfinished,
        quantiles={q: float(np.quantile(scores, q)) for q in QUANTILES},
        mean=float(scores.mean()),
        std=float(scores.std()),
        prior_mean=prior_mean,
        prior_std=float(np.average((scores - prior_mean) ** 2, weights=weights) ** 0.5),
        outcomes_right=sum(right),
        outcomes_wrong=len(right) - sum(right),
        mixed=len(kinds) - len(set(groups)),
        area_of_mean=auroc_with_interval(means, right, groups, seed),
        area_of_min=auroc_with_interval([min(known) for _, known in judged], right, groups, seed),
        area_within=auroc_within(means, right, groups, seed),
        steps=_labelled(responses, results, middle, seed),
        trust=earned(responses, results),
        unread_kinds=unread,
    )


def _read(result: PrmResult) -> list[float]:
    return [score for score in result.scores or () if score is not None]


def _is_unfinished(response: Response, result: PrmResult) -> bool:
    """Say whether the last segment was not judged because the response was cut off within it."""
    return response.unfinished and bool(result.scores) and (result.scores or [0.0])[-1] is None


def _lengths(response: Response, result: PrmResult) -> list[int]:
    """Return the characters of each segment that was read, at least 1."""
    scored = zip(response.segments, result.scores or (), strict=False)
    return [max(len(text), 1) for text, score in scored if score is not None]


def _labelled(responses: Sequence[Response], results: Sequence[PrmResult], middle: float, seed: int) -> Labelled | None:
    known = [
        (score, label, response.group)
        for response, result in zip(responses, results, strict=True)
        if response.step_labels is not None and result.scores is not None
        for score, label in zip(result.scores, response.step_labels, strict=True)
        if score is not None and label is not None
    ]
    if not known:
        return None
    scores, labels, groups = map(list, zip(*known, strict=True))
    right = sum(labels)
    wrong = len(labels) - right
    return Labelled(
        right,
        wrong,
        auroc(scores, labels),
        informedness(scores, labels, groups, middle, seed),
        detection(scores, labels, middle) if wrong else None,
        best_detection(scores, labels) if wrong else None,
    )
