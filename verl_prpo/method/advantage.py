# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""From process scores and outcome rewards to token-level advantages (PRPO, arXiv 2601.07182, section 3).

The process advantage `z` says how good each segment is, the outcome advantage `beta` how good the whole response is
within its group; PRPO shifts the first by the second. Tensors only: neither verl nor a PRM is known here. Arithmetic is
fp32 (fp64 for fp64 input), without gradients, on the device of the input; results come back in the dtype of
`process_scores`. Groups are given by `index` and nothing else; the order of rows and padding change nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Credit = Literal["prpo", "process", "outcome", "prm_avg", "prm_avg_prpo", "pure"]
CREDITS: tuple[str, ...] = ("prpo", "process", "outcome", "prm_avg", "prm_avg_prpo", "pure")
ProcessNorm = Literal["prior", "group", "group_mean"]
PROCESS_NORMS: tuple[str, ...] = ("prior", "group", "group_mean")
OutcomeNorm = Literal["mean", "mean_std"]
OUTCOME_NORMS: tuple[str, ...] = ("mean", "mean_std")

EPSILON = 1e-6
"""Added to every standard deviation that is measured on data, as verl's GRPO does."""

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
) -> Tensor:
    """Token-level advantages from segment scores and outcome rewards.

    Args:
        process_scores: float `[bs, L]`, each token's segment score r (in [0, 1] for most PRMs). Values outside the mask
            and in rows that were not scored are ignored; NaN there is harmless.
        segment_starts: bool `[bs, L]`, True at the first token of each segment (see `verl_prpo.method.segmentation`).
        outcome_rewards: float `[bs]`, outcome reward R of each response.
        response_mask: bool, int or float `[bs, L]`, 1 on the policy's own tokens.
        index: `[bs]`, group of each row (verl's uid array).
        credit: how the two signals become an advantage:
            "prpo": z + (R - group mean of R), the paper's method (section 3);
            "process": z alone (the arm that collapses in the paper);
            "outcome": the outcome advantage on every token; with `outcome_norm="mean_std"` this is verl's GRPO;
            "prm_avg": (R' - group mean) / group std with R' = R + mean segment score, on every token;
            "prm_avg_prpo": z + (R' - group mean of R');
            "pure": min-form credit of PURE (arXiv 2504.15275): return-to-go of softmin-weighted scores 2r - 1, and R,
            each less its mean over the other responses' tokens in the group. It uses neither z nor `outcome_norm`.
        process_norm: "prior" gives z = (r - prior_mean) / prior_std; "group" takes the mean and standard deviation
            (unbiased, plus 1e-6) over all valid tokens of the group, the paper's relative distribution; "group_mean"
            takes the group's mean and `prior_std` (ours: no prior mean to get wrong, and equal scores give 0, not noise
            divided by next to nothing).
        prior_mean: the prior's mean, in units of r; 0.5 for uniform scores on [0, 1].
        prior_std: the prior's standard deviation, in units of r; sqrt(1/12) for uniform scores on [0, 1].
        outcome_norm: for "prpo", "outcome" and "prm_avg_prpo": "mean" is R - group mean, 0 in a group of one (the
            paper);
            "mean_std" also divides by the group's standard deviation (unbiased, plus 1e-6) and leaves R as it is in a
            group of one (GRPO as in verl).
        scored: bool `[bs]`, rows that have process scores, or `[bs, L]`, tokens whose segment has one; all of them when
            None. In the others z is 0; they count in no segment's mean and no softmin. In rows without any the mean
            segment score is the mean over the group's scored rows (so that it neither favours nor punishes them).
            Tokens without a score get no process part of PURE. They stay out of its baseline and out of the group's
            score statistics.

    Returns:
        Tensor `[bs, L]` in the dtype of `process_scores`, exactly 0 where the mask is 0.

    Raises:
        ValueError: shapes that do not fit, a non-finite score under the mask or a non-finite outcome (with the row), an
            unknown name, or a `prior_std` that is not positive.
    """
    _choose("credit", credit, CREDITS)
    _choose("process_norm", process_norm, PROCESS_NORMS)
    _choose("outcome_norm", outcome_norm, OUTCOME_NORMS)
    if not prior_std > 0:
        raise ValueError(f"prior_std must be positive, got {prior_std}")
    with torch.no_grad():
        batch = _Batch.checked(process_scores, segment_starts, outcome_rewards, response_mask, index, scored)
        if credit in ("prm_avg", "prm_avg_prpo", "pure"):
            _require_opened_rows(batch)
        if credit in ("prm_avg", "pure"):  # these read the scores at segment starts alone
            _require_finite_scores(batch)
        if credit == "outcome":
            advantage = _on_tokens(batch, _relative_outcome(batch.rewards, batch, outcome_norm))
        elif credit == "prm_avg":
            rewards = batch.rewards + _mean_segment_score(batch)
            advantage = _on_tokens(batch, _relative_outcome(rewards, batch, "mean_std"))
        elif credit == "pure":
            advantage = _pure(batch)
        else:
            shift = torch.zeros_like(batch.rewards)
            if credit == "prpo":
                shift = _relative_outcome(batch.rewards, batch, outcome_norm)
            elif credit == "prm_avg_prpo":
                shift = _relative_outcome(batch.rewards + _mean_segment_score(batch), batch, outcome_norm)
            mean = prior_mean if process_norm == "prior" else None
            std = prior_std if process_norm != "group" else None
            advantage = _process_advantage(batch, mean, std, shift)
        advantage = advantage.to(process_scores.dtype)
        _require_finite_advantage(advantage, batch)
        return advantage


def all_equal_groups(outcome_rewards: Tensor, index: np.ndarray | Sequence) -> Tensor:
    """Rows whose group agrees on the outcome, where PRPO's outcome advantage is 0 and the process reward decides alone.

    Args:
        outcome_rewards: float `[bs]`.
        index: `[bs]`, group of each row (verl's uid array).

    Returns:
        BoolTensor `[bs]`, True in the rows of groups with a single value of R, groups of one included.
    """
    group, count = _groups(index, len(outcome_rewards), outcome_rewards.device)
    bounds = outcome_rewards.float()
    low = torch.full((count,), float("inf"), device=bounds.device).scatter_reduce(0, group, bounds, "amin")
    high = torch.full((count,), float("-inf"), device=bounds.device).scatter_reduce(0, group, bounds, "amax")
    return (low == high)[group]


@dataclass
class _Batch:
    scores: Tensor  # [bs, L], as given: not to be read outside the mask or in unscored rows
    starts: Tensor  # bool [bs, L]
    rewards: Tensor  # [bs]
    mask: Tensor  # bool [bs, L]
    group: Tensor  # long [bs]
    num_groups: int
    scored: Tensor | None  # bool [bs, 1] or [bs, L]

    @classmethod
    def checked(cls, scores, starts, rewards, response_mask, index, scored) -> "_Batch":
        if response_mask.dim() != 2:
            raise ValueError(f"response_mask must be [bs, L], got shape {tuple(response_mask.shape)}")
        bs = len(response_mask)
        for name, tensor, shape in (
            ("process_scores", scores, response_mask.shape),
            ("segment_starts", starts, response_mask.shape),
            ("outcome_rewards", rewards, (bs,)),
            ("scored", scored, response_mask.shape if scored is not None and scored.dim() == 2 else (bs,)),
        ):
            if tensor is not None and tensor.shape != shape:
                raise ValueError(
                    f"{name} has shape {tuple(tensor.shape)}, expected {tuple(shape)} to fit response_mask"
                )
        if not scores.is_floating_point():
            raise ValueError(f"process_scores must be a floating-point tensor, got {scores.dtype}")
        dtype = torch.promote_types(scores.dtype, torch.float32)
        rewards = rewards.to(dtype)
        if not rewards.isfinite().all():
            row = int((~rewards.isfinite()).nonzero()[0])
            raise ValueError(f"the outcome reward of row {row} is {rewards[row].item()}; it must be finite")
        group, num_groups = _groups(index, bs, scores.device)
        mask = response_mask if response_mask.dtype == torch.bool else response_mask != 0
        starts = starts if starts.dtype == torch.bool else starts != 0
        if scored is not None and scored.dim() == 1:
            scored = scored[:, None]
        return cls(scores.to(dtype), starts, rewards, mask, group, num_groups, scored)

    @property
    def judged(self) -> Tensor:
        """Tokens that have a score, bool `[bs, L]`."""
        return self.mask if self.scored is None else self.mask & self.scored

    def total(self, values: Tensor) -> Tensor:
        """Sum of row values `[bs]` per group, `[num_groups]`."""
        return values.new_zeros(self.num_groups).index_add_(0, self.group, values)

    def others(self, values: Tensor) -> Tensor:
        """For each row the sum of `values` over the other rows of its group, `[bs]`."""
        return self.total(values)[self.group] - values


def _on_tokens(batch: _Batch, row_values: Tensor) -> Tensor:
    return row_values[:, None] * batch.mask


def _process_advantage(batch: _Batch, mean: float | None, std: float | None, shift: Tensor) -> Tensor:
    """z + shift `[bs]` on valid tokens, 0 elsewhere; a mean or std that is None is the group's."""
    if mean is not None and std is not None:
        advantage = torch.add((shift - mean / std)[:, None], batch.scores, alpha=1.0 / std)
    else:
        # Centred before it is scaled: where all scores nearly agree, 1 / std is large enough to show rounding.
        group_mean, rest, group_std = _group_score_statistics(batch)
        scale = 1.0 / (group_std + EPSILON) if std is None else torch.full_like(group_std, 1.0 / std)
        advantage = torch.sub(batch.scores, group_mean[:, None]).mul_(scale[:, None])
        advantage.add_((shift - rest * scale)[:, None])
    if batch.scored is not None:
        advantage = torch.where(batch.scored, advantage, shift[:, None])
    return torch.where(
        batch.mask, advantage, torch.zeros((), dtype=advantage.dtype, device=advantage.device), out=advantage
    )


def _relative_outcome(rewards: Tensor, batch: _Batch, norm: OutcomeNorm) -> Tensor:
    if norm == "mean_std":
        return _standardised(rewards, batch)
    exact = rewards.double()  # [bs] only: the digits that a large common part of R would cost in fp32
    size = batch.total(torch.ones_like(exact))[batch.group]
    return (exact - batch.total(exact)[batch.group] / size).to(rewards.dtype)


def _standardised(rewards: Tensor, batch: _Batch) -> Tensor:
    """GRPO as in verl: (R - mean) / (std + epsilon) per group, with mean 0 and std 1 in a group of one.

    Where all rewards of a group nearly agree, the last digit of its mean shows; so the mean is torch's own fp32 mean of
    the group's rewards, as in verl, and the deviations from it are squared in fp64, as `torch.std` does.
    """
    order = batch.group.argsort(stable=True)
    size = torch.bincount(batch.group, minlength=batch.num_groups)
    first = size.cumsum(0) - size
    mean, std = rewards.new_zeros(batch.num_groups), rewards.new_ones(batch.num_groups)
    for n in size.unique().tolist():  # usually a single size, rollout.n
        if n > 1:
            groups = (size == n).nonzero()[:, 0]
            members = rewards[order[first[groups][:, None] + torch.arange(n, device=order.device)]]
            mean[groups] = members.mean(1)
            deviation = members.double() - mean[groups].double()[:, None]
            std[groups] = (deviation.square_().sum(1) / (n - 1)).sqrt().to(std.dtype)
    return (rewards - mean[batch.group]) / (std[batch.group] + EPSILON)


def _mean_segment_score(batch: _Batch) -> Tensor:
    opens = batch.starts & batch.judged
    count = opens.sum(1)
    mean = torch.where(opens, batch.scores, 0.0).sum(1) / count.clamp(min=1)
    judged = (count > 0).to(mean.dtype)
    rows = batch.total(judged)
    of_group = (batch.total(mean * judged) / rows.clamp(min=1))[batch.group]
    return torch.where(count > 0, mean, of_group)


def _group_score_statistics(batch: _Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of r over the group's judged tokens, what rounding left of it, and the unbiased std; one value a row `[bs]`.

    The mean is a sum of two, for where all scores nearly agree its rounding would outweigh the deviations.
    """
    judged = batch.judged
    scores = torch.where(judged, batch.scores, 0.0)
    tokens = batch.total(judged.sum(1).to(scores.dtype))
    mean = (batch.total(scores.sum(1)) / tokens.clamp(min=1))[batch.group]
    deviation = torch.where(judged, scores.sub_(mean[:, None]), 0.0)
    rest = batch.total(deviation.sum(1)) / tokens.clamp(min=1)
    variance = (batch.total(deviation.square_().sum(1)) - tokens * rest**2).clamp(min=0) / (tokens - 1).clamp(min=1)
    return mean, rest[batch.group], variance.sqrt()[batch.group]


def _pure(batch: _Batch) -> Tensor:
    opens = batch.starts & batch.judged
    segment = (batch.starts & batch.mask).cumsum(1)  # 1-based
    count = segment[:, -1:] if segment.shape[1] else segment.new_zeros(len(segment), 1)
    width = int(count.max()) + 1 if len(count) else 1
    of_segment = batch.scores.new_zeros(len(segment), width)
    rows, columns = opens.nonzero(as_tuple=True)
    of_segment[rows, segment[rows, columns]] = 2 * batch.scores[rows, columns] - 1
    real = torch.zeros_like(of_segment, dtype=torch.bool)
    real[rows, segment[rows, columns]] = True
    weight = torch.where(real, of_segment / -PURE_TEMPERATURE, float("-inf")).softmax(1)
    reward = torch.where(real, weight * of_segment, 0.0)
    process_to_go = reward.flip(1).cumsum(1).flip(1).gather(1, segment)
    process = _less_others(batch, process_to_go, batch.judged)
    return process.add_(_less_others(batch, batch.rewards[:, None].expand_as(process), batch.mask))


def _less_others(batch: _Batch, values: Tensor, where: Tensor) -> Tensor:
    """Token values less their mean over the tokens of the group's other responses; 0 outside `where`."""
    values = torch.where(where, values, 0.0)
    tokens = where.sum(1).to(values.dtype)
    baseline = batch.others(values.sum(1)) / batch.others(tokens).clamp(min=1)
    return values.sub_(baseline[:, None]).mul_(where)


def _groups(index: np.ndarray | Sequence, bs: int, device: torch.device) -> tuple[Tensor, int]:
    names = np.asarray(index.cpu() if isinstance(index, Tensor) else index)
    if names.shape != (bs,):
        raise ValueError(f"index has shape {names.shape}, expected ({bs},): one group id per row")
    unique, group = np.unique(names.astype(str) if names.dtype == object else names, return_inverse=True)
    return torch.from_numpy(group.reshape(-1)).to(device), len(unique)


def _require_finite_advantage(advantage: Tensor, batch: _Batch) -> None:
    if advantage.sum().isfinite():  # one pass; the rest only to name the row
        return
    _require_finite_scores(batch)
    if not advantage.isfinite().all():
        raise ValueError(
            f"the advantages overflow {advantage.dtype}; check process scores, outcome rewards and prior_std"
        )


def _require_finite_scores(batch: _Batch) -> None:
    if torch.where(batch.judged, batch.scores, 0.0).sum().isfinite():
        return
    bad = batch.judged & ~batch.scores.isfinite()
    if bad.any():
        row, column = bad.nonzero()[0].tolist()
        score = batch.scores[row, column].item()
        raise ValueError(
            f"the process score of row {row}, token {column} is {score}; every valid token needs a finite score"
        )


def _require_opened_rows(batch: _Batch) -> None:
    if not batch.mask.numel():
        return
    judged = batch.judged
    first = judged.byte().argmax(1, keepdim=True)
    unopened = (judged.gather(1, first) & ~batch.starts.gather(1, first))[:, 0]
    if unopened.any():
        row = int(unopened.nonzero()[0, 0])
        raise ValueError(
            f"segment_starts opens no segment at token {int(first[row, 0])}, the first valid token of row {row}; "
            "use a segmenter of verl_prpo.method.segmentation under the same response_mask"
        )


def _choose(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"unknown {name} {value!r}; choose one of {', '.join(allowed)}")
