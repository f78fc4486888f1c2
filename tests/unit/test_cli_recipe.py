# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo recipe`: what it prints is the recipe, whole or short, on its own and on another machine."""

import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from omegaconf import OmegaConf, open_dict
from verl_configs import compose

from verl_prpo.cli import main as command_line
from verl_prpo.cli import recipe_overrides, recipe_text
from verl_prpo.settings.outcome import math_verifier_config
from verl_prpo.settings.prpo import PrmConfig, PrpoConfig, prm_config, prpo_config
from verl_prpo.trainer.checks.config_check import check_config

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))
OWN = (("algorithm", "prpo"), ("reward", "prm"), ("reward", "math_verifier"))
"""Sections of this package."""


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

        check_config(alone)
        assert recipe_text.resolved(alone) == recipe_text.whole_recipe(original)
        assert _settings(alone) == _settings(original)
        for section, key in OWN:
            for config in (alone, original):
                with open_dict(config):
                    config[section].pop(key, None)
        assert recipe_text.resolved(alone) == recipe_text.resolved(original)

    def test_holds_the_settings_of_this_package_that_the_recipe_leaves_at_their_default(self, verl_prpo):
        values = OmegaConf.create(verl_prpo("prpo_laptop")[1])
        assert (values.algorithm.prpo.min_gap, values.algorithm.prpo.max_anchors) == (6, PrpoConfig.max_anchors)
        assert set(values.algorithm.prpo) == {field.name for field in fields(PrpoConfig)}
        assert set(values.reward.prm) == {field.name for field in fields(PrmConfig)}
        assert "math_verifier" not in values.reward

    def test_holds_none_of_them_where_training_reads_none(self, verl_prpo):
        values = OmegaConf.create(verl_prpo("grpo_laptop")[1])
        assert "prpo" not in values.algorithm and "prm" not in values.reward

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

    def test_says_where_it_comes_from_and_what_was_overridden(self, verl_prpo):
        printed = verl_prpo("prpo_laptop", "data.seed=7", "+data.mine=1")[1]
        assert printed.startswith("# From prpo_laptop with data.seed=7 +data.mine=1. Save as FOLDER/mine.yaml; then\n")
        values = OmegaConf.create(printed)
        assert (values.data.seed, values.data.mine) == (7, 1)

    def test_is_printed_away_from_the_files_that_it_names(self, verl_prpo, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        status, printed, said = verl_prpo("prpo_laptop")
        assert status == 0 and "path: examples/toy/prm.py" in printed
        assert "reward.prm.custom_family.path=examples/toy/prm.py is not a file from here" in said


class TestTheHeaderOfACopy:
    @pytest.mark.parametrize("name", NAMES)
    def test_launches_the_copy_and_keeps_the_rest(self, verl_prpo, name):
        lines = verl_prpo(name, "--short")[1].partition("\ndefaults:")[0].splitlines()
        launch = [line for line in lines if "-m verl.trainer.main_ppo" in line]

        assert lines[0] == f"# From {name}. Save as FOLDER/mine.yaml; then"
        assert len(launch) == 1 and launch[0].endswith("main_ppo --config-dir FOLDER --config-name mine")
        assert any("another trainer.experiment_name" in line for line in lines[:6])
        original = recipe_text.header(RECIPES / f"{name}.yaml").splitlines()
        assert [line for line in original if line not in lines] == [line for line in original if "main_ppo" in line]

    def test_keeps_what_goes_before_the_command(self, verl_prpo):
        printed = verl_prpo("prpo_servers_qwen2.5_math_1.5b")[1]
        assert "\n# bash examples/run_prm_servers.sh &" in printed
        assert "\n# CUDA_VISIBLE_DEVICES=0,1,2,3 python -m verl.trainer.main_ppo --config-dir FOLDER" in printed

    def test_asks_for_no_other_name_where_one_was_given(self, verl_prpo):
        assert "another trainer" not in verl_prpo("prpo_laptop", "trainer.experiment_name=mine")[1]

    def test_a_copy_of_a_copy_has_one_such_header(self, verl_prpo, tmp_path):
        (tmp_path / "mine.yaml").write_text(verl_prpo("prpo_laptop", "--short", "data.seed=7")[1])
        printed = verl_prpo("--config-dir", str(tmp_path), "mine", "--short")[1]
        assert printed.startswith("# From mine. Save as") and printed.count("# From ") == 1
        assert printed.count("main_ppo") == printed.count("another trainer.experiment_name") == 1


class TestWhatIsRefused:
    """With exit status 2 and nothing on the standard output."""

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("prpo_laptop data.sed=7", "verl has no data.sed; did you mean data.seed=7?"),
            ("prpo_laptop zzz.yyy=7", "verl has no zzz.yyy (+zzz.yyy=7 adds it"),
            (
                "prpo_laptop algorithm.prpo.max_ancors=3",
                "algorithm.prpo.max_ancors is not a setting; did you mean ++algorithm.prpo.max_anchors=3?",
            ),
            ("prpo_laptop algorithm.prpo.max_anchors=3", "write ++algorithm.prpo.max_anchors=3"),
            ("grpo_laptop reward.prm.model_path=a/b", "write ++reward.prm.model_path=a/b"),
            ("grpo_laptop reward.prm.custom_family.name=A", "write ++reward.prm.custom_family.name=A"),
            ("prpo_laptop ++algorithm.prpo.max_ancors=3", "did you mean algorithm.prpo.max_anchors?"),
            (
                "prpo_laptop ++algorithm.prpo.max_anchors=-1",
                "max_anchors=-1 must be a whole number of at least 0",
            ),
            ("prpo_laptop reward.prm=3", "reward.prm must be a section"),
            ("prpo_laptop trainer.use_v1=False", "set trainer.use_v1=True"),
            ("grpo_laptop +switch=prpo", "needs a process reward model"),
            ("switch/prpo", "is an overlay, to put on a recipe: verl-prpo recipe NAME +switch=prpo"),
            ("method/pure", "is a part of recipes"),
            ("--config-dir no/such", "--config-dir no/such is not a folder"),
        ],
    )
    def test_says_what_to_write(self, verl_prpo, words, message):
        status, printed, said = verl_prpo(*words.split())
        assert (status, printed) == (2, "")
        assert message in said
        assert "To append" not in said and "Traceback" not in said

    def test_a_file_name_is_none_of_it(self, verl_prpo):
        assert verl_prpo("prpo_laptop.yaml") == verl_prpo("prpo_laptop")


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

    def test_keeps_the_overrides(self, verl_prpo, tmp_path):
        printed = verl_prpo("--short", "grpo_laptop", "+switch=prpo", "reward.prm.model_path=some/prm")[1]
        (tmp_path / "mine.yaml").write_text(printed)

        assert printed.startswith("# From grpo_laptop with +switch=prpo reward.prm.model_path=some/prm. Save as")
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


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("reward.reward_manager.name=dappo", "did you mean reward.reward_manager.name=dapo?"),
        ("algorithm.adv_estimator=gprpo", "did you mean algorithm.adv_estimator=prpo"),
        ("actor_rollout_ref.rollout.tensor_model_parallel_size=3", "tensor_model_parallel_size to 1, 2 or 4"),
        ("actor_rollout_ref.actor.optim.lr_scheduler_type=cosin", "did you mean cosine?"),
    ],
)
def test_what_verl_stops_at_late_is_refused(verl_prpo, override, said):
    status, printed, errors = verl_prpo("prpo_qwen2.5_math_1.5b", override)
    assert (status, printed) == (2, "")
    assert said in errors


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_passes_verls_checks(name):
    recipe_overrides.check_with_verl(compose(name, config_dir=RECIPES))


def test_the_training_command_takes_a_short_recipe(verl_prpo, tmp_path):
    (tmp_path / "mine.yaml").write_text(verl_prpo("prpo_qwen2.5_math_1.5b", "--short", "data.seed=7")[1])
    command = "-m verl.trainer.main_ppo --config-name mine --cfg job".split()

    shown = subprocess.run(
        [sys.executable, *command, "--config-dir", str(tmp_path)], capture_output=True, text=True, timeout=300
    )

    assert shown.returncode == 0, shown.stderr
    assert OmegaConf.create(shown.stdout) == compose("prpo_qwen2.5_math_1.5b", ["data.seed=7"], config_dir=RECIPES)


def _settings(config):
    """What this package reads of a configuration."""
    return prpo_config(config.algorithm), prm_config(config.reward), math_verifier_config(config.reward)


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
