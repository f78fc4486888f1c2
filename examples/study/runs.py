# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Runs as files: one jsonl each while a study is under way, whole or not there; one for all when it is reported."""

import json
import math
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from study.arms import ARMS
from study.behaviour import behaviour
from study.plan import Run
from study.source import digest, run_code
from study.trainer import Row, Settings

DIGITS, SHORT_DIGITS = 6, 4
"""Significant digits of the numbers in a run's own file, and in a file of many."""
REMOVE_IT = "remove it, and the same command makes it again"


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


class RunError(Exception):
    """A run's file that cannot be used, or a run that is none; the message says what to do."""


def path_of(run: Run, folder: Path) -> Path:
    """Where a run's file is, or will be: settings, arm and code give its name."""
    arm = run.settings.arm
    name = digest(json.dumps([asdict(run), asdict(ARMS[arm]), run_code(run.task), behaviour(arm)]))
    return folder / f"{run.task}-{run.prm}-{run.settings.arm}-{name}.jsonl"


def write(run: Run, rows: Iterable[Row], seconds: float, folder: Path) -> None:
    """Write a finished run.

    Raises:
        RunError: a measure is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    head = {**asdict(run), "source": run_code(run.task), "seconds": seconds}
    rounded = [{name: float(f"{value:.{DIGITS}g}") for name, value in row.items()} for row in rows]
    _check_finite(rounded, f"the training of {run.name} diverged: leave it out of study/plan.py, or lower its rate")
    path = path_of(run, folder)
    half = path.with_suffix(f".{os.getpid()}")
    try:
        half.write_text("".join(json.dumps(line) + "\n" for line in (head, *rounded)))
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def read(path: Path) -> Result:
    """A run's file.

    Raises:
        RunError: it is not that of a whole run.
    """
    try:
        head, *rows = map(json.loads, path.read_text().splitlines())
        result = _result(head, rows)
        steps = [row["step"] for row in rows]
        name = path_of(result.run, path.parent).name
        _check_finite(rows, f"{path}: {REMOVE_IT}")
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise RunError(f"{path} is no run's file ({error!r}): {REMOVE_IT}") from error
    if name != path.name:
        raise RunError(f"{path} holds another run, {result.run.name}: {REMOVE_IT}")
    if steps != list(range(result.run.settings.steps + 1)):
        raise RunError(f"{path} ends after step {steps[-1] if steps else 'none'}: {REMOVE_IT}")
    return result


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
    """Every run of a file that `write_all` wrote.

    Raises:
        RunError: a line that is none.
    """
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            head = json.loads(line)
            columns = head["rows"]
            rows = [
                {name: value for name, value in zip(columns, values, strict=True) if value is not None}
                for values in zip(*columns.values(), strict=True)
            ]
            found.append(_result(head, rows))
            _check_finite(rows, f"{path}, line {number}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"{path}, line {number}: no run of this version ({error!r}); make the report again"
            ) from error
    return found


def _result(head: dict[str, Any], rows: list[Row]) -> Result:
    run = Run(head["task"], head["prm"], Settings(**head["settings"]))
    return Result(run, head["source"], head["seconds"], rows)


def _check_finite(rows: Sequence[Row], where: str) -> None:
    for row in rows:
        for name, value in row.items():
            if not math.isfinite(value):
                raise RunError(f"{name} of step {row['step']:g} is {value}; {where}")


def _short(value: float | None, digits: int) -> float | None:
    return None if value is None else float(f"{value:.{digits}g}")
