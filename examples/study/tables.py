# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Markdown tables and how their numbers are written."""

from collections.abc import Sequence
from math import isnan

from study.statistics import Difference

PRM_NAMES = {
    "oracle": "exact labels",
    "noise5": "5% of labels turned over",
    "noise10": "10%",
    "noise20": "20%",
    "noise30": "30%",
    "kind": "too kind: half of the wrong segments pass",
    "harsh": "too harsh: 30% of the right ones do not",
    "length": "length-loving: half the score is the response's length",
    "learned": "learned",
    "learned_weak": "weak",
}
"""How a page names a PRM."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """Three digits at least."""
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"


def percent(share: float) -> str:
    """A share as percent."""
    return f"{100 * share:.1f}"


def points(difference: float) -> str:
    """A difference of shares in points, with its sign."""
    return f"{100 * difference:+.1f}"


def interval(found: Difference) -> str:
    """A difference of shares with its bounds, in points; bold where the interval, as it is written, excludes 0."""
    if isnan(found.low):
        return points(found.mean)
    text = f"{points(found.mean)} [{points(found.low)}, {points(found.high)}]"
    return f"**{text}**" if lies_above_0(found) or lies_below_0(found) else text


def lies_above_0(found: Difference) -> bool:
    """Whether the interval lies above 0 by a tenth of a point; False where there is none."""
    return not isnan(found.low) and round(100 * found.low, 1) > 0


def lies_below_0(found: Difference) -> bool:
    """Whether the interval lies below 0 by a tenth of a point; False where there is none."""
    return not isnan(found.high) and round(100 * found.high, 1) < 0
