# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Tables and figures from finished runs: `python -m study.report RUNS OUT [--assets FOLDER]`.

Writes `tables.md`, the figures it shows, and `summary.jsonl` with one line a run. Nothing is measured here; runs that
are missing leave gaps, and what is compared is paired: same task, seed, problems and order.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from study import figures, statistics
from study.arms import ARMS
from study.assets import LEARNED, facts_of
from study.plan import HEADLINE, PRM_FREE, Plan, borrowed
from study.results import Results
from study.runs import Result, read_all
from study.statistics import Difference
from study.tables import accuracy, interval, number, percent, table

BEHAVIOUR = (
    ("length, tokens", lambda rows: statistics.late(rows, "length"), number),
    ("entropy, nats", lambda rows: statistics.late(rows, "entropy"), number),
    ("ended early", lambda rows: statistics.late(rows, "ended_early"), percent),
    ("mixed groups", lambda rows: statistics.late(rows, "mixed_groups"), percent),
    ("PRM mean", lambda rows: statistics.late(rows, "prm_mean"), number),
    ("label mean", lambda rows: statistics.late(rows, "label_mean"), number),
    ("hacking index", statistics.hacking, number),
)
NOISE = ("oracle", "noise5", "noise10", "noise20", "noise30", "kind", "harsh", "length", "learned", "learned_weak")


def write_report(reported: Sequence[Result], tuning: Sequence[Result], assets: Path, out: Path) -> None:
    """Write tables and figures of what has been run into a folder.

    Args:
        reported: runs to report.
        tuning: runs that chose the learning rates.
        assets: folder of the starting policies and learned PRMs, for what is known of them.
        out: made if need be; files of an earlier report are overwritten.
    """
    out.mkdir(parents=True, exist_ok=True)
    results = Results(reported)
    parts = [_assets(results, assets), _tuning(tuning)]
    for prm in ("oracle", "learned"):
        if results.has(prm=prm, arm="prpo"):
            parts += [_headline(results, prm), _behaviour(results, prm)]
            parts.append(figures.learning_curves(results, prm, HEADLINE, out / f"curves_{prm}.png"))
            parts.append(figures.scores_and_labels(results, prm, out / f"scores_{prm}.png"))
    for name, figure in (("greedy", _greedy), ("sampled", _sampled)):
        parts.append(_differences(results, f"Final {name} accuracy", figure, out / f"differences_{name}.png"))
    parts += [_closed_gap(results), _ablations(results), _prm_quality(results, out)]
    parts.append(_rollouts(results))
    (out / "tables.md").write_text("\n\n".join(part for part in parts if part) + "\n")
    with open(out / "summary.jsonl", "w") as file:
        for result in reported:
            file.write(json.dumps(_summary(result)) + "\n")


def main() -> None:
    """Draw the report of a folder of runs; tuning runs are told by their seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, help="folder of jsonl files")
    parser.add_argument("out", type=Path, help="folder for tables and figures")
    parser.add_argument("--assets", type=Path, default=Path(".study/assets"), help="default: .study/assets")
    arguments = parser.parse_args()
    found = list(read_all(arguments.runs))
    tuning = [result for result in found if result.run.settings.seed in Plan.tuning_seeds]
    rates = statistics.best_rates(tuning)
    reported = [r for r in found if r.run.settings.seed not in Plan.tuning_seeds and _at_its_rate(r, rates)]
    write_report(reported, tuning, arguments.assets, arguments.out)


def _at_its_rate(result: Result, rates: dict[str, float]) -> bool:
    settings = result.run.settings
    return settings.lr == rates.get(borrowed(settings.arm), settings.lr)


def _assets(results: Results, folder: Path) -> str:
    rows, recalls = [], []
    for task in results.tasks:
        known = facts_of(task, "policy", folder)
        if known:
            rows.append([task, number(known["steps"]), percent(known["sampled"]), percent(known["greedy"])])
        for prm in LEARNED:
            known = facts_of(task, prm, folder)
            if known:
                shares = [percent(known[kind][on]) for kind in ("sampled", "flawed") for on in ("on_wrong", "on_right")]
                recalls.append([task, prm, *shares])
    return "\n\n".join(
        (
            "## Starting policies, on held-out problems",
            table(["task", "SFT steps", "right at temperature 1", "right greedily"], rows),
            "## Learned PRMs: share of lines judged as the exact labels do",
            table(["task", "PRM", "wrong, sampled", "right, sampled", "wrong, planted", "right, planted"], recalls),
        )
    )


def _tuning(tuning: Sequence[Result]) -> str:
    if not tuning:
        return ""
    areas, best = statistics.rate_areas(tuning), statistics.best_rates(tuning)
    rates = sorted({rate for of in areas.values() for rate in of})
    rows = [
        [arm, *(f"**{percent(of[rate])}**" if best[arm] == rate else percent(of[rate]) for rate in rates)]
        for arm, of in areas.items()
    ]
    title = "## Learning rates: mean greedy accuracy over training, tuning seeds"
    return f"{title}\n\n{table(['arm', *(f'{rate:g}' for rate in rates)], rows)}"


def _headline(results: Results, prm: str) -> str:
    arms = [arm for arm in HEADLINE if results.has(prm=prm, arm=arm)]
    parts = []
    for what, figure in (
        ("final greedy accuracy", _greedy),
        ("final accuracy at temperature 1", _sampled),
        ("mean greedy accuracy over training (area under the curve)", _area),
    ):
        rows = []
        for arm in arms:
            cells = [accuracy([figure(r) for r in results.of(task, prm, arm).values()]) for task in results.tasks]
            rows.append([ARMS[arm].about, *cells])
        parts.append(
            f"## {prm}: {what}, mean ± standard deviation over seeds\n\n" + table(["arm", *results.tasks], rows)
        )
    return "\n\n".join(parts)


def _behaviour(results: Results, prm: str) -> str:
    parts = []
    for task in results.tasks:
        baseline = [_greedy(r) for r in results.of(task, prm, "grpo").values()]
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
        parts.append(f"## {prm}, {task}: behaviour over the last quarter of the steps\n\n" + table(head, rows))
    return "\n\n".join(parts)


def _differences(results: Results, name: str, figure: Callable[[Result], float], path: Path) -> str:
    """Against GRPO: the family of comparisons that Holm's method is applied to."""
    found: list[tuple[str, str, dict[str, Difference], Difference]] = []
    for prm in ("oracle", "learned"):
        for arm in HEADLINE:
            if arm != "grpo" and not (prm != "oracle" and arm in PRM_FREE):
                of_task = results.differences(prm, arm, "grpo", figure)
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
    shown = figures.forest(drawn, f"{name} less that of GRPO, points: mean over tasks, 95% interval", path)
    return f"## {name} less that of GRPO, points, 95% interval\n\n{table(head, rows)}\n\n{shown}"


def _closed_gap(results: Results) -> str:
    """What of the gain of an oracle the learned PRM brings."""
    rows = []
    for task in results.tasks:
        means = [
            [_greedy(r) for r in results.of(task, prm, arm).values()]
            for prm, arm in (("oracle", "grpo"), ("learned", "prpo"), ("oracle", "prpo"))
        ]
        if all(means):
            grpo, learned, oracle = (float(np.mean(values)) for values in means)
            share = percent((learned - grpo) / (oracle - grpo)) if oracle - grpo > 0.02 else "- (no gain to close)"
            rows.append([task, percent(grpo), percent(learned), percent(oracle), share])
    head = ["task", "GRPO", "PRPO, learned PRM", "PRPO, oracle", "share of the oracle's gain"]
    return "## How much of an oracle's gain the learned PRM brings\n\n" + table(head, rows) if rows else ""


def _ablations(results: Results) -> str:
    parts = []
    for prm in ("oracle", "learned"):
        arms = [arm for arm in ARMS if arm not in HEADLINE and results.has(prm=prm, arm=arm)]
        parts.append(_against(results, prm, arms, "prpo", f"## {prm}: other arms less PRPO, greedy, points"))
    return "\n\n".join(part for part in parts if part)


def _prm_quality(results: Results, out: Path) -> str:
    prms = [prm for prm in NOISE if results.has(prm=prm, arm="prpo")]
    if len(prms) < 3:
        return ""
    rows = []
    seeds = sorted({seed for task in results.tasks for seed in results.of(task, prms[1], "prpo")})
    for prm in prms:
        row = [prm]
        for arm in ("prpo", "grpo_mean_score"):
            of_task = results.differences(prm, arm, "grpo", _greedy, seeds)
            row += [interval(statistics.difference(of_task)) if of_task else "", ", ".join(of_task)]
        rows.append(row)
    head = ["PRM", "PRPO", "on", "GRPO on the mean score", "on"]
    noise = [prm for prm in prms if prm == "oracle" or prm.startswith("noise")]
    figure = figures.noise(results, noise, seeds, out / "noise.png")
    title = "## Greedy accuracy less that of GRPO by PRM, points, mean of the tasks named"
    return f"{title}\n\n{table(head, rows)}\n\n{figure}"


def _rollouts(results: Results) -> str:
    rows = []
    for rollouts in (4, 8, 16):
        of_task = results.differences("oracle", "prpo", "grpo", _greedy, rollouts=rollouts)
        for task, values in of_task.items():
            cells = [
                accuracy([_greedy(r) for r in results.of(task, "oracle", arm, rollouts).values()])
                for arm in ("grpo", "prpo")
            ]
            rows.append([str(rollouts), task, *cells, interval(statistics.difference({task: values}))])
    if len({row[0] for row in rows}) < 2:
        return ""
    head = ["rollouts", "task", "GRPO", "PRPO", "difference"]
    return "## Rollouts a prompt, oracle, greedy accuracy\n\n" + table(head, rows)


def _against(results: Results, prm: str, arms: Iterable[str], base: str, title: str) -> str:
    rows = []
    for arm in arms:
        of_task = results.differences(prm, arm, base, _greedy)
        if of_task:
            each = [interval(statistics.difference({t: of_task[t]})) if t in of_task else "" for t in results.tasks]
            rows.append([ARMS[arm].about, *each, interval(statistics.difference(of_task))])
    return f"{title}\n\n{table(['arm', *results.tasks, 'all'], rows)}" if rows else ""


def _summary(result: Result) -> dict[str, object]:
    figures_of_run: dict[str, Callable[[Result], float]] = {"greedy": _greedy, "sampled": _sampled, "area": _area}
    behaviour = {name: of(result.rows) for name, of, _ in BEHAVIOUR}
    return {**asdict(result.run), **{name: of(result) for name, of in figures_of_run.items()}, **behaviour}


def _greedy(result: Result) -> float:
    return statistics.final(result.rows, "greedy")


def _sampled(result: Result) -> float:
    return statistics.final(result.rows, "sampled")


def _area(result: Result) -> float:
    return statistics.area(result.rows)


if __name__ == "__main__":
    main()
