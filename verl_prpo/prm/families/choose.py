# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Choose the family that a configuration asks for, and check the options it is given and the values it declares."""

import difflib
import importlib.util
import inspect
import math
import numbers
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from verl_prpo.prm.families.base import PreparedFamily, PrmError, PrmFamily
from verl_prpo.prm.families.options import OPTIONS
from verl_prpo.prm.families.registry import FAMILIES, detect_family, family_names, register_built_in_families

if TYPE_CHECKING:
    from verl_prpo.settings.prpo import PrmConfig

_NO_OPTIONS = ("model_path", "device", "dtype", "trust_remote_code")


def resolve_family(config: "PrmConfig") -> type[PrmFamily]:
    """Return the family of the configured PRM.

    It is `custom_family` if that is given. Otherwise it is `family`. Without both it is the family that the model's
    config.json shows.

    Raises:
        PrmError: a name that is not known (the message names the nearest that is), a custom family that cannot be
            loaded, a model that no family claims, a family that leaves methods out, or an option that it does not take.
    """
    custom = config.custom_family
    if custom.path is not None and custom.name is not None:
        return _usable(_load_custom_family(custom.path, custom.name), config)
    if config.family is not None and config.family not in family_names():
        near = difflib.get_close_matches(config.family, family_names(), n=1, cutoff=0.4)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise PrmError(
            f"reward.prm.family={config.family} is not known. {hint}It takes one of {', '.join(family_names())}. "
            "A family of your own goes under reward.prm.custom_family.path and .name."
        )
    register_built_in_families()
    return _usable(FAMILIES[config.family or detect_family(config.model_path or "")], config)


def family_setting(config: "PrmConfig") -> str:
    """Name the setting that chose the family, with its value, for messages."""
    custom = config.custom_family
    if custom.path is not None and custom.name is not None:
        return f"reward.prm.custom_family (path={custom.path}, name={custom.name})"
    return f"reward.prm.family={config.family or 'null'}"


def checked_family(family: Any, setting: str) -> PrmFamily:
    """Return a loaded family, once the values that it declares have been checked.

    Args:
        family: what the family's `load` returned.
        setting: the setting that names the family, for messages.

    Raises:
        PrmError: an attribute is missing or has a value that cannot be. The message shows both.
    """
    if not isinstance(family, PrmFamily):
        raise PrmError(f"{setting}: load returned {type(family).__name__} where a PrmFamily belongs")

    def require(attribute: str, wanted: str, fits: Callable[[Any], bool]) -> None:
        value = getattr(family, attribute, None)
        if not fits(value):
            raise PrmError(f"{setting}: {type(family).__name__}.{attribute} must be {wanted}, and is {value!r}")

    require("name", "a string that is not empty", lambda name: isinstance(name, str) and name != "")
    require(
        "max_context",
        "a positive whole number of tokens",
        lambda tokens: isinstance(tokens, int) and not isinstance(tokens, bool) and tokens > 0,
    )
    require(
        "score_range",
        "two finite numbers, the lesser first",
        lambda pair: (
            isinstance(pair, tuple | list) and len(pair) == 2 and all(map(_is_finite, pair)) and pair[0] < pair[1]
        ),
    )
    require("prior_mean", "a finite number", _is_finite)
    require("prior_std", "a positive finite number", lambda std: _is_finite(std) and std > 0)
    return family


def _is_finite(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _usable(family: type[PrmFamily], config: "PrmConfig") -> type[PrmFamily]:
    if inspect.isabstract(family):
        missing = ", ".join(sorted(family.__abstractmethods__))
        raise PrmError(
            f"{family_setting(config)}: {family.__name__} does not define {missing}, which every PrmFamily must"
        )
    _require_options(family, [str(key) for key in config.family_options])
    return family


def _require_options(family: type[PrmFamily], given: list[str]) -> None:
    takes: Callable[..., PrmFamily] = family.load
    if issubclass(family, PreparedFamily) and inspect.getattr_static(family, "load") is vars(PreparedFamily)["load"]:
        takes = family.prepare
    taken = list(inspect.signature(takes).parameters.values())
    named = [each for each in taken[1:] if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]  # after the path
    options = [each.name for each in named if each.name not in _NO_OPTIONS]
    takes_all = any(each.kind is each.VAR_KEYWORD for each in taken)
    for key in given:
        if key in _NO_OPTIONS:
            setting = "trainer.device" if key == "device" else f"reward.prm.{key}"
            raise PrmError(f"{OPTIONS}.{key} is no option of a family. The setting for it is {setting}")
        if key not in options and not takes_all:
            near = difflib.get_close_matches(key, options, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise PrmError(
                f"{OPTIONS}.{key} is no option of the family {family.name}. {hint}"
                + (f"It takes {', '.join(options)}." if options else "It takes none.")
            )
    for each in named:
        if each.default is each.empty and each.name in options and each.name not in given:
            raise PrmError(f"{OPTIONS}.{each.name} is not set, and the family {family.name} needs it")


def _load_custom_family(path: str, name: str) -> type[PrmFamily]:
    where = f"reward.prm.custom_family (path={path}, name={name})"
    family = getattr(_load_module(path, where), name, None)
    if family is None:
        raise PrmError(f"{where}: the file defines no {name}")
    if not (isinstance(family, type) and issubclass(family, PrmFamily)):
        raise PrmError(f"{where}: {name} is not a subclass of verl_prpo.prm.families.base.PrmFamily")
    return family


def _load_module(path: str, where: str) -> ModuleType:
    file = Path(path).expanduser()
    if not file.is_file():
        raise PrmError(f"{where}: there is no such file. Give an absolute path that every node can read")
    spec = importlib.util.spec_from_file_location(f"verl_prpo_custom_family_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise PrmError(f"{where}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and pickle look for it
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        raise PrmError(f"{where}: importing it fails with {type(error).__name__}: {error}") from error
    return module
