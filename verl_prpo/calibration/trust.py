# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The weight that `credit=trust` would give a PRM, measured on scored responses before training, and why it is 0."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from verl_prpo.method.trust import STANDARD_ERRORS, agreement

if TYPE_CHECKING:
    from verl_prpo.calibration.response import Response
    from verl_prpo.prm.results import PrmResult

LEAST_GROUPS = int(STANDARD_ERRORS**2) + 1
"""The number of mixed groups with which a PRM can earn a weight at all.

Of G groups rho is at most sqrt(G) standard errors.
"""

NORMAL = 1.96
"""The standard errors on either side of rho in its interval.

They do not take off what groups have in common, so the interval is rather too wide than too narrow.
"""


@dataclass(frozen=True)
class Earned:
    """What `process_weight=auto` would give a PRM on the responses of one data source.

    Attributes:
        data_source: name of the data source, empty where the input names none.
        weight: w, in [0, 1].
        correlation: rho, of mean score and outcome inside mixed groups. It is None where nothing can be measured.
        standard_error: standard error of rho, with groups as the units. It is None where rho is.
        low, high: rho less and plus `NORMAL` standard errors, within [0, 1]. w nears a value between them as evidence
            grows. Both are None where rho is.
        mixed_groups: number of prompts with right and with wrong scored responses.
        more_groups: how many more mixed groups w needs to leave 0. It is None where w has left 0, and where more groups
            would not do.
        reason: why w is 0, empty where it is not.
    """

    data_source: str
    weight: float
    correlation: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    mixed_groups: int
    more_groups: int | None
    reason: str

    def __str__(self) -> str:
        on = f" on {self.data_source}" if self.data_source else " on your policy"
        if self.reason:
            return f"auto would weigh this PRM 0{on}, and training would be GRPO: {self.reason}"
        return (
            f"auto would weigh this PRM {self.weight:.2f}{on}, nearing {self.correlation:.2f} [{self.low:.2f}, "
            f"{self.high:.2f}] as evidence grows (rho over {self.mixed_groups} mixed groups)"
        )


def earned(responses: "Sequence[Response]", results: "Sequence[PrmResult]") -> list[Earned]:
    """Return the weight on each data source, in the order in which the sources come.

    Args:
        responses: responses that were scored.
        results: the PRM's result for each response.
    """
    sources: dict[str, list[tuple[Response, float | None]]] = {}
    for response, result in zip(responses, results, strict=True):
        sources.setdefault(response.data_source, []).append((response, _mean(response, result)))
    return [_of_source(source, members) for source, members in sources.items()]


def _mean(response: "Response", result: "PrmResult") -> float | None:
    """Return the mean score over what was read of a response.

    A segment counts by its characters, as it does by its tokens in training.
    """
    known = [
        (score, max(len(text), 1))
        for text, score in zip(response.segments, result.scores or (), strict=False)
        if score is not None and math.isfinite(score)
    ]
    return float(np.average([score for score, _ in known], weights=[size for _, size in known])) if known else None


def _of_source(source: str, members: "Sequence[tuple[Response, float | None]]") -> Earned:
    means = torch.tensor([[0.0 if mean is None else mean] for _, mean in members], dtype=torch.float64)
    found = agreement(
        means,
        torch.tensor([math.nan if response.right is None else float(response.right) for response, _ in members]),
        torch.ones_like(means),
        np.array([response.group for response, _ in members], dtype=object),
        scored=torch.tensor([mean is not None for _, mean in members]),
        left_out=torch.tensor([response.truncated for response, _ in members]),
    )
    groups, rho, error = round(found.groups), found.correlation, found.standard_error
    if not math.isfinite(error):
        reason = _nothing([response for response, mean in members if mean is not None], groups)
        return Earned(source, 0.0, None, None, None, None, groups, None if groups else LEAST_GROUPS, reason)
    low, high = (min(1.0, max(0.0, rho + side * NORMAL * error)) for side in (-1, 1))
    more, reason = (None, "") if found.weight > 0 else _too_little(groups, rho, error)
    return Earned(source, found.weight, rho, error, low, high, groups, more, reason)


def _nothing(scored: "Sequence[Response]", groups: int) -> str:
    """Say why nothing can be measured."""
    if not scored:
        return "no response has a score"
    known = [response for response in scored if response.right is not None]
    if not known:
        if all(response.outcome is None and not response.parts for response in scored):
            return "the input has no outcomes, neither acc nor outcome (score), so nothing can check the PRM"
        return (
            "the outcomes do not say which responses are right, so nothing can check the PRM: acc is missing, and a "
            "reward without it must have two values. --outcome-threshold sets what is right"
        )
    usable = [response for response in known if not response.truncated]
    if not usable:
        return "all responses with an outcome were cut off by a length limit, and those say nothing"
    if groups:
        return f"in each of {groups} mixed groups all responses have the same mean score"
    prompts = len({response.group for response in usable})
    if prompts == len(usable):
        return f"each of {prompts} prompts has a single response, and trust needs right and wrong ones to one prompt"
    right = sum(response.right is True for response in usable)
    kind = "right" if right == len(usable) else "wrong" if right == 0 else ""
    all_of = f"all {len(usable)} responses are {kind}, so " if kind else ""
    return (
        f"{all_of}none of {prompts} prompts has right and wrong responses. At least {LEAST_GROUPS} such prompts are "
        "needed"
    )


def _too_little(groups: int, rho: float, error: float) -> tuple[int | None, str]:
    """Return how many more mixed groups would give a weight, and the reason why there is none."""
    seen = f"rho is {rho:.2f} [{rho - NORMAL * error:.2f}, {rho + NORMAL * error:.2f}] over {groups} mixed groups"
    lacking = max(0, LEAST_GROUPS - groups)
    if groups > 1 and rho + NORMAL * error < 0:
        return None, f"{seen}: wrong responses score higher. See with verl-prpo doctor whether reward.prm.family fits"
    if groups > 1 and rho > NORMAL * error:
        more = max(lacking, math.floor(groups * (STANDARD_ERRORS * error / rho) ** 2) + 1 - groups)
        return more, (
            f"{seen}, and w is rho less {STANDARD_ERRORS:g} standard errors. Should rho stay, about {more} more "
            "prompts with right and wrong answers would give it a weight"
        )
    if lacking:
        return lacking, (
            f"{seen}, and fewer than {LEAST_GROUPS} earn nothing: at least {lacking} more prompts with right and wrong "
            "answers"
        )
    return None, f"{seen}: the correlation is not above chance"
