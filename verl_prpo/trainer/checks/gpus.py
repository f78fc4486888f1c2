# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The GPUs that each part of a run takes, and whether the nodes that are there can hold them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from omegaconf import DictConfig

from verl_prpo.settings.prpo import engine_of, needs_prm, prm_config, prpo_config, uses_prpo

PRM = "the PRM"
"""Name of the pool of an in-process PRM."""


@dataclass(frozen=True)
class Pool:
    """The GPUs that one part of a run reserves.

    Attributes:
        part: the part of the run, for people.
        shares: GPUs of each piece that must lie on one node.
        setting: the settings that ask for them, as they stand.
        product: the same as numbers, such as "1 x 8".
    """

    part: str
    shares: tuple[Fraction, ...]
    setting: str
    product: str

    @property
    def gpus(self) -> float:
        """All GPUs of the pool."""
        return float(sum(self.shares))


def pools(config: DictConfig) -> list[Pool]:
    """List what a run reserves, the trainer first and an in-process PRM last. It reserves nothing on a CPU.

    Args:
        config: the whole verl configuration.
    """
    if str(config.trainer.device) == "cpu":
        return []
    found = [_nodes("the trainer", "trainer", config.trainer)]
    rollout = config.actor_rollout_ref.rollout
    if str(config.trainer.v1.trainer_mode) == "separate_async":
        found.append(_rollout_pool(rollout))
    if config.reward.reward_model.enable_resource_pool:
        found.append(_nodes("the reward model", "reward.reward_model", config.reward.reward_model))
    distillation = config.get("distillation") or {}
    if distillation.get("enabled", False):
        found.append(_nodes("the teacher", "distillation", distillation))
    return [pool for pool in [*found, *_prm_pool(config)] if pool.gpus]


def servers_size(rollout: Any) -> int:
    """Count the GPUs of one inference server of a `RolloutConfig`.

    They are its parallel sizes multiplied. With prefill and decode apart they are those of all its parts.
    """
    tensor = int(rollout.get("tensor_model_parallel_size") or 1)
    apart = rollout.get("disaggregation") or {}
    if apart.get("enabled", False):
        decode = int(apart.get("decode_tensor_model_parallel_size") or tensor)
        tensor = tensor * int(apart.get("prefill_replicas") or 1) + decode * int(apart.get("decode_replicas") or 1)
    return tensor * int(rollout.get("data_parallel_size") or 1) * int(rollout.get("pipeline_model_parallel_size") or 1)


def fits(asked: Sequence[Pool], nodes: Sequence[float]) -> bool:
    """Return whether nodes with so many GPUs each can hold the pools. The largest share is placed first.

    Args:
        asked: the pools.
        nodes: GPUs of each node.
    """
    free = sorted((Fraction(gpus) for gpus in nodes), reverse=True)
    for share in sorted((share for pool in asked for share in pool.shares), reverse=True):
        # The fullest node that has room keeps whole nodes for those that need one.
        room = [index for index, gpus in enumerate(free) if gpus >= share]
        if not room:
            return False
        free[min(room, key=lambda index: free[index])] -= share
    return True


def shortage(asked: Sequence[Pool], nodes: Sequence[float]) -> str:
    """Say in a sentence what is asked for and what is there, or return "" when it fits.

    Args:
        asked: the pools.
        nodes: GPUs of each node.
    """
    if fits(asked, nodes):
        return ""
    wanted, there = sum(pool.gpus for pool in asked), sum(nodes)
    if wanted > there:
        return f"{_gpus(wanted)} asked for, {there:g} there ({shown_nodes(nodes)}): {wanted - there:g} too few"
    share = float(max(share for pool in asked for share in pool.shares))
    return (
        f"{_gpus(wanted)} asked for, {there:g} there ({shown_nodes(nodes)}), but no way to lay them out: each piece, "
        f"the largest of {_gpus(share)}, must lie on one node"
    )


def shown_pools(asked: Sequence[Pool]) -> str:
    """List the pools with their settings, a line each."""
    return "\n".join(f"{pool.part} takes {pool.gpus:g} ({pool.setting})" for pool in asked)


def shown_nodes(nodes: Sequence[float]) -> str:
    """Describe nodes by their GPUs, such as "1 node of 8" or "nodes of 8, 8 and 4"."""
    if not nodes:
        return "no node"
    if len(set(nodes)) == 1:
        return f"{len(nodes)} node{'s' if len(nodes) > 1 else ''} of {nodes[0]:g}"
    listed = [f"{gpus:g}" for gpus in nodes]
    return f"nodes of {', '.join(listed[:-1])} and {listed[-1]}"


def _gpus(count: float) -> str:
    return f"{count:g} GPU{'' if count == 1 else 's'}"


def _nodes(part: str, section: str, place: Any) -> Pool:
    count, each = int(place.get("nnodes") or 0), int(place.get("n_gpus_per_node") or 0)
    setting = f"{section}.nnodes={count} x {section}.n_gpus_per_node={each}"
    return Pool(part, (Fraction(max(0, each)),) * max(0, count), setting, f"{count} x {each}")


def _rollout_pool(rollout: Any) -> Pool:
    """Return the pool of standalone servers.

    verl places each by itself, on as few nodes as `n_gpus_per_node` allows.
    """
    whole = _nodes("standalone rollout", "actor_rollout_ref.rollout", rollout)
    size, per_node = servers_size(rollout), int(rollout.n_gpus_per_node or 0)
    count = int(whole.gpus) // size
    if not count:
        return whole
    piece = min(size, per_node)
    shares = (Fraction(piece),) * (count * math.ceil(size / piece))
    return Pool(whole.part, shares, whole.setting, whole.product)


def _prm_pool(config: DictConfig) -> list[Pool]:
    if not uses_prpo(config) or not needs_prm(prpo_config(config.algorithm)):
        return []
    prm = prm_config(config.reward)
    if engine_of(prm) != "in_process" or not prm.num_gpus_per_replica:
        return []
    asked = Fraction(prm.num_gpus_per_replica).limit_denominator(10_000)
    # Ray puts no replica on two GPUs: of 0.7 each has room for one.
    share = Fraction(1, int(1 / asked))
    setting = f"reward.prm.num_replicas={prm.num_replicas} x reward.prm.num_gpus_per_replica="
    return [
        Pool(
            PRM,
            (share,) * prm.num_replicas,
            f"{setting}{prm.num_gpus_per_replica:g}",
            f"{prm.num_replicas} x {prm.num_gpus_per_replica:g}",
        )
    ]
