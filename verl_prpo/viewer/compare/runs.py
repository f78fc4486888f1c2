# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Metrics of a training run, read from what verl's loggers `file`, `tensorboard` or `console` wrote."""

import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Series = dict[int, float]
"""Step -> value, in the order of the steps; NaN where a number was logged that is not finite."""

FILE, TENSORBOARD, CONSOLE = "file", "tensorboard", "console"
"""verl's names of the loggers, as in `trainer.logger`."""

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_STEP = re.compile(r"(?:^|[\s)])step:(\d+) - ")
# What pprint.pformat makes of a number of numpy or of Python.
_NUMBER = re.compile(r"np\.\w+\((?P<numpy>[^()\s]+)\)|(?P<plain>[^()\s]+)")
_REMARK = " [repeated "
"""Begins what Ray puts behind a line that several processes wrote."""


_HOW = (
    "trainer.logger='[console,file,wandb]' also writes PROJECT_NAME/EXPERIMENT_NAME.jsonl, which is read, as is the "
    "console's output in a file"
)


class LogError(ValueError):
    """A path that holds no log of verl; the message says what is there."""


@dataclass
class RunLog:
    """The metrics of one training run.

    Attributes:
        path: the file, or the folder of event files.
        kind: the logger that wrote it, `file`, `tensorboard` or `console`.
        series: metric -> step -> value.
        repeated: steps that were logged again or dropped, as in a resumed run; the later values count.
        damaged: entries that could not be read, such as lines cut off.
    """

    path: Path
    kind: str
    series: dict[str, Series] = field(default_factory=dict)
    repeated: set[int] = field(default_factory=set)
    damaged: int = 0

    @property
    def steps(self) -> list[int]:
        """All steps with any metric, ascending."""
        return sorted({step for series in self.series.values() for step in series})


def read_run(path: Path) -> RunLog:
    """Read a log, whichever of the three kinds it is by its content.

    Args:
        path: a file of the `file` logger, an event file of tensorboard or a folder of them, a console log, or the
            folder of a run that holds such a log. Of several kinds in one folder that of the `file` logger is taken,
            then tensorboard's: both have every digit or nearly, and no line in them was cut by other output.

    Raises:
        LogError: there is no log with steps, or a folder holds several of one kind.
    """
    try:
        if not path.exists():
            raise LogError(f"there is no {path}")
        if _is_wandb(path):
            raise LogError(f"{path} holds what wandb keeps, which is not read here; {_HOW}")
        return _read_folder(path) if path.is_dir() else _read_file(path)
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error.strerror}") from error


def _read_folder(folder: Path) -> RunLog:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if _holds_events(folder):
        return _read_events(folder)
    events = [sub for sub in sorted(folder.iterdir()) if sub.is_dir() and _holds_events(sub)]
    logs: list[RunLog] = []
    for file in files:
        try:
            logs.append(_read_file(file))
        except (LogError, OSError):  # no log, or not for us to read
            continue
    found = {
        FILE: [log.path for log in logs if log.kind == FILE],
        TENSORBOARD: events,
        CONSOLE: [log.path for log in logs if log.kind == CONSOLE],
    }
    kind = next((kind for kind, paths in found.items() if paths), None)
    if kind is None and (folder / "wandb").is_dir():
        raise LogError(f"{folder} holds the log of wandb alone, which is not read here; {_HOW}")
    if kind is None:
        raise LogError(
            f"no log with steps in the folder {folder}: neither a file of verl's `file` logger, nor event files of "
            f"tensorboard (here or one folder down), nor a console log with lines `step:1 - ...`; {_HOW}"
        )
    if len(found[kind]) > 1:
        names = ", ".join(path.name for path in found[kind])
        raise LogError(f"several logs of the {kind} logger in the folder {folder}; name one of them: {names}")
    if kind == TENSORBOARD:
        return _read_events(found[kind][0])
    return next(log for log in logs if log.kind == kind)


def _read_file(path: Path) -> RunLog:
    if _is_event_file(path):
        return _read_events(path)
    with path.open("rb") as file:
        binary = b"\0" in file.read(4096)
    if binary:
        raise LogError(f"{path} is neither text nor an event file of tensorboard")
    with path.open(encoding="utf-8", errors="replace") as lines:
        begin = list(itertools.islice((line for line in lines if line.strip()), 2))
    first = begin[0] if begin else ""
    if any(line.lstrip().startswith("{") for line in begin):  # the first one may have been cut off
        run = RunLog(path, FILE)
        _collect(run, _jsonl_rows(run))
        if run.series:
            return run
    run = RunLog(path, CONSOLE)
    _collect(run, _console_rows(run))
    if run.series:
        return run
    what = "is empty" if not first else f"holds no step of a training run; it begins with {first.strip()[:60]!r}"
    raise LogError(
        f"{path} {what}. A log of the `file` logger has rows "
        '{"step": 1, "data": {...}}, a console log lines `step:1 - metric:value - ...`'
    )


def _jsonl_rows(run: RunLog) -> Iterator[tuple[int, Mapping[str, float]]]:
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
                numbers = {key: math.nan if value is None else value for key, value in data}
                yield step, {key: _float(value) for key, value in numbers.items() if isinstance(value, int | float)}


def _float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _console_rows(run: RunLog) -> Iterator[tuple[int, Mapping[str, float]]]:
    with run.path.open(encoding="utf-8", errors="replace") as lines:
        for raw in lines:
            line = _ANSI.sub("", raw).partition(_REMARK)[0]
            begin = _STEP.search(line)
            if begin is None:
                continue
            pairs = line[begin.end() :].rstrip("\r\n").split(" - ")
            if not raw.endswith("\n"):  # still being written: the last number may lack digits
                pairs.pop()
                run.damaged += 1
            values = {}
            for pair in pairs:
                name, colon, text = pair.rpartition(":")
                value = _number(text) if colon else None
                if value is None:
                    run.damaged += 1
                else:
                    values[name.strip()] = value
            yield int(begin[1]), values


def _number(text: str) -> float | None:
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        return None
    word = found["numpy"] or found["plain"]
    try:
        return float({"True": "1", "False": "0"}.get(word, word))
    except ValueError:
        return None


def _read_events(path: Path) -> RunLog:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = RunLog(path, TENSORBOARD)
    # Without purging, a step logged again keeps both values, and `_collect` treats them as in the other logs.
    events = EventAccumulator(str(path), size_guidance={"scalars": 0}, purge_orphaned_data=False)
    events.Reload()
    for tag in events.Tags()["scalars"]:
        _collect(run, ((event.step, {tag: event.value}) for event in events.Scalars(tag)))
    if not run.series:
        raise LogError(f"the event files of tensorboard in {path} hold no scalars")
    return run


def _holds_events(folder: Path) -> bool:
    try:
        return any(_is_event_file(file) for file in folder.iterdir() if file.is_file())
    except OSError:  # not for us to read
        return False


def _is_wandb(path: Path) -> bool:
    """Whether there is nothing but runs of wandb: the folder `wandb`, a run's folder in it, or its file."""
    if path.is_file():
        return path.suffix == ".wandb"
    runs = any(path.glob("*.wandb")) or any(path.glob("*run-*/*.wandb"))
    others = any(file.is_file() and file.suffix in (".jsonl", ".log", ".txt", ".out") for file in path.iterdir())
    return runs and (not others or path.name == "wandb")


def _is_event_file(path: Path) -> bool:
    with path.open("rb") as file:
        return b"brain.Event:" in file.read(64)  # the version record that opens every event file


def _collect(run: RunLog, rows: Iterable[tuple[int, Mapping[str, float]]]) -> None:
    """Add rows in the order in which they were logged.

    Where a metric comes again for a step, the run was resumed before it: what was logged of that metric from there on
    belongs to the abandoned continuation and is dropped.
    """
    for step, values in rows:
        for name, value in values.items():
            series = run.series.setdefault(name, {})
            while series and (last := next(reversed(series))) >= step:
                run.repeated.add(last)
                del series[last]
            series[step] = value if math.isfinite(value) else math.nan
