# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The split of a GPU's memory between a policy and a PRM that take turns on it.

What the PRM needs, and what is left for it, is estimated from the two models' config.json. The estimate is for the
layout in which verl launches the PRM on the trainer's own GPUs. docs/one_node.md shows the formula with its numbers.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig

from verl_prpo.prm.families.checkpoints import local_file

GPU_BYTES = 80e9
"""Memory assumed of a GPU where this machine has none."""

OUTSIDE_BYTES = 4e9
"""Memory that a vLLM server is assumed to take beside weights, activations and cache: CUDA, NCCL, workspaces."""

ASLEEP_BYTES = 2e9
"""Memory that a sleeping vLLM server is assumed to keep on a GPU: CUDA and what lies outside its own pool."""

TRAINER_BYTES = 3e9
"""Memory that the trainer's process is assumed to keep beside weights and optimizer: CUDA, NCCL, the allocator's cache.
"""

HEADROOM = 1.5
"""The share to set is so many times what the PRM needs. More is no loss, since nothing else works on the GPU then."""

STEP = 0.05
"""Shares are multiples of it."""


@dataclass(frozen=True)
class Shape:
    """The size of a dense decoder, as its config.json gives it.

    Attributes:
        parameters: number of weights.
        cache: bytes of the key-value cache for a token, in bfloat16.
        activations: bytes that a layer's widest activations take for a token, in bfloat16.
        heads: attention heads. Tensor parallelism must divide them.
    """

    parameters: int
    cache: int
    activations: int
    heads: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Shape | None":
        """Read it from the contents of a config.json. The result is None for a mixture of experts and other kinds."""
        try:
            hidden, inner, layers, heads, words = (
                int(config[key])
                for key in (
                    "hidden_size",
                    "intermediate_size",
                    "num_hidden_layers",
                    "num_attention_heads",
                    "vocab_size",
                )
            )
            key_values = int(config.get("num_key_value_heads") or heads)
            width = int(config.get("head_dim") or hidden // heads)
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            return None
        if any(config.get(key) for key in ("num_experts", "num_local_experts", "n_routed_experts")):
            return None
        speaks = any(str(name).endswith("ForCausalLM") for name in config.get("architectures") or ())
        embeddings = words * hidden * (2 if speaks and not config.get("tie_word_embeddings") else 1)
        head = 0 if speaks else hidden * hidden
        layer = 2 * hidden * width * (heads + key_values) + 3 * hidden * inner
        return cls(
            embeddings + head + layers * layer, 4 * layers * key_values * width, 2 * (2 * inner + 4 * hidden), heads
        )


@dataclass(frozen=True)
class Split:
    """The PRM's part of a GPU's memory, all in bytes but the last two.

    Attributes:
        needs: the least that its server must have.
        room: the most that trainer and sleeping policy leave it.
        host: the part of a node's own memory that its weights take while it sleeps.
        tensor_parallel: GPUs of a server.
        share: `gpu_memory_utilization` to set.
    """

    needs: float
    room: float
    host: float
    tensor_parallel: int
    share: float

    @property
    def fits(self) -> bool:
        """True if the PRM has room."""
        return self.needs <= self.room


def split(config: DictConfig, policy: Shape, prm: Shape, gpu: float, tensor_parallel: int) -> Split:
    """Divide a GPU's memory between a policy's trainer and a PRM that wakes when the rollout is over.

    Args:
        config: the whole verl configuration. The trainer's GPUs, its offloading and the batch of `reward.reward_model`
            count.
        policy: the shape of the policy.
        prm: the shape of the PRM.
        gpu: bytes of a GPU.
        tensor_parallel: GPUs over which a server of the PRM is split.
    """
    server = config.reward.reward_model.rollout
    tokens = max(int(server.get("max_num_batched_tokens") or 0), int(server.get("max_model_len") or 0))
    weights = 2 * prm.parameters / tensor_parallel
    needs = weights + tokens * (prm.activations + prm.cache) / tensor_parallel + OUTSIDE_BYTES
    room = gpu - resident(config, policy) - TRAINER_BYTES - ASLEEP_BYTES
    most = max(0.0, math.floor(room / gpu / STEP) * STEP)
    share = min(most, math.ceil(HEADROOM * needs / gpu / STEP) * STEP)
    host = weights * int(config.trainer.n_gpus_per_node)
    return Split(needs, room, host, tensor_parallel, round(share, 2))


def resident(config: DictConfig, policy: Shape) -> float:
    """Count the bytes of the policy's training state that stay on each of the trainer's GPUs between updates.

    Weights in float32 and two moments of the optimizer are 12 bytes a parameter, and the reference policy is 2. FSDP
    divides them over all GPUs. What is offloaded counts nothing.
    """
    actor, reference = (config.actor_rollout_ref[part].get("fsdp_config") or {} for part in ("actor", "ref"))
    per_parameter = 0 if actor.get("param_offload") else 4
    per_parameter += 0 if actor.get("optimizer_offload") else 8
    needs_reference = config.actor_rollout_ref.actor.get("use_kl_loss") or config.algorithm.get("use_kl_in_reward")
    per_parameter += 2 if needs_reference and not reference.get("param_offload") else 0
    return policy.parameters * per_parameter / max(1, int(config.trainer.nnodes) * int(config.trainer.n_gpus_per_node))


def shared_split(config: DictConfig, prm_path: str | None) -> Split | None:
    """Find the split with the smallest servers that fit.

    The result is None where a config.json is not on this machine, or where no split fits.

    Args:
        config: the whole verl configuration.
        prm_path: folder or hub name of the PRM. Nothing is looked up at the hub.
    """
    policy, prm = shape_at(str(config.actor_rollout_ref.model.path)), shape_at(prm_path)
    if policy is None or prm is None:
        return None
    gpus = int(config.trainer.n_gpus_per_node)
    for size in (size for size in range(1, gpus + 1) if gpus % size == 0 and prm.heads % size == 0):
        found = split(config, policy, prm, gpu_bytes(), size)
        if found.fits:
            return found
    return None


def shape_at(path: str | None) -> Shape | None:
    """Read the shape of a model in a folder or in the hub's cache.

    The result is None where there is no config.json, or where it does not give a shape.
    """
    file = local_file(path, "config.json")
    try:
        content = json.loads(file.read_text(encoding="utf-8")) if file else None
    except (OSError, ValueError):
        return None
    return Shape.of(content) if isinstance(content, dict) else None


def gpu_bytes() -> float:
    """Return the memory of this machine's first GPU, `GPU_BYTES` where there is none."""
    return float(torch.cuda.get_device_properties(0).total_memory) if torch.cuda.is_available() else GPU_BYTES
