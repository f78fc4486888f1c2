# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Apply the user's settings to one batch, and have `verl_prpo.method.advantage` compute its advantages."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from verl_prpo.method.advantage import prpo_advantage
from verl_prpo.method.groups import all_equal_groups
from verl_prpo.method.segmentation import restrict_segments
from verl_prpo.method.sessions import Sessions
from verl_prpo.settings.prpo import PrpoConfig

if TYPE_CHECKING:
    from verl_prpo.step.scored_batch import Rollouts


@dataclass
class OutcomeRewards:
    """What verl's estimator call leaves out about the outcomes of one batch, row by row.

    Attributes:
        before_kl: float `[bs]`, the reward manager's rewards, without the penalty of `algorithm.use_kl_in_reward`.
        agree: bool `[bs]`, rows whose group has one verdict (`verl_prpo.outcome.verdicts`).
        truncated: bool `[bs]`, rows that were cut off by a length limit.
    """

    before_kl: Tensor
    agree: Tensor
    truncated: Tensor

    def spread(self, rollouts: "Rollouts") -> "OutcomeRewards":
        """Put the same into the rows of verl's batch, with 0 and False in its padding rows."""
        parts = (self.before_kl, self.agree, self.truncated)
        return OutcomeRewards(*map(rollouts.spread, parts))


@dataclass
class ProcessRewards:
    """Scores of one batch, row by row. The rows are its rollouts, or after `spread` those that verl's estimator sees.

    Attributes:
        process_scores: float32 `[bs, L]`, each token's segment score. The value of a token without one means nothing.
        segment_starts: bool `[bs, L]`, True at the first token of each segment.
        scored: bool `[bs]`, rows that have process scores, or `[bs, L]`, tokens whose segment has one.
        prior_mean, prior_std: those of the PRM family, in units of the score.
        outcomes: what else is known of the outcomes. None where nobody looked.
        sessions: which outputs belong to one session. None where each row is a session of its own.
        weights: float `[bs]`, the weight of each row's process advantage under the credit trust. None where nothing was
            measured, which counts as 0.
    """

    process_scores: Tensor
    segment_starts: Tensor
    scored: Tensor
    prior_mean: float
    prior_std: float
    outcomes: OutcomeRewards | None = None
    sessions: Sessions | None = None
    weights: Tensor | None = None

    def spread(self, rollouts: "Rollouts") -> "ProcessRewards":
        """Put the same into the rows of verl's batch. Its padding rows have no segment and no score."""
        return replace(
            self,
            process_scores=rollouts.spread(self.process_scores),
            segment_starts=rollouts.spread(self.segment_starts),
            scored=rollouts.spread(self.scored),
            outcomes=None if self.outcomes is None else self.outcomes.spread(rollouts),
            sessions=None if self.sessions is None else self.sessions.spread(rollouts.places, rollouts.batch_size),
            weights=None if self.weights is None else rollouts.spread(self.weights),
        )


def weighted_outcome(settings: PrpoConfig, rewards: Tensor, outcomes: OutcomeRewards | None) -> Tensor:
    """Multiply the outcome by `algorithm.prpo.outcome_weight`. The weight does not change a KL penalty.

    Args:
        settings: `algorithm.prpo`.
        rewards: float `[bs]`, sums of verl's `token_level_rewards`, with any KL penalty in them.
        outcomes: they hold the rewards before the penalty. None where the rewards hold no KL penalty.
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
    """Compute `prpo_advantage` under the user's settings, with 0 in the rows that they leave out.

    For the credits prpo, outcome and trust only the final output of a session counts in the outcome of its group. For
    the other credits each output is a response of the group.
    """
    prior_mean, prior_std = prior_of(given, settings)
    sessions = given.sessions
    once = sessions is not None and sessions.several and settings.credit in ("prpo", "outcome", "trust")
    agree = None
    if settings.credit == "trust" or settings.skip_all_equal_groups:
        agree = given.outcomes.agree if given.outcomes is not None else all_equal_groups(outcome_rewards, index)
    advantages = prpo_advantage(
        given.process_scores,
        restrict_segments(given.segment_starts, response_mask),
        torch.zeros_like(outcome_rewards) if once else outcome_rewards,
        response_mask,
        index,
        credit=settings.credit,
        process_norm=settings.process_norm,
        prior_mean=prior_mean,
        prior_std=prior_std,
        outcome_norm=settings.outcome_norm,
        scored=given.scored,
        process_weight=0.0 if given.weights is None else given.weights,
        agree=agree,
    )
    if once:
        assert sessions is not None
        beta = sessions.outcome_advantage(
            outcome_rewards.float(),
            index,
            standardised=settings.outcome_norm == "mean_std" or settings.credit == "trust",
            as_verl=settings.credit != "prpo",
        )
        advantages = advantages + beta.to(advantages)[:, None] * (response_mask != 0)
    left_out = torch.zeros(len(advantages), dtype=torch.bool, device=advantages.device)
    if settings.skip_all_equal_groups and agree is not None:
        left_out |= agree.to(left_out.device)
    if settings.skip_truncated_responses and given.outcomes is not None:
        left_out |= given.outcomes.truncated.to(left_out.device)
    return advantages.masked_fill(left_out[:, None], 0.0)


def prior_of(given: ProcessRewards, settings: PrpoConfig) -> tuple[float, float]:
    """Give mean and standard deviation of the prior, in units of the score: as set, else those of the PRM family."""
    return (
        given.prior_mean if settings.prior_mean is None else settings.prior_mean,
        given.prior_std if settings.prior_std is None else settings.prior_std,
    )


def without_process_rewards(
    response_mask: Tensor, outcomes: OutcomeRewards | None = None, sessions: Sessions | None = None
) -> ProcessRewards:
    """Build a batch in which no row is scored. `credit=outcome` works on it."""
    nothing = torch.zeros_like(response_mask, dtype=torch.float32)
    none = torch.zeros(len(response_mask), dtype=torch.bool, device=response_mask.device)
    return ProcessRewards(
        nothing, response_mask.bool(), none, prior_mean=0.0, prior_std=1.0, outcomes=outcomes, sessions=sessions
    )
