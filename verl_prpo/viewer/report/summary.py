# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Responses taken together: the numbers above a report, and the points of its curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from verl_prpo.viewer.report.facts import Facts, by_group


@dataclass(frozen=True)
class Summary:
    """Responses taken together. Means are None where there is nothing to take the mean of.

    Attributes:
        responses, groups: counts.
        right, wrong, unknown: responses by verdict.
        prm_right, prm_wrong: mean PRM score of right and of wrong answers.
        ranked: share of the pairs of a right and a wrong response, in [0, 1], in which the PRM's mean score is higher
            for the right one, ties counted half. 0.5 is chance.
        liked_wrong: wrong responses whose mean z is above 0. Under the credit trust, only mixed groups count.
        disliked_right: right responses whose mean z is below 0. Under the credit trust, only mixed groups count.
        checked_right, checked_wrong: the right and the wrong responses that these two are counted among. They are all
            of them but under the credit trust.
        flip_share: share of all trained tokens whose sign differs from GRPO's.
        flip_responses: responses with such tokens.
        all_equal: groups of several responses with one verdict.
        failures: responses without scores that failed.
        segments: mean number of them in a response.
    """

    responses: int
    groups: int
    right: int
    wrong: int
    unknown: int
    prm_mean: float | None
    prm_right: float | None
    prm_wrong: float | None
    ranked: float | None
    liked_wrong: int
    disliked_right: int
    checked_right: int
    checked_wrong: int
    flip_share: float | None
    flip_responses: int
    all_equal: int
    failures: int
    overlong: int
    segments: float | None
    mean_tokens: float | None


def summary(facts: Sequence[Facts]) -> Summary:
    """Sum up several responses."""
    from verl_prpo.calibration.agreement import auroc

    groups = by_group(facts)
    trained = sum(f.trained for f in facts)
    right, wrong = ([f for f in facts if f.right is verdict] for verdict in (True, False))
    ranked = [(f.prm_mean, f.right) for f in facts if f.prm_mean is not None and f.right is not None]
    return Summary(
        responses=len(facts),
        groups=len(groups),
        right=len(right),
        wrong=len(wrong),
        unknown=len(facts) - len(right) - len(wrong),
        prm_mean=_mean([f.prm_mean for f in facts]),
        prm_right=_mean([f.prm_mean for f in right]),
        prm_wrong=_mean([f.prm_mean for f in wrong]),
        ranked=auroc([score for score, _ in ranked], [verdict for _, verdict in ranked]) if ranked else None,
        liked_wrong=sum(f.against > 0 for f in wrong),
        disliked_right=sum(f.against > 0 for f in right),
        checked_right=sum(f.checked for f in right),
        checked_wrong=sum(f.checked for f in wrong),
        flip_share=sum(f.flip_share * f.trained for f in facts) / trained if trained else None,
        flip_responses=sum(f.flip_share > 0 for f in facts),
        all_equal=sum(group[0].agrees for group in groups),
        failures=sum(f.failure is not None for f in facts),
        overlong=sum(f.overlong for f in facts),
        segments=_mean([float(len(f.segments)) for f in facts]),
        mean_tokens=_mean([float(f.tokens) for f in facts]),
    )


def by_step(facts: Sequence[Facts]) -> dict[int, list[Facts]]:
    """Group the responses by step."""
    steps: dict[int, list[Facts]] = {}
    for fact in facts:
        steps.setdefault(fact.step, []).append(fact)
    return steps


def records_note(recorded: int, skipped: int) -> str:
    """Say how many rows of a dump have a record, or return "" when all of them do."""
    if not skipped:
        return ""
    why = "algorithm.prpo.dump_responses in training, 128 unless set; null records all"
    return f"{recorded} of {recorded + skipped} responses have a record ({why})"


def share(part: int, whole: int) -> str:
    """Write a part of a whole in percent, or "none" where the whole is 0."""
    return f"{part / whole:.0%}" if whole else "none"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
