# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A run of `verl.trainer.main_ppo` that only validates: its settings, its problems, and what becomes of its dump."""

import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from verl_prpo.cpu import is_requested
from verl_prpo.evaluation import RunFailed
from verl_prpo.evaluation.checkpoint import adapter_overrides
from verl_prpo.evaluation.dump import read_dump, unanswered
from verl_prpo.evaluation.folder import Record
from verl_prpo.evaluation.process import run_guarded
from verl_prpo.evaluation.prompts import Job
from verl_prpo.evaluation.sampling import Sampling

FATAL = b"Error in _run_prompt"
"""The text that verl logs of a response that it could not generate or score. Its validation goes on without it."""

MANAGER_KEY = "reward.reward_manager.name"
FUNCTION_KEY = "reward.custom_reward_function.path"

OWNED = {
    "trainer.val_only": "this command",
    "trainer.validation_data_dir": "--out",
    "data.val_files": "--data",
    "data.max_response_length": "--max-tokens",
    "actor_rollout_ref.model.path": "MODEL",
    "actor_rollout_ref.rollout.seed": "--seed",
    "actor_rollout_ref.rollout.val_kwargs.n": "--samples",
    "actor_rollout_ref.rollout.val_kwargs.temperature": "--temperature",
    "actor_rollout_ref.rollout.val_kwargs.top_p": "--top-p",
}
"""Keys of verl that the command sets, with the argument that sets each."""

SPEED_ONLY = re.compile(
    r"trainer\.(n_gpus_per_node|nnodes|logger|device)|ray_kwargs\..*|transfer_queue\..*|reward\.num_workers|"
    r"actor_rollout_ref\.(actor\..*|rollout\.(tensor_model_parallel_size|data_parallel_size|gpu_memory_utilization|"
    r"max_num_seqs|max_num_batched_tokens|enforce_eager|enable_chunked_prefill|enable_prefix_caching|agent\..*|"
    r"checkpoint_engine\..*))"
)
"""Keys that bear on speed and memory alone. A finished evaluation is the same with other values of them."""

_SHOWN = 5


def key_of(override: str) -> str:
    """Return the key that an override sets."""
    return override.partition("=")[0].lstrip("+~")


def value_of(overrides: Sequence[str], key: str) -> str | None:
    """Return what the last override of a key says, None for none."""
    return next((word.partition("=")[2] for word in reversed(overrides) if key_of(word) == key), None)


def validate(
    jobs: Sequence[Job],
    sampling: Sampling,
    model: str,
    context: int | None,
    overrides: Sequence[str],
    folder: Path,
    timeout: float,
) -> dict[str, list[Record]]:
    """Let verl answer and score problems.

    Args:
        jobs: problems whose responses are drawn alike.
        sampling: how they are drawn.
        model: folder or hub name.
        context: most tokens of prompt and response, None where the model names no limit.
        overrides: the user's overrides.
        folder: holds the problems, the log and the dump of this run. Those of an earlier run are replaced.
        timeout: most seconds that the run may take.

    Returns:
        The records of each set, in the order of the jobs.

    Raises:
        RunFailed: verl fails, hangs, or leaves responses out.
    """
    asked = [job for job in jobs if context is None or job.prompt_tokens < context]
    found: dict[str, list[dict[str, Any]]] = {}
    if asked:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _write_problems(asked, folder / "problems.parquet")
        settings = run_settings(asked, sampling, model, context, overrides, folder)
        command = [sys.executable, "-m", "verl.trainer.main_ppo", *settings]
        env = {"HYDRA_FULL_ERROR": "1", "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
        run_guarded(command, folder / "run.log", timeout, "verl's validation failed", FATAL, env)
        found = read_dump(folder / "dump")
        lacking = [job.name for job in asked if len(found.get(job.name, ())) != sampling.samples]
        if lacking:
            raise RunFailed(
                f"{folder / 'dump'} does not hold {sampling.samples} responses to each problem: {len(lacking)} of "
                f"{len(asked)} lack some, such as {', '.join(lacking[:_SHOWN])}. See {folder / 'run.log'}"
            )
    records: dict[str, list[Record]] = {}
    for job in jobs:
        kept = {**job.problem.about(), "prompt_tokens": job.prompt_tokens}
        kept["samples"] = found.get(job.name) or unanswered(sampling.samples)
        records.setdefault(job.set_name, []).append(kept)
    return records


def run_settings(
    jobs: Sequence[Job], sampling: Sampling, model: str, context: int | None, overrides: Sequence[str], folder: Path
) -> list[str]:
    """Return the overrides of the run. The user's come last.

    Nothing is trained. So batch sizes only have to pass verl's checks, and the actor, from which vLLM gets its weights,
    needs no flash attention. The arguments are those of `validate`.
    """
    length = max(job.prompt_tokens for job in jobs) + sampling.max_tokens
    rollout, policy, problems = "actor_rollout_ref.rollout", "actor_rollout_ref.model", folder / "problems.parquet"
    inner = value_of(overrides, MANAGER_KEY) or ("naive" if value_of(overrides, FUNCTION_KEY) else "math_verifier")
    settings = {
        "algorithm.adv_estimator": "grpo",
        "data.train_files": _quoted(problems),
        "data.val_files": _quoted(problems),
        "data.train_batch_size": "${trainer.n_gpus_per_node}",
        "data.max_prompt_length": length - sampling.max_tokens,
        "data.max_response_length": sampling.max_tokens,
        "data.filter_overlong_prompts": False,
        f"{policy}.path": _quoted(model),
        f"{policy}.use_remove_padding": False,
        f"++{policy}.override_config.attn_implementation": "sdpa",
        "actor_rollout_ref.actor.strategy": "fsdp2",
        "actor_rollout_ref.actor.use_kl_loss": False,
        "actor_rollout_ref.actor.use_dynamic_bsz": True,
        "actor_rollout_ref.actor.ppo_mini_batch_size": "${data.train_batch_size}",
        f"{rollout}.name": "vllm",
        f"{rollout}.n": "${trainer.nnodes}",
        f"{rollout}.seed": sampling.seed,
        f"{rollout}.max_model_len": length if context is None else min(length, context),
        f"{rollout}.val_kwargs.n": sampling.samples,
        f"{rollout}.val_kwargs.temperature": sampling.temperature,
        f"{rollout}.val_kwargs.top_p": sampling.top_p,
        f"{rollout}.val_kwargs.do_sample": sampling.temperature > 0,
        "reward.reward_manager.source": "importlib",
        "reward.reward_manager.module.path": "pkg://verl_prpo.evaluation.manager",
        MANAGER_KEY: "EvaluationRewardManager",
        "++reward.evaluation_manager": inner,
        "trainer.val_only": True,
        "trainer.val_before_train": True,
        "trainer.validation_data_dir": _quoted(folder / "dump"),
        "trainer.logger": "[console]",
        "trainer.resume_mode": "disable",
        "trainer.total_training_steps": 1,
        "trainer.n_gpus_per_node": 1,
        "hydra.run.dir": _quoted(folder / "hydra"),
    }
    made = [f"{key}={value}" for key, value in settings.items()]
    users = [word for word in overrides if key_of(word) != MANAGER_KEY]
    return [*made, *platform_settings(), *adapter_overrides(Path(model)), *users]


def platform_settings() -> list[str]:
    """Return the settings for this platform.

    On a CPU they are what docs/cpu.md asks for, as in recipes/grpo_laptop.yaml. On GPUs the actor makes room for vLLM.
    """
    actor, rollout = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
    if not is_requested():
        return [f"{actor}.fsdp_config.param_offload=True"]
    return [
        *("trainer.device=cpu", "data.dataloader_num_workers=0", "reward.num_workers=1"),
        *(f"{actor}.use_torch_compile=False", f"{actor}.fsdp_config.use_torch_compile=False"),
        *(f"{actor}.fsdp_config.dtype=float32", "actor_rollout_ref.ref.fsdp_config.dtype=float32"),
        *(f"++{actor}.fsdp_config.mixed_precision.{kind}_dtype=fp32" for kind in ("param", "reduce", "buffer")),
        "actor_rollout_ref.model.enable_gradient_checkpointing=False",
        *(f"{rollout}.dtype=float32", f"{rollout}.enforce_eager=True", f"{rollout}.free_cache_engine=False"),
        *(f"++{rollout}.enable_sleep_mode=False", f"{rollout}.gpu_memory_utilization=0.3"),
        *(f"{rollout}.agent.num_workers=1", f"{rollout}.tensor_model_parallel_size=1"),
        f"++{rollout}.engine_kwargs.vllm.distributed_executor_backend=uni",
        "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
        *("ray_kwargs.ray_init.num_cpus=32", "++ray_kwargs.ray_init.num_gpus=1"),
        "++ray_kwargs.ray_init.include_dashboard=False",
    ]


def _quoted(value: object) -> str:
    """Quote a text so that Hydra takes it as it is."""
    return "'" + str(value).replace("'", r"\'") + "'"


def _write_problems(jobs: Sequence[Job], file: Path) -> None:
    """Write verl's columns, and as JSON what a reward function sees, since the files of several sets have no common
    types.
    """
    import pandas as pd

    from verl_prpo.evaluation.manager import COLUMN

    rows = []
    for number, job in enumerate(jobs):
        problem = job.problem
        kept = {
            "problem": job.name,
            "reward_model": {"style": "rule", "ground_truth": problem.ground_truth},
            "extra_info": problem.extra_info,
        }
        rows.append(
            {
                "data_source": problem.data_source,
                "prompt": problem.messages,
                "reward_model": {"style": "rule", "ground_truth": str(problem.ground_truth)},
                "extra_info": {"index": number},
                COLUMN: json.dumps(kept, default=str),
            }
        )
    pd.DataFrame(rows).to_parquet(file)
