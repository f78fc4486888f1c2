# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Runs of `main_ppo` on the CPU with tiny random models: real verl, real vLLM, real Ray, killed when they hang."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from dump_checks import MAX_RESPONSE_LENGTH
from guarded_run import guarded_run

from verl_prpo.telemetry.rollouts.read import Rollout, read_rollouts

ROOT = Path(__file__).resolve().parent.parent.parent
RUN_TIMEOUT = float(os.environ.get("VERL_PRPO_RUN_TIMEOUT", 600))
"""Seconds after which a run counts as hung. On a machine that does much else set the variable."""


@dataclass
class Assets:
    """A tiny untrained policy, a tiny PRM of the Qwen2.5-Math-PRM architecture, and prompts."""

    policy: Path
    prm: Path
    train: Path
    val: Path

    def overrides(self) -> list[str]:
        """The overrides that put these in the place of a recipe's model, PRM, data and sizes."""
        return [
            f"actor_rollout_ref.model.path={self.policy}",
            f"data.train_files={self.train}",
            f"data.val_files={self.val}",
            f"reward.custom_reward_function.path={ROOT / 'tests/e2e/reward.py'}",
            "reward.custom_reward_function.name=compute_score",
            "data.max_prompt_length=64",
            f"data.max_response_length={MAX_RESPONSE_LENGTH}",
        ]

    def prm_overrides(self) -> list[str]:
        """The overrides that put the tiny PRM in the place of the laptop recipe's."""
        return [
            f"reward.prm.model_path={self.prm}",
            "reward.prm.custom_family.path=null",
            "reward.prm.custom_family.name=null",
        ]


@dataclass
class Run:
    """What a finished run left behind."""

    folder: Path

    @property
    def log(self) -> str:
        """Everything it printed."""
        return (self.folder / "train.log").read_text(errors="replace")

    def metrics(self) -> list[dict[str, float]]:
        """The metrics of each training step, in order."""
        lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        return [row["data"] for row in map(json.loads, lines) if "training/global_step" in row["data"]]

    def dump(self, step: int) -> list[Rollout]:
        """The rollout dump of a step, one rollout per response; padding rows are not in it."""
        return list(read_rollouts(self.folder / "rollouts" / f"{step}.jsonl"))


@pytest.fixture(scope="session")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Assets:
    import tiny_task
    from tiny_models import qwen_math_prm

    folder = tmp_path_factory.mktemp("assets")
    rows = [
        {
            "data_source": "tiny",
            "prompt": [{"role": "user", "content": f"What is {a} plus {a % 3}?"}],
            "reward_model": {"style": "rule", "ground_truth": str(a + a % 3)},
            "extra_info": {"index": a, "split": "train"},
        }
        for a in range(24)
    ]
    tiny_task.write(folder)
    for name, part in (("train", rows[:16]), ("val", rows[16:])):
        pd.DataFrame(part).to_parquet(folder / f"{name}.parquet")
    return Assets(
        folder / "policy",
        qwen_math_prm(folder / "prm", context=512),
        folder / "train.parquet",
        folder / "val.parquet",
    )


@pytest.fixture
def platform_overrides() -> list[str]:
    """What a GPU recipe needs to run on the CPU platform, see docs/cpu.md."""
    actor, rollout = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
    return [
        *("trainer.device=cpu", "trainer.n_gpus_per_node=1", "trainer.resume_mode=disable"),
        "actor_rollout_ref.model.use_remove_padding=False",
        "+actor_rollout_ref.model.override_config.attn_implementation=sdpa",
        *(f"{actor}.use_torch_compile=False", f"{actor}.fsdp_config.use_torch_compile=False"),
        *(f"{actor}.fsdp_config.dtype=float32", "actor_rollout_ref.ref.fsdp_config.dtype=float32"),
        *(f"+{actor}.fsdp_config.mixed_precision.{kind}_dtype=fp32" for kind in ("param", "reduce", "buffer")),
        *(f"{rollout}.dtype=float32", f"{rollout}.enforce_eager=True", f"{rollout}.free_cache_engine=False"),
        *(f"+{rollout}.enable_sleep_mode=False", f"{rollout}.max_model_len=128", f"{rollout}.agent.num_workers=1"),
        f"{rollout}.checkpoint_engine.update_weights_bucket_megabytes=32",
        *("reward.num_workers=1", "reward.prm.num_replicas=1", "data.dataloader_num_workers=0"),
        "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
        *("ray_kwargs.ray_init.num_cpus=32", "+ray_kwargs.ray_init.num_gpus=1"),
        "+ray_kwargs.ray_init.include_dashboard=False",
    ]


def run_main_ppo(folder: Path, config: str, *overrides: str, env: dict[str, str] | None = None) -> Run:
    """Run `python -m verl.trainer.main_ppo` with a recipe and overrides; a failure shows the tail of its log."""
    command = [
        *(sys.executable, "-m", "verl.trainer.main_ppo"),
        *("--config-dir", str(ROOT / "recipes"), "--config-name", config),
        "trainer.logger=[console,file]",
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        "trainer.total_training_steps=2",
        f"trainer.rollout_data_dir={folder / 'rollouts'}",
        f"hydra.run.dir={folder / 'hydra'}",
        *overrides,
    ]
    environment = {
        **os.environ,
        "VERL_PLATFORM": "cpu",
        "VERL_FILE_LOGGER_PATH": str(folder / "metrics.jsonl"),
        "HYDRA_FULL_ERROR": "1",
        "RAY_DEDUP_LOGS": "0",
        **(env or {}),
    }
    guarded_run(command, folder / "train.log", RUN_TIMEOUT, environment)
    return Run(folder)


@pytest.fixture
def main_ppo(tmp_path: Path) -> Callable[..., Run]:
    """`run_main_ppo` in the test's own folder."""
    return partial(run_main_ppo, tmp_path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The matrix of recipes takes an hour: it runs where `-m` names it."""
    if "matrix" not in config.getoption("markexpr"):
        left_out = [item for item in items if item.get_closest_marker("matrix")]
        if left_out:
            items[:] = [item for item in items if item not in left_out]
            config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def served_prm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny Qwen2.5-Math-PRM with attention heads of 32 dimensions, the least that vLLM takes on a CPU."""
    import tiny_models

    config = partial(tiny_models.wide_heads_config, initializer_range=0.1)
    monkeypatch.setattr(tiny_models, "tiny_config", config)
    return tiny_models.qwen_math_prm(tmp_path / "served_prm", context=512, seed=7)
