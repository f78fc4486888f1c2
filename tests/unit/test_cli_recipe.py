# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo recipe`: what it prints is the recipe, whole or short, on its own and on another machine."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from verl_configs import compose

from verl_prpo.cli import main as command_line
from verl_prpo.cli import recipe_text

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))


@pytest.fixture
def verl_prpo(capsys):
    """Run the command; gives the exit status, what it printed, and what it said besides."""

    def run(*words: str) -> tuple[int, str, str]:
        status = command_line.main(["recipe", *words])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


class TestTheList:
    def test_has_every_recipe_with_what_it_is_in_a_line(self, verl_prpo):
        status, printed, _ = verl_prpo()

        assert status == 0
        listed = dict(line.split(maxsplit=1) for line in printed.splitlines())
        assert sorted(listed) == NAMES
        assert listed["prpo_qwen2.5_math_1.5b"] == "PRPO with Qwen2.5-Math-1.5B on MATH, the paper's method"
        assert max(map(len, printed.splitlines())) <= 120

    def test_has_those_of_a_folder_of_ones_own(self, verl_prpo, tmp_path):
        (tmp_path / "mine.yaml").write_text("# My run. It is long.\n\ndefaults: [ppo_trainer, _self_]\n")
        (tmp_path / "bare.yaml").write_text("defaults: [ppo_trainer, _self_]\n")
        assert verl_prpo("--config-dir", str(tmp_path))[1].splitlines() == ["bare", "mine  My run"]

    def test_an_unknown_name_is_refused_with_the_nearest(self, verl_prpo):
        status, printed, said = verl_prpo("prpo_qwen2.5_math_15b")
        assert (status, printed) == (2, "")
        assert "prpo_qwen2.5_math_1.5b" in said

    def test_the_folder_is_printed_for_the_training_command(self, verl_prpo):
        assert verl_prpo("--path")[1] == f"{RECIPES}\n"


class TestTheWholeRecipe:
    @pytest.mark.parametrize("name", NAMES)
    def test_holds_every_value_that_training_would_read(self, verl_prpo, tmp_path, name):
        printed = verl_prpo(name)[1]
        (tmp_path / "printed.yaml").write_text(printed)

        original = compose(name, config_dir=RECIPES)
        alone = compose("printed", config_dir=tmp_path)

        assert recipe_text.resolved(alone) == recipe_text.resolved(original)

    def test_resolves_as_omegaconf_does(self):
        config = compose("prpo_laptop", config_dir=RECIPES)
        resolved = OmegaConf.create(recipe_text.resolved(config))
        compared = 0
        for key in _leaves(config):
            if not OmegaConf.is_missing(*_parent(config, key)):
                assert OmegaConf.select(resolved, key) == OmegaConf.select(config, key), key
                compared += 1
        assert compared > 500

    def test_names_the_environment_instead_of_reading_it(self, verl_prpo, monkeypatch):
        monkeypatch.setenv("HOME", "/somewhere/private")
        printed = verl_prpo("grpo_qwen2.5_math_1.5b")[1]
        assert "${oc.env:HOME}/data/math/math.parquet" in printed
        assert "private" not in printed

    def test_leaves_the_environment_to_other_configurations(self, verl_prpo, monkeypatch):
        monkeypatch.setenv("HOME", "/somewhere")
        verl_prpo("grpo_qwen2.5_math_1.5b")
        assert compose("grpo_qwen2.5_math_1.5b", config_dir=RECIPES).data.train_files.startswith("/somewhere/")

    def test_has_no_other_interpolation(self, verl_prpo):
        printed = verl_prpo("prpo_megatron_qwen2.5_math_7b")[1]
        assert printed.count("${") == printed.count("${oc.env:HOME}") == 2

    def test_keeps_the_header(self, verl_prpo):
        printed = verl_prpo("prpo_laptop")[1]
        assert printed.startswith(recipe_text.header(RECIPES / "prpo_laptop.yaml"))
        assert "--config-name prpo_laptop" in printed

    def test_says_what_was_overridden(self, verl_prpo):
        printed = verl_prpo("prpo_laptop", "data.seed=7", "+data.mine=1")[1]
        assert "# Changed from prpo_laptop: data.seed=7 +data.mine=1\n" in printed
        values = OmegaConf.create(printed)
        assert (values.data.seed, values.data.mine) == (7, 1)

    def test_an_override_that_does_not_compose_is_refused(self, verl_prpo):
        status, printed, said = verl_prpo("prpo_laptop", "data.sed=7")
        assert (status, printed) == (2, "")
        assert "data.sed" in said


class TestTheShortRecipe:
    @pytest.mark.parametrize("name", NAMES)
    def test_composes_to_the_recipe_from_a_folder_of_its_own(self, verl_prpo, tmp_path, name):
        status, printed, _ = verl_prpo(name, "--short")
        (tmp_path / f"{name}.yaml").write_text(printed)

        assert status == 0
        assert compose(name, config_dir=tmp_path) == compose(name, config_dir=RECIPES)
        entries = OmegaConf.create(printed).defaults
        defaults = {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}
        assert defaults <= {"ppo_trainer", "_self_", "override model_engine"}
        assert len(printed.splitlines()) < 120

    def test_keeps_the_header_and_the_overrides(self, verl_prpo, tmp_path):
        printed = verl_prpo("--short", "grpo_laptop", "+switch=prpo", "reward.prm.model_path=some/prm")[1]
        (tmp_path / "mine.yaml").write_text(printed)

        assert printed.startswith(recipe_text.header(RECIPES / "grpo_laptop.yaml"))
        assert compose("mine", config_dir=tmp_path) == compose(
            "grpo_laptop", ["+switch=prpo", "reward.prm.model_path=some/prm"], config_dir=RECIPES
        )

    def test_a_key_taken_away_is_refused_by_name(self, verl_prpo):
        status, printed, said = verl_prpo("grpo_laptop", "--short", "~data.seed")
        assert (status, printed) == (2, "")
        assert "data.seed" in said


def documented() -> list[str]:
    """The lines of docs/recipes.md that call this command."""
    lines = (ROOT / "docs" / "recipes.md").read_text().splitlines()
    return [line.partition("#")[0] for line in lines if line.startswith("verl-prpo recipe")]


@pytest.mark.parametrize("line", documented())
def test_commands_of_the_documentation_run(verl_prpo, line):
    status, printed, _ = verl_prpo(*shlex.split(line.partition(">")[0])[2:])
    assert status == 0 and printed


def test_the_training_command_takes_a_short_recipe(verl_prpo, tmp_path):
    (tmp_path / "mine.yaml").write_text(verl_prpo("prpo_qwen2.5_math_1.5b", "--short", "data.seed=7")[1])
    command = "-m verl.trainer.main_ppo --config-name mine --cfg job".split()

    shown = subprocess.run(
        [sys.executable, *command, "--config-dir", str(tmp_path)], capture_output=True, text=True, timeout=300
    )

    assert shown.returncode == 0, shown.stderr
    assert OmegaConf.create(shown.stdout) == compose("prpo_qwen2.5_math_1.5b", ["data.seed=7"], config_dir=RECIPES)


def _leaves(config, prefix=""):
    """Dotted names of the values of a configuration."""
    for key in config:
        child = config._get_node(key)
        if OmegaConf.is_dict(child) and not child._is_none() and not child._is_interpolation() and len(child):
            yield from _leaves(child, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _parent(config, key):
    """The section that holds a dotted key, and the key in it."""
    section, _, last = key.rpartition(".")
    return (OmegaConf.select(config, section) if section else config), last
