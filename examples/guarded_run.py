# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Run a training command so that it can neither hang nor leave processes behind.

Ray and vLLM start processes that outlive a driver that is killed. Here every descendant carries a mark in its
environment; at the end, whether by success, failure, timeout or Ctrl-C, whatever carries the mark is ended. The output
goes to a log file, whose tail is shown when the command fails.

    python examples/guarded_run.py --log run.log --timeout 900 -- python -m verl.trainer.main_ppo ...
"""

import argparse
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

MARK = "VERL_PRPO_RUN"
TAIL_LINES = 60
GRACE = 5.0
"""Seconds between asking marked processes to end and ending them."""


class RunFailed(RuntimeError):
    """The command failed or ran out of time; the message holds the tail of its log."""


def guarded_run(
    command: Sequence[str],
    log: Path,
    timeout: float,
    env: Mapping[str, str] | None = None,
    watch: Callable[[], None] = lambda: None,
) -> float:
    """Run `command` to its end.

    Args:
        command: program and arguments.
        log: file that gets its output, stderr included.
        timeout: most seconds it may take.
        env: its environment; this process's own when None.
        watch: called about twice a second while it runs, to show progress.

    Returns:
        Seconds it took.

    Raises:
        RunFailed: it exited with another status than 0, or took longer than `timeout`.
    """
    mark = uuid.uuid4().hex
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**(os.environ if env is None else env), MARK: mark},
            start_new_session=True,  # Ctrl-C comes here only, and this process ends the others in order
        )
        try:
            while process.poll() is None:
                if time.monotonic() - began > timeout:
                    raise RunFailed(f"no end after {timeout:.0f} s; the tail of {log}:\n{tail(log)}")
                watch()
                time.sleep(0.5)
        finally:
            end_marked(mark)
            process.wait(timeout=30)
    if process.returncode != 0:
        raise RunFailed(f"exit status {process.returncode}; the tail of {log}:\n{tail(log)}")
    watch()
    return time.monotonic() - began


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def end_marked(mark: str) -> None:
    """End every process that carries the mark, first asking, then forcing."""
    marked = _marked(mark)
    for ask in (psutil.Process.terminate, psutil.Process.kill):
        for process in marked:
            try:
                ask(process)
            except psutil.NoSuchProcess:
                pass
        psutil.wait_procs(marked, timeout=GRACE)
        marked = _marked(mark)
        if not marked:
            return


def _marked(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, required=True, help="file for the command's output")
    parser.add_argument("--timeout", type=float, required=True, help="most seconds it may take")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- program arguments")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        guarded_run([a for a in arguments.command if a != "--"], arguments.log, arguments.timeout)
    except RunFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
