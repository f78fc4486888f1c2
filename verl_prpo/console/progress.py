# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The one way in which commands show how far they are: a bar on the terminal, and nothing if stderr is no terminal."""

import contextlib
import sys
from collections.abc import Iterator


class Progress:
    """A bar that is being shown.

    Attributes:
        done: units finished.
    """

    def __init__(self, total: int, unit: str, show: bool):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self.done = 0
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(file=sys.stderr),
            transient=True,
            disable=not show,
            redirect_stdout=False,
        )
        self._task = self._bar.add_task("", total=total, note="")

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    @property
    def seconds(self) -> float:
        """Seconds since the last call of `describe`."""
        return self._bar.tasks[0].elapsed or 0.0

    def describe(self, what: str) -> None:
        """Say what is being done from here on. The clock starts anew."""
        self._bar.reset(self._task, description=what, completed=self.done)

    def advance(self, units: int = 1, note: str = "") -> None:
        """Count finished units, with a note for people."""
        self.done += units
        self._bar.update(self._task, completed=self.done, note=note)


@contextlib.contextmanager
def progress(total: int, what: str, unit: str) -> Iterator[Progress]:
    """Show a bar for as long as the block runs.

    Args:
        total: units to do.
        what: what is being done.
        unit: the name of a unit, in the plural.
    """
    with Progress(total, unit, show=sys.stderr.isatty()) as bar:
        bar.describe(what)
        yield bar
