# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The parts of one batch's training signal: as metrics for the logger, and response by response for the dump."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from verl_prpo.method.groups import all_equal_groups
from verl_prpo.outcome.verdicts import Verdicts
from verl_prpo.settings.prpo import PrpoConfig, needs_prm
from verl_prpo.step.credit import ProcessRewards, advantages_of, prior_of, weighted_outcome
from verl_prpo.step.scored_batch import ScoredBatch
from verl_prpo.telemetry.judge import judge_metrics
from verl_prpo.telemetry.metrics import advantage_metrics, prm_metrics, score_metrics, segment_metrics
from verl_prpo.telemetry.turns import turn_metrics


@dataclass
class StepReport:
    """One batch after its advantages were written, rollout by rollout.

    Attributes:
        scored: the result of the process pass.
        rewards: the rewards that were handed to the estimator.
        settings: `algorithm.prpo`.
        token_rewards: float `[n]`, sums of verl's `token_level_rewards`: what GRPO would see, a KL penalty included.
        advantages: float `[n, L]`, the advantages that the actor gets.
        response_mask: int `[n, L]`, as it stood when the actor gets it.
        index: object `[n]`, uids.
        verdicts: whether each response is right. None where it was not looked up.
        data_sources: verl's `data_source` of each. None where it was not looked up.
        outcome_rewards: float `[n]`, as the estimator used them. This and the following are worked out from the others.
        outcome_advantage: float `[n, L]`, the advantages of the same credit without process scores.
        process_advantage: float `[n, L]`, what the scores add to that (under the paper's credit beta and z).
        grpo_advantage: float `[n, L]`, the advantages that verl's GRPO would have given.
    """

    scored: ScoredBatch
    rewards: ProcessRewards
    settings: PrpoConfig
    token_rewards: Tensor
    advantages: Tensor
    response_mask: Tensor
    index: np.ndarray
    verdicts: Verdicts | None = None
    data_sources: Sequence[str] | None = None

    def __post_init__(self) -> None:
        self.outcome_rewards = weighted_outcome(self.settings, self.token_rewards, self.rewards.outcomes)
        unscored = replace(self.rewards, scored=torch.zeros_like(self.rewards.scored))
        self.outcome_advantage = self._advantages(unscored, self.settings, self.outcome_rewards)
        self.process_advantage = self.advantages - self.outcome_advantage
        grpo = PrpoConfig(credit="outcome", outcome_norm="mean_std")
        self.grpo_advantage = self._advantages(self.rewards, grpo, self.token_rewards)

    @property
    def prior(self) -> tuple[float, float]:
        """Mean and standard deviation of the prior, in units of the score."""
        return prior_of(self.rewards, self.settings)

    @property
    def agree(self) -> Tensor:
        """Responses whose group has one verdict, bool `[n]`."""
        if self.rewards.outcomes is not None:
            return self.rewards.outcomes.agree
        return all_equal_groups(self.token_rewards, self.index)

    @property
    def process_weights(self) -> Tensor | None:
        """The weight w of each response under the credit trust, float `[n]`. None under another credit."""
        if self.settings.credit != "trust":
            return None
        return torch.zeros(len(self.index)) if self.rewards.weights is None else self.rewards.weights

    @functools.cached_property
    def relative_scores(self) -> Tensor:
        """Scores less their group's mean, in standard deviations inside groups, float `[n, L]`: what the credit trust
        multiplies by w in all-equal groups."""
        nothing = torch.zeros(len(self.index))
        alone = replace(self.rewards, outcomes=None, weights=torch.ones_like(nothing))
        return self._advantages(alone, PrpoConfig(credit="trust"), nothing)

    def metrics(self) -> dict[str, float]:
        """Return all `prpo/*` metrics of the batch. A credit that asks no PRM has only those that need none."""
        results = self.scored.scores
        known = [[s for s in r.scores if s is not None] if r is not None and r.scores else [] for r in results]
        metrics = advantage_metrics(
            advantages=self.advantages,
            process_advantage=self.process_advantage,
            outcome_advantage=self.outcome_advantage,
            grpo_advantage=self.grpo_advantage,
            mean_scores=torch.tensor([float(np.mean(scores)) if scores else 0.0 for scores in known]),
            token_rewards=self.token_rewards,
            right=self._right(),
            agree=self.agree,
            response_mask=self.response_mask,
            index=self.index,
            scored=self.scored.scored & torch.tensor([bool(scores) for scores in known], dtype=torch.bool),
            read=self.scored.read_tokens(),
            truncated=torch.tensor(self.scored.rollouts.truncated, dtype=torch.bool),
        )
        if not needs_prm(self.settings):
            return metrics
        asked = [r for r in results if r is not None and r.asked_about]
        hidden = sum(sum(r.hidden) for r in results if r is not None)
        unfinished = sum(r is not None and r.unfinished for r in results)
        gap = self.settings.min_gap if self.settings.cuts_by in ("entropy", "surprisal") else None
        return {
            **segment_metrics(
                self.scored.segment_starts, self.scored.rollouts.response_mask, gap, self.scored.hidden_starts()
            ),
            **turn_metrics(self.scored.rollouts.response_mask, results),
            **score_metrics([scores for scores in known if scores]),
            **prm_metrics(asked, len(results) - len(asked), unfinished, hidden),
            **judge_metrics(asked),
            **metrics,
        }

    def _advantages(self, rewards: ProcessRewards, settings: PrpoConfig, outcome_rewards: Tensor) -> Tensor:
        return advantages_of(rewards, settings, outcome_rewards, self.response_mask, self.index)

    def _right(self) -> Tensor:
        """Return 1 for a right response, 0 for a wrong one and NaN where its verdict is not known, as float `[n]`."""
        verdicts = self.verdicts.right if self.verdicts is not None else [None] * len(self.index)
        return torch.tensor([math.nan if right is None else float(right) for right in verdicts])
