# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Keys and names that a training command may have mistyped, compared with what verl declares and reads.

verl has no check for a key that it declares and reads nowhere, so its source is searched for the key's name.
"""

import dataclasses
import difflib
import functools
import importlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from verl_prpo.console.findings import CheckFailed, Finding, State
from verl_prpo.settings.training_config import SECTIONS, TrainingArguments, compose, config_folders
from verl_prpo.trainer.checks.ignored_keys import OLD_SECTIONS, ignored_keys

FREE = (*SECTIONS, "reward.math_verifier", "ray_kwargs.ray_init")
"""Sections that are not compared with verl's: this package checks its own, and Ray takes what it is given."""


HANDED_ON = (
    "engine_kwargs",
    "lora",
    "override_config",
    "override_optimizer_config",
    "override_transformer_config",
    "ray_init",
    "sampler_kwargs",
    "transfer_queue",
    "turbo_config",
    "global_tool_config",
)
"""Sections that verl gives to another library as a whole, and so reads none of their keys itself."""

_ASKED = re.compile(r"""(?:get\(\s*|\[)["'](\w+)["']""")
"""A place where source reads a key that verl's YAML does not declare."""

_NAMED = re.compile(r"""(?:\.|["'])([A-Za-z_]\w*)""")
"""A place where source may read a key at all: as an attribute or as a text."""


def keys(config: DictConfig) -> Finding:
    """Find the keys of a composed configuration that have no effect.

    These are keys of older verl, keys that verl does not know, and keys that it declares and reads nowhere.

    Raises:
        CheckFailed: a key of older verl that was to decide what is rewarded.
    """
    declared = declared_keys(str(config.get("model_engine") or "dp"))
    plain, source = _plain(config), _source()
    asked, named = frozenset(_ASKED.findall(source)), frozenset(_NAMED.findall(source))
    old = ignored_keys(config)
    of_old = {one.key for one in old}
    unknown = [
        key
        for key in _undeclared(plain, declared, "")
        if key.rpartition(".")[2] not in asked and not any(one == key or one.startswith(f"{key}.") for one in of_old)
    ]
    dead = [key for key in _changed(plain, declared, "") if key.rpartition(".")[2] not in named and key not in of_old]
    names = list(_names(declared, ""))
    lines = [str(one) for one in old]
    for key in unknown:
        near = nearest(key, names)
        lines.append(f"{key}: verl has no such key" + (f"; did you mean {near}?" if near else ""))
    lines += [f"{key}: verl declares this key and reads it nowhere" for key in dead]
    if not lines:
        return Finding("verl reads every key", value=True)
    details = {"old": [one.key for one in old], "unknown": unknown, "unread": dead}
    if any(one.decides_rewards for one in old):
        advice = "write the keys that verl reads, or the run trains on other rewards than you think"
        raise CheckFailed("\n".join(lines), advice, details)
    return Finding(
        "\n".join(lines), State.WARNING, "such a key has no effect: correct or remove it", details, value=True
    )


@functools.cache
def declared_keys(engine: str) -> dict[str, Any]:
    """Return verl's own configuration for a `model_engine`, as nested dictionaries."""
    return _plain(compose(TrainingArguments((f"model_engine={engine}",))))


def mistyped_overrides(overrides: Sequence[str]) -> str:
    """Suggest keys that verl declares for overrides without a + that name no such key.

    The result is "" when all are known.
    """
    engines = [o.partition("=")[2] for o in overrides if o.startswith("model_engine=")]
    names = list(_names(declared_keys(engines[-1] if engines else "dp"), ""))
    said = []
    for override in overrides:
        key, equals, _ = override.partition("=")
        if equals and "." in key and key[0] not in "+~" and key not in names and not key.startswith(FREE):
            near = nearest(key, names)
            if near:
                said.append(f"{key}: did you mean {near}?")
    return "; ".join(said)


def old_overrides(overrides: Sequence[str]) -> str:
    """Say what took the place of keys of older verl among the overrides, or return "" when there are none."""
    old = [f"++{o.lstrip('+')}" for o in overrides if "=" in o and o.lstrip("+").partition(".")[0] in OLD_SECTIONS]
    return "; ".join(map(str, ignored_keys(compose(TrainingArguments(tuple(old)))))) if old else ""


def old_parts(overrides: Sequence[str]) -> str:
    """Say what took the place of the parts that recipes were composed of, or return "" when the overrides name none."""
    for override in overrides:
        group, _, option = override.partition("=")
        if group == "method" and option == "grpo":
            return f"{override}: recipes have no parts any more. Write algorithm.adv_estimator=grpo"
        if group == "method":
            return f"{override}: recipes have no parts any more. Write ++algorithm.prpo.credit={option}"
        if group == "policy":
            return f"{override}: recipes have no parts any more. Write actor_rollout_ref.model.path=MODEL"
    return ""


def mistyped_recipe(arguments: TrainingArguments) -> str:
    """Suggest a remedy for a `--config-name` that is in none of the folders, or return "" when it is in one."""
    name = (arguments.config_name or "").removesuffix(".yaml")
    folders = config_folders(arguments)
    if not name or not folders or any((folder / f"{name}.yaml").is_file() for folder in folders):
        return ""
    own = sorted(path.stem for path in folders[0].glob("*.yaml"))
    near = difflib.get_close_matches(name, [path.stem for folder in folders for path in folder.glob("*.yaml")], 1)
    if near:
        return f"did you mean --config-name {near[0]}?"
    if arguments.config_dir is None:
        return "add --config-dir with the folder of the recipe"
    return f"{arguments.config_dir} has {', '.join(own)}" if own else f"{arguments.config_dir} has no recipe"


def nearest(key: str, names: Sequence[str]) -> str:
    """Return the declared name that a key most likely means, or "" when there is none.

    It is a name of the key's own section, or the same name in another.
    """
    section, _, last = key.rpartition(".")
    siblings = [name.rpartition(".")[2] for name in names if name.rpartition(".")[0] == section]
    near = difflib.get_close_matches(last, siblings, 1, cutoff=0.75)
    if near:
        return f"{section}.{near[0]}" if section else near[0]
    elsewhere = [name for name in names if name.rpartition(".")[2] == last]
    close = difflib.get_close_matches(key, elsewhere or names, 1, cutoff=0.0 if len(elsewhere) == 1 else 0.85)
    return close[0] if close else ""


def _undeclared(found: dict[str, Any], declared: dict[str, Any], prefix: str) -> Iterator[str]:
    """List the outermost keys that are not declared. Sections that verl declares empty take any key."""
    fields = _fields(declared.get("_target_"))
    for name, value in found.items():
        key = f"{prefix}{name}"
        if key in FREE:
            continue
        if name not in declared:
            if name not in fields:
                yield key
        elif isinstance(value, dict) and isinstance(declared[name], dict) and declared[name]:
            yield from _undeclared(value, declared[name], f"{key}.")


def _fields(target: Any) -> set[str]:
    """Return the fields of the dataclass that verl makes of a section. verl's YAML leaves some of them out."""
    if not isinstance(target, str) or not target.startswith("verl."):
        return {"_target_"}
    module, _, name = target.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return {"_target_"}
    return {"_target_", *(field.name for field in dataclasses.fields(cls))} if dataclasses.is_dataclass(cls) else set()


def _changed(found: dict[str, Any], declared: dict[str, Any], prefix: str) -> Iterator[str]:
    """List the single values that differ from verl's, outside of sections that verl hands on as a whole."""
    for name, value in found.items():
        key = f"{prefix}{name}"
        if name not in declared or key in FREE or name in HANDED_ON:
            continue
        if isinstance(value, dict) and isinstance(declared[name], dict):
            yield from _changed(value, declared[name], f"{key}.")
        elif not isinstance(value, dict) and value != declared[name]:
            yield key


@functools.cache
def _source() -> str:
    """Read all of verl's source as one text."""
    root = Path(importlib.import_module("verl").__file__ or "").parent
    return "\n".join(file.read_text(encoding="utf-8", errors="ignore") for file in root.rglob("*.py"))


def _names(tree: dict[str, Any], prefix: str) -> Iterator[str]:
    for name, value in tree.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _names(value, f"{prefix}{name}.")


def _plain(config: DictConfig) -> dict[str, Any]:
    content = OmegaConf.to_container(config, resolve=False)
    return {str(key): value for key, value in content.items()} if isinstance(content, dict) else {}
