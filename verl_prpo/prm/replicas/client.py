# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Ask the PRM replicas for scores, from an async actor such as verl's reward-loop workers.

Requests that arrive together travel together. Each replica has a bounded number of calls per client, so that the rest
can still go to whichever replica is free first.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayActorError, RayTaskError

from verl_prpo.prm.conversation import Heard
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.replicas.routing import Asked, Replica, plan_calls
from verl_prpo.prm.results import PrmFailure, PrmRequest, PrmResult
from verl_prpo.prm.score_function.pool import COROUTINES
from verl_prpo.settings.prm import SCORE_FUNCTION
from verl_prpo.settings.prpo import PrmConfig, engine_of
from verl_prpo.settings.timeouts import LINGER

REQUESTS_PER_CALL = 32
"""Requests in one call to a PRM in process: enough to fill forward passes, few enough to share among replicas."""

CALLS_AT_ONCE = 2
"""Calls in flight per replica: one running and one queued, so the replica never waits for the next."""

NOT_THERE = "it is not there: it died or was never started"


class PrmClient:
    """A client of the replicas. An instance belongs to the event loop that first calls `score`.

    A replica that died or was not found gets no more requests. One that let a call run out of time gets none until that
    call is back. With no replica left, requests fail at once and do not wait for their timeout. Requests whose replica
    died while it had them are tried once more, at another one. Nothing else is tried twice, for the same weights give
    the same result.
    """

    def __init__(self, config: PrmConfig, get_replicas: Callable[[], Sequence[ActorHandle | None]]):
        """Args:
        config: `reward.prm`. Its `timeout` bounds each request, from its arrival here to its scores.
        get_replicas: gives the actors of `start_replicas`, in order, None for one that is not there. It is called once,
            at the first request.
        """
        self._timeout = config.timeout
        self._requests_per_call, self._calls_per_replica = call_limits(config)
        self._get_replicas = get_replicas
        self._replicas: list[Replica] = []
        self._waiting: list[Asked] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._departure: asyncio.TimerHandle | None = None

    async def score(
        self,
        messages: Sequence[dict[str, Any]],
        segments: Sequence[str],
        truncated: bool = False,
        *,
        heard: Sequence[Heard] = (),
        row: Mapping[str, Any] | None = None,
        hidden: Sequence[bool] = (),
    ) -> PrmResult:
        """Score one response. The result holds its scores or the failure.

        Args:
            messages: the prompt as chat messages.
            segments: texts whose concatenation is the response.
            truncated: whether the response was cut off by its length limit.
            heard: what tools and others said in the middle of the response.
            row: the row of the data, for a score function.
            hidden: which segments the PRM is not shown.

        Raises:
            PrmError: the replicas cannot be found or called.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[PrmResult] = loop.create_future()
        request = PrmRequest(messages, segments, truncated, heard=heard, row=row or {}, hidden=hidden)
        self._waiting.append(Asked(request, future))
        if self._departure is None:
            self._departure = loop.call_later(LINGER, self._dispatch)
        try:
            return await asyncio.wait_for(future, self._timeout)
        except asyncio.TimeoutError:
            return self._timed_out()

    def _dispatch(self) -> None:
        """Hand waiting requests to replicas that are free. This runs again whenever a call is back."""
        if self._departure is not None:
            self._departure.cancel()
            self._departure = None
        self._waiting = [asked for asked in self._waiting if not asked.result.done()]
        if not self._waiting:
            return
        try:
            if not self._replicas:
                self._replicas = [
                    Replica(f"prm_replica_{i}", handle, death=NOT_THERE if handle is None else "")
                    for i, handle in enumerate(self._get_replicas())
                ]
                random.shuffle(self._replicas)  # the clients' first requests do not all go to the same one
        except Exception as error:
            self._fail(self._waiting, error)
            self._waiting = []
            return
        if not any(replica.usable for replica in self._replicas):
            self._answer(self._waiting, [self._nobody_left()] * len(self._waiting))
            self._waiting = []
            return
        calls = plan_calls(self._waiting, self._replicas, self._calls_per_replica, self._requests_per_call)
        leaving = {asked for _, chunk in calls for asked in chunk}
        self._waiting = [asked for asked in self._waiting if asked not in leaving]
        for replica, chunk in calls:
            replica.calls += 1
            replica.requests += len(chunk)
            replica.sent += len(chunk)
            call = asyncio.get_running_loop().create_task(self._call(replica, chunk))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _call(self, replica: Replica, chunk: list[Asked]) -> None:
        assert replica.handle is not None, replica.death
        try:
            ref = replica.handle.score.remote([asked.request for asked in chunk])
            answer = asyncio.wrap_future(ref.future())
        except Exception as error:  # a request that cannot be serialised, a cluster that is gone
            replica.calls -= 1
            replica.requests -= len(chunk)
            self._fail(chunk, PrmError(f"the PRM cannot be called: {type(error).__name__}: {error}"))
            return
        answer.add_done_callback(lambda answer: self._settle(replica, len(chunk), answer))
        done, _ = await asyncio.wait({answer}, timeout=self._timeout)
        if not done:
            replica.overdue.add(answer)
            ray.cancel(ref)  # takes it off the replica's queue; a pass that already runs is not interrupted
            self._answer(chunk, [self._timed_out()] * len(chunk))
            self._dispatch()
            return
        fault = answer.exception()
        if fault is None:
            self._answer(chunk, [_at(replica, result) for result in answer.result()])
        elif isinstance(fault, RayActorError | OutOfMemoryError):
            self._try_elsewhere(replica, chunk, first_line(fault))
        else:
            cause = fault.cause if isinstance(fault, RayTaskError) else fault
            named = str(cause) if isinstance(cause, PrmError) else f"{type(cause).__name__}: {cause}"
            self._answer(chunk, [_at(replica, PrmResult(None, PrmFailure.ENGINE_ERROR, named))] * len(chunk))

    def _settle(self, replica: Replica, requests: int, answer: asyncio.Future) -> None:
        replica.calls -= 1
        replica.requests -= requests
        replica.overdue.discard(answer)
        error = None if answer.cancelled() else answer.exception()
        if isinstance(error, ActorDiedError | OutOfMemoryError):
            replica.death = first_line(error)
        self._dispatch()

    def _try_elsewhere(self, replica: Replica, chunk: list[Asked], death: str) -> None:
        others = any(other.usable and other is not replica for other in self._replicas)
        again = [asked for asked in chunk if others and asked.died_at is None]
        rest = [asked for asked in chunk if not others or asked.died_at is not None]
        for asked in again:
            asked.died_at = replica
        self._waiting = again + self._waiting
        died = PrmResult(None, PrmFailure.REPLICA_DIED, f"{replica.name}: {death}")
        self._answer(rest, [died] * len(rest))
        self._dispatch()

    def _answer(self, chunk: Sequence[Asked], results: Sequence[PrmResult]) -> None:
        for asked, result in zip(chunk, results, strict=True):
            if not asked.result.done():
                asked.result.set_result(result)

    def _fail(self, chunk: Sequence[Asked], error: Exception) -> None:
        for asked in chunk:
            if not asked.result.done():
                asked.result.set_exception(error)

    def _timed_out(self) -> PrmResult:
        detail = (
            f"no scores within {self._timeout:g} s. A larger reward.prm.timeout gives the PRM more time, "
            "and a larger reward.prm.num_replicas more replicas"
        )
        return PrmResult(None, PrmFailure.TIMEOUT, detail)

    def _nobody_left(self) -> PrmResult:
        late = sorted(replica.name for replica in self._replicas if replica.overdue and not replica.death)
        if late:
            detail = (
                f"{', '.join(late)} let a call run past reward.prm.timeout={self._timeout:g} s and is still not back. "
                "No other replica is left"
            )
            return PrmResult(None, PrmFailure.TIMEOUT, detail)
        deaths = "; ".join(sorted(f"{replica.name}: {replica.death}" for replica in self._replicas))
        return PrmResult(None, PrmFailure.REPLICA_DIED, f"no replica is left ({deaths})")


def call_limits(config: PrmConfig) -> tuple[int, int]:
    """Return the most requests in one call, and the most calls of one client in flight at a replica.

    A replica in process reads one call at a time. One with servers behind it has as many requests of its own under way
    as its servers take. One with a score function has as many under way as the function may have calls at once.
    """
    if engine_of(config) == "in_process":
        return REQUESTS_PER_CALL, CALLS_AT_ONCE
    if engine_of(config) == SCORE_FUNCTION:
        return config.score_function.batch_size, CALLS_AT_ONCE * (config.score_function.concurrency or COROUTINES)
    requests = config.server.concurrency * max(1, len(config.server.urls))
    return config.server.prompts_per_request, CALLS_AT_ONCE * requests


def _at(replica: Replica, result: PrmResult) -> PrmResult:
    """Return the result, with the replica's name in its detail where the replica's own fault made it a failure."""
    if result.failure is not PrmFailure.ENGINE_ERROR:
        return result
    return replace(result, detail=f"{replica.name}: {result.detail}")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its type where it has none."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
