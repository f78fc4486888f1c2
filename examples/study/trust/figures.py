# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Figures of the registered test: gains with their intervals, learning curves, the weight over the steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from study.runs import Result
from study.statistics import Difference

DPI = 120
COLOURS = {"grpo": "0.35", "trust": "C0", "prpo": "C3", "pure": "C1", "grpo_more": "C2"}


def differences(of_arm: Mapping[str, Mapping[str, Difference]], names: Mapping[str, str], path: Path) -> None:
    """Points over GRPO for each task and for the mean of the tasks, a colour for each arm.

    Args:
        of_arm: by arm, by row (a task, or the mean), the difference in points.
        names: of the arms, for the legend.
        path: the PNG.
    """
    rows = list(dict.fromkeys(row for of_row in of_arm.values() for row in of_row))[::-1]
    figure, axis = plt.subplots(figsize=(7.6, 1.2 + 0.5 * len(rows)), layout="constrained")
    for k, (arm, of_row) in enumerate(of_arm.items()):
        at = [rows.index(row) + 0.14 * ((len(of_arm) - 1) / 2 - k) for row in of_row]
        means = [found.mean for found in of_row.values()]
        ends = [[found.mean - found.low for found in of_row.values()], [f.high - f.mean for f in of_row.values()]]
        axis.errorbar(means, at, xerr=ends, fmt="o", markersize=4, capsize=2, color=COLOURS[arm], label=names[arm])
    axis.axvline(0, color="grey", linewidth=0.8)
    axis.set_yticks(range(len(rows)), rows)
    axis.set(xlabel="points over GRPO, greedy, with 95% intervals")
    axis.legend(fontsize=8, frameon=False)
    _save(figure, path)


def curves(of_task: Mapping[str, Mapping[str, Sequence[Result]]], names: Mapping[str, str], path: Path) -> None:
    """Greedy held-out accuracy over training: mean over seeds and its standard error, a panel for each task."""
    figure, axes = _panels(len(of_task))
    for axis, (task, of_arm) in zip(axes, of_task.items(), strict=True):
        for arm, results in of_arm.items():
            steps = [row["step"] for row in results[0].rows if "greedy" in row]
            values = np.array([[100 * row["greedy"] for row in r.rows if "greedy" in row] for r in results])
            _band(axis, steps, values, names[arm], COLOURS[arm])
        axis.set(title=task, xlabel="step")
    axes[0].set_ylabel("right, held out, greedy, %")
    _legend(figure, axes)
    _save(figure, path)


def weights(of_task: Mapping[str, Sequence[Result]], path: Path) -> None:
    """What the rule's weight was over the steps: mean over seeds and its standard error, a line for each task."""
    figure, axis = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    for i, (task, results) in enumerate(of_task.items()):
        steps = [row["step"] for row in results[0].rows if "earned" in row]
        values = np.array([[row["earned"] for row in r.rows if "earned" in row] for r in results])
        _band(axis, steps, values, task, f"C{i}")
    axis.set(xlabel="step", ylabel="weight of the PRM", ylim=(0, None))
    axis.legend(fontsize=8, frameon=False, ncols=2)
    _save(figure, path)


def _panels(number: int) -> tuple[plt.Figure, list[plt.Axes]]:
    columns = min(3, number)
    lines = -(-number // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(3.4 * columns, 2.8 * lines), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[number:]:
        axis.set_axis_off()
    return figure, list(axes.flat[:number])


def _band(axis: plt.Axes, steps: Sequence[float], of_seed: NDArray[np.float64], name: str, colour: str) -> None:
    mean = of_seed.mean(0)
    axis.plot(steps, mean, label=name, color=colour, linewidth=1.4)
    if len(of_seed) > 1:
        error = of_seed.std(0, ddof=1) / np.sqrt(len(of_seed))
        axis.fill_between(steps, mean - error, mean + error, color=colour, alpha=0.15, linewidth=0)


def _legend(figure: plt.Figure, axes: Sequence[plt.Axes]) -> None:
    labelled = {label: line for axis in axes for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(labelled.values(), labelled.keys(), loc="outside lower center", ncols=5, fontsize=9, frameon=False)


def _save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)
