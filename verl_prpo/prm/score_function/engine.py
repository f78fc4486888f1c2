# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Score responses with a user's function. Calls have time limits and are repeated after faults.

Scores are remembered and checked as those of a PRM are.
"""

import asyncio
import hashlib
import math
import pickle
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from verl_prpo.prm.cache import AskedOnce, ScoreCache
from verl_prpo.prm.conversation import heard_by_step
from verl_prpo.prm.encoding.batch import RANGE_TOLERANCE
from verl_prpo.prm.encoding.response import shown_error
from verl_prpo.prm.encoding.shown import Shown, shown_steps
from verl_prpo.prm.results import PrmFailure, PrmRequest, PrmResult
from verl_prpo.prm.score_function.declared import HEARD, SETTING
from verl_prpo.prm.score_function.pool import CallFault, WorkerPool, start_worker, where
from verl_prpo.prm.score_function.process import WorkerProcess
from verl_prpo.settings.timeouts import BACKOFF, MAX_BACKOFF, SHARE_OF_TIMEOUT

if TYPE_CHECKING:
    from verl_prpo.settings.prpo import PrmConfig


@dataclass(frozen=True)
class FunctionScale:
    """What stands for the family of a score function: its name, and the range and prior of its scores.

    Attributes:
        name: the setting and the function's name.
        score_range: least and greatest score.
        max_context: None, since a function reads responses of any length.
    """

    name: str
    score_range: tuple[float, float]
    max_context: None = None

    @property
    def prior_mean(self) -> float:
        """The middle of the range."""
        return (self.score_range[0] + self.score_range[1]) / 2

    @property
    def prior_std(self) -> float:
        """The standard deviation of uniform scores on the range."""
        return (self.score_range[1] - self.score_range[0]) / math.sqrt(12)


@dataclass(frozen=True)
class Question:
    """A response to score. Equal requests share one."""

    payload: bytes
    steps: int


class ScoreFunctionEngine:
    """A score function in its processes. An instance belongs to the event loop in which it was opened."""

    def __init__(self, config: "PrmConfig", declared: dict[str, Any], first: WorkerProcess):
        """Args:
        config: `reward.prm`.
        declared: what the function declares of itself.
        first: the process that loaded it.
        """
        function = config.score_function
        self.family = FunctionScale(f"{SETTING}:{function.name}", tuple(declared["score_range"]))
        self.cache = ScoreCache(config.cache_size)
        self.pool = WorkerPool(config, declared["coroutine"], first)
        self.batched: bool = declared["batched"]
        self.hears: bool = declared[HEARD]
        self._config = config
        self._function = function

    async def close(self) -> None:
        """End the processes. Calls that are still open fail."""
        self.pool.close()

    async def score(self, requests: Sequence[PrmRequest]) -> list[PrmResult]:
        """Return one result per request, in their order, within `reward.prm.timeout`. Calls may overlap."""
        deadline = asyncio.get_running_loop().time() + self._config.timeout * SHARE_OF_TIMEOUT
        seen = [self._prepared(request) for request in requests]
        parts = [[] if isinstance(one, PrmResult) else [(_key(one[1]), one[1])] for one in seen]
        asked = AskedOnce(self.cache, parts)
        questions = list(asked.to_ask.values())
        size = self._function.batch_size if self.batched else 1
        calls = [self._ask(questions[i : i + size], deadline) for i in range(0, len(questions), size)]
        answers = asked.answers([found for part in await asyncio.gather(*calls) for found in part])
        return [
            one if isinstance(one, PrmResult) else _by_segment(one[0], *answer)
            for one, answer in zip(seen, answers, strict=True)
        ]

    def _prepared(self, request: PrmRequest) -> tuple[Shown, Question] | PrmResult:
        shown = shown_steps(request.segments, request.truncated, heard=request.heard, hidden=request.hidden)
        if not shown.steps:
            detail = f"none of the {len(request.segments)} segments has words that can be judged"
            return PrmResult(None, PrmFailure.BAD_INPUT, detail)
        row = dict(request.row)
        if self.hears:
            row[HEARD] = heard_by_step(shown.steps, shown.heard)
        try:
            payload = pickle.dumps((list(request.messages), shown.steps, row))
        except Exception as error:  # whatever an object in the row raises
            detail = f"the row cannot be handed to {SETTING}: {shown_error(error)}"
            return PrmResult(None, PrmFailure.BAD_INPUT, detail)
        return shown, Question(payload, len(shown.steps))

    async def _ask(self, part: Sequence[Question], deadline: float) -> list[PrmResult]:
        """Make one call, and return the scores of each of its responses, or their failure.

        A batch at fault is halved until the response at fault is alone.
        """
        loop = asyncio.get_running_loop()
        tries = 0
        while True:
            try:
                answers = await self.pool.call([question.payload for question in part], deadline)
            except CallFault as fault:
                tries += fault.counts
                if len(part) > 1 and not fault.final and fault.counts:
                    half = len(part) // 2
                    halves = await asyncio.gather(*(self._ask(p, deadline) for p in (part[:half], part[half:])))
                    return [*halves[0], *halves[1]]
                pause = random.uniform(0, min(MAX_BACKOFF, BACKOFF * 2 ** min(max(tries - 1, 0), 32)))
                if fault.final or tries > self._function.retries or loop.time() + pause >= deadline:
                    tried = f" (tried {tries} times)" if tries > 1 else ""
                    return [PrmResult(None, fault.kind, f"{where(self._config)}: {fault}{tried}")] * len(part)
            except Exception as error:  # of this engine, which is to disturb no other response
                return [PrmResult(None, PrmFailure.ENGINE_ERROR, f"{where(self._config)}: {shown_error(error)}")] * len(
                    part
                )
            else:
                return [self._checked(question, answer) for question, answer in zip(part, answers, strict=True)]
            await asyncio.sleep(pause)

    def _checked(self, question: Question, answer: Any) -> PrmResult:
        """Return the scores, once they are as many as the segments, finite and in the range, or else the failure."""
        low, high = self.family.score_range

        def failed(kind: PrmFailure, detail: str) -> PrmResult:
            return PrmResult(None, kind, f"{where(self._config)} {detail}")

        if isinstance(answer, str):
            return failed(PrmFailure.BAD_OUTPUT, f"returned {answer}")
        if len(answer) != question.steps:
            return failed(PrmFailure.WRONG_COUNT, f"returned {len(answer)} scores for {question.steps} segments")
        given = [score for score in answer if score is not None]
        if not all(map(math.isfinite, given)):
            return failed(PrmFailure.NON_FINITE, f"returned {answer}. A segment without a score of its own gets None")
        if given and (min(given) < low - RANGE_TOLERANCE or max(given) > high + RANGE_TOLERANCE):
            detail = f"returned {answer}, outside its range [{low:g}, {high:g}]. Declare another as its score_range"
            return failed(PrmFailure.OUT_OF_RANGE, detail)
        return PrmResult(answer)


async def open_score_function(config: "PrmConfig") -> ScoreFunctionEngine:
    """Open the engine of `reward.prm.score_function`, with one process that has loaded the function.

    Args:
        config: `reward.prm`.

    Raises:
        PrmError: the function cannot be used. The message names the setting, what was found and what to change.
    """
    worker, declared = await start_worker(config, config.startup_timeout)
    return ScoreFunctionEngine(config, declared, worker)


def _by_segment(shown: Shown, found: Sequence[PrmResult], cached: bool) -> PrmResult:
    (result,) = found
    if result.scores is None:
        return result
    return PrmResult([None if place is None else result.scores[place] for place in shown.places], cached=cached)


def _key(question: Question) -> bytes:
    return hashlib.blake2b(question.payload, digest_size=16).digest()
