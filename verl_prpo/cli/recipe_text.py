# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Recipes as text: what a folder of them holds, and a composed configuration written down as one file."""

import importlib.util
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from verl_prpo.settings.outcome import MathVerifierConfig, uses_math_verifier
from verl_prpo.settings.prpo import PrmConfig, PrpoConfig, uses_prpo


class RecipeError(ValueError):
    """A configuration that cannot be written down as asked; the message says which key and what to do."""


def installed_folder() -> Path:
    """The folder of this package's recipes, in a checkout or an installed package.

    Raises:
        ModuleNotFoundError: the package was installed without them.
    """
    spec = importlib.util.find_spec("verl_prpo.recipes")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("this installation has no recipes; pip install verl-prpo anew")
    return Path(next(iter(spec.submodule_search_locations))).resolve()


def names(folder: Path) -> list[str]:
    """The recipes of a folder, sorted; those in subfolders are parts and overlays, no recipes."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def header(path: Path) -> str:
    """The comment block at the top of a recipe, with a newline at its end; empty if there is none."""
    block = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            block.append(f"{line}\n")
    return "".join(block)


def summary(path: Path) -> str:
    """What a recipe is, in a line: how the first paragraph of its header begins that is no launch command."""
    text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in header(path).splitlines())
    for paragraph in text.split("\n\n"):
        if "SPDX-License-Identifier" not in paragraph and "-m verl.trainer.main_ppo" not in paragraph:
            return " ".join(paragraph.split()).split(". ")[0].split(": ")[0].removesuffix(".")
    return ""


def copy_header(path: Path, overrides: Sequence[str]) -> str:
    """The header of a copy of a recipe: where it comes from, its own launch command, and the rest of the recipe's.

    Args:
        path: of the recipe.
        overrides: that were applied to it.
    """
    kept, before, environment = [], [], ""
    for paragraph in header(path).split("#\n"):
        lines = [line.removeprefix("#").strip() for line in paragraph.splitlines()]
        launch = next((n for n, line in enumerate(lines) if "-m verl.trainer.main_ppo" in line), None)
        if launch is None:
            kept.append(paragraph)
            continue
        environment = "".join(re.findall(r"\b[A-Z_]+=\S+ ", lines[launch].partition("python ")[0]))
        before = [line for line in lines[:launch] if not line.startswith("From ")]
    given = " with " + shlex.join(overrides).replace("\n", " ") if overrides else ""
    top = [f"From {path.stem}{given}. Save as FOLDER/mine.yaml; then", *before]
    top.append(f"{environment}python -m verl.trainer.main_ppo --config-dir FOLDER --config-name mine")
    if not any(word.lstrip("+").startswith("trainer.experiment_name=") for word in overrides):
        top.append(f"Give it another trainer.experiment_name first, or it resumes the checkpoints of {path.stem}.")
    return "#\n".join(["".join(f"# {line}\n" for line in top), *filter(None, kept)])


def whole_recipe(config: DictConfig) -> dict[str, Any]:
    """Every value that training reads: `resolved`, and this package's sections with their defaults where it reads them.

    Raises:
        ConfigError: a section of this package's that is none.
    """
    values = resolved(config)
    used: list[tuple[str, str, Any]] = []
    if "algorithm" in config and "reward" in config:
        if uses_prpo(config):
            used += [("algorithm", "prpo", PrpoConfig), ("reward", "prm", PrmConfig)]
        if uses_math_verifier(config):
            used.append(("reward", "math_verifier", MathVerifierConfig))
    for section, name, cls in used:
        defaults = asdict(cls())
        values[section][name] = _filled(defaults, values[section].get(name) or {})
    return values


def resolved(config: DictConfig) -> dict[str, Any]:
    """A configuration without interpolations, but for those that read the environment.

    Returns:
        Plain dictionaries and lists. An interpolation that cannot be resolved, such as one of a value still to be given
        (`???`), stays as it is.
    """
    with _environment_unread():
        return _plain(config)


def differences(config: DictConfig, base: DictConfig) -> dict[str, Any]:
    """The keys in which a configuration differs from a base, interpolations as they stand: merged over the base they
    give the configuration.

    Raises:
        RecipeError: the base has a key that the configuration has not, which no merge takes away.
    """
    return _differences(_raw(config), _raw(base), "")


def as_yaml(values: Mapping[str, Any]) -> str:
    """YAML, keys in their order."""
    return OmegaConf.to_yaml(OmegaConf.create(dict(values)))


def short_recipe(config: DictConfig, base: DictConfig) -> str:
    """A recipe of its own that composes to a configuration and needs verl's `ppo_trainer` alone.

    Args:
        config: a whole verl configuration.
        base: verl's `ppo_trainer` with the same `model_engine`.

    Raises:
        RecipeError: it lacks a key of the base.
    """
    engine = config.get("model_engine", "dp")
    defaults = ["ppo_trainer", *([{"override model_engine": engine}] if engine != "dp" else []), "_self_"]
    return as_yaml({"defaults": defaults}) + "\n" + as_yaml(differences(config, base))


def _filled(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Defaults with what is given in their place, sections within sections too."""
    filled = {**defaults, **given}
    for key, value in given.items():
        if isinstance(value, dict) and isinstance(defaults.get(key), dict):
            filled[key] = _filled(defaults[key], value)
    return filled


def _raw(config: DictConfig) -> dict[str, Any]:
    values = OmegaConf.to_container(config, resolve=False)
    assert isinstance(values, dict)
    return values  # type: ignore[return-value]


def _differences(values: Mapping[str, Any], base: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    gone = [f"{prefix}{key}" for key in base if key not in values]
    if gone:
        raise RecipeError(f"{', '.join(gone)}: a short recipe cannot take a key away; print the whole one")
    found = {}
    for key, value in values.items():
        if key not in base:
            found[key] = value
        elif isinstance(value, dict) and isinstance(base[key], dict):
            inner = _differences(value, base[key], f"{prefix}{key}.")
            if inner:
                found[key] = inner
        elif value != base[key] or type(value) is not type(base[key]):
            found[key] = value
    return found


def _plain(node: Any) -> Any:
    """The values below a container, each interpolation resolved for itself."""
    if isinstance(node, DictConfig):
        return {key: _value(node, key) for key in node}
    return [_value(node, index) for index in range(len(node))]


def _value(container: Any, key: Any) -> Any:
    child = container._get_node(key)
    if OmegaConf.is_interpolation(container, key):
        try:
            value = container[key]
        except OmegaConfBaseException:
            return child._value()
    elif isinstance(child, (DictConfig, ListConfig)) and not child._is_none() and not child._is_missing():
        value = child
    else:
        return child._value()
    return _plain(value) if isinstance(value, (DictConfig, ListConfig)) else value


@contextmanager
def _environment_unread() -> Iterator[None]:
    """Let `oc.env` give itself instead of a value, so that a file written here means the same elsewhere."""

    def unread(*words: Any) -> str:
        return f"${{oc.env:{','.join('null' if word is None else str(word) for word in words)}}}"

    OmegaConf.register_new_resolver("oc.env", unread, replace=True)
    try:
        yield
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)
