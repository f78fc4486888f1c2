# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Figures of the study. Each is saved as a PNG; what is returned is its caption."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from study.results import Results
from study.statistics import Difference
from study.tables import PRM_NAMES

DPI = 120
LABEL_WIDTH = 28
"""Characters of a label's line."""
SMOOTHED = 5
MARKS = "osD^v"


def learning_curves(results: Results, prm: str, arms: Sequence[str], names: Mapping[str, str], path: Path) -> str:
    """Accuracy over training: mean over seeds, and the band of its standard error.

    Above greedy on held-out problems, below of the sampled training responses, a moving mean over `SMOOTHED` steps.
    """
    figure, axes = plt.subplots(
        2, len(results.tasks), figsize=(2.5 * len(results.tasks), 5.2), squeeze=False, layout="constrained"
    )
    for column, task in enumerate(results.tasks):
        for i, arm in enumerate(arms):
            for axis, name in zip(axes[:, column], ("greedy", "accuracy"), strict=True):
                steps, values = results.curves(task, prm, arm, name)
                if name == "accuracy":
                    steps, values = _smoothed(steps, values)
                if steps:
                    _band(axis, steps, 100 * np.asarray(values), names[arm], f"C{i}")
        axes[0, column].set(title=task)
        axes[1, column].set(xlabel="step")
    axes[0, 0].set_ylabel("right, held out, greedy, %\n")
    axes[1, 0].set_ylabel(f"right, training rollouts, %\n(mean of {SMOOTHED} steps)")
    _legend_below(figure, axes.flat)
    _saved(figure, path)
    return f"Accuracy over training, PRM: {PRM_NAMES[prm]}. Bands are the standard error over seeds. Scales differ"


def scores_and_labels(results: Results, prm: str, path: Path) -> str:
    """What the PRM, the exact labels and the verifier say of PRPO's training responses; the verifier of GRPO's."""
    lines = {
        "prm_mean": ("prpo", "PRPO: score of the PRM", "-"),
        "label_mean": ("prpo", "PRPO: exact labels", "-"),
        "accuracy": ("prpo", "PRPO: right answers", "-"),
        "ended_early": ("prpo", "PRPO: ended early", "-"),
        "grpo": ("grpo", "GRPO: right answers", "--"),
    }
    figure, axes = plt.subplots(
        1, len(results.tasks), figsize=(2.5 * len(results.tasks), 3.4), squeeze=False, layout="constrained"
    )
    for axis, task in zip(axes[0], results.tasks, strict=True):
        for i, (name, (arm, label, style)) in enumerate(lines.items()):
            steps, values = results.curves(task, prm, arm, "accuracy" if name == "grpo" else name)
            steps, values = _smoothed(steps, values)
            if steps:
                _band(axis, steps, 100 * np.asarray(values), label, f"C{i}", style)
        axis.set(title=task, xlabel="step", ylim=(0, 100))
    axes[0][0].set_ylabel("share or mean, %")
    _legend_below(figure, axes.flat)
    _saved(figure, path)
    return f"Training responses, PRM: {PRM_NAMES[prm]}. Lines are moving means over {SMOOTHED} steps"


def forest(
    panels: Mapping[str, Sequence[tuple[str, Mapping[str, Difference], Difference]]],
    tasks: Sequence[str],
    about: str,
    path: Path,
) -> str:
    """Differences from GRPO with their intervals, a panel for each PRM; small marks are single tasks."""
    drawn = {prm: rows for prm, rows in panels.items() if rows}
    names = list(dict.fromkeys(name for rows in drawn.values() for name, *_ in rows))[::-1]
    figure, axes = plt.subplots(
        1, len(drawn), figsize=(2.2 + 3.6 * len(drawn), 1.3 + 0.42 * len(names)),
        squeeze=False, sharex=True, sharey=True, layout="constrained",
    )  # fmt: skip
    for axis, (prm, rows) in zip(axes[0], drawn.items(), strict=True):
        for name, each, together in rows:
            i = names.index(name)
            axis.plot([100 * together.low, 100 * together.high], [i, i], color="C0", linewidth=5, alpha=0.4)
            axis.plot(100 * together.mean, i, "|", color="C0", markersize=14, markeredgewidth=3, label="mean of tasks")
            for k, task in enumerate(tasks):
                if task in each:
                    at = 100 * each[task].mean
                    axis.plot(at, i, MARKS[k % len(MARKS)], color="0.25", fillstyle="none", markersize=6, label=task)
        axis.axvline(0, color="grey", linewidth=0.8)
        axis.set_yticks(range(len(names)), [textwrap.fill(name, LABEL_WIDTH) for name in names], fontsize=9)
        axis.set(xlabel=f"{about}, points over GRPO", title=f"PRM: {PRM_NAMES[prm]}")
    _legend_below(figure, axes.flat, len(tasks) + 1)
    _saved(figure, path)
    return f"{about}, points over GRPO. Marks are tasks, and bars the 95% interval of their mean"


def recall(points: Mapping[str, Sequence[tuple[float, str, Difference]]], path: Path) -> str:
    """Gain over GRPO against the share of wrong lines that a PRM finds; by task. Learned PRMs are filled."""
    figure, axis = plt.subplots(figsize=(7, 4.4), layout="constrained")
    for i, (task, found) in enumerate(points.items()):
        for share, prm, each in found:
            at = 100 * share + 0.5 * (i - 1.5)  # side by side, so that bars show
            ends = [[100 * (each.mean - each.low)], [100 * (each.high - each.mean)]]
            filled = f"C{i}" if prm.startswith("learned") else "white"
            style = {"marker": MARKS[i % len(MARKS)], "capsize": 2, "color": f"C{i}", "markerfacecolor": filled}
            axis.errorbar([at], [100 * each.mean], ends, linestyle="none", label=task, **style)
    axis.axhline(0, color="grey", linewidth=0.8)
    axis.set(xlabel="wrong lines that the PRM finds, %", ylabel="PRPO, points over GRPO, greedy")
    _legend_below(figure, [axis])
    _saved(figure, path)
    return "PRPO less GRPO by what its PRM finds. Filled: learned PRMs. Hollow: exact labels with noise"


def _legend_below(figure: Figure, axes: Iterable[plt.Axes], columns: int = 4) -> None:
    labelled = {label: line for axis in axes for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    style = {"loc": "outside lower center", "ncols": columns, "fontsize": 9, "frameon": False}
    figure.legend(labelled.values(), labelled.keys(), **style)


def _band(
    axis: plt.Axes, steps: Sequence[float], of_seed: NDArray[np.float64], name: str, colour: str, style: str = "-"
) -> None:
    mean = of_seed.mean(0)
    axis.plot(steps, mean, style, label=name, color=colour, linewidth=1.3)
    if len(of_seed) > 1:
        error = of_seed.std(0, ddof=1) / np.sqrt(len(of_seed))
        axis.fill_between(steps, mean - error, mean + error, color=colour, alpha=0.15, linewidth=0)


def _smoothed(steps: list[float], values: list[list[float]]) -> tuple[list[float], list[list[float]]]:
    width = min(SMOOTHED, max(1, len(steps)))
    middle = steps[width // 2 : len(steps) - (width - 1) // 2]
    return middle, [np.convolve(of_seed, np.full(width, 1 / width), "valid").tolist() for of_seed in values]


def _saved(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)
