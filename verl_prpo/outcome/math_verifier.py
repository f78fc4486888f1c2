# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The reward manager `math_verifier`: this package's scorer on the responses of verl's naive manager, with the paper's
length penalty.

A manager sees the prompt of a row, and a plain reward function does not. So this manager knows when the chat template
opened a thought at the end of the prompt, and does not take an answer inside that thought for the final one.
"""

from typing import Any

from omegaconf import DictConfig
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import register
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from verl_prpo.outcome.reward_function import compute_score as score
from verl_prpo.outcome.scorer import require_working
from verl_prpo.settings.outcome import MANAGER, math_verifier_config
from verl_prpo.text.thinking import decode_with_tags, with_opening


def length_penalty(length: int, threshold: int | None) -> float:
    """Return what is subtracted from a reward (arXiv 2601.07182): 0 up to the threshold, then length/threshold.

    Args:
        length: valid tokens of the response.
        threshold: length in tokens up to which there is no penalty. None penalises no response.
    """
    return length / threshold if threshold is not None and length > threshold else 0.0


@register(MANAGER)
class MathVerifierRewardManager(RewardManagerBase):
    """Rewards `correct` or `wrong` of `reward.math_verifier`, less the length penalty.

    Raises:
        RuntimeError: the manager is made on a node where formulas cannot be compared.
    """

    def __init__(self, config: DictConfig, tokenizer: Any, compute_score: Any = None, **reward_kwargs: Any):
        super().__init__(config, tokenizer, compute_score)
        self.settings = math_verifier_config(config.reward)
        require_working()

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Score one response.

        Returns:
            reward_score, and in reward_extra_info acc, pred, method and undecided of `compute_score`, outcome (the
            reward before the penalty) and length_penalty. Keys and types are the same for every response.
        """
        row = data[-1]  # of a session with several outputs verl judges the last one
        length = int(row.batch["attention_mask"][-row.batch["responses"].shape[-1] :].sum())
        parts = await self.loop.run_in_executor(None, self._score, row, length)
        penalty = length_penalty(length, self.settings.length_penalty_threshold)
        outcome = float(parts.pop("score"))
        return {
            "reward_score": outcome - penalty,
            "reward_extra_info": {**parts, "outcome": outcome, "length_penalty": penalty},
        }

    def _score(self, row: Any, length: int) -> dict[str, Any]:
        response = decode_with_tags(self.tokenizer, row.batch["responses"][:length].tolist())
        settings, columns = self.settings, row.non_tensor_batch
        messages = columns.get("raw_prompt")
        return score(
            columns["data_source"],
            with_opening(self._prompt(row), response, () if messages is None else list(messages)),
            columns["reward_model"]["ground_truth"],
            correct=settings.correct,
            wrong=settings.wrong,
            timeout=settings.timeout,
        )

    def _prompt(self, row: Any) -> str:
        ids = row.batch.get("prompts", None)
        if ids is None:
            return ""
        there = row.batch["attention_mask"][: len(ids)].bool()
        return decode_with_tags(self.tokenizer, ids[there].tolist())
