# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Measure how much of the process advantage a run has earned, where outcomes can check it (`credit=trust`).

A mixed group has right and wrong responses. There the outcome says which responses are better, and this module measures
whether the PRM would have said the same:

    x_i = m_i - group mean of m      m_i: mean process score of response i, over its scored tokens
    a_i = (y_i - group mean) / std   y_i: 1 for a right response, 0 for a wrong one
    rho = sum(x a) / sqrt(sum(x^2) sum(a^2))                the correlation inside groups, over all mixed groups
    se  = sqrt(sum over groups of sum(x a)^2) / sqrt(sum(x^2) sum(a^2))
    w   = rho - 4 se, within [0, 1]

By linear regression `rho` times a process advantage of unit variance predicts an outcome advantage of unit variance.
`w` is what is left of `rho` after chance is allowed for. Three choices make `w` hard to fool:

1. It uses the mean score, not whether some segment is flagged. If a PRM scores at random, the mean score has the same
   expectation for long and for short responses.
2. Groups are the independent units, because responses to one prompt share its errors. With fewer than seventeen mixed
   groups no PRM can earn a weight.
3. Responses that were cut off are left out, because their outcome says nothing of their steps.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import torch
from torch import Tensor

from verl_prpo.method.groups import Groups

STANDARD_ERRORS = 4.0
"""Standard errors by which rho must exceed 0 before the process advantage has any weight."""
DECAY = 0.9
"""How much a step's sums count in the next step. About ten steps are remembered."""


@dataclass(frozen=True)
class Agreement:
    """Sums over mixed groups that say how process scores and outcomes agree. They can be added and decayed.

    Attributes:
        cross: sum of x a.
        scores: sum of x^2.
        verdicts: sum of a^2, which is the number of responses.
        cross_squared: sum over groups of (sum of x a)^2.
        groups: number of mixed groups.
    """

    cross: float = 0.0
    scores: float = 0.0
    verdicts: float = 0.0
    cross_squared: float = 0.0
    groups: float = 0.0

    def __add__(self, other: "Agreement") -> "Agreement":
        mine, theirs = asdict(self), asdict(other)
        return Agreement(**{name: mine[name] + theirs[name] for name in mine})

    def decayed(self, decay: float = DECAY) -> "Agreement":
        """Give what counts a step later. The variance of a sum decays with the square."""
        return Agreement(
            decay * self.cross,
            decay * self.scores,
            decay * self.verdicts,
            decay**2 * self.cross_squared,
            decay * self.groups,
        )

    @property
    def correlation(self) -> float:
        """rho, in [-1, 1]. It is 0 where nothing was measured."""
        return self.cross / self._scale if self._scale else 0.0

    @property
    def standard_error(self) -> float:
        """Standard error of rho, with groups as the independent units. It is infinite where nothing was measured."""
        return math.sqrt(self.cross_squared) / self._scale if self._scale else math.inf

    @property
    def weight(self) -> float:
        """w, in [0, 1]: the weight that the process advantage has earned."""
        if not self._scale:
            return 0.0
        return min(1.0, max(0.0, self.correlation - STANDARD_ERRORS * self.standard_error))

    @property
    def _scale(self) -> float:
        return math.sqrt(self.scores * self.verdicts)


def agreement(
    process_scores: Tensor,
    right: Tensor,
    response_mask: Tensor,
    index: np.ndarray | Sequence,
    *,
    scored: Tensor | None = None,
    left_out: Tensor | None = None,
) -> Agreement:
    """Compare the process scores of a batch with its outcomes, group by group.

    Args:
        process_scores: float `[bs, L]`, each token's segment score, in any unit. A token without one is ignored.
        right: float `[bs]`, 1 for a right response, 0 for a wrong one, NaN where nothing says which.
        response_mask: bool, int or float `[bs, L]`.
        index: `[bs]`, group of each row (verl's uid array).
        scored: bool `[bs]` or `[bs, L]`, rows or tokens that have a process score. None means all of them.
        left_out: bool `[bs]`, rows to leave out, such as responses cut off by a length limit.

    Returns:
        The sums over its mixed groups. A row without any score or verdict, or one left out, is no part of a group.
    """
    with torch.no_grad():
        bs = len(response_mask)
        judged = response_mask != 0
        if scored is not None:
            judged = judged & (scored != 0).view(bs, -1)
        tokens = judged.sum(1).double()
        mean = torch.where(judged, process_scores, 0.0).double().sum(1) / tokens.clamp(min=1)
        usable = (tokens > 0) & ~right.isnan().to(tokens.device)
        if left_out is not None:
            usable &= ~(left_out != 0).to(tokens.device)
        groups = Groups.of(index, bs, tokens.device)
        one = usable.double()
        y = torch.where(usable, right.to(mean), 0.0)
        size = groups.sums(one).clamp(min=1)
        share = groups.sums(y) / size
        std = (share * (1 - share)).sqrt()
        mixed = usable & (std > 0)
        x = torch.where(mixed, mean - groups.sums(mean * one) / size, 0.0)
        x = torch.where(x.abs() <= 1e-9 * mean.abs(), 0.0, x)  # the scores are equal, but for rounding
        a = torch.where(mixed, (y - share) / std.clamp(min=1e-9), 0.0)
        of_group = x.new_zeros(groups.count).index_add_(0, groups.of_row, x * a)
        is_mixed = x.new_zeros(groups.count).index_fill_(0, groups.of_row[mixed], 1.0)
        return Agreement(
            cross=of_group.sum().item(),
            scores=(x * x).sum().item(),
            verdicts=(a * a).sum().item(),
            cross_squared=(of_group * of_group).sum().item(),
            groups=is_mixed.sum().item(),
        )


class Trust:
    """The trust of a run in its PRM, for each data source: sums over its steps, in which older steps count less."""

    def __init__(self) -> None:
        self.of: dict[str, Agreement] = {}
        self._step: int | None = None
        self._seen: set[object] = set()

    def observe(self, step: int, batch: object, found: dict[str, Agreement]) -> None:
        """Take up what a batch showed.

        Args:
            step: of the training. Further batches of a step add to its sums. A new step lets the older ones fade.
            batch: what identifies the batch. A batch that comes again in its step counts once.
            found: sums of the batch by data source.
        """
        if step != self._step:
            self.of = {source: sums.decayed() for source, sums in self.of.items()}
            self._step, self._seen = step, set()
        if batch in self._seen:
            return
        self._seen.add(batch)
        for source, sums in found.items():
            self.of[source] = self.of.get(source, Agreement()) + sums

    def weight(self, source: str) -> float:
        """Give w for a data source, in [0, 1]. It is 0 for a source that has not been seen."""
        return self.of.get(source, Agreement()).weight

    def state(self) -> dict[str, dict[str, float]]:
        """Give what a checkpoint keeps."""
        return {source: asdict(sums) for source, sums in self.of.items()}

    def restore(self, state: dict[str, dict[str, float]]) -> None:
        """Take up what `state` gave.

        Raises:
            ValueError: `state` holds something else.
        """
        names = {field.name for field in fields(Agreement)}
        for source, sums in state.items():
            if not isinstance(sums, dict) or sums.keys() != names or not all(map(math.isfinite, sums.values())):
                raise ValueError(f"the sums of {source!r} are {sums!r}; expected finite {', '.join(sorted(names))}")
        self.of = {source: Agreement(**sums) for source, sums in state.items()}
        self._step, self._seen = None, set()
