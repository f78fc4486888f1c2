# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The families that come with the package, by name, and which one a configuration asks for.

Their modules import transformers, so each is imported when it is first needed.
"""

import difflib
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from verl_prpo.prm.family import FAMILIES, PrmError, PrmFamily, detect_family, register_family

if TYPE_CHECKING:
    from verl_prpo.config import PrmConfig

BUILT_IN = {
    "qwen_math_prm": ("verl_prpo.prm.families.qwen_math", "QwenMathPrm"),
    "zero_shot_judge": ("verl_prpo.prm.families.judge", "ZeroShotJudge"),
}


def register_built_in_families() -> None:
    """Import every family of the package and make it known under its name; idempotent."""
    for module, attribute in BUILT_IN.values():
        register_family(getattr(importlib.import_module(module), attribute))


def family_names() -> list[str]:
    """What `reward.prm.family` takes: the names of the package's families and of those registered so far."""
    return sorted({*BUILT_IN, *FAMILIES})


def resolve_family(config: "PrmConfig") -> type[PrmFamily]:
    """The family of the configured PRM: `custom_family` if given, else `family`, else what config.json tells.

    Raises:
        PrmError: a name that is not known (with the nearest that is), a custom family that cannot be loaded, a model
            that no family claims, or a family that leaves methods out.
    """
    custom = config.custom_family
    if custom.path is not None and custom.name is not None:
        return _concrete(_load_custom_family(custom.path, custom.name), family_setting(config))
    if config.family is not None and config.family not in family_names():
        near = difflib.get_close_matches(config.family, family_names(), n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise PrmError(
            f"reward.prm.family={config.family} is not known; {hint}It takes one of {', '.join(family_names())}; "
            "a family of your own goes under reward.prm.custom_family.path and .name."
        )
    register_built_in_families()
    return _concrete(FAMILIES[config.family or detect_family(config.model_path or "")], family_setting(config))


def family_setting(config: "PrmConfig") -> str:
    """The setting that chose the family, with its value, as messages name it."""
    custom = config.custom_family
    if custom.path is not None and custom.name is not None:
        return f"reward.prm.custom_family (path={custom.path}, name={custom.name})"
    return f"reward.prm.family={config.family or 'null'}"


def _concrete(family: type[PrmFamily], setting: str) -> type[PrmFamily]:
    if inspect.isabstract(family):
        missing = ", ".join(sorted(family.__abstractmethods__))
        raise PrmError(f"{setting}: {family.__name__} does not define {missing}, which every PrmFamily must")
    return family


def _load_custom_family(path: str, name: str) -> type[PrmFamily]:
    where = f"reward.prm.custom_family (path={path}, name={name})"
    family = getattr(_load_module(path, where), name, None)
    if family is None:
        raise PrmError(f"{where}: the file defines no {name}")
    if not (isinstance(family, type) and issubclass(family, PrmFamily)):
        raise PrmError(f"{where}: {name} is not a subclass of verl_prpo.prm.family.PrmFamily")
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
