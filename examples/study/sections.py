# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The tables and figures of the report, each a piece of markdown; runs that are missing leave gaps.

What is compared is paired: same task, seed, problems and order.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from study import figures, statistics
from study.arms import ARMS
from study.plan import HEADLINE, PRM_FREE
from study.results import Results
from study.runs import Result
from study.statistics import Difference
from study.tables import accuracy, interval, number, percent, points, table

Facts = dict[str, dict[str, Any]]
"""What is known of starting policies and learned PRMs, by "TASK policy" or "TASK PRM"."""

FIGURES: dict[str, Callable[[Result], float]] = {
    "greedy": lambda result: statistics.final(result.rows, "greedy"),
    "sampled": lambda result: statistics.final(result.rows, "sampled"),
    "area": lambda result: statistics.area(result.rows),
}
TITLES = {
    "greedy": "Final greedy accuracy",
    "sampled": "Final accuracy at temperature 1",
    "area": "Mean greedy accuracy over training (area under the curve)",
}
FIGURE_NAMES = {"greedy": "greedy", "sampled": "temperature 1", "area": "area"}
BEHAVIOUR: tuple[tuple[str, Callable[[Sequence[statistics.Row]], float], Callable[[float], str]], ...] = (
    ("length, tokens", lambda rows: statistics.late(rows, "length"), number),
    ("entropy, nats", lambda rows: statistics.late(rows, "entropy"), number),
    ("ended early, %", lambda rows: statistics.late(rows, "ended_early"), percent),
    ("mixed groups, %", lambda rows: statistics.late(rows, "mixed_groups"), percent),
    ("PRM mean", lambda rows: statistics.late(rows, "prm_mean"), number),
    ("label mean", lambda rows: statistics.late(rows, "label_mean"), number),
    ("hacking index", statistics.hacking, number),
)
PRM_NAMES = {
    "oracle": "oracle",
    "noise5": "5% of labels turned over",
    "noise10": "10%",
    "noise20": "20%",
    "noise30": "30%",
    "kind": "too kind: half of the wrong segments pass",
    "harsh": "too harsh: 30% of the right ones do not",
    "length": "length-loving: half the score is the response's length",
    "learned": "learned",
    "learned_weak": "learned, a quarter of the lessons",
}


COMPARED = {
    "oracle": (*(arm for arm in HEADLINE if arm != "grpo"), "prpo_half"),
    "learned": (*(arm for arm in HEADLINE if arm not in PRM_FREE), "prpo_half", "prpo_quarter"),
}
"""Arms that are compared with GRPO on every task, by PRM: one family of comparisons."""


CURVES = ("grpo", "grpo_mean_score", "prpo", "prpo_half", "pure", "process")
"""Arms of the learning curves: more could not be told apart by eye."""


def short(arm: str) -> str:
    """An arm's name without its explanation."""
    name, _, rest = ARMS[arm].about.partition(": ")
    return rest if name == "defect" else name


def policies(facts: Facts) -> str:
    """Where training starts from."""
    known = {name.split()[0]: found for name, found in facts.items() if name.endswith(" policy")}
    rows = [[t, number(f["steps"]), percent(f["sampled"]), percent(f["greedy"])] for t, f in known.items()]
    return table(["task", "SFT steps", "right at temperature 1, %", "right greedily, %"], rows)


def learned_prms(facts: Facts) -> str:
    """What the learned PRMs find."""
    rows = []
    for name, found in facts.items():
        if "sampled" in found and isinstance(found["sampled"], dict):
            shares = [percent(found[kind][on]) for kind in ("sampled", "flawed") for on in ("on_wrong", "on_right")]
            rows.append([*name.split(), *shares])
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
            ends = [results.differences(prm, "prpo", "grpo", FIGURES[figure]) for figure in ("greedy", "sampled")]
            gains = [interval(statistics.difference({task: end[task]})) if task in end else "" for end in ends]
            rows.append([task, PRM_NAMES[prm], percent(found["sampled"]["on_wrong"]), *told, *gains])
    head = ["task", "PRM", "wrong lines found, %", "flagged", "unclear", "PRPO less GRPO, greedy", "at temperature 1"]
    return table(head, rows) if rows else ""


def tuning(found: Sequence[Result]) -> str:
    """Learning rates that were tried, and the ones that were taken, by task."""
    scores, best = statistics.rate_scores(found), statistics.best_rates(found)
    tasks = list(dict.fromkeys(task for task, _ in scores))
    arms = list(dict.fromkeys(arm for _, arm in scores))
    rows = []
    for arm in arms:
        row = [short(arm)]
        for task in tasks:
            of = scores.get((task, arm), {})
            cells = [f"{percent(of[rate])} at {rate:g}" for rate in of]
            row.append(", ".join(f"**{c}**" if r == best[task, arm] else c for c, r in zip(cells, of, strict=True)))
        rows.append(row)
    return table(["arm", *tasks], rows)


def headline(results: Results, prm: str, name: str) -> str:
    """A figure of every headline arm on every task: mean and standard deviation over the seeds."""
    if not any(results.has(prm, arm) for arm in HEADLINE if arm not in PRM_FREE):
        return ""
    rows = []
    if name in ("greedy", "sampled"):
        starts = [next(iter(results.of(task, "oracle", "grpo").values()), None) for task in results.tasks]
        rows.append(["before training", *(percent(start.rows[0][name]) if start else "" for start in starts)])
    for arm in HEADLINE:
        found = [[FIGURES[name](r) for r in results.of(task, prm, arm).values()] for task in results.tasks]
        if any(found):
            rows.append([short(arm), *map(accuracy, found)])
    return table([f"arm ({FIGURE_NAMES[name]})", *results.tasks], rows)


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
        head = [f"{short(arm)}, PRM: {prm}", *(f"step {step:.0f}" for step in steps[1:]), "rollouts, first quarter"]
    return table(head, rows) if rows else ""


def _at(result: Result, step: float) -> float:
    return next(row["greedy"] for row in result.rows if row["step"] == step)


def behaviour(results: Results, prm: str, task: str) -> str:
    """What training did to the responses, over the last quarter of the steps; mean over seeds."""
    rows = []
    for arm in HEADLINE:
        found = [r.rows for r in results.of(task, prm, arm).values()]
        if found:
            rows.append([short(arm), *(show(float(np.mean([of(r) for r in found]))) for _, of, show in BEHAVIOUR)])
    return table(["arm", *(name for name, _, _ in BEHAVIOUR)], rows) if rows else ""


def curves(results: Results, prm: str, path: Path) -> str:
    """Learning curves of `CURVES`."""
    return figures.learning_curves(results, prm, CURVES, {arm: short(arm) for arm in CURVES}, path)


def steps_to_grpo(results: Results, prm: str) -> str:
    """Median step at which an arm's greedy accuracy is that with which GRPO ends, and how many runs get there."""
    rows = []
    for arm in HEADLINE:
        row = [short(arm)]
        for task in results.tasks:
            found = [r.rows for r in results.of(task, prm, arm).values()]
            ends = [FIGURES["greedy"](r) for r in results.of(task, prm, "grpo").values()]
            reached = [statistics.steps_to(rows_of_run, float(np.mean(ends)) - 1e-9) for rows_of_run in found]
            middle = float(np.median(reached)) if reached else math.inf
            told = f"{middle:.0f}" if math.isfinite(middle) else "-"
            row.append(f"{told} ({sum(map(math.isfinite, reached))}/{len(reached)})" if reached else "")
        rows.append(row)
    return table(["arm", *results.tasks], rows) if results.has(prm, "grpo") else ""


def differences(results: Results, name: str, path: Path) -> str:
    """Headline arms against GRPO: the family of comparisons that Holm's method is applied to."""
    found: list[tuple[str, str, dict[str, Difference], Difference]] = []
    for prm, arms in COMPARED.items():
        for arm in arms:
            of_task = results.differences(prm, arm, "grpo", FIGURES[name])
            if of_task:
                each = {task: statistics.difference({task: values}) for task, values in of_task.items()}
                found.append((prm, arm, each, statistics.difference(of_task)))
    if not found:
        return ""
    adjusted = statistics.holm([together.p for *_, together in found])
    rows: dict[str, list[list[str]]] = {prm: [] for prm in COMPARED}
    for (prm, arm, each, together), p in zip(found, adjusted, strict=True):
        of_tasks = [interval(each[task]) if task in each else "" for task in results.tasks]
        rows[prm].append([short(arm), *of_tasks, interval(together), f"{together.p:.2g} ({p:.2g})"])
    tables = [
        table([f"PRM: {prm}", *results.tasks, "mean of tasks", f"p (Holm for {len(found)})"], of_prm)
        for prm, of_prm in rows.items()
        if of_prm
    ]
    caption = f"{TITLES[name]} less that of GRPO, points: mean over the tasks with its 95% interval, and each task"
    panels = {prm: [(short(arm), each, all_) for p, arm, each, all_ in found if p == prm] for prm in COMPARED}
    return "\n\n".join([*tables, figures.forest(panels, results.tasks, caption, path)])


def closed_gap(results: Results) -> str:
    """What of the gain of an oracle the learned PRM brings, where the oracle is seen to gain."""
    rows = []
    for task in results.tasks:
        gains = [results.differences(prm, "prpo", "grpo", FIGURES["greedy"]).get(task) for prm in ("learned", "oracle")]
        if gains[0] and gains[1]:
            learned, oracle = (statistics.difference({task: values}) for values in gains if values)
            share = percent(learned.mean / oracle.mean) if oracle.low > 0 else "- (no gain to close is seen)"
            rows.append([task, interval(learned), interval(oracle), share])
    head = ["task", "PRPO less GRPO, learned PRM", "PRPO less GRPO, oracle", "share of the oracle's gain, %"]
    return table(head, rows) if rows else ""


def against(results: Results, prm: str, arms: Iterable[str], base: str, name: str = "greedy") -> str:
    """Arms less another, by task and over all that were run, points with 95% intervals."""
    rows, tasks = [], []
    for arm in arms:
        of_task = results.differences(prm, arm, base, FIGURES[name])
        if of_task:
            rows.append((arm, of_task))
            tasks = [task for task in results.tasks if task in of_task or task in tasks]
    cells = [
        [
            short(arm),
            *(interval(statistics.difference({t: of_task[t]})) if t in of_task else "" for t in tasks),
            *([interval(statistics.difference(of_task))] if len(tasks) > 1 else []),
        ]
        for arm, of_task in rows
    ]
    head = [f"arm ({FIGURE_NAMES[name]})", *tasks, *(["mean of those run"] if len(tasks) > 1 else [])]
    return table(head, cells) if rows else ""


def prm_quality(results: Results, name: str) -> str:
    """PRPO with worse and worse PRMs, less GRPO and less PRPO with the oracle."""
    poor = [prm for prm in PRM_NAMES if prm not in ("oracle", "learned") and results.has(prm=prm, arm="prpo")]
    if not poor:
        return ""
    seeds = sorted({seed for task in results.tasks for prm in poor for seed in results.of(task, prm, "prpo")})
    tasks = [task for task in results.tasks if any(results.of(task, prm, "prpo") for prm in poor)]
    rows = []
    for prm in ("oracle", "learned", *poor):
        row = [PRM_NAMES[prm]]
        for base, base_prm in (("grpo", prm), ("prpo", "oracle")):
            found = results.differences(prm, "prpo", base, FIGURES[name], seeds, base_prm=base_prm)
            same = prm == base_prm and base == "prpo"
            row += [interval(statistics.difference({t: found[t]})) if t in found and not same else "" for t in tasks]
        rows.append(row)
    head = [
        f"PRM ({FIGURE_NAMES[name]})",
        *(f"less GRPO, {t}" for t in tasks),
        *(f"less PRPO with the oracle, {t}" for t in tasks),
    ]
    return table(head, rows)


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


def rollouts(results: Results) -> str:
    """PRPO against GRPO with fewer and more responses a prompt, on the seeds that all have."""
    rows = []
    few = [task for task in results.tasks if results.of(task, "oracle", "prpo", 4)]
    for task in few:
        seeds = sorted(results.of(task, "oracle", "prpo", 4))
        for count in (4, 8, 16):
            row = [str(count), task]
            for name in ("greedy", "sampled"):
                of_task = results.differences("oracle", "prpo", "grpo", FIGURES[name], seeds, count)
                row.append(interval(statistics.difference({task: of_task[task]})) if task in of_task else "")
            rows.append(row)
    head = ["rollouts", "task", "PRPO less GRPO, greedy", "at temperature 1"]
    return table(head, rows) if rows else ""
