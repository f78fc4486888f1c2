# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What is worth knowing of a response before it is opened, and which responses are worth opening."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verl_prpo.rollout_dump import Rollout

SAME = 1e-6
"""Advantages at most this far from 0 count as 0."""

LONGEST_SHARE, LONGEST_LEAST = 0.1, 10


@dataclass(frozen=True)
class Facts:
    """One response in numbers.

    Attributes:
        index: its place in the dump, counted from 0 over all steps that were read.
        step, uid: which training step and which prompt.
        right: whether the verifier accepted the answer.
        prm_mean: mean score of its segments in the PRM's units; None without scores.
        z_mean: mean process advantage of the trained tokens; None without scores.
        flip_share: share of the trained tokens, in [0, 1], whose advantage has the opposite sign of GRPO's.
        tokens, trained: length of the response, and how many of its tokens are the policy's own.
        failure: why there are no scores; None if nothing failed.
        overlong: whether the PRM could not read all of it.
        outcome: its outcome reward.
        peak: greatest size of an advantage, GRPO's included.
        scores: of the segments that have one.
        agrees: whether all responses of its group have this outcome, and there are several. GRPO's advantage is then 0
            but for rounding, which it divides by almost nothing: its sign says nothing, and no token counts as flipped.
    """

    index: int
    step: int
    uid: str
    right: bool
    prm_mean: float | None
    z_mean: float | None
    flip_share: float
    tokens: int
    trained: int
    failure: str | None
    overlong: bool
    outcome: float
    peak: float
    scores: tuple[float, ...]
    agrees: bool = False


def facts_of(rollout: "Rollout", index: int, outcome_threshold: float) -> Facts:
    """Sum up one response.

    Args:
        outcome_threshold: least verifier score of a right answer, where the dump has no accuracy (`acc`).
    """
    own = [i for i, counts in enumerate(rollout.response_mask) if counts]
    scores = tuple(float(s.score) for s in rollout.segments if s.score is not None and math.isfinite(s.score))
    advantages = [rollout.advantages[i] for i in own]
    z = [rollout.process_advantage[i] for i in own]
    flips = sum(flipped(a, rollout.grpo_advantage) for a in advantages)
    sizes = [abs(a) for a in (*advantages, rollout.grpo_advantage) if math.isfinite(a)]
    return Facts(
        index=index,
        step=rollout.step,
        uid=rollout.uid,
        right=is_right(rollout, outcome_threshold),
        prm_mean=fmean(scores) if scores else None,
        z_mean=fmean(z) if scores and z else None,
        flip_share=flips / len(own) if own else 0.0,
        tokens=len(rollout.response_mask),
        trained=len(own),
        failure=rollout.failure,
        overlong=rollout.overlong,
        outcome=rollout.outcome_reward,
        peak=max(sizes, default=0.0),
        scores=scores,
    )


def with_agreement(facts: Sequence[Facts]) -> list[Facts]:
    """The same facts with `agrees`, which only whole groups tell."""
    agreeing = {fact.index for group in by_group(facts) if _agree(group) for fact in group}
    return [replace(f, agrees=True, flip_share=0.0) if f.index in agreeing else f for f in facts]


def _agree(group: Sequence[Facts]) -> bool:
    return len(group) > 1 and len({fact.outcome for fact in group}) == 1


def flipped(advantage: float, grpo_advantage: float) -> bool:
    """Whether a token is pushed the other way than by GRPO."""
    return abs(advantage) > SAME and abs(grpo_advantage) > SAME and advantage * grpo_advantage < 0


def is_right(rollout: "Rollout", outcome_threshold: float) -> bool:
    """The verifier's verdict: its accuracy `acc` where the dump has one, else its score against a threshold."""
    accuracy: Any = rollout.outcome_parts.get("acc")
    if isinstance(accuracy, (bool, int, float)):
        return accuracy >= 0.5
    return rollout.verifier_score >= outcome_threshold


@dataclass(frozen=True)
class Filter:
    """Responses that deserve a look, the most telling first.

    Attributes:
        key: on the command line.
        name: on a button.
        rule: which responses it keeps and how it sorts them, for people.
        keeps: whether a response belongs to it.
        rank: sorts what it keeps, least first.
        share: of all responses, the most that it keeps (at least `LONGEST_LEAST`); None for no bound.
    """

    key: str
    name: str
    rule: str
    keeps: Callable[[Facts], bool]
    rank: Callable[[Facts], float]
    share: float | None = None

    def select(self, facts: Sequence[Facts]) -> list[Facts]:
        """The responses that it keeps, in its order; equals stay in the order of the dump."""
        kept = sorted(filter(self.keeps, facts), key=self.rank)
        return kept if self.share is None else kept[: max(LONGEST_LEAST, math.ceil(self.share * len(facts)))]


FILTERS = (
    Filter(
        "liked-wrong",
        "Wrong, PRM liked",
        "Wrong answers whose mean z is above 0: the PRM pushes them up. Highest mean z first.",
        lambda facts: not facts.right and (facts.z_mean or 0.0) > 0,
        lambda facts: -(facts.z_mean or 0.0),
    ),
    Filter(
        "disliked-right",
        "Right, PRM disliked",
        "Right answers whose mean z is below 0: the PRM pushes them down. Lowest mean z first.",
        lambda facts: facts.right and (facts.z_mean or 0.0) < 0,
        lambda facts: facts.z_mean or 0.0,
    ),
    Filter(
        "sign-flips",
        "Sign flips",
        "Responses with tokens that PRPO pushes the other way than GRPO. Largest share of the trained tokens first.",
        lambda facts: facts.flip_share > 0,
        lambda facts: -facts.flip_share,
    ),
    Filter(
        "failures",
        "Failures",
        "Responses without scores from the PRM, then those of which it could not read all (overlong).",
        lambda facts: facts.failure is not None or facts.overlong,
        lambda facts: 0.0 if facts.failure is not None else 1.0,
    ),
    Filter(
        "longest",
        "Longest",
        f"The longest {LONGEST_SHARE:.0%} of the responses, at least {LONGEST_LEAST}. Most tokens first.",
        lambda facts: True,
        lambda facts: -facts.tokens,
        LONGEST_SHARE,
    ),
)
"""In the order in which they are offered."""


@dataclass(frozen=True)
class Summary:
    """Responses taken together; means are None where there is nothing to take the mean of.

    Attributes:
        responses, groups, right: counts.
        prm_right, prm_wrong: mean PRM score of right and of wrong answers.
        flip_share: share of all trained tokens whose sign differs from GRPO's.
        all_equal: groups of several responses whose outcomes agree.
        failures: responses without scores that failed.
    """

    responses: int
    groups: int
    right: int
    prm_mean: float | None
    prm_right: float | None
    prm_wrong: float | None
    flip_share: float | None
    all_equal: int
    failures: int
    mean_tokens: float | None


def summary(facts: Sequence[Facts]) -> Summary:
    """Sum up several responses."""
    groups = by_group(facts)
    trained = sum(f.trained for f in facts)
    return Summary(
        responses=len(facts),
        groups=len(groups),
        right=sum(f.right for f in facts),
        prm_mean=_mean([f.prm_mean for f in facts]),
        prm_right=_mean([f.prm_mean for f in facts if f.right]),
        prm_wrong=_mean([f.prm_mean for f in facts if not f.right]),
        flip_share=sum(f.flip_share * f.trained for f in facts) / trained if trained else None,
        all_equal=sum(_agree(group) for group in groups),
        failures=sum(f.failure is not None for f in facts),
        mean_tokens=_mean([float(f.tokens) for f in facts]),
    )


def records_note(recorded: int, skipped: int) -> str:
    """How many rows of a dump could be read as responses; empty when that is all of them."""
    if not skipped:
        return ""
    why = "algorithm.prpo.dump_responses in training, 128 unless set; null records all"
    return f"{recorded} of {recorded + skipped} responses have a record ({why})"


def by_group(facts: Sequence[Facts]) -> list[list[Facts]]:
    """The responses to the same prompt of the same step together, groups in order of their first response."""
    groups: dict[tuple[int, str], list[Facts]] = {}
    for fact in facts:
        groups.setdefault((fact.step, fact.uid), []).append(fact)
    return list(groups.values())


def end_of_scale(facts: Sequence[Facts]) -> float:
    """The size of advantage at which colours end: all but one in twenty responses stay within it."""
    peaks = sorted(fact.peak for fact in facts)
    return peaks[math.ceil(0.95 * len(peaks)) - 1] or 1.0


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
