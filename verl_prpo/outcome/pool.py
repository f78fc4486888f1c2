# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Worker processes that compare answers, each killed for good when an answer takes too long.

The workers are programs of their own that read lines. Those of pebble and `multiprocessing` are forks on Linux, which
copy the threads and channels of a Ray actor in whatever state they are. Or they are spawned, and import their parent's
main module anew, which in a Ray actor is Ray's.
"""

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from typing import Any

from verl_prpo.outcome.latex import Unread
from verl_prpo.settings.timeouts import WORKER_END_TIMEOUT, WORKER_QUEUE, WORKER_START_TIMEOUT

_TASKS_PER_WORKER = 5000
"""The number of comparisons after which a worker is replaced, since SymPy's caches grow."""

_CODE = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from verl_prpo.outcome.worker import main; main()"


class TimedOut(Exception):
    """An answer took longer than its time limit."""


class WorkerFailed(Exception):
    """A worker could not be started, or died of an answer."""


class _Worker:
    """One process. Only one thread uses it at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CODE, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.tasks = 0
        self._unread = b""
        try:
            self._reply(WORKER_START_TIMEOUT)
        except (TimedOut, WorkerFailed) as error:
            self.kill()
            raise WorkerFailed(
                f"no worker could be started to compare answers: {error}. Does `python -c 'import "
                "verl_prpo.outcome.symbolic'` work here?"
            ) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, answer: str, truth: str, timeout: float) -> dict[str, Any]:
        self.tasks += 1
        line = json.dumps({"answer": answer, "truth": truth, "timeout": timeout}) + "\n"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except OSError as error:
            raise WorkerFailed("the worker was gone") from error
        return self._reply(timeout)

    def _reply(self, timeout: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        end = time.monotonic() + timeout
        while b"\n" not in self._unread:
            left = end - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise TimedOut(f"no answer within {timeout:g} s")
            read = os.read(descriptor, 65536)
            if not read:
                raise WorkerFailed("the worker died")
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:  # what was not yet written has nobody to read it
                pass
        self._process.wait(timeout=WORKER_END_TIMEOUT)


class WorkerPool:
    """At most `size` workers, started when they are needed and killed at exit. Safe to use from many threads.

    Args:
        size: most workers.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(size)

    def equal(self, answer: str, truth: str, timeout: float) -> bool:
        """Decide whether an answer equals the ground truth, see `verl_prpo.outcome.compare.equal`.

        Args:
            timeout: longest comparison, in seconds. Waiting for a worker does not count.

        Raises:
            TimedOut: the comparison took longer, and its worker was killed.
            Unread: the answer or the ground truth is in no known notation.
            WorkerFailed: no worker could be started, two died of this answer, or the comparison raised an error.
        """
        if not self._slots.acquire(timeout=WORKER_START_TIMEOUT + WORKER_QUEUE * timeout):
            raise WorkerFailed(f"all {self.size} workers stayed busy")
        try:
            for attempt in (1, 2):
                worker = self._take() if attempt == 1 else self._start()
                try:
                    reply = worker.ask(answer, truth, timeout)
                except TimedOut:
                    self._drop(worker)
                    raise
                except WorkerFailed:  # killed from outside while idle, or by this very answer
                    self._drop(worker)
                    if attempt == 2:
                        raise
                    continue
                except BaseException:
                    self._drop(worker)
                    raise
                self._give_back(worker)
                if "unread" in reply:
                    raise Unread(reply["unread"])
                if "error" in reply:
                    raise WorkerFailed(reply["error"])
                return reply["equal"]
            raise AssertionError("unreachable")
        finally:
            self._slots.release()

    def pids(self) -> list[int]:
        """Return the process ids of the workers that are alive."""
        with self._lock:
            return [worker.pid for worker in self._all]

    def close(self) -> None:
        """Kill all workers."""
        with self._lock:
            workers, self._all, self._idle = list(self._all), set(), []
        for worker in workers:
            worker.kill()

    def _take(self) -> _Worker:
        """Return an idle worker that is alive, or a new one once it is ready, so that its start counts for no time
        limit.
        """
        while True:
            with self._lock:
                idle = self._idle.pop() if self._idle else None
            if idle is None:
                return self._start()
            if idle.is_alive():
                return idle
            self._drop(idle)  # killed from outside, perhaps with all the others

    def _start(self) -> _Worker:
        worker = _Worker()
        with self._lock:
            self._all.add(worker)
        return worker

    def _give_back(self, worker: _Worker) -> None:
        if worker.tasks >= _TASKS_PER_WORKER:
            self._drop(worker)
            return
        with self._lock:
            if worker in self._all:
                self._idle.append(worker)

    def _drop(self, worker: _Worker) -> None:
        with self._lock:
            self._all.discard(worker)
        worker.kill()


_pools: dict[int, WorkerPool] = {}
_pools_lock = threading.Lock()


def shared_pool() -> WorkerPool:
    """Return the pool of this process, which has as many workers as the process has CPUs, but 4 at most."""
    with _pools_lock:
        pid = os.getpid()  # a forked child must not talk to its parent's workers
        if pid not in _pools:
            _pools.clear()
            _pools[pid] = WorkerPool(min(4, len(os.sched_getaffinity(0))))
            atexit.register(_pools[pid].close)
        return _pools[pid]
