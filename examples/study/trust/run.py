# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Run the registered test: bash examples/study/run.sh --trust [--hours H] [--out FOLDER] [--report FOLDER]

What is finished is kept: the same command goes on where it was stopped. A report is drawn from whatever is finished.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from study import runs
from study.assets import LEARNED, path_of
from study.jobs import Job, StudyError, Workers, pooled, work
from study.run import LESSON_SECONDS, POLICY_SECONDS, claimed, make_policy, make_prm, missing
from study.runs import RunError
from study.trust import registered
from study.trust.report import write


def main() -> int:
    """Run what is missing and draw the page.

    Returns:
        0 when all is done, 1 when it cannot go on, 3 when the time was up, 130 when interrupted.
    """
    made = argparse.ArgumentParser(prog="examples/study/run.sh --trust", description=__doc__)
    made.add_argument("--hours", type=float, default=4.0, help="start nothing new after this time (default: 4)")
    made.add_argument("--workers", type=int, default=2, help="processes of one thread each (default: 2)")
    made.add_argument("--out", type=Path, default=Path(".study"), help="folder of all that is made (default: .study)")
    made.add_argument("--report", type=Path, help="folder for trust.md and its data (default: in --out)")
    given = made.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with claimed(given.out), pooled(given.workers, given.hours) as workers:
            return 0 if _test(given.out, given.report or given.out / "trust_report", workers) else 3
    except (RunError, StudyError) as error:
        print(f"{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _test(out: Path, report: Path, workers: Workers) -> bool:
    assets, results = out / "assets", out / "trust_runs"
    stages: list[tuple[str, list[Job]]] = [("policies", _policies(assets)), ("learned PRMs", _prms(assets))]
    done = all([work(stage, jobs, workers) for stage, jobs in stages])
    stages_of_runs = (
        ("GRPO and the rule", registered.first()),
        ("other PRMs", registered.controls()),
        ("other arms", registered.others()),
    )
    for stage, wanted in stages_of_runs:
        done = done and work(stage, missing(wanted, assets, results), workers)
    weights = mean_weights(results)
    if done and len(weights) == len(registered.TASKS):
        done = work("fixed weight", missing(registered.fixed(weights), assets, results), workers)
    wanted = [*registered.first(), *registered.controls(), *registered.others(), *registered.fixed(weights)]
    found = [runs.read(path) for run in wanted if (path := runs.path_of(run, results)).exists()]
    if found:
        write(found, report)
        print(f"report in {report / 'trust.md'}, from {len(found)} of {registered.planned()} runs")
    return done


def mean_weights(results: Path) -> dict[str, float]:
    """By task the mean weight that the rule had with the learned PRM, where all its runs are there."""
    found = {}
    for task in registered.TASKS:
        paths = [runs.path_of(registered.run_of(task, "learned", "trust", seed), results) for seed in registered.SEEDS]
        if all(path.exists() for path in paths):
            rows = [row["earned"] for path in paths for row in runs.read(path).rows if "earned" in row]
            found[task] = float(np.mean(rows))
    return found


def _policies(assets: Path) -> list[Job]:
    wanted = [task for task in registered.TASKS if not path_of(task, "policy", assets).exists()]
    return [Job(f"policy {task}", POLICY_SECONDS, make_policy, (task, assets)) for task in wanted]


def _prms(assets: Path) -> list[Job]:
    wanted: Sequence[tuple[str, str]] = [
        *(("learned", task) for task in registered.TASKS),
        *(("learned_weak", task) for task in registered.CONTROL_TASKS),
    ]
    return [
        Job(f"PRM {prm} {task}", LEARNED[prm] * LESSON_SECONDS, make_prm, (prm, task, assets))
        for prm, task in wanted
        if not path_of(task, prm, assets).exists()
    ]


if __name__ == "__main__":
    sys.exit(main())
