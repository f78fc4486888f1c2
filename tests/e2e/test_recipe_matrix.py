# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Every recipe that nothing ties to GPUs or to a test of its own takes a real step on a CPU. Model, PRM, data and
sizes are overridden, the rest is the recipe's.

They take an hour and do not run with the suite, whose other end-to-end tests run each kind of recipe once.

    bash tests/run.sh -n 0 -m matrix tests/e2e/test_recipe_matrix.py -s

prints what each step gave.
"""

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny_models
from transformers import AutoTokenizer

pytestmark = [pytest.mark.e2e, pytest.mark.matrix]

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
ELSEWHERE = {
    "prpo_megatron_qwen2.5_math_7b": "Megatron needs GPUs",
    "prpo_qwen3_8b_dapo": "has a test of its own, test_long_thoughts.py: its lengths belong together",
}
PROMPTS, ROLLOUTS = 3, 4
SMALL = [
    f"data.train_batch_size={PROMPTS}",
    f"actor_rollout_ref.actor.ppo_mini_batch_size={PROMPTS}",
    f"actor_rollout_ref.rollout.n={ROLLOUTS}",
    "data.max_prompt_length=64",
    "data.max_response_length=48",
    "trainer.total_training_steps=1",
]
REPORTED = (
    "critic/score/mean",
    "response_length/mean",
    "actor/grad_norm",
    "prpo/segments/mean",
    "prpo/process_score/mean",
    "prpo/prm/requests",
    "prpo/prm/failed",
    "timing_s/prm_wait",
    "timing_s/prm_busy",
    "timing_s/step",
)
COMPACT = '{"backend": "xgrammar", "disable_any_whitespace": true}'
"""JSON without white space, which random weights would write for ever."""

SERVERS_UP = 300.0
"""Seconds in which the PRM's server must be up."""


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ELSEWHERE])
def test_a_step_on_the_cpu(name: str, main_ppo, assets, platform_overrides, request) -> None:
    overrides = [
        f"actor_rollout_ref.model.path={assets.policy}",
        f"data.train_files={assets.train}",
        f"data.val_files={assets.val}",
        *SMALL,
    ]
    if "qwen" in name:
        overrides += platform_overrides
    else:
        overrides += [*assets.overrides(), "actor_rollout_ref.rollout.max_model_len=128"]
    if name.startswith("grpo"):
        overrides = [override for override in overrides if not override.startswith("reward.prm.")]
    else:
        overrides += request.getfixturevalue(place_of_prm(name))
    if "separate_async" in name:
        overrides += GENERATION_HAS_A_SLOT

    run = main_ppo(name, *overrides)

    (metrics,) = run.metrics()
    print(name, {key: round(metrics[key], 4) for key in REPORTED if key in metrics})
    assert metrics["training/global_step"] == 1
    assert math.isfinite(metrics["actor/grad_norm"]) and math.isfinite(metrics["actor/pg_loss"])
    if name.startswith("grpo"):
        assert not [key for key in metrics if key.startswith("prpo/")]
        return
    assert metrics["prpo/prm/requests"] + metrics["prpo/prm/empty"] == PROMPTS * ROLLOUTS
    assert metrics["prpo/prm/failed"] == 0
    assert len(run.dump(1)) == PROMPTS * ROLLOUTS
    if "qwen" in name:
        rewards = {0.0, 1.0} if name.startswith("pure") else {-1.0, 1.0}
        assert {rollout.verifier_score for rollout in run.dump(1)} <= rewards
    if "streaming" in name:
        assert "each response is cut and scored as it finishes" in run.log
        assert metrics["prpo/prm/not_streamed"] == 0
    if "judge" in name:
        assert metrics["prpo/prm/judge/requests"] == metrics["prpo/prm/requests"] * (1 - metrics["prpo/prm/cache_hit"])
        assert metrics["prpo/prm/judge/completion_tokens"] > 0
        scores = {segment.score for rollout in run.dump(1) for segment in rollout.segments}
        assert scores <= {0.0, 1.0, None} and len(scores) > 1
    if "lora" in name:
        assert metrics["actor/grad_norm"] > 0


GENERATION_HAS_A_SLOT = [
    "actor_rollout_ref.rollout.n_gpus_per_node=1",
    # NCCL needs GPUs.
    "actor_rollout_ref.rollout.checkpoint_engine.backend=local_socket",
    "actor_rollout_ref.rollout.checkpoint_engine.custom_backend_module=verl_prpo.cpu.weight_transfer",
    "ray_kwargs.ray_init.num_gpus=2",
]


def place_of_prm(name: str) -> str:
    """The fixture with the overrides that put a tiny PRM where the recipe has its own."""
    if "smollm2" in name:
        return "judge"
    if "reward_model" in name:
        return "launched_by_verl"
    if "colocated" in name:
        return "launched_beside_the_trainer"
    if "servers" in name:
        return "own_server"
    if "judge" in name:
        return "writing_judge"
    return "in_process_laptop" if "laptop" in name else "in_process"


@pytest.fixture
def in_process(assets) -> list[str]:
    return [f"reward.prm.model_path={assets.prm}"]


@pytest.fixture
def in_process_laptop(assets) -> list[str]:
    return assets.prm_overrides()


@pytest.fixture
def judge(tmp_path: Path) -> list[str]:
    return [f"reward.prm.model_path={tiny_models.instruct_model(tmp_path / 'judge')}"]


def separator_of(prm: Path) -> int:
    """Qwen2.5-Math-PRM's own separator is vLLM's default; a tiny vocabulary has it elsewhere."""
    return AutoTokenizer.from_pretrained(prm).convert_tokens_to_ids(tiny_models.SEPARATOR)


@pytest.fixture
def launched_by_verl(served_prm: Path) -> list[str]:
    rollout = "reward.reward_model.rollout"
    return [
        f"reward.reward_model.model_path={served_prm}",
        "reward.reward_model.n_gpus_per_node=1",
        f"{rollout}.dtype=float32",
        f"{rollout}.max_model_len=512",
        f"+{rollout}.engine_kwargs.vllm.distributed_executor_backend=uni",
        f"+{rollout}.engine_kwargs.vllm.pooler_config={{tok_pooling_type:STEP,step_tag_id:{separator_of(served_prm)}}}",
        "ray_kwargs.ray_init.num_gpus=2",
    ]


@pytest.fixture
def launched_beside_the_trainer(launched_by_verl: list[str]) -> list[str]:
    """vLLM's sleep mode needs an accelerator: here the server is woken and put to sleep, but frees nothing."""
    rollout = "reward.reward_model.rollout"
    own = [override for override in launched_by_verl if not override.startswith("ray_kwargs.")]
    return [*own, f"{rollout}.free_cache_engine=False", f"+{rollout}.enable_sleep_mode=False"]


@pytest.fixture
def own_server(served_prm: Path, tmp_path: Path) -> Iterator[list[str]]:
    """A server that `examples/run_prm_servers.sh` starts, and what the script says to add."""
    pooler = f'{{"tok_pooling_type": "STEP", "step_tag_id": {separator_of(served_prm)}}}'
    with served(served_prm, tmp_path, "pooling", "--pooler-config", pooler) as urls:
        yield [f"reward.prm.model_path={served_prm}", urls]


@pytest.fixture
def writing_judge(served_prm: Path, tmp_path: Path) -> Iterator[list[str]]:
    """A judge of random weights, which the server has write nothing but verdicts."""
    judge = tiny_models.instruct_model(tmp_path / "judge", context=4096)
    with served(judge, tmp_path, "generate", "--structured-outputs-config", COMPACT) as urls:
        yield [f"reward.prm.model_path={judge}", "reward.prm.family_options.max_tokens=512", urls]


@contextlib.contextmanager
def served(model: Path, tmp_path: Path, runner: str, *options: str) -> Iterator[str]:
    """The override that names the servers, while they run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["--dtype", "float32", "--enforce-eager", "--max-num-seqs", "16", *options]
    knobs = {
        "VLLM": f"{sys.executable} -m verl_prpo.cpu.serve",
        "PRM": str(model),
        "RUNNER": runner,
        "GPUS": "0",
        "PORT": str(port),
        "LOGS": str(tmp_path / "servers"),
        "TIMEOUT": str(int(SERVERS_UP)),
        "VERL_PLATFORM": "cpu",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    script = ["bash", str(ROOT / "examples/run_prm_servers.sh"), *arguments]
    with running(script, knobs, tmp_path / "script.log") as said:
        yield said("++reward.prm.server.urls=").replace("'", "")


@contextlib.contextmanager
def running(command: list[str], knobs: dict[str, str], log: Path) -> Iterator[Callable[[str], str]]:
    """A script for the time of a `with` block; what is yielded waits for a line of its output that begins so."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | knobs | {"PATH": path}
        )

    def said(start: str) -> str:
        deadline = time.monotonic() + SERVERS_UP + 30
        while time.monotonic() < deadline and process.poll() is None:
            found = [line for line in log.read_text().splitlines() if line.startswith(start)]
            if found:
                return found[0]
            time.sleep(0.5)
        raise AssertionError(f"the script said no such line; the end of its output:\n{log.read_text()[-3000:]}")

    try:
        yield said
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
