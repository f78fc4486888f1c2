# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Call a score function in worker processes: a few calls at once, each within its time limit."""

import asyncio
import math
from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.results import PrmFailure
from verl_prpo.prm.score_function.declared import SETTING
from verl_prpo.prm.score_function.process import WorkerDied, WorkerProcess
from verl_prpo.settings.timeouts import CANCEL_GRACE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from verl_prpo.settings.prpo import PrmConfig

COROUTINES = 32
"""Calls of a coroutine at once in one replica, where `concurrency` is not set."""


class CallFault(Exception):
    """A call without scores.

    Attributes:
        kind: the kind of failure.
        counts: whether it was the call's own fault, so that it uses up one of the call's tries.
        final: whether no further try can help.
    """

    def __init__(self, kind: PrmFailure, detail: str, counts: bool = True, final: bool = False):
        super().__init__(detail)
        self.kind = kind
        self.counts = counts
        self.final = final


class WorkerPool:
    """One process for all calls of a coroutine, or for a plain function one process per call at once.

    An instance belongs to the event loop in which it is made.
    """

    def __init__(self, config: "PrmConfig", coroutine: bool, first: WorkerProcess):
        """Args:
        config: `reward.prm`.
        coroutine: whether the function is a coroutine.
        first: a process that has loaded the function. Others are started when they are needed.
        """
        self._config = config
        self._function = config.score_function
        self.coroutine = coroutine
        self.concurrency = self._function.concurrency or (
            COROUTINES if coroutine else max(1, math.floor(config.num_cpus_per_replica))
        )
        self._slots = asyncio.Semaphore(self.concurrency)
        self._workers = [first]
        self._idle = [first]
        self._starting = asyncio.Lock()
        self._closed = False

    def close(self) -> None:
        """End the processes. Calls that are still open fail."""
        self._closed = True
        for worker in self._workers:
            worker.kill()

    async def call(self, payloads: Sequence[bytes], deadline: float) -> list[Any]:
        """Call the function, and return what it gave for each response, unchecked.

        Args:
            payloads: each a pickle of messages, segments, and the row with what was heard.
            deadline: time of the event loop's clock after which nothing is waited for.

        Raises:
            CallFault: the function raised an error or took too long, or its process died.
        """
        async with self._worker(deadline) as worker:
            left = deadline - asyncio.get_running_loop().time()
            timeout = max(0.001, min(self._function.timeout, left))
            number, reply = worker.ask(payloads, timeout)
            await asyncio.wait({reply}, timeout=timeout)
            late = not reply.done()
            detail = f"no scores within {SETTING}.timeout={self._function.timeout:g} s"
            if timeout < self._function.timeout:
                detail = f"no scores within the {timeout:.3g} s left of reward.prm.timeout={self._config.timeout:g}"
            if late and self.coroutine:
                worker.cancel(number)
                await asyncio.wait({reply}, timeout=CANCEL_GRACE)
            if not reply.done():
                stuck = ", and it did not end when it was cancelled: it must await what takes time (no time.sleep)"
                worker.kill(f"{detail}{stuck if self.coroutine else ''}", number)
            try:
                answer = await reply
            except WorkerDied as death:
                if death.bystander:
                    raise CallFault(PrmFailure.TIMEOUT, str(death), counts=False) from None
                kind = PrmFailure.TIMEOUT if death.ended else PrmFailure.ENGINE_ERROR
                raise CallFault(kind, str(death)) from None
        if late:
            raise CallFault(PrmFailure.TIMEOUT, detail)
        if "scores" not in answer:
            raise CallFault(PrmFailure.ENGINE_ERROR, f"it raised {answer.get('raised', 'CancelledError')}")
        return answer["scores"]

    @asynccontextmanager
    async def _worker(self, deadline: float) -> "AsyncIterator[WorkerProcess]":
        """Lend a process with room for a call."""
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(self._slots.acquire(), max(0.001, deadline - loop.time()))
        except asyncio.TimeoutError:
            detail = (
                f"no process had room for it before reward.prm.timeout={self._config.timeout:g} s ran out. "
                f"More calls at once ({SETTING}.concurrency={self.concurrency}) or reward.prm.num_replicas give room"
            )
            raise CallFault(PrmFailure.TIMEOUT, detail, final=True) from None
        worker = None
        try:
            worker = await self._take(deadline)
            yield worker
        finally:
            self._slots.release()
            if worker is not None and not self.coroutine and not worker.dead:
                self._idle.append(worker)

    async def _take(self, deadline: float) -> WorkerProcess:
        """Return the one process of a coroutine, or an idle one of a plain function. Start one where there is none."""
        if not self.coroutine:
            self._idle = [worker for worker in self._idle if not worker.dead]
            return self._idle.pop() if self._idle else await self._start(deadline)
        async with self._starting:
            alive = [worker for worker in self._workers if not worker.dead]
            return alive[0] if alive else await self._start(deadline)

    async def _start(self, deadline: float) -> WorkerProcess:
        if self._closed:
            raise CallFault(PrmFailure.ENGINE_ERROR, "it was closed", final=True)
        left = deadline - asyncio.get_running_loop().time()
        try:
            worker, _ = await start_worker(self._config, min(left, self._config.startup_timeout))
        except PrmError as error:
            raise CallFault(PrmFailure.ENGINE_ERROR, str(error), final=True) from None
        self._workers = [*(worker for worker in self._workers if not worker.dead), worker]
        return worker


def where(config: "PrmConfig") -> str:
    """Name the setting of the function and its value, for messages."""
    return f"{SETTING} (path={config.score_function.path}, name={config.score_function.name})"


async def start_worker(config: "PrmConfig", timeout: float) -> tuple[WorkerProcess, dict[str, Any]]:
    """Start a process that loads the function, and return it and what the function declares.

    Raises:
        PrmError: the function cannot be loaded, or not within `timeout` seconds.
    """
    worker = WorkerProcess(config.score_function)
    try:
        declared = await worker.declaration(timeout)
    except asyncio.TimeoutError:
        worker.kill()
        raise PrmError(
            f"{where(config)}: importing it takes longer than {timeout:g} s. Import less at the top of the file, or "
            "raise reward.prm.startup_timeout"
        ) from None
    except WorkerDied as death:
        raise PrmError(f"{where(config)}: while it was imported, {death}") from None
    except BaseException:
        worker.kill()
        raise
    if "unfit" in declared:
        worker.kill()
        raise PrmError(f"{where(config)}: {declared['unfit']}")
    return worker, declared
