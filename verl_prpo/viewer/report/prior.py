# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The prior of the PRM's scores, which separates good from bad.

z and every colour of the report are measured from it.
"""

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Literal, NamedTuple

Source = Literal["record", "solved", "group", "assumed", "relative"]

UNIFORM = (0.5, 12**-0.5)
"""Mean and standard deviation of uniform scores on [0, 1]."""

TOLERANCE = 1e-3
"""Largest error of z, relative to 1 + |z|, at which scores still lie on one line."""


class Point(NamedTuple):
    """The score of one segment, and what it added to the advantage of its first trained token."""

    score: float
    added: float
    group: Hashable


@dataclass(frozen=True)
class Prior:
    """The neutral point of scores and the unit in which they are measured from it.

    Attributes:
        mean, std: mean and standard deviation in units of the score. None where every group has its own.
        source: "record" where the dump holds it, "solved" where it follows from the dump's z and scores, "group" where
            each group has its own (`algorithm.prpo.process_norm` group or group_mean), "assumed" where the dump does
            not give it, "relative" under the credit trust, where scores are compared with their group and there is no
            prior.
    """

    mean: float | None
    std: float | None
    source: Source

    def z(self, score: float, added: float) -> float:
        """Return how far a score lies from the neutral point, in standard deviations.

        Args:
            score: the PRM's score.
            added: what the score added to the advantage by the dump, which is z where every group has its own prior.
        """
        return added if self.mean is None or self.std is None else (score - self.mean) / self.std


def find_prior(points: Sequence[Point], recorded: tuple[float, float] | None = None) -> Prior:
    """Find the prior of a dump.

    Args:
        points: the points of its scored segments.
        recorded: mean and standard deviation, where the dump holds them.
    """
    if recorded is not None and all(map(math.isfinite, recorded)) and recorded[1] > 0:
        return Prior(*recorded, "record")
    finite = [point for point in points if math.isfinite(point.score) and math.isfinite(point.added)]
    line = _line(finite)
    if line is not None:
        return Prior(*line, "solved")
    groups = _by_group(finite)
    varied = [group for group in groups if len({point.score for point in group}) > 1]
    if varied and all(_line(group) is not None for group in varied):
        return Prior(None, None, "group")
    scores = [point.score for point in finite]
    if all(0 <= score <= 1 for score in scores):
        return Prior(*UNIFORM, "assumed")
    return Prior(fmean(scores), pstdev(scores) or 1.0, "assumed")


def _line(points: Sequence[Point]) -> tuple[float, float] | None:
    """Return mean and standard deviation with added = (score - mean) / std at every point, None if there are none."""
    if not points:
        return None
    low, high = min(points), max(points)
    if high.score - low.score <= 1e-6 * max(1.0, abs(high.score)) or high.added <= low.added:
        return None
    std = (high.score - low.score) / (high.added - low.added)
    mean = low.score - std * low.added
    off = max(abs((score - mean) / std - added) / (1 + abs(added)) for score, added, _ in points)
    return (mean, std) if off <= TOLERANCE else None


def _by_group(points: Iterable[Point]) -> list[list[Point]]:
    groups: dict[Hashable, list[Point]] = {}
    for point in points:
        groups.setdefault(point.group, []).append(point)
    return list(groups.values())
