# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a training command's configuration holds, and what it comes to."""

import contextlib
import importlib
import io
import warnings
from collections.abc import Sequence

from omegaconf import DictConfig

from verl_prpo.cli.key_checks import mistyped_overrides, mistyped_recipe
from verl_prpo.cli.open_prm import with_model_path
from verl_prpo.cli.report import CheckFailed, Finding, State
from verl_prpo.cli.training_config import SECTIONS, TrainingArguments, compose, config_folders
from verl_prpo.config import ConfigError, engine_of, needs_prm, prm_config, prpo_config, uses_prpo
from verl_prpo.outcome.settings import uses_math_verifier
from verl_prpo.schedule import schedule_of, segmenter_of


def composed(arguments: TrainingArguments) -> Finding:
    """The configuration, as `main_ppo` composes it.

    Raises:
        CheckFailed: in Hydra's words, with what usually mends it.
    """
    absent = mistyped_recipe(arguments) if _folders_are_there(arguments) else ""
    if absent:
        raise CheckFailed(f"--config-name {arguments.config_name}: no such recipe", absent)
    try:
        config = compose(arguments)
    except Exception as error:
        text = str(error).strip()
        advice = "the training command would stop with the same words"
        bare = next((o for o in arguments.overrides if "=" not in o and not o.startswith("~")), None)
        if bare is not None:
            advice = f"{bare} is no override KEY=VALUE; a recipe is named with --config-dir recipes --config-name NAME"
        elif "not in struct" in f"{text} {error.__cause__}":
            advice = mistyped_overrides(arguments.overrides) or advice
        own = [section for section in SECTIONS if any(o.startswith(f"{section}.") for o in arguments.overrides)]
        if own and "not in struct" in f"{text} {error.__cause__}":
            advice = _unknown_key(arguments.overrides) or (
                f"verl's YAML does not know these keys: write ++{own[0]}.KEY=VALUE"
            )
        raise CheckFailed(f"{type(error).__name__}: {text}", advice) from error
    return Finding(f"{arguments.config_name or 'ppo_trainer'} with {len(arguments.overrides)} overrides", value=config)


def settings(config: DictConfig) -> Finding:
    """Hold the configuration against the plugin's checks and verl's, as `main_ppo` does before it starts Ray.

    Raises:
        CheckFailed: the first thing that cannot work.
    """
    from verl_prpo.config_check import check_config, notices

    if not uses_prpo(config):
        raise CheckFailed(
            f"algorithm.adv_estimator={config.algorithm.get('adv_estimator')}: this command does not train with PRPO",
            "add algorithm.adv_estimator=prpo",
        )
    try:
        check_config(config)
    except ConfigError as error:
        raise CheckFailed(str(error)) from error
    device = importlib.import_module("verl.utils.device")
    utils = importlib.import_module("verl.trainer.ppo.utils")
    validate = importlib.import_module("verl.utils.config").validate_config
    device.auto_set_device(config)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of verl's, on what this run does not use
            validate(
                config=config,
                use_reference_policy=utils.need_reference_policy(config),
                use_critic=utils.need_critic(config),
            )
    except Exception as error:
        raise CheckFailed(
            f"verl's validate_config: {type(error).__name__}: {error}", "the training command stops there"
        ) from error
    said = notices(config)
    if said:
        return Finding("\n".join(said), State.WARNING, details={"notices": said}, value=True)
    return Finding("passes verl's validation and the plugin's", value=True)


def wiring(config: DictConfig) -> Finding:
    """Which part does what."""
    prpo, prm = prpo_config(config.algorithm), prm_config(config.reward)
    custom = config.reward.get("custom_reward_function") or {}
    judge = "verl_prpo.outcome" if uses_math_verifier(config) else "verl's own"
    wired = {
        "trainer mode": str(config.trainer.v1.trainer_mode),
        "credit": prpo.credit,
        "outcome manager": str(config.reward.reward_manager.name),
        "outcome function": f"{custom['path']}:{custom.get('name')}" if custom.get("path") else judge,
    }
    advice = ""
    if needs_prm(prpo):
        schedule, obstacle = schedule_of(config)
        advice = f"not streamed: {obstacle}" if obstacle else ""
        wired |= {
            "PRM": str(with_model_path(prm, config.reward).model_path),
            "engine": _engine(config),
            "segmenter": segmenter_of(config),
            "schedule": schedule,
            "on_error": prm.on_error,
            "overlong": prm.overlong,
        }
    else:
        wired["PRM"] = "none; this credit uses no process scores"
    return Finding(
        "\n".join(f"{part}: {what}" for part, what in wired.items()), advice=advice, details=wired, value=True
    )


def platform(config: DictConfig) -> Finding:
    """Which device verl finds on this machine, and how many of it; the one that trains may be another."""
    found = importlib.import_module("verl.plugin.platform").get_platform()
    device, count = str(config.trainer.device), int(found.device_count()) if found.is_available() else 0
    asked = f"{config.trainer.nnodes} x {config.trainer.n_gpus_per_node}"
    text = f"{device}; {count} here, trainer.nnodes x trainer.n_gpus_per_node asks for {asked}{_of_the_prm(config)}"
    details = {"device": device, "count": count}
    if device != "cpu" and not count:
        advice = "all right if another machine trains; to train on a CPU set the environment variable VERL_PLATFORM=cpu"
        return Finding(text, State.WARNING, advice, details, value=True)
    return Finding(text, details=details, value=True)


def _folders_are_there(arguments: TrainingArguments) -> bool:
    return all(folder.is_dir() for folder in config_folders(arguments))


def _unknown_key(overrides: Sequence[str]) -> str:
    """What `main_ppo` would say of the first override that names no setting of this package, were it written with ++;
    "" when all do."""
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


def _of_the_prm(config: DictConfig) -> str:
    """What the PRM asks for besides, on GPUs."""
    prm = prm_config(config.reward)
    gpus = prm.num_replicas * prm.num_gpus_per_replica
    here = engine_of(prm) == "in_process" and str(config.trainer.device) != "cpu"
    return f", the PRM for {gpus:g} more" if here and gpus and needs_prm(prpo_config(config.algorithm)) else ""


def _engine(config: DictConfig) -> str:
    prm = prm_config(config.reward)
    engine = engine_of(prm)
    if engine == "server":
        return f"server, {len(prm.server_urls)} at {', '.join(prm.server_urls)}"
    if engine == "reward_model":
        return "reward_model, the one that verl launches"
    gpus = 0.0 if str(config.trainer.device) == "cpu" else prm.num_gpus_per_replica
    return f"in_process, {prm.num_replicas} x ({gpus:g} GPU, {prm.num_cpus_per_replica:g} CPU)"
