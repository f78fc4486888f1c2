# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The table under the curves: each arm's numbers, how far it lies from the baseline, and what the reader must know."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from verl_prpo.viewer.compare.arms import Arm
from verl_prpo.viewer.compare.curves import (
    PAIRED,
    WELCH,
    Difference,
    Metric,
    common_steps,
    difference,
    final_value,
    mean_height,
)
from verl_prpo.viewer.compare.runs import Series

NONE = "-"
COLUMNS = ("metric", "steps", "arm", "final", "difference", "AUC per step", "difference")
MEANING = (
    "final: the last validation; of training metrics the mean over the last tenth of the compared steps, at least 5",
    "AUC per step: area under the curve over the compared steps, divided by their span",
    "an arm's numbers are means over its seeds",
)


@dataclass(frozen=True)
class Row:
    """One arm's numbers for one metric, ready to print. `NONE` stands where there is none.

    Attributes:
        metric: its title.
        steps: the compared steps.
        arm: its label.
        cells: final value, its difference to the baseline, area under the curve per step, its difference.
    """

    metric: str
    steps: str
    arm: str
    cells: tuple[str, str, str, str]


@dataclass
class Table:
    """Rows, metric after metric with the baseline first, and notes in whole sentences."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def make_table(arms: Sequence[Arm], metrics: Sequence[Metric]) -> Table:
    """Compare the arms to the first of them, over the steps that all runs with the metric have."""
    table = Table()
    methods: dict[str, None] = {}
    for metric in metrics:
        read = {arm.label: [s for run in arm.runs if (s := metric.read(run))] for arm in arms}
        steps = common_steps([series for runs in read.values() for series in runs])
        if not any(read.values()):
            table.notes.append(f"{metric.title}: no run has {metric.name}")
            continue
        table.notes += _gaps(arms, metric, read, steps)
        base = Side(arms[0], read[arms[0].label], metric, steps)
        for arm in arms:
            side = Side(arm, read[arm.label], metric, steps)
            compared = [
                _difference(base, side, b, s) if arm is not arms[0] else None
                for b, s in ((base.final, side.final), (base.height, side.height))
            ]
            methods |= dict.fromkeys(found.method for found in compared if found)
            (final, height), (d_final, d_height) = (_mean(side.final), _mean(side.height)), compared
            unit = metric.unit
            cells = (_shown(final, unit), _apart(d_final, unit), _shown(height, unit), _apart(d_height, unit))
            table.rows.append(Row(metric.heading, _span(steps), arm.label, cells))
    table.notes += [*MEANING, *_explained(arms, methods), *_lengths(arms), *_condition(arms)]
    return table


class Side:
    """One number per run that has the metric: `final` and `height`, empty where there is nothing to compare."""

    def __init__(self, arm: Arm, series: Sequence[Series], metric: Metric, steps: Sequence[int]):
        self.complete = len(series) == len(arm.runs)
        self.final = [final_value(s, steps, metric) for s in series] if steps else []
        heights = [mean_height(s, steps) for s in series]
        self.height = [height for height in heights if height is not None]


def _difference(base: Side, side: Side, baseline: Sequence[float], arm: Sequence[float]) -> Difference | None:
    if not baseline or not arm:
        return None
    return difference(baseline, arm, base.complete and side.complete and len(baseline) == len(arm))


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return NONE
    return f"{value:.1%}" if unit == "%" else f"{value:.4g}"


def _apart(found: Difference | None, unit: str) -> str:
    if found is None:
        return NONE
    interval = "" if found.interval is None else " [{}, {}]".format(*(_signed(end, unit) for end in found.interval))
    return _signed(found.value, unit) + interval


def _signed(value: float, unit: str) -> str:
    return f"{100 * value:+.1f} pp" if unit == "%" else f"{value:+.3g}"


def _span(steps: Sequence[int]) -> str:
    if not steps:
        return NONE
    return f"{steps[0]}-{steps[-1]} ({len(steps)})" if len(steps) > 1 else str(steps[0])


def run_name(arm: Arm, index: int) -> str:
    """Name a run: by its label, and where there are several runs also by its number."""
    return f"{arm.label} #{index + 1}" if len(arm.runs) > 1 else arm.label


def _gaps(arms: Sequence[Arm], metric: Metric, read: dict[str, list[Series]], steps: Sequence[int]) -> list[str]:
    """Say which runs lack the metric, and at which steps it is no finite number."""
    lacking = [arm.label for arm in arms if not read[arm.label]]
    notes = (
        [f"{metric.title}: none in {', '.join(lacking)} ({metric.absent or f'no {metric.name}'})"] if lacking else []
    )
    for arm in arms:
        if not read[arm.label]:
            continue
        for index, run in enumerate(arm.runs):
            series, name = metric.read(run), run_name(arm, index)
            if not series:
                notes.append(f"{metric.title}: {name} has no {metric.name}, the other runs of {arm.label} stand alone")
                continue
            absent = sum(not math.isfinite(value) for value in series.values())
            if absent:
                notes.append(f"{metric.title}: {name} has {absent} of {len(series)} values NaN or infinite, left out")
    if not steps:
        notes.append(f"{metric.title}: the runs have no step in common, there is nothing to compare")
    return notes


def _lengths(arms: Sequence[Arm]) -> list[str]:
    """Say which runs go on after others have ended."""
    ends = {run_name(arm, index): run.steps[-1] for arm in arms for index, run in enumerate(arm.runs)}
    first = min(ends.values())
    longer = [f"{name} to {end}" for name, end in ends.items() if end > first]
    if not longer:
        return []
    shortest = ", ".join(name for name, end in ends.items() if end == first)
    return [
        f"runs of different length: {shortest} ends at step {first}, {', '.join(longer)}. Only steps that all have "
        "are compared, and an arm's curve ends with its shortest run"
    ]


def _explained(arms: Sequence[Arm], methods: dict[str, None]) -> list[str]:
    """Say how the intervals were found, and why some are missing."""
    notes = []
    for method in methods:
        if method in (PAIRED, WELCH):
            how = "runs in the order given are pairs" if method == PAIRED else "unequal numbers of runs"
            notes.append(f"[low, high]: 95% t-interval of the difference over seeds, {method} ({how})")
        else:
            notes.append(f"differences without an interval: {method}")
    if len(arms) == 1:
        notes.append("one arm: there is nothing to compare it with")
    elif methods:
        notes.append(f"differences: arm minus {arms[0].label}")
    return notes


def _condition(arms: Sequence[Arm]) -> list[str]:
    """Report what was found in the logs themselves: resumed runs and damaged lines."""
    notes = []
    for arm in arms:
        for index, run in enumerate(arm.runs):
            name = run_name(arm, index)
            if run.repeated:
                count = len(run.repeated)
                notes.append(f"{name} was resumed: {count} steps were logged before it, and what came later counts")
            if run.damaged:
                notes.append(f"{name}: {run.damaged} lines of {run.path.name} are cut or broken and were left out")
    return notes
