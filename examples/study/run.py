# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Run the study: bash examples/study/run.sh [--quick] [--hours H] [--out FOLDER] [--report FOLDER]

Starting policies and learned PRMs are made first, then learning rates are tuned, then the reported runs are run and
tables and figures drawn from them. What is finished is kept: the same command goes on where it was stopped.
"""

import argparse
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from study import runs
from study.assets import LEARNED, policy_of, prm_of
from study.plan import Plan, QuickPlan, Run
from study.report import known_facts, write_report
from study.statistics import best_rates
from study.tasks import TASKS
from study.trainer import Row, look_at_start, train

WORKERS = 2
PATIENCE = 900.0
"""Seconds without a finished job after which something must be wrong: a job takes a minute or two."""


@dataclass(frozen=True)
class Job:
    """Something to do in a worker.

    Attributes:
        name: for people.
        cost: about how long it takes, in any unit that all jobs of a stage share.
        do, arguments: what is called.
    """

    name: str
    cost: float
    do: Callable[..., None]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Workers:
    """Processes that do jobs.

    Attributes:
        pool: of processes.
        count: how many.
        deadline: by the monotonic clock, after which nothing is begun.
    """

    pool: Executor
    count: int
    deadline: float


def main() -> int:
    """Run what is missing of the plan and draw the report.

    Returns:
        0 when all is done, 3 when the time was up, 130 when interrupted.
    """
    arguments = parser().parse_args()
    plan = QuickPlan() if arguments.quick else Plan()
    deadline = time.monotonic() + 3600 * arguments.hours
    pool = ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn"), _prepare_worker)
    try:
        done = _study(plan, arguments.out, arguments.report, Workers(pool, arguments.workers, deadline))
    except KeyboardInterrupt:
        print("\nfinishing what is under way; the same command goes on from there", file=sys.stderr)
        return 130
    finally:
        pool.shutdown(cancel_futures=True)
    return 0 if done else 3


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="examples/study/run.sh", description=__doc__)
    made.add_argument("--quick", action="store_true", help="two tasks, four arms, two seeds: ten minutes, no evidence")
    made.add_argument("--hours", type=float, default=3.0, help="start nothing new after this time (default: 3)")
    made.add_argument("--workers", type=int, default=WORKERS, help="processes of one thread each (default: 2)")
    made.add_argument("--out", type=Path, default=Path(".study"), help="folder of all that is made (default: .study)")
    made.add_argument("--report", type=Path, help="folder for evidence.md (default: in --out)")
    return made


def _study(plan: Plan, out: Path, report: Path | None, workers: Workers) -> bool:
    quick = isinstance(plan, QuickPlan)
    assets, results = out / "assets", out / ("quick_runs" if quick else "runs")
    policies = [Job(f"policy {task}", 1, _make_policy, (task, assets)) for task in plan.tasks]
    rates = {(task, arm): plan.rates[0] for task in plan.tasks for arm in plan.arms}
    learned = {(run.prm, run.task) for run in plan.reported(rates) if run.prm in LEARNED}
    prms = [Job(f"PRM {prm} {task}", LEARNED[prm], _make_prm, (prm, task, assets)) for prm, task in sorted(learned)]
    if not (work("policies", policies, workers) and work("learned PRMs", prms, workers)):
        return False
    tuning = list(plan.tuning())
    if not work("tuning", missing(tuning, assets, results), workers):
        return False
    if tuning:
        rates = best_rates([runs.read(runs.path_of(run, results)) for run in tuning])
    reported = list(plan.reported(rates))
    done = work("reported runs", missing(reported, assets, results), workers)
    finished = [path for run in reported if (path := runs.path_of(run, results)).exists()]
    undone = f", {len(reported) - len(finished)} of {len(reported)} runs are missing" if not done else ""
    tuned = [runs.read(runs.path_of(run, results)) for run in tuning]
    folder = report or out / ("quick_report" if quick else "report")
    told = "" if quick else "\n\n".join(path.read_text() for path in sorted((out / "full_stack").glob("*.md")))
    write_report([runs.read(path) for path in finished], tuned, known_facts(assets), told, folder)
    print(f"report in {folder / 'evidence.md'}{undone}")
    return done


def work(stage: str, jobs: Sequence[Job], workers: Workers) -> bool:
    """Do jobs, telling how far they are; nothing is begun after the deadline.

    Returns:
        Whether all were done.

    Raises:
        TimeoutError: no job ended for `PATIENCE` seconds.
    """
    began = told = time.monotonic()
    left = list(jobs)
    under_way: dict[Future[None], Job] = {}
    total, done, count = sum(job.cost for job in jobs), 0.0, 0
    while left or under_way:
        while left and len(under_way) < workers.count and time.monotonic() < workers.deadline:
            job = left.pop(0)
            under_way[workers.pool.submit(job.do, *job.arguments)] = job
        if not under_way:
            print(f"{stage}: time is up with {len(left)} of {len(jobs)} undone; the same command goes on from here")
            return False
        ended, _ = wait(under_way, timeout=PATIENCE, return_when=FIRST_COMPLETED)
        if not ended:
            names = ", ".join(job.name for job in under_way.values())
            raise TimeoutError(f"nothing ended in {PATIENCE:.0f} s; under way: {names}")
        for future in ended:
            job = under_way.pop(future)
            future.result()
            done, count = done + job.cost, count + 1
        now = time.monotonic()
        if now - told > 15 or not left:
            told = now
            to_go = (now - began) * (total - done) / done
            spent = f"{(now - began) / 60:.0f} min, about {to_go / 60:.0f} min to go"
            print(f"{stage}: {count}/{len(jobs)}, {spent}", flush=True)
    return True


def missing(wanted: Sequence[Run], assets: Path, results: Path) -> list[Job]:
    """Jobs for the runs that have no file among the results yet."""
    jobs = []
    for run in wanted:
        if not runs.path_of(run, results).exists():
            settings = run.settings
            name = f"{run.task}, {run.prm}, {settings.arm}, seed {settings.seed}, lr {settings.lr:g}"
            jobs.append(Job(name, settings.steps * settings.rollouts, _run, (run, assets, results)))
    return jobs


def _prepare_worker() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a run under way is finished and kept


_policy = lru_cache(maxsize=4)(policy_of)
_prm = lru_cache(maxsize=16)(prm_of)


@lru_cache(maxsize=4)
def _start(task: str, assets: Path) -> Row:
    policy, vocabulary = _policy(task, assets)
    return look_at_start(policy, TASKS[task], vocabulary)


def _make_policy(task: str, assets: Path) -> None:
    policy_of(task, assets)


def _make_prm(prm: str, task: str, assets: Path) -> None:
    prm_of(prm, task, assets)


def _run(run: Run, assets: Path, results: Path) -> None:
    policy, vocabulary = _policy(run.task, assets)
    start = _start(run.task, assets)
    prm = _prm(run.prm, run.task, assets)
    began = time.monotonic()
    rows = list(train(policy, TASKS[run.task], prm, vocabulary, run.settings, start))
    runs.write(run, rows, time.monotonic() - began, results)


if __name__ == "__main__":
    sys.exit(main())
