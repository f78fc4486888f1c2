# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Figures of the study. Each is saved as a PNG; what is returned is the markdown that shows it, or nothing."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from study.results import Results
from study.statistics import Difference, difference, final

DPI = 110
SMOOTHED = 5


def learning_curves(results: Results, prm: str, arms: Sequence[str], path: Path) -> str:
    """Accuracy over training: mean over seeds, and the band of its standard error.

    Above greedy on held-out problems, below of the sampled training responses, a moving mean over `SMOOTHED` steps.
    """
    figure, axes = plt.subplots(2, len(results.tasks), figsize=(4.2 * len(results.tasks), 6.4), squeeze=False)
    for column, task in enumerate(results.tasks):
        for i, arm in enumerate(arms):
            for axis, name in zip(axes[:, column], ("greedy", "accuracy"), strict=True):
                steps, values = results.curves(task, prm, arm, name)
                if name == "accuracy":
                    steps, values = _smoothed(steps, values)
                if steps:
                    _band(axis, steps, values, arm, f"C{i}")
        axes[0, column].set(title=task)
        axes[1, column].set(xlabel="step")
    axes[0, 0].set_ylabel("held-out, greedy")
    axes[1, 0].set_ylabel("training, temperature 1")
    axes[0, -1].legend(fontsize=7)
    return _saved(figure, path, f"Accuracy over training, {prm}: mean over seeds and its standard error")


def scores_and_labels(results: Results, prm: str, path: Path) -> str:
    """What the PRM says of the training responses, what the labels say, and what the verifier says, for PRPO."""
    figure, axes = plt.subplots(1, len(results.tasks), figsize=(4.2 * len(results.tasks), 3.2), squeeze=False)
    for axis, task in zip(axes[0], results.tasks, strict=True):
        for i, name in enumerate(("prm_mean", "label_mean", "accuracy", "ended_early")):
            steps, values = results.curves(task, prm, "prpo", name)
            if steps:
                _band(axis, steps, values, name, f"C{i}")
        axis.set(title=task, xlabel="step", ylim=(0, 1))
    axes[0][0].legend(fontsize=7)
    return _saved(figure, path, f"PRPO, {prm}: mean PRM score, exact labels, accuracy and early endings")


def forest(found: Sequence[tuple[str, Difference]], caption: str, path: Path) -> str:
    """Differences with their intervals, one below the other."""
    figure, axis = plt.subplots(figsize=(6.5, 0.8 + 0.28 * len(found)))
    for i, (_, each) in enumerate(reversed(found)):
        axis.plot([100 * each.low, 100 * each.high], [i, i], color="C0")
        axis.plot(100 * each.mean, i, "o", color="C0")
    axis.axvline(0, color="grey", linewidth=0.8)
    axis.set_yticks(range(len(found)), [name for name, _ in reversed(found)])
    axis.set_xlabel("points")
    return _saved(figure, path, caption)


def noise(
    results: Results, prms: Sequence[str], seeds: Sequence[int], columns: Sequence[tuple[str, str]], path: Path
) -> str:
    """Gain over GRPO against the share of labels turned over, for each arm and task of `columns`."""
    figure, axis = plt.subplots(figsize=(5.6, 3.6))
    for i, (arm, task) in enumerate(columns):
        drawn = []
        for prm in prms:
            values = results.differences(prm, arm, "grpo", lambda r: final(r.rows, "greedy"), seeds).get(task)
            if values:
                share = 0 if prm == "oracle" else int(prm.removeprefix("noise"))
                drawn.append((share + 0.3 * i, difference({task: values})))  # side by side, so that bars show
        axis.errorbar(
            [share for share, _ in drawn],
            [100 * each.mean for _, each in drawn],
            [[100 * (e.mean - e.low) for _, e in drawn], [100 * (e.high - e.mean) for _, e in drawn]],
            marker="o",
            capsize=3,
            color=f"C{i}",
            label=f"{arm}, {task}",
        )
    axis.axhline(0, color="grey", linewidth=0.8)
    axis.set(xlabel="labels turned over, %", ylabel="points over GRPO")
    axis.legend(fontsize=8)
    return _saved(figure, path, "Greedy accuracy less that of GRPO by noise in the PRM, 95% intervals over seeds")


def _band(axis: plt.Axes, steps: Sequence[float], values: Sequence[Sequence[float]], name: str, colour: str) -> None:
    of_seed = np.asarray(values)
    mean = of_seed.mean(0)
    axis.plot(steps, mean, label=name, color=colour, linewidth=1.3)
    if len(of_seed) > 1:
        error = of_seed.std(0, ddof=1) / np.sqrt(len(of_seed))
        axis.fill_between(steps, mean - error, mean + error, color=colour, alpha=0.15, linewidth=0)


def _smoothed(steps: list[float], values: list[list[float]]) -> tuple[list[float], list[list[float]]]:
    width = min(SMOOTHED, max(1, len(steps)))
    middle = steps[width // 2 : len(steps) - (width - 1) // 2]
    return middle, [np.convolve(of_seed, np.full(width, 1 / width), "valid").tolist() for of_seed in values]


def _saved(figure: Figure, path: Path, caption: str) -> str:
    figure.tight_layout()
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)
    return f"![{caption}]({path.parent.name}/{path.name})\n\n{caption}."
