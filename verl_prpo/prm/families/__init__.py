# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The families that come with this package and with other installed ones, by name, and which one a configuration asks
for.

Another package offers a family by an entry point in the group `verl_prpo.prm_families` that is named as the family and
leads to its class. The modules of families import transformers, so each is imported when it is first needed.
"""

import difflib
import importlib
import importlib.util
import inspect
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from verl_prpo.prm.families.base import FAMILIES, PrmError, PrmFamily, detect_family, register_family

if TYPE_CHECKING:
    from verl_prpo.settings.prpo import PrmConfig

BUILT_IN = {
    "qwen_math_prm": ("verl_prpo.prm.families.qwen_math", "QwenMathPrm"),
    "skywork_prm": ("verl_prpo.prm.families.skywork", "SkyworkPrm"),
    "token_classification": ("verl_prpo.prm.families.token_classification", "TokenClassificationPrm"),
    "math_shepherd": ("verl_prpo.prm.families.math_shepherd", "MathShepherd"),
    "rlhflow_prm": ("verl_prpo.prm.families.rlhflow", "RlhflowPrm"),
    "implicit_prm": ("verl_prpo.prm.families.implicit", "ImplicitPrm"),
    "zero_shot_judge": ("verl_prpo.prm.families.judge", "ZeroShotJudge"),
}


_OPTIONS = "reward.prm.family_options"
_NO_OPTIONS = ("model_path", "device", "dtype", "trust_remote_code")

ENTRY_POINTS = "verl_prpo.prm_families"
"""Group of entry points by which an installed package offers families."""


def register_built_in_families() -> None:
    """Import every family of this package and of other installed ones and make it known under its name; idempotent.

    Raises:
        PrmError: another package offers what is no family, or one under a name that is taken.
    """
    for module, attribute in BUILT_IN.values():
        register_family(getattr(importlib.import_module(module), attribute))
    for offered in entry_points(group=ENTRY_POINTS):
        _register_offered(offered)


def family_names() -> list[str]:
    """What `reward.prm.family` takes: the families of this package, of other installed ones, and those registered."""
    return sorted({*BUILT_IN, *FAMILIES, *(offered.name for offered in entry_points(group=ENTRY_POINTS))})


def resolve_family(config: "PrmConfig") -> type[PrmFamily]:
    """The family of the configured PRM: `custom_family` if given, else `family`, else what config.json tells.

    Raises:
        PrmError: a name that is not known (with the nearest that is), a custom family that cannot be loaded, a model
            that no family claims, a family that leaves methods out, or an option that it does not take.
    """
    custom = config.custom_family
    if custom.path is not None and custom.name is not None:
        return _usable(_load_custom_family(custom.path, custom.name), config)
    if config.family is not None and config.family not in family_names():
        near = difflib.get_close_matches(config.family, family_names(), n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise PrmError(
            f"reward.prm.family={config.family} is not known; {hint}It takes one of {', '.join(family_names())}; "
            "a family of your own goes under reward.prm.custom_family.path and .name."
        )
    register_built_in_families()
    return _usable(FAMILIES[config.family or detect_family(config.model_path or "")], config)


def family_setting(config: "PrmConfig") -> str:
    """The setting that chose the family, with its value, as messages name it."""
    custom = config.custom_family
    if custom.path is not None and custom.name is not None:
        return f"reward.prm.custom_family (path={custom.path}, name={custom.name})"
    return f"reward.prm.family={config.family or 'null'}"


def _register_offered(offered: EntryPoint) -> None:
    package = offered.dist.name if offered.dist is not None else "an installed package"
    where = f"the PRM family {offered.name} that {package} offers ({offered.value})"
    try:
        family = offered.load()
    except Exception as error:  # whatever importing a module raises
        raise PrmError(
            f"{where} cannot be imported: {type(error).__name__}: {error}. Mend or uninstall {package}"
        ) from error
    if not (isinstance(family, type) and issubclass(family, PrmFamily)):
        raise PrmError(
            f"{where} is not a subclass of verl_prpo.prm.families.base.PrmFamily. Mend or uninstall {package}"
        )
    name = getattr(family, "name", None)
    if name != offered.name:
        raise PrmError(f"{where} calls itself {name!r}: its entry point must have the same name. Mend {package}")
    try:
        register_family(family)
    except ValueError as error:
        raise PrmError(f"{where}: {error}. Rename it, or uninstall {package}") from error


def _usable(family: type[PrmFamily], config: "PrmConfig") -> type[PrmFamily]:
    if inspect.isabstract(family):
        missing = ", ".join(sorted(family.__abstractmethods__))
        raise PrmError(
            f"{family_setting(config)}: {family.__name__} does not define {missing}, which every PrmFamily must"
        )
    _require_options(family, [str(key) for key in config.family_options])
    return family


def _require_options(family: type[PrmFamily], given: list[str]) -> None:
    taken = list(inspect.signature(family.load).parameters.values())
    named = [each for each in taken[1:] if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]  # behind the path
    options = [each.name for each in named if each.name not in _NO_OPTIONS]
    takes_all = any(each.kind is each.VAR_KEYWORD for each in taken)
    for key in given:
        if key in _NO_OPTIONS:
            setting = "trainer.device" if key == "device" else f"reward.prm.{key}"
            raise PrmError(f"{_OPTIONS}.{key} is no option of a family; {setting} is the setting for it")
        if key not in options and not takes_all:
            near = difflib.get_close_matches(key, options, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}? " if near else ""
            raise PrmError(
                f"{_OPTIONS}.{key} is no option of the family {family.name}; {hint}"
                + (f"It takes {', '.join(options)}." if options else "It takes none.")
            )
    for each in named:
        if each.default is each.empty and each.name in options and each.name not in given:
            raise PrmError(f"{_OPTIONS}.{each.name} is not set, and the family {family.name} needs it")


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
        raise PrmError(f"{where}: there is no such file; give an absolute path that every node can read")
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
