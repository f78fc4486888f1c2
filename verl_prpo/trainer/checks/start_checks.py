# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that stop a run before its long start-up, where it could not work."""

import ray
from omegaconf import DictConfig

from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.replicas.start import PrmDescription
from verl_prpo.settings.prpo import PrpoConfig
from verl_prpo.trainer.checks.gpus import PRM, fits, pools, shown_nodes
from verl_prpo.trainer.checks.layouts import layouts, shown_layouts


def require_gpus(config: DictConfig) -> None:
    """Stop before the long start-up when Ray can never place the PRM beside the trainer.

    Args:
        config: the whole verl configuration.

    Raises:
        PrmError: the GPUs do not suffice. The message says how many there are, what asks for how many, and settings
            with which it fits.
    """
    asked = pools(config)
    if not asked or asked[-1].part != PRM:
        return
    from verl.plugin.platform import get_platform

    resource = get_platform().ray_resource_name()
    nodes = gpus_of_nodes(ray.nodes(), resource)
    if fits(asked, nodes):
        return
    *others, prm = asked
    taken = " and ".join(f"{pool.part} takes {pool.gpus:g} ({pool.setting})" for pool in others)
    ways = shown_layouts(layouts(config, nodes))
    raise PrmError(
        f"the PRM cannot be placed: Ray has {sum(nodes):g} {resource} ({shown_nodes(nodes)})"
        + (f", of which {taken}" if taken else "")
        + f". reward.prm asks for {prm.gpus:g} more ({prm.product}). "
        + (f"Any of these fits:\n{ways}" if ways else "Add GPUs, or lower trainer.n_gpus_per_node.")
    )


def gpus_of_nodes(listed: list[dict], resource: str) -> list[float]:
    """List the GPUs of each living node that has any.

    Args:
        listed: the result of `ray.nodes()`.
        resource: Ray's name for them, such as GPU.
    """
    counts = [float(node["Resources"].get(resource, 0)) for node in listed if node["Alive"]]
    return sorted((count for count in counts if count), reverse=True)


def require_score_range(description: PrmDescription, prpo: PrpoConfig) -> None:
    """Stop when the credit reads scores on another scale than the PRM gives.

    Raises:
        PrmError: the scales differ. The message names the PRM's range and the setting to change.
    """
    if prpo.credit == "pure" and tuple(description.score_range) != (0.0, 1.0):
        raise PrmError(
            f"algorithm.prpo.credit=pure reads scores on [0, 1], but the PRM family {description.family} gives "
            f"{list(description.score_range)}. Set ++algorithm.prpo.credit=prpo, or give the family scores on [0, 1]."
        )
