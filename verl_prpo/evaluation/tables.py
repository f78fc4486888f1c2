# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The figures as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from verl_prpo.evaluation.folder import SUMMARY
from verl_prpo.evaluation.sampling import Sampling

_WORDS = ("set", "decoding", "level", "subject", "test")
"""Columns that hold words."""

_NAMED = 5
"""The most unpaired problems that are named."""


def print_summary(summary: Mapping[str, Any], console: Any) -> None:
    """Print a row for each set, pass@k for sets with several samples, then levels, subjects and remarks."""
    rows = []
    for name, of_set in summary["sets"].items():
        sampling, found, total = Sampling(**of_set["sampling"]), of_set["problems"], of_set["total"]
        figures = [_figure(of_set["metrics"], f"{metric}@{sampling.samples}") for metric in ("mean", "pass", "maj")]
        tokens = "-" if of_set["tokens_mean"] is None else f"{of_set['tokens_mean']:.0f}"
        shares = [_percent(of_set[share]) for share in ("truncated", "no_answer")]
        problems = str(found) if found == total else f"{found} of {total}"
        rows.append([name, str(sampling), problems, str(sampling.samples), *figures, tokens, *shares])
    columns = ["set", "decoding", "problems", "k", "mean@k", "pass@k", "maj@k", "tokens", "truncated", "no answer"]
    _table(f"{summary['model']}: percent [95% interval over problems]", columns, rows, console)
    for name, of_set in summary["sets"].items():
        metrics, k = of_set["metrics"], of_set["sampling"]["samples"]
        passes = [metric for metric in metrics if metric.startswith("pass@")]
        if len(passes) > 1:
            row = [name, *(_figure(metrics, metric) for metric in passes)]
            _table(f"{name}: at least one of k right", ["set", *passes], [row], console)
        shown = [metric for metric in (f"mean@{k}", f"pass@{k}", f"maj@{k}") if metric in metrics]
        for kind in ("level", "subject"):
            groups = [
                [group, str(of_group["problems"]), *(_figure(of_group["metrics"], metric) for metric in shown)]
                for group, of_group in of_set[f"by_{kind}"].items()
            ]
            if groups:
                _table(f"{name} by {kind}", [kind, "problems", *shown], groups, console)
        for remark in _remarks(of_set):
            console.print(f"{name}: {remark}", markup=False)


def _remarks(of_set: Mapping[str, Any]) -> list[str]:
    remarks = []
    if of_set["problems"] < of_set["selected"]:
        remarks.append(f"{of_set['selected'] - of_set['problems']} of {of_set['selected']} problems are missing")
    if of_set["too_long"]:
        remarks.append(f"{of_set['too_long']} prompts were too long for the model and count as wrong")
    if of_set["undecided"]:
        remarks.append(
            f"{of_set['undecided']} answers could not be compared and count as wrong. See methods in {SUMMARY}"
        )
    if of_set["sampling"]["samples"] > 1 and not any(metric.startswith("maj@") for metric in of_set["metrics"]):
        remarks.append("no maj@k, since the reward function gives no `pred` and responses no box")
    return remarks


def print_comparison(results: Sequence[Mapping[str, Any]], a: str, b: str, console: Any) -> None:
    """Print a row for each set that both have, and what bears on it."""
    rows = [
        [
            found["name"],
            str(found["common"]),
            _percent(found["mean_a"]),
            _percent(found["mean_b"]),
            f"{100 * found['difference']:+.1f}{_below(found['interval'], '+')}",
            f"{found['better']} / {found['worse']}",
            f"{found['p']:.3f}" if found["p"] >= 0.001 else f"{found['p']:.1e}",
            found["test"],
        ]
        for found in results
    ]
    title = f"A = {a}\nB = {b}\nmean@k in percent, A - B with its 95% interval over problems"
    columns = ["set", "common problems", "A", "B", "A - B", "A better / worse", "p", "test"]
    _table(title, columns, rows, console)
    for found in results:
        for run in ("a", "b"):
            if alone := found[f"only_{run}"]:
                more = f" and {len(alone) - _NAMED} more" if len(alone) > _NAMED else ""
                named = ", ".join(map(str, alone[:_NAMED])) + more
                said = f"{len(alone)} problems are only in {run.upper()} and left out: {named}"
                console.print(f"{found['name']}: {said}", markup=False)
        if found["settings"]:
            said = f"A and B were evaluated differently ({'; '.join(found['settings'])})"
            console.print(f"{found['name']}: {said}", markup=False)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], console: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column in _WORDS else "right")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _figure(metrics: Mapping[str, Any], name: str) -> str:
    if name not in metrics:
        return "-"
    value, interval = metrics[name]["value"], metrics[name]["interval"]
    return f"{100 * value:.1f}{_below(interval)}"


def _below(interval: Sequence[float] | None, sign: str = "") -> str:
    """Format an interval on a line of its own, or as nothing for None."""
    return "" if interval is None else "\n[{:{s}.1f}, {:{s}.1f}]".format(*(100 * bound for bound in interval), s=sign)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
