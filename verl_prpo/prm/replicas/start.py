# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Start, find and stop the replicas of the PRM, each a Ray actor with a name.

Their resources come from a placement group of their own. So "the cluster has no room" is not taken for "the weights
are still loading", and each of the two has a deadline of its own.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.placement_group import (
    PlacementGroup,
    get_placement_group,
    placement_group,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.replicas.actor import (
    RAY_RESOURCE,
    AsyncReplica,
    PrmDescription,
    PrmReplica,
)
from verl_prpo.prm.replicas.client import PrmClient, first_line
from verl_prpo.prm.served import require_servers
from verl_prpo.settings.prm import SCORE_FUNCTION
from verl_prpo.settings.prpo import engine_of, judge_of
from verl_prpo.settings.timeouts import NAMES_PAUSE, NAMES_TIMEOUT, PLACEMENT_TIMEOUT

if TYPE_CHECKING:
    from verl_prpo.settings.prpo import PrmConfig

__all__ = [
    "PrmClient",
    "PrmDescription",
    "PrmReplica",
    "lookup_replicas",
    "start_replicas",
    "stop_replicas",
]

_GROUP = "prm_replicas"


def start_replicas(
    config: "PrmConfig", device_type: str, server_urls: Sequence[str] | None = None
) -> list[ActorHandle]:
    """Create the replicas, named `prm_replica_{i}`, and wait until each has loaded its weights.

    With servers a replica holds no weights and no accelerator. It is ready once all servers have answered. With a score
    function it holds no accelerator either, and is ready once the function's file is imported.

    Args:
        config: `reward.prm`.
        device_type: the trainer's device. On "cpu", or with no GPU asked for per replica, the PRM runs on the CPU.
        server_urls: where the PRM is served, with `engine=reward_model`. None stands for `config.server.urls`.

    Returns:
        The actors' handles, in order.

    Raises:
        PrmError: Ray refuses the amounts of resources, the cluster has no room within `PLACEMENT_TIMEOUT`, the weights
            cannot be loaded, or not within `startup_timeout`, or a server is not up. Nothing is left running.
    """
    elsewhere = engine_of(config) != "in_process"
    served = elsewhere and engine_of(config) != SCORE_FUNCTION
    urls = list(config.server.urls if server_urls is None else server_urls)
    if served and not urls:
        raise PrmError(f"reward.prm.engine={config.engine}: no server of the PRM is known. Set reward.prm.server.urls")
    if served and server_urls is None:
        require_servers(config)  # before Ray is asked for anything
    if elsewhere or config.num_gpus_per_replica == 0:
        device_type = "cpu"
    resources = {"CPU": config.num_cpus_per_replica}
    if device_type != "cpu":
        resources[RAY_RESOURCE.get(device_type, "GPU")] = config.num_gpus_per_replica
    resources = {name: amount for name, amount in resources.items() if amount > 0} or {"CPU": 0.001}
    if _running_group() is not None:
        raise PrmError("another PRM of this Ray job is still running. Call stop_replicas() to end it")
    _wait_for_names(config.num_replicas)
    group = placement_group([resources] * config.num_replicas, strategy="PACK", name=_GROUP)
    replicas: list[ActorHandle] = []
    try:
        if not group.wait(PLACEMENT_TIMEOUT):
            raise PrmError(_no_room(config, resources))
        try:
            kind = AsyncReplica if elsewhere else PrmReplica
            replicas += [_create(kind, i, group, resources) for i in range(config.num_replicas)]
        except (ValueError, OverflowError) as error:
            raise PrmError(
                f"Ray cannot reserve {_amounts(resources)} for a replica: {error}. Set reward.prm.num_gpus_per_replica "
                "and reward.prm.num_cpus_per_replica to 0 or to at least 0.001"
            ) from error
        _load(replicas, config, urls if elsewhere else device_type)
    except BaseException:
        for replica in replicas:
            ray.kill(replica)
        remove_placement_group(group)
        raise
    return replicas


def lookup_replicas(config: "PrmConfig") -> list[ActorHandle | None]:
    """Find the running replicas by name, from any process of the same Ray job. The result has None for a missing one.

    Raises:
        PrmError: none of the replicas is there.
    """
    found: list[ActorHandle | None] = []
    fault = ""
    for i in range(config.num_replicas):
        try:
            found.append(ray.get_actor(_name(i)))
        except ValueError as error:
            found.append(None)
            fault = first_line(error)
    if all(replica is None for replica in found):
        raise PrmError(
            f"the PRM is not running: none of its replicas (reward.prm.num_replicas={config.num_replicas}) is there. "
            "They died (their logs say why) or were stopped, or they were never started: verl-prpo's trainer does "
            f"that, with trainer.use_v1=True and algorithm.adv_estimator=prpo. {fault}"
        )
    return found


def stop_replicas() -> None:
    """Kill the replicas of this Ray job and give their resources back. Do nothing where none run.

    They end by themselves with the process that started them.
    """
    for name in ray.util.list_named_actors():
        if name.startswith(_name("")):
            try:
                ray.kill(ray.get_actor(name))
            except ValueError:
                continue  # it ended by itself
    group = _running_group()
    if group is not None:
        remove_placement_group(group)


def _running_group() -> PlacementGroup | None:
    try:
        return get_placement_group(_GROUP)
    except ValueError:
        return None


def _wait_for_names(count: int) -> None:
    """Wait until the names of stopped replicas are free, which Ray does a while after they were stopped."""
    deadline = time.monotonic() + NAMES_TIMEOUT
    for name in map(_name, range(count)):
        while time.monotonic() < deadline:
            try:
                ray.get_actor(name)
            except ValueError:
                break
            time.sleep(NAMES_PAUSE)
        else:
            raise PrmError(f"an actor named {name} is still running {NAMES_TIMEOUT:g} s after its PRM was stopped")


def _name(index: int | str) -> str:
    return f"prm_replica_{index}"


def _create(kind: type, index: int, group: PlacementGroup, resources: dict[str, float]) -> ActorHandle:
    others = {name: amount for name, amount in resources.items() if name not in ("CPU", "GPU")}
    actor = ray.remote(kind).options(
        name=_name(index),
        num_cpus=resources.get("CPU", 0),
        num_gpus=resources.get("GPU", 0),
        resources=others,
        scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=index),
    )
    return actor.remote()


def _load(replicas: list[ActorHandle], config: "PrmConfig", where: Any) -> None:
    """Call `load(config, where)` of each replica. `where` is a device type or the servers' URLs."""
    deadline = time.monotonic() + config.startup_timeout
    loading = {replica.load.remote(config, where): _name(i) for i, replica in enumerate(replicas)}
    pending = list(loading)
    while pending:
        ready, pending = ray.wait(pending, timeout=max(0.0, deadline - time.monotonic()))
        if not ready:
            raise PrmError(
                f"{', '.join(loading[ref] for ref in pending)} did not load {judge_of(config)} within "
                f"reward.prm.startup_timeout={config.startup_timeout:g} s. Raise it, or use a faster disk"
            )
        try:
            ray.get(ready[0])
        except RayActorError as error:
            raise PrmError(
                f"{loading[ready[0]]} died while it loaded reward.prm.model_path={judge_of(config)}. Did the machine "
                f"run out of memory? {first_line(error)}"
            ) from error
        except RayError as error:
            cause = error.cause if isinstance(error, RayTaskError) else error
            if isinstance(cause, PrmError):
                raise PrmError(str(cause)) from None
            raise PrmError(
                f"{loading[ready[0]]} failed to load reward.prm.model_path={judge_of(config)}: "
                f"{type(cause).__name__}: {first_line(cause)}"
            ) from error


def _no_room(config: "PrmConfig", resources: dict[str, float]) -> str:
    def listed(of: dict[str, float]) -> str:
        return ", ".join(f"{of.get(name, 0):g} {name}" for name in sorted({"CPU", "GPU", *resources}, reverse=True))

    return (
        f"the Ray cluster has no room for the PRM: {config.num_replicas} x ({_amounts(resources)}) was asked for and "
        f"not given within {PLACEMENT_TIMEOUT:g} s. The cluster has {listed(ray.cluster_resources())}. Free are "
        f"{listed(ray.available_resources())}. Lower reward.prm.num_gpus_per_replica, reward.prm.num_cpus_per_replica "
        "or reward.prm.num_replicas, leave some GPUs to the PRM with a smaller trainer.n_gpus_per_node or "
        "trainer.nnodes, or add GPUs."
    )


def _amounts(resources: dict[str, float]) -> str:
    return " and ".join(f"{amount:g} {name}" for name, amount in sorted(resources.items(), reverse=True))
