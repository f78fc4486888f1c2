# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The tables of the report, each a piece of markdown, and what its figures show; runs that are missing leave gaps.

What is compared is paired: same task, seed, problems and order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from study import figures, statistics
from study.arms import ARMS
from study.plan import HEADLINE, PRM_FREE
from study.results import Results
from study.runs import Result
from study.statistics import Difference
from study.tables import PRM_NAMES, interval, percent, points, table

Facts = dict[str, dict[str, Any]]
"""What is known of starting policies and learned PRMs, by "TASK policy" or "TASK PRM"."""

FIGURES: dict[str, Callable[[Result], float]] = {
    "greedy": lambda result: statistics.final(result.rows, "greedy"),
    "sampled": lambda result: statistics.final(result.rows, "sampled"),
    "area": lambda result: statistics.area(result.rows),
}
TITLES = {"greedy": "Final greedy accuracy", "sampled": "Final accuracy at temperature 1"}
ENDS = ("greedy", "sampled")
"""Figures of which a table has a column each."""
END_NAMES = ("greedy", "temperature 1")

COMPARED = {
    "oracle": (*(arm for arm in HEADLINE if arm != "grpo"), "prpo_half"),
    "learned": (*(arm for arm in HEADLINE if arm not in PRM_FREE), "prpo_half", "prpo_quarter"),
}
"""Arms that are compared with GRPO on every task, by PRM: one family of comparisons."""

CURVES = ("grpo", "prpo", "prpo_half", "pure")
"""Arms of the learning curves: more could not be distinguished by eye."""


@dataclass(frozen=True)
class Compared:
    """An arm less GRPO.

    Attributes:
        prm, arm: by name.
        of_task: the difference on each task.
        together: over the tasks.
        adjusted: p-value, adjusted for the number of arms and PRMs that are compared.
    """

    prm: str
    arm: str
    of_task: dict[str, Difference]
    together: Difference
    adjusted: float


def short(arm: str) -> str:
    """An arm's name without its explanation."""
    name, _, rest = ARMS[arm].about.partition(": ")
    return rest if name == "defect" else name


def learned_prms(facts: Facts) -> str:
    """What the learned PRMs find."""
    rows = []
    for name, found in facts.items():
        if "sampled" in found and isinstance(found["sampled"], dict):
            task, prm = name.split()
            shares = [percent(found[kind][on]) for kind in ("sampled", "flawed") for on in ("on_wrong", "on_right")]
            rows.append([task, PRM_NAMES[prm], *shares])
    return table(["task", "PRM", "wrong, sampled", "right, sampled", "wrong, planted", "right, planted"], rows)


def probes(facts: Facts, results: Results) -> str:
    """What the probe says of the learned PRMs before training, and what training with them then comes to."""
    rows = []
    for name, found in facts.items():
        if "probe" in found:
            task, prm = name.split()
            told = [
                ", ".join(f"`{what}`" for what, of in found["probe"].items() if of["verdict"] == verdict)
                for verdict in ("FLAG", "unclear")
            ]
            rows.append([task, PRM_NAMES[prm], *told, *_ends(results, prm, "prpo", "grpo", task)])
    head = ["task", "PRM", "flagged", "unclear", "PRPO less GRPO, greedy", "at temperature 1"]
    return table(head, rows) if rows else ""


def rates(found: Sequence[Result]) -> str:
    """The learning rates that were taken, by task."""
    best = statistics.best_rates(found)
    tasks, arms = (list(dict.fromkeys(of[i] for of in best)) for i in (0, 1))
    rows = [[short(arm), *(f"{best[task, arm]:g}" if (task, arm) in best else "" for task in tasks)] for arm in arms]
    return table(["arm", *tasks], rows)


def baseline(results: Results) -> str:
    """Where training starts, and where GRPO ends: percent, mean over seeds."""
    rows = []
    for task in results.tasks:
        runs = list(results.of(task, "oracle", "grpo").values())
        if runs:
            ends = [(runs[0].rows[0][name], float(np.mean([FIGURES[name](r) for r in runs]))) for name in ENDS]
            rows.append([task, *(percent(value) for pair in ends for value in pair)])
    head = ["task", *(f"{when}, {name}" for name in END_NAMES for when in ("before training", "GRPO at the end"))]
    return table(head, rows) if rows else ""


def along_the_way(results: Results, prm: str, arm: str) -> str:
    """An arm less GRPO while it trains: what a pilot that is stopped there would have seen."""
    rows = []
    for task in results.tasks:
        steps, _ = results.curves(task, prm, arm, "greedy")
        if not steps or not results.of(task, "oracle", "grpo"):
            continue
        row = [task]
        for step in steps[1:]:
            found = results.differences(prm, arm, "grpo", lambda r, at=step: _at(r, at))[task]
            row.append(points(float(np.mean(found))))
        first = results.differences(prm, arm, "grpo", lambda r: statistics.early(r.rows, "accuracy"))[task]
        rows.append([*row, points(float(np.mean(first)))])
        steps_of = (f"step {step:.0f}" for step in steps[1:])
        head = [f"{short(arm)}, PRM: {PRM_NAMES[prm]}", *steps_of, "rollouts, first quarter"]
    return table(head, rows) if rows else ""


def _at(result: Result, step: float) -> float:
    return next(row["greedy"] for row in result.rows if row["step"] == step)


def curves(results: Results, prm: str, path: Path) -> str:
    """Learning curves of `CURVES`."""
    return figures.learning_curves(results, prm, CURVES, {arm: short(arm) for arm in CURVES}, path)


def compared(results: Results, name: str) -> list[Compared]:
    """Headline arms less GRPO by a figure: the family of comparisons that Holm's method is applied to."""
    found: list[tuple[str, str, dict[str, Difference], Difference]] = []
    for prm, arms in COMPARED.items():
        for arm in arms:
            of_task = results.differences(prm, arm, "grpo", FIGURES[name])
            if of_task:
                each = {task: statistics.difference({task: values}) for task, values in of_task.items()}
                found.append((prm, arm, each, statistics.difference(of_task)))
    adjusted = statistics.holm([together.p for *_, together in found])
    return [Compared(*each, p) for each, p in zip(found, adjusted, strict=True)]


def differences(results: Results, name: str) -> str:
    """A table for each PRM: headline arms less GRPO."""
    found = compared(results, name)
    tables = []
    for prm in COMPARED:
        rows = [
            [
                short(each.arm),
                *(interval(each.of_task[task]) if task in each.of_task else "" for task in results.tasks),
                interval(each.together),
                f"{each.together.p:.2g} ({each.adjusted:.2g})",
            ]
            for each in found
            if each.prm == prm
        ]
        head = [f"PRM: {PRM_NAMES[prm]}", *results.tasks, "mean of tasks", f"p (Holm for {len(found)})"]
        tables += [table(head, rows)] if rows else []
    return "\n\n".join(tables)


def forest(results: Results, name: str, path: Path) -> str:
    """The same as a figure."""
    found = compared(results, name)
    panels = {p: [(short(each.arm), each.of_task, each.together) for each in found if each.prm == p] for p in COMPARED}
    return figures.forest(panels, results.tasks, TITLES[name], path) if found else ""


def against(results: Results, prms: Sequence[str], base: str, arms: Sequence[str]) -> str:
    """Arms less another on each task that they were run on, points with 95% intervals; a single PRM is in the head."""
    rows = []
    for arm in arms:
        for prm in prms:
            for task in results.tasks:
                if found := _ends(results, prm, arm, base, task):
                    rows.append([short(arm), *([PRM_NAMES[prm]] if prms[1:] else []), task, *found])
    head = [f"less {short(base)}", "PRM"] if prms[1:] else [f"less {short(base)}, PRM: {PRM_NAMES[prms[0]]}"]
    return table([*head, "task", *END_NAMES], rows) if rows else ""


def prm_quality(results: Results) -> str:
    """PRPO with worse and worse PRMs, less PRPO with the oracle."""
    rows = []
    poor = [prm for prm in PRM_NAMES if prm != "oracle" and results.has(prm, "prpo")]
    tasks = [t for t in results.tasks if any(results.of(t, prm, "prpo") for prm in poor if prm != "learned")]
    for prm in poor:
        ends = [_ends(results, prm, "prpo", "prpo", task, "oracle") or ["", ""] for task in tasks]
        rows.append([PRM_NAMES[prm], *(cell for of_task in ends for cell in of_task)])
    head = ["PRM", *(f"{task}, {name}" for task in tasks for name in END_NAMES)]
    return table(head, rows) if rows and tasks else ""


def recall_and_gain(results: Results, facts: Facts, path: Path) -> str:
    """PRPO less GRPO by how many of the wrong lines the PRM finds: what recall can foretell, and what it cannot."""
    known = {"oracle": 1.0, "kind": 0.5, **{f"noise{share}": 1 - share / 100 for share in (5, 10, 20, 30)}}
    marks: dict[str, list[tuple[float, str, Difference]]] = {task: [] for task in results.tasks}
    for prm in PRM_NAMES:
        for task, values in results.differences(prm, "prpo", "grpo", FIGURES["greedy"]).items():
            measured = facts.get(f"{task} {prm}", {}).get("sampled")
            share = measured["on_wrong"] if measured else known.get(prm)
            if share is not None:
                marks[task].append((share, prm, statistics.difference({task: values})))
    return figures.recall(marks, path) if any(marks.values()) else ""


def _ends(results: Results, prm: str, arm: str, base: str, task: str, base_prm: str | None = None) -> list[str]:
    """An arm less another on one task, by both figures; nothing where they were not both run."""
    found = [results.differences(prm, arm, base, FIGURES[name], base_prm=base_prm) for name in ENDS]
    return [interval(statistics.difference({task: each[task]})) for each in found] if task in found[0] else []
