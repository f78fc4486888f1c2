# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The curves as one PNG of small multiples, and as an SVG per metric that takes its colours from the page."""

import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verl_prpo.viewer.compare.arms import Arm
from verl_prpo.viewer.compare.curves import Metric, curve
from verl_prpo.viewer.report.terminal_response import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart with any colour vision, without its yellow, which white swallows.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
DARK_COLOURS = ("#56b4e9", "#ff8c42", "#2fc99a", "#e6a3c8", "#9ad4f5", "#f0c35a", "#ffffff")
"""The same hues on a dark page, in the same order."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 3)), (0, (3, 4)))
INK, GRID = "#1b1f24", "#d0d5da"
MARKED = 12
"""The number of markers on a curve, roughly. More would hide the curve."""


def style_of(index: int) -> dict[str, Any]:
    """Return colour, marker and dashes of the arm with this index.

    The 8th arm has the first colour with other markers.
    """
    dashes = (index + index // len(COLOURS)) % len(DASHES)
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[dashes],
        "linestyle": DASHES[dashes],
    }


def draw_metric(axes: "Axes", arms: Sequence[Arm], metric: Metric) -> None:
    """Draw the curve of every arm that has the metric, with its band."""
    from matplotlib.ticker import MaxNLocator

    scale, width = 100.0 if metric.unit == "%" else 1.0, 1
    for index, arm in enumerate(arms):
        series = [s for run in arm.runs if (s := metric.read(run))]
        if not series:
            continue
        found = curve(series)
        if not found.steps:
            continue
        width = max(width, found.width)
        style = style_of(index)
        if found.band:
            low, high = ([scale * pair[side] for pair in found.band] for side in (0, 1))
            axes.fill_between(found.steps, low, high, color=style["color"], alpha=0.18, linewidth=0)
        every = math.ceil(len(found.steps) / MARKED)
        # Arms are marked at different steps: where curves lie on each other both can be seen.
        start = index * every // max(1, len(arms)) if every > 1 else 0
        heights = [scale * value for value in found.mean]
        axes.plot(found.steps, heights, **style, markevery=(start, every), markersize=4.5, linewidth=1.6)
    axes.set_title(_plain(metric.heading), loc="left", fontsize=10.5, color=INK)
    axes.set_xlabel(f"step (a point is the mean of {width})" if width > 1 else "step", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=9)
    if metric.unit == "%":
        axes.set_ylim(bottom=0)


def legend_of(arm: Arm) -> str:
    """Write the arm's label, and what its band is."""
    seeds = len(arm.runs)
    bands = {1: "one seed", 2: "mean of 2 seeds, band from the lower to the higher"}
    return f"{arm.label} ({bands.get(seeds, f'mean of {seeds} seeds, band: 95% t-interval of the mean')})"


def save_png(arms: Sequence[Arm], metrics: Sequence[Metric], path: Path) -> None:
    """Save one figure with a panel per metric, on a light background."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = min(3, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    figure = Figure(figsize=(4.4 * columns, 3.0 * rows + 0.35 * len(arms)), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    for number, metric in enumerate(metrics, start=1):
        draw_metric(figure.add_subplot(rows, columns, number), arms, metric)
    handles = [Line2D([], [], **style_of(index), markersize=5) for index in range(len(arms))]
    labels = [_plain(legend_of(arm)) for arm in arms]
    figure.legend(handles, labels, loc="outside upper left", frameon=False, fontsize=10, labelcolor=INK)
    figure.savefig(path, dpi=140)


def svg(arms: Sequence[Arm], metric: Metric) -> str:
    """Draw one panel as an `<svg>` element for an HTML page.

    Colours are CSS variables: `--ink`, `--grid`, and `--arm0` and so on for `COLOURS`. Text stays text.
    """
    import matplotlib
    from matplotlib.figure import Figure

    # The salt makes ids, which the page's SVGs share, those of the metric.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": visible(metric.name)}):
        figure = Figure(figsize=(4.6, 3.0), layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        draw_metric(axes, arms, metric)
        axes.set_title("", loc="left")  # the page's heading
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _for_page(text.getvalue(), metric)


def _for_page(drawn: str, metric: Metric) -> str:
    from html import escape

    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', drawn))
    drawn = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", drawn)
    variables = {INK: "--ink", GRID: "--grid"} | {colour: f"--arm{i}" for i, colour in enumerate(COLOURS)}
    drawn = re.sub(
        r"(fill|stroke): ?(#[0-9a-f]{6})",
        lambda found: f"{found[1]}: var({variables[found[2]]})" if found[2] in variables else found[0],
        drawn,
    )
    drawn = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", drawn, count=1)
    drawn = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", drawn, count=1)
    return drawn.replace("<svg", f'<svg role="img" aria-label="{escape(visible(metric.heading), quote=True)}"', 1)


def _plain(text: str) -> str:
    """Escape a text so that matplotlib shows it as it is.

    It then has no mathematics between dollar signs, no hidden label and no control sign.
    """
    text = visible(text).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
