# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The recipes hold against the installed verl: they compose, validate, and name no key that nothing reads."""

import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from dataclasses import fields
from pathlib import Path

import pytest
import verl
from omegaconf import DictConfig, OmegaConf
from verl.utils.config import omega_conf_to_dataclass
from verl_configs import RUNNABLE, compose, validate

from verl_prpo.config import CustomFamily, PrmConfig, PrpoConfig, prm_config, prpo_config, uses_prpo
from verl_prpo.config_check import check_config

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))
FILES = sorted(str(path.relative_to(RECIPES)) for path in RECIPES.rglob("*.yaml"))
PAIRS = [("grpo_qwen2.5_math_1.5b", "prpo_qwen2.5_math_1.5b"), ("grpo_laptop", "prpo_laptop")]

SECTIONS = {"algorithm.prpo": PrpoConfig, "reward.prm": PrmConfig, "reward.prm.custom_family": CustomFamily}

UNDECLARED = {
    r"actor_rollout_ref\.model\.override_config\.\w+": ("workers/config/model.py", "override_config"),
    r"actor_rollout_ref\.actor\.fsdp_config\.mixed_precision\.\w+": (
        "workers/engine/fsdp/transformer_impl.py",
        "mixed_precision_config.get(",
    ),
    r"actor_rollout_ref\.rollout\.enable_sleep_mode": ("workers/config/rollout.py", "enable_sleep_mode: bool"),
    r"actor_rollout_ref\.rollout\.engine_kwargs\.vllm\.\w+": (
        "workers/rollout/vllm_rollout/vllm_async_server.py",
        'self.config.get("engine_kwargs"',
    ),
    r"ray_kwargs\.ray_init\.(num_gpus|include_dashboard)": ("trainer/main_ppo.py", "ray.init(**"),
}
"""Keys that verl reads without declaring them in its YAML: the pattern, the file of verl that reads it, and how."""


@pytest.mark.parametrize("name", NAMES)
def test_recipe_passes_verls_validation_and_the_plugins(name: str) -> None:
    config = compose(name, config_dir=RECIPES)

    validate(config)

    assert config.algorithm.adv_estimator == name.split("_")[0]


@pytest.mark.parametrize("name", NAMES)
def test_typed_sections_of_a_recipe_instantiate(name: str) -> None:
    config = compose(name, config_dir=RECIPES)
    assert prpo_config(config.algorithm).credit == "prpo"
    assert bool(prm_config(config.reward).model_path) == uses_prpo(config)
    for section in ("actor_rollout_ref.actor", "actor_rollout_ref.ref.fsdp_config", "actor_rollout_ref.rollout"):
        typed = omega_conf_to_dataclass(OmegaConf.select(config, section))
        assert type(typed).__module__.startswith("verl.workers.config")


@pytest.mark.parametrize("name", NAMES)
def test_every_key_of_a_recipe_is_read_by_someone(name: str) -> None:
    declared = _keys(compose("ppo_trainer"))
    for section, cls in SECTIONS.items():
        declared |= {section} | {f"{section}.{field.name}" for field in fields(cls)}

    unknown = _keys(compose(name, config_dir=RECIPES)) - declared

    assert not {key for key in unknown if not any(re.fullmatch(pattern, key) for pattern in _with_parents(UNDECLARED))}


def test_a_mistyped_key_in_a_recipe_would_be_noticed(tmp_path: Path) -> None:
    text = (RECIPES / "grpo_laptop.yaml").read_text().replace("train_batch_size:", "train_batchsize:")
    (tmp_path / "mistyped.yaml").write_text(text)
    assert "data.train_batchsize" in _keys(compose("mistyped", config_dir=tmp_path)) - _keys(compose("ppo_trainer"))


@pytest.mark.parametrize(("file", "reads"), UNDECLARED.values())
def test_verl_still_reads_the_keys_it_does_not_declare(file: str, reads: str) -> None:
    assert reads in (Path(verl.__file__).parent / file).read_text()


@pytest.mark.parametrize("file", FILES)
def test_a_recipe_opens_with_the_command_that_launches_it(file: str) -> None:
    config_dir, name, overrides = _launch_command(RECIPES / file)

    assert config_dir == "recipes"
    assert f"{name}.yaml" == file or f"+{file.removesuffix('.yaml').replace('/', '=')}" in overrides
    validate(compose(name, overrides, config_dir=ROOT / config_dir))


@pytest.mark.parametrize("file", FILES)
def test_a_recipe_says_what_it_runs_on_and_what_to_watch(file: str) -> None:
    header = _header(RECIPES / file)
    assert "Hardware:" in header
    assert re.search(r"Watch (in wandb|on the console)", header)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_copied_elsewhere_alone_composes_the_same(name: str, tmp_path: Path) -> None:
    shutil.copy(RECIPES / f"{name}.yaml", tmp_path)
    assert compose(name, config_dir=tmp_path) == compose(name, config_dir=RECIPES)


def test_the_command_line_finds_a_recipe_in_any_folder(tmp_path: Path) -> None:
    shutil.copy(RECIPES / "prpo_qwen2.5_math_1.5b.yaml", tmp_path)
    command = "-m verl.trainer.main_ppo --config-name prpo_qwen2.5_math_1.5b --cfg job --package algorithm".split()

    shown = subprocess.run(
        [sys.executable, *command, "--config-dir", str(tmp_path)], capture_output=True, text=True, timeout=300
    )

    assert shown.returncode == 0, shown.stderr
    assert "adv_estimator: prpo" in shown.stdout
    assert "rollout_correction:" in shown.stdout


@pytest.mark.parametrize(("grpo", "prpo"), PAIRS)
def test_a_prpo_recipe_is_its_grpo_recipe_and_the_switch(grpo: str, prpo: str) -> None:
    before, after = compose(grpo, config_dir=RECIPES), compose(prpo, config_dir=RECIPES)
    assert after.trainer.experiment_name == prpo
    after.trainer.experiment_name = grpo
    assert _without_the_switch(after) == _without_the_switch(before)


@pytest.mark.parametrize("name", PAIRS[0])
def test_the_math_recipes_hold_the_papers_hyper_parameters(name: str) -> None:
    config = compose(name, config_dir=RECIPES)
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout

    assert config.actor_rollout_ref.model.path == "Qwen/Qwen2.5-Math-1.5B"
    assert (config.data.train_batch_size, rollout.n, actor.ppo_mini_batch_size, actor.ppo_epochs) == (128, 8, 128, 1)
    assert (actor.optim.lr, actor.clip_ratio, actor.clip_ratio_low, actor.clip_ratio_high) == (1e-6, 0.2, 0.2, 0.2)
    assert (actor.use_kl_loss, actor.kl_loss_coef, actor.kl_loss_type) == (True, 0.001, "low_var_kl")
    assert (config.data.max_response_length, rollout.temperature, rollout.top_p, rollout.top_k) == (2048, 1.0, 1, -1)
    assert rollout.max_model_len == config.data.max_prompt_length + config.data.max_response_length
    assert actor.ppo_max_token_len_per_gpu >= rollout.max_model_len


def test_rewards_of_one_and_zero_weigh_as_much_as_the_papers_plus_and_minus_one() -> None:
    for name in ("prpo_qwen2.5_math_1.5b", "prpo_laptop"):
        weight = prpo_config(compose(name, config_dir=RECIPES).algorithm).outcome_weight
        assert [weight * reward - weight / 2 for reward in (1, 0)] == [1, -1]


def test_trainer_and_prm_fill_a_node_of_eight_gpus_and_verl_can_split_the_batch() -> None:
    config = compose("prpo_qwen2.5_math_1.5b", config_dir=RECIPES)
    prm = prm_config(config.reward)

    assert config.trainer.n_gpus_per_node + prm.num_replicas * prm.num_gpus_per_replica == 8
    mini_batch = config.actor_rollout_ref.actor.ppo_mini_batch_size * config.actor_rollout_ref.rollout.n
    assert mini_batch % config.trainer.n_gpus_per_node == 0


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("grpo_qwen2.5_math_1.5b", ()),
        ("grpo_laptop", ()),
        ("ppo_trainer", RUNNABLE),
    ],
)
def test_the_switch_makes_prpo_of_any_configuration(name: str, overrides: tuple[str, ...]) -> None:
    before = compose(name, overrides, config_dir=RECIPES)
    after = compose(name, [*overrides, "+switch=prpo", "reward.prm.model_path=some/prm"], config_dir=RECIPES)

    validate(after)
    assert _keys(after) - _keys(before) == {
        "algorithm.prpo",
        "algorithm.prpo.outcome_weight",
        "reward.prm",
        "reward.prm.model_path",
    }
    assert _without_the_switch(after) == _without_the_switch(before)


def test_the_switch_asks_for_the_prm() -> None:
    config = compose("grpo_laptop", ["+switch=prpo"], config_dir=RECIPES)
    with pytest.raises(ValueError, match=r"reward\.prm\.model_path"):
        check_config(config)


@pytest.mark.parametrize("name", [name for name in NAMES if "laptop" in name])
def test_the_files_that_the_laptop_recipes_name_are_in_the_checkout(name: str) -> None:
    reward = compose(name, config_dir=RECIPES).reward
    assert f"def {reward.custom_reward_function.name}(" in (ROOT / reward.custom_reward_function.path).read_text()
    family = prm_config(reward).custom_family
    if family.path:
        assert f"class {family.name}(" in (ROOT / family.path).read_text()


def test_the_wheel_carries_the_recipes_and_every_package(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for folder in ("verl_prpo", "recipes"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("setup.cfg", "pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / file).exists():
            shutil.copy(ROOT / file, source)
    command = "-m pip wheel --no-deps --no-build-isolation --no-index --disable-pip-version-check -q -w".split()
    built = subprocess.run(
        [sys.executable, *command, str(tmp_path), str(source)], capture_output=True, text=True, timeout=300
    )
    assert built.returncode == 0, built.stderr

    carried = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())

    wanted = {f"verl_prpo/{path.relative_to(ROOT / 'verl_prpo')}" for path in (ROOT / "verl_prpo").rglob("*.py")}
    wanted |= {f"verl_prpo/recipes/{file}" for file in FILES} | {"verl_prpo/py.typed"}
    assert wanted <= carried


def _keys(config: DictConfig, prefix: str = "") -> set[str]:
    """Dotted names of all keys, sections included."""
    found = set()
    for key in config:
        found.add(f"{prefix}{key}")
        child = None if OmegaConf.is_missing(config, key) else config._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
            found |= _keys(child, f"{prefix}{key}.")
    return found


def _without_the_switch(config: DictConfig) -> dict:
    """All keys but the estimator's name and the two sections of this package."""
    plain = OmegaConf.to_container(config, resolve=False)
    plain["algorithm"] = {k: v for k, v in plain["algorithm"].items() if k not in ("adv_estimator", "prpo")}
    plain["reward"] = {k: v for k, v in plain["reward"].items() if k != "prm"}
    return plain


def _with_parents(patterns: dict[str, tuple[str, str]]) -> set[str]:
    """The patterns, and those of the sections that only exist because of them."""
    return set(patterns) | {pattern.removesuffix(r"\.\w+") for pattern in patterns}


def _header(path: Path) -> str:
    """The comment block at the top of a recipe."""
    lines = path.read_text().splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[:end])


def _launch_command(path: Path) -> tuple[str, str, list[str]]:
    """`--config-dir`, `--config-name` and the overrides of the command in a recipe's header."""
    paragraphs = _header(path).split("\n\n")
    command = next(p for p in paragraphs if "-m verl.trainer.main_ppo" in p and not p.startswith("Copyright"))
    words = shlex.split(command.replace("\\\n", " "))
    while re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words.pop(0)
    assert words[:3] == ["python", "-m", "verl.trainer.main_ppo"]
    options = dict(zip(words[3:7:2], words[4:7:2], strict=True))
    return options["--config-dir"], options["--config-name"], words[7:]
