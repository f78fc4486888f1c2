# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Run the registered test: bash examples/study/run.sh --trust [--hours H] [--out FOLDER] [--report FOLDER]

What is finished is kept: the same command goes on where it was stopped. A report is drawn from whatever is finished.
"""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from guarded_run import RunFailed
from study import runs
from study.assets import LEARNED, facts_of, path_of
from study.full_stack.train import full_stack, is_finished
from study.jobs import AGAIN, Job, StudyError, Workers, pooled, work
from study.plan import Run
from study.run import LESSON_SECONDS, POLICY_SECONDS, claimed, finished, make_policy, make_prm, missing
from study.runs import Result, RunError
from study.statistics import best_rates, rate_scores
from study.trust import registered
from study.trust.outcome import Outcome, greedy, own_rates
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
    deadline = time.monotonic() + 3600 * given.hours
    assets, results, verl = given.out / "assets", given.out / "trust_runs", given.out / "trust_full_stack"
    try:
        with claimed(given.out):
            with pooled(given.workers, given.hours) as workers:
                done = _light(assets, results, workers)
            try:
                done = done and _with_verl(assets, results, verl, deadline)
            finally:
                _report(assets, results, verl, given.report or given.out / "trust_report")
        return 0 if done else 3
    except (RunError, RunFailed, StudyError) as error:
        print(f"{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _light(assets: Path, results: Path, workers: Workers) -> bool:
    """All runs of the light trainer, as far as the time goes. Says whether they are finished."""
    stages: list[tuple[str, list[Job]]] = [("policies", _policies(assets)), ("learned PRMs", _prms(assets))]
    done = all([work(stage, jobs, workers) for stage, jobs in stages])
    for stage, wanted in (
        ("GRPO and the rule", registered.first()),
        ("other PRMs", registered.controls()),
        ("other arms", registered.others()),
    ):
        done = done and work(stage, missing(wanted, assets, results), workers)
    weights = mean_weights(results)
    if done and len(weights) == len(registered.TASKS):
        done = work("fixed weight", missing(registered.fixed(weights), assets, results), workers)
    tuning: list[Result] = []
    while done and len(wanted := list(registered.tuning(rate_scores(tuning)))) > len(tuning):
        done = work("tuning", missing(wanted, assets, results), workers)
        tuning = finished(wanted, results)
    if done:
        done = work("own rates", missing(registered.own(best_rates(tuning)), assets, results), workers)
    return done


def _with_verl(assets: Path, results: Path, folder: Path, deadline: float) -> bool:
    """The runs with verl and vLLM, one after the other, as far as the time goes. Says whether they are finished."""
    for run in _planned_with_verl(results):
        if not is_finished(run, folder) and time.monotonic() > deadline:
            print(f"with verl: time is up before {run.name}; {AGAIN}")
            return False
        full_stack(run, assets, folder)
    return True


def _planned_with_verl(results: Path) -> list[Run]:
    """None while the paper's rule has not run on all tasks."""
    done = Outcome.read(finished([*registered.first(), *registered.others()], results))
    gains = done.differences("prpo", "learned", greedy, registered.TASKS)
    if any(len(gains.get(task, [])) < len(registered.SEEDS) for task in registered.TASKS):
        return []
    return list(registered.full_stack({task: float(np.mean(values)) for task, values in gains.items()}))


def _report(assets: Path, results: Path, verl: Path, report: Path) -> None:
    """The page of what is finished."""
    tuning: list[Result] = []
    while len(found := finished(registered.tuning(rate_scores(tuning)), results)) > len(tuning):
        tuning = found
    wanted = [
        *registered.first(),
        *registered.controls(),
        *registered.others(),
        *registered.fixed(mean_weights(results)),
    ]
    if rates := own_rates(tuning):
        wanted += registered.own(rates)
    light = finished(dict.fromkeys(wanted), results)
    if light:
        with_verl = [full_stack(run, assets, verl) for run in _planned_with_verl(results) if is_finished(run, verl)]
        write([*light, *tuning], with_verl, _prm_facts(assets), report)
        counts = f"{len(light)} runs, {len(tuning)} of the tuning and {len(with_verl)} with verl"
        print(f"report in {report / 'trust.md'}, from {counts}")


def _prm_facts(assets: Path) -> dict[str, dict[str, float]]:
    """What each learned PRM finds and passes of the lines that the starting policy samples, by "task PRM"."""
    of_prm = {f"{task} {prm}": facts_of(task, prm, assets) for task in registered.TASKS for prm in LEARNED}
    return {name: facts["sampled"] for name, facts in of_prm.items() if facts}


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
