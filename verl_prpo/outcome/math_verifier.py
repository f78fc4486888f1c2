# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The reward manager `math_verifier`: verl's naive one, with this package's scorer and the paper's length penalty."""

from functools import partial
from typing import Any

from omegaconf import DictConfig
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import register
from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager

from verl_prpo.outcome.reward_function import compute_score as score
from verl_prpo.outcome.scorer import require_working
from verl_prpo.outcome.settings import MANAGER, math_verifier_config


def length_penalty(length: int, threshold: int | None) -> float:
    """What is subtracted from a reward (arXiv 2601.07182): 0 up to the threshold, then length/threshold.

    Args:
        length: valid tokens of the response.
        threshold: in tokens; None penalises none.
    """
    return length / threshold if threshold is not None and length > threshold else 0.0


@register(MANAGER)
class MathVerifierRewardManager(NaiveRewardManager):
    """Rewards `correct` or `wrong` of `reward.math_verifier`, less the length penalty.

    Raises:
        RuntimeError: when it is made on a node where formulas cannot be compared.
    """

    def __init__(self, config: DictConfig, tokenizer: Any, compute_score: Any = None, **reward_kwargs: Any):
        self.settings = math_verifier_config(config.reward)
        settings = self.settings
        scorer = partial(score, correct=settings.correct, wrong=settings.wrong, timeout=settings.timeout)
        super().__init__(config, tokenizer, scorer, **reward_kwargs)
        require_working()

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Score one response.

        Returns:
            reward_score, and in reward_extra_info acc, pred, method and undecided of `compute_score`, outcome (the
            reward before the penalty) and length_penalty; the same keys and types for every response.
        """
        found = await super().run_single(data)
        row = data[-1:].batch
        length = int(row["attention_mask"][0, -row["responses"].shape[-1] :].sum())
        penalty = length_penalty(length, self.settings.length_penalty_threshold)
        parts = found["reward_extra_info"]
        outcome = float(parts.pop("score"))
        return {
            "reward_score": outcome - penalty,
            "reward_extra_info": {**parts, "outcome": outcome, "length_penalty": penalty},
        }
