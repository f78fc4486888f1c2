# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Layouts for a run that asks for more GPUs than are there: settings to paste, each of them checked."""

import copy
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from verl_prpo.prm.families import resolve_family
from verl_prpo.settings.prpo import ConfigError, engine_of, needs_prm, prm_config, prpo_config, uses_prpo
from verl_prpo.trainer.checks.batch_sizes import BATCH, MINI, TENSOR, size_faults, that_divide
from verl_prpo.trainer.checks.config_check import check_config
from verl_prpo.trainer.checks.gpus import fits, pools, servers_size
from verl_prpo.trainer.checks.memory import shared_split
from verl_prpo.trainer.checks.verl_rules import verl_refusal

SHARED_UTILIZATION = 0.4
"""Share of a GPU's memory for a PRM on the trainer's GPUs where its size is not known: `memory.split` gives a PRM of
7B that share of 80 GB."""

OWN = ("algorithm.prpo.", "reward.prm.", "reward.math_verifier.")
"""Beginnings of the keys of this package, which verl's YAML does not have."""

PLACEHOLDER = "http://PRM_HOST:8000"
"""A placeholder for the URL of the reader's own server."""


@dataclass(frozen=True)
class Layout:
    """One way to fit.

    Attributes:
        what: the layout in a sentence.
        settings: the settings that make it, by key.
    """

    what: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        """The overrides, as they are pasted after the command."""
        return [override_line(key, value) for key, value in self.settings.items()]


def override_line(key: str, value: Any) -> str:
    """Write an override that a shell and Hydra take.

    Keys of this package get `++`, which works whether a recipe has the key or not.
    """
    text = "null" if value is None else str(value)
    if isinstance(value, (list, tuple)):
        text = f"'[{','.join(map(str, value))}]'"
    return f"{'++' if key.startswith(OWN) else ''}{key}={text}"


def layouts(config: DictConfig, nodes: Sequence[float]) -> list[Layout]:
    """List the ways in which a run that asks for too many GPUs fits. Those that change least come first.

    Args:
        config: the whole verl configuration.
        nodes: GPUs of each node.
    """
    asks = uses_prpo(config) and needs_prm(prpo_config(config.algorithm))
    # A PRM at servers, or none, takes no GPU of Ray's: then the trainer alone has to fit.
    if not asks or engine_of(prm_config(config.reward)) == "server":
        return _first(config, nodes, Layout("fewer GPUs for the trainer"))
    serving = _serving(config)
    served = serving is not None
    found: list[Layout] = []
    if served and str(config.trainer.v1.trainer_mode) != "separate_async":
        found += _first(config, nodes, _shared(config))
    found += list(_divided(config, nodes))
    if served:
        found += _first(config, nodes, _elsewhere(config, serving == "pooling"))
    return found


def dividing(config: DictConfig) -> list[dict[str, int]]:
    """List the ways to change sizes that do not divide so that they do, each of them checked.

    The one that changes least comes first.

    Args:
        config: the whole verl configuration.

    Returns:
        Settings with their values. There are none where the sizes divide, or where something else stands in the way.
    """
    servers = _smaller_servers(config)
    config = with_settings(config, servers)
    batch, mini = int(config.data.train_batch_size), int(config.actor_rollout_ref.actor.ppo_mini_batch_size)
    most = min(mini, batch)
    sizes = [size for size in range(most, most // 4, -1) if batch % size == 0 and size != mini]
    tried = ({MINI: size} | that_divide(with_settings(config, {MINI: size})) for size in sizes)
    smaller = that_divide(config)
    if str(config.trainer.v1.trainer_mode) == "separate_async":  # in which the mini-batch decides the batch
        sizes.clear()
    # Where the batch would shrink: a mini-batch with which it need not.
    kept = (way for way in tried if BATCH in smaller and BATCH not in way and _divides(config, way))
    found = [*itertools.islice(kept, 1), *([smaller] if _divides(config, smaller) else [])]
    return sorted((servers | way for way in found if servers | way), key=len)


def _smaller_servers(config: DictConfig) -> dict[str, int]:
    """Find the largest rollout servers that the trainer's GPUs hold, where those that are asked for do not fit."""
    tensor = int(config.actor_rollout_ref.rollout.tensor_model_parallel_size)
    for size in range(tensor, 0, -1):
        if not any(TENSOR in fault.found for fault in size_faults(with_settings(config, {TENSOR: size}))):
            return {} if size == tensor else {TENSOR: size}
    return {}


def _divides(config: DictConfig, settings: dict[str, int]) -> bool:
    """Return whether all sizes divide and verl takes the configuration."""
    changed = with_settings(config, settings)
    left = int(changed.data.train_batch_size) % int(changed.actor_rollout_ref.actor.ppo_mini_batch_size)
    return not left and not size_faults(changed) and not verl_refusal(changed)


def shown_sizes(ways: Sequence[dict[str, int]]) -> str:
    """Write what `dividing` found as overrides to paste, "" for none."""
    return ", or ".join(" ".join(override_line(key, value) for key, value in way.items()) for way in ways)


def with_settings(config: DictConfig, settings: dict[str, Any]) -> DictConfig:
    """Return a copy of a configuration with some keys set."""
    changed = copy.deepcopy(config)
    with open_dict(changed):
        for key, value in settings.items():
            OmegaConf.update(changed, key, value, merge=False, force_add=True)
    return changed


def shown_layouts(found: Sequence[Layout]) -> str:
    """Write the layouts as text, each with its lines ready to paste, "" for none."""
    return "\n".join(
        f"{chr(ord('a') + at)}) {layout.what}:\n   " + " \\\n   ".join(layout.lines) for at, layout in enumerate(found)
    )


def _first(config: DictConfig, nodes: Sequence[float], layout: Layout) -> list[Layout]:
    """Complete a layout with the largest trainer with which it fits."""
    for shape in _shapes(config, nodes):
        made = _completed(config, nodes, layout.settings | shape)
        if made is not None:
            what = layout.what + (f", the trainer on {_where(config, made)}" if shape else "")
            return [Layout(what, made)]
    return []


def _divided(config: DictConfig, nodes: Sequence[float]) -> Iterator[Layout]:
    """Put the PRM beside fewer GPUs of the trainer.

    This gives the largest trainer whose batches stay, and a larger one for which the batches change.
    """
    adapted: Layout | None = None
    for shape in _shapes(config, nodes):
        rest = _rest(with_settings(config, shape), nodes)
        if rest is None:
            continue
        made = _completed(config, nodes, shape | rest[1])
        if made is None:
            continue
        same = not {BATCH, MINI} & set(made)
        batches = "the batches as they are" if same else "with batches that divide"
        layout = Layout(f"the trainer on {_where(config, made)}, the PRM on {rest[0]}, {batches}", made)
        if same:
            yield layout
            break
        adapted = adapted or layout
    if adapted is not None:
        yield adapted


def _shapes(config: DictConfig, nodes: Sequence[float]) -> Iterator[dict[str, int]]:
    """List settings of ever smaller trainers, from the one that is asked for."""
    count, each = int(config.trainer.nnodes), int(config.trainer.n_gpus_per_node)
    most, there = min(each, int(max(nodes, default=0))), min(count, len(nodes))
    sizes = {(there, gpus) for gpus in range(1, most + 1)} | {(of, most) for of in range(1, there + 1)}
    apart = str(config.trainer.v1.trainer_mode) == "separate_async"
    server = 1 if apart else servers_size(config.actor_rollout_ref.rollout)
    for of, gpus in sorted(sizes, key=lambda size: (size[0] * size[1], size[0]), reverse=True):
        if gpus < server <= each:  # a rollout server that lies on one node stays on one
            continue
        shape = {"trainer.nnodes": of, "trainer.n_gpus_per_node": gpus}
        yield {key: new for key, new in shape.items() if gpus and new != OmegaConf.select(config, key)}


def _rest(config: DictConfig, nodes: Sequence[float]) -> tuple[str, dict[str, Any]] | None:
    """Give the PRM as many GPUs as the rest of the run leaves: words and settings, None where it leaves none."""
    prm, model = prm_config(config.reward), config.reward.reward_model
    if engine_of(prm) == "reward_model":
        size = servers_size(model.rollout)
        for gpus in range(int(max(nodes, default=0)) // size * size, 0, -size):
            settings = {"reward.reward_model.nnodes": 1, "reward.reward_model.n_gpus_per_node": gpus}
            settings |= {"reward.reward_model.enable_resource_pool": True}
            if fits(pools(with_settings(config, settings)), nodes):
                return f"{gpus} more", _changes(config, settings)
        return None
    *others, own = pools(config)
    share, left = own.shares[0], sum(nodes) - sum(pool.gpus for pool in others)
    for replicas in range(int(left / share), 0, -1):
        if fits([*others, replace(own, shares=(share,) * replicas)], nodes):
            return f"{float(replicas * share):g} more", _changes(config, {"reward.prm.num_replicas": replicas})
    return None


def _shared(config: DictConfig) -> Layout:
    """Make the layout with the PRM as verl's reward model on the trainer's GPUs."""
    prm, model = prm_config(config.reward), "reward.reward_model"
    path = prm.model_path or config.reward.reward_model.model_path
    memory = shared_split(config, path)
    settings = {
        "reward.prm.engine": "reward_model",
        f"{model}.enable": True,
        f"{model}.enable_resource_pool": False,
        f"{model}.model_path": path,
        f"{model}.rollout.name": "vllm",
        f"{model}.rollout.tensor_model_parallel_size": memory.tensor_parallel if memory else 1,
        f"{model}.rollout.gpu_memory_utilization": memory.share if memory else SHARED_UTILIZATION,
    }
    asleep = f"; asleep it takes {memory.host / 1e9:.0f} GB of each node's own memory" if memory else ""
    what = (
        "the PRM on the trainer's GPUs, asleep until the rollout is over (no GPU more, its time is exposed"
        f"{asleep}; docs/one_node.md)"
    )
    return Layout(what, _changes(config, settings))


def _elsewhere(config: DictConfig, pooling: bool) -> Layout:
    """Make the layout with the PRM at servers on GPUs that Ray does not see."""
    prm = prm_config(config.reward)
    path = prm.model_path or config.reward.reward_model.model_path
    settings: dict[str, Any] = {"reward.prm.server.urls": [PLACEHOLDER], "reward.prm.model_path": path}
    if prm.engine is not None:
        settings["reward.prm.engine"] = "server"
    settings |= {"reward.reward_model.enable": False, "reward.reward_model.enable_resource_pool": False}
    command = f"vllm serve {path}{' --runner pooling' if pooling else ''}"
    return Layout(f"the PRM on other machines, served by `{command}` (docs/prm.md)", _changes(config, settings))


def _completed(config: DictConfig, nodes: Sequence[float], settings: dict[str, Any]) -> dict[str, Any] | None:
    """Add to settings the batch sizes that they need, or return None when the run would still stop."""
    changed = with_settings(config, settings)
    if not fits(pools(changed), nodes):
        return None
    if size_faults(changed) or verl_refusal(changed):
        settings = settings | that_divide(changed)
        changed = with_settings(config, settings)
    if size_faults(changed):
        return None
    try:
        check_config(changed)
    except ConfigError:
        return None
    return None if verl_refusal(changed) else settings


def _where(config: DictConfig, settings: dict[str, Any]) -> str:
    count, each = (settings.get(f"trainer.{key}", config.trainer[key]) for key in ("nnodes", "n_gpus_per_node"))
    return f"{count} x {each}" if count > 1 else f"{each} GPU{'' if each == 1 else 's'}"


def _changes(config: DictConfig, settings: dict[str, Any]) -> dict[str, Any]:
    def stands(key: str) -> Any:
        holder, _, name = key.rpartition(".")
        section = OmegaConf.select(config, holder)
        return None if section is None or OmegaConf.is_missing(section, name) else section.get(name)

    return {key: value for key, value in settings.items() if json.dumps(value) != json.dumps(stands(key), default=str)}


def _serving(config: DictConfig) -> str | None:
    """Return how vLLM servers give the PRM's scores.

    The result is None where they cannot, and "" where the PRM cannot be read from here.
    """
    prm = prm_config(config.reward)
    if not prm.model_path:
        prm.model_path = config.reward.reward_model.model_path
    try:
        return resolve_family(prm).serving
    except Exception:  # of the files, the hub or the family; whoever uses the PRM reports it
        return ""
