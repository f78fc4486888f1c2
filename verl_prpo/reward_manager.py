# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The reward manager `prm`: the outcome reward of the manager it wraps, and process scores on request.

It runs in verl's reward-loop workers. A response that comes as it finishes gets its outcome reward, as if the wrapped
manager stood alone; so validation is outcome-only. A request of the trainer, marked by segment bounds, gets the PRM's
scores.
"""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf, open_dict
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import register
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase
from verl.trainer.ppo.reward import load_reward_manager

from verl_prpo.config import MANAGER, prm_config
from verl_prpo.prm.client import PrmClient
from verl_prpo.prm.family import PrmError
from verl_prpo.prm.replicas import lookup_replicas
from verl_prpo.prm.text import segment_texts

PROCESS_REQUEST = "process_request"
PROCESS_RESULT = "process_result"
NAIVE = {"source": "register", "name": "naive", "module": {"path": None, "name": None}}


@dataclass(frozen=True)
class ProcessRequest:
    """One response whose segments the trainer wants scored.

    Attributes:
        key: the row's TransferQueue key, `{uid}_{session}_{index}`.
        messages: the prompt as chat messages (`raw_prompt`).
        response_ids: token ids of the response, without padding.
        bounds: half-open token spans that tile the response.
    """

    key: str
    messages: Sequence[dict[str, Any]]
    response_ids: list[int]
    bounds: list[tuple[int, int]]


@dataclass
class ProcessResult:
    """What the PRM made of one response.

    Attributes:
        texts: the text of each segment; together they are the decoded response.
        scores: one per segment, or None where there are none.
        failure: the kind of failure, or None. A response without text has neither scores nor a failure.
        detail: what went wrong, for people.
        tokens: length of the dialogue as the PRM read it.
        seconds: from request to result.
    """

    texts: list[str]
    scores: list[float | None] | None = None
    failure: str | None = None
    detail: str = ""
    tokens: int = 0
    seconds: float = field(default=0.0, compare=False)


@register(MANAGER)
class PrmRewardManager(RewardManagerBase):
    """Wraps the configured reward manager and adds the process scores of `reward.prm`."""

    def __init__(self, config: DictConfig, tokenizer: Any, compute_score: Any = None, **reward_kwargs: Any):
        super().__init__(config, tokenizer, compute_score)
        self.outcome_manager = load_reward_manager(outcome_config(config), tokenizer, **reward_kwargs)
        self.settings = prm_config(config.reward)
        self.client = PrmClient(self.settings, lambda: lookup_replicas(self.settings))

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Score one response: the trainer's process request if it is one, else its outcome reward.

        Raises:
            PrmError: the PRM gave no scores and `reward.prm.on_error=raise`.
        """
        if PROCESS_REQUEST not in data.non_tensor_batch:
            return await self.outcome_manager.run_single(data)
        request: ProcessRequest = data.non_tensor_batch[PROCESS_REQUEST][0]
        return {"reward_score": 0.0, "reward_extra_info": {}, PROCESS_RESULT: await self._process_scores(request)}

    async def _process_scores(self, request: ProcessRequest) -> ProcessResult:
        began = time.monotonic()
        texts = segment_texts(self.tokenizer, request.response_ids, request.bounds)
        if not any(texts):
            return ProcessResult(texts)
        scored = await self.client.score(list(request.messages), texts)
        if scored.failure is not None and self.settings.on_error == "raise":
            raise PrmError(
                f"the PRM gave no process scores for response {request.key}: {scored.failure.value}: {scored.detail}. "
                "Mend the cause, or set reward.prm.on_error=outcome_only to train such responses on their outcome "
                "alone."
            )
        return ProcessResult(
            texts,
            scored.scores,
            scored.failure.value if scored.failure is not None else None,
            scored.detail,
            scored.tokens,
            time.monotonic() - began,
        )


def process_request_batch(requests: Sequence[ProcessRequest]) -> DataProto:
    """Requests in the form that `RewardLoopWorker.compute_score_batch` takes."""
    column = np.empty(len(requests), dtype=object)
    column[:] = requests
    return DataProto(batch=None, non_tensor_batch={PROCESS_REQUEST: column})


def wire(config: DictConfig) -> str:
    """Put `prm` in the place of the configured reward manager, which becomes the one it wraps; idempotent.

    Args:
        config: the whole verl configuration; `reward` is changed in place.

    Returns:
        A line that says what was wired.
    """
    manager = config.reward.reward_manager
    if manager.name != MANAGER:
        with open_dict(config.reward.prm):
            config.reward.prm.outcome_reward_manager = copy.deepcopy(manager)
        manager.name = MANAGER
        manager.source = "register"
    outcome = config.reward.prm.get("outcome_reward_manager") or NAIVE
    prm = config.reward.prm.model_path
    return f"outcome reward from the reward manager {outcome['name']!r}, process rewards from the PRM {prm}"


def outcome_config(config: DictConfig) -> DictConfig:
    """The configuration as the wrapped outcome manager is to see it: with the reward manager the user named."""
    inner = copy.deepcopy(config)
    outcome = (config.reward.get("prm") or {}).get("outcome_reward_manager") or {}
    with open_dict(inner.reward):
        inner.reward.reward_manager = OmegaConf.merge(OmegaConf.create(NAIVE), outcome)
    return inner
