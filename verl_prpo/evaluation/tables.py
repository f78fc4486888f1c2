# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The figures as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from verl_prpo.evaluation.comparison import PairedResult
from verl_prpo.evaluation.folder import SUMMARY
from verl_prpo.evaluation.protocol import Sampling
from verl_prpo.outcome.scorer import UNDECIDED


def print_summary(summary: Mapping[str, Any], console: Any) -> None:
    """A row for each set, pass@k for sets with several samples, then levels and subjects."""
    from rich.table import Table

    table = Table(title=f"{summary['model']}: percent [95% interval over problems]", title_justify="left")
    table.add_column("set")
    table.add_column("decoding")
    for column in ("problems", "k", "mean@k", "pass@k", "maj@k", "tokens", "truncated", "no answer"):
        table.add_column(column, justify="right")
    for name, of_set in summary["sets"].items():
        sampling = Sampling(**of_set["sampling"])
        k = sampling.samples
        table.add_row(
            name,
            str(sampling),
            _count(of_set),
            str(k),
            *(_figure(of_set["metrics"], f"{metric}@{k}") for metric in ("mean", "pass", "maj")),
            "-" if of_set["tokens_mean"] is None else f"{of_set['tokens_mean']:.0f}",
            *(_percent(of_set[share]) for share in ("truncated", "no_answer")),
        )
    console.print(table)
    for name, of_set in summary["sets"].items():
        _print_pass(name, of_set, console)
        for kind in ("level", "subject"):
            _print_groups(name, of_set, kind, console)
        _print_remarks(name, of_set, console)


def _print_pass(name: str, of_set: Mapping[str, Any], console: Any) -> None:
    passes = {metric: value for metric, value in of_set["metrics"].items() if metric.startswith("pass@")}
    if len(passes) < 2:
        return
    from rich.table import Table

    table = Table(title=f"{name}: at least one of k right", title_justify="left")
    for metric in passes:
        table.add_column(metric, justify="right")
    table.add_row(*(_figure(passes, metric) for metric in passes))
    console.print(table)


def _print_groups(name: str, of_set: Mapping[str, Any], kind: str, console: Any) -> None:
    groups = of_set[f"by_{kind}"]
    if not groups:
        return
    from rich.table import Table

    k = of_set["sampling"]["samples"]
    shown = [metric for metric in (f"mean@{k}", f"pass@{k}", f"maj@{k}") if metric in of_set["metrics"]]
    table = Table(title=f"{name} by {kind}", title_justify="left")
    table.add_column(kind)
    for column in ("problems", *shown):
        table.add_column(column, justify="right")
    for group, figures in groups.items():
        table.add_row(group, str(figures["problems"]), *(_figure(figures["metrics"], metric) for metric in shown))
    console.print(table)


def _print_remarks(name: str, of_set: Mapping[str, Any], console: Any) -> None:
    from rich.text import Text

    if of_set["too_long"]:
        console.print(Text(f"{name}: {of_set['too_long']} prompts were too long for the model and count as wrong"))
    undecided = sum(of_set["methods"].get(method, 0) for method in UNDECIDED)
    if undecided:
        console.print(
            Text(f"{name}: {undecided} answers could not be compared and count as wrong; see methods in {SUMMARY}")
        )
    if of_set["sampling"]["samples"] > 1 and not any(metric.startswith("maj@") for metric in of_set["metrics"]):
        console.print(Text(f"{name}: no maj@k, since the reward function gives no `pred` and responses no box"))


def print_comparison(results: Sequence[PairedResult], a: str, b: str, console: Any) -> None:
    """A row for each set that both have."""
    from rich.table import Table
    from rich.text import Text

    title = f"A = {a}\nB = {b}\nmean@k in percent, A - B with its 95% interval over problems"
    table = Table(title=title, title_justify="left")
    table.add_column("set")
    for column in ("common problems", "A", "B", "A - B", "A better / worse", "p"):
        table.add_column(column, justify="right")
    table.add_column("test")
    for result in results:
        table.add_row(
            result.name,
            str(result.common),
            _percent(result.mean_a),
            _percent(result.mean_b),
            f"{100 * result.difference:+.1f}" + (f"\n{_interval(result.interval, '+')}" if result.interval else ""),
            f"{result.better} / {result.worse}",
            f"{result.p:.3f}" if result.p >= 0.001 else f"{result.p:.1e}",
            result.test,
        )
    console.print(table)
    for result in results:
        if result.only_a or result.only_b:
            left_out = f"{result.only_a} problems are only in A, {result.only_b} only in B; they are left out"
            console.print(Text(f"{result.name}: {left_out}"))
        if result.settings:
            console.print(Text(f"{result.name}: A and B were evaluated differently ({'; '.join(result.settings)})"))


def _figure(metrics: Mapping[str, Any], name: str) -> str:
    if name not in metrics:
        return "-"
    value, interval = metrics[name]["value"], metrics[name]["interval"]
    return f"{100 * value:.1f}" + ("" if interval is None else "\n" + _interval(interval))


def _interval(interval: Sequence[float], sign: str = "") -> str:
    return "[{:{s}.1f}, {:{s}.1f}]".format(*(100 * bound for bound in interval), s=sign)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _count(of_set: Mapping[str, Any]) -> str:
    total = of_set["total"]
    return str(of_set["problems"]) if of_set["problems"] == total else f"{of_set['problems']} of {total}"
