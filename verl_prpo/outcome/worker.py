# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The process that compares answers: reads JSON lines, answers each with one, and is killed when it takes too long.

It is a process of its own, not one of `multiprocessing`. So nothing of the trainer is forked or imported anew, and the
process can be killed without harm in whatever it does.
"""

import json
import logging
import os
import resource
import signal
import sys
from typing import Any

from verl_prpo.settings.timeouts import WORKER_GRACE

MEMORY = 4 * 2**30
"""The most address space of a worker, in bytes. More is a MemoryError, and the answer counts as wrong."""


def main() -> None:
    """Serve until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the trainer, whose end ends the input
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print is no reply
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY if hard < 0 else min(MEMORY, hard), hard))
    logging.disable(logging.WARNING)
    _reply(replies, {"ready": _trial()})
    for line in sys.stdin:
        task = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, task["timeout"] + WORKER_GRACE)
        reply = _compare(task["answer"], task["truth"])
        signal.setitimer(signal.ITIMER_REAL, 0)
        _reply(replies, reply)


def _trial() -> bool:
    """Compare one pair, so that imports and first calls, which take seconds, fall into nobody's time limit."""
    import verl_prpo.outcome.symbolic  # noqa: F401

    return bool(_compare(r"\sqrt{12}x", r"2\sqrt{3}x")["equal"])


def _compare(answer: str, truth: str) -> dict[str, Any]:
    from verl_prpo.outcome.compare import equal
    from verl_prpo.outcome.latex import Unread

    try:
        return {"equal": bool(equal(answer, truth))}
    except Unread as error:
        return {"unread": str(error)[:200]}
    except BaseException as error:  # also RecursionError and MemoryError
        return {"error": f"{type(error).__name__}: {str(error)[:200]}"}


def _reply(replies: Any, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
