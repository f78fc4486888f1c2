# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of a whole verl configuration, on the driver and before Ray starts: whether PRPO can work with it."""

from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from verl_prpo.prm.families import family_names
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.score_function.declared import MODULE
from verl_prpo.settings.outcome import check_math_verifier, unread_settings
from verl_prpo.settings.prm import GENERATED_VERDICTS
from verl_prpo.settings.prpo import (
    MANAGER,
    ConfigError,
    PrmConfig,
    PrpoConfig,
    engine_of,
    needs_prm,
    one_of,
    prm_config,
    prpo_config,
    uses_prpo,
)
from verl_prpo.trainer.checks.ignored_keys import ignored_keys
from verl_prpo.trainer.reward_model import check_reward_model, uses_reward_model
from verl_prpo.trainer.schedule import schedule_of

TRAINER_MODES = ("sync", "colocate_async", "separate_async")


def check_config(config: DictConfig) -> None:
    """Check that a verl configuration gives what the parts of this package need, as far as it uses them.

    Args:
        config: the whole configuration, as `main_ppo` gets it.

    Raises:
        ConfigError: the first thing that cannot work, with the key to change.
    """
    check_math_verifier(config)
    if not uses_prpo(config):
        return
    prpo = prpo_config(config.algorithm)
    prm = prm_config(config.reward)
    if not config.trainer.get("use_v1", True):
        raise ConfigError("algorithm.adv_estimator=prpo needs verl's v1 trainer. Set trainer.use_v1=True.")
    one_of("trainer.v1.trainer_mode", config.trainer.v1.trainer_mode, TRAINER_MODES)
    if needs_prm(prpo):
        _check_prm(config, prm)
    elif uses_reward_model(prm) and (config.reward.get("reward_model") or {}).get("enable"):
        raise ConfigError(
            f"algorithm.prpo.credit={prpo.credit} asks no PRM, and verl would use the scores of the reward model as "
            "the outcome. Set reward.reward_model.enable=False."
        )
    bypass = (config.algorithm.get("rollout_correction") or {}).get("bypass_mode", False)
    if bypass and needs_prm(prpo) and prpo.cuts_by in ("entropy", "surprisal"):
        if not config.actor_rollout_ref.rollout.get("calculate_log_probs", False):
            raise ConfigError(
                f"algorithm.prpo.segmenter={prpo.segmenter} has no signal to cut at. "
                "algorithm.rollout_correction.bypass_mode=True computes no entropy, and the rollout keeps no log-probs."
                " Set one of: actor_rollout_ref.rollout.calculate_log_probs=True (to cut at surprisal), "
                "algorithm.rollout_correction.bypass_mode=False, ++algorithm.prpo.segmenter=uniform."
            )
    if needs_prm(prpo):
        schedule_of(config)


def notices(config: DictConfig) -> list[str]:
    """Return lines on what a checked configuration does that its user may not expect.

    They are printed once, on the driver.
    """
    said = [*unread_settings(config), *_idle_manager(config)]
    if not uses_prpo(config):
        return said
    said += [f"WARNING: {key}" for key in ignored_keys(config)]
    if not needs_prm(prpo_config(config.algorithm)):
        return said
    prpo = prpo_config(config.algorithm)
    bypass = (config.algorithm.get("rollout_correction") or {}).get("bypass_mode", False)
    if bypass and prpo.cuts_by == "entropy":
        said.append(
            "algorithm.rollout_correction.bypass_mode=True computes no entropy. Responses are cut at surprisal (from "
            "the rollout's log-probs)."
        )
    if config.actor_rollout_ref.rollout.n < 2 and prpo.credit == "trust":
        said.append(
            "actor_rollout_ref.rollout.n=1 makes groups of one response. None of them has right and wrong ones, so the "
            "PRM cannot earn a weight. Set actor_rollout_ref.rollout.n to 4 or more."
        )
    elif config.actor_rollout_ref.rollout.n < 2:
        said.append(
            "actor_rollout_ref.rollout.n=1 makes groups of one response, whose outcome advantage is 0. PRPO then "
            "learns from the PRM alone. Set actor_rollout_ref.rollout.n to 4 or more."
        )
    said += _unread_cuts(prpo)
    rollout = config.actor_rollout_ref.rollout
    if (rollout.get("agent") or {}).get("default_agent_loop") == "tool_agent" and not prpo.cuts_turns:
        said.append(
            f"algorithm.prpo.segmenter={prpo.segmenter} with actor_rollout_ref.rollout.agent.default_agent_loop="
            "tool_agent: a segment may go on over what a tool says. Set ++algorithm.prpo.segmenter=turns, or "
            f"turns+{prpo.cuts_by if prpo.cuts_by != 'single' else 'entropy'}, to cut where the policy takes over."
        )
    if prpo.credit == "trust":
        said += _unread_by_trust(prpo, bool(config.algorithm.get("use_kl_in_reward", False)))
    if prpo.credit == "pure" and prpo.outcome_weight != 1:
        said.append(
            f"algorithm.prpo.outcome_weight={prpo.outcome_weight:g} with algorithm.prpo.credit=pure: PURE "
            "does not weight the outcome reward. Set ++algorithm.prpo.outcome_weight=1.0 for the published method."
        )
    return said


def _idle_manager(config: DictConfig) -> list[str]:
    """Return a line for a user who names this package's manager in a run that asks no PRM."""
    asks = uses_prpo(config) and needs_prm(prpo_config(config.algorithm))
    reward = config.get("reward") or {}
    named = reward.get("reward_manager")
    if asks or not isinstance(named, Mapping) or named.get("name") != MANAGER:
        return []
    inner = ((reward.get("prm") or {}).get("outcome_reward_manager") or {}).get("name", "naive")
    chosen = "algorithm.prpo.credit" if uses_prpo(config) else "algorithm.adv_estimator"
    value = prpo_config(config.algorithm).credit if uses_prpo(config) else config.algorithm.adv_estimator
    return [
        f"reward.reward_manager.name={MANAGER} with {chosen}={value}: no PRM is started or asked, and the rewards are "
        f"those of the manager {inner!r} that it wraps. Set reward.reward_manager.name={inner}, or "
        "algorithm.adv_estimator=prpo to train with process rewards (the manager is then put in place by itself)"
    ]


READ_BY = {
    "delimiters": ("text",),
    "delimiter_token_ids": ("tokens",),
    "num_segments": ("uniform", "random"),
    "max_anchors": ("entropy", "surprisal"),
    "min_gap": ("entropy", "surprisal"),
    "tokens_per_anchor": ("entropy", "surprisal"),
    "anchor_bounds": ("entropy", "surprisal"),
    "anchor_rule": ("entropy", "surprisal"),
}
"""Settings of single segmenters, and the segmenters that read them."""


def _unread_cuts(prpo: PrpoConfig) -> list[str]:
    """Return a line for each setting that differs from its default and that the chosen segmenter does not read."""
    defaults = PrpoConfig()
    changed = [name for name in READ_BY if getattr(prpo, name) != getattr(defaults, name)]
    lines = [
        f"algorithm.prpo.{name}={getattr(prpo, name)!r} is not read with algorithm.prpo.segmenter={prpo.segmenter}. "
        f"Set ++algorithm.prpo.segmenter={'turns+' if prpo.cuts_turns else ''}{READ_BY[name][0]} to cut by it."
        for name in changed
        if prpo.cuts_by not in READ_BY[name]
    ]
    if not lines and prpo.max_anchors != "auto":
        lines = [
            f"algorithm.prpo.{name}={getattr(prpo, name)!r} is not read with "
            f"algorithm.prpo.max_anchors={prpo.max_anchors}. Set ++algorithm.prpo.max_anchors=auto to cut by it."
            for name in ("tokens_per_anchor", "anchor_bounds")
            if name in changed
        ]
    by_signal = prpo.cuts_by in ("entropy", "surprisal")
    if by_signal and prpo.max_anchors == "auto" and prpo.tokens_per_anchor < prpo.min_gap:
        lines.append(
            f"algorithm.prpo.tokens_per_anchor={prpo.tokens_per_anchor} is below algorithm.prpo.min_gap={prpo.min_gap},"
            f" and cuts are never nearer than that. So most lie {prpo.min_gap} tokens apart and not at the policy's "
            f"{prpo.cuts_by}. Set ++algorithm.prpo.tokens_per_anchor to a few times min_gap, or lower "
            "++algorithm.prpo.min_gap."
        )
    return lines


def _unread_by_trust(prpo: PrpoConfig, kl_in_reward: bool) -> list[str]:
    """Return a line for each setting that differs from its default and changes nothing under the credit trust."""
    defaults = PrpoConfig()
    said = [
        f"algorithm.prpo.{name}={getattr(prpo, name)} is not read with algorithm.prpo.credit=trust, which compares "
        "scores and rewards within their groups. Leave it out."
        for name in ("process_norm", "prior_mean", "prior_std", "outcome_norm")
        if getattr(prpo, name) != getattr(defaults, name)
    ]
    if prpo.outcome_weight != defaults.outcome_weight and not kl_in_reward:  # else it weighs R against the penalty
        said.append(
            f"algorithm.prpo.outcome_weight={prpo.outcome_weight:g} changes nothing with algorithm.prpo.credit=trust, "
            "which divides rewards by their group's standard deviation. Leave it out."
        )
    return said


def _check_prm(config: DictConfig, prm: PrmConfig) -> None:
    if uses_reward_model(prm):
        check_reward_model(config, prm)
    elif prm.score_function.path is not None:
        file = prm.score_function.path
        if not file.startswith(MODULE) and not Path(file).expanduser().is_file():
            raise ConfigError(f"reward.prm.score_function.path={file} is not a file (searched from {Path.cwd()})")
    elif not prm.model_path:
        raise ConfigError(
            "algorithm.adv_estimator=prpo needs a process reward model. Set a hub name or a folder, such as "
            "++reward.prm.model_path=Qwen/Qwen2.5-Math-PRM-7B. Or set a function of your own, "
            "++reward.prm.score_function.path=FILE.py and ++reward.prm.score_function.name=NAME."
        )
    reward_model = config.reward.get("reward_model") or {}
    custom = (config.reward.get("custom_reward_function") or {}).get("path")
    if reward_model.get("enable") and not custom and not uses_reward_model(prm):
        raise ConfigError(
            "reward.reward_model.enable=True without reward.custom_reward_function.path makes verl bypass every reward "
            "manager, and with it the PRM. If that model is the PRM, set ++reward.prm.engine=reward_model. If it is "
            "not needed, set reward.reward_model.enable=False. If it gives the outcome, set "
            "reward.custom_reward_function.path to a reward function that calls it."
        )
    path = prm.custom_family.path
    if path is not None and not Path(path).expanduser().is_file():
        raise ConfigError(f"reward.prm.custom_family.path={path} is not a file (searched from {Path.cwd()})")
    if path is None and prm.family is not None:
        one_of("reward.prm.family", prm.family, tuple(family_names()))
    if path is None and prm.family == GENERATED_VERDICTS:
        _check_judge(prm)
    _check_outcome_manager(config, prm)


def _check_judge(prm: PrmConfig) -> None:
    """Read the options and the prompt of a judge that writes, before anything is started."""
    if engine_of(prm) != "server":
        raise ConfigError(
            f"reward.prm.family={prm.family} asks a judge at a server, and reward.prm.engine is {engine_of(prm)}. Set "
            "++reward.prm.server.urls='[http://judge-0:8000]' with the addresses of yours, and leave the engine unset."
        )
    from verl_prpo.prm.families.generated import GeneratedVerdicts

    try:
        GeneratedVerdicts.open(prm.model_path or "", **prm.family_options)
    except PrmError as error:
        raise ConfigError(str(error)) from error


def _check_outcome_manager(config: DictConfig, prm: PrmConfig) -> None:
    outcome = prm.outcome_reward_manager
    if outcome is None:
        return
    if config.reward.reward_manager.name != MANAGER:
        raise ConfigError(
            "reward.prm.outcome_reward_manager is not yours to set: it is copied from reward.reward_manager. Set "
            "reward.reward_manager.name instead."
        )
    if not isinstance(outcome, dict) or outcome.get("name") in (None, MANAGER):
        raise ConfigError(
            f"reward.prm.outcome_reward_manager={outcome} must be a section like reward.reward_manager, with the name "
            "of the manager that gives the outcome reward. Leave it unset, and set reward.reward_manager.name."
        )
