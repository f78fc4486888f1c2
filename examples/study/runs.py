# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Runs as files: one jsonl each while a study is under way, whole or not there; one for all when it is reported."""

import json
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from study.arms import ARMS
from study.plan import Run
from study.source import digest, run_code
from study.trainer import Row, Settings

DIGITS, SHORT_DIGITS = 6, 4
"""Significant digits of the numbers in a run's own file, and in a file of many."""


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
    """Where a run's file is, or will be: settings, arm and code give its name."""
    name = digest(json.dumps([asdict(run), asdict(ARMS[run.settings.arm]), run_code(run.task)]))
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


def write_all(
    results: Sequence[Result], path: Path, names: Collection[str] | None = None, digits: int = SHORT_DIGITS
) -> None:
    """Many runs in one file, a line each, measures as columns; null where a measure was not taken in a step.

    Args:
        results: runs.
        path: of the file.
        names: of measures to keep, and of the steps that have one of them; all if there is none.
        digits: significant ones that are kept of each measure.
    """
    with open(path, "w") as file:
        for result in results:
            rows = [row for row in result.rows if names is None or not row.keys().isdisjoint(names)]
            kept = dict.fromkeys(name for row in rows for name in row if names is None or name in ("step", *names))
            columns = {name: [_short(row.get(name), digits) for row in rows] for name in kept}
            head = {**asdict(result.run), "source": result.source, "seconds": round(result.seconds, 1)}
            file.write(json.dumps({**head, "rows": columns}, separators=(",", ":")) + "\n")


def read_all(path: Path) -> list[Result]:
    """Every run of a folder, or of a file that `write_all` wrote."""
    if path.is_dir():
        return [read(file) for file in sorted(path.glob("*.jsonl"))]
    found = []
    for line in path.read_text().splitlines():
        head = json.loads(line)
        columns = head["rows"]
        rows = [
            {name: value for name, value in zip(columns, values, strict=True) if value is not None}
            for values in zip(*columns.values(), strict=True)
        ]
        run = Run(head["task"], head["prm"], Settings(**head["settings"]))
        found.append(Result(run, head["source"], head["seconds"], rows))
    return found


def _short(value: float | None, digits: int) -> float | None:
    return None if value is None else float(f"{value:.{digits}g}")
