# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Know the families by name, and find the one that a model belongs to by its config.json.

The families of this package are listed here. Another package offers a family by an entry point in the group
`verl_prpo.prm_families` that is named as the family and leads to its class. The modules of families import
transformers, so each is imported when it is first needed.
"""

import importlib
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from verl_prpo.prm.families.base import PrmError, PrmFamily
from verl_prpo.prm.families.checkpoints import read_model_config
from verl_prpo.prm.families.unknown import described, what_to_try

BUILT_IN = {
    "qwen_math_prm": ("verl_prpo.prm.families.qwen_math", "QwenMathPrm"),
    "skywork_prm": ("verl_prpo.prm.families.skywork", "SkyworkPrm"),
    "token_classification": ("verl_prpo.prm.families.token_classification", "TokenClassificationPrm"),
    "label_token": ("verl_prpo.prm.families.tagged", "TaggedLabelsPrm"),
    "math_shepherd": ("verl_prpo.prm.families.math_shepherd", "MathShepherd"),
    "rlhflow_prm": ("verl_prpo.prm.families.rlhflow", "RlhflowPrm"),
    "implicit_prm": ("verl_prpo.prm.families.implicit", "ImplicitPrm"),
    "zero_shot_judge": ("verl_prpo.prm.families.judge", "ZeroShotJudge"),
    "generated_verdicts": ("verl_prpo.prm.families.generated", "GeneratedVerdicts"),
}

ENTRY_POINTS = "verl_prpo.prm_families"
"""Group of entry points by which an installed package offers families."""

FAMILIES: dict[str, type[PrmFamily]] = {}


def register_family(cls: type[PrmFamily]) -> type[PrmFamily]:
    """Make a family known under its `name`. It can be used as a decorator of the class.

    Raises:
        ValueError: the name is taken by another class.
    """
    taken = FAMILIES.get(cls.name)
    if taken is not None and taken is not cls:
        raise ValueError(f"PRM family {cls.name!r} is already registered to {taken.__module__}.{taken.__qualname__}")
    FAMILIES[cls.name] = cls
    return cls


def claiming_families(model_config: dict[str, Any]) -> list[str]:
    """List the names of the registered families that claim a model's `config.json`, sorted."""
    return sorted(name for name, family in FAMILIES.items() if family.detects(model_config))


def detect_family(model_path: str) -> str:
    """Return the name of the registered family that claims the model by its `config.json`.

    Raises:
        PrmError: there is no such model, or no family or several claim it. In the last two cases the message lists the
            names that `reward.prm.family` takes.
    """
    config = read_model_config(model_path)
    claims = claiming_families(config)
    if len(claims) == 1:
        return claims[0]
    verdict = "no PRM family is known for it" if not claims else f"it could be any of {', '.join(claims)}"
    raise PrmError(
        f"the family of the PRM {model_path} ({described(config)}) cannot be detected: {verdict}. "
        f"{what_to_try(config)} "
        f"Set reward.prm.family to one of {', '.join(sorted(FAMILIES))}, or reward.prm.custom_family.path and .name."
    )


def register_built_in_families() -> None:
    """Import every family of this package and of other installed ones, and make each known under its name.

    A second call changes nothing.

    Raises:
        PrmError: another package offers an object that is no family, or a family under a name that is taken.
    """
    for module, attribute in BUILT_IN.values():
        register_family(getattr(importlib.import_module(module), attribute))
    for offered in entry_points(group=ENTRY_POINTS):
        _register_offered(offered)


def family_names() -> list[str]:
    """List what `reward.prm.family` takes: families of this package, of other installed ones, and those registered."""
    return sorted({*BUILT_IN, *FAMILIES, *(offered.name for offered in entry_points(group=ENTRY_POINTS))})


def _register_offered(offered: EntryPoint) -> None:
    package = offered.dist.name if offered.dist is not None else "an installed package"
    where = f"the PRM family {offered.name} that {package} offers ({offered.value})"
    try:
        family = offered.load()
    except Exception as error:  # whatever importing a module raises
        raise PrmError(
            f"{where} cannot be imported: {type(error).__name__}: {error}. Fix or uninstall {package}"
        ) from error
    if not (isinstance(family, type) and issubclass(family, PrmFamily)):
        raise PrmError(
            f"{where} is not a subclass of verl_prpo.prm.families.base.PrmFamily. Fix or uninstall {package}"
        )
    name = getattr(family, "name", None)
    if name != offered.name:
        raise PrmError(f"{where} calls itself {name!r}: its entry point must have the same name. Fix {package}")
    try:
        register_family(family)
    except ValueError as error:
        raise PrmError(f"{where}: {error}. Rename it, or uninstall {package}") from error
