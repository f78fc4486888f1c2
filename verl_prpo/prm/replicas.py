# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Copies of the PRM as Ray actors: started by the trainer, found by name in the reward-loop workers.

Their resources come from a placement group of their own, so that "the cluster has no room" is told from "the weights
are still loading", and each has a deadline of its own.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray
import torch
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayTaskError
from ray.util.placement_group import (
    PlacementGroup,
    get_placement_group,
    placement_group,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from verl_prpo.prm.client import PrmClient
from verl_prpo.prm.engine import InProcessEngine, PrmRequest, PrmResult
from verl_prpo.prm.families import resolve_family
from verl_prpo.prm.family import PrmError

if TYPE_CHECKING:
    from verl_prpo.config import PrmConfig

__all__ = ["PrmClient", "PrmDescription", "PrmReplica", "lookup_replicas", "start_replicas", "stop_replicas"]

PLACEMENT_TIMEOUT = 45.0
"""Seconds in which the cluster must find room for the replicas."""

_GROUP = "prm_replicas"
_RAY_RESOURCE = {"npu": "NPU"}  # everything else that is not a CPU counts as GPU in Ray


@dataclass(frozen=True)
class PrmDescription:
    """What the trainer needs to know of the PRM that was loaded.

    Attributes:
        family: its name.
        score_range: least and greatest score.
        prior_mean, prior_std: of the prior on the scores, in their units.
        max_context: longest dialogue, in tokens.
        model_path: where it was loaded from.
        device, dtype: as torch names them.
    """

    family: str
    score_range: tuple[float, float]
    prior_mean: float
    prior_std: float
    max_context: int
    model_path: str
    device: str
    dtype: str


class PrmReplica:
    """One copy of the PRM in an actor of its own; `load` comes first."""

    def load(self, config: "PrmConfig", device_type: str) -> PrmDescription:
        """Load the configured PRM.

        Args:
            config: `reward.prm`.
            device_type: "cuda", "npu", "cpu": where the weights go.

        Raises:
            PrmError: it cannot be used as configured.
        """
        if not config.model_path:
            raise PrmError("reward.prm.model_path is not set; give the hub name or folder of a process reward model")
        device = _own_device(device_type)
        dtype_name = config.dtype or ("float32" if device_type == "cpu" else "bfloat16")
        family_type = resolve_family(config)
        try:
            family = family_type.load(
                config.model_path,
                device=device,
                dtype=getattr(torch, dtype_name),
                trust_remote_code=config.trust_remote_code,
            )
        except (OSError, ValueError) as error:  # how transformers reports what it cannot find or read
            raise PrmError(
                f"reward.prm.model_path={config.model_path} cannot be loaded as {family_type.name}: {error}"
            ) from error
        self._engine = InProcessEngine(family, config.max_tokens_per_forward)
        self._description = PrmDescription(
            family=family.name,
            score_range=family.score_range,
            prior_mean=family.prior_mean,
            prior_std=family.prior_std,
            max_context=family.max_context,
            model_path=config.model_path,
            device=str(device),
            dtype=dtype_name,
        )
        return self._description

    def describe(self) -> PrmDescription:
        """What was loaded."""
        return self._description

    def score(self, requests: Sequence[PrmRequest]) -> list[PrmResult]:
        """One result per request, see `InProcessEngine.score`."""
        return self._engine.score(requests)


def start_replicas(config: "PrmConfig", device_type: str) -> list[ActorHandle]:
    """Create the replicas, named `prm_replica_{i}`, and wait until each has loaded its weights.

    Args:
        config: `reward.prm`.
        device_type: the trainer's device. On "cpu", or with no GPU asked for per replica, the PRM runs on the CPU.

    Returns:
        The actors' handles, in order.

    Raises:
        PrmError: no room in the cluster within `PLACEMENT_TIMEOUT`, weights that cannot be loaded, or not within
            `startup_timeout`. Nothing is left running.
    """
    if config.num_gpus_per_replica == 0:
        device_type = "cpu"
    resources = {"CPU": config.num_cpus_per_replica}
    if device_type != "cpu":
        resources[_RAY_RESOURCE.get(device_type, "GPU")] = config.num_gpus_per_replica
    resources = {name: amount for name, amount in resources.items() if amount > 0} or {"CPU": 0.001}
    if _running_group() is not None:
        raise PrmError("another PRM of this Ray job is still running; stop_replicas() ends it")
    group = placement_group([resources] * config.num_replicas, strategy="PACK", name=_GROUP)
    replicas: list[ActorHandle] = []
    try:
        if not group.wait(PLACEMENT_TIMEOUT):
            raise PrmError(_no_room(config, resources))
        replicas += [_create(i, group, resources) for i in range(config.num_replicas)]
        _load(replicas, config, device_type)
    except BaseException:
        for replica in replicas:
            ray.kill(replica)
        remove_placement_group(group)
        raise
    return replicas


def lookup_replicas(config: "PrmConfig") -> list[ActorHandle]:
    """The running replicas, by name, from any process of the same Ray job.

    Raises:
        PrmError: one of them is not there.
    """
    try:
        return [ray.get_actor(_name(i)) for i in range(config.num_replicas)]
    except ValueError as error:
        raise PrmError(
            f"the PRM is not running ({_first_line(error)}); verl-prpo's trainer starts it, which needs "
            "trainer.use_v1=True and algorithm.adv_estimator=prpo"
        ) from error


def stop_replicas() -> None:
    """Kill the replicas of this Ray job and give their resources back; does nothing where none run.

    They end by themselves with the process that started them.
    """
    group = _running_group()
    if group is not None:
        remove_placement_group(group)  # and the actors in it


def _running_group() -> PlacementGroup | None:
    try:
        return get_placement_group(_GROUP)
    except ValueError:
        return None


def _name(index: int) -> str:
    return f"prm_replica_{index}"


def _create(index: int, group: PlacementGroup, resources: dict[str, float]) -> ActorHandle:
    others = {name: amount for name, amount in resources.items() if name not in ("CPU", "GPU")}
    actor = ray.remote(PrmReplica).options(
        name=_name(index),
        num_cpus=resources.get("CPU", 0),
        num_gpus=resources.get("GPU", 0),
        resources=others,
        scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=index),
    )
    return actor.remote()


def _load(replicas: list[ActorHandle], config: "PrmConfig", device_type: str) -> None:
    deadline = time.monotonic() + config.startup_timeout
    loading = {replica.load.remote(config, device_type): _name(i) for i, replica in enumerate(replicas)}
    pending = list(loading)
    while pending:
        ready, pending = ray.wait(pending, timeout=max(0.0, deadline - time.monotonic()))
        if not ready:
            raise PrmError(
                f"{', '.join(loading[ref] for ref in pending)} did not load {config.model_path} within "
                f"reward.prm.startup_timeout={config.startup_timeout:g} s; raise it, or use a faster disk"
            )
        try:
            ray.get(ready[0])
        except RayTaskError as error:
            if isinstance(error.cause, PrmError):
                raise PrmError(str(error.cause)) from None
            raise PrmError(
                f"{loading[ready[0]]} failed to load reward.prm.model_path={config.model_path}: "
                f"{type(error.cause).__name__}: {error.cause}"
            ) from error
        except RayActorError as error:
            raise PrmError(
                f"{loading[ready[0]]} died while it loaded reward.prm.model_path={config.model_path}; did the machine "
                f"run out of memory? {_first_line(error)}"
            ) from error


def _own_device(device_type: str) -> torch.device:
    if device_type == "cpu":
        return torch.device("cpu")
    module = torch.get_device_module(device_type)
    resource = _RAY_RESOURCE.get(device_type, "GPU")
    assigned = ray.get_runtime_context().get_accelerator_ids().get(resource, [])
    # Ray hides the other devices, unless RAY_EXPERIMENTAL_NOSET_*_VISIBLE_DEVICES tells it not to.
    hidden = not assigned or module.device_count() <= len(assigned)
    return torch.device(device_type, 0 if hidden else int(assigned[0]))


def _no_room(config: "PrmConfig", resources: dict[str, float]) -> str:
    def amounts(of: dict[str, float]) -> str:
        return ", ".join(f"{of.get(name, 0):g} {name}" for name in sorted({"CPU", "GPU", *resources}, reverse=True))

    wanted = " and ".join(f"{amount:g} {name}" for name, amount in sorted(resources.items(), reverse=True))
    return (
        f"the Ray cluster has no room for the PRM: {config.num_replicas} x ({wanted}) was asked for and not given "
        f"within {PLACEMENT_TIMEOUT:g} s. The cluster has {amounts(ray.cluster_resources())}; free are "
        f"{amounts(ray.available_resources())}. Lower reward.prm.num_gpus_per_replica, reward.prm.num_cpus_per_replica "
        "or reward.prm.num_replicas, leave some GPUs to the PRM with a smaller trainer.n_gpus_per_node or "
        "trainer.nnodes, or add GPUs."
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
