# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A run of the study on verl with a real vLLM: the laptop recipe is made the light trainer's run."""

import os
import sys
from dataclasses import replace
from pathlib import Path

from guarded_run import RunFailed, guarded_run
from study import runs
from study.credit import MAX_ANCHORS, MIN_GAP
from study.full_stack.export import Exported, export
from study.full_stack.metrics import is_whole, rows_of
from study.plan import Run
from study.source import run_code
from study.tasks import TASKS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
JUDGED = ("prpo", "trust")
"""Arms that read a PRM's scores."""
RECIPES = {"grpo": "grpo_laptop"} | dict.fromkeys(JUDGED, "prpo_laptop")
"""By arm, the recipe that it is made of."""
START_UP, PER_STEP = 600.0, 45.0
"""Most seconds of a training: to start and end, and for each step."""


def is_finished(run: Run, out: Path) -> bool:
    """Say whether a run on verl is there in whole."""
    return is_whole(_folder(run, out) / "metrics.jsonl", run.task, run.settings.steps)


def full_stack(run: Run, assets: Path, out: Path) -> runs.Result:
    """A run on verl. One that is finished is read.

    Args:
        run: its arm is one of `RECIPES`.
        assets: of the study.
        out: that gets a folder for each run.

    Raises:
        RunFailed: with the tail of the log.
    """
    folder, steps = _folder(run, out), run.settings.steps
    metrics = folder / "metrics.jsonl"
    if not is_finished(run, out):
        folder.mkdir(parents=True, exist_ok=True)
        metrics.unlink(missing_ok=True)
        judged = run if run.settings.arm in JUDGED else replace(run, prm="learned")  # one that it does not read
        exported = export(judged, assets, out / "export")
        print(f"{run.name}: {steps} steps on verl and vLLM; the log is {folder / 'train.log'}", flush=True)
        command = [sys.executable, "-m", "verl.trainer.main_ppo", "--config-dir", str(ROOT / "recipes")]
        command += ["--config-name", RECIPES[run.settings.arm], *overrides(run, exported, folder)]
        env = {
            **os.environ,
            "VERL_PLATFORM": "cpu",
            "VERL_FILE_LOGGER_PATH": str(metrics),
            "HYDRA_FULL_ERROR": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "examples"), str(ROOT / "examples/toy")]),
        }
        seconds = guarded_run(command, folder / "train.log", START_UP + PER_STEP * steps, env)
        if not is_finished(run, out):
            raise RunFailed(f"{metrics} does not hold all {steps} steps and the validations; see train.log there")
        print(f"{run.name}: {seconds:.0f} s", flush=True)
    rows = rows_of(metrics, folder / "rollouts", run.task)
    return runs.Result(run, run_code(run.task), sum(row.get("seconds", 0.0) for row in rows), rows)


def _folder(run: Run, out: Path) -> Path:
    return (out / "full" / runs.path_of(run, out).stem).resolve()


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
    if settings.arm in JUDGED:
        found |= {
            "++algorithm.prpo.credit": settings.arm,
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
