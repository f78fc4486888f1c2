# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What must hold before the long start-up of a run is worth its time."""

import ray
from omegaconf import DictConfig

from verl_prpo.config import PrmConfig, PrpoConfig, engine_of
from verl_prpo.prm.family import PrmError
from verl_prpo.prm.replicas import PrmDescription


def require_gpus(config: DictConfig, prm: PrmConfig) -> None:
    """Stop before the long start-up when Ray can never place the PRM beside the trainer.

    Raises:
        PrmError: how many GPUs are there, who asks for how many, and the settings to change.
    """
    on_gpus = config.trainer.device != "cpu" and engine_of(prm) == "in_process"
    wanted = prm.num_replicas * prm.num_gpus_per_replica if on_gpus else 0.0
    if not wanted:
        return
    trainer = config.trainer.nnodes * config.trainer.n_gpus_per_node
    rollout = 0
    if config.trainer.v1.trainer_mode == "separate_async":
        rollout = config.actor_rollout_ref.rollout.nnodes * config.actor_rollout_ref.rollout.n_gpus_per_node
    reward_model = config.reward.reward_model
    pool = reward_model.nnodes * reward_model.n_gpus_per_node if reward_model.enable_resource_pool else 0
    distillation = config.get("distillation") or {}
    if distillation.get("enabled", False):
        pool += distillation.get("nnodes", 0) * distillation.get("n_gpus_per_node", 0)
    from verl.plugin.platform import get_platform

    resource = get_platform().ray_resource_name()
    there = ray.cluster_resources().get(resource, 0)
    if trainer + rollout + pool + wanted > there:
        raise PrmError(
            f"the PRM cannot be placed: Ray has {there:g} {resource}, of which the trainer takes {trainer}, standalone "
            f"rollout {rollout} and reward model or teacher {pool}; reward.prm asks for {wanted:g} more "
            f"({prm.num_replicas} x {prm.num_gpus_per_replica:g}). Lower trainer.n_gpus_per_node or "
            "reward.prm.num_gpus_per_replica, or add GPUs."
        )


def require_score_range(description: PrmDescription, prpo: PrpoConfig) -> None:
    """Stop when the credit reads scores on another scale than the PRM gives.

    Raises:
        PrmError: the PRM's range and the setting to change.
    """
    if prpo.credit == "pure" and tuple(description.score_range) != (0.0, 1.0):
        raise PrmError(
            f"algorithm.prpo.credit=pure reads scores on [0, 1], but the PRM family {description.family} gives "
            f"{list(description.score_range)}. Set algorithm.prpo.credit=prpo, or give the family scores on [0, 1]."
        )
