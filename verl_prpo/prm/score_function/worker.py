# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Run a score function in a process that takes calls as frames and answers each with one. It is ended when one hangs.

A frame is its length and a body. The body is pickle on the way in and JSON on the way out, so that nothing that a
function makes is unpickled elsewhere. What the function prints goes to the error output, and so to the log of whoever
started the worker.
"""

import asyncio
import inspect
import json
import os
import pickle
import queue
import signal
import struct
import sys
import threading
import traceback
from typing import Any, BinaryIO

from verl_prpo.prm.score_function.declared import HEARD, Declared, Unfit, load_function
from verl_prpo.prm.score_function.outputs import plain_batch, plain_scores
from verl_prpo.settings.timeouts import CALL_GRACE

LENGTH = struct.Struct("<Q")

_SHOWN = 1000
"""Most characters of an error that are passed on. The log has the traceback."""

_LOGGED = 20
"""Most different errors whose traceback a worker writes into the log."""


class Worker:
    """Reads frames in a thread of its own, so that the process ends with its input, whatever the function does."""

    def __init__(self, calls: BinaryIO, replies: BinaryIO):
        self._calls = calls
        self._replies = replies
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shown: set[str] = set()

    def run(self) -> None:
        """Load the function, reply with what it declares, and serve until the input ends."""
        threading.Thread(target=self._read, daemon=True).start()
        named = self._queue.get()
        try:
            function = load_function(named["path"], named["name"], named["kwargs"])
        except Unfit as error:
            if error.__cause__ is not None:
                traceback.print_exception(error.__cause__)
            self._reply({"unfit": str(error)})
            return
        low, high = function.score_range
        kind = {"coroutine": function.coroutine, "batched": function.batched, HEARD: HEARD in function.takes}
        self._reply({**kind, "score_range": [low, high]})
        if function.coroutine:
            asyncio.run(self._serve_coroutine(function))
        else:
            self._serve(function)

    def _read(self) -> None:
        try:
            while True:
                (length,) = LENGTH.unpack(_exactly(self._calls, LENGTH.size))
                call = pickle.loads(_exactly(self._calls, length))
                if "cancel" in call and self._loop is not None:
                    self._reply({"running": self._running()})  # from here: the loop may stand still
                    self._loop.call_soon_threadsafe(self._cancel, call["cancel"])
                    continue
                self._queue.put(call)
                if self._loop is not None:
                    self._loop.call_soon_threadsafe(self._begin_all)
        finally:  # the parent closed the input or is dead
            if os.getpgid(0) == os.getpid():
                os.killpg(0, signal.SIGKILL)  # with what the function started
            os._exit(0)

    def _serve(self, function: Declared) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        while True:
            call = self._queue.get()
            signal.setitimer(signal.ITIMER_REAL, call["timeout"] + CALL_GRACE)
            try:
                returned = function(*_arguments(function, call))
                if inspect.isawaitable(returned):
                    returned = asyncio.run(_awaited(returned))
                answer = _answer(function, call, returned)
            except BaseException as error:
                answer = self._fault(error)
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._reply({"id": call["id"], **answer})

    async def _serve_coroutine(self, function: Declared) -> None:
        self._function = function
        self._loop = asyncio.get_running_loop()
        self._begin_all()
        await asyncio.Event().wait()

    def _begin_all(self) -> None:
        while not self._queue.empty():
            call = self._queue.get()
            self._tasks[call["id"]] = asyncio.get_running_loop().create_task(self._run(call))

    def _running(self) -> int | None:
        """Return the number of the call whose code runs at this moment, or None."""
        task = asyncio.current_task(self._loop)
        return next((number for number, one in list(self._tasks.items()) if one is task), None)

    def _cancel(self, number: int) -> None:
        if number in self._tasks:
            self._tasks[number].cancel()

    async def _run(self, call: dict[str, Any]) -> None:
        function = self._function
        try:
            answer = _answer(function, call, await function(*_arguments(function, call)))
        except BaseException as error:
            answer = self._fault(error)
        self._tasks.pop(call["id"], None)
        self._reply({"id": call["id"], **answer})

    def _fault(self, error: BaseException) -> dict[str, Any]:
        if isinstance(error, asyncio.CancelledError):
            return {"cancelled": True}
        try:
            text = f"{type(error).__name__}: {error}"
        except Exception:  # an error that cannot write itself
            text = type(error).__name__
        place = traceback.extract_tb(error.__traceback__)[-1]
        fault = f"{text[:_SHOWN]} ({os.path.basename(place.filename)}, line {place.lineno})"
        if fault not in self._shown and len(self._shown) < _LOGGED:
            self._shown.add(fault)
            traceback.print_exception(error)
        return {"raised": fault}

    def _reply(self, reply: dict[str, Any]) -> None:
        body = json.dumps(reply).encode()
        with self._lock:
            self._replies.write(LENGTH.pack(len(body)) + body)
            self._replies.flush()


def main() -> None:
    """Serve the parent on the standard input and output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the trainer, whose end ends the input
    calls, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what the function prints is no reply
    sys.stdout = sys.stderr
    Worker(calls, replies).run()


def _arguments(function: Declared, call: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """Return messages, segments and row of a call.

    Each response was pickled by itself, so that no two share an object that the function may change.
    """
    responses = [pickle.loads(response) for response in call["responses"]]
    if not function.batched:
        return responses[0]
    messages, segments, rows = map(list, zip(*responses, strict=True))
    return messages, segments, {name: [row.get(name) for row in rows] for name in function.takes}


def _answer(function: Declared, call: dict[str, Any], returned: Any) -> dict[str, Any]:
    if function.batched:
        return {"scores": plain_batch(returned, len(call["responses"]))}
    return {"scores": [plain_scores(returned)]}


async def _awaited(returned: Any) -> Any:
    return await returned


def _exactly(source: BinaryIO, length: int) -> bytes:
    found = source.read(length)
    if len(found) < length:
        raise EOFError
    return found


if __name__ == "__main__":
    main()
