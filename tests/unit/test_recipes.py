# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The recipes hold against the installed verl: they compose, validate, fit their GPUs, and name no key that nothing
reads."""

import os
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
from verl.utils.tracking import Tracking
from verl_configs import RUNNABLE, compose, validate

from verl_prpo.cpu.distribution import CpuVllmFinder
from verl_prpo.data.problem_sets import SETS
from verl_prpo.prm.generated.options import GeneratedOptions
from verl_prpo.settings.outcome import MathVerifierConfig
from verl_prpo.settings.prpo import (
    CustomFamily,
    PrmConfig,
    PrmServers,
    PrpoConfig,
    ScoreFunction,
    engine_of,
    judge_of,
    prm_config,
    prpo_config,
    uses_prpo,
)
from verl_prpo.trainer.checks.config_check import check_config
from verl_prpo.viewer.compare.arms import read_arms

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))
FILES = sorted(str(path.relative_to(RECIPES)) for path in RECIPES.rglob("*.yaml"))
MATH = [name for name in NAMES if "qwen" in name]

POLICIES = {"qwen2.5_math_1.5b": "Qwen/Qwen2.5-Math-1.5B", "qwen2.5_math_7b": "Qwen/Qwen2.5-Math-7B"}
CREDITS = {"grpo": None, "prm_avg": "prm_avg", "prpo": "prpo", "prm_avg_prpo": "prm_avg_prpo", "pure": "pure"}
PAPER = [f"{method}_{policy}" for method in CREDITS for policy in POLICIES]
PAIRS = [*((f"grpo_{policy}", f"prpo_{policy}") for policy in POLICIES), ("grpo_laptop", "prpo_laptop")]

PRM_CONTEXT = 4096
"""`max_position_embeddings` of Qwen2.5-Math-PRM-7B."""
FRAME = 64
"""More tokens than the PRM's system prompt and chat template put around a dialogue."""
NUMBERS = (
    "algorithm.adv_estimator",
    "data.train_files",
    "data.train_batch_size",
    "data.max_prompt_length",
    "data.max_response_length",
    "actor_rollout_ref.model.path",
    "actor_rollout_ref.actor.optim.lr",
    "actor_rollout_ref.actor.ppo_mini_batch_size",
    "actor_rollout_ref.actor.use_kl_loss",
    "actor_rollout_ref.rollout.n",
    "actor_rollout_ref.rollout.temperature",
    "actor_rollout_ref.rollout.max_model_len",
    "trainer.experiment_name",
    "trainer.logger",
    "trainer.nnodes",
    "trainer.n_gpus_per_node",
)
"""What a reader looks for in a recipe."""
MATH_NUMBERS = (
    "actor_rollout_ref.actor.kl_loss_coef",
    "actor_rollout_ref.actor.clip_ratio",
    "reward.math_verifier.correct or reward.reward_manager.name",
    "reward.math_verifier.wrong or reward.reward_manager.name",
    "trainer.total_epochs",
)
PRPO_NUMBERS = (
    "algorithm.prpo.credit or algorithm.prpo.outcome_weight",
    "reward.prm.model_path or reward.reward_model.model_path or reward.prm.score_function.path",
)
SHARED = {
    "actor_rollout_ref.actor.optim.lr": 1e-6,
    "actor_rollout_ref.actor.ppo_mini_batch_size": 128,
    "actor_rollout_ref.actor.kl_loss_coef": 0.001,
    "actor_rollout_ref.rollout.n": 8,
    "data.train_batch_size": 128,
    "data.max_prompt_length": 1024,
    "data.max_response_length": 2048,
    "trainer.n_gpus_per_node": 4,
}
OWN = {
    "prpo_lora": {"actor_rollout_ref.actor.optim.lr": 1e-5, "reward.prm.num_replicas": 2, "trainer.n_gpus_per_node": 2},
    "prpo_qwen3_8b": {"data.max_response_length": 8192, "reward.prm.num_replicas": 4},
    "prpo_qwen3": {"data.max_prompt_length": 512, "data.max_response_length": 3072, "reward.prm.num_replicas": 4},
    "prpo_colocate_async": {"reward.prm.num_replicas": 8, "trainer.n_gpus_per_node": 8},
    "prpo_colocated": {"reward.prm.num_replicas": 1, "trainer.n_gpus_per_node": 8},
    "prpo_separate": {"reward.prm.num_replicas": 4, "trainer.n_gpus_per_node": 8},
}
"""Values of the MATH recipes: those that all share, and what replaces them in some, by how a name begins."""
GPUS = {"grpo": 4, "prpo_lora": 4, "prpo_colocate_async": 16, "prpo_separate_async": 16}
"""GPUs of a recipe, by how its name begins; those of a node, 8, for all others."""

SECTIONS = {
    "algorithm.prpo": PrpoConfig,
    "reward.prm": PrmConfig,
    "reward.prm.custom_family": CustomFamily,
    "reward.prm.score_function": ScoreFunction,
    "reward.prm.server": PrmServers,
    "reward.prm.family_options": GeneratedOptions,  # of the one recipe that has any
    "reward.math_verifier": MathVerifierConfig,
}

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
    r"data\.apply_chat_template_kwargs\.\w+": (
        "experimental/agent_loop/agent_loop.py",
        'self.data_config.get("apply_chat_template_kwargs"',
    ),
    r"ray_kwargs\.ray_init\.(num_gpus|include_dashboard)": ("trainer/main_ppo.py", "ray.init(**"),
}
"""Keys that verl reads without declaring them in its YAML: the pattern, the file of verl that reads it, and how."""


@pytest.fixture(autouse=True)
def vllm_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """verl's check of LoRA asks for a distribution named vllm; the CPU build has another name."""
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, CpuVllmFinder()])


@pytest.mark.parametrize("name", NAMES)
def test_recipe_passes_verls_validation_and_the_plugins(name: str) -> None:
    config = compose(name, config_dir=RECIPES)

    validate(config)

    assert config.algorithm.adv_estimator == ("grpo" if name.startswith("grpo") else "prpo")
    assert config.trainer.experiment_name == name


def test_every_recipe_logs_where_compare_reads_and_no_two_into_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VERL_FILE_LOGGER_PATH", raising=False)
    monkeypatch.delenv("VERL_FILE_LOGGER_ROOT", raising=False)
    for name in NAMES:
        trainer = compose(name, config_dir=RECIPES).trainer
        assert "file" in trainer.logger and "console" in trainer.logger
        tracking = Tracking(trainer.project_name, trainer.experiment_name, ["file"])
        tracking.log({"critic/score/mean": 0.5}, step=1)
        tracking.finish()
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert files == [Path(f"verl-prpo/{name}.jsonl") for name in sorted(NAMES)]
    assert [arm.label for arm in read_arms(["verl-prpo/grpo_laptop.jsonl", "verl-prpo/prpo_laptop.jsonl"])] == [
        "grpo_laptop.jsonl",
        "prpo_laptop.jsonl",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_typed_sections_of_a_recipe_instantiate(name: str) -> None:
    config = compose(name, config_dir=RECIPES)
    prm = prm_config(config.reward)
    served = engine_of(prm) == "reward_model"
    assert bool(config.reward.reward_model.model_path if served else judge_of(prm)) == uses_prpo(config)
    engine = "megatron" if config.model_engine == "megatron" else "fsdp_config"
    for section in ("actor_rollout_ref.actor", f"actor_rollout_ref.ref.{engine}", "actor_rollout_ref.rollout"):
        typed = omega_conf_to_dataclass(OmegaConf.select(config, section))
        assert type(typed).__module__.startswith("verl.workers.config")


@pytest.mark.parametrize("name", NAMES)
def test_every_key_of_a_recipe_is_read_by_someone(name: str) -> None:
    config = compose(name, config_dir=RECIPES)
    declared = _keys(compose("ppo_trainer", [f"model_engine={config.model_engine}"]))
    for section, cls in SECTIONS.items():
        declared |= {section} | {f"{section}.{field.name}" for field in fields(cls)}

    unknown = _keys(config) - declared

    assert not {key for key in unknown if not any(re.fullmatch(pattern, key) for pattern in _with_parents(UNDECLARED))}


def test_a_mistyped_key_in_a_recipe_would_be_noticed(tmp_path: Path) -> None:
    shutil.copytree(RECIPES, tmp_path / "recipes")
    file = tmp_path / "recipes" / "grpo_laptop.yaml"
    file.write_text(file.read_text().replace("train_batch_size:", "train_batchsize:"))

    config = compose("grpo_laptop", config_dir=tmp_path / "recipes")

    assert "data.train_batchsize" in _keys(config) - _keys(compose("ppo_trainer"))


@pytest.mark.parametrize(("file", "reads"), UNDECLARED.values())
def test_verl_still_reads_the_keys_it_does_not_declare(file: str, reads: str) -> None:
    assert reads in (Path(verl.__file__).parent / file).read_text()


class TestTheFile:
    """Whoever opens a recipe sees its numbers there, not in another file."""

    @pytest.mark.parametrize("name", NAMES)
    def test_is_composed_of_verls_defaults_alone(self, name: str) -> None:
        entries = OmegaConf.load(RECIPES / f"{name}.yaml").defaults
        assert [entry for entry in entries if entry != {"override model_engine": "megatron"}] == [
            "ppo_trainer",
            "_self_",
        ]

    @pytest.mark.parametrize("name", NAMES)
    def test_holds_its_numbers(self, name: str) -> None:
        file = OmegaConf.load(RECIPES / f"{name}.yaml")
        keys = [*NUMBERS, *(MATH_NUMBERS if name in MATH else ()), *(PRPO_NUMBERS if "grpo" not in name else ())]
        absent = [key for key in keys if not any(OmegaConf.select(file, one) is not None for one in key.split(" or "))]
        assert absent == []

    @pytest.mark.parametrize("name", MATH)
    def test_has_the_numbers_that_it_is_known_for(self, name: str) -> None:
        expected = SHARED | next((own for start, own in OWN.items() if name.startswith(start)), {})
        config = compose(name, config_dir=RECIPES)
        assert {key: OmegaConf.select(config, key) for key in expected} == expected


class TestHeader:
    @pytest.mark.parametrize("file", FILES)
    def test_opens_with_the_command_that_launches_it(self, file: str) -> None:
        config_dir, name, overrides = _launch_command(RECIPES / file)

        assert config_dir == "recipes"
        assert f"{name}.yaml" == file or f"+{file.removesuffix('.yaml').replace('/', '=')}" in overrides
        if overrides:
            validate(compose(name, overrides, config_dir=ROOT / config_dir))

    @pytest.mark.parametrize("file", FILES)
    def test_says_what_it_runs_on_how_long_and_what_to_watch(self, file: str) -> None:
        header = _header(RECIPES / file)
        assert "Hardware:" in header
        assert re.search(r"Watch (in wandb|on the console)", header)
        assert "Time:" in header or file == "switch/prpo.yaml"

    @pytest.mark.parametrize("name", MATH)
    def test_prepares_the_very_files_that_the_recipe_reads(self, name: str) -> None:
        header = _header(RECIPES / f"{name}.yaml")
        prepared = re.findall(r"verl-prpo data (\w+) --out \$HOME/(\S+)", header)
        assert set(dict(prepared)) <= set(SETS)
        download = r"hf download \S+ (\S+) --repo-type dataset --local-dir \$HOME/(\S+)"
        downloaded = {f"${{oc.env:HOME}}/{folder}/{file}" for file, folder in re.findall(download, header)}

        data = OmegaConf.to_container(compose(name, config_dir=RECIPES).data, resolve=False)

        files = {f"${{oc.env:HOME}}/{folder}/{problems}.parquet" for problems, folder in prepared}
        assert files | downloaded == {data["train_files"], data["val_files"]}

    @pytest.mark.parametrize("name", [name for name in NAMES if "laptop" in name])
    def test_names_files_that_are_in_the_checkout(self, name: str) -> None:
        reward = compose(name, config_dir=RECIPES).reward
        assert f"def {reward.custom_reward_function.name}(" in (ROOT / reward.custom_reward_function.path).read_text()
        family = prm_config(reward).custom_family
        if family.path:
            assert f"class {family.name}(" in (ROOT / family.path).read_text()


class TestThePapersFamily:
    @pytest.mark.parametrize("name", PAPER)
    def test_has_the_papers_hyper_parameters(self, name: str) -> None:
        config = compose(name, config_dir=RECIPES)
        actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout

        assert config.actor_rollout_ref.model.path == POLICIES[name[name.index("qwen") :]]
        assert (config.data.train_batch_size, rollout.n, actor.ppo_mini_batch_size, actor.ppo_epochs) == (
            128,
            8,
            128,
            1,
        )
        assert (actor.optim.lr, actor.clip_ratio, actor.clip_ratio_low, actor.clip_ratio_high) == (1e-6, 0.2, 0.2, 0.2)
        assert (actor.use_kl_loss, actor.kl_loss_coef, actor.kl_loss_type) == (True, 0.001, "low_var_kl")
        assert (config.data.max_response_length, rollout.temperature) == (2048, 1.0)
        assert (rollout.top_p, rollout.top_k) == (1, -1)

    @pytest.mark.parametrize("name", PAPER)
    def test_has_the_credit_and_the_outcome_rewards_of_its_method(self, name: str) -> None:
        config = compose(name, config_dir=RECIPES)
        credit = CREDITS[name[: name.index("_qwen")]]

        assert uses_prpo(config) == (credit is not None)
        if credit is not None:
            prpo = prpo_config(config.algorithm)
            assert (prpo.credit, prpo.outcome_weight, prpo.segmenter) == (credit, 1.0, "entropy")
            assert (prpo.max_anchors, prpo.min_gap, prpo.anchor_rule) == (5, 10, "paper")
            assert config.reward.prm.model_path == "Qwen/Qwen2.5-Math-PRM-7B"
        assert config.reward.reward_manager.name == "math_verifier"
        rewards = config.reward.math_verifier
        assert (rewards.correct, rewards.wrong) == ((1, 0) if credit == "pure" else (1, -1))

    @pytest.mark.parametrize("policy", POLICIES)
    @pytest.mark.parametrize("method", ["grpo", "prm_avg", "prm_avg_prpo", "pure"])
    def test_methods_differ_in_the_overrides_that_the_page_names_alone(self, method: str, policy: str) -> None:
        page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
        named = "algorithm.adv_estimator=grpo" if method == "grpo" else f"++algorithm.prpo.credit={method}"
        found = re.search(rf"`({re.escape(named)}(?: [^`]*)?)`", page)
        assert found is not None
        overrides = [*shlex.split(found[1]), f"trainer.experiment_name={method}_{policy}"]
        taken = compose(f"prpo_{policy}", overrides, config_dir=RECIPES)
        assert taken == compose(f"{method}_{policy}", config_dir=RECIPES)

    @pytest.mark.parametrize("method", CREDITS)
    def test_policies_differ_in_the_model_and_offloading_alone(self, method: str) -> None:
        offload = [
            f"actor_rollout_ref.{one}_offload=true" for one in ("actor.fsdp_config.param", "ref.fsdp_config.param")
        ]
        overrides = [
            *offload,
            "actor_rollout_ref.actor.fsdp_config.optimizer_offload=true",
            "actor_rollout_ref.model.path=Qwen/Qwen2.5-Math-7B",
            f"trainer.experiment_name={method}_qwen2.5_math_7b",
        ]
        taken = compose(f"{method}_qwen2.5_math_1.5b", overrides, config_dir=RECIPES)
        assert taken == compose(f"{method}_qwen2.5_math_7b", config_dir=RECIPES)

    @pytest.mark.parametrize(("grpo", "prpo"), PAIRS)
    def test_prpo_is_grpo_and_the_switch(self, grpo: str, prpo: str) -> None:
        before, after = compose(grpo, config_dir=RECIPES), compose(prpo, config_dir=RECIPES)
        after.trainer.experiment_name = grpo
        assert _without_the_switch(after) == _without_the_switch(before)


def test_toy_rewards_of_one_and_zero_weigh_as_much_as_the_papers_plus_and_minus_one() -> None:
    weight = prpo_config(compose("prpo_laptop", config_dir=RECIPES).algorithm).outcome_weight
    assert [weight * reward - weight / 2 for reward in (1, 0)] == [1, -1]


class TestGpuArithmetic:
    @pytest.mark.parametrize("name", MATH)
    def test_trainer_rollout_and_prm_fill_the_gpus_of_the_recipe(self, name: str) -> None:
        config = compose(name, config_dir=RECIPES)
        expected = next((gpus for start, gpus in GPUS.items() if name.startswith(start)), 8)

        assert sum(_gpus(config).values()) == expected
        assert config.trainer.n_gpus_per_node <= 8

    @pytest.mark.parametrize("name", MATH)
    def test_a_process_of_the_trainer_gets_an_equal_share_of_every_batch(self, name: str) -> None:
        config = compose(name, config_dir=RECIPES)
        actor, n = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout.n
        parallel = 1
        if config.model_engine == "megatron":
            sizes = actor.megatron
            parallel = sizes.tensor_model_parallel_size * sizes.pipeline_model_parallel_size
            parallel *= sizes.context_parallel_size
        processes, left = divmod(_gpus(config)["trainer"], parallel)

        assert left == 0
        assert (actor.ppo_mini_batch_size * n) % processes == 0
        assert config.data.train_batch_size % actor.ppo_mini_batch_size == 0

    @pytest.mark.parametrize("name", MATH)
    def test_vllm_servers_divide_their_pool(self, name: str) -> None:
        config = compose(name, config_dir=RECIPES)
        gpus, rollout = _gpus(config), config.actor_rollout_ref.rollout
        assert gpus["trainer"] % rollout.tensor_model_parallel_size == 0
        assert gpus["rollout"] % rollout.tensor_model_parallel_size == 0
        if config.reward.reward_model.enable:
            holds = "prm" if config.reward.reward_model.enable_resource_pool else "trainer"
            assert gpus[holds] % config.reward.reward_model.rollout.tensor_model_parallel_size == 0

    @pytest.mark.parametrize("name", MATH)
    def test_the_longest_response_fits_vllm_and_every_forward_pass(self, name: str) -> None:
        config = compose(name, config_dir=RECIPES)
        actor, ref, rollout = (config.actor_rollout_ref[part] for part in ("actor", "ref", "rollout"))
        longest = config.data.max_prompt_length + config.data.max_response_length

        assert rollout.max_model_len == longest
        assert actor.use_dynamic_bsz and rollout.log_prob_use_dynamic_bsz and ref.log_prob_use_dynamic_bsz
        assert actor.ppo_max_token_len_per_gpu >= longest
        assert rollout.log_prob_max_token_len_per_gpu >= longest
        assert ref.log_prob_max_token_len_per_gpu >= longest

    @pytest.mark.parametrize("name", [name for name in MATH if not name.startswith("grpo")])
    def test_the_longest_dialogue_fits_the_context_of_the_prm(self, name: str) -> None:
        config = compose(name, config_dir=RECIPES)
        prpo, prm = prpo_config(config.algorithm), prm_config(config.reward)
        assert prpo.segmenter in ("entropy", "surprisal")
        if prm.overlong == "windows":
            assert prpo.max_anchors == "auto"
            segments = config.data.max_response_length // prpo.tokens_per_anchor
            assert prpo.anchor_bounds[0] <= segments <= prpo.anchor_bounds[1]
            room = PRM_CONTEXT - FRAME - config.data.max_prompt_length
            assert room * (1 - prm.window_context) > 10 * prpo.tokens_per_anchor  # a window judges several segments
            return
        separators = prpo.max_anchors + 1

        assert config.data.max_prompt_length + config.data.max_response_length + separators + FRAME <= PRM_CONTEXT
        assert prm.overlong == "neutral"
        if config.reward.reward_model.enable:
            assert config.reward.reward_model.rollout.max_model_len == PRM_CONTEXT

    def test_the_colocated_recipe_is_the_standalone_one_with_all_gpus_for_both(self) -> None:
        prefix, overrides = "reward.reward_model", ["trainer.n_gpus_per_node=8"]
        overrides += [f"{prefix}.enable_resource_pool=false", f"{prefix}.nnodes=0", f"{prefix}.n_gpus_per_node=8"]
        overrides += [f"{prefix}.rollout.gpu_memory_utilization=0.4"]
        overrides += ["trainer.experiment_name=prpo_colocated_qwen2.5_math_1.5b"]
        taken = compose("prpo_reward_model_qwen2.5_math_1.5b", overrides, config_dir=RECIPES)
        assert taken == compose("prpo_colocated_qwen2.5_math_1.5b", config_dir=RECIPES)

    def test_separate_async_updates_as_often_as_it_sends_weights(self) -> None:
        config = compose("prpo_separate_async_qwen2.5_math_7b", config_dir=RECIPES)
        actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
        steps = config.trainer.v1.separate_async.parameter_sync_step

        assert config.data.train_batch_size == steps * actor.ppo_mini_batch_size
        assert rollout.nnodes > 0 and rollout.checkpoint_engine.backend != "naive"
        # Without them verl 0.9.1 stops in its set-up.
        assert config.actor_rollout_ref.hybrid_engine

    def test_tensor_and_pipeline_parallelism_divide_the_model(self) -> None:
        sizes = compose("prpo_megatron_qwen2.5_math_7b", config_dir=RECIPES).actor_rollout_ref.actor.megatron
        heads, key_value_heads, layers = 28, 4, 28  # of Qwen2.5-Math-7B
        assert heads % sizes.tensor_model_parallel_size == key_value_heads % sizes.tensor_model_parallel_size == 0
        assert layers % sizes.pipeline_model_parallel_size == 0


class TestSwitch:
    @pytest.mark.parametrize(
        ("name", "overrides"),
        [
            ("grpo_qwen2.5_math_1.5b", ()),
            ("grpo_laptop", ()),
            ("ppo_trainer", RUNNABLE),
        ],
    )
    def test_makes_prpo_of_any_configuration(self, name: str, overrides: tuple[str, ...]) -> None:
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

    def test_asks_for_the_prm(self) -> None:
        config = compose("grpo_laptop", ["+switch=prpo"], config_dir=RECIPES)
        with pytest.raises(ValueError, match=r"reward\.prm\.model_path"):
            check_config(config)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The package as pip would install it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for part in ("verl_prpo", "recipes"):
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("setup.cfg", "pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / file).exists():
            shutil.copy(ROOT / file, source)
    command = "-m pip wheel --no-deps --no-build-isolation --no-index --disable-pip-version-check -q -w".split()
    built = subprocess.run(
        [sys.executable, *command, str(folder), str(source)], capture_output=True, text=True, timeout=300
    )
    assert built.returncode == 0, built.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_carries_the_recipes_and_every_package(wheel: zipfile.ZipFile) -> None:
    wanted = {f"verl_prpo/{path.relative_to(ROOT / 'verl_prpo')}" for path in (ROOT / "verl_prpo").rglob("*.py")}
    wanted |= {f"verl_prpo/recipes/{file}" for file in FILES} | {"verl_prpo/py.typed"}
    assert wanted <= set(wheel.namelist())


def test_the_command_of_an_installed_package_prints_its_own_recipes(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)

    def printed(*words: str) -> str:
        command = [sys.executable, "-m", "verl_prpo.cli.main", "recipe", *words]
        return subprocess.run(
            command,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        ).stdout

    assert Path(printed("--path").strip()) == tmp_path / "verl_prpo" / "recipes"
    assert printed("prpo_laptop") == (RECIPES / "prpo_laptop.yaml").read_text()


def _gpus(config: DictConfig) -> dict[str, int]:
    """GPUs by use; those of the PRM's own servers are the machine's that runs them, one each."""
    prm, reward_model, rollout = prm_config(config.reward), config.reward.reward_model, config.actor_rollout_ref.rollout
    separate = config.trainer.v1.trainer_mode == "separate_async"
    asked = {
        "in_process": int(prm.num_replicas * prm.num_gpus_per_replica),
        "server": len(prm.server.urls),
        "reward_model": reward_model.nnodes * reward_model.n_gpus_per_node,
    }
    return {
        "trainer": config.trainer.nnodes * config.trainer.n_gpus_per_node,
        "rollout": rollout.nnodes * rollout.n_gpus_per_node if separate else 0,
        "prm": asked[engine_of(prm)] if uses_prpo(config) else 0,
    }


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
    first = next(part for part in _header(path).split("\n\n") if "SPDX-License-Identifier" not in part)
    lines = first.replace("\\\n", " ").splitlines()
    words = shlex.split(next(line for line in lines if "-m verl.trainer.main_ppo" in line))
    while re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words.pop(0)
    assert words[:3] == ["python", "-m", "verl.trainer.main_ppo"]
    options = dict(zip(words[3:7:2], words[4:7:2], strict=True))
    return options["--config-dir"], options["--config-name"], words[7:]
