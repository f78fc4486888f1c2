# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The run scripts under examples/ hand their knobs to the recipes; `--cfg job` makes verl print what it would run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf
from verl_configs import compose, validate

EXAMPLES = Path(__file__).parents[2] / "examples"
RECIPES = EXAMPLES.parent / "recipes"
SCRIPTS = [
    ("run_qwen2.5_math_1.5b_fsdp.sh", {"ALGO": "grpo"}, "grpo_qwen2.5_math_1.5b"),
    ("run_qwen2.5_math_7b_fsdp.sh", {}, "prpo_qwen2.5_math_7b"),
    ("run_qwen2.5_math_7b_megatron.sh", {}, "prpo_megatron_qwen2.5_math_7b"),
    ("run_qwen3_4b_fsdp.sh", {}, "prpo_qwen3_4b"),
]
"""A script, its knobs, and the recipe that it then runs."""


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    """A folder where the problems have been prepared; nothing reads them here."""
    for name in ("math", "math500"):
        (tmp_path / f"{name}.parquet").touch()
    return tmp_path


def job(script: str, *overrides: str, **knobs: str) -> DictConfig:
    """The configuration that a script would train with."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shown = subprocess.run(
        ["bash", str(EXAMPLES / script), *overrides, "--cfg", "job"],
        env=os.environ | knobs | {"PATH": path},
        cwd=knobs["DATA"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert shown.returncode == 0, shown.stderr
    return OmegaConf.create(shown.stdout)


@pytest.mark.parametrize(("script", "knobs", "recipe"), SCRIPTS)
def test_a_script_runs_its_recipe(script: str, knobs: dict[str, str], recipe: str, tmp_path: Path) -> None:
    """Looking at the configuration prepares no problems."""
    expected = compose(recipe, config_dir=RECIPES)
    expected.data.train_files, expected.data.val_files = f"{tmp_path}/math.parquet", f"{tmp_path}/math500.parquet"

    assert job(script, DATA=str(tmp_path), **knobs) == expected
    assert not list(tmp_path.iterdir())


def test_knobs_and_arguments_reach_verl(problems: Path) -> None:
    knobs = {"ALGO": "pure", "MODEL": "my/model", "PRM": "my/prm", "NNODES": "2", "GPUS": "8", "PRM_GPUS": "6"}

    config = job("run_qwen2.5_math_7b_megatron.sh", "trainer.total_epochs=2", DATA=str(problems), TP="4", **knobs)

    validate(config)
    assert config.algorithm.prpo.credit == "pure"
    assert (config.actor_rollout_ref.model.path, config.reward.prm.model_path) == ("my/model", "my/prm")
    assert (config.trainer.nnodes, config.trainer.n_gpus_per_node, config.reward.prm.num_replicas) == (2, 8, 6)
    assert config.actor_rollout_ref.actor.megatron.tensor_model_parallel_size == 4
    assert config.trainer.total_epochs == 2
    assert config.trainer.experiment_name == "pure_megatron_qwen2.5_math_7b"


@pytest.mark.parametrize("script", [script for script, _, _ in SCRIPTS])
def test_an_unknown_method_is_refused_with_those_there_are(script: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        ["bash", str(EXAMPLES / script)],
        env=os.environ | {"ALGO": "grop", "DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2 and not ended.stdout
    assert "ALGO=grop is none of grpo, prm_avg, prpo, prm_avg_prpo, pure" in ended.stderr


def test_servers_that_do_not_start_end_the_script_with_the_log(tmp_path: Path) -> None:
    script = EXAMPLES / "run_prm_servers.sh"
    knobs = {"VLLM": f"{sys.executable} -m no_such_module", "GPUS": "0,1", "LOGS": str(tmp_path)}

    ended = subprocess.run(
        ["bash", str(script)], env=os.environ | knobs, capture_output=True, text=True, timeout=120, cwd=tmp_path
    )

    assert ended.returncode == 1
    assert "No module named no_such_module" in ended.stderr
    assert "the server on GPU 0 ended" in ended.stderr
    assert "server.urls" not in ended.stdout
