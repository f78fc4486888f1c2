# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The table of checks: a row appears as its check ends, and a terminal shows which one is running."""

import sys
from typing import Any

from verl_prpo.console.findings import Check, Report, State, terminal

STYLES = {State.OK: "green", State.WARNING: "yellow", State.FAILED: "bold red", State.SKIPPED: "dim"}
NAME_WIDTH, STATE_WIDTH = 16, 8
LINES = "   "
"""A line that begins like this is to be pasted, so it is never broken."""


class CheckTable:
    """Prints the checks of a report as they end.

    Args:
        console: a console of rich. None stands for the standard output.
    """

    def __init__(self, console: Any = None) -> None:
        self._console = console or terminal()
        self._status: Any = None
        self._printed = False

    def begins(self, name: str) -> None:
        """Show on a terminal that a check is running."""
        if self._console.is_terminal:
            from rich.live import Live
            from rich.spinner import Spinner

            spinner, shared = Spinner("dots", f"checking: {name} ..."), sys.stderr.isatty()
            self._status = Live(
                spinner, console=self._console, transient=True, redirect_stdout=shared, redirect_stderr=shared
            )
            self._status.start(refresh=True)

    def ends(self, check: Check) -> None:
        """Print the row of a check."""
        from rich.text import Text

        self._stop()
        if not self._printed:
            self._printed = True
            self._row(Text("check"), Text("state"), "what was found -> what to do")
            self._console.print("─" * self._console.width)
        said = f"{check.found}\n-> {check.advice}" if check.advice else check.found
        self._row(Text(check.check), Text(check.state.value, style=STYLES[check.state]), said)

    def close(self, report: Report) -> None:
        """Print the verdict below the rows."""
        from rich.text import Text

        self._stop()
        self._console.print("─" * self._console.width)
        self._console.print(Text(report.verdict(), style="bold"))

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _row(self, name: Any, state: Any, said: str) -> None:
        from rich.text import Text

        margin = NAME_WIDTH + STATE_WIDTH + 2
        width = max(20, self._console.width - margin)
        name.truncate(NAME_WIDTH, pad=True)
        state.truncate(STATE_WIDTH, pad=True)
        head = Text.assemble(name, " ", state, " ")
        for line in said.splitlines() or [""]:
            whole = line.startswith(LINES)
            for part in [Text(line)] if whole else Text(line).wrap(self._console, width, overflow="fold"):
                part.rstrip()
                self._console.print(Text.assemble(head, part), soft_wrap=True)
                head = Text(" " * margin)
