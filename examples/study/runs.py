# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Runs as files: one jsonl each, the run on its first line and a row for every step behind; whole or not there."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from study.plan import Run
from study.source import digest, run_code
from study.trainer import Row, Settings

DIGITS = 6
"""Significant digits of the numbers in a file."""


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        run: what was run.
        source: digest of the code that ran, see `study.source.run_code`.
        seconds: that it took.
        rows: of steps 0 to the last, see `study.trainer.train`.
    """

    run: Run
    source: str
    seconds: float
    rows: list[Row]


def path_of(run: Run, folder: Path) -> Path:
    """Where a run's file is, or will be: settings and code give its name."""
    name = digest(json.dumps([asdict(run), run_code(run.task)]))
    return folder / f"{run.task}-{run.prm}-{run.settings.arm}-{name}.jsonl"


def write(run: Run, rows: Iterable[Row], seconds: float, folder: Path) -> None:
    """Write a finished run."""
    folder.mkdir(parents=True, exist_ok=True)
    head = {**asdict(run), "source": run_code(run.task), "seconds": seconds}
    lines = [head, *({name: float(f"{value:.{DIGITS}g}") for name, value in row.items()} for row in rows)]
    path = path_of(run, folder)
    half = path.with_suffix(f".{os.getpid()}")
    half.write_text("".join(json.dumps(line) + "\n" for line in lines))
    half.replace(path)


def read(path: Path) -> Result:
    """A run's file."""
    head, *rows = map(json.loads, path.read_text().splitlines())
    run = Run(head["task"], head["prm"], Settings(**head["settings"]))
    return Result(run, head["source"], head["seconds"], rows)


def read_all(folder: Path) -> Iterator[Result]:
    """Every run of a folder."""
    return map(read, sorted(folder.glob("*.jsonl")))
