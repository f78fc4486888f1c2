# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What a stage measures: rows that are on disk as soon as they are known, and the clocks and meters they come from."""

import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch


class Record:
    """The results of a stage.

    Attributes:
        device: cuda or cpu.
        small: whether shapes are tiny, to see that it works.
        folder: for what the stage writes beside its results.
    """

    def __init__(self, file: Path, stage: str, device: str, small: bool, seconds: float):
        self.device = torch.device(device)
        self.small = small
        self.folder = file.parent
        self._file = file
        self._ends = time.monotonic() + seconds
        self._content: dict[str, Any] = {"stage": stage, "device": device, "small": small, "rows": []}
        self._write()

    @property
    def left(self) -> float:
        """Seconds until the stage is ended."""
        return self._ends - time.monotonic()

    def row(
        self,
        what: str,
        value: Any,
        unit: str = "",
        least: float | None = None,
        most: float | None = None,
        **details: Any,
    ) -> None:
        """Add a measurement.

        Args:
            what: was measured, for people.
            value: a number, or a text.
            unit: of the number.
            least, most: its target, if it has one.
            details: kept in the JSON alone.
        """
        row: dict[str, Any] = {"what": what, "value": value, "unit": unit}
        if least is not None or most is not None:
            row["target"] = f"at least {least:g}" if least is not None else f"at most {most:g}"
            row["met"] = bool(value >= least if least is not None else value <= most)
        self._content["rows"].append(row | ({"details": details} if details else {}))
        self._write()

    def skip(self, what: str, reason: str) -> None:
        """Say what was not measured, and why."""
        self._content["rows"].append({"what": what, "skipped": reason})
        self._write()

    def fail(self, reason: str) -> None:
        """Say what ended the stage."""
        self._content["reason"] = reason
        self._write()

    def _write(self) -> None:
        draft = self._file.with_suffix(".part")
        draft.write_text(json.dumps(self._content, indent=1, default=str), encoding="utf-8")
        draft.replace(self._file)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(call: Callable[[], Any], device: torch.device) -> float:
    """How long a call takes, the device's work included."""
    synchronize(device)
    began = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - began


def in_turn(calls: Mapping[str, Callable[[], Any]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of calls that take turns, after a round that is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            seconds = seconds_of(call, device)
            if number:
                taken[name].append(seconds)
    return taken


def middle(values: list[float]) -> float:
    """The median."""
    return float(statistics.median(values))


def peak_bytes(call: Callable[[], Any], device: torch.device) -> float | None:
    """GPU memory of a call beyond what was allocated before it; None on a CPU."""
    if device.type != "cuda":
        return None
    synchronize(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    synchronize(device)
    return float(torch.cuda.max_memory_allocated(device) - before)
