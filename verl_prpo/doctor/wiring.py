# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of whether a training command's configuration can work, and of what it comes to."""

import importlib
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from verl_prpo.console.findings import CheckFailed, Finding, State
from verl_prpo.doctor.key_checks import mistyped_overrides, mistyped_recipe, old_overrides, old_parts
from verl_prpo.doctor.name_checks import unknown_names
from verl_prpo.prm.open_prm import with_model_path
from verl_prpo.settings.outcome import uses_math_verifier
from verl_prpo.settings.prm import SCORE_FUNCTION
from verl_prpo.settings.prpo import ConfigError, engine_of, judge_of, needs_prm, prm_config, prpo_config, uses_prpo
from verl_prpo.settings.training_config import SECTIONS, TrainingArguments, compose_with_folder, config_folders
from verl_prpo.trainer.checks.layouts import dividing, shown_sizes
from verl_prpo.trainer.checks.verl_rules import verl_refusal
from verl_prpo.trainer.schedule import schedule_of, segmenter_of


def names(config: DictConfig) -> Finding:
    """Check the names of parts that verl looks up in its registries, or in the user's files.

    Raises:
        CheckFailed: names that are not there, with the nearest that are.
    """
    unknown = unknown_names(config)
    if unknown:
        raise CheckFailed("\n".join(one.found for one in unknown), "; ".join(one.advice for one in unknown))
    return Finding("verl knows every name", value=True)


def composed(arguments: TrainingArguments) -> Finding:
    """Compose the configuration as `main_ppo` does.

    The finding's value is the configuration and the folder that Hydra makes, None where that is not known yet.

    Raises:
        CheckFailed: the arguments cannot be composed. The message is Hydra's, with what usually fixes it.
    """
    absent = mistyped_recipe(arguments) if _folders_are_there(arguments) else ""
    if absent:
        raise CheckFailed(f"--config-name {arguments.config_name}: no such recipe", absent)
    try:
        config, folder = compose_with_folder(arguments)
    except Exception as error:
        text = str(error).strip()
        advice = "the training command would stop with the same words"
        bare = next((o for o in arguments.overrides if "=" not in o and not o.startswith("~")), None)
        if bare is not None:
            advice = f"{bare} is no override KEY=VALUE; a recipe is named with --config-dir recipes --config-name NAME"
        elif "not in struct" in f"{text} {error.__cause__}":
            advice = old_overrides(arguments.overrides) or mistyped_overrides(arguments.overrides) or advice
        own = [section for section in SECTIONS if any(o.startswith(f"{section}.") for o in arguments.overrides)]
        if own and "not in struct" in f"{text} {error.__cause__}":
            advice = _unknown_key(arguments.overrides) or (
                f"verl's YAML does not know these keys: write ++{own[0]}.KEY=VALUE"
            )
        raise CheckFailed(f"{type(error).__name__}: {text}", old_parts(arguments.overrides) or advice) from error
    found = f"{arguments.config_name or 'ppo_trainer'} with {len(arguments.overrides)} overrides"
    return Finding(found, value=(config, folder))


def settings(config: DictConfig) -> Finding:
    """Run the plugin's checks and verl's on the configuration, as `main_ppo` does before it starts Ray.

    Raises:
        CheckFailed: the first thing that cannot work.
    """
    from verl_prpo.trainer.checks.config_check import check_config, notices

    importlib.import_module("verl.utils.device").auto_set_device(config)
    try:
        check_config(config)
    except ConfigError as error:
        raise CheckFailed(str(error)) from error
    refused = verl_refusal(config, here=True)
    if refused:
        sizes = shown_sizes(dividing(config))
        advice = f"set {sizes}" if sizes else "the training command stops there"
        raise CheckFailed(f"verl refuses it: {refused}", advice)
    said = [notice for notice in notices(config) if not notice.startswith("WARNING: ")]  # the keys' check has those
    if not uses_prpo(config):
        return _without_prpo(config, said)
    if said:
        return Finding("\n".join(said), State.WARNING, details={"notices": said}, value=True)
    return Finding("passes verl's validation and the plugin's", value=True)


def _without_prpo(config: DictConfig, said: list[str]) -> Finding:
    """Report on a command with another estimator."""
    estimator = str(config.algorithm.adv_estimator)
    name = estimator.upper() if estimator in ("grpo", "gae", "rloo") else estimator
    text = "\n".join([f"trains with {name} (algorithm.adv_estimator={estimator}), not with PRPO", *said])
    details = {"estimator": estimator, "notices": said}
    unread = [section for section in SECTIONS if OmegaConf.select(config, section) is not None]
    if unread:
        text += f"\n{' and '.join(unread)} {'are' if len(unread) > 1 else 'is'} set, and nothing reads that"
        advice = "all right for the other arm of a comparison; for PRPO add algorithm.adv_estimator=prpo"
        return Finding(text, State.WARNING, advice, details, value=True)
    return Finding(f"{text}\npasses verl's validation", State.WARNING if said else State.OK, "", details, value=True)


def wiring(config: DictConfig) -> Finding:
    """Report which part does what."""
    custom = config.reward.get("custom_reward_function") or {}
    judge = "verl_prpo.outcome" if uses_math_verifier(config) else "verl's own"
    outcome = {
        "outcome manager": str(config.reward.reward_manager.name),
        "outcome function": f"{custom['path']}:{custom.get('name')}" if custom.get("path") else judge,
    }
    mode = {"trainer mode": str(config.trainer.v1.trainer_mode)}
    if not uses_prpo(config):
        return _wired(mode | {"estimator": str(config.algorithm.adv_estimator)} | outcome)
    prpo, prm = prpo_config(config.algorithm), prm_config(config.reward)
    wired = mode | {"credit": prpo.credit} | outcome
    advice = ""
    if needs_prm(prpo):
        schedule, obstacle = schedule_of(config)
        advice = f"not streamed: {obstacle}" if obstacle else ""
        wired |= {
            "PRM": judge_of(with_model_path(prm, config.reward)),
            "engine": _engine(config),
            "segmenter": segmenter_of(config),
            "schedule": schedule,
            "on_error": prm.on_error,
            "overlong": prm.overlong,
            "thinking": prm.thinking,
        }
    else:
        wired["PRM"] = "none; this credit uses no process scores"
    return _wired(wired, advice)


def _wired(wired: dict[str, str], advice: str = "") -> Finding:
    text = "\n".join(f"{part}: {what}" for part, what in wired.items())
    return Finding(text, advice=advice, details=wired, value=True)


def _folders_are_there(arguments: TrainingArguments) -> bool:
    return all(folder.is_dir() for folder in config_folders(arguments))


def _unknown_key(overrides: Sequence[str]) -> str:
    """Say what `main_ppo` would report of the first override that names no setting of this package.

    It is what `main_ppo` would report if the override were written with ++. The result is "" when all name a setting.
    """
    for read, section in ((prm_config, SECTIONS[0]), (prpo_config, SECTIONS[1])):
        for override in overrides:
            key, equals, _ = override.lstrip("+").partition("=")
            name = key.removeprefix(f"{section}.").partition(".")[0]
            if not equals or not key.startswith(f"{section}."):
                continue
            try:
                read({section.rpartition(".")[2]: {name: None}})
            except ConfigError as error:
                if "is not a setting" in str(error):
                    return str(error)
    return ""


def _engine(config: DictConfig) -> str:
    prm = prm_config(config.reward)
    engine = engine_of(prm)
    if engine == "server":
        return f"server, {len(prm.server.urls)} at {', '.join(prm.server.urls)}"
    if engine == "reward_model":
        return "reward_model, the one that verl launches"
    if engine == SCORE_FUNCTION:
        return f"score_function, {prm.num_replicas} x {prm.num_cpus_per_replica:g} CPU"
    gpus = 0.0 if str(config.trainer.device) == "cpu" else prm.num_gpus_per_replica
    return f"in_process, {prm.num_replicas} x ({gpus:g} GPU, {prm.num_cpus_per_replica:g} CPU)"
