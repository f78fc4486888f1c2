# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The page on the registered test: what was to count as success, what came of it, task by task.

python -m study.trust.report docs/evidence    # draw the page of the published runs
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from study.runs import Result, read_all, write_all
from study.statistics import Difference, holm, late
from study.trust import figures, registered
from study.trust.outcome import Figure, Outcome, Prms, greedy, hierarchical, over_seeds, over_tasks, sampled

DRAWN = ("trust", "prpo", "pure", "grpo_more")
NAMES = {
    "grpo": "GRPO",
    "trust": "`credit=trust`",
    "trust_fixed": "`credit=trust` with its weight fixed at its mean",
    "prpo": "PRPO, the paper's",
    "pure": "PURE",
    "grpo_more": f"GRPO with {registered.MORE_ROLLOUTS} rollouts",
}
LEGEND = {arm: name.replace("`", "") for arm, name in NAMES.items()}
RUNS, TUNING, FULL_STACK = "trust_runs.jsonl", "trust_tuning.jsonl", "trust_full_stack.jsonl"
PRMS = "trust_prms.json"
LOOKS = ("greedy", "sampled")
OF_A_STEP = ("accuracy", "length", "entropy", "prm_mean", "label_mean", "mixed_groups", "all_wrong", "earned")
PUBLISHED = (*LOOKS, *OF_A_STEP, "advantage_mean")
"""Measures of a run that are kept in the published files; of a tuning run only `LOOKS`."""
GAINS, CURVES, WEIGHTS = "trust_gains.png", "trust_curves.png", "trust_weights.png"


def page(test: Outcome) -> str:
    """The page in markdown."""
    return "\n".join(
        [
            "<!-- Made by examples/study/trust/report.py from trust_*.jsonl: change that file, not this one. -->",
            "",
            "# The registered test of the credit trust",
            "",
            "Does [`credit=trust`](../method.md#the-credit-trust) end above GRPO? It was tried on six tasks that it "
            "was not chosen on, at the learning rate tuned for GRPO. Rule, tasks, seeds and criteria were fixed "
            "before it first ran there (`examples/study/trust/registered.py`).",
            "",
            *_state(test),
            *_answer(test),
            "## What was to count as success",
            "",
            *_criteria(test),
            "",
            "## Task by task",
            "",
            "Points of held-out accuracy, less GRPO's on the same seeds, with the learned PRM of each task. Greedy "
            "accuracy is the mean of the last three measurements.",
            "",
            *_by_task(test),
            "",
            *(_pictures() if test.runs else []),
            "## All arms, mean of the tasks",
            "",
            *_arms(test),
            "",
            *_papers(test),
            *_kept(test),
            *_own_rates(test),
            *_with_verl(test),
            "## Other PRMs",
            "",
            *_other_prms(test),
            "",
            "## Run it again",
            "",
            "`bash examples/study/run.sh --trust` runs what is missing, about eight hours on two idle cores for all of "
            "it, and draws this page.",
            "",
        ]
    )


def _state(test: Outcome) -> list[str]:
    if len(test.runs) == registered.planned():
        return []
    of_an_arm = len(registered.TASKS) * len(registered.SEEDS)
    counts = {NAMES[arm]: sum(len(test.of(task, arm)) for task in registered.TASKS) for arm in NAMES}
    others = len(test.runs) - sum(counts.values())
    return [
        f"**{len(test.runs)} of {registered.planned()} runs are finished.** What follows is of these.",
        "",
        "| arm, with the learned PRM | finished | planned |",
        "|---|---|---|",
        *(f"| {name} | {count} | {of_an_arm} |" for name, count in counts.items()),
        f"| with other PRMs | {others} | {registered.planned() - len(NAMES) * of_an_arm} |",
        "",
    ]


def _answer(test: Outcome) -> list[str]:
    found = [test.differences("trust", "learned", figure, registered.TASKS) for figure in (greedy, sampled)]
    if not all(len(of_task) == len(registered.TASKS) for of_task in found):
        return []
    means = [over_tasks(of_task) for of_task in found]
    said = (
        "It ended above GRPO"
        if means[0].low > 0
        else ("It ended below GRPO" if means[0].high < 0 else "No difference from GRPO is shown")
    )
    steps = [
        row for task in registered.TASKS for run in test.of(task, "trust") for row in run.rows if "all_wrong" in row
    ]
    wrong = float(np.mean([row["all_wrong"] for row in steps]))
    right = 1 - wrong - float(np.mean([row["mixed_groups"] for row in steps]))
    return [
        f"**{said}**: {_text(means[0])} points greedily and {_text(means[1])} at temperature 1, mean of the six tasks. "
        "Brackets hold 95% intervals over task means.",
        "",
        "`credit=trust` is GRPO in every group that has right and wrong responses. It acts in the others alone: "
        f"{100 * wrong:.0f}% of the groups were all wrong, and {100 * right:.0f}% all right. So it can neither lose "
        "nor gain much here. Tasks on which most groups are all wrong are not among the six. "
        f"{'' if means[0].low > 0 else 'The default stays the rule of the paper.'}".rstrip(),
        "",
        *_of_the_paper(test),
    ]


def _of_the_paper(test: Outcome) -> list[str]:
    """What the paper's rule came to on the same tasks, which is a result of its own."""
    if not _whole(test, "prpo"):
        return []
    found = [test.differences("prpo", "learned", figure, registered.TASKS) for figure in (greedy, sampled)]
    above = [sum(np.mean(values) > 0 for values in of_task.values()) for of_task in found]
    means = [_text(over_tasks(of_task)) for of_task in found]
    return [
        f"The paper's rule on the same tasks, at the same rate: {means[0]} points over GRPO greedily and {means[1]} at "
        f"temperature 1. Its mean is above GRPO's on {above[0]} tasks of {len(registered.TASKS)} greedily and on "
        f"{above[1]} at temperature 1.",
        "",
    ]


def _pictures() -> list[str]:
    return [
        f"![Points over GRPO on each task, and their mean, with intervals]({GAINS})",
        "",
        "Points over GRPO on the same seeds: intervals over seeds on a task, over task means in the first row.",
        "",
        f"![Greedy accuracy over the steps, a panel for each task]({CURVES})",
        "",
        "Greedy held-out accuracy: mean over seeds and its standard error. Each panel has its own scale.",
        "",
        f"![The weight of the PRM over the steps, a line for each task]({WEIGHTS})",
        "",
        "The weight that `credit=trust` gave the learned PRM: mean over seeds and its standard error.",
        "",
    ]


def _criteria(test: Outcome) -> list[str]:
    lines = ["| criterion | found | |", "|---|---|---|"]
    learned = test.differences("trust", "learned", greedy, registered.TASKS)
    if learned:
        mean = over_tasks(learned)
        low, high = hierarchical(learned)
        said = f"{_text(mean)}; hierarchical bootstrap [{low:+.1f}, {high:+.1f}]"
        lines.append(_line("learned PRM, greedy: mean above GRPO, interval over tasks above 0", said, mean.low > 0))
        bounds = {task: over_seeds(values).low for task, values in learned.items()}
        below = [f"{task} {low:+.1f}" for task, low in bounds.items() if not low > -3]
        said = f"not shown on {', '.join(below)}" if below else f"least bound {min(bounds.values()):+.1f}"
        lines.append(_line("on each task the 95% lower bound is above -3", said, not below))
    for prm in registered.NOTHING:
        alike, pairs = test.identical(prm)
        if pairs:
            lines.append(_line(f"{prm} PRM: runs identical to GRPO's", f"{alike} of {pairs}", alike == pairs))
    exact = [test.differences("trust", "oracle", figure, registered.CONTROL_TASKS) for figure in (greedy, sampled)]
    if all(exact):
        means = [over_tasks(found) for found in exact]
        said = f"{_text(means[0])} greedily, {_text(means[1])} at temperature 1"
        whole = all(m.pairs == len(registered.CONTROL_TASKS) * len(registered.EXACT_SEEDS) for m in means)
        met = all(m.mean > 0 for m in means) if whole else None
        lines.append(_line("exact labels: above GRPO by both figures", said, met))
    return lines


def _line(what: str, said: str, met: bool | None) -> str:
    verdict = "not finished" if met is None else "met" if met else "**not met**"
    return f"| {what} | {said} | {verdict} |"


def _by_task(test: Outcome) -> list[str]:
    lines = [
        "| task | GRPO, greedy | `credit=trust` less GRPO, greedy | temperature 1 | weight, first to last quarter "
        "| groups all wrong, all right | seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    for task in registered.TASKS:
        ours, base = test.of(task, "trust"), test.of(task, "grpo")
        differences = [test.differences("trust", "learned", figure, [task]).get(task) for figure in (greedy, sampled)]
        if not ours or not base or not all(differences):
            continue
        start, end = (100 * float(np.mean(v)) for v in ([r.rows[0]["greedy"] for r in base], [greedy(r) for r in base]))
        weights = np.array([[row["earned"] for row in r.rows if "earned" in row] for r in ours]).mean(0)
        quarter = max(1, len(weights) // 4)
        seen = [_text(over_seeds(values)) for values in differences if values]
        w = f"{weights[:quarter].mean():.2f} to {weights[-quarter:].mean():.2f}"
        steps = [row for r in ours for row in r.rows if "mixed_groups" in row]
        wrong = float(np.mean([row["all_wrong"] for row in steps]))
        right = 1 - wrong - float(np.mean([row["mixed_groups"] for row in steps]))
        lines.append(
            f"| {task} | {start:.1f} to {end:.1f} | {seen[0]} | {seen[1]} | {w} "
            f"| {100 * wrong:.0f}%, {100 * right:.0f}% | {len(differences[0] or [])} |"
        )
    return lines


def _arms(test: Outcome) -> list[str]:
    whole = [arm for arm in NAMES if arm != "grpo" and _whole(test, arm)]
    return [
        "Intervals are of Student's t over task means. p is Holm-adjusted over the rows of the column. With one "
        "row there is nothing to adjust. An arm stands here once it has run on all tasks and seeds.",
        "",
        *_table_of_arms(test, whole, own=False),
    ]


def _table_of_arms(test: Outcome, arms: Sequence[str], own: bool) -> list[str]:
    lines = ["| less GRPO, learned PRM | greedy | p | temperature 1 | p |", "|---|---|---|---|---|"]
    found = [
        [over_tasks(test.differences(arm, "learned", figure, registered.TASKS, own)) for figure in (greedy, sampled)]
        for arm in arms
    ]
    adjusted = [holm([means[column].p for means in found]) for column in (0, 1)]
    for i, (arm, means) in enumerate(zip(arms, found, strict=True)):
        cells = [f"{_text(means[column])} | {adjusted[column][i]:.2g}" for column in (0, 1)]
        lines.append(f"| {NAMES[arm]} | {cells[0]} | {cells[1]} |")
    return lines


def _papers(test: Outcome) -> list[str]:
    """The paper's rule on each task, beside what the PRM knows."""
    if not _whole(test, "prpo"):
        return []
    lines = [
        "## The paper's rule, task by task",
        "",
        "Less GRPO, learned PRM. The PRM's shares are of the lines that the starting policy samples: wrong ones that "
        "it finds, right ones that it passes.",
        "",
        "| task | greedy | temperature 1 | PRM finds | PRM passes |",
        "|---|---|---|---|---|",
    ]
    for task in registered.TASKS:
        found = [test.differences("prpo", "learned", figure, [task])[task] for figure in (greedy, sampled)]
        cells = [_text(over_seeds(values)) for values in found]
        known = test.prms.get(f"{task} learned", {})
        cells += [f"{100 * known[share]:.0f}%" if share in known else "" for share in ("on_wrong", "on_right")]
        lines.append(f"| {task} | {' | '.join(cells)} |")
    return [*lines, ""]


def _kept(test: Outcome) -> list[str]:
    """How much of the paper's gain the rule keeps on the tasks where the paper's gains by both figures."""
    if not _whole(test, "prpo") or not _whole(test, "trust"):
        return []
    lines = []
    for task in registered.TASKS:
        paper, ours = (
            [float(np.mean(test.differences(arm, "learned", figure, [task])[task])) for figure in (greedy, sampled)]
            for arm in ("prpo", "trust")
        )
        if min(paper) > 0:
            cells = (
                f"{_points(gain)} | {_points(o)} | {100 * o / gain:.0f}%" for gain, o in zip(paper, ours, strict=True)
            )
            lines.append(f"| {task} | {' | '.join(cells)} |")
    head = ["## Kept of the paper's gain", ""]
    if not lines:
        return [
            *head,
            "With the learned PRM the paper's rule ends above GRPO by both figures on none of the tasks.",
            "",
        ]
    return [
        *head,
        "Tasks on which the mean of the paper's rule is above GRPO by both figures, learned PRM:",
        "",
        "| task | paper's, greedy | `credit=trust` | kept | paper's, temperature 1 | `credit=trust` | kept |",
        "|---|---|---|---|---|---|---|",
        *lines,
        "",
    ]


def _own_rates(test: Outcome) -> list[str]:
    """Every arm at its own rate, once all of its runs are there."""
    rates = test.rates
    wanted = len(registered.TASKS) * len(registered.OWN_ARMS) * len(registered.OWN_SEEDS)
    if not rates or len(test.own) < wanted:
        return []
    arms = ("grpo", *registered.OWN_ARMS)
    other = [
        f"{rates[task, 'grpo']:g} on {task}"
        for task in registered.TASKS
        if rates[task, "grpo"] != registered.RATES[task]
    ]
    return [
        "## Each arm at its own rate",
        "",
        "Rates were tuned alike for every arm: seed "
        f"{', '.join(map(str, registered.TUNING_SEEDS))}, the learned PRM, half the area under the greedy curve and "
        f"half the final accuracy at temperature 1. Each difference is of {len(registered.OWN_SEEDS)} seeds.",
        "",
        *_table_of_arms(test, registered.OWN_ARMS, own=True),
        "",
        f"| rate | {' | '.join(registered.TASKS)} |",
        f"|---|{'---|' * len(registered.TASKS)}",
        *(f"| {NAMES[arm]} | {' | '.join(f'{rates[task, arm]:g}' for task in registered.TASKS)} |" for arm in arms),
        "",
        *(
            [f"GRPO's runs are at the registered rates. This tuning chooses others for GRPO: {', '.join(other)}.", ""]
            if other
            else []
        ),
    ]


def _with_verl(test: Outcome) -> list[str]:
    """The full stack beside the light trainer, once it is whole."""
    tasks = list(dict.fromkeys(task for task, *_ in test.full_stack))
    arms = registered.FULL_STACK_ARMS
    if len(test.full_stack) < 2 * len(arms) * len(registered.FULL_STACK_SEEDS):
        return []
    figures_of: tuple[Figure, ...] = (greedy, lambda result: late(result.rows, "accuracy"))
    lines = [
        "## With verl and vLLM",
        "",
        "`python -m verl.trainer.main_ppo` with the laptop recipes, the same policies, PRMs, problems and rates: the "
        "task on which the paper's rule gains most in the light trainer, and the one on which it loses most. In "
        "brackets are the points of each seed. Training accuracy is at temperature 1, the mean of the last quarter of "
        "the steps.",
        "",
        "| task | less GRPO | trainer | greedy | training accuracy |",
        "|---|---|---|---|---|",
    ]
    for task in tasks:
        for arm in arms[1:]:
            for trainer, runs in (("verl", test.full_stack), ("light", test.runs)):
                cells = []
                for figure in figures_of:
                    pairs = [
                        (runs[task, "learned", arm, seed], runs[task, "oracle", "grpo", seed])
                        for seed in registered.FULL_STACK_SEEDS
                    ]
                    points = [100 * (figure(ours) - figure(theirs)) for ours, theirs in pairs]
                    cells.append(f"{_points(float(np.mean(points)))} ({', '.join(map(_points, points))})")
                lines.append(f"| {task} | {NAMES[arm]} | {trainer} | {' | '.join(cells)} |")
    return [*lines, ""]


def _whole(test: Outcome, arm: str) -> bool:
    """Say whether all runs of an arm with the learned PRM are finished."""
    return all(len(test.of(task, arm)) == len(registered.SEEDS) for task in registered.TASKS)


def _other_prms(test: Outcome) -> list[str]:
    lines = ["| PRM | arm | greedy | temperature 1 | seeds of each task |", "|---|---|---|---|---|"]
    for prm in (*registered.WEAK, *registered.NOTHING):
        for arm in ("trust", "prpo"):
            found = [test.differences(arm, prm, figure, registered.CONTROL_TASKS) for figure in (greedy, sampled)]
            if all(found):
                cells = " | ".join(_text(over_tasks(of_task)) for of_task in found)
                seeds = ", ".join(f"{task} {len(values)}" for task, values in found[0].items())
                lines.append(f"| {prm} | {NAMES[arm]} | {cells} | {seeds} |")
    return lines


def _text(found: Difference) -> str:
    if np.isnan(found.low):
        return _points(found.mean)
    text = f"{_points(found.mean)} [{_points(found.low)}, {_points(found.high)}]"
    return f"**{text}**" if found.low > 0 or found.high < 0 else text


def _points(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"  # no -0.0


def draw(test: Outcome, folder: Path) -> None:
    """The page and its figures."""
    of_arm = {}
    drawn = [arm for arm in DRAWN if _whole(test, arm)]
    for arm in drawn:
        found = test.differences(arm, "learned", greedy, registered.TASKS)
        of_arm[arm] = {"mean of tasks": over_tasks(found)} | {task: over_seeds(v) for task, v in found.items()}
    figures.differences(of_arm, LEGEND, folder / GAINS)
    of_task = {
        task: {arm: runs for arm in ("grpo", *drawn[:3]) if (runs := test.of(task, arm))} for task in registered.TASKS
    }
    figures.curves({task: arms for task, arms in of_task.items() if arms}, LEGEND, folder / CURVES)
    weighted = {task: runs for task in registered.TASKS if (runs := test.of(task, "trust"))}
    figures.weights(weighted, folder / WEIGHTS)
    (folder / "trust.md").write_text(page(test))


def write(results: Sequence[Result], full_stack: Sequence[Result], prms: Prms, folder: Path) -> None:
    """The page with its figures, and the runs it is made from, into a folder.

    Args:
        results: runs of the light trainer, those of the tuning among them.
        full_stack: runs of verl.
        prms: what is known of the PRMs, see `Outcome`.
        folder: that gets all of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tuning = [result for result in results if result.run.settings.seed in registered.TUNING_SEEDS]
    others = [result for result in results if result.run.settings.seed not in registered.TUNING_SEEDS]
    for runs, name, measures in (
        (others, RUNS, PUBLISHED),
        (tuning, TUNING, LOOKS),
        (full_stack, FULL_STACK, PUBLISHED),
    ):
        (folder / name).unlink(missing_ok=True)
        if runs:
            write_all(runs, folder / name, measures)
    (folder / PRMS).write_text(json.dumps(prms, indent=1) + "\n")
    draw(published(folder), folder)


def published(folder: Path) -> Outcome:
    """The runs that `write` left in a folder. Those of the tuning and of verl may not be there yet."""
    tuning, full_stack = (read_all(path) if (path := folder / name).exists() else [] for name in (TUNING, FULL_STACK))
    return Outcome.read([*read_all(folder / RUNS), *tuning], full_stack, json.loads((folder / PRMS).read_text()))


if __name__ == "__main__":
    draw(published(Path(sys.argv[1])), Path(sys.argv[1]))
