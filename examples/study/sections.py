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
from study.tables import accuracy, interval, number, percent, table

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


def tuning(found: Sequence[Result]) -> str:
    """Learning rates that were tried, and the ones that were taken, by task."""
    scores, best = statistics.rate_scores(found), statistics.best_rates(found)
    tasks = list(dict.fromkeys(task for task, _ in scores))
    arms = list(dict.fromkeys(arm for _, arm in scores))
    rows = []
    for arm in arms:
        row = [ARMS[arm].about]
        for task in tasks:
            of = scores.get((task, arm), {})
            cells = [f"{percent(of[rate])} at {rate:g}" for rate in of]
            row.append(", ".join(f"**{c}**" if r == best[task, arm] else c for c, r in zip(cells, of, strict=True)))
        rows.append(row)
    return table(["arm", *tasks], rows)


def headline(results: Results, prm: str, name: str) -> str:
    """A figure of every headline arm on every task: mean and standard deviation over the seeds."""
    rows = []
    for arm in HEADLINE:
        cells = [accuracy([FIGURES[name](r) for r in results.of(task, prm, arm).values()]) for task in results.tasks]
        if any(cells):
            rows.append([ARMS[arm].about, *cells])
    return table(["arm", *results.tasks], rows)


def behaviour(results: Results, prm: str, task: str) -> str:
    """What training did to the responses, over the last quarter of the steps; mean over seeds."""
    baseline = [FIGURES["greedy"](r) for r in results.of(task, prm, "grpo").values()]
    rows = []
    for arm in HEADLINE:
        found = [r.rows for r in results.of(task, prm, arm).values()]
        if found and baseline:
            reached = [statistics.steps_to(rows_of_run, float(np.mean(baseline))) for rows_of_run in found]
            cells = [show(float(np.mean([of(r) for r in found]))) for _, of, show in BEHAVIOUR]
            middle = float(np.median(reached))
            steps = number(middle) if math.isfinite(middle) else "-"
            rows.append([ARMS[arm].about, *cells, f"{steps} ({sum(map(math.isfinite, reached))}/{len(reached)})"])
    head = ["arm", *(name for name, _, _ in BEHAVIOUR), "median step at GRPO's final accuracy (runs that reach it)"]
    return table(head, rows) if rows else ""


def differences(results: Results, name: str, path: Path) -> str:
    """Headline arms against GRPO: the family of comparisons that Holm's method is applied to."""
    found: list[tuple[str, str, dict[str, Difference], Difference]] = []
    for prm in ("oracle", "learned"):
        for arm in HEADLINE:
            if arm != "grpo" and not (prm != "oracle" and arm in PRM_FREE):
                of_task = results.differences(prm, arm, "grpo", FIGURES[name])
                if of_task:
                    each = {task: statistics.difference({task: values}) for task, values in of_task.items()}
                    found.append((prm, arm, each, statistics.difference(of_task)))
    if not found:
        return ""
    adjusted = statistics.holm([together.p for *_, together in found])
    rows = []
    for (prm, arm, each, together), p in zip(found, adjusted, strict=True):
        of_tasks = [interval(each[task]) if task in each else "" for task in results.tasks]
        tested = [str(together.pairs), f"{together.p:.2g}", f"{p:.2g}"]
        rows.append([prm, ARMS[arm].about, *of_tasks, interval(together), *tested])
    head = ["PRM", "arm", *results.tasks, "mean of tasks", "pairs", "p", f"p, Holm for {len(found)}"]
    drawn = [(f"{arm}, {prm}", together) for prm, arm, _, together in found]
    shown = figures.forest(drawn, f"{TITLES[name]} less that of GRPO, points: mean over tasks, 95% interval", path)
    return f"{table(head, rows)}\n\n{shown}"


def closed_gap(results: Results) -> str:
    """What of the gain of an oracle the learned PRM brings."""
    rows = []
    for task in results.tasks:
        means = [
            [FIGURES["greedy"](r) for r in results.of(task, prm, arm).values()]
            for prm, arm in (("oracle", "grpo"), ("learned", "prpo"), ("oracle", "prpo"))
        ]
        if all(means):
            grpo, learned, oracle = (float(np.mean(values)) for values in means)
            share = percent((learned - grpo) / (oracle - grpo)) if oracle - grpo > 0.02 else "- (no gain to close)"
            rows.append([task, percent(grpo), percent(learned), percent(oracle), share])
    head = ["task", "GRPO", "PRPO, learned PRM", "PRPO, oracle", "share of the oracle's gain, %"]
    return table(head, rows) if rows else ""


def ablations(
    results: Results, prm: str, chosen: Callable[[str], bool] = lambda arm: True, name: str = "greedy"
) -> str:
    """Arms outside the headline against PRPO (process-only ones against process only, and so on, in text)."""
    arms = [arm for arm in ARMS if arm not in HEADLINE and chosen(arm) and results.has(prm=prm, arm=arm)]
    return against(results, prm, arms, "prpo", name)


def against(results: Results, prm: str, arms: Iterable[str], base: str, name: str = "greedy") -> str:
    """Arms less another, by task and over all, points with 95% intervals."""
    rows, tasks = [], []
    for arm in arms:
        of_task = results.differences(prm, arm, base, FIGURES[name])
        if of_task:
            rows.append((arm, of_task))
            tasks = [task for task in results.tasks if task in of_task or task in tasks]
    cells = [
        [
            ARMS[arm].about,
            *(interval(statistics.difference({t: of_task[t]})) if t in of_task else "" for t in tasks),
            interval(statistics.difference(of_task)),
        ]
        for arm, of_task in rows
    ]
    return table(["arm", *tasks, "mean"], cells) if rows else ""


def prm_quality(results: Results, path: Path) -> str:
    """Gain over GRPO by PRM, with placed credit and with the same scores as one reward."""
    prms = [prm for prm in PRM_NAMES if results.has(prm=prm, arm="prpo")]
    if len(prms) < 3:
        return ""
    poor = [prm for prm in prms if prm not in ("oracle", "learned")]
    seeds = sorted({seed for task in results.tasks for prm in poor for seed in results.of(task, prm, "prpo")})
    columns = [
        (arm, task)
        for arm in ("prpo", "grpo_mean_score")
        for task in results.tasks
        if any(results.of(task, prm, arm) for prm in poor)
    ]
    rows = []
    for prm in prms:
        row = [PRM_NAMES[prm]]
        for arm, task in columns:
            values = results.differences(prm, arm, "grpo", FIGURES["greedy"], seeds).get(task)
            row.append(interval(statistics.difference({task: values})) if values else "")
        rows.append(row)
    head = ["PRM", *(f"{ARMS[arm].about.split(':')[0]}, {task}" for arm, task in columns)]
    noise = [prm for prm in prms if prm == "oracle" or prm.startswith("noise")]
    return f"{table(head, rows)}\n\n{figures.noise(results, noise, seeds, columns, path)}"


def rollouts(results: Results) -> str:
    """PRPO against GRPO with fewer and more responses a prompt."""
    rows = []
    for count in (4, 8, 16):
        of_task = results.differences("oracle", "prpo", "grpo", FIGURES["greedy"], rollouts=count)
        for task, values in of_task.items():
            if results.of(task, "oracle", "prpo", 4):
                cells = [
                    accuracy([FIGURES["greedy"](r) for r in results.of(task, "oracle", arm, count).values()])
                    for arm in ("grpo", "prpo")
                ]
                rows.append([str(count), task, *cells, interval(statistics.difference({task: values}))])
    head = ["rollouts", "task", "GRPO", "PRPO", "difference"]
    return table(head, rows) if len({row[0] for row in rows}) > 1 else ""
