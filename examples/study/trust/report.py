# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The page on the registered test: what was to count as success, what came of it, task by task.

python -m study.trust.report docs/evidence/trust_runs.jsonl docs/evidence    # draw the page of the published runs
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats
from study.runs import Result, read_all, write_all
from study.statistics import Difference, holm
from study.trust import figures, registered

Key = tuple[str, str, str, int]
"""Task, PRM, arm and seed."""
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
RESAMPLES, SEED = 10_000, 0
RUNS = "trust_runs.jsonl"
GAINS, CURVES, WEIGHTS = "trust_gains.png", "trust_curves.png", "trust_weights.png"


@dataclass(frozen=True)
class Test:
    """Finished runs.

    Attributes:
        runs: by task, PRM, arm and seed; those of arms without a PRM under "oracle".
    """

    runs: Mapping[Key, Result]

    @classmethod
    def read(cls, results: Sequence[Result]) -> "Test":
        """From runs in any order."""
        runs = [(result.run, result) for result in results]
        return cls({(run.task, run.prm, registered.arm_of(run), run.settings.seed): result for run, result in runs})

    def differences(
        self, arm: str, prm: str, figure: Callable[[Result], float], tasks: Sequence[str]
    ) -> dict[str, list[float]]:
        """By task: the arm less GRPO in points, for each seed that both were run with."""
        prm = "oracle" if arm in registered.PRM_FREE else prm
        found: dict[str, list[float]] = {}
        for task in tasks:
            for seed in registered.SEEDS:
                ours, theirs = self.runs.get((task, prm, arm, seed)), self.runs.get((task, "oracle", "grpo", seed))
                if ours and theirs:
                    found.setdefault(task, []).append(100 * (figure(ours) - figure(theirs)))
        return found

    def of(self, task: str, arm: str) -> list[Result]:
        """An arm's runs on a task, with the learned PRM where it has one."""
        prm = "oracle" if arm in registered.PRM_FREE else "learned"
        return [r for (name, of_prm, of_arm, _), r in self.runs.items() if (name, of_prm, of_arm) == (task, prm, arm)]

    def identical(self, prm: str) -> tuple[int, int]:
        """Of the rule's runs with a PRM: how many are GRPO's run step by step, and how many there are."""
        alike = pairs = 0
        for (task, name, arm, seed), result in self.runs.items():
            theirs = self.runs.get((task, "oracle", "grpo", seed))
            if name != prm or arm != "trust" or theirs is None:
                continue
            pairs += 1
            names = ("accuracy", "greedy", "sampled", "entropy", "length", "advantage_mean")
            alike += all(
                ours.get(measure) == other.get(measure)
                for ours, other in zip(result.rows, theirs.rows, strict=True)
                for measure in names
            )
        return alike, pairs


def greedy(result: Result) -> float:
    """Mean of the last measurements of greedy accuracy."""
    return float(np.mean([row["greedy"] for row in result.rows if "greedy" in row][-registered.LATE :]))


def sampled(result: Result) -> float:
    """Accuracy at temperature 1 after the last step."""
    return [row["sampled"] for row in result.rows if "sampled" in row][-1]


def over_seeds(values: Sequence[float]) -> Difference:
    """The mean of one task, with the 95% interval of Student's t over seeds."""
    return _by_t(values, len(values))


def over_tasks(of_task: Mapping[str, Sequence[float]]) -> Difference:
    """The mean of tasks, with the 95% interval of Student's t over task means."""
    return _by_t([float(np.mean(values)) for values in of_task.values()], sum(map(len, of_task.values())))


def hierarchical(of_task: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """A 95% bootstrap interval of the mean of tasks: tasks are drawn, then seeds within each."""
    random = np.random.default_rng(SEED)
    values = [np.asarray(found) for found in of_task.values()]
    means = []
    for _ in range(RESAMPLES):
        drawn = random.integers(len(values), size=len(values))
        means.append(np.mean([random.choice(values[i], len(values[i])).mean() for i in drawn]))
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _by_t(values: Sequence[float], pairs: int) -> Difference:
    mean = float(np.mean(values))
    if len(values) < 2:
        return Difference(mean, float("nan"), float("nan"), float("nan"), pairs)
    error = float(stats.sem(values))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, len(values) - 1)) if error else float(mean == 0)
    return Difference(mean, mean - half, mean + half, p, pairs)


def page(test: Test) -> str:
    """The page in markdown."""
    return "\n".join(
        [
            "<!-- Made by examples/study/trust/report.py from trust_runs.jsonl: change that file, not this one. -->",
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
            "## Other PRMs",
            "",
            *_other_prms(test),
            "",
            "## Run it again",
            "",
            "`bash examples/study/run.sh --trust` runs what is missing, about four hours on two idle cores for all of "
            "it, and draws this page.",
            "",
        ]
    )


def _state(test: Test) -> list[str]:
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


def _answer(test: Test) -> list[str]:
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


def _criteria(test: Test) -> list[str]:
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


def _by_task(test: Test) -> list[str]:
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


def _arms(test: Test) -> list[str]:
    lines = [
        "Intervals are of Student's t over task means. p is Holm-adjusted over the rows of the column. With one "
        "row there is nothing to adjust. An arm stands here once it has run on all tasks and seeds.",
        "",
        "| less GRPO, learned PRM | greedy | p | temperature 1 | p | tasks |",
        "|---|---|---|---|---|---|",
    ]
    rows = []
    for arm, name in NAMES.items():
        if arm == "grpo" or not _whole(test, arm):
            continue
        found = [test.differences(arm, "learned", figure, registered.TASKS) for figure in (greedy, sampled)]
        rows.append((name, [over_tasks(of_task) for of_task in found], len(found[0])))
    adjusted = [holm([means[column].p for _, means, _ in rows]) for column in (0, 1)] if rows else [[], []]
    for i, (name, means, tasks) in enumerate(rows):
        cells = [f"{_text(means[column])} | {adjusted[column][i]:.2g}" for column in (0, 1)]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {tasks} |")
    return lines


def _whole(test: Test, arm: str) -> bool:
    """Say whether all runs of an arm with the learned PRM are finished."""
    return all(len(test.of(task, arm)) == len(registered.SEEDS) for task in registered.TASKS)


def _other_prms(test: Test) -> list[str]:
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


def draw(test: Test, folder: Path) -> None:
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


def write(results: Sequence[Result], folder: Path) -> None:
    """The page with its figures, and the runs it is made from, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_all(results, folder / RUNS)
    draw(Test.read(read_all(folder / RUNS)), folder)


if __name__ == "__main__":
    draw(Test.read(read_all(Path(sys.argv[1]))), Path(sys.argv[2]))
