# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The sizes that must divide, as far as verl checks them only once Ray and the weights are up."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from verl_prpo.trainer.checks.gpus import servers_size

MINI = "actor_rollout_ref.actor.ppo_mini_batch_size"
MICRO = "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu"
READ_MICRO = "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu"
N = "actor_rollout_ref.rollout.n"
TENSOR = "actor_rollout_ref.rollout.tensor_model_parallel_size"
BATCH = "data.train_batch_size"


@dataclass(frozen=True)
class Fault:
    """Sizes at which verl stops: what was found, and what to set instead."""

    found: str
    advice: str


@dataclass(frozen=True)
class Shares:
    """How a batch is divided over the trainer's processes.

    Attributes:
        processes: processes of the trainer, one per GPU.
        asked: the settings that they come from, as they stand.
        parallel: processes that share one piece of a batch.
        meaning: the settings that these come from, as they stand.
        ranks: pieces of a batch.
    """

    processes: int
    asked: str
    parallel: int
    meaning: str
    ranks: int


def shares(config: DictConfig) -> Shares:
    """Work out into how many pieces a batch is cut. `ranks` is rounded down where the parallel sizes do not divide."""
    trainer = config.trainer
    processes = int(trainer.nnodes) * int(trainer.n_gpus_per_node)
    asked = f"trainer.nnodes={trainer.nnodes} x trainer.n_gpus_per_node={trainer.n_gpus_per_node}"
    parallel, meaning, replicated = _model_parallel(config.actor_rollout_ref.actor)
    return Shares(processes, asked, parallel, meaning, 1 if replicated else max(1, processes // parallel))


def size_faults(config: DictConfig) -> list[Fault]:
    """List the sizes at which verl would stop, at some of them only after the first rollout.

    Args:
        config: the whole verl configuration.
    """
    cut = shares(config)
    if cut.processes < 1:
        return [Fault(f"{cut.asked} leaves nothing to train on", "set both to 1 or more")]
    found = [*_server_faults(config, cut), *_pool_faults(config)]
    if cut.processes % cut.parallel:
        found.append(
            Fault(
                f"{cut.processes} processes ({cut.asked}) are no multiple of {cut.parallel} ({cut.meaning})",
                "set trainer.n_gpus_per_node to a multiple of it, or lower the parallel sizes",
            )
        )
        return found
    found += _batch_faults(config, cut)
    return found


def that_divide(config: DictConfig) -> dict[str, int]:
    """Find the nearest smaller batch sizes that divide over the trainer's processes and into each other.

    Args:
        config: the whole verl configuration.

    Returns:
        The settings to change with their values, empty where none has to be. They may still leave faults that no
        batch size removes.
    """
    cut = shares(config)
    n, mini, batch = _sizes(config)
    step = cut.ranks // math.gcd(cut.ranks, n)
    fitting = max(step, mini // step * step)
    if str(config.trainer.v1.trainer_mode) == "separate_async":
        whole = int(config.trainer.v1.separate_async.parameter_sync_step) * fitting
    else:
        # verl also asks that all responses divide over all processes, those that share a piece of a batch among them.
        every = 1 if config.actor_rollout_ref.actor.use_dynamic_bsz else cut.processes // math.gcd(cut.processes, n)
        unit = math.lcm(fitting, every)
        whole = max(unit, batch // unit * unit)
    changed = {key: new for key, old, new in ((BATCH, batch, whole), (MINI, mini, fitting)) if old != new}
    generated = int(config.data.get("gen_batch_size") or whole)
    if whole % generated:
        changed["data.gen_batch_size"] = _divisor(whole, generated)
    for key, micro, each in _micro_batches(config, cut.ranks, fitting, whole):
        if micro is not None and each % micro:
            changed[key] = _divisor(each, micro)
    return changed


def _sizes(config: DictConfig) -> tuple[int, int, int]:
    rollout, actor = config.actor_rollout_ref.rollout, config.actor_rollout_ref.actor
    return int(rollout.n), int(actor.ppo_mini_batch_size), int(config.data.train_batch_size)


def _micro_batches(config: DictConfig, ranks: int, mini: int, batch: int) -> Iterator[tuple[str, int | None, int]]:
    """List each micro-batch's key and size, and the number of responses of a process that it must divide.

    There are none with dynamic batches.
    """
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    if actor.use_dynamic_bsz:
        return
    asynchronous = str(config.trainer.v1.trainer_mode) == "separate_async"  # it trains on parts of a batch
    responses = (mini if asynchronous else batch) * int(rollout.n)
    padded = math.lcm(ranks, mini * int(rollout.n))
    for key, micro, of in (
        (MICRO, actor.ppo_micro_batch_size_per_gpu, mini * int(rollout.n)),
        (READ_MICRO, rollout.log_prob_micro_batch_size_per_gpu, -(-responses // padded) * padded),
    ):
        yield key, None if micro is None else int(micro), of // ranks


def _divisor(count: int, most: int) -> int:
    """Return the largest divisor up to a bound."""
    return max(size for size in range(1, most + 1) if count % size == 0)


def _batch_faults(config: DictConfig, cut: Shares) -> Iterator[Fault]:
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    n, mini, batch = _sizes(config)
    over = f"over {cut.ranks} data-parallel processes ({cut.asked}{f', by {cut.meaning}' if cut.parallel > 1 else ''})"
    responses = f"{MINI}={mini} x {N}={n}"
    if (mini * n) % cut.ranks:
        step = cut.ranks // math.gcd(cut.ranks, n)
        yield Fault(
            f"a mini-batch of {mini * n} responses ({responses}) does not divide {over}",
            f"set {MINI} to a multiple of {step}, such as {max(step, mini // step * step)}",
        )
    else:
        yield from _micro_faults(config, cut, mini, batch)
    if bool(actor.use_dynamic_bsz) != bool(rollout.log_prob_use_dynamic_bsz):
        yield Fault(
            f"actor_rollout_ref.actor.use_dynamic_bsz={actor.use_dynamic_bsz} and "
            f"actor_rollout_ref.rollout.log_prob_use_dynamic_bsz={rollout.log_prob_use_dynamic_bsz} must be the same",
            f"set actor_rollout_ref.rollout.log_prob_use_dynamic_bsz={actor.use_dynamic_bsz}",
        )
    if str(config.trainer.v1.trainer_mode) == "separate_async":
        steps = int(config.trainer.v1.separate_async.parameter_sync_step)
        if batch != steps * mini:
            yield Fault(
                f"separate_async asks for {BATCH} = parameter_sync_step x ppo_mini_batch_size, and {batch} is not "
                f"{steps} x {mini}",
                f"set {BATCH}={steps * mini}",
            )
    generated = int(config.data.get("gen_batch_size") or batch)
    if batch % generated:
        yield Fault(
            f"{BATCH}={batch} is no multiple of data.gen_batch_size={generated}, in which verl asks for prompts",
            f"set data.gen_batch_size to a divisor of {batch}, or leave it null",
        )


def _micro_faults(config: DictConfig, cut: Shares, mini: int, batch: int) -> Iterator[Fault]:
    for key, micro, each in _micro_batches(config, cut.ranks, mini, batch):
        if micro is None:
            yield Fault(
                f"{key} is not set, and verl's workers read no other key for it",
                f"set {key}, or actor_rollout_ref.actor.use_dynamic_bsz=True",
            )
        elif each % micro:
            yield Fault(
                f"{each} responses of each of {cut.ranks} data-parallel processes are no multiple of {key}={micro}",
                f"set {key}={_divisor(each, micro)}",
            )


def _server_faults(config: DictConfig, cut: Shares) -> Iterator[Fault]:
    """Find sizes of inference servers that do not divide the GPUs they run on."""
    rollout, trainer = config.actor_rollout_ref.rollout, config.trainer
    size = servers_size(rollout)
    apart = str(trainer.v1.trainer_mode) == "separate_async"
    if config.actor_rollout_ref.get("hybrid_engine", True) or not apart:
        if cut.processes % size:
            yield Fault(
                f"{cut.processes} GPUs of the trainer ({cut.asked}) are no multiple of {size}, the GPUs of one rollout "
                f"server ({TENSOR}={rollout.tensor_model_parallel_size}"
                f"{_other_sizes('actor_rollout_ref.rollout', rollout)})",
                f"set {TENSOR} to {_divisors(cut.processes)}",
            )
        elif int(trainer.nnodes) > 1:
            yield from _spread(TENSOR, size, int(trainer.n_gpus_per_node), "trainer.n_gpus_per_node")
            gpus, there = int(rollout.n_gpus_per_node or 0), int(trainer.n_gpus_per_node)
            if min(gpus, size) > there:  # verl goes by this number, and puts so many GPUs of a server on one node
                yield Fault(
                    f"actor_rollout_ref.rollout.n_gpus_per_node={gpus} puts {min(gpus, size)} GPUs of a rollout server "
                    f"({TENSOR}={rollout.tensor_model_parallel_size}) on one node, and the trainer has "
                    f"trainer.n_gpus_per_node={there} there",
                    f"leave actor_rollout_ref.rollout.n_gpus_per_node out, or set it to {there}",
                )
    if apart:
        pool = int(rollout.nnodes) * int(rollout.n_gpus_per_node)
        if 0 < pool < size:
            yield Fault(
                f"actor_rollout_ref.rollout.nnodes={rollout.nnodes} x n_gpus_per_node={rollout.n_gpus_per_node} holds "
                f"no rollout server of {size} GPUs ({TENSOR}={rollout.tensor_model_parallel_size})",
                f"set {TENSOR} to {_divisors(pool)}",
            )


def _pool_faults(config: DictConfig) -> Iterator[Fault]:
    model: Any = config.reward.reward_model
    distillation: Any = config.get("distillation") or {}
    for name, pool, on in (
        ("reward.reward_model", model, model.enable_resource_pool),
        ("distillation", distillation, distillation.get("enabled", False)),
    ):
        if on and (int(pool.nnodes or 0) < 1 or int(pool.n_gpus_per_node or 0) < 1):
            yield Fault(
                f"{name}.nnodes={pool.nnodes} x {name}.n_gpus_per_node={pool.n_gpus_per_node} is an empty pool",
                f"set {name}.nnodes and {name}.n_gpus_per_node to 1 or more",
            )
    if not model.enable:
        return
    place, where = (model, "reward.reward_model") if model.enable_resource_pool else (config.trainer, "trainer")
    gpus, size = int(place.nnodes) * int(place.n_gpus_per_node), servers_size(model.rollout)
    section = "reward.reward_model.rollout"
    key = f"{section}.tensor_model_parallel_size"
    if gpus and gpus % size:
        yield Fault(
            f"{where}.nnodes={place.nnodes} x {where}.n_gpus_per_node={place.n_gpus_per_node} gives the reward model "
            f"{gpus} GPUs, no multiple of {size}, the GPUs of one server "
            f"({key}={model.rollout.tensor_model_parallel_size}{_other_sizes(section, model.rollout)})",
            f"set {key} to {_divisors(gpus)}",
        )


def _spread(key: str, size: int, per_node: int, where: str) -> Iterator[Fault]:
    """Check that a server lies on one node, or fills whole nodes."""
    if size % per_node and per_node % size:
        yield Fault(
            f"rollout servers of {size} GPUs ({key}) neither fit side by side on nodes of {where}={per_node} nor fill "
            "whole ones",
            f"set {key} to {_divisors(per_node)}",
        )


def _other_sizes(section: str, rollout: Any) -> str:
    return "".join(
        f", {section}.{name}={rollout.get(name)}"
        for name in ("data_parallel_size", "pipeline_model_parallel_size")
        if int(rollout.get(name) or 1) > 1
    )


def _divisors(count: int) -> str:
    found = [str(size) for size in range(1, count + 1) if count % size == 0]
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} or {found[-1]}"


def _model_parallel(actor: Any) -> tuple[int, str, bool]:
    """Return how many processes share one piece of a batch, the settings that this comes from, and whether all
    processes get the whole batch."""
    if actor.strategy == "megatron":
        sizes_of = actor.megatron
        names = ("tensor_model_parallel_size", "pipeline_model_parallel_size", "context_parallel_size")
        parallel = math.prod(int(sizes_of[name]) for name in names)
        said = " x ".join(f"{name}={sizes_of[name]}" for name in names)
        return parallel, f"actor_rollout_ref.actor.megatron: {said}", bool(sizes_of.get("dynamic_context_parallel"))
    engine = "fsdp_config" if actor.get("fsdp_config") else str(actor.strategy)
    key = "ulysses_sequence_parallel_size"
    inner = int((actor.get(engine) or {}).get(key) or 1)
    outer = int(actor.get(key) or 1)
    if outer > 1 or inner == 1:
        return outer, f"actor_rollout_ref.actor.{key}={outer}", False
    return inner, f"actor_rollout_ref.actor.{engine}.{key}={inner}", False
