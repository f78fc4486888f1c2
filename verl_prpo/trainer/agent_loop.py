# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""verl's agent loop, whose workers give the reward manager what it needs to cut and score a response as it finishes.

verl hands a reward manager the tokens of a response, but not which of them are the policy's own, nor their
log-probabilities, nor whether the response is of training or of validation. The workers here add that, and put the
process scores that come back beside verl's own reward information, which stays as it was.
"""

from contextvars import ContextVar
from typing import Any

import ray
from verl.experimental.agent_loop import AgentLoopOutput
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ, AgentLoopWorkerTQ

from verl_prpo.step.messages import SCORES, TO_SCORE_BESIDE, FinishedSession, ToScore
from verl_prpo.trainer.prompts import messages_of

_training: ContextVar[bool] = ContextVar("verl_prpo_training", default=False)
"""True if the session of this asyncio task is of training. Each session has a task of its own."""


class StreamingAgentLoopWorker(AgentLoopWorkerTQ.__ray_actor_class__):
    """verl's agent loop worker for the TransferQueue, before Ray makes an actor of it."""

    def __init__(self, *args: Any, **kwargs: Any):
        # Of its own, though it adds nothing: Ray sends the actor's __init__ by value, and that of the base class would
        # arrive with a second copy of its class, which super() refuses.
        super().__init__(*args, **kwargs)

    async def _agent_loop_postprocess(
        self, output: AgentLoopOutput | list[AgentLoopOutput], validate: bool, **kwargs: Any
    ) -> None:
        token = _training.set(not validate)
        try:
            await super()._agent_loop_postprocess(output, validate, **kwargs)
        finally:
            _training.reset(token)

    async def _compute_score(self, outputs: list[AgentLoopOutput], kwargs: dict[str, Any]) -> None:
        if not _training.get():
            await super()._compute_score(outputs, kwargs)
            return
        responses = [
            ToScore(
                key=f"{kwargs['uid']}_{kwargs['session_id']}_{index}",
                messages=messages_of(index, kwargs["raw_prompt"], output.prompt_ids, self.tokenizer),
                response_ids=list(output.response_ids),
                response_mask=list(output.response_mask),
                log_probs=None if output.response_logprobs is None else list(output.response_logprobs),
                prompt_length=len(output.prompt_ids),
                prompt_ids=list(output.prompt_ids),
            )
            for index, output in enumerate(outputs)
        ]
        beside = FinishedSession(responses) if len(responses) > 1 else responses[0]
        await super()._compute_score(outputs, {**kwargs, TO_SCORE_BESIDE: beside})
        scored = outputs[-1].extra_fields.get("reward_extra_info") or {}
        if SCORES in scored:
            scores = scored.pop(SCORES)
            for output, of_output in zip(outputs, scores if len(outputs) > 1 else [scores], strict=True):
                output.extra_fields[SCORES] = of_output


class StreamingAgentLoopManager(AgentLoopManagerTQ):
    """verl's agent loop manager for the TransferQueue, with the workers of this module."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.agent_loop_workers_class = ray.remote(StreamingAgentLoopWorker)
