# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What a series of checks found: collected without ever stopping, shown as a table or as JSON."""

import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, Protocol, TypeVar

Value = TypeVar("Value")

PIPE_WIDTH = 120
"""Columns of a table that no terminal shows."""


class State(str, Enum):
    """How a check ended. Only FAILED says that training would fail."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        found: what was found, for people. It may have several lines.
        state: how it ended.
        advice: what to do about it, if anything.
        details: the same for scripts.
        value: what later checks build on. It is not shown.
    """

    found: str
    state: State = State.OK
    advice: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    value: Any = None


class CheckFailed(Exception):
    """A check that failed. The message says what was found, `advice` what to do, `details` the same for scripts."""

    def __init__(self, found: str, advice: str = "", details: dict[str, Any] | None = None):
        super().__init__(found)
        self.advice = advice
        self.details = details or {}


@dataclass(frozen=True)
class Check:
    """A named finding."""

    check: str
    state: State
    found: str
    advice: str
    details: dict[str, Any]


class Watcher(Protocol):
    """Shows checks while they run."""

    def begins(self, name: str) -> None:
        """Take note that a check begins."""

    def ends(self, check: Check) -> None:
        """Take note that a check has ended."""


class Report:
    """Checks in the order in which they ran.

    Args:
        watcher: is shown each check as it begins and as it ends.
    """

    def __init__(self, watcher: Watcher | None = None) -> None:
        self.checks: list[Check] = []
        self._watcher = watcher

    @property
    def failed(self) -> bool:
        """True if any check failed."""
        return any(check.state is State.FAILED for check in self.checks)

    def run(self, name: str, action: Callable[[], Finding]) -> Any:
        """Run a check. An error inside it is its failure.

        Returns:
            The finding's value, or None when the check failed.
        """
        if self._watcher is not None:
            self._watcher.begins(name)
        try:
            finding = action()
        except CheckFailed as error:
            finding = Finding(str(error), State.FAILED, error.advice, error.details)
        except Exception as error:
            finding = Finding(_reason(error), State.FAILED)
        self._add(Check(name, finding.state, finding.found, finding.advice, finding.details))
        return finding.value if finding.state is not State.FAILED else None

    def skip(self, name: str, reason: str, advice: str = "") -> None:
        """Note a check that was not run."""
        self._add(Check(name, State.SKIPPED, reason, advice, {}))

    def _add(self, check: Check) -> None:
        self.checks.append(check)
        if self._watcher is not None:
            self._watcher.ends(check)

    def verdict(self) -> str:
        """State the outcome in one line."""
        count = {state: sum(check.state is state for check in self.checks) for state in State}
        parts = [f"{count[state]} {state.value}" for state in State if count[state]]
        return f"{'something would fail' if self.failed else 'nothing found that would fail'} ({', '.join(parts)})"

    def as_json(self) -> str:
        """Write the checks as one JSON object: `{"ok": bool, "checks": [...]}`."""
        checks = [asdict(check) for check in self.checks]
        return json.dumps({"ok": not self.failed, "checks": checks}, ensure_ascii=False, indent=2, default=str)


def _reason(error: Exception) -> str:
    from verl_prpo.prm.families.base import PrmError
    from verl_prpo.settings.prpo import ConfigError

    if isinstance(error, (ConfigError, PrmError)):  # they say it all
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def terminal(file: Any = None) -> Any:
    """Make a console of rich on a stream, or on the standard output when it is None.

    A pipe or file gets `PIPE_WIDTH` columns unless the environment variable COLUMNS is set.
    """
    from rich.console import Console

    console = Console(highlight=False, file=file)
    return (
        console
        if console.is_terminal or "COLUMNS" in os.environ
        else Console(highlight=False, file=file, width=PIPE_WIDTH)
    )


def within(seconds: float, what: str, action: Callable[[], Value]) -> Value:
    """Return the result of an action that may wait for the network or a disk, for at most so many seconds.

    Raises:
        CheckFailed: the action takes longer. It goes on in its thread, and nobody waits for it.
        Exception: whatever the action raises.
    """
    outcome: list[Value] = []
    fault: list[BaseException] = []

    def act() -> None:
        try:
            outcome.append(action())
        except BaseException as error:
            fault.append(error)

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise CheckFailed(f"{what} takes longer than {seconds:g} s", "see whether the network or the disk hangs")
    if fault:
        raise fault[0]
    return outcome[0]


def say(line: str) -> None:
    """Print a line on the progress to stderr, where it disturbs no output."""
    print(line, file=sys.stderr, flush=True)
