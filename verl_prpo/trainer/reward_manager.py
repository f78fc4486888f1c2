# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The reward manager `prm`: the outcome reward of the manager it wraps, and process scores.

It runs in verl's reward-loop workers. A response that comes as it finishes gets its outcome reward, as if the wrapped
manager stood alone; so validation is outcome-only. A training response that says where its own tokens are
(`verl_prpo.trainer.agent_loop`) is cut and scored meanwhile. A request of the trainer, marked by segment bounds, gets
the PRM's scores alone. A PRM that fails is reported in the result, never by an exception. The trainer decides what
becomes of it.
"""

import asyncio
import copy
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import register
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase
from verl.trainer.ppo.reward import load_reward_manager

from verl_prpo.method.segmentation import segment_bounds
from verl_prpo.prm.encoding.shown import shown_steps
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.replicas.client import PrmClient
from verl_prpo.prm.replicas.start import lookup_replicas
from verl_prpo.prm.results import PrmFailure, PrmResult
from verl_prpo.settings.prpo import MANAGER, prm_config, prpo_config
from verl_prpo.step.clock import clock_name
from verl_prpo.step.cutting import cut
from verl_prpo.text.segment_text import segment_texts
from verl_prpo.trainer.length_limit import length_limit
from verl_prpo.trainer.reward_model import uses_reward_model, wire_reward_model, without_default_scorer
from verl_prpo.trainer.schedule import fingerprint

FINISHED_RESPONSE = "finished_response"
PROCESS_REQUEST = "process_request"
PROCESS_RESULT = "process_result"
NAIVE = {"source": "register", "name": "naive", "module": {"path": None, "name": None}}


@dataclass(frozen=True)
class FinishedResponse:
    """A response of training, to be cut and scored while others are generated.

    Attributes:
        key: the row's TransferQueue key, `{uid}_{session}_{index}`.
        messages: the prompt as chat messages (`raw_prompt`).
        response_ids: token ids of the response, without padding.
        response_mask: 1 on the policy's own tokens, one per token.
        log_probs: of the sampled tokens under the rollout, one per token; None where the rollout keeps none.
        prompt_length: tokens of the prompt.
    """

    key: str
    messages: Sequence[dict[str, Any]]
    response_ids: list[int]
    response_mask: list[int]
    log_probs: list[float] | None = None
    prompt_length: int = 0


@dataclass(frozen=True)
class ProcessRequest:
    """One response whose segments the trainer wants scored.

    Attributes:
        key: the row's TransferQueue key, `{uid}_{session}_{index}`.
        messages: the prompt as chat messages (`raw_prompt`).
        response_ids: token ids of the response, without padding.
        bounds: half-open token spans that tile the response.
        truncated: whether it was cut off by a length limit.
    """

    key: str
    messages: Sequence[dict[str, Any]]
    response_ids: list[int]
    bounds: list[tuple[int, int]]
    truncated: bool = False


@dataclass
class ProcessResult:
    """What the PRM made of one response.

    Attributes:
        texts: the text of each segment; together they are the decoded response.
        scores: one per segment, None for a segment that the PRM did not judge; or None where there are none at all.
        failure: the kind of failure, or None. A response in which nothing can be judged (no words, or nothing but an
            unfinished segment) has neither scores nor a failure.
        detail: what went wrong, for people.
        tokens: length of the dialogue as the PRM read it.
        overlong: whether the dialogue was longer than the PRM's context, whatever was done about it.
        cached: whether the scores were remembered from an equal dialogue.
        unfinished: whether the last segment was not judged because the response was cut off within it.
        arrived, asked, answered: when the response came, the PRM was asked and had answered, in seconds of `clock`; the
            last two are equal where it was not asked.
        clock: which clock these were read from, see `verl_prpo.step.clock`.
        answered_at: the moment of the answer in seconds of the epoch, to tell an earlier run's results.
    """

    texts: list[str]
    scores: list[float | None] | None = None
    failure: str | None = None
    detail: str = ""
    tokens: int = 0
    overlong: bool = False
    cached: bool = False
    unfinished: bool = False
    arrived: float = field(default=0.0, compare=False)
    asked: float = field(default=0.0, compare=False)
    answered: float = field(default=0.0, compare=False)
    clock: str = field(default="", compare=False)
    answered_at: float = field(default=0.0, compare=False)

    @property
    def asked_about(self) -> bool:
        """Whether the PRM was asked: it gave scores or failed."""
        return self.scores is not None or self.failure is not None

    @property
    def unread(self) -> int:
        """Segments past the PRM's context, which have no score; an unfinished last segment is none of them."""
        return sum(score is None for score in (self.scores or [])[: -1 if self.unfinished else None])


@dataclass
class StreamedResult:
    """The result of a response that was cut and scored as it finished, on its way to the trainer.

    Attributes:
        starts: columns at which its segments start; None when it could not be cut.
        result: what the PRM made of it.
        fingerprint: of the settings it was cut and scored under, see `verl_prpo.trainer.schedule.fingerprint`.
    """

    starts: list[int] | None
    result: ProcessResult
    fingerprint: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as verl's agent loop passes on."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "StreamedResult":
        """Back from `as_dict`."""
        known = {entry.name for entry in fields(ProcessResult)}  # another version may have written it
        result = {name: value for name, value in data["result"].items() if name in known}
        return cls(data["starts"], ProcessResult(**result), data["fingerprint"])


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
        self.client = PrmClient(self.settings, lambda: lookup_replicas(self.settings))

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Score one response: by process if the trainer asks for that, by outcome if not, by both as it finishes.

        Raises:
            Exception: what the wrapped manager raises; nothing of the PRM's.
        """
        if PROCESS_REQUEST in data.non_tensor_batch:
            request: ProcessRequest = data.non_tensor_batch[PROCESS_REQUEST][0]
            arrived = time.monotonic()
            texts = segment_texts(self.tokenizer, request.response_ids, request.bounds)
            result = await self._process_scores(request.messages, texts, request.truncated, arrived)
            return {"reward_score": 0.0, "reward_extra_info": {}, PROCESS_RESULT: result}
        finished = data.non_tensor_batch.pop(FINISHED_RESPONSE, None)
        if finished is None:
            return await self.outcome_manager.run_single(data)
        streamed = asyncio.create_task(self._streamed(finished[0]))
        try:
            outcome = await self.outcome_manager.run_single(data)
            outcome["reward_extra_info"] = {
                **outcome.get("reward_extra_info", {}),
                PROCESS_RESULT: (await streamed).as_dict(),
            }
            return outcome
        finally:
            streamed.cancel()

    async def _streamed(self, response: FinishedResponse) -> StreamedResult:
        arrived = time.monotonic()
        starts = None
        try:
            # Off the event loop, which other responses share: a long one takes a while to be cut. Not in the loop's own
            # threads either, in which verifiers run.
            starts, texts = await asyncio.get_running_loop().run_in_executor(self._scissors, self._cut, response)
            truncated = self.limit.truncates(response.response_ids, response.prompt_length)
            result = await self._process_scores(response.messages, texts, truncated, arrived)
        except Exception as error:  # verl would take it for a failed rollout and try that again
            detail = f"{type(error).__name__}: {error}"
            result = _timed(ProcessResult([], None, PrmFailure.BAD_INPUT.value, detail), arrived, time.monotonic())
        return StreamedResult(starts, result, self.fingerprint)

    def _cut(self, response: FinishedResponse) -> tuple[list[int], list[str]]:
        """Columns at which the segments of a response start, and their texts."""
        signal = None if response.log_probs is None else -torch.tensor([response.log_probs], dtype=torch.float32)
        (row,) = cut(
            self.prpo,
            keys=[response.key],
            response_ids=[response.response_ids],
            response_mask=torch.tensor([response.response_mask], dtype=torch.long),
            signal=signal,
            tokenizer=self.tokenizer,
        )
        bounds = segment_bounds(row, len(response.response_ids))
        texts = segment_texts(self.tokenizer, response.response_ids, bounds)
        return row.nonzero()[:, 0].tolist(), texts

    async def _process_scores(
        self, messages: Sequence[dict[str, Any]], texts: list[str], truncated: bool, arrived: float
    ) -> ProcessResult:
        asked = time.monotonic()
        shown = shown_steps(texts, truncated)
        if not shown.steps:
            return _timed(ProcessResult(texts, unfinished=shown.unfinished), arrived, asked, asked)
        try:
            found = await self.client.score(list(messages), texts, truncated)
        except Exception as error:  # nobody there to ask, or a cluster that is gone in one of Ray's many ways
            detail = str(error) if isinstance(error, PrmError) else f"{type(error).__name__}: {error}"
            found = PrmResult(None, PrmFailure.ENGINE_ERROR, detail)
        result = ProcessResult(
            texts,
            found.scores,
            found.failure.value if found.failure is not None else None,
            found.detail,
            found.tokens,
            found.overlong,
            found.cached,
            shown.unfinished,
        )
        return _timed(result, arrived, asked)


def _timed(result: ProcessResult, arrived: float, asked: float, answered: float | None = None) -> ProcessResult:
    """The result with its times, of this node's monotonic clock; answered now where nothing else is said."""
    result.arrived, result.asked = arrived, asked
    result.answered = time.monotonic() if answered is None else answered
    result.clock, result.answered_at = clock_name(), time.time()
    return result


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
    if uses_reward_model(prm_config(config.reward)):
        wire_reward_model(config)
    outcome = config.reward.prm.get("outcome_reward_manager") or NAIVE
    prm = config.reward.prm.model_path
    return f"outcome reward from the reward manager {outcome['name']!r}, process rewards from the PRM {prm}"


def outcome_config(config: DictConfig) -> DictConfig:
    """The configuration as the wrapped outcome manager is to see it: with the reward manager the user named."""
    inner = copy.deepcopy(config)
    outcome = (config.reward.get("prm") or {}).get("outcome_reward_manager") or {}
    with open_dict(inner.reward):
        inner.reward.reward_manager = OmegaConf.merge(OmegaConf.create(NAIVE), outcome)
    without_default_scorer(inner.reward)
    return inner
