# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The GPU benchmark: on the CPU with tiny shapes, without time, without packages, and its folder of wheels."""

import importlib
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import tiny_models
from verl_configs import compose, validate

from verl_prpo.cpu.distribution import CpuVllmFinder
from verl_prpo.trainer.checks.batch_sizes import size_faults
from verl_prpo.trainer.checks.gpus import pools

ROOT = Path(__file__).parents[2]
HERE = ROOT / "benchmarks" / "gpu"
LISTS = HERE / "wheels"


@pytest.fixture(scope="module")
def modules() -> dict[str, ModuleType]:
    """run.py and environment.py, which import neither torch nor this package."""
    sys.path.insert(0, str(HERE))
    try:
        return {name: importlib.import_module(name) for name in ("run", "environment")}
    finally:
        sys.path.remove(str(HERE))


def test_three_stages_on_the_cpu(tmp_path: Path) -> None:
    command = ["bash", str(HERE / "run.sh"), "--device", "cpu", "--small", "--stages", "advantage,scoring,families"]
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
    ended = subprocess.run(
        [*command, "--out", str(tmp_path)], capture_output=True, text=True, timeout=900, env=environment
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    stages = {stage["stage"]: stage for stage in json.loads((tmp_path / "results.json").read_text())["stages"]}
    assert {name: stage["state"] for name, stage in stages.items()} == dict.fromkeys(stages, "done")
    rows = {row["what"]: row for stage in stages.values() for row in stage["rows"]}
    assert rows["memory of segmentation + advantage, 16 x 256"]["met"]
    assert rows["time against GRPO's, 16 x 256"]["value"] > 0
    assert rows["engine against the bare forward"]["value"] > 0
    families = [row for row in stages["families"]["rows"] if "skipped" not in row]
    assert len(families) >= 14 and all(row["met"] for row in families), families
    assert max(row["value"] for row in families if "float32" in row["what"]) == 0  # the same device
    assert "| families | qwen_math_prm in bfloat16 |" in (tmp_path / "results.md").read_text()


def test_a_stage_without_time_leaves_what_it_has(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    run, stage = modules["run"], modules["run"].Stage("scoring", (), 3600)
    deadline = time.monotonic() + 6
    result = run.run_stage(stage, sys.executable, {}, "cpu", True, tmp_path, deadline)
    assert result["state"] == "out of time"
    assert json.loads((tmp_path / "scoring.json").read_text())["reason"].startswith("ended after 6 s")
    assert run.run_stage(stage, sys.executable, {}, "cpu", True, tmp_path, time.monotonic())["state"] == "skipped"


def test_what_is_missing_is_named(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    run = modules["run"]
    stage = next(stage for stage in run.STAGES if stage.name == "served")
    machine = {"torch": True, "transformers": True} | dict.fromkeys(run.VERL, True) | {"dist:verl-prpo": True}
    result = run.run_stage(stage, sys.executable, machine, "cpu", True, tmp_path, time.monotonic() + 60)
    assert (result["state"], result["reason"]) == ("skipped", "not installed: vllm")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stages", "scorin"], "scorin is none of advantage, scoring"),
        (["--minutes", "0"], "--minutes 0 must be more than 0"),
        (["--wheels", "no/such/folder"], "--wheels no/such/folder: no such folder"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
    ],
)
def test_arguments_that_cannot_be_used(
    arguments: list[str], said: str, modules: dict[str, ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = modules["run"].main(arguments)
    except SystemExit as stopped:
        status = stopped.code
    assert status == 2
    assert said in capsys.readouterr().err


def wheel(folder: Path, name: str = "tiny_thing", version: str = "1.5") -> None:
    """A real wheel of one module."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as made:
        made.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        made.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        made.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        made.writestr(f"{info}/RECORD", "")


class TestWheels:
    def test_they_are_installed_over_what_the_machine_has(self, modules: dict[str, ModuleType], tmp_path: Path) -> None:
        wheel(tmp_path / "wheels")
        python, installed = modules["environment"].prepare(tmp_path / "wheels", tmp_path / "environment", ROOT)
        code = (
            "import tiny_thing, torch, sys; print(tiny_thing.VERSION, tiny_thing.__file__, torch.__file__, sys.prefix)"
        )
        version, file, torch_file, prefix = subprocess.run(
            [python, "-c", code], capture_output=True, text=True, timeout=300, check=True
        ).stdout.split()
        assert (version, installed["installed"]) == ("1.5", {"tiny-thing": "1.5"})
        assert file.startswith(str(tmp_path / "environment")) and prefix == str(tmp_path / "environment")
        assert torch_file == importlib.import_module("torch").__file__  # the machine's
        again = modules["environment"].prepare(tmp_path / "wheels", tmp_path / "environment", ROOT)[1]
        assert (again["installed"], again["there"]) == ({}, 1)

    def test_two_versions_are_refused(self, modules: dict[str, ModuleType], tmp_path: Path) -> None:
        wheel(tmp_path / "w")
        wheel(tmp_path / "w", version="2.0")
        with pytest.raises(modules["environment"].EnvironmentFault, match=r"two versions of tiny-thing, 1\.5 and 2\.0"):
            modules["environment"].found_wheels(tmp_path / "w")

    def test_sources_are_refused_with_the_command_that_builds_them(
        self, modules: dict[str, ModuleType], tmp_path: Path
    ) -> None:
        wheel(tmp_path / "w")
        (tmp_path / "w" / "antlr4-python3-runtime-4.9.3.tar.gz").touch()
        with pytest.raises(modules["environment"].EnvironmentFault, match="pip wheel --no-deps"):
            modules["environment"].found_wheels(tmp_path / "w")

    def test_an_empty_folder_is_refused(self, modules: dict[str, ModuleType], tmp_path: Path) -> None:
        with pytest.raises(modules["environment"].EnvironmentFault, match="no wheels in it"):
            modules["environment"].found_wheels(tmp_path)

    def test_a_wheel_of_another_python_is_named(self, modules: dict[str, ModuleType], tmp_path: Path) -> None:
        wheel(tmp_path / "w")
        file = tmp_path / "w" / "tiny_thing-1.5-py3-none-any.whl"
        file.rename(file.with_name("tiny_thing-1.5-cp27-cp27m-win32.whl"))
        with pytest.raises(modules["environment"].EnvironmentFault, match=r"tiny-thing==1\.5"):
            modules["environment"].prepare(tmp_path / "w", tmp_path / "environment", ROOT)


class TestLists:
    def test_they_pin_what_the_page_names_and_leave_torch_to_the_machine(self, modules: dict[str, ModuleType]) -> None:
        verl, vllm = (modules["environment"].pinned(LISTS / f"{name}.txt") for name in ("verl", "vllm"))
        assert verl.keys().isdisjoint(vllm)
        assert (verl["verl"], verl["ray"], vllm["vllm"]) == ("0.9.1", "2.60.0", "0.24.0")
        assert not {"torch", "triton", "torchvision", "nvidia-cublas", "nvidia-cudnn-cu13"} & (
            verl.keys() | vllm.keys()
        )
        assert "-r verl.txt" in (LISTS / "vllm.txt").read_text().splitlines()

    def test_what_the_cpu_environment_pins_too_has_the_same_version(self, modules: dict[str, ModuleType]) -> None:
        environment = modules["environment"]
        cpu = environment.pinned(ROOT / "examples" / "constraints-cpu.txt")
        ours = environment.pinned(LISTS / "verl.txt") | environment.pinned(LISTS / "vllm.txt")
        other = {name for name, version in ours.items() if cpu.get(name, version) != version}
        assert other == {"apache-tvm-ffi", "xgrammar"}  # vLLM 0.24 asks for exactly these


@pytest.mark.parametrize("device", ["cuda", "cpu"])
@pytest.mark.parametrize("recipe", ["grpo", "prpo_colocated", "prpo_streaming"])
def test_verl_accepts_what_the_training_stage_runs(
    recipe: str, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (HERE, ROOT / "benchmarks", ROOT / "examples"):
        monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, CpuVllmFinder()])
    training = importlib.import_module("stages.training")
    own = [*training.COMMON, *(training.ON_GPU if device == "cuda" else training.ON_CPU)]
    tiny_models.qwen_math_prm(tmp_path / "prm")
    if recipe == "prpo_colocated":
        own += [*(training.PRM_ON_GPU if device == "cuda" else training.PRM_ON_CPU)]
        own += [f"reward.reward_model.model_path={tmp_path / 'prm'}"]
    elif recipe == "prpo_streaming":
        own += training.at_server(tmp_path / "prm", "http://127.0.0.1:8001")
    config = compose(f"{recipe}_qwen2.5_math_1.5b", own, config_dir=ROOT / "recipes")
    validate(config)
    assert size_faults(config) == []
    assert sum(pool.gpus for pool in pools(config)) == (1 if device == "cuda" else 0)
    assert config.trainer.total_training_steps == training.STEPS
