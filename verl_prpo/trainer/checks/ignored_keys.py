# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Keys of older verl scripts that this verl takes and does not read, with the keys that took their place.

verl keeps the sections in its YAML, so Hydra accepts them. It also keeps a function that moves their values to where
they are read, `migrate_legacy_reward_impl`. `main_ppo` never calls that function: a reward function named in the old
place is silently replaced by verl's own."""

import copy
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from verl_prpo.settings.prpo import MANAGER

OLD_SECTIONS = ("reward_model", "custom_reward_function", "sandbox_fusion")
"""Sections at the top of verl's YAML that no part of `main_ppo` reads."""

HARMLESS = ("num_workers", "max_concurrent", "memory_limit_mb", "trust_remote_code", "external_lib")
"""Keys of these sections that decide how fast rewards come, and do not change the rewards."""


@dataclass(frozen=True)
class IgnoredKey:
    """A key that is set and has no effect.

    Attributes:
        key: the key as it stands in the command.
        value: the value that it was given.
        successor: the key that is read in its place, or "" where there is none.
        decides_rewards: whether ignoring it changes what is rewarded.
        known: the names that a registry has, where the successor names an entry of a registry that lacks the value. It
            is empty elsewhere.
    """

    key: str
    value: Any
    successor: str
    decides_rewards: bool
    known: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.known:
            return (
                f"{self.key}={self.value} is a key of older verl and has no effect, and this verl has no {self.value}: "
                f"write {self.successor}=NAME, with a NAME of {', '.join(self.known)}"
            )
        instead = f"write {self.successor}={self.value}" if self.successor else "nothing took its place; take it out"
        return f"{self.key}={self.value} is a key of older verl and has no effect: {instead}"


def ignored_keys(config: DictConfig) -> list[IgnoredKey]:
    """Find keys of older verl that a configuration sets to no effect.

    A key whose successor is set to the same value is left out, since such a command serves both versions of verl.

    Args:
        config: the whole verl configuration.
    """
    given = [
        (f"{section}.{key}", value)
        for section in OLD_SECTIONS
        if isinstance(config.get(section), DictConfig)
        for key, value in _leaves(config[section])
        if value is not None
    ]
    if not given:
        return []
    moved = _moved(config, [key for key, _ in given])
    found = []
    for key, value in given:
        successor = moved.get(key, "")
        if successor and OmegaConf.select(config, successor) == value:
            continue
        harmless = not successor or key.rpartition(".")[2] in HARMLESS or ".rollout." in key
        holder, _, name = successor.rpartition(".")
        declared = not successor or name in list(OmegaConf.select(config, holder) or {})  # missing values count
        written = successor if declared else f"++{successor}"
        found.append(IgnoredKey(key, value, written, not harmless, _lacking(given, successor, value)))
    return found


def _lacking(given: list[tuple[str, Any]], successor: str, value: Any) -> tuple[str, ...]:
    """Return the names that a registry of verl's has, where it lacks the value.

    There are none where the registry has the value, or where the successor names no entry of a registry.
    """
    if successor == "reward.reward_manager.name" and dict(given).get("reward_model.reward_loop_source") != "importlib":
        importlib.import_module("verl.experimental.reward_loop.reward_manager")
        registry = importlib.import_module("verl.experimental.reward_loop.reward_manager.registry").REWARD_MANAGER
        names = set(registry) - {MANAGER}  # which is put in place by itself
    elif successor == "reward.reward_model.rollout.name":
        names = set(importlib.import_module("verl.workers.rollout.replica").RolloutReplicaRegistry._registry)
    else:
        return ()
    return () if value in names else tuple(sorted(names))


def _moved(config: DictConfig, keys: list[str]) -> dict[str, str]:
    """Find where verl's own migration puts each key. Keys that it does not know are absent."""
    migrate = importlib.import_module("verl.experimental.reward_loop").migrate_legacy_reward_impl
    marked = copy.deepcopy(config)
    with open_dict(marked):
        for section in OLD_SECTIONS:
            _clear(marked[section])
        for key in keys:
            OmegaConf.update(marked, key, f"{_MARK}{key}", merge=False, force_add=True)
    try:
        moved = migrate(marked)
    except Exception:  # keys in shapes that the migration does not expect; those that it takes are looked at alone
        return {} if len(keys) == 1 else {key: place for one in keys for key, place in _moved(config, [one]).items()}
    places = ((str(value), f"reward.{place}") for place, value in _leaves(moved.reward))
    return {value.removeprefix(_MARK): place for value, place in places if value.startswith(_MARK)}


_MARK = "verl-prpo looks where this goes: "


def _leaves(tree: DictConfig, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in map(str, tree):
        if OmegaConf.is_missing(tree, name):
            continue
        node = tree._get_node(name)
        if isinstance(node, DictConfig) and not (node._is_none() or node._is_interpolation()):
            yield from _leaves(node, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", tree.get(name)


def _clear(section: DictConfig) -> None:
    for name in list(map(str, section)):
        node = section._get_node(name)
        if isinstance(node, DictConfig) and not node._is_none():
            _clear(node)
        else:
            section[name] = None
