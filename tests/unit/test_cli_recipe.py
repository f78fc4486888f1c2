# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo recipe` lists, prints and copies; what its overrides checked before is doctor's."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from verl_configs import compose

from verl_prpo.cli import main as command_line
from verl_prpo.console.findings import CheckFailed
from verl_prpo.doctor import wiring
from verl_prpo.settings.training_config import TrainingArguments

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))


@pytest.fixture
def verl_prpo(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command, and give its exit status, what it printed, and its messages."""

    def run(*words: str) -> tuple[int, str, str]:
        status = command_line.main(["recipe", *words])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


class TestTheList:
    def test_has_every_recipe_with_what_it_is_in_a_line(self, verl_prpo: Any) -> None:
        status, printed, _ = verl_prpo()

        assert status == 0
        listed = dict(line.split(maxsplit=1) for line in printed.splitlines())
        assert sorted(listed) == NAMES
        assert listed["prpo_qwen2.5_math_1.5b"] == "PRPO with Qwen2.5-Math-1.5B on MATH, the paper's method"
        assert max(map(len, printed.splitlines())) <= 120

    def test_has_those_of_a_folder_of_ones_own(self, verl_prpo: Any, tmp_path: Path) -> None:
        (tmp_path / "mine.yaml").write_text("# My run. It is long.\n\ndefaults: [ppo_trainer, _self_]\n")
        (tmp_path / "bare.yaml").write_text("defaults: [ppo_trainer, _self_]\n")
        assert verl_prpo("--config-dir", str(tmp_path))[1].splitlines() == ["bare", "mine  My run"]

    def test_the_folder_is_printed_for_the_training_command(self, verl_prpo: Any) -> None:
        assert verl_prpo("--path")[1] == f"{RECIPES}\n"


@pytest.mark.parametrize("name", ["prpo_laptop", "prpo_laptop.yaml", "switch/prpo"])
def test_a_recipe_is_printed_as_its_file_stands(verl_prpo: Any, name: str) -> None:
    text = (RECIPES / f"{name.removesuffix('.yaml')}.yaml").read_text()
    assert verl_prpo(name) == (0, text, "")


class TestTheCopy:
    @pytest.mark.parametrize("name", NAMES)
    def test_is_the_recipe_under_another_name_from_a_folder_of_its_own(
        self, verl_prpo: Any, tmp_path: Path, name: str
    ) -> None:
        file = tmp_path / "my own" / "1.yaml"
        status, printed, _ = verl_prpo(name, "--copy", str(file))

        expected = compose(name, config_dir=RECIPES)
        expected.trainer.experiment_name = "1"
        copied = compose("1", config_dir=file.parent)
        assert status == 0
        assert OmegaConf.to_container(copied, resolve=False) == OmegaConf.to_container(expected, resolve=False)
        launch = f"python -m verl.trainer.main_ppo --config-dir '{file.parent}' --config-name 1"
        assert printed.splitlines()[0] == f"written: {file}"
        assert printed.splitlines()[1].endswith(launch)
        lines, original = file.read_text().splitlines(), (RECIPES / f"{name}.yaml").read_text().splitlines()
        differing = [line for line, before in zip(lines, original, strict=True) if line != before]
        assert len(differing) == 2 and differing[0].endswith(launch)

    def test_of_the_overlay_works_from_there(self, verl_prpo: Any, tmp_path: Path) -> None:
        assert verl_prpo("switch/prpo", "--copy", str(tmp_path / "switch" / "prpo.yaml"))[0] == 0
        config = compose("ppo_trainer", ["+switch=prpo"], config_dir=tmp_path)
        assert config == compose("ppo_trainer", ["+switch=prpo"], config_dir=RECIPES)

    def test_keeps_what_goes_before_the_command(self, verl_prpo: Any, tmp_path: Path) -> None:
        verl_prpo("prpo_servers_qwen2.5_math_1.5b", "--copy", str(tmp_path / "mine.yaml"))
        text = (tmp_path / "mine.yaml").read_text()
        assert "\n# bash examples/run_prm_servers.sh &" in text
        assert f"\n# CUDA_VISIBLE_DEVICES=0,1,2,3 python -m verl.trainer.main_ppo --config-dir {tmp_path}" in text

    def test_of_a_file_without_a_run_of_its_own_is_refused(self, verl_prpo: Any, tmp_path: Path) -> None:
        (tmp_path / "bare.yaml").write_text("defaults: [ppo_trainer, _self_]\n")
        status, _, said = verl_prpo("-cd", str(tmp_path), "bare", "--copy", str(tmp_path / "mine.yaml"))
        assert status == 2 and "sets no trainer.experiment_name" in said
        assert not (tmp_path / "mine.yaml").exists()

    def test_replaces_no_file(self, verl_prpo: Any, tmp_path: Path) -> None:
        (tmp_path / "mine.yaml").write_text("mine")
        status, printed, said = verl_prpo("prpo_laptop", "--copy", str(tmp_path / "mine.yaml"))
        assert (status, printed) == (2, "") and "mine.yaml is already there" in said
        assert (tmp_path / "mine.yaml").read_text() == "mine"

    def test_is_taken_by_the_training_command_which_prints_it_resolved(self, verl_prpo: Any, tmp_path: Path) -> None:
        verl_prpo("prpo_qwen2.5_math_1.5b", "--copy", str(tmp_path / "mine.yaml"))
        command = "-m verl.trainer.main_ppo --config-name mine data.seed=7 --cfg job --resolve --config-dir".split()
        shown = subprocess.run([sys.executable, *command, str(tmp_path)], capture_output=True, text=True, timeout=300)
        assert shown.returncode == 0, shown.stderr
        values = OmegaConf.create(shown.stdout)
        assert (values.data.seed, values.trainer.experiment_name) == (7, "mine")
        assert "${" not in shown.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("prpo_qwen2.5_math_15b", "is not among the recipes in .*prpo_qwen2.5_math_1.5b"),
        ("prpo_laptop data.seed=7", r"main_ppo --config-dir \S+ --config-name prpo_laptop data.seed=7 --cfg job --res"),
        ("prpo_laptop --short", "--short is no option any more: `verl-prpo recipe prpo_laptop` prints"),
        ("method/pure", "is no file any more: each recipe holds all of its settings"),
        ("--config-dir no/such", "--config-dir no/such is not a folder"),
        ("--copy mine.yaml", "name the recipe"),
        ("prpo_laptop --copy mine", "Write --copy mine.yaml"),
    ],
)
def test_what_is_refused_says_what_to_write(verl_prpo: Any, words: str, message: str) -> None:
    status, printed, said = verl_prpo(*words.split())
    assert (status, printed) == (2, "")
    assert re.search(message, said)


def documented() -> list[str]:
    """The lines of docs/recipes.md that call this command."""
    lines = (ROOT / "docs" / "recipes.md").read_text().splitlines()
    return [line.partition("#")[0] for line in lines if line.startswith("verl-prpo recipe")]


@pytest.mark.parametrize("line", documented())
def test_commands_of_the_documentation_run(
    verl_prpo: Any, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, printed, _ = verl_prpo(*shlex.split(line)[2:])
    assert status == 0 and printed


class TestWhatDoctorRefuses:
    """Overrides that this command checked before it was small."""

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("prpo_laptop data.sed=7", "did you mean data.seed"),
            ("prpo_laptop algorithm.prpo.max_ancors=3", "did you mean algorithm.prpo.max_anchors"),
            ("prpo_laptop algorithm.prpo.max_anchors=3", r"write \+\+algorithm.prpo"),
            ("grpo_laptop reward.prm.model_path=a/b", r"write \+\+reward.prm"),
            ("prpo_laptop method=pure", r"Write \+\+algorithm.prpo.credit=pure"),
            ("prpo_laptop policy=qwen3_4b", "Write actor_rollout_ref.model.path=MODEL"),
            ("prpo_laptop ++algorithm.prpo.max_ancors=3", "did you mean algorithm.prpo.max_anchors"),
            ("prpo_laptop ++algorithm.prpo.max_anchors=-1", "max_anchors=-1 must be a whole number of at least 0"),
            ("prpo_laptop reward.prm=3", "reward.prm must be a section"),
            ("prpo_laptop trainer.use_v1=False", "Set trainer.use_v1=True"),
            ("grpo_laptop +switch=prpo", "needs a process reward model"),
            ("grpo_laptop reward.reward_manager.name=dappo", "did you mean reward.reward_manager.name=dapo"),
            ("grpo_laptop algorithm.adv_estimator=gprpo", "did you mean algorithm.adv_estimator=prpo"),
            ("grpo_laptop actor_rollout_ref.actor.optim.lr_scheduler_type=cosin", "did you mean cosine"),
        ],
    )
    def test_says_what_to_write(self, words: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(ROOT)  # the laptop recipes name files of the checkout
        name, *overrides = words.split()
        with pytest.raises(CheckFailed) as refused:
            config, _ = wiring.composed(TrainingArguments(overrides, config_dir=str(RECIPES), config_name=name)).value
            wiring.names(config)
            wiring.settings(config)
        assert re.search(message, f"{refused.value} {refused.value.advice}")
