# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Handle one worker process as its parent: start it, ask it, and end it with all that it started."""

import asyncio
import itertools
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from verl_prpo.prm.score_function.worker import LENGTH
from verl_prpo.settings.timeouts import WORKER_END_TIMEOUT

if TYPE_CHECKING:
    from verl_prpo.settings.prpo import ScoreFunction

_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from verl_prpo.prm.score_function.worker import main; main()"
)


class WorkerDied(Exception):
    """The process ended before it answered.

    Attributes:
        ended: whether it was ended at the time limit of a call.
        bystander: whether that was the time limit of another call.
    """

    def __init__(self, detail: str, ended: bool = False, bystander: bool = False):
        super().__init__(detail)
        self.ended = ended
        self.bystander = bystander


class WorkerProcess:
    """A process that holds the function. An instance belongs to the event loop in which it is made."""

    def __init__(self, function: "ScoreFunction"):
        """Args:
        function: `reward.prm.score_function`.
        """
        self._loop = asyncio.get_running_loop()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CODE, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a group of its own, which ends with it
        )
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count()
        self._declared: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._running: int | None = None
        self.dead = ""
        """What the process died of, or "" while it lives."""
        for work in (self._read, self._write):
            threading.Thread(target=work, daemon=True, name=f"score_function_{work.__name__}").start()
        self._send({"path": function.path, "name": function.name, "kwargs": function.kwargs})

    async def declaration(self, timeout: float) -> dict[str, Any]:
        """Wait for what the function declares, or under "unfit" for why it cannot be used.

        Raises:
            WorkerDied: the process ended.
            asyncio.TimeoutError: the file is not imported within `timeout` seconds.
        """
        return await asyncio.wait_for(asyncio.shield(self._declared), timeout)

    def ask(self, responses: Sequence[bytes], timeout: float) -> tuple[int, "asyncio.Future[dict[str, Any]]"]:
        """Begin a call.

        Args:
            responses: each a pickle of messages, segments, and the row with what was heard.
            timeout: time after which the caller ends the call, in seconds.

        Returns:
            The call's number and a future. It resolves to a dict with "scores" or "raised", or raises `WorkerDied`.
        """
        number = next(self._numbers)
        reply = self._loop.create_future()
        if self.dead:
            reply.set_exception(WorkerDied(self.dead))
            return number, reply
        self._waiting[number] = reply
        self._send({"id": number, "responses": list(responses), "timeout": timeout})
        return number, reply

    def cancel(self, number: int) -> None:
        """Ask a coroutine to end."""
        self._running = None
        self._send({"cancel": number})

    def kill(self, detail: str = "it was closed", by: int | None = None) -> None:
        """End the process and all that it started.

        Args:
            detail: why it is ended.
            by: the call whose time limit ran out. The other calls are bystanders, unless the process named one of them
                as running.
        """
        guilty = self._running if by is not None and self._running in self._waiting else by
        self._end(detail, guilty)
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._outgoing.put(None)

    def _end(self, detail: str, guilty: int | None = None) -> None:
        """Fail all calls that are waited for. Without a guilty call each may be at fault."""
        self.dead = self.dead or detail
        for number, reply in self._waiting.items():
            if not reply.done():
                ended = guilty is not None
                reply.set_exception(WorkerDied(self.dead, ended, bystander=ended and number != guilty))
        self._waiting = {}
        if not self._declared.done():
            self._declared.set_exception(WorkerDied(self.dead))
            self._declared.exception()  # seen, whoever asks

    def _send(self, frame: dict[str, Any]) -> None:
        body = pickle.dumps(frame)
        self._outgoing.put(LENGTH.pack(len(body)) + body)

    def _write(self) -> None:
        assert self._process.stdin is not None
        try:
            with self._process.stdin as pipe:
                while (frame := self._outgoing.get()) is not None:
                    pipe.write(frame)
                    pipe.flush()
        except OSError:  # the process is gone, as the reader finds too
            pass

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            while True:
                head = pipe.read(LENGTH.size)
                body = pipe.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else b""
                if not body:
                    break
                self._call_soon(self._take, json.loads(body))
        try:
            status = self._process.wait(WORKER_END_TIMEOUT)
        except subprocess.TimeoutExpired:  # it closed its output and lives on
            os.killpg(self._process.pid, signal.SIGKILL)
            status = self._process.wait()
        cause = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        self._call_soon(self._end, f"the process that ran it died ({cause})")

    def _call_soon(self, function: Any, argument: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, argument)
        except RuntimeError:  # the loop is closed: nobody waits any more
            pass

    def _take(self, reply: dict[str, Any]) -> None:
        if "id" in reply:
            waiting = self._waiting.pop(reply["id"], None)
            if waiting is not None and not waiting.done():
                waiting.set_result(reply)
        elif "running" in reply:
            self._running = reply["running"]
        elif not self._declared.done():
            self._declared.set_result(reply)
