# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The GPUs that a run would find, and whether what it asks for fits on them."""

import importlib
import json
import subprocess
import sys
from dataclasses import dataclass

from omegaconf import DictConfig

from verl_prpo.console.findings import CheckFailed, Finding, State
from verl_prpo.settings.timeouts import RAY_TIMEOUT
from verl_prpo.trainer.checks.gpus import pools, shortage, shown_nodes, shown_pools
from verl_prpo.trainer.checks.layouts import layouts, shown_layouts

HERE = "this machine"
RAY = "the Ray cluster that is up, which main_ppo would join"

_ASK_RAY = """
import json, ray
ray.init(address="auto", log_to_driver=False, logging_level="CRITICAL")
print("CLUSTER" + json.dumps([ray.nodes(), ray.available_resources()], default=str))
"""


@dataclass(frozen=True)
class Target:
    """The machines that training runs on.

    Attributes:
        nodes: GPUs of each node, the largest first. Empty when nothing is known.
        where: what this is known from, for people.
        free: GPUs that no other job holds now, None where that is not known.
    """

    nodes: tuple[float, ...]
    where: str
    free: float | None = None


def platform(config: DictConfig) -> Finding:
    """Report which device verl finds on this machine. The machine that trains may be another."""
    found = importlib.import_module("verl.plugin.platform").get_platform()
    device, count = str(config.trainer.device), int(found.device_count()) if found.is_available() else 0
    details = {"device": device, "count": count}
    if device != "cpu" and not count:
        advice = "all right if another machine trains; to train on a CPU set the environment variable VERL_PLATFORM=cpu"
        return Finding(f"trains on {device}, none of which is here", State.WARNING, advice, details, value=True)
    return Finding(f"trains on {device}; {count} here", details=details, value=True)


def gpus(config: DictConfig, stated: Target | None) -> Finding:
    """Subtract what the run asks for from what is there.

    Args:
        config: the whole verl configuration.
        stated: the target as the user describes it. None means that it is looked for.

    Raises:
        CheckFailed: it does not fit. The advice names settings with which it does.
    """
    asked = pools(config)
    if not asked:
        return Finding("trains on the CPU", State.SKIPPED)
    target = stated or found_target()
    wanted = sum(pool.gpus for pool in asked)
    details = {
        "asked": {pool.part: pool.gpus for pool in asked},
        "nodes": list(target.nodes),
        "where": target.where,
    }
    if not target.nodes and target.where != RAY:
        return Finding(
            f"{wanted:g} asked for\n{shown_pools(asked)}",
            State.WARNING,
            "neither Ray nor GPUs are here to compare with: say what the target has, as in --gpus 8 --nodes 1",
            details,
            value=True,
        )
    lacks = shortage(asked, target.nodes)
    if lacks:
        ways = layouts(config, target.nodes)
        details["layouts"] = [{"what": way.what, "overrides": way.lines} for way in ways]
        shown = f"add the lines of one of these:\n{shown_layouts(ways)}" if ways else "ask for fewer, or add GPUs"
        if int(config.trainer.nnodes) > 1 and target.where == HERE:
            shown = f"start Ray on every node first (docs/scaling.md), or say --gpus and --nodes. Or {shown}"
        raise CheckFailed(f"{lacks} ({target.where})\n{shown_pools(asked)}", shown, details)
    there = f"{wanted:g} of {sum(target.nodes):g} asked for ({shown_nodes(target.nodes)}, {target.where})"
    if target.free is not None and target.free < wanted:
        return Finding(
            f"{there}\n{shown_pools(asked)}\n{sum(target.nodes) - target.free:g} are held by another job now",
            State.WARNING,
            "verl stops unless they are free when training starts",
            details,
            value=True,
        )
    return Finding(f"{there}\n{shown_pools(asked)}", details=details, value=True)


def found_target() -> Target:
    """Find the Ray cluster that `main_ppo` would join, else the GPUs of this machine."""
    found = importlib.import_module("verl.plugin.platform").get_platform()
    cluster = _of_ray(found.ray_resource_name())
    if cluster is not None:
        return cluster
    count = int(found.device_count()) if found.is_available() else 0
    return Target((float(count),) if count else (), HERE)


def _of_ray(resource: str) -> Target | None:
    """Ask Ray for its resources from a process of its own, so that this process stays outside the cluster."""
    from verl_prpo.trainer.checks.start_checks import gpus_of_nodes

    try:
        asked = subprocess.run(
            [sys.executable, "-c", _ASK_RAY], capture_output=True, text=True, timeout=RAY_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    line = next((line for line in asked.stdout.splitlines() if line.startswith("CLUSTER")), None)
    if line is None:
        return None
    listed, available = json.loads(line.removeprefix("CLUSTER"))
    return Target(tuple(gpus_of_nodes(listed, resource)), RAY, float(available.get(resource, 0)))
