# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Work for several processes that may be stopped at any time: no job hangs unseen, no worker outlives the study."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

AGAIN = "the same command goes on from what is finished"
PATIENCE = 900.0
"""Seconds without a finished job after which something must be wrong: a job takes a minute or two."""


class StudyError(Exception):
    """A study that cannot go on; the message says what to do."""


@dataclass(frozen=True)
class Job:
    """Something to do in a worker.

    Attributes:
        name: for people.
        cost: about how many seconds it takes one idle core; only ratios matter.
        do, arguments: what is called.
    """

    name: str
    cost: float
    do: Callable[..., None]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Workers:
    """Processes that do jobs.

    Attributes:
        pool: of processes.
        count: how many.
        deadline: by the monotonic clock, after which nothing is begun.
    """

    pool: Executor
    count: int
    deadline: float


@contextmanager
def pooled(count: int, hours: float) -> Iterator[Workers]:
    """Workers that begin nothing after some hours. They finish what is under way, or are killed when one hangs."""
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), prepare_worker)
    try:
        yield Workers(pool, count, time.monotonic() + 3600 * hours)
    except KeyboardInterrupt:
        print(f"\nending what is under way; Ctrl-C once more drops it. Afterwards {AGAIN}", file=sys.stderr)
        raise
    except StudyError:
        kill_workers()  # one that hangs would be waited for
        raise
    finally:
        try:
            pool.shutdown(cancel_futures=True)
        except KeyboardInterrupt:
            kill_workers()
            raise


def work(stage: str, jobs: Sequence[Job], workers: Workers, later: float = 0.0) -> bool:
    """Do jobs, telling how far they are; nothing is begun after the deadline.

    Args:
        stage: for people.
        jobs: in the order in which they are begun.
        workers: that do them.
        later: seconds of one core that other stages will take, for the estimate of the time left.

    Returns:
        Whether all were done.

    Raises:
        StudyError: no job ended for `PATIENCE` seconds, or a worker was killed.
    """
    began = told = time.monotonic()
    left = list(jobs)
    under_way: dict[Future[None], Job] = {}
    total, done, count = sum(job.cost for job in jobs), 0.0, 0
    while left or under_way:
        try:
            while left and len(under_way) < workers.count and time.monotonic() < workers.deadline:
                job = left.pop(0)
                under_way[_submitted(workers.pool, job)] = job
            if not under_way:
                print(f"{stage}: time is up with {len(left)} of {len(jobs)} undone; {AGAIN}")
                return False
            ended, _ = wait(under_way, timeout=PATIENCE, return_when=FIRST_COMPLETED)
            for future in ended:
                future.result()
        except BrokenProcessPool as error:
            amid = _names(under_way)
            raise StudyError(f"a worker was killed, for want of memory perhaps, amid {amid}; {AGAIN}") from error
        if not ended:
            raise StudyError(f"nothing ended in {PATIENCE:.0f} s, amid {_names(under_way)}; {AGAIN}")
        for future in ended:
            done, count = done + under_way.pop(future).cost, count + 1
        now = time.monotonic()
        if now - told > 15 or not left:
            told = now
            pace = (now - began) / done  # of this machine, workers side by side, to that of one idle core
            here, all_of_it = pace * (total - done) / 60, pace * (total - done + later) / 60
            and_after = f", {all_of_it:.0f} min with what comes after" if later else ""
            spent = f"{(now - began) / 60:.0f} min, about {here:.0f} min to go{and_after}"
            print(f"{stage}: {count}/{len(jobs)}, {spent}", flush=True)
    return True


def _names(under_way: Mapping[Future[None], Job]) -> str:
    return "; ".join(job.name for job in under_way.values())


def _submitted(pool: Executor, job: Job) -> Future[None]:
    """A job under way. Workers are started here, and must not hear of Ctrl-C before they can pass over it."""
    heard = signal.getsignal(signal.SIGINT)
    in_main = threading.current_thread() is threading.main_thread()
    if in_main:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return pool.submit(job.do, *job.arguments)
    finally:
        if in_main:
            signal.signal(signal.SIGINT, heard)


def kill_workers() -> None:
    """End all workers at once, whatever they do."""
    for child in multiprocessing.active_children():
        child.kill()


def prepare_worker() -> None:
    """Make a process ready for jobs: one thread, deaf to Ctrl-C, ended when its parent is."""
    torch.set_num_threads(1)
    disable_progress_bar()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a run under way is finished and kept
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed cannot end its workers, which would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
