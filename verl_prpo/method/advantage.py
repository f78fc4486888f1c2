# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Turn process scores and outcome rewards into token-level advantages (PRPO, arXiv 2601.07182, section 3).

    z_t  = (r_t - mean) / std        process advantage: how good the segment of token t is
    beta = R - group mean of R       outcome advantage: how good the whole response is within its group
    A_t  = z_t + beta                PRPO: the outcome shifts the location of the process advantages

The credit "trust" is ours. It is GRPO where the outcome can rank a group's responses. Where it cannot, because all of
them are right or all of them are wrong, the process advantage takes its place with a weight that it has to earn:

    A_t = (R - mean) / std           in mixed groups, as in GRPO
    A_t = w (r_t - group mean) / s   in all-equal groups besides, where s is the std of r inside groups over the batch

One function stands for each symbol, and one for each credit in the table `_CREDITS`. This module works on tensors only
and knows neither verl nor a PRM. Arithmetic is fp32 (fp64 for fp64 input), without gradients, on the device of the
input. Results come back in the dtype of `process_scores`. Groups are given by `index` and nothing else. The order of
rows and padding change nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from verl_prpo.method.groups import EPSILON, Groups, all_equal_groups
from verl_prpo.method.validate import (
    checked_batch,
    checked_weight,
    require_finite_advantage,
    require_finite_scores,
    require_known,
    require_opened_rows,
    require_prior,
)

Credit = Literal["prpo", "process", "outcome", "prm_avg", "prm_avg_prpo", "pure", "trust"]
ProcessNorm = Literal["prior", "group", "group_mean"]
OutcomeNorm = Literal["mean", "mean_std"]
CREDITS: tuple[str, ...] = get_args(Credit)
PROCESS_NORMS: tuple[str, ...] = get_args(ProcessNorm)
OUTCOME_NORMS: tuple[str, ...] = get_args(OutcomeNorm)

PURE_TEMPERATURE = 0.1
"""Temperature of PURE's softmin over a response's segments."""


def prpo_advantage(
    process_scores: Tensor,
    segment_starts: Tensor,
    outcome_rewards: Tensor,
    response_mask: Tensor,
    index: np.ndarray | Sequence,
    *,
    credit: Credit = "prpo",
    process_norm: ProcessNorm = "prior",
    prior_mean: float = 0.5,
    prior_std: float = 12**-0.5,
    outcome_norm: OutcomeNorm = "mean",
    scored: Tensor | None = None,
    process_weight: float | Tensor = 1.0,
    agree: Tensor | None = None,
) -> Tensor:
    """Token-level advantages from segment scores and outcome rewards.

    Args:
        process_scores: float `[bs, L]`, each token's segment score r (in [0, 1] for most PRMs). Values outside the mask
            and in rows that were not scored are ignored. NaN there is harmless.
        segment_starts: bool `[bs, L]`, True at the first token of each segment (see `verl_prpo.method.segmentation`).
        outcome_rewards: float `[bs]`, outcome reward R of each response.
        response_mask: bool, int or float `[bs, L]`, 1 on the policy's own tokens.
        index: `[bs]`, group of each row (verl's uid array).
        credit: how the two signals become an advantage:
            "prpo": z + (R - group mean of R), the paper's method (section 3).
            "process": z alone (the arm that collapses in the paper).
            "outcome": the outcome advantage on every token. With `outcome_norm="mean_std"` this is verl's GRPO.
            "prm_avg": (R' - group mean) / group std with R' = R + mean segment score, on every token.
            "prm_avg_prpo": z + (R' - group mean of R').
            "pure": min-form credit of PURE (arXiv 2504.15275). It adds the return-to-go of softmin-weighted scores
            2r - 1 and R, each less its mean over the other responses' tokens in the group. It uses neither z nor
            `outcome_norm`.
            "trust": (R - group mean) / group std as in verl's GRPO. In the groups that `agree` names it adds
            `process_weight` times (r - group mean of r) / s. It uses no prior and no `outcome_norm`.
        process_norm: how r becomes z:
            "prior": z = (r - prior_mean) / prior_std.
            "group": the mean and the standard deviation (unbiased, plus 1e-6) are those over all valid tokens of the
            group, the paper's relative distribution.
            "group_mean": the mean is the group's, and the standard deviation is `prior_std`. This one is ours. It has
            no prior mean to get wrong, and equal scores give 0, not noise divided by next to nothing.
        prior_mean: the prior's mean, in units of r. It is 0.5 for uniform scores on [0, 1].
        prior_std: the prior's standard deviation, in units of r. It is sqrt(1/12) for uniform scores on [0, 1].
        outcome_norm: how R becomes beta, for "prpo", "outcome" and "prm_avg_prpo":
            "mean": R - group mean, 0 in a group of one (the paper).
            "mean_std": it also divides by the group's standard deviation (unbiased, plus 1e-6). In a group of one it
            leaves R as it is (GRPO as in verl).
        scored: bool `[bs]`, rows that have process scores, or bool `[bs, L]`, tokens whose segment has one. None means
            all of them. Unscored tokens get z = 0 and are left out of every mean and softmin. In rows without any score
            the mean segment score is the mean over the group's scored rows, so it neither favours nor punishes them.
            Unscored tokens get no process part of PURE. They stay out of its baseline and out of the group's score
            statistics.
        process_weight: w of the credit "trust", in [0, 1] for all rows, or float `[bs]` for each of them (see
            `verl_prpo.method.trust`). With 0 the result is verl's GRPO bit for bit.
        agree: bool `[bs]`, for the credit "trust", rows whose group has one verdict. When it is None, they are the rows
            whose group has one outcome reward.

    Returns:
        Tensor `[bs, L]` in the dtype of `process_scores`, exactly 0 where the mask is 0.

    Raises:
        ValueError: shapes that do not fit, a non-finite score under the mask or a non-finite outcome (with the row), an
            unknown name, a `prior_std` that is not positive, or a `process_weight` that is negative or not finite.

    Example:
        A group has two responses. The first is right, and its second segment is poor. The second is wrong.

        >>> import torch
        >>> from verl_prpo import prpo_advantage
        >>> scores = torch.tensor([[0.9, 0.9, 0.1, 0.1], [0.3, 0.3, 0.3, 0.0]])
        >>> starts = torch.tensor([[1, 0, 1, 0], [1, 0, 0, 0]]).bool()
        >>> mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
        >>> prpo_advantage(scores, starts, torch.tensor([1.0, -1.0]), mask, ["a", "a"], prior_std=0.4)
        tensor([[ 2.0000,  2.0000,  0.0000,  0.0000],
                [-1.5000, -1.5000, -1.5000,  0.0000]])
    """
    require_known("credit", credit, CREDITS)
    require_known("process_norm", process_norm, PROCESS_NORMS)
    require_known("outcome_norm", outcome_norm, OUTCOME_NORMS)
    require_prior(prior_mean, prior_std)
    with torch.no_grad():
        scores, starts, rewards, mask, scored = checked_batch(
            process_scores, segment_starts, outcome_rewards, response_mask, scored
        )
        groups = Groups.of(index, len(mask), scores.device)
        prior = (prior_mean, prior_std)
        batch = _Batch(scores, starts, rewards, mask, groups, scored, process_norm, prior, outcome_norm)
        if credit == "trust":
            require_finite_scores(scores, batch.judged)
            batch.process_weight = checked_weight(process_weight, rewards)
            batch.agree = all_equal_groups(rewards, index) if agree is None else agree.to(mask.device) != 0
        if credit in _READ_AT_STARTS:
            require_opened_rows(starts, batch.judged)
            require_finite_scores(scores, batch.judged)
        advantage = _CREDITS[credit](batch)
        advantage = torch.where(mask, advantage, advantage.new_zeros(())).to(process_scores.dtype)
        require_finite_advantage(advantage, scores, batch.judged)
        return advantage


@dataclass
class _Batch:
    scores: Tensor  # r, [bs, L], as given: not to be read outside the mask or where there is no score
    starts: Tensor  # bool [bs, L]
    rewards: Tensor  # R, [bs]
    mask: Tensor  # bool [bs, L]
    groups: Groups
    scored: Tensor | None  # bool [bs, 1] or [bs, L]
    process_norm: ProcessNorm
    prior: tuple[float, float]  # mean and std
    outcome_norm: OutcomeNorm
    process_weight: Tensor | None = None  # w, [bs], of the credit "trust"
    agree: Tensor | None = None  # bool [bs], rows of groups that the outcome cannot rank

    @property
    def judged(self) -> Tensor:
        """Tokens that have a score, bool `[bs, L]`."""
        return self.mask if self.scored is None else self.mask & self.scored


# The symbols


def _process_advantage(batch: _Batch) -> Tensor:
    """Compute z, `[bs, L]`: the scores less a mean, divided by a standard deviation, and 0 without a score."""
    mean, std = batch.prior
    if batch.process_norm == "prior":
        z = torch.sub(batch.scores, mean).div_(std)
    else:
        group_mean, rest, group_std = _group_score_statistics(batch)
        scale = group_std + EPSILON if batch.process_norm == "group" else torch.full_like(group_std, std)
        z = torch.sub(batch.scores, group_mean[:, None]).sub_(rest[:, None]).div_(scale[:, None])
    return z if batch.scored is None else z.masked_fill_(~batch.scored, 0.0)


def _process_advantage_in_group(batch: _Batch) -> Tensor:
    """Compute (r - group mean of r) / s, `[bs, L]`, where s is the std of r inside the batch's groups.

    It is 0 where there is no score. Each group is compared with itself, and the scale is that of the batch. So small
    differences inside a group stay small.
    """
    judged = batch.judged
    mean, rest, _ = _group_score_statistics(batch)
    deviation = torch.where(judged, batch.scores, 0.0).sub_(mean[:, None]).sub_(rest[:, None])
    deviation = torch.where(judged, deviation, 0.0)
    tokens = judged.sum().clamp(min=1)
    s = (deviation.double().square().sum() / tokens).sqrt().to(deviation.dtype)
    return deviation.div_(s + EPSILON)


def _outcome_advantage(batch: _Batch, rewards: Tensor) -> Tensor:
    """Compute beta, `[bs]`: the outcome rewards relative to their group."""
    return batch.groups.centred(rewards) if batch.outcome_norm == "mean" else batch.groups.standardised(rewards)


def _location_shift(z: Tensor, beta: Tensor) -> Tensor:
    """Add z + beta, `[bs, L]`: the process advantages keep shape and spread, and the outcome moves their location."""
    return z.add_(beta[:, None])


def _mean_segment_score(batch: _Batch) -> Tensor:
    """Average r over a response's segments, `[bs]`. A response without scores gets the mean of its group."""
    opens = batch.starts & batch.judged
    count = opens.sum(1)
    mean = torch.where(opens, batch.scores, 0.0).sum(1) / count.clamp(min=1)
    judged = (count > 0).to(mean.dtype)
    of_group = batch.groups.sums(mean * judged) / batch.groups.sums(judged).clamp(min=1)
    return torch.where(count > 0, mean, of_group)


def _group_score_statistics(batch: _Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Give the mean of r over the group's judged tokens, what rounding left of it, and the unbiased std, each `[bs]`.

    The mean is the sum of the first two. Where all scores nearly agree, the rounding of the mean would outweigh the
    deviations.
    """
    judged, groups = batch.judged, batch.groups
    scores = torch.where(judged, batch.scores, 0.0)
    tokens = groups.sums(judged.sum(1).to(scores.dtype))
    mean = groups.sums(scores.sum(1)) / tokens.clamp(min=1)
    deviation = torch.where(judged, scores.sub_(mean[:, None]), 0.0)
    rest = groups.sums(deviation.sum(1)) / tokens.clamp(min=1)
    squares = groups.sums(deviation.square_().sum(1))
    variance = (squares - tokens * rest**2).clamp(min=0) / (tokens - 1).clamp(min=1)
    return mean, rest, variance.sqrt()


# The credits


def _prpo(batch: _Batch) -> Tensor:
    return _location_shift(_process_advantage(batch), _outcome_advantage(batch, batch.rewards))


def _outcome(batch: _Batch) -> Tensor:
    rewards, groups = batch.rewards, batch.groups
    beta = groups.centred(rewards) if batch.outcome_norm == "mean" else groups.standardised(rewards, as_verl=True)
    return beta[:, None].expand_as(batch.scores)


def _trust(batch: _Batch) -> Tensor:
    rewards, groups = batch.rewards, batch.groups
    assert batch.process_weight is not None and batch.agree is not None
    beta = groups.standardised(rewards, as_verl=True)
    weight = torch.where(batch.agree, batch.process_weight, 0.0)
    if not weight.any():
        return beta[:, None].expand_as(batch.scores)
    return _process_advantage_in_group(batch).mul_(weight[:, None]).add_(beta[:, None])


def _prm_avg(batch: _Batch) -> Tensor:
    return batch.groups.standardised(batch.rewards + _mean_segment_score(batch))[:, None].expand_as(batch.scores)


def _prm_avg_prpo(batch: _Batch) -> Tensor:
    return _location_shift(
        _process_advantage(batch), _outcome_advantage(batch, batch.rewards + _mean_segment_score(batch))
    )


def _pure(batch: _Batch) -> Tensor:
    process = _less_others(batch, _return_to_go(batch), batch.judged)
    outcome = _less_others(batch, batch.rewards[:, None].expand_as(process), batch.mask)
    return process.add_(outcome)


def _return_to_go(batch: _Batch) -> Tensor:
    """Compute PURE's process part, `[bs, L]`: softmin-weighted scores 2r - 1, summed from a token's segment on."""
    opens = batch.starts & batch.judged
    segment = (batch.starts & batch.mask).cumsum(1)  # 1-based
    width = int(segment.max()) + 1 if segment.numel() else 1
    rows, columns = opens.nonzero(as_tuple=True)
    scores = batch.scores.new_zeros(len(segment), width)
    scores[rows, segment[rows, columns]] = 2 * batch.scores[rows, columns] - 1
    real = torch.zeros_like(scores, dtype=torch.bool)
    real[rows, segment[rows, columns]] = True
    weight = torch.where(real, scores / -PURE_TEMPERATURE, float("-inf")).softmax(1)
    reward = torch.where(real, weight * scores, 0.0)
    return reward.flip(1).cumsum(1).flip(1).gather(1, segment)


def _less_others(batch: _Batch, values: Tensor, where: Tensor) -> Tensor:
    """Subtract from token values their mean over the tokens of the group's other responses. 0 outside `where`."""
    values = torch.where(where, values, 0.0)
    total, tokens = values.sum(1), where.sum(1).to(values.dtype)
    others = (batch.groups.sums(total) - total) / (batch.groups.sums(tokens) - tokens).clamp(min=1)
    return values.sub_(others[:, None]).mul_(where)


_CREDITS: dict[str, Callable[[_Batch], Tensor]] = {
    "prpo": _prpo,
    "process": _process_advantage,
    "outcome": _outcome,
    "prm_avg": _prm_avg,
    "prm_avg_prpo": _prm_avg_prpo,
    "pure": _pure,
    "trust": _trust,
}
_READ_AT_STARTS = ("prm_avg", "prm_avg_prpo", "pure")
"""Credits that read the scores at segment starts."""
