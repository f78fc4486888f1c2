# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""An estimate of whether a policy and a PRM that take turns on the same GPUs find room there. Neither is loaded."""

from omegaconf import DictConfig

from verl_prpo.console.findings import Finding, State
from verl_prpo.trainer.checks.memory import Shape, Split, gpu_bytes, shape_at, split

PRM_SHARE = "reward.reward_model.rollout.gpu_memory_utilization"
PRM_TENSOR = "reward.reward_model.rollout.tensor_model_parallel_size"
POLICY_SHARE = "actor_rollout_ref.rollout.gpu_memory_utilization"


def shared_memory(config: DictConfig) -> Finding:
    """Compare the shares of a GPU's memory that are set with what each model needs and what the others leave.

    Args:
        config: the whole verl configuration, with the PRM on the trainer's GPUs.
    """
    paths = (str(config.actor_rollout_ref.model.path), str(config.reward.reward_model.model_path))
    policy, prm = (shape_at(path) for path in paths)
    for path, shape in zip(paths, (policy, prm), strict=True):
        if shape is None:
            return Finding(f"{path} has no config.json on this machine that says how large it is", State.SKIPPED)
    assert policy is not None and prm is not None
    gpu, rollout = gpu_bytes(), config.reward.reward_model.rollout
    found = split(config, policy, prm, gpu, int(rollout.tensor_model_parallel_size))
    share = float(rollout.gpu_memory_utilization)
    policy_share = float(config.actor_rollout_ref.rollout.gpu_memory_utilization)
    lines = [
        f"of a GPU of {_gb(gpu)} the PRM gets {_gb(share * gpu)} ({PRM_SHARE}={share:g}) while it scores; it needs "
        f"{_gb(found.needs)}, and trainer and sleeping policy leave {_gb(found.room)}",
        f"asleep its weights take {_gb(found.host)} of each node's own memory",
    ]
    details = {
        "needs": found.needs, "room": found.room, "host": found.host, "advised_share": found.share, "gpu": gpu,
    }  # fmt: skip
    advice = _advice(found, prm, gpu, share, policy_share)
    if advice:
        return Finding("\n".join(lines), State.WARNING, f"{'; '.join(advice)} (docs/one_node.md)", details, value=True)
    return Finding("\n".join(lines), details=details, value=True)


def _advice(found: Split, prm: Shape, gpu: float, share: float, policy_share: float) -> list[str]:
    advice = []
    if not found.fits:
        advice.append(
            f"raise {PRM_TENSOR}={found.tensor_parallel}, which must divide {prm.heads}, or give the PRM GPUs"
        )
    elif share * gpu < found.needs or share * gpu > found.room:
        advice.append(f"set {PRM_SHARE}={found.share:g}")
    if policy_share * gpu > found.room:
        advice.append(f"lower {POLICY_SHARE}={policy_share:g} to {int(found.room / gpu * 20) / 20:g}")
    return advice


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
