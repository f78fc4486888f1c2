# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""verl's configuration as `python -m verl.trainer.main_ppo --config-dir DIR --config-name NAME ...` composes it."""

import copy
import functools
from collections.abc import Sequence
from pathlib import Path

import verl.trainer
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import validate_config

VERL_CONFIG_DIR = Path(verl.trainer.__file__).parent / "config"

RUNNABLE = (
    "actor_rollout_ref.rollout.name=vllm",
    "actor_rollout_ref.rollout.n=8",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=8",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=8",
)
"""What verl asks for beyond its defaults."""


def compose(
    config_name: str = "ppo_trainer", overrides: Sequence[str] = (), config_dir: Path | None = None
) -> DictConfig:
    """The job's configuration: verl's folder is primary and `config_dir` follows it, as `--config-dir` does."""
    return copy.deepcopy(_composed(config_name, tuple(overrides), config_dir))


@functools.cache
def _composed(config_name: str, overrides: tuple[str, ...], config_dir: Path | None) -> DictConfig:
    search_path = create_config_search_path(str(VERL_CONFIG_DIR))
    if config_dir is not None:
        folder = f"file://{config_dir.resolve()}"
        search_path.prepend("command-line", folder, anchor=SearchPathQuery(provider="schema"))
    config = ConfigLoaderImpl(search_path).load_configuration(config_name, list(overrides), run_mode=RunMode.RUN)
    with open_dict(config):
        del config["hydra"]
    return config


def grpo(*overrides: str) -> DictConfig:
    """A GRPO configuration that verl accepts."""
    return overridden(compose(overrides=[*RUNNABLE, "algorithm.adv_estimator=grpo"]), overrides)


def prpo(*overrides: str) -> DictConfig:
    """A PRPO configuration that verl and the plugin accept."""
    base = compose(overrides=[*RUNNABLE, "algorithm.adv_estimator=prpo", "+reward.prm.model_path=some/prm"])
    return overridden(base, overrides)


def overridden(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Overrides of single keys, applied by Hydra; faster than composing everything anew."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    ConfigLoaderImpl._apply_overrides_to_config(parsed, config)
    return config


def validate(config: DictConfig) -> None:
    """What `main_ppo` does with a configuration before it starts Ray."""
    validate_config(config=config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config))
