# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A picture of the scores that a PRM gives."""

import os
from collections.abc import Sequence
from pathlib import Path

BINS = 40


def obstacle(path: Path) -> str:
    """Say why no histogram can be drawn into a file, or "" where one can. Ask before anything that takes long."""
    from verl_prpo.console.folder_checks import unwritable

    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ModuleNotFoundError as error:
        return f"{error}. Run pip install matplotlib"
    kinds = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.lower().removeprefix(".") not in kinds:
        return f"{path} is no kind of picture that matplotlib writes. Name a file such as scores.png"
    if path.is_dir():
        return f"{path} is a folder. Name a file"
    if path.exists() and not os.access(path, os.W_OK):
        return f"{path} may not be written. Give another file"
    fault = unwritable(path.parent)
    return f"{path}: {fault}. Give another file" if fault else ""


def draw(
    path: Path,
    scores: Sequence[float],
    right: Sequence[bool | None],
    score_range: tuple[float, float],
    prior: tuple[float, float],
    title: str,
) -> None:
    """Write a histogram of segment scores, as PNG or what else the file's name ends with.

    Args:
        path: the file.
        scores: `[n]`.
        right: `[n]`, whether the outcome of each segment's response is right, None when unknown.
        score_range: range of the axis.
        prior: mean and standard deviation, drawn as lines.
        title: title of the figure.

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
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
