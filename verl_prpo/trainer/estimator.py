# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The advantage estimator `prpo`: from verl's estimator signature to `verl_prpo.method.advantage`.

verl hands a custom estimator rewards, mask, uids and the `algorithm` section, and nothing else. The process scores come
through `handed_over`, which the trainer opens around verl's own call.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from verl_prpo.method.advantage import all_equal_groups, prpo_advantage
from verl_prpo.method.segmentation import restrict_segments
from verl_prpo.settings.prpo import ConfigError, PrpoConfig, needs_prm, prpo_config


@dataclass
class OutcomeRewards:
    """What verl's estimator call does not say of the outcomes of one batch, row for row.

    Attributes:
        before_kl: float `[bs]`, the reward manager's rewards, without the penalty of `algorithm.use_kl_in_reward`.
        agree: bool `[bs]`, rows whose group has one verdict (`verl_prpo.outcome.verdicts`).
        truncated: bool `[bs]`, rows that were cut off by a length limit.
    """

    before_kl: Tensor
    agree: Tensor
    truncated: Tensor


@dataclass
class ProcessRewards:
    """Scores of one batch, row for row as verl's estimator call sees it.

    Attributes:
        process_scores: float32 `[bs, L]`, each token's segment score; anything where there is none.
        segment_starts: bool `[bs, L]`, True at the first token of each segment.
        scored: bool `[bs]`, rows that have process scores, or `[bs, L]`, tokens whose segment has one.
        prior_mean, prior_std: of the PRM family, in units of the score.
        outcomes: what is known of the outcomes besides; None where nobody looked.
    """

    process_scores: Tensor
    segment_starts: Tensor
    scored: Tensor
    prior_mean: float
    prior_std: float
    outcomes: OutcomeRewards | None = None


_handed_over: ContextVar[ProcessRewards | None] = ContextVar("verl_prpo_process_rewards", default=None)


@contextmanager
def handed_over(process_rewards: ProcessRewards | None) -> Iterator[None]:
    """Make the batch's process rewards visible to the estimator for the duration of verl's advantage call."""
    token = _handed_over.set(process_rewards)
    try:
        yield
    finally:
        _handed_over.reset(token)


def compute_prpo_advantage(
    token_level_rewards: Tensor,
    response_mask: Tensor,
    index: np.ndarray,
    config: Any = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """PRPO's advantages in the form of verl's estimators.

    Args:
        token_level_rewards: float `[bs, L]`; the outcome reward of a row is its sum, as in verl's GRPO, so a KL penalty
            in the reward (`algorithm.use_kl_in_reward`) becomes part of the outcome.
        response_mask: int `[bs, L]`; tokens that rollout correction rejected may be gone from it.
        index: object `[bs]`, verl's uids.
        config: verl's `algorithm` section with its `prpo`.

    Returns:
        Advantages and returns, the same float `[bs, L]` tensor twice, 0 where the mask is 0.

    Raises:
        ConfigError: process scores are missing, with the setting that brings them; a bad `algorithm.prpo`.
        ValueError: scores that cannot be used, with the row.
    """
    settings = prpo_config(config)
    given = _handed_over.get()
    if given is None:
        if needs_prm(settings):
            raise ConfigError(
                "algorithm.adv_estimator=prpo got no process scores: the trainer that runs is not process-aware. Use "
                "verl's v1 trainer (trainer.use_v1=True) with trainer.v1.trainer_mode sync, colocate_async or "
                "separate_async."
            )
        given = without_process_rewards(response_mask)
    rewards = weighted_outcome(settings, token_level_rewards.sum(-1), given.outcomes)
    advantages = advantages_of(given, settings, rewards, response_mask, index)
    return advantages, advantages


def weighted_outcome(settings: PrpoConfig, rewards: Tensor, outcomes: OutcomeRewards | None) -> Tensor:
    """The outcome times `algorithm.prpo.outcome_weight`, and a KL penalty as it is configured, whatever the weight.

    Args:
        settings: `algorithm.prpo`.
        rewards: float `[bs]`, sums of verl's `token_level_rewards`, a KL penalty included.
        outcomes: None where no KL penalty is in the rewards.
    """
    before_kl = rewards if outcomes is None else outcomes.before_kl.to(rewards)
    return rewards + (settings.outcome_weight - 1.0) * before_kl


def advantages_of(
    given: ProcessRewards,
    settings: PrpoConfig,
    outcome_rewards: Tensor,
    response_mask: Tensor,
    index: np.ndarray,
) -> Tensor:
    """`prpo_advantage` under the user's settings, 0 in the rows that they leave out."""
    prior_mean, prior_std = prior_of(given, settings)
    advantages = prpo_advantage(
        given.process_scores,
        restrict_segments(given.segment_starts, response_mask),
        outcome_rewards,
        response_mask,
        index,
        credit=settings.credit,
        process_norm=settings.process_norm,
        prior_mean=prior_mean,
        prior_std=prior_std,
        outcome_norm=settings.outcome_norm,
        scored=given.scored,
    )
    left_out = torch.zeros(len(advantages), dtype=torch.bool, device=advantages.device)
    if settings.skip_all_equal_groups:
        agree = given.outcomes.agree if given.outcomes is not None else all_equal_groups(outcome_rewards, index)
        left_out |= agree.to(left_out.device)
    if settings.skip_truncated_responses and given.outcomes is not None:
        left_out |= given.outcomes.truncated.to(left_out.device)
    return advantages.masked_fill(left_out[:, None], 0.0)


def prior_of(given: ProcessRewards, settings: PrpoConfig) -> tuple[float, float]:
    """Mean and standard deviation of the prior: as set, else the PRM family's; in units of the score."""
    return (
        given.prior_mean if settings.prior_mean is None else settings.prior_mean,
        given.prior_std if settings.prior_std is None else settings.prior_std,
    )


def without_process_rewards(response_mask: Tensor, outcomes: OutcomeRewards | None = None) -> ProcessRewards:
    """No row scored: what `credit=outcome` works on."""
    nothing = torch.zeros_like(response_mask, dtype=torch.float32)
    none = torch.zeros(len(response_mask), dtype=torch.bool, device=response_mask.device)
    return ProcessRewards(nothing, response_mask.bool(), none, prior_mean=0.0, prior_std=1.0, outcomes=outcomes)
