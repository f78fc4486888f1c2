# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Run the study: bash examples/study/run.sh [--quick] [--hours H] [--out FOLDER] [--report FOLDER]

Starting policies and learned PRMs are made first, then learning rates are tuned, then the reported runs are run and
tables and figures drawn from them. What is finished is kept: the same command goes on where it was stopped.
"""

import argparse
import fcntl
import math
import pickle
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from study import runs
from study.assets import LEARNED, path_of, policy_of, prm_of
from study.controls import CONTROLS
from study.jobs import AGAIN, Job, StudyError, Workers, pooled, work
from study.plan import Plan, QuickPlan, Rates, Run
from study.prms import Prm
from study.probing import probe, probe_path
from study.report import ReportError, known_facts, write_report
from study.runs import Result, RunError
from study.statistics import best_rates, rate_scores
from study.tasks import TASKS
from study.trainer import Row, look_at_start, train
from study.vocabulary import Vocabulary
from transformers import Qwen2ForCausalLM

WORKERS = 2
POLICY_SECONDS, LESSON_SECONDS, PROBE_SECONDS, ROLLOUT_SECONDS = 60.0, 0.23, 12.0, 0.08
"""Of one core: a starting policy, a step of a learned PRM, a probe, and a rollout of each prompt of a batch."""


def main() -> int:
    """Run what is missing of the plan and draw the report.

    Returns:
        0 when all is done, 1 when it cannot go on, 3 when the time was up, 130 when interrupted.
    """
    arguments = parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with claimed(arguments.out):
            return _run_all(arguments)
    except (RunError, ReportError, StudyError) as error:
        print(f"{error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"{error.filename or arguments.out}: {error.strerror or error}; what is finished is kept", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:
        return 130


def _run_all(arguments: argparse.Namespace) -> int:
    plan = QuickPlan() if arguments.quick else Plan()
    with pooled(arguments.workers, arguments.hours) as workers:
        return 0 if _study(plan, arguments.out, arguments.report, workers) else 3


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """A folder that can be written and that no other study works in."""
    out.mkdir(parents=True, exist_ok=True)
    with open(out / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StudyError(f"another study is under way in {out}: wait for it, or choose another --out") from None
        yield


def parser() -> argparse.ArgumentParser:
    """The command line."""
    about = (__doc__ or "").partition("\n\n")[2]
    made = argparse.ArgumentParser(prog="examples/study/run.sh", description=about)
    made.add_argument("--quick", action="store_true", help="two tasks, four arms, two seeds: ten minutes, no evidence")
    made.add_argument("--hours", type=_hours, default=3.0, help="start nothing new after this time (default: 3)")
    made.add_argument("--workers", type=_workers, default=WORKERS, help="processes of one thread each (default: 2)")
    made.add_argument(
        "--out",
        type=Path,
        default=Path(".study"),
        help="folder of all that is made, from the checkout (default: .study)",
    )
    made.add_argument("--report", type=Path, help="folder for evidence.md (default: in --out)")
    return made


def _hours(text: str) -> float:
    hours = float(text)
    if not 0 <= hours < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number of hours")
    return hours


def _workers(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} workers can do nothing")
    return count


def _study(plan: Plan, out: Path, report: Path | None, workers: Workers) -> bool:
    quick = isinstance(plan, QuickPlan)
    assets, results = out / "assets", out / ("quick_runs" if quick else "runs")
    folder = report or out / ("quick_report" if quick else "report")
    rates = {(task, arm): plan.rates[0] for task in plan.tasks for arm in plan.arms}
    known: list[Result] = []
    while len(further := finished(plan.tuning(rate_scores(known)), results)) > len(known):
        known = further
    rates |= best_rates(known)
    planned = sum(job.cost for job in missing(plan.reported(rates), assets, results))
    tuning_to_come = sum(job.cost for job in missing(plan.tuning({}), assets, results))
    stages = _assets(plan, rates, assets)
    for number, (stage, jobs) in enumerate(stages, 1):
        later = planned + tuning_to_come + sum(job.cost for _, rest in stages[number:] for job in rest)
        if not work(stage, jobs, workers, later):
            return False
    tuned: list[Result] = []
    while len(tuning := list(plan.tuning(rate_scores(tuned)))) > len(tuned):  # further where the best is at an edge
        if not work("tuning", missing(tuning, assets, results), workers, planned):
            return False
        tuned = finished(tuning, results)
    reported = list(plan.reported(best_rates(tuned) or rates))
    done = work("reported runs", missing(reported, assets, results), workers)
    there = finished(reported, results)
    if not there:
        return done
    undone = f", {len(reported) - len(there)} of {len(reported)} runs are missing" if not done else ""
    told = "" if quick else "\n\n".join(path.read_text() for path in sorted((out / "full_stack").glob("*.md")))
    try:
        write_report(there, tuned, known_facts(assets), told, folder)
    except ReportError as error:
        if done:
            raise
        print(f"no report is drawn: {error}")
        return False
    print(f"report in {folder / 'evidence.md'}{undone}")
    return done


def _assets(plan: Plan, rates: Rates, assets: Path) -> list[tuple[str, list[Job]]]:
    """What is made before any run and is not there yet, stage by stage."""
    learned = sorted({(run.prm, run.task) for run in plan.reported(rates) if run.prm in LEARNED})
    policies = [
        Job(f"policy {task}", POLICY_SECONDS, make_policy, (task, assets))
        for task in plan.tasks
        if not path_of(task, "policy", assets).exists()
    ]
    prms = [
        Job(f"PRM {prm} {task}", LEARNED[prm] * LESSON_SECONDS, make_prm, (prm, task, assets))
        for prm, task in learned
        if not path_of(task, prm, assets).exists()
    ]
    probes = [
        Job(f"probe of {prm} {task}", PROBE_SECONDS, probe, (task, prm, assets))
        for prm, task in learned
        if not probe_path(task, prm, assets).exists()
    ]
    return [("policies", policies), ("learned PRMs", prms), ("probes of them", probes)]


def missing(wanted: Iterable[Run], assets: Path, results: Path) -> list[Job]:
    """Jobs for the runs that have no file among the results yet."""
    jobs = []
    for run in wanted:
        if not runs.path_of(run, results).exists():
            settings = run.settings
            cost = settings.steps * settings.rollouts * ROLLOUT_SECONDS
            jobs.append(Job(run.name, cost, _run, (run, assets, results)))
    return jobs


def finished(wanted: Iterable[Run], results: Path) -> list[Result]:
    """The runs that have a file among the results."""
    return [runs.read(path) for run in wanted if (path := runs.path_of(run, results)).exists()]


@lru_cache(maxsize=4)
def _policy(task: str, assets: Path) -> tuple[Qwen2ForCausalLM, Vocabulary]:
    with _told_apart(task, "policy", assets):
        return policy_of(task, assets)


@lru_cache(maxsize=16)
def _prm(prm: str, task: str, assets: Path) -> Prm:
    if prm in CONTROLS:
        return CONTROLS[prm](TASKS[task])
    with _told_apart(task, prm, assets):
        return prm_of(prm, task, assets)


@contextmanager
def _told_apart(task: str, what: str, assets: Path) -> Iterator[None]:
    """A file of weights that cannot be read is named."""
    weights = path_of(task, what, assets)
    there = weights.exists()
    try:
        yield
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        if not there:
            raise
        said = str(error)[:200]
        raise StudyError(f"{weights} cannot be read ({said}); if it is broken, remove it: {AGAIN}") from error


@lru_cache(maxsize=4)
def _start(task: str, assets: Path) -> Row:
    policy, vocabulary = _policy(task, assets)
    return look_at_start(policy, TASKS[task], vocabulary)


def make_policy(task: str, assets: Path) -> None:
    _policy(task, assets)


def make_prm(prm: str, task: str, assets: Path) -> None:
    _policy(task, assets)
    _prm(prm, task, assets)


def _run(run: Run, assets: Path, results: Path) -> None:
    policy, vocabulary = _policy(run.task, assets)
    start = _start(run.task, assets)
    prm = _prm(run.prm, run.task, assets)
    began = time.monotonic()
    rows = list(train(policy, TASKS[run.task], prm, vocabulary, run.settings, start))
    runs.write(run, rows, time.monotonic() - began, results)


if __name__ == "__main__":
    sys.exit(main())
