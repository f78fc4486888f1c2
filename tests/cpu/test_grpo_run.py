# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Stock verl trains GRPO with a real vLLM on a CPU, weight sync and reference policy included."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest
from interpreters import clean_environment
from tiny_task import write

pytestmark = pytest.mark.e2e

TIMEOUT_S = 1200
PRECISION = "actor_rollout_ref.actor.fsdp_config.mixed_precision"


def overrides(folder) -> list[str]:
    return [
        "+ray_kwargs.ray_init.num_gpus=1",
        "ray_kwargs.ray_init.num_cpus=32",
        "+ray_kwargs.ray_init.include_dashboard=False",
        "trainer.device=cpu",
        "trainer.n_gpus_per_node=1",
        "trainer.nnodes=1",
        "trainer.logger=[console]",
        "trainer.total_training_steps=2",
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        "trainer.resume_mode=disable",
        "algorithm.adv_estimator=grpo",
        f"data.train_files={folder}/train.parquet",
        f"data.val_files={folder}/val.parquet",
        "data.train_batch_size=8",
        "data.max_prompt_length=64",
        "data.max_response_length=32",
        "data.dataloader_num_workers=0",
        f"actor_rollout_ref.model.path={folder}/policy",
        "actor_rollout_ref.model.use_remove_padding=False",
        "+actor_rollout_ref.model.override_config.attn_implementation=sdpa",
        "actor_rollout_ref.actor.strategy=fsdp2",
        "actor_rollout_ref.actor.fsdp_config.dtype=float32",
        f"+{PRECISION}.param_dtype=fp32",
        f"+{PRECISION}.reduce_dtype=fp32",
        f"+{PRECISION}.buffer_dtype=fp32",
        "actor_rollout_ref.actor.ppo_mini_batch_size=8",
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=8",
        "actor_rollout_ref.actor.use_kl_loss=True",
        "actor_rollout_ref.actor.optim.lr=1e-3",
        "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=8",
        "actor_rollout_ref.rollout.name=vllm",
        "actor_rollout_ref.rollout.n=4",
        "actor_rollout_ref.rollout.dtype=float32",
        "actor_rollout_ref.rollout.tensor_model_parallel_size=1",
        "actor_rollout_ref.rollout.enforce_eager=True",
        "actor_rollout_ref.rollout.free_cache_engine=False",
        "+actor_rollout_ref.rollout.enable_sleep_mode=False",
        "+actor_rollout_ref.rollout.engine_kwargs.vllm.distributed_executor_backend=uni",
        "actor_rollout_ref.rollout.gpu_memory_utilization=0.3",
        "actor_rollout_ref.rollout.max_model_len=128",
        "actor_rollout_ref.rollout.max_num_seqs=32",
        "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=8",
        "actor_rollout_ref.rollout.calculate_log_probs=True",
        "actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes=32",
        "actor_rollout_ref.rollout.agent.num_workers=1",
        "reward.num_workers=1",
        f"reward.custom_reward_function.path={folder}/reward.py",
        "reward.custom_reward_function.name=compute_score",
        "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
    ]


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> str:
    """Return what two training steps print; the whole process group is ended if they take too long."""
    folder = tmp_path_factory.mktemp("tiny_task")
    write(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "verl.trainer.main_ppo", *overrides(folder)],
        env=clean_environment(VERL_PLATFORM="cpu", HF_HUB_OFFLINE="1", RAY_USAGE_STATS_ENABLED="0"),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, printed[-8000:]
    return printed


def metric(output: str, name: str) -> list[float]:
    return [float(value) for value in re.findall(rf"{re.escape(name)}:(?:np\.float64\()?([-+.\de]+)", output)]


def test_both_steps_are_trained(output):
    assert metric(output, "training/global_step") == [1.0, 2.0]


def test_vllm_samples_with_the_trainers_weights_after_every_sync(output):
    differences = metric(output, "training/rollout_probs_diff_max")
    assert len(differences) == 2
    assert max(differences) < 1e-5


def test_the_reference_policy_stays_behind(output):
    before, after = metric(output, "actor/kl_loss")
    assert after > before
