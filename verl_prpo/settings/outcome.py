# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The settings of the reward manager `math_verifier`, and the parts of verl's configuration that exclude it."""

from collections.abc import Mapping

from omegaconf import DictConfig
from pydantic.dataclasses import dataclass

from verl_prpo.settings.timeouts import COMPARISON_TIMEOUT
from verl_prpo.settings.typed import SECTION, ConfigError, Count, Finite, Positive, typed_section

MANAGER = "math_verifier"
_SECTION = f"reward.{MANAGER}"


@dataclass(config=SECTION)
class MathVerifierConfig:
    """`reward.math_verifier`: what a right and a wrong answer are worth."""

    correct: Finite = 1.0
    """Reward of a right answer."""

    wrong: Finite = -1.0
    """Reward of a wrong answer or of none. -1.0 is the paper's. 0.0 gives rewards of 1 and 0."""

    length_penalty_threshold: Count | None = None
    """A response with more tokens than this is penalised: its length divided by the threshold is subtracted from the
    reward, right or wrong. Null penalises none."""

    timeout: Positive = COMPARISON_TIMEOUT
    """Longest comparison of one answer, in seconds. An answer that takes longer counts as wrong."""


def math_verifier_config(reward: DictConfig | dict | None) -> MathVerifierConfig:
    """Read `reward.math_verifier` from verl's `reward` section, with its types and ranges checked.

    Raises:
        ConfigError: an unknown key, a value of the wrong type or out of range.
    """
    config = typed_section(_SECTION, MathVerifierConfig, reward.get(MANAGER) if reward is not None else None)
    if not config.correct > config.wrong:
        raise ConfigError(f"{_SECTION}.correct={config.correct:g} must be more than {_SECTION}.wrong={config.wrong:g}")
    return config


def uses_math_verifier(config: DictConfig) -> bool:
    """Return whether a verl configuration names this manager, for itself or as the one that `prm` wraps."""
    reward = config.get("reward") or {}
    prm = reward.get("prm")
    managers = (reward.get("reward_manager"), prm.get("outcome_reward_manager") if isinstance(prm, Mapping) else None)
    return any(isinstance(named, (dict, DictConfig)) and named.get("name") == MANAGER for named in managers)


def check_math_verifier(config: DictConfig) -> None:
    """Check a verl configuration for what this manager needs. It does nothing where the manager is not used.

    Args:
        config: the whole configuration.

    Raises:
        ConfigError: the first thing that cannot work, with the key to change.
    """
    if not uses_math_verifier(config):
        return
    math_verifier_config(config.reward)
    custom = (config.reward.get("custom_reward_function") or {}).get("path")
    if custom:
        raise ConfigError(
            f"reward.custom_reward_function.path={custom} and reward.reward_manager.name={MANAGER} would both decide "
            "which answers are right. Leave the first unset, or set reward.reward_manager.name=naive"
        )
    by_prpo = config.algorithm.get("adv_estimator") == "prpo"
    is_prm = by_prpo and (config.reward.get("prm") or {}).get("engine") == "reward_model"
    if (config.reward.get("reward_model") or {}).get("enable") and not is_prm:
        raise ConfigError(
            f"reward.reward_model.enable=True makes verl bypass reward.reward_manager.name={MANAGER}. Set "
            "reward.reward_model.enable=False"
        )


def unread_settings(config: DictConfig) -> list[str]:
    """Return a line for the user if `reward.math_verifier` is set but not read, because another manager is used."""
    if uses_math_verifier(config) or (config.get("reward") or {}).get(MANAGER) is None:
        return []
    name = config.reward.reward_manager.name
    return [f"{_SECTION} is not read with reward.reward_manager.name={name}. Set reward.reward_manager.name={MANAGER}"]
