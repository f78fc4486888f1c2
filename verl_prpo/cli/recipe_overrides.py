# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What is wrong with an override that Hydra refuses, or with a configuration that training would refuse."""

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from omegaconf import DictConfig, OmegaConf

from verl_prpo.settings.outcome import MathVerifierConfig
from verl_prpo.settings.prpo import PrmConfig, PrpoConfig, prm_config, prpo_config, uses_prpo
from verl_prpo.settings.typed import ConfigError
from verl_prpo.trainer.checks.config_check import check_config

SECTIONS: dict[str, Any] = {
    "algorithm.prpo": PrpoConfig,
    "reward.prm": PrmConfig,
    "reward.math_verifier": MathVerifierConfig,
}
"""Of this package; verl's YAML does not know them."""


def refused_override(message: str, overrides: Sequence[str], composed: Callable[[], DictConfig]) -> str:
    """Hydra's message on an override, with what to write instead where it is about a key that is not there.

    Args:
        message: of Hydra.
        overrides: all of them.
        composed: gives the configuration without overrides.
    """
    refused = re.match(r"Could not override '([^']+)'", message)
    if refused is None:
        return message.strip()
    key = refused[1]
    given = [word.partition("=")[2] for word in overrides if word.partition("=")[0].partition("@")[0] == key]
    value = given[-1] if given else "VALUE"
    own = [name for section, cls in SECTIONS.items() for name in _settings(section, cls)]
    if key in own or key.startswith("reward.prm.family_options."):
        return f"it does not set {key}; write ++{key}={value}"
    near = difflib.get_close_matches(key, [*own, *_keys(composed())], n=1, cutoff=0.6)
    hint = f"; did you mean {'++' if near[0] in own else ''}{near[0]}={value}?" if near else ""
    if key.startswith(tuple(f"{section}." for section in SECTIONS)):
        return f"{key} is not a setting{hint}"
    return f"verl has no {key}{hint or f' (+{key}={value} adds it all the same, for code that reads it)'}"


def check(config: DictConfig) -> list[str]:
    """Hold a composed configuration against what training with this package refuses.

    Returns:
        What could not be held against anything from here, a line each.

    Raises:
        ConfigError: training would end with it.
    """
    if "algorithm" not in config or "reward" not in config:
        return []  # not a configuration of verl's trainer
    notes = []
    if uses_prpo(config):
        prpo_config(config.algorithm)
        path = prm_config(config.reward).custom_family.path
        if path is not None and not Path(path).expanduser().is_file():
            notes.append(f"reward.prm.custom_family.path={path} is not a file from here; train where it is")
            config = OmegaConf.merge(config)  # type: ignore[assignment]
            config.reward.prm.custom_family = {"path": None, "name": None}
    check_config(config)
    return notes


def check_with_verl(config: DictConfig) -> None:
    """Hold a composed configuration against what verl refuses, names and sizes that it finds out late among it.

    Raises:
        ConfigError: all names, or all sizes, or the first other thing that verl would stop at.
    """
    from verl_prpo.doctor.name_checks import unknown_names
    from verl_prpo.trainer.checks.batch_sizes import size_faults
    from verl_prpo.trainer.checks.layouts import dividing, shown_sizes
    from verl_prpo.trainer.checks.verl_rules import verl_refusal

    if "algorithm" not in config or "reward" not in config:
        return
    names = [f"{one.found}; {one.advice}" for one in unknown_names(config, files=False)]
    if names:
        raise ConfigError("\n".join(names))
    refused, faults = verl_refusal(config), size_faults(config)
    if not refused and not faults:
        return
    sizes = shown_sizes(dividing(config))
    if sizes:
        raise ConfigError("\n".join([refused or "\n".join(one.found for one in faults), f"set {sizes}"]))
    raise ConfigError(refused or "\n".join(f"{one.found}; {one.advice}" for one in faults))


def _settings(section: str, cls: Any) -> Iterator[str]:
    kinds = get_type_hints(cls)
    for field in fields(cls):
        yield f"{section}.{field.name}"
        if is_dataclass(kinds[field.name]):
            yield from _settings(f"{section}.{field.name}", kinds[field.name])


def _keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """Dotted names of all sections and values."""
    for key in map(str, config):
        yield f"{prefix}{key}"
        child = config._get_node(key)
        if isinstance(child, DictConfig) and not (child._is_none() or child._is_missing() or child._is_interpolation()):
            yield from _keys(child, f"{prefix}{key}.")
