# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The reward manager `prm`: the outcome reward of the manager it wraps, and process scores.

It runs in verl's reward-loop workers. A response that comes as it finishes gets its outcome reward, as if the wrapped
manager stood alone. So validation is outcome-only. A training response that says where its own tokens are
(`verl_prpo.trainer.agent_loop`) is cut and scored meanwhile. A request of the trainer, marked by segment bounds, gets
the PRM's scores alone. A PRM that fails is reported in the result, never by an exception. The trainer decides what
becomes of it.
"""

import asyncio
import copy
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import register
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase
from verl.trainer.ppo.reward import load_reward_manager

from verl_prpo.method.segmentation import segment_bounds
from verl_prpo.prm.conversation import Heard
from verl_prpo.prm.encoding.shown import Shown, shown_steps
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.replicas.client import PrmClient
from verl_prpo.prm.replicas.start import lookup_replicas
from verl_prpo.prm.results import PrmFailure, PrmResult
from verl_prpo.settings.prm import SCORE_FUNCTION
from verl_prpo.settings.prpo import MANAGER, engine_of, judge_of, prm_config, prpo_config
from verl_prpo.step.clock import clock_name
from verl_prpo.step.conversation import BadMask, Interlude, interludes_of, own_words, require_fit
from verl_prpo.step.cutting import cut, hidden_segments, thought_mask
from verl_prpo.step.messages import (
    SCORES,
    TO_SCORE_BESIDE,
    TO_SCORE_NOW,
    FinishedSession,
    Scores,
    ToScore,
    data_row,
)
from verl_prpo.text.decoding import segment_texts, token_texts
from verl_prpo.text.turns import TurnReader
from verl_prpo.trainer.length_limit import length_limit
from verl_prpo.trainer.reward_model import uses_reward_model, wire_reward_model, without_default_scorer
from verl_prpo.trainer.schedule import fingerprint

NAIVE = {"source": "register", "name": "naive", "module": {"path": None, "name": None}}


@register(MANAGER)
class PrmRewardManager(RewardManagerBase):
    """Wraps the configured reward manager and adds the process scores of `reward.prm`."""

    def __init__(self, config: DictConfig, tokenizer: Any, compute_score: Any = None, **reward_kwargs: Any):
        super().__init__(config, tokenizer, compute_score)
        self.outcome_manager = load_reward_manager(outcome_config(config), tokenizer, **reward_kwargs)
        self.settings = prm_config(config.reward)
        self.prpo = prpo_config(config.algorithm)
        self._scissors = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prpo_segments")
        self.fingerprint = fingerprint(self.prpo, self.settings)
        self.limit = length_limit(config, tokenizer)
        self._turns = TurnReader(tokenizer, (config.get("data") or {}).get("apply_chat_template_kwargs"))
        self.client = PrmClient(self.settings, lambda: lookup_replicas(self.settings))

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Score one response: by process if the trainer asks for that, by outcome if not, by both as it finishes.

        Raises:
            Exception: whatever the wrapped manager raises. The PRM raises nothing here.
        """
        if TO_SCORE_NOW in data.non_tensor_batch:
            response: ToScore = data.non_tensor_batch[TO_SCORE_NOW][0]
            return {"reward_score": 0.0, "reward_extra_info": {}, SCORES: await self._scores(response)}
        finished = data.non_tensor_batch.pop(TO_SCORE_BESIDE, None)
        if finished is None:
            return await self.outcome_manager.run_single(data)
        session = isinstance(finished[0], FinishedSession)
        responses = list(finished[0].outputs if session else finished[:1])
        if engine_of(self.settings) == SCORE_FUNCTION:
            columns = {name: column[-1] for name, column in data.non_tensor_batch.items()}
            row = data_row(columns)  # before the outcome manager adds to it
            responses = [replace(response, row=row) for response in responses]
        scoring = asyncio.gather(*map(self._scores, responses))
        try:
            outcome = await self.outcome_manager.run_single(data)
            scores = [scored.as_dict() for scored in await scoring]
            known = outcome.get("reward_extra_info", {})
            outcome["reward_extra_info"] = {**known, SCORES: scores if session else scores[0]}
            return outcome
        finally:
            scoring.cancel()

    async def _scores(self, response: ToScore) -> Scores:
        """Score one response, after cutting it here if it was not cut.

        What goes wrong with it becomes a failure of this response.
        """
        arrived = time.monotonic()
        read, found, unfinished = _Read(), PrmResult(), False
        shown: Shown | None = None
        try:
            # Off the event loop, which other responses share: a long one takes a while to be cut. Not in the loop's own
            # threads either, in which verifiers run.
            loop = asyncio.get_running_loop()
            read = await loop.run_in_executor(self._scissors, self._read, response)
            shown = shown_steps(read.own, read.truncated, heard=read.heard, hidden=read.hidden)
        except BadMask as error:
            found = PrmResult(failure=PrmFailure.BAD_MASK, detail=str(error))
        except Exception as error:  # verl would take it for a failed rollout and try that again
            found = PrmResult(failure=PrmFailure.BAD_INPUT, detail=f"{type(error).__name__}: {error}")
        asked = time.monotonic()
        if shown is not None:
            found, unfinished = await self._judged(response, read, shown), shown.unfinished
        scores = Scores.of(
            found,
            texts=read.texts,
            interludes=read.interludes,
            unfinished=unfinished,
            hidden=read.hidden,
            starts=read.starts,
            fingerprint=self.fingerprint,
            arrived=arrived,
            asked=asked,
            answered=time.monotonic(),
            clock=clock_name(),
            answered_at=time.time(),
        )
        return scores if scores.asked_about else replace(scores, answered=asked)

    def _read(self, response: ToScore) -> "_Read":
        """Read a response in segments, after cutting it here if it was not cut.

        The policy's own words are kept apart from those of tools.
        """
        ids = response.response_ids
        mask = [1] * len(ids) if response.response_mask is None else response.response_mask
        require_fit(len(ids), mask)
        read = _Read(truncated=response.truncated, hidden=response.hidden)
        bounds = response.bounds
        if bounds is None:
            masks = torch.tensor([mask], dtype=torch.long)
            thoughts = None
            if self.settings.thinking == "hide":
                thoughts = thought_mask(self.tokenizer, [ids], masks, [response.prompt_ids], [response.messages])
            signal = None if response.log_probs is None else -torch.tensor([response.log_probs], dtype=torch.float32)
            (row,) = cut(
                self.prpo,
                keys=[response.key],
                response_ids=[ids],
                response_mask=masks,
                signal=signal,
                tokenizer=self.tokenizer,
                thoughts=thoughts,
            )
            bounds = segment_bounds(row, len(ids))
            read.starts = row.nonzero()[:, 0].tolist()
            read.hidden = hidden_segments(row, None if thoughts is None else thoughts[0])
            read.truncated = self.limit.truncates(ids, response.prompt_length)
        read.texts = read.own = segment_texts(self.tokenizer, ids, bounds)
        read.interludes = interludes_of(ids, mask, self._turns, self.limit.end_ids)
        if read.interludes:
            read.own, read.heard = own_words(token_texts(self.tokenizer, ids), mask, bounds, read.interludes)
        return read

    async def _judged(self, response: ToScore, read: "_Read", shown: Shown) -> PrmResult:
        if not shown.steps:
            return PrmResult()
        try:
            return await self.client.score(
                list(response.messages),
                read.own,
                read.truncated,
                heard=read.heard,
                row=response.row,
                hidden=read.hidden,
            )
        except Exception as error:  # nobody there to ask, or a cluster that is gone in one of Ray's many ways
            detail = str(error) if isinstance(error, PrmError) else f"{type(error).__name__}: {error}"
            return PrmResult(failure=PrmFailure.ENGINE_ERROR, detail=detail)


@dataclass
class _Read:
    """A response as the PRM is to see it, and what its `Scores` carry besides."""

    starts: list[int] | None = None
    texts: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    interludes: list[Interlude] = field(default_factory=list)
    hidden: list[bool] = field(default_factory=list)
    truncated: bool = False


def score_request(responses: Sequence[ToScore]) -> DataProto:
    """Pack responses in the form that `RewardLoopWorker.compute_score_batch` takes."""
    column = np.empty(len(responses), dtype=object)
    column[:] = responses
    return DataProto(batch=None, non_tensor_batch={TO_SCORE_NOW: column})


def wire(config: DictConfig) -> str:
    """Put `prm` in the place of the configured reward manager, which becomes the one it wraps.

    A second call changes nothing.

    Args:
        config: the whole verl configuration. `reward` is changed in place.

    Returns:
        A line that says what was wired.
    """
    manager = config.reward.reward_manager
    if manager.name != MANAGER:
        with open_dict(config.reward.prm):
            config.reward.prm.outcome_reward_manager = copy.deepcopy(manager)
        manager.name = MANAGER
        manager.source = "register"
    if uses_reward_model(prm_config(config.reward)):
        wire_reward_model(config)
    outcome = config.reward.prm.get("outcome_reward_manager") or NAIVE
    prm = prm_config(config.reward)
    kind = "score function" if engine_of(prm) == SCORE_FUNCTION else "PRM"
    return (
        f"outcome reward from the reward manager {outcome['name']!r}, process rewards from the {kind} {judge_of(prm)}"
    )


def outcome_config(config: DictConfig) -> DictConfig:
    """Return the configuration as the wrapped outcome manager is to see it, with the reward manager the user named."""
    inner = copy.deepcopy(config)
    outcome = (config.reward.get("prm") or {}).get("outcome_reward_manager") or {}
    with open_dict(inner.reward):
        inner.reward.reward_manager = OmegaConf.merge(OmegaConf.create(NAIVE), outcome)
    without_default_scorer(inner.reward)
    return inner
