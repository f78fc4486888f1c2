# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""GRPO against PRPO through stock verl and a real vLLM, beside the study's light trainer.

Both trainers start from the same policy and meet the same problems in the same order, with the same learned PRM,
settings and measurements; what they sample differs. Finished trainings are kept.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

import torch
from guarded_run import RunFailed, guarded_run
from study import runs
from study.assets import LEARNED, policy_of, prm_of
from study.credit import MAX_ANCHORS, MIN_GAP
from study.full_stack.export import Exported, export
from study.full_stack.metrics import is_whole, rows_of
from study.full_stack.table import Trained, write_table
from study.plan import Run
from study.statistics import best_rates
from study.tasks import TASKS
from study.trainer import Settings, train

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
ARMS = ("grpo", "prpo")
TUNED = ROOT / "docs" / "evidence" / "tuning.jsonl"
START_UP, PER_STEP = 600.0, 45.0
"""Most seconds of a training: to start and end, and for each step."""


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
                trained.append(full_stack(run, arguments.assets, arguments.out))
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


def full_stack(run: Run, assets: Path, out: Path) -> Trained:
    """A run on verl; one that is finished is read.

    Raises:
        RunFailed: with the tail of the log.
    """
    folder = (out / "full" / runs.path_of(run, out).stem).resolve()
    metrics, steps = folder / "metrics.jsonl", run.settings.steps
    if not is_whole(metrics, run.task, steps):
        folder.mkdir(parents=True, exist_ok=True)
        metrics.unlink(missing_ok=True)
        exported = export(run, assets, out / "export")
        print(f"{_name(run)}: {steps} steps on verl and vLLM; the log is {folder / 'train.log'}", flush=True)
        command = [sys.executable, "-m", "verl.trainer.main_ppo", "--config-dir", str(ROOT / "recipes")]
        command += ["--config-name", f"{run.settings.arm}_laptop", *overrides(run, exported, folder)]
        env = {
            **os.environ,
            "VERL_PLATFORM": "cpu",
            "VERL_FILE_LOGGER_PATH": str(metrics),
            "HYDRA_FULL_ERROR": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "examples"), str(ROOT / "examples/toy")]),
        }
        seconds = guarded_run(command, folder / "train.log", START_UP + PER_STEP * steps, env)
        if not is_whole(metrics, run.task, steps):
            raise RunFailed(f"{metrics} does not hold all {steps} steps and the validations; see train.log there")
        print(f"{_name(run)}: {seconds:.0f} s", flush=True)
    return Trained("full stack", run, rows_of(metrics, folder / "rollouts", run.task))


def light(run: Run, assets: Path, out: Path) -> Trained:
    """The same run with the light trainer; one that is finished is read."""
    path = runs.path_of(run, out / "light")
    if not path.exists():
        policy, vocabulary = policy_of(run.task, assets)
        prm = prm_of(run.prm, run.task, assets)
        began = time.monotonic()
        rows = list(train(policy, TASKS[run.task], prm, vocabulary, run.settings))
        runs.write(run, rows, time.monotonic() - began, out / "light")
        print(f"{_name(run)}: light trainer, {time.monotonic() - began:.0f} s", flush=True)
    return Trained("light", run, runs.read(path).rows)


def overrides(run: Run, exported: Exported, folder: Path) -> list[str]:
    """What makes the laptop recipe the light trainer's run."""
    settings, limit = run.settings, TASKS[run.task].MAX_NEW_TOKENS
    actor, rollout = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
    found = {
        "data.train_files": exported.train,
        "data.val_files": exported.held_out,
        "data.shuffle": False,
        "data.train_batch_size": settings.prompts,
        "data.max_prompt_length": exported.longest_prompt,
        "data.max_response_length": limit,
        "reward.custom_reward_function.path": HERE / "reward.py",
        "actor_rollout_ref.model.path": exported.policy,
        f"{actor}.ppo_mini_batch_size": settings.prompts,
        f"{actor}.ppo_epochs": 1,
        f"{actor}.loss_agg_mode": "token-mean",
        f"{actor}.entropy_coeff": 0,
        f"{actor}.optim.lr": settings.lr,
        f"{actor}.optim.weight_decay": 0.0,
        f"{actor}.optim.lr_warmup_steps": 0,
        f"{actor}.optim.clip_grad": 1.0,
        f"{rollout}.n": settings.rollouts,
        f"{rollout}.temperature": 1.0,
        f"{rollout}.top_p": 1.0,
        f"{rollout}.top_k": -1,
        f"{rollout}.seed": settings.seed,
        f"{rollout}.max_model_len": exported.longest_prompt + limit,
        f"{rollout}.val_kwargs.do_sample": False,
        f"{rollout}.val_kwargs.temperature": 0,
        "trainer.total_training_steps": settings.steps,
        "trainer.test_freq": settings.look_every,
        "trainer.val_before_train": True,
        "trainer.experiment_name": f"full_stack_{run.task}_{settings.arm}_{settings.seed}",
        "trainer.rollout_data_dir": folder / "rollouts",
    }
    if settings.arm == "prpo":
        found |= {
            "++algorithm.prpo.max_anchors": MAX_ANCHORS,
            "++algorithm.prpo.min_gap": MIN_GAP,
            "++algorithm.prpo.anchor_rule": "paper",
            "++algorithm.prpo.outcome_weight": 1.0,  # the rewards are +1 and -1
            "++algorithm.prpo.dump_responses": settings.prompts * settings.rollouts,
            "++reward.prm.model_path": exported.prm,
            "++reward.prm.custom_family.path": HERE / "learned_family.py",
            "++reward.prm.custom_family.name": "LearnedFamily",
        }
    return [f"{key}={value}" for key, value in found.items()]


def _name(run: Run) -> str:
    return f"{run.task}, {run.prm} PRM, {run.settings.arm}, seed {run.settings.seed}, lr {run.settings.lr:g}"


def _arms(text: str) -> list[str]:
    chosen = text.split(",")
    if not set(chosen) <= set(ARMS):
        raise argparse.ArgumentTypeError(f"{text} must be of {', '.join(ARMS)}")
    return chosen


def _seeds(text: str) -> list[int]:
    return [int(seed) for seed in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
