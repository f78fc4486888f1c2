# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Asks the PRM replicas for scores from an async actor, such as verl's reward-loop workers.

Requests that arrive together travel together; each replica has at most one call running and one waiting per client, so
that the rest can still go to whichever replica is free first.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, RayActorError, RayTaskError

from verl_prpo.prm.family import PrmError
from verl_prpo.prm.results import PrmFailure, PrmRequest, PrmResult

if TYPE_CHECKING:
    from verl_prpo.config import PrmConfig

LINGER = 0.005
"""Seconds for which a first request waits for others to travel with it."""

MAX_REQUESTS_PER_CALL = 32
"""Enough to fill forward passes, few enough to share the load among replicas."""

MAX_CALLS_PER_REPLICA = 2
"""One that runs and one that waits, so that a replica is never idle between two."""

NOT_THERE = "it is not there: it died or was never started"


@dataclass
class _Replica:
    name: str
    handle: ActorHandle | None
    calls: int = 0
    requests: int = 0
    death: str = ""
    overdue: set[asyncio.Future] = field(default_factory=set)

    @property
    def usable(self) -> bool:
        return not self.death and not self.overdue


class PrmClient:
    """Scores through replicas; belongs to the event loop that first calls `score`.

    A replica that died or was not found gets no more requests, one that let a call run out of time gets none until that
    call is back. With no replica left, requests fail at once instead of waiting their turn to fail. Nothing is tried
    twice: the same weights give the same result.
    """

    def __init__(self, config: "PrmConfig", get_replicas: Callable[[], Sequence[ActorHandle | None]]):
        """Args:
        config: `reward.prm`; its `timeout` bounds each request, from its arrival here to its scores.
        get_replicas: gives the actors of `start_replicas`, in order, None for one that is not there; called once, at
            the first request.
        """
        self._timeout = config.timeout
        self._get_replicas = get_replicas
        self._replicas: list[_Replica] = []
        self._waiting: deque[tuple[PrmRequest, asyncio.Future[PrmResult]]] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._departure: asyncio.TimerHandle | None = None

    async def score(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> PrmResult:
        """Scores of one response, or the failure it met.

        Args:
            messages: the prompt as chat messages.
            segments: texts whose concatenation is the response.

        Raises:
            PrmError: the replicas cannot be found, or scoring fails for a reason that is not this response's own.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[PrmResult] = loop.create_future()
        self._waiting.append((PrmRequest(messages, segments), future))
        if self._departure is None:
            self._departure = loop.call_later(LINGER, self._dispatch)
        try:
            return await asyncio.wait_for(future, self._timeout)
        except asyncio.TimeoutError:
            return self._timed_out()

    def _dispatch(self) -> None:
        """Hand waiting requests to replicas that are free; runs again whenever a call is back."""
        if self._departure is not None:
            self._departure.cancel()
            self._departure = None
        waiting = self._waiting = deque(entry for entry in self._waiting if not entry[1].done())
        if not waiting:
            return
        try:
            if not self._replicas:
                self._replicas = [
                    _Replica(f"prm_replica_{i}", handle, death=NOT_THERE if handle is None else "")
                    for i, handle in enumerate(self._get_replicas())
                ]
        except Exception as error:
            _fail(waiting, error)
            waiting.clear()
            return
        usable = [replica for replica in self._replicas if replica.usable]
        if not usable:
            _answer(waiting, [self._nobody_left()] * len(waiting))
            waiting.clear()
            return
        share = min(MAX_REQUESTS_PER_CALL, math.ceil(len(waiting) / len(usable)))
        while waiting:
            free = [replica for replica in usable if replica.calls < MAX_CALLS_PER_REPLICA]
            if not free:
                return
            replica = min(free, key=lambda replica: replica.requests)
            chunk = [waiting.popleft() for _ in range(min(share, len(waiting)))]
            replica.calls += 1
            replica.requests += len(chunk)
            call = asyncio.get_running_loop().create_task(self._call(replica, chunk))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _call(self, replica: _Replica, chunk: list[tuple[PrmRequest, asyncio.Future[PrmResult]]]) -> None:
        assert replica.handle is not None, replica.death
        try:
            ref = replica.handle.score.remote([request for request, _ in chunk])
            answer = asyncio.wrap_future(ref.future())
        except Exception as error:  # a request that cannot be serialised, a cluster that is gone
            replica.calls -= 1
            replica.requests -= len(chunk)
            _fail(chunk, PrmError(f"the PRM cannot be called: {type(error).__name__}: {error}"))
            return
        answer.add_done_callback(lambda answer: self._settle(replica, len(chunk), answer))
        done, _ = await asyncio.wait({answer}, timeout=self._timeout)
        if not done:
            replica.overdue.add(answer)
            ray.cancel(ref)  # takes it off the replica's queue; a pass that already runs is not interrupted
            _answer(chunk, [self._timed_out()] * len(chunk))
            self._dispatch()
            return
        fault = answer.exception()
        if fault is None:
            _answer(chunk, answer.result())
        elif isinstance(fault, RayActorError):
            died = PrmResult(None, PrmFailure.REPLICA_DIED, f"{replica.name}: {_first_line(fault)}")
            _answer(chunk, [died] * len(chunk))
        else:
            cause = fault.cause if isinstance(fault, RayTaskError) else fault
            named = cause if isinstance(cause, PrmError) else f"{type(cause).__name__}: {cause}"
            _answer(chunk, [PrmResult(None, PrmFailure.ENGINE_ERROR, f"{replica.name}: {named}")] * len(chunk))

    def _settle(self, replica: _Replica, requests: int, answer: asyncio.Future) -> None:
        replica.calls -= 1
        replica.requests -= requests
        replica.overdue.discard(answer)
        error = None if answer.cancelled() else answer.exception()
        if isinstance(error, ActorDiedError):
            replica.death = _first_line(error)
        self._dispatch()

    def _timed_out(self) -> PrmResult:
        detail = (
            f"no scores within {self._timeout:g} s; a larger reward.prm.timeout gives the PRM more time, "
            "a larger reward.prm.num_replicas more copies"
        )
        return PrmResult(None, PrmFailure.TIMEOUT, detail)

    def _nobody_left(self) -> PrmResult:
        late = [replica.name for replica in self._replicas if replica.overdue and not replica.death]
        if late:
            detail = (
                f"{', '.join(late)} let a call run past reward.prm.timeout={self._timeout:g} s and is still not back; "
                "no other replica is left"
            )
            return PrmResult(None, PrmFailure.TIMEOUT, detail)
        deaths = "; ".join(f"{replica.name}: {replica.death}" for replica in self._replicas)
        return PrmResult(None, PrmFailure.REPLICA_DIED, f"no replica is left ({deaths})")


def _answer(chunk: Sequence[tuple[PrmRequest, asyncio.Future]], results: Sequence[PrmResult]) -> None:
    for (_, future), result in zip(chunk, results, strict=True):
        if not future.done():
            future.set_result(result)


def _fail(chunk: Sequence[tuple[PrmRequest, asyncio.Future]], error: Exception) -> None:
    for _, future in chunk:
        if not future.done():
            future.set_exception(error)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
