# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What one batch's training signal was made of: as metrics for the logger, as records for the rollout dump."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from verl_prpo.config import PrpoConfig
from verl_prpo.estimator import ProcessRewards, advantages_of
from verl_prpo.metrics import advantage_metrics, prm_metrics, score_metrics, segment_metrics
from verl_prpo.prm.chat import message_text
from verl_prpo.process_pass import ScoredBatch
from verl_prpo.reward_manager import ProcessResult
from verl_prpo.segmentation import segment_bounds

DUMP_DIGITS = 9
"""Significant digits of the numbers in a record: as many as bring a float32 back exactly."""


@dataclass
class StepReport:
    """One batch after its advantages were written.

    Attributes:
        scored: the process pass.
        rewards: what was handed to the estimator.
        settings: `algorithm.prpo`.
        outcome_rewards: float `[bs]`, as the estimator used them.
        advantages: float `[bs, L]`, what the actor gets.
        response_mask: int `[bs, L]`, as it stood when the actor gets it.
        index: object `[bs]`, uids.
    """

    scored: ScoredBatch
    rewards: ProcessRewards
    settings: PrpoConfig
    outcome_rewards: Tensor
    advantages: Tensor
    response_mask: Tensor
    index: np.ndarray

    def __post_init__(self) -> None:
        # The same credit without process scores, and what the scores add to it: under the paper's credit beta and z.
        unscored = replace(self.rewards, scored=torch.zeros_like(self.rewards.scored))
        self.outcome_advantage = self._advantages(unscored, self.settings)
        self.process_advantage = self.advantages - self.outcome_advantage

    def metrics(self) -> dict[str, float]:
        """All `prpo/*` metrics of the batch; padding rows count nowhere."""
        real = torch.tensor(self.scored.rows.real)
        results = self.scored.results
        asked = [r for r in results if r is not None and (r.scores is not None or r.failure is not None)]
        known = [[s for s in r.scores if s is not None] if r is not None and r.scores else [] for r in results]
        mean_scores = torch.tensor([float(np.mean(scores)) if scores else 0.0 for scores in known])
        grpo = PrpoConfig(credit="outcome", outcome_norm="mean_std")
        return {
            **segment_metrics(self.scored.segment_starts, self.scored.rows.response_mask, real),
            **score_metrics([scores for scores in known if scores]),
            **prm_metrics(asked, int(real.sum()) - len(asked)),
            **advantage_metrics(
                advantages=self.advantages,
                process_advantage=self.process_advantage,
                outcome_advantage=self.outcome_advantage,
                grpo_advantage=self._advantages(self.rewards, grpo),
                mean_scores=mean_scores,
                outcome_rewards=self.outcome_rewards,
                response_mask=self.response_mask,
                index=self.index,
                scored=self.scored.scored & torch.tensor([bool(scores) for scores in known], dtype=torch.bool),
                rows=real,
            ),
        }

    def records(self) -> dict[str, dict[str, Any]]:
        """A record per rollout, by its TransferQueue key, for verl's rollout dump."""
        return {
            key: self._record(row, self.scored.results[row])
            for row, key in enumerate(self.scored.rows.keys)
            if self.scored.rows.real[row]
        }

    def _record(self, row: int, result: ProcessResult | None) -> dict[str, Any]:
        length = len(self.scored.rows.response_ids[row])
        spans = segment_bounds(self.scored.segment_starts[row], length)
        texts = result.texts if result is not None else [""] * len(spans)
        scores = result.scores if result is not None and result.scores is not None else [None] * len(spans)
        signal = self.scored.rows.signal
        return {
            "uid": str(self.index[row]),
            "messages": _texts(self.scored.rows.messages[row]),
            "outcome_reward": self.outcome_rewards[row].item(),
            "segments": [
                {"begin": begin, "end": end, "score": score, "text": text}
                for (begin, end), score, text in zip(spans, scores, texts, strict=True)
            ],
            "failure": result.failure if result is not None else None,
            "overlong": result.overlong if result is not None else False,
            "cached": result.cached if result is not None else False,
            "response_mask": self.response_mask[row, :length].int().tolist(),
            "signal": _rounded(signal[row, :length]) if signal is not None else None,
            "process_advantage": _rounded(self.process_advantage[row, :length]),
            "outcome_advantage": _rounded(self.outcome_advantage[row, :length]),
            "advantages": _rounded(self.advantages[row, :length]),
        }

    def _advantages(self, rewards: ProcessRewards, settings: PrpoConfig) -> Tensor:
        return advantages_of(rewards, settings, self.outcome_rewards, self.response_mask, self.index)


def _texts(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Chat messages as plain data; a content that is not text is null."""
    plain = []
    for message in messages:
        try:
            content: str | None = message_text(message)
        except ValueError:
            content = None
        plain.append({"role": str(message.get("role")), "content": content})
    return plain


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{value:.{DUMP_DIGITS}g}") for value in values.tolist()]
