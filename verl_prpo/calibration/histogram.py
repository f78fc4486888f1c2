# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A picture of the scores that a PRM gives."""

from collections.abc import Sequence
from pathlib import Path

BINS = 40


def draw(
    path: Path,
    scores: Sequence[float],
    right: Sequence[bool | None],
    score_range: tuple[float, float],
    prior: tuple[float, float],
    title: str,
) -> None:
    """Write a histogram of segment scores as PNG.

    Args:
        path: the file.
        scores: `[n]`.
        right: `[n]`, whether the outcome of each segment's response is right; None when unknown.
        score_range: the axis.
        prior: mean and standard deviation, drawn as lines.
        title: of the figure.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    known = {"right outcome": True, "wrong outcome": False, "outcome unknown": None}
    shares = {name: [s for s, r in zip(scores, right, strict=True) if r is value] for name, value in known.items()}
    shares = {name: share for name, share in shares.items() if share}
    colours = {"right outcome": "tab:blue", "wrong outcome": "tab:orange", "outcome unknown": "tab:gray"}
    axes.hist(
        list(shares.values()),
        bins=BINS,
        range=score_range,
        stacked=True,
        label=[f"{name} ({len(share)})" for name, share in shares.items()],
        color=[colours[name] for name in shares],
    )
    mean, std = prior
    axes.axvline(mean, color="black", label=f"mean {mean:.3f}")
    for edge in (mean - std, mean + std):
        axes.axvline(edge, color="black", linestyle=":", label=f"one std {std:.3f}" if edge < mean else None)
    axes.set(xlabel="score of a segment", ylabel="segments", title=title)
    axes.legend()
    figure.savefig(path, dpi=150)
