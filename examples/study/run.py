# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Run the study: bash examples/study/run.sh [--quick] [--hours H] [--out FOLDER] [--report FOLDER]

Starting policies and learned PRMs are made first, then learning rates are tuned, then the reported runs are run and
tables and figures drawn from them. What is finished is kept: the same command goes on where it was stopped.
"""

import argparse
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from study import runs
from study.assets import LEARNED, path_of, policy_of, prm_of
from study.plan import Plan, QuickPlan, Rates, Run
from study.probing import probe, probe_path
from study.report import known_facts, write_report
from study.runs import Result
from study.statistics import best_rates, rate_scores
from study.tasks import TASKS
from study.trainer import Row, look_at_start, train
from transformers.utils.logging import disable_progress_bar

WORKERS = 2
PATIENCE = 900.0
"""Seconds without a finished job after which something must be wrong: a job takes a minute or two."""
POLICY_SECONDS, LESSON_SECONDS, PROBE_SECONDS, ROLLOUT_SECONDS = 60.0, 0.23, 12.0, 0.08
"""Of one core: a starting policy, a step of a learned PRM, a probe, and a rollout of each prompt of a batch."""


@dataclass(frozen=True)
class Job:
    """Something to do in a worker.

    Attributes:
        name: for people.
        cost: about how many seconds it takes one idle core; only ratios matter.
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
        0 when all is done, 1 when a job hangs, 3 when the time was up, 130 when interrupted.
    """
    arguments = parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plan = QuickPlan() if arguments.quick else Plan()
    deadline = time.monotonic() + 3600 * arguments.hours
    pool = ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn"), _prepare_worker)
    try:
        done = _study(plan, arguments.out, arguments.report, Workers(pool, arguments.workers, deadline))
    except TimeoutError as error:
        for child in multiprocessing.active_children():  # one that hangs would be waited for
            child.kill()
        print(f"{error}; the same command goes on from what is finished", file=sys.stderr)
        return 1
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
    folder = report or out / ("quick_report" if quick else "report")
    rates = {(task, arm): plan.rates[0] for task in plan.tasks for arm in plan.arms}
    rates |= best_rates(_finished(plan.tuning({}), results))
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
        tuned = _finished(tuning, results)
    reported = list(plan.reported(best_rates(tuned) or rates))
    done = work("reported runs", missing(reported, assets, results), workers)
    finished = _finished(reported, results)
    undone = f", {len(reported) - len(finished)} of {len(reported)} runs are missing" if not done else ""
    told = "" if quick else "\n\n".join(path.read_text() for path in sorted((out / "full_stack").glob("*.md")))
    write_report(finished, tuned, known_facts(assets), told, folder)
    print(f"report in {folder / 'evidence.md'}{undone}")
    return done


def _assets(plan: Plan, rates: Rates, assets: Path) -> list[tuple[str, list[Job]]]:
    """What is made before any run and is not there yet, stage by stage."""
    learned = sorted({(run.prm, run.task) for run in plan.reported(rates) if run.prm in LEARNED})
    policies = [
        Job(f"policy {task}", POLICY_SECONDS, _make_policy, (task, assets))
        for task in plan.tasks
        if not path_of(task, "policy", assets).exists()
    ]
    prms = [
        Job(f"PRM {prm} {task}", LEARNED[prm] * LESSON_SECONDS, _make_prm, (prm, task, assets))
        for prm, task in learned
        if not path_of(task, prm, assets).exists()
    ]
    probes = [
        Job(f"probe of {prm} {task}", PROBE_SECONDS, probe, (task, prm, assets))
        for prm, task in learned
        if not probe_path(task, prm, assets).exists()
    ]
    return [("policies", policies), ("learned PRMs", prms), ("probes of them", probes)]


def work(stage: str, jobs: Sequence[Job], workers: Workers, later: float = 0.0) -> bool:
    """Do jobs, telling how far they are; nothing is begun after the deadline.

    Args:
        stage: for people.
        jobs: in the order in which they are begun.
        workers: that do them.
        later: seconds of one core that other stages will take, for the estimate of the time left.

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
            pace = (now - began) / done  # of this machine, workers side by side, to that of one idle core
            here, all_of_it = pace * (total - done) / 60, pace * (total - done + later) / 60
            and_after = f", {all_of_it:.0f} min with what comes after" if later else ""
            spent = f"{(now - began) / 60:.0f} min, about {here:.0f} min to go{and_after}"
            print(f"{stage}: {count}/{len(jobs)}, {spent}", flush=True)
    return True


def missing(wanted: Iterable[Run], assets: Path, results: Path) -> list[Job]:
    """Jobs for the runs that have no file among the results yet."""
    jobs = []
    for run in wanted:
        if not runs.path_of(run, results).exists():
            settings = run.settings
            name = f"{run.task}, {run.prm}, {settings.arm}, seed {settings.seed}, lr {settings.lr:g}"
            jobs.append(Job(name, settings.steps * settings.rollouts * ROLLOUT_SECONDS, _run, (run, assets, results)))
    return jobs


def _finished(wanted: Iterable[Run], results: Path) -> list[Result]:
    return [runs.read(path) for run in wanted if (path := runs.path_of(run, results)).exists()]


def _prepare_worker() -> None:
    torch.set_num_threads(1)
    disable_progress_bar()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a run under way is finished and kept
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed cannot end its workers, which would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


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
