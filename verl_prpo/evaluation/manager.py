# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The reward manager of an evaluation's run: it gives another manager's verdicts, and says which problem each row is
of.

verl's dump of a validation names neither the problem of a row nor the length of its response. Whatever a reward manager
puts into `reward_extra_info` is in the dump, so this manager adds both there.
"""

import json
from typing import Any

import numpy as np
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import get_reward_manager_cls
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from verl_prpo.outcome import math_verifier as _registered  # noqa: F401  # by its name, which is looked up below
from verl_prpo.outcome.extract import final_answer
from verl_prpo.settings.outcome import MANAGER
from verl_prpo.text.thinking import decode_with_tags, with_opening
from verl_prpo.trainer.length_limit import length_limit

COLUMN = "evaluation_problem"
"""The column of a run's problems with the problem's name, and its reward_model and extra_info as JSON."""

INNER = "evaluation_manager"
"""The key of `reward` that names the manager whose verdicts count."""


class EvaluationRewardManager(RewardManagerBase):
    """Gives the rewards of `reward.evaluation_manager`, and adds `problem`, `tokens`, `truncated` and `pred`."""

    def __init__(self, config: Any, tokenizer: Any, compute_score: Any, **kwargs: Any):
        super().__init__(config, tokenizer, compute_score)
        name = config.reward.get(INNER) or MANAGER
        self.inner = get_reward_manager_cls(name)(
            config=config, tokenizer=tokenizer, compute_score=compute_score, **kwargs
        )
        self.limit = length_limit(config, tokenizer)

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Score one response.

        Returns:
            What the inner manager gives. To reward_extra_info it adds problem, tokens of the response and truncated
            (1.0 or 0.0). Where the inner manager gives no pred, it adds pred, the final answer, "" for none.
        """
        data = data[-1:]  # of a session with several outputs verl judges the last one
        kept = json.loads(str(data.non_tensor_batch[COLUMN][0]))
        for name in ("reward_model", "extra_info"):
            data.non_tensor_batch[name] = np.empty(1, dtype=object)
            data.non_tensor_batch[name][0] = kept[name]
        found = await self.inner.run_single(data)
        row = data[0]
        width = row.batch["responses"].shape[-1]
        length = int(row.batch["attention_mask"][-width:].sum())
        response = row.batch["responses"][:length].tolist()
        prompt = row.batch["prompts"].tolist()
        info = found.setdefault("reward_extra_info", {})
        info |= {
            "problem": kept["problem"],
            "tokens": length,
            "truncated": float(self.limit.truncates(response, len(prompt))),
        }
        if info.get("pred") is None:
            asked = row.non_tensor_batch.get("raw_prompt")
            messages = () if asked is None else list(asked)
            written = decode_with_tags(self.tokenizer, response)
            text = with_opening(decode_with_tags(self.tokenizer, prompt), written, messages)
            info["pred"] = final_answer(str(row.non_tensor_batch["data_source"]), text) or ""
        return found
