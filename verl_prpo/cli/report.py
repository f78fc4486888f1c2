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
from typing import Any, TypeVar

Value = TypeVar("Value")

PIPE_WIDTH = 120
"""Columns of a table that no terminal shows."""


class State(str, Enum):
    """How a check ended. Only FAILED says that training would fail."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"
    SKIPPED = "skipped"


STYLES = {State.OK: "green", State.WARNING: "yellow", State.FAILED: "bold red", State.SKIPPED: "dim"}


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        found: for people; may have several lines.
        state: how it ended.
        advice: what to do about it, if anything.
        details: the same for scripts.
        value: what later checks build on; not shown.
    """

    found: str
    state: State = State.OK
    advice: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    value: Any = None


class CheckFailed(Exception):
    """A check that failed; the message says what was found, `advice` what to do."""

    def __init__(self, found: str, advice: str = ""):
        super().__init__(found)
        self.advice = advice


@dataclass(frozen=True)
class Check:
    """A named finding."""

    check: str
    state: State
    found: str
    advice: str
    details: dict[str, Any]


class Report:
    """Checks in the order in which they ran."""

    def __init__(self) -> None:
        self.checks: list[Check] = []

    @property
    def failed(self) -> bool:
        """Whether any check failed."""
        return any(check.state is State.FAILED for check in self.checks)

    def run(self, name: str, action: Callable[[], Finding]) -> Any:
        """Run a check; an error inside it is its failure.

        Returns:
            The finding's value, or None when the check failed.
        """
        try:
            finding = action()
        except CheckFailed as error:
            finding = Finding(str(error), State.FAILED, error.advice)
        except Exception as error:
            finding = Finding(_reason(error), State.FAILED)
        self.checks.append(Check(name, finding.state, finding.found, finding.advice, finding.details))
        return finding.value if finding.state is not State.FAILED else None

    def skip(self, name: str, reason: str, advice: str = "") -> None:
        """Note a check that was not run."""
        self.checks.append(Check(name, State.SKIPPED, reason, advice, {}))

    def verdict(self) -> str:
        """The outcome in one line."""
        count = {state: sum(check.state is state for check in self.checks) for state in State}
        parts = [f"{count[state]} {state.value}" for state in State if count[state]]
        return f"{'something would fail' if self.failed else 'nothing found that would fail'} ({', '.join(parts)})"

    def as_json(self) -> str:
        """The checks as one JSON object: `{"ok": bool, "checks": [...]}`."""
        checks = [asdict(check) for check in self.checks]
        return json.dumps({"ok": not self.failed, "checks": checks}, ensure_ascii=False, indent=2, default=str)

    def print_table(self) -> None:
        """Print a table; colours and the terminal's width only where there is a terminal."""
        from rich.table import Table
        from rich.text import Text

        console = terminal()
        table = Table(show_lines=True, expand=True)
        # The advice stands under what was found: in a column of its own the names of settings would be broken.
        for column, ratio in (("check", None), ("state", None), ("what was found -> what to do", 1)):
            table.add_column(column, ratio=ratio, overflow="fold", no_wrap=column == "state")
        for check in self.checks:
            state = Text(check.state.value, style=STYLES[check.state])
            said = f"{check.found}\n-> {check.advice}" if check.advice else check.found
            table.add_row(Text(check.check), state, Text(said))
        console.print(table)
        console.print(Text(self.verdict()))


def _reason(error: Exception) -> str:
    from verl_prpo.config import ConfigError
    from verl_prpo.prm.family import PrmError

    if isinstance(error, (ConfigError, PrmError)):  # they say it all
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def terminal() -> Any:
    """A console of rich on the standard output; a pipe or file gets `PIPE_WIDTH` unless COLUMNS says otherwise."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(highlight=False, width=PIPE_WIDTH)


def within(seconds: float, what: str, action: Callable[[], Value]) -> Value:
    """The result of an action that may wait for the network or a disk, for at most so long.

    Raises:
        CheckFailed: it takes longer; it is left to itself then.
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
    """A word on the progress, where it disturbs no output."""
    print(line, file=sys.stderr, flush=True)
