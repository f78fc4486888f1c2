# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Step rewards by unit tests: the share of its tests that the Python code of a step passes, with the code before it.

    ++reward.prm.score_function.path=examples/step_rewards/unit_tests.py ++reward.prm.score_function.name=score

The tests come with the data: `extra_info["step_tests"]` holds texts such as "assert double(2) == 4". A test belongs to
the first step whose code, with the code of the steps before it, defines every name that the test uses. The score is the
share of the step's tests that pass. A step that no test belongs to has no score (None).

Each run is a process of its own with limits on CPU time, memory, processes, and the size and number of open files, in a
folder of its own that is removed, without the environment of this process and without a network. Where the kernel does
not let a user make an empty network, the call fails and says so; kwargs.network=true leaves the network on. A run that
ends before the test did, by exit(0) say, fails too.

This is NO SANDBOX: the code runs as your user and can read what your user can read. For code of a policy that
nobody watches, run this in a container or a virtual machine, or call a service that does (server.py).
"""

import ast
import builtins
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

SECONDS = 5
"""Most CPU time of one run; its time on the clock is twice that."""

MEMORY = 512 * 2**20
"""Most address space of one run, in bytes."""

FILE_SIZE = 2**20
"""Most bytes of a file that a run writes."""

_CODE = re.compile(r"^```(?:python|py)[^\S\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)

_NO_NAMESPACE = "no network can be shut off"

_HARNESS = f"""
import ctypes, json, os, resource, sys
task = json.loads(sys.stdin.read())
done = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
# A user of its own, who may make an empty network.
if not task["network"] and ctypes.CDLL(None).unshare(0x10000000 | 0x40000000):
    os.write(done, b"{_NO_NAMESPACE}")
    sys.exit(1)
for kind, most in (
    (resource.RLIMIT_CPU, {SECONDS}), (resource.RLIMIT_AS, {MEMORY}), (resource.RLIMIT_FSIZE, {FILE_SIZE}),
    (resource.RLIMIT_NOFILE, 32), (resource.RLIMIT_NPROC, 64), (resource.RLIMIT_CORE, 0),
):
    resource.setrlimit(kind, (most, most))
names = {{"__name__": "__main__"}}
exec(compile(task["code"], "step", "exec"), names)
exec(compile(task["test"], "test", "exec"), names)
os.write(done, task["token"].encode())
"""
"""What a run begins with: limits first, then the code."""


def score(
    messages: Sequence[dict[str, Any]],
    segments: Sequence[str],
    extra_info: dict[str, Any],
    network: bool = False,
    **row: Any,
) -> list[float | None]:
    """Score each segment by the share of its tests that pass; None for one without tests.

    Args:
        messages: the prompt as chat messages (not used).
        segments: the steps.
        extra_info: of the row, with `step_tests`: texts of one or more statements each.
        network: whether the code may use the network.
        row: what else belongs to it (not used).
    """
    waiting = [str(test) for test in extra_info.get("step_tests", ())]
    scores: list[float | None] = []
    code = ""
    for segment in segments:
        code += "".join(_CODE.findall(segment))
        known = _defined(code)
        due = [test for test in waiting if known is not None and _used(test) <= known]
        waiting = [test for test in waiting if test not in due]
        scores.append(sum(passes(code, test, network) for test in due) / len(due) if due else None)
    return scores


score.score_range = (0, 1)  # type: ignore[attr-defined]


def passes(code: str, test: str, network: bool = False) -> bool:
    """Whether a test runs to its end behind some code, within the limits.

    Raises:
        RuntimeError: the network cannot be shut off here.
    """
    token = secrets.token_hex(8)
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _HARNESS],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "HOME": folder, "TMPDIR": folder},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            task = json.dumps({"code": code, "test": test, "token": token, "network": network})
            said = process.communicate(task.encode(), timeout=2 * SECONDS)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            return False
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # what it started too
            except ProcessLookupError:
                pass
            process.wait()
    if said == _NO_NAMESPACE:
        raise RuntimeError(
            f"{said} here (user namespaces are not allowed); reward.prm.score_function.kwargs.network=true leaves it on"
        )
    return said == token


def _defined(code: str) -> set[str] | None:
    """Names that code defines at its top level; None for code that is no Python."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    names: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        else:
            names |= {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    return names


def _used(test: str) -> set[str]:
    """Names that a test needs from the code."""
    nodes = [node for node in ast.walk(ast.parse(test)) if isinstance(node, ast.Name)]
    made = {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
    return {node.id for node in nodes} - made - set(dir(builtins))
