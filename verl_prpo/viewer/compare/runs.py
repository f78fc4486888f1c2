# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Metrics of a training run, read from the JSON lines that verl's `file` logger wrote."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

Series = dict[int, float]
"""Step -> value, in the order of the steps. NaN where a number was logged that is not finite."""

HOW_TO_LOG = (
    "`compare` reads JSON lines of verl's `file` logger. Train with trainer.logger=[console,file], as the recipes do: "
    "verl then writes PROJECT_NAME/EXPERIMENT_NAME.jsonl in the working folder of the trainer's node, or below the "
    "folder VERL_FILE_LOGGER_ROOT, or the file VERL_FILE_LOGGER_PATH"
)
_EVENTS = b"brain.Event:"
"""A text in the version record that opens every event file of tensorboard."""
_CONSOLE = re.compile(rb"step:\d+ - ")


class LogError(ValueError):
    """A path that holds no log of verl's `file` logger. The message says what is there and how to get one."""


@dataclass
class RunLog:
    """The metrics of one training run.

    Attributes:
        path: the file.
        series: metric -> step -> value.
        repeated: steps that were logged again or dropped, as in a resumed run. The later values count.
        damaged: lines that could not be read, such as one cut off.
    """

    path: Path
    series: dict[str, Series] = field(default_factory=dict)
    repeated: set[int] = field(default_factory=set)
    damaged: int = 0

    @property
    def steps(self) -> list[int]:
        """All steps with any metric, ascending."""
        return sorted({step for series in self.series.values() for step in series})


def read_run(path: Path) -> RunLog:
    """Read the log of a run.

    Args:
        path: a file of the `file` logger, or a folder that holds one such file (beside any others).

    Raises:
        LogError: there is no such log with steps, or the folder holds several.
    """
    try:
        if not path.exists():
            raise LogError(f"there is no {path}")
        if not path.is_dir():
            return _read_file(path)
        logs = []
        for file in sorted(path.glob("*.jsonl")):
            try:
                logs.append(_read_file(file))
            except (LogError, OSError):  # other JSON lines, such as rollouts, or a file that may not be read
                continue
        if len(logs) > 1:
            names = ", ".join(log.path.name for log in logs)
            raise LogError(f"the folder {path} holds the logs of several runs. Name one of them: {names}")
        if not logs:
            raise LogError(f"the folder {path} holds {_other_log(path)}. {HOW_TO_LOG}")
        return logs[0]
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error.strerror}") from error


def _read_file(path: Path) -> RunLog:
    run = RunLog(path)
    with path.open("rb") as file:
        binary = b"\0" in file.read(4096)
    if not binary:
        for step, values in _rows(run):
            _add(run, step, values)
    if not run.series:
        raise LogError(f"{path} {_content(path)}. {HOW_TO_LOG}")
    return run


def _rows(run: RunLog) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield the step and the numbers of each line that can be read. The others are counted."""
    with run.path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                step, data = row["step"], row["data"].items()
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                run.damaged += 1
                continue
            if isinstance(step, int):
                # The logger writes null for what JSON has no number for: NaN and infinity.
                yield step, {k: _float(v) for k, v in data if v is None or isinstance(v, int | float)}


def _float(value: float | None) -> float:
    try:
        number = math.nan if value is None else float(value)
    except OverflowError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _add(run: RunLog, step: int, values: dict[str, float]) -> None:
    """Add a row.

    Where a metric comes again for a step, the run was resumed before that step. What was logged of that metric from
    there on belongs to the abandoned continuation and is dropped.
    """
    for name, value in values.items():
        series = run.series.setdefault(name, {})
        while series and (last := next(reversed(series))) >= step:
            run.repeated.add(last)
            del series[last]
        series[step] = value


def _content(path: Path) -> str:
    """Say what a file is that holds no step."""
    with path.open("rb") as file:
        begin = file.read(2**20)
    if path.suffix == ".wandb":
        return "is wandb's own file, which is not read"
    if _EVENTS in begin[:64]:
        return "is an event file of tensorboard, which is not read"
    if b"\0" in begin[:4096]:
        return "is a binary file"
    if _CONSOLE.search(begin):
        return "is the console's output, which is not read"
    first = begin.lstrip().partition(b"\n")[0].decode(errors="replace")[:60]
    return f"holds no step of a training run; it begins with {first!r}" if first else "is empty"


def _other_log(folder: Path) -> str:
    """Say what a folder holds in the place of a log of the `file` logger."""
    if folder.name == "wandb" or any(folder.glob("*.wandb")) or (folder / "wandb").is_dir():
        return "the log of wandb alone, which is not read"
    if any(folder.rglob("events.out.tfevents*")):
        return "event files of tensorboard, which are not read"
    return "no log with steps (NAME.jsonl)"
