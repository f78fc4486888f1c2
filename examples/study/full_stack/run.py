# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""GRPO against PRPO through stock verl and a real vLLM, beside the study's light trainer.

Both trainers start from the same policy and meet the same problems in the same order, with the same learned PRM,
settings and measurements; what they sample differs. Finished trainings are kept.
"""

import argparse
import signal
import sys
import time
from pathlib import Path

import torch
from guarded_run import RunFailed
from study import runs
from study.assets import LEARNED, policy_of, prm_of
from study.full_stack.table import Trained, write_table
from study.full_stack.train import ROOT, full_stack
from study.plan import Run
from study.statistics import best_rates
from study.tasks import TASKS
from study.trainer import Settings, train

ARMS = ("grpo", "prpo")
TUNED = ROOT / "docs" / "evidence" / "tuning.jsonl"


def main() -> int:
    """Train what is not trained yet and write the table; returns the exit status."""
    arguments = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    torch.set_num_threads(1)
    trained = []
    try:
        tuned = best_rates(runs.read_all(TUNED))
        given = {"grpo": arguments.lr_grpo, "prpo": arguments.lr_prpo}
        rates = {arm: tuned[arguments.task, arm] if rate is None else rate for arm, rate in given.items()}
        for seed in arguments.seeds:
            for arm in arguments.arms:
                run = Run(arguments.task, arguments.prm, Settings(arm, seed, arguments.steps, rates[arm]))
                rows = full_stack(run, arguments.assets, arguments.out).rows
                trained.append(Trained("full stack", run, rows))
                trained.append(light(run, arguments.assets, arguments.out))
                write_table(trained, arguments.out / f"{arguments.task}-{arguments.prm}")
    except KeyboardInterrupt:
        print("\nStopped; no process is left behind. What is finished is kept.", file=sys.stderr)
        return 130
    except runs.RunError as error:
        print(error, file=sys.stderr)
        return 1
    except RunFailed as error:
        print(f"The training failed: {error}", file=sys.stderr)
        return 1
    print((arguments.out / f"{arguments.task}-{arguments.prm}.md").read_text())
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="examples/study/full_stack.sh", description=(__doc__ or "").splitlines()[0])
    made.add_argument("--task", choices=sorted(TASKS), required=True)
    made.add_argument("--prm", choices=sorted(LEARNED), default="learned")
    made.add_argument("--arms", type=_arms, default=ARMS, help="separated by commas (default: grpo,prpo)")
    made.add_argument("--seeds", type=_seeds, default=[1], help="separated by commas (default: 1)")
    made.add_argument("--steps", type=int, default=40, help="updates (default: 40)")
    made.add_argument("--lr-grpo", type=float, help="learning rate of GRPO (default: the one chosen for the task)")
    made.add_argument("--lr-prpo", type=float, help="learning rate of PRPO (default: the one chosen for the task)")
    made.add_argument(
        "--assets", type=Path, default=Path(".study/assets"), help="of the study (default: .study/assets)"
    )
    made.add_argument("--out", type=Path, default=Path(".study/full_stack"), help="default: .study/full_stack")
    return made


def light(run: Run, assets: Path, out: Path) -> Trained:
    """The same run with the light trainer; one that is finished is read."""
    path = runs.path_of(run, out / "light")
    if not path.exists():
        policy, vocabulary = policy_of(run.task, assets)
        prm = prm_of(run.prm, run.task, assets)
        began = time.monotonic()
        rows = list(train(policy, TASKS[run.task], prm, vocabulary, run.settings))
        runs.write(run, rows, time.monotonic() - began, out / "light")
        print(f"{run.name}: light trainer, {time.monotonic() - began:.0f} s", flush=True)
    return Trained("light", run, runs.read(path).rows)


def _arms(text: str) -> list[str]:
    chosen = text.split(",")
    if not set(chosen) <= set(ARMS):
        raise argparse.ArgumentTypeError(f"{text} must be of {', '.join(ARMS)}")
    return chosen


def _seeds(text: str) -> list[int]:
    return [int(seed) for seed in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
