# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A process of verl that can neither hang nor leave others behind."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from verl_prpo.evaluation import RunFailed
from verl_prpo.settings.timeouts import END_GRACE, FATAL_PAUSE

TAIL_LINES = 40


def run_guarded(
    command: Sequence[str], log: Path, timeout: float, failing: str, fatal: bytes = b"", env: Mapping[str, str] = {}
) -> None:
    """Run a command to its end. All processes that it started end with it, also when Ctrl-C or SIGTERM comes.

    Args:
        command: program and arguments.
        log: file that gets its output.
        timeout: most seconds that it may take.
        failing: the words that begin the message of a failure.
        fatal: a text in the log after which waiting is in vain, empty for none.
        env: variables that are added to the environment.

    Raises:
        RunFailed: the command ends with another status than 0, takes longer than `timeout`, or its log says `fatal`.
    """
    end = time.monotonic() + timeout
    with log.open("wb") as output, log.open("rb") as written, _ended_in_order():
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env},
            start_new_session=True,  # Ctrl-C comes here only
        )
        try:
            seen = b""
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(min(1.0, timeout))
                    break
                seen = seen[-len(fatal) :] + written.read()
                if fatal and fatal in seen:
                    time.sleep(FATAL_PAUSE)  # for the rest of the message
                    raise RunFailed(f"{failing}. The end of {log}:\n{_tail(log)}")
                if time.monotonic() > end:
                    raise RunFailed(f"{failing}: it did not end within {timeout:g} s. The end of {log}:\n{_tail(log)}")
        finally:
            _end(process)
    if process.returncode != 0:
        raise RunFailed(f"{failing}: it ended with status {process.returncode}. The end of {log}:\n{_tail(log)}")


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let SIGTERM, as of a cluster's scheduler, unwind this process like Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process that still runs, and all that it started. Ray and vLLM outlive a driver that is killed."""
    if process.poll() is not None:
        return
    top = psutil.Process(process.pid)
    left = [top, *top.children(recursive=True)]
    for ask in (psutil.Process.terminate, psutil.Process.kill):
        for one in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                ask(one)
        _, left = psutil.wait_procs(left, timeout=END_GRACE)
    process.wait(END_GRACE)
