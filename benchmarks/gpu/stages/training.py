# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A few steps of verl's main_ppo on the one GPU, GRPO and PRPO side by side: step time and the PRM's part in it.

The same policy, problems and sizes in each run. PRPO comes twice: with the PRM as verl's colocated reward model, which
wakes when the rollout is over, and at a vLLM server on the same GPU, which scores each response as it finishes.
"""

import contextlib
import json
import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet
import shapes
import sized_prm
import torch
from guarded_run import RunFailed, guarded_run
from record import Record

ROOT = Path(__file__).resolve().parents[3]
STEPS = 3
"""The first also warms up, and is left out of the medians."""
LEAST_SECONDS = {"cuda": 90.0, "cpu": 30.0}
"""A run is not begun with less time."""
PARTS = {
    "step": "timing_s/step",
    "generation": "timing_s/gen",
    "old_log_prob": "timing_s/old_log_prob",
    "reference": "timing_s/ref",
    "update": "timing_s/update_actor",
    "PRM, exposed": "timing_s/prm_wait",
    "PRM, in all": "timing_s/prm_busy",
}
COMMON = (
    f"trainer.total_training_steps={STEPS}",
    *("trainer.logger=[console,file]", "trainer.val_before_train=False", "trainer.test_freq=-1"),
    *("trainer.save_freq=-1", "trainer.resume_mode=disable", "trainer.n_gpus_per_node=1"),
    *("data.dataloader_num_workers=0", "reward.num_workers=1", "actor_rollout_ref.rollout.agent.num_workers=1"),
    # flash-attn has no wheel to carry. verl unpads with it alone.
    *("actor_rollout_ref.model.use_remove_padding=False",),
    "+actor_rollout_ref.model.override_config.attn_implementation=sdpa",
    *("transfer_queue.backend.SimpleStorage.num_data_storage_units=1", "ray_kwargs.ray_init.num_cpus=32"),
    "+ray_kwargs.ray_init.include_dashboard=False",
)
ON_GPU = (
    *("data.train_batch_size=16", "actor_rollout_ref.actor.ppo_mini_batch_size=16"),
    *("data.max_prompt_length=128", "data.max_response_length=512", "actor_rollout_ref.rollout.max_model_len=640"),
    *("actor_rollout_ref.actor.ppo_max_token_len_per_gpu=8192", "actor_rollout_ref.rollout.enforce_eager=True"),
    "actor_rollout_ref.rollout.gpu_memory_utilization=0.3",
)
ON_CPU = (
    *("trainer.device=cpu", "+ray_kwargs.ray_init.num_gpus=1"),
    *("data.train_batch_size=2", "actor_rollout_ref.actor.ppo_mini_batch_size=2", "actor_rollout_ref.rollout.n=4"),
    *("data.max_prompt_length=64", "data.max_response_length=32", "actor_rollout_ref.rollout.max_model_len=96"),
    *("actor_rollout_ref.actor.use_torch_compile=False", "actor_rollout_ref.actor.fsdp_config.use_torch_compile=False"),
    "actor_rollout_ref.actor.fsdp_config.dtype=float32",
    "actor_rollout_ref.ref.fsdp_config.dtype=float32",
    *(f"+actor_rollout_ref.actor.fsdp_config.mixed_precision.{k}_dtype=fp32" for k in ("param", "reduce", "buffer")),
    *("actor_rollout_ref.rollout.dtype=float32", "actor_rollout_ref.rollout.enforce_eager=True"),
    *("actor_rollout_ref.rollout.free_cache_engine=False", "+actor_rollout_ref.rollout.enable_sleep_mode=False"),
    "+actor_rollout_ref.rollout.engine_kwargs.vllm.distributed_executor_backend=uni",
    "actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes=32",
)
SERVER = "reward.reward_model.rollout"
PRM_ON_GPU = (f"{SERVER}.gpu_memory_utilization=0.3",)
PRM_ON_CPU = (
    f"{SERVER}.dtype=float32",
    f"+{SERVER}.engine_kwargs.vllm.distributed_executor_backend=uni",
    f"{SERVER}.free_cache_engine=False",
    f"+{SERVER}.enable_sleep_mode=False",
)


def measure(record: Record) -> None:
    """Three runs in turn; each adds its rows when it has ended."""
    folder = record.folder / "models" / ("small" if record.small else "7b")
    policy, prm = folder / "trained_policy", folder / "prm"
    shapes.save_policy(policy, record.small, record.device)
    shapes.save_prm(prm, record.small, record.device, torch.float32 if record.small else torch.bfloat16)
    if record.device.type == "cuda":
        torch.cuda.empty_cache()
    problems = folder / "problems.parquet"
    write_problems(problems)
    sizes = [*COMMON, *(ON_CPU if record.device.type == "cpu" else ON_GPU)]
    sizes += [f"actor_rollout_ref.model.path={policy}", f"data.train_files={problems}", f"data.val_files={problems}"]
    steps = {}
    for name in RUNS:
        least = LEAST_SECONDS[record.device.type]
        if record.left < least:
            record.skip(f"main_ppo, {name}", f"less than {least:.0f} s are left")
            continue
        with RUNS[name](record, prm) as (recipe, own):
            found = run(record, name, recipe, [*sizes, *own])
        if found:
            steps[name] = found["step"]
    for name in steps:
        if name != "GRPO" and "GRPO" in steps:
            record.row(f"main_ppo, {name}: step against GRPO's", steps[name] / steps["GRPO"])


@contextlib.contextmanager
def grpo(record: Record, prm: Path) -> Iterator[tuple[str, list[str]]]:
    """The baseline."""
    yield "grpo_qwen2.5_math_1.5b", []


@contextlib.contextmanager
def colocated(record: Record, prm: Path) -> Iterator[tuple[str, list[str]]]:
    """verl launches the PRM on the trainer's GPU."""
    own = [*(PRM_ON_CPU if record.device.type == "cpu" else PRM_ON_GPU), f"reward.reward_model.model_path={prm}"]
    # Qwen2.5-Math-PRM's own separator is vLLM's default; that of a tokenizer of a few hundred words lies elsewhere.
    pooler = f"{{tok_pooling_type:STEP,step_tag_id:{separator()}}}"
    yield "prpo_colocated_qwen2.5_math_1.5b", [*own, f"+{SERVER}.engine_kwargs.vllm.pooler_config={pooler}"]


@contextlib.contextmanager
def streaming(record: Record, prm: Path) -> Iterator[tuple[str, list[str]]]:
    """A server of the PRM that Ray does not know of, beside the trainer on the same GPU."""
    pooler = json.dumps({"tok_pooling_type": "STEP", "step_tag_id": separator()})
    log = record.folder / "prm_server.log"
    with sized_prm.served(prm, log, "--pooler-config", pooler, device=record.device.type) as url:
        yield "prpo_streaming_qwen2.5_math_1.5b", at_server(prm, url)


RUNS = {"GRPO": grpo, "PRPO, colocated PRM": colocated, "PRPO, streaming to a server": streaming}


def run(record: Record, name: str, recipe: str, overrides: list[str]) -> dict[str, float] | None:
    """One run of main_ppo; its rows are added, and the medians of its parts returned, in seconds."""
    label = recipe.split("_qwen")[0]
    metrics, log = record.folder / f"training_{label}.jsonl", record.folder / f"training_{label}.log"
    metrics.unlink(missing_ok=True)
    command = [
        *(sys.executable, "-m", "verl.trainer.main_ppo"),
        *("--config-dir", str(ROOT / "recipes"), "--config-name", recipe),
        *overrides,
        f"trainer.default_local_dir={record.folder / 'checkpoints'}",
        f"hydra.run.dir={record.folder / 'hydra' / label}",
    ]
    environment = os.environ | {"VERL_FILE_LOGGER_PATH": str(metrics), "HYDRA_FULL_ERROR": "1"}
    try:
        seconds = guarded_run(command, log, max(1.0, record.left - 15), environment)
    except RunFailed as error:
        record.skip(f"main_ppo, {name}", f"{str(error).splitlines()[0]} see {log}")
        return None
    lines = [json.loads(line)["data"] for line in metrics.read_text().splitlines()]
    rows = [row for row in lines if "training/global_step" in row][1:]
    found = {part: statistics.median(row[key] for row in rows) for part, key in PARTS.items() if key in rows[-1]}
    for part, value in found.items():
        record.row(f"main_ppo, {name}: {part}", value, "s", run_seconds=seconds)
    for what, key in (("tokens/s of a GPU", "perf/throughput"), ("GB of GPU memory", "perf/max_memory_reserved_gb")):
        if key in rows[-1]:
            record.row(f"main_ppo, {name}: {what}", statistics.median(row[key] for row in rows))
    if rows[-1].get("prpo/prm/failed"):
        record.row(f"main_ppo, {name}: responses without scores", rows[-1]["prpo/prm/failed"], most=0)
    return found


def at_server(prm: Path, url: str) -> list[str]:
    """The overrides that ask a server."""
    return [f"reward.prm.model_path={prm}", f"++reward.prm.server.urls=[{url}]", "reward.prm.num_replicas=1"]


def separator() -> int:
    """The separator's id in the tokenizer of the random PRM."""
    return int(sized_prm.tokenizer().convert_tokens_to_ids(sized_prm.SEPARATOR))


def write_problems(file: Path, count: int = 64) -> None:
    """Sums, with the answer that the verifier wants; a random policy solves none."""
    rows = [
        {
            "data_source": "sums",
            "prompt": [{"role": "user", "content": f"What is {number} plus {number % 7}?"}],
            "reward_model": {"style": "rule", "ground_truth": str(number + number % 7)},
            "extra_info": {"index": number},
        }
        for number in range(count)
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
