# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Facts that are worth knowing of a response before it is opened."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

from verl_prpo.outcome.verdicts import VerdictReader
from verl_prpo.viewer.report.prior import Point, Prior, find_prior

if TYPE_CHECKING:
    from verl_prpo.telemetry.rollouts.read import Rollout

SAME = 1e-6
"""Advantages at most this far from 0 count as 0."""

TELLING = 0.25
"""Least distance of a segment's z from 0 at which it speaks against a verdict, as for a verdict of the probe."""


@dataclass(frozen=True)
class Judged:
    """A segment in numbers.

    Attributes:
        score: the PRM's score. None without one.
        added: what the score added to the advantage of its first trained token.
        trained: how many of its tokens are the policy's own.
        z: the distance of its score from the prior's mean, in standard deviations. Under the credit trust, which has no
            prior, it is the distance from the mean of its group. None without a score.
    """

    score: float | None
    added: float
    trained: int
    z: float | None = None


@dataclass(frozen=True)
class Facts:
    """One response in numbers.

    Attributes:
        index: its place in the dump, counted from 0 over all steps that were read.
        step, uid: its training step and its prompt.
        right: the verdict on the answer (`verl_prpo.outcome.verdicts`). None where it is not known.
        prm_mean: mean score of its segments in the PRM's units. None without scores.
        z_mean: mean z of the trained tokens that have one. None without scores.
        a_mean: mean advantage of the trained tokens. None without any.
        grpo: the advantage that GRPO gives each of them.
        flip_share: share of the trained tokens, in [0, 1], whose advantage has the opposite sign of GRPO's.
        tokens, trained: length of the response, and how many of its tokens are the policy's own.
        failure: why there are no scores. None if nothing failed.
        overlong: whether the PRM could not read all of it.
        outcome: its outcome reward.
        peak: greatest size of an advantage, GRPO's included.
        segments: its segments in their order.
        agrees: whether all responses of its group have this verdict, and there are several.
        flat: whether all of its group have this outcome reward, and there are several. GRPO's advantage is then 0 but
            for rounding errors, which it divides by almost 0. So its sign says nothing, and no token counts as flipped.
        worst: the segment that speaks most against the verdict. For a wrong response it is the one that the PRM liked
            most, for a right one the one it disliked most. None where no segment speaks against the verdict by
            `TELLING`, or where no verdict is known.
        weight: w under the credit trust. None under another credit.
        all_equal: under that credit, whether the group counted as all-equal. In such a group, scores relative to the
            group say nothing against a verdict that all of it shares.
    """

    index: int
    step: int
    uid: str
    right: bool | None
    prm_mean: float | None
    z_mean: float | None
    a_mean: float | None
    grpo: float
    flip_share: float
    tokens: int
    trained: int
    failure: str | None
    overlong: bool
    outcome: float
    peak: float
    segments: tuple[Judged, ...]
    agrees: bool = False
    flat: bool = False
    worst: int | None = None
    weight: float | None = None
    all_equal: bool = False

    @property
    def checked(self) -> bool:
        """True if the PRM's scores of the response can be compared with its verdict."""
        return self.weight is None or not self.all_equal

    @property
    def scores(self) -> list[float]:
        """The scores of the segments that have one."""
        return [segment.score for segment in self.segments if segment.score is not None]

    @property
    def group(self) -> tuple[int, str]:
        """The key that responses to the same prompt of the same step share."""
        return self.step, self.uid

    @property
    def against(self) -> float:
        """The amount by which the PRM's mean z speaks against the verdict. 0 where it agrees or either is unknown."""
        if self.right is None or self.z_mean is None or not self.checked:
            return 0.0
        return max(0.0, -self.z_mean if self.right else self.z_mean)


@dataclass(frozen=True)
class Survey:
    """The facts of some responses, and what holds of all of them.

    Attributes:
        facts: the facts of each response, in the order of the dump.
        prior: the prior from which z is measured.
        verdicts: what decides which responses are right, in words.
        skipped: rows without a record.
        trouble: why the curves have fewer steps than they should. Empty when they have all.
    """

    facts: list[Facts]
    prior: Prior
    verdicts: str
    skipped: int = 0
    trouble: str = ""


class Surveyor:
    """Collects the facts of responses one by one. What follows only from all of them is worked out in the end.

    Args:
        prior: mean and standard deviation of the PRM's prior, where they are known beforehand.
    """

    def __init__(self, prior: tuple[float, float] | None = None) -> None:
        self._facts: list[Facts] = []
        self._said: list[tuple[float, dict]] = []
        self._recorded = prior

    def add(self, rollout: "Rollout") -> None:
        """Add the next response."""
        self._facts.append(facts_of(rollout, len(self._facts)))
        self._said.append((rollout.verifier_score, rollout.outcome_parts))
        if self._recorded is None and rollout.prior_mean is not None and rollout.prior_std is not None:
            self._recorded = (rollout.prior_mean, rollout.prior_std)

    def survey(self, threshold: float | None = None, skipped: int = 0) -> Survey:
        """Work out what holds of all responses, and return it with their facts.

        Args:
            threshold: least verifier score of a right answer, in place of the verdicts of the dump.
            skipped: rows without a record.
        """
        rewards, parts = [reward for reward, _ in self._said], [said for _, said in self._said]
        reader = VerdictReader()
        verdicts = reader.read(rewards, parts)
        words = reader.explain() if rewards else ""
        if threshold is not None:
            verdicts = replace(verdicts, right=[reward >= threshold for reward in rewards])
            words = f"a response is right from a verifier's score of {threshold:g} on (--outcome-threshold)"
        points = [
            Point(segment.score, segment.added, fact.group)
            for fact in self._facts
            for segment in fact.segments
            if segment.score is not None and segment.trained and fact.weight is None
        ]
        relative = bool(self._facts) and all(fact.weight is not None for fact in self._facts)
        prior = Prior(None, None, "relative") if relative else find_prior(points, self._recorded)
        size: dict[tuple[int, str], int] = {}
        outcomes: dict[tuple[int, str], set[float]] = {}
        for fact in self._facts:
            size[fact.group] = size.get(fact.group, 0) + 1
            outcomes.setdefault(fact.group, set()).add(fact.outcome)
        agree = verdicts.agree([fact.group for fact in self._facts])
        facts = [
            _settled(
                fact,
                prior,
                right,
                agrees=agrees and size[fact.group] > 1,
                flat=size[fact.group] > 1 and len(outcomes[fact.group]) == 1,
            )
            for fact, right, agrees in zip(self._facts, verdicts.right, agree, strict=True)
        ]
        return Survey(facts, prior, words, skipped)


def facts_of(rollout: "Rollout", index: int) -> Facts:
    """Sum up one response by itself. It has no verdict yet, and no z, which needs the prior of the whole dump."""
    own = [i for i, counts in enumerate(rollout.response_mask) if counts]
    advantages = [rollout.advantages[i] for i in own]
    flips = sum(flipped(a, rollout.grpo_advantage) for a in advantages)
    sizes = [abs(a) for a in (*advantages, rollout.grpo_advantage) if math.isfinite(a)]
    segments = []
    relative = rollout.relative_scores or [None] * len(rollout.segments)
    for segment, z in zip(rollout.segments, relative, strict=True):
        trained = [i for i in range(segment.begin, segment.end) if rollout.response_mask[i]]
        score = segment.score if segment.score is not None and math.isfinite(segment.score) else None
        segments.append(Judged(score, rollout.process_advantage[trained[0]] if trained else 0.0, len(trained), z))
    scores = [segment.score for segment in segments if segment.score is not None]
    return Facts(
        index=index,
        step=rollout.step,
        uid=rollout.uid,
        right=None,
        prm_mean=fmean(scores) if scores else None,
        z_mean=None,
        a_mean=fmean(advantages) if advantages else None,
        grpo=rollout.grpo_advantage,
        flip_share=flips / len(own) if own else 0.0,
        tokens=len(rollout.response_mask),
        trained=len(own),
        failure=rollout.failure,
        overlong=rollout.left_out,
        outcome=rollout.outcome_reward,
        peak=max(sizes, default=0.0),
        segments=tuple(segments),
        weight=rollout.process_weight,
        all_equal=rollout.all_equal,
    )


def _settled(fact: Facts, prior: Prior, right: bool | None, agrees: bool, flat: bool) -> Facts:
    segments = tuple(
        segment
        if segment.score is None or fact.weight is not None
        else replace(segment, z=prior.z(segment.score, segment.added))
        for segment in fact.segments
    )
    weighted = [(segment.z or 0.0) * segment.trained for segment in segments]
    judged = sum(segment.trained for segment in segments if segment.z is not None)
    return replace(
        fact,
        right=right,
        segments=segments,
        z_mean=sum(weighted) / judged if judged else None,
        agrees=agrees,
        flat=flat,
        flip_share=0.0 if flat else fact.flip_share,
        worst=_worst(segments, right) if fact.checked else None,
    )


def _worst(segments: Sequence[Judged], right: bool | None) -> int | None:
    if right is None:
        return None
    against = [(-1 if right else 1) * (segment.z or 0.0) if segment.trained else 0.0 for segment in segments]
    most = max(range(len(against)), key=against.__getitem__, default=None)
    return most if most is not None and against[most] > TELLING else None


def flipped(advantage: float, grpo_advantage: float) -> bool:
    """Return whether a token is pushed the other way than by GRPO."""
    return abs(advantage) > SAME and abs(grpo_advantage) > SAME and advantage * grpo_advantage < 0


def by_group(facts: Sequence[Facts]) -> list[list[Facts]]:
    """Group the responses to the same prompt of the same step, in the order of each group's first response."""
    groups: dict[tuple[int, str], list[Facts]] = {}
    for fact in facts:
        groups.setdefault(fact.group, []).append(fact)
    return list(groups.values())


def end_of_scale(sizes: Sequence[float]) -> float:
    """Return the size at which colours end. All but one in twenty stay within it."""
    ordered = sorted(sizes)
    return (ordered[math.ceil(0.95 * len(ordered)) - 1] if ordered else 0.0) or 1.0
