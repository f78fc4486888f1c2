# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The reward model that verl launches (`reward.reward_model`), used as the process reward model.

verl starts vLLM servers for it and a router before them. The router is asked for process scores like any other server.
By itself verl would use such a model for the outcome and bypass every reward manager. Here the outcome stays what it
would be without a reward model.

With `reward.reward_model.enable_resource_pool=True` it has GPUs of its own. Otherwise it shares the trainer's
(colocated): it sleeps, and wakes for the process pass alone.
"""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from ray.exceptions import RayError

from verl_prpo.prm.families import resolve_family
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.families.checkpoints import read_model_config
from verl_prpo.settings.prpo import ConfigError, PrmConfig, engine_of, prm_config

WORKER_EXTENSION = "verl_prpo.trainer.reward_model_worker.PrmWorkerExtension"

_DEFAULT_SCORER = {"path": "pkg://verl.utils.reward_score", "name": "default_compute_score"}
"""verl's own outcome function, in the form in which a user names one. With a path set, verl asks the reward manager
even when a reward model is enabled (`RewardLoopWorker.compute_score`)."""

_KEY = "reward.reward_model"


def uses_reward_model(prm: PrmConfig) -> bool:
    """Return whether the PRM is the reward model that verl launches."""
    return engine_of(prm) == "reward_model"


def shares_gpus(config: DictConfig) -> bool:
    """Return whether the PRM is a reward model that verl launches on the trainer's own GPUs."""
    return uses_reward_model(prm_config(config.reward)) and not config.reward.reward_model.enable_resource_pool


def check_reward_model(config: DictConfig, prm: PrmConfig) -> None:
    """Check that `reward.reward_model` gives what a PRM needs.

    Args:
        config: the whole verl configuration.
        prm: its `reward.prm`, with `engine=reward_model`.

    Raises:
        ConfigError: the first key that cannot work.
    """
    settings = config.reward.reward_model
    if not settings.enable:
        raise ConfigError(
            f"reward.prm.engine=reward_model scores with the reward model that verl launches, but {_KEY}.enable=False. "
            f"Set {_KEY}.enable=True, or another engine, such as ++reward.prm.engine=in_process."
        )
    if not settings.model_path:
        raise ConfigError(
            f"reward.prm.engine=reward_model needs the process reward model to launch. Set {_KEY}.model_path"
        )
    if prm.model_path and prm.model_path != settings.model_path:
        raise ConfigError(
            f"reward.prm.model_path={prm.model_path} is not the model that verl launches, "
            f"{_KEY}.model_path={settings.model_path}. Leave the first unset."
        )
    name = "unset" if OmegaConf.is_missing(settings.rollout, "name") else settings.rollout.name
    if name != "vllm":
        raise ConfigError(
            f"{_KEY}.rollout.name is {name}, but process scores come from a vLLM server. Set {_KEY}.rollout.name=vllm."
        )
    place, where = (config.trainer, "trainer") if not settings.enable_resource_pool else (settings, _KEY)
    gpus = place.nnodes * place.n_gpus_per_node
    parallel = ("tensor_model_parallel_size", "data_parallel_size", "pipeline_model_parallel_size")
    sizes = {key: int(settings.rollout.get(key) or 1) for key in parallel}
    needed = math.prod(sizes.values())
    if gpus < needed:
        asked = ", ".join(f"{_KEY}.rollout.{key}={size}" for key, size in sizes.items() if size > 1)
        raise ConfigError(
            f"{where}.nnodes={place.nnodes} x n_gpus_per_node={place.n_gpus_per_node} gives the reward model "
            f"{gpus} GPUs, and one server needs {needed}{f' ({asked})' if asked else ''}. Raise the former, or lower "
            f"the parallel sizes of {_KEY}.rollout."
        )


def wire_reward_model(config: DictConfig) -> None:
    """Make the enabled reward model the PRM and nothing else. A second call changes nothing.

    `reward.prm.model_path` becomes its path. Without a reward function of the user's, verl's own is set in its place,
    so that verl asks the reward manager for the outcome. On GPUs of its own the reward model stays awake: it has
    nothing to make room for, and verl would never wake it.

    Args:
        config: the whole verl configuration. `reward` is changed in place.

    Raises:
        PrmError: no family is known for the model.
        ConfigError: its family cannot be served.
    """
    reward = config.reward
    rollout = reward.reward_model.rollout
    with open_dict(reward):
        reward.prm.model_path = reward.reward_model.model_path
        if not reward.custom_reward_function.get("path"):
            reward.custom_reward_function.update(_DEFAULT_SCORER)
        if reward.reward_model.enable_resource_pool:
            rollout.free_cache_engine = False
            rollout.enable_sleep_mode = False
        extension = {"vllm": {"worker_extension_cls": WORKER_EXTENSION}}
        rollout.engine_kwargs = OmegaConf.merge(extension, rollout.get("engine_kwargs") or {})
        family = resolve_family(prm_config(reward))
        if family.serving is None:
            raise ConfigError(
                f"reward.prm.engine=reward_model: no vLLM server can give the scores of the PRM family {family.name}. "
                f"Set ++reward.prm.engine=in_process, {_KEY}.enable=False and "
                f"++reward.prm.model_path={reward.prm.model_path}."
            )
        if family.serving == "pooling":
            _leave_batching_to_vllm(rollout, reward.reward_model.model_path)


def _leave_batching_to_vllm(rollout: DictConfig, model_path: str) -> None:
    """Leave to vLLM whether prompts are read in chunks or from a cache, and size the batch for a whole prompt.

    vLLM knows which pooling models allow it, and Qwen2.5-Math-PRM does not. verl's settings would force both. Without
    chunks a prompt must fit in one batch.
    """
    rollout.enable_chunked_prefill = None
    rollout.enable_prefix_caching = None
    longest = rollout.get("max_model_len") or read_model_config(model_path).get("max_position_embeddings") or 0
    rollout.max_num_batched_tokens = max(rollout.get("max_num_batched_tokens") or 0, longest)


def without_default_scorer(reward: DictConfig) -> None:
    """Remove the scorer that `wire_reward_model` set for verl's workers, in place. The outcome manager then uses verl's
    own scorer, which needs no path, with `reward.sandbox_fusion` if configured."""
    custom = reward.get("custom_reward_function") or {}
    if custom.get("path") == _DEFAULT_SCORER["path"] and custom.get("name") == _DEFAULT_SCORER["name"]:
        with open_dict(reward):
            reward.custom_reward_function.path = None


def router_url(reward_loop_manager: Any) -> str:
    """Return the base URL of the router before the servers that verl launched.

    Args:
        reward_loop_manager: verl's `RewardLoopManager` with a reward model.
    """
    return f"http://{reward_loop_manager.reward_router_address}"


@contextmanager
def awake(reward_loop_manager: Any, timeout: float) -> Iterator[None]:
    """Wake a reward model that shares the trainer's GPUs, and put it back to sleep.

    Args:
        reward_loop_manager: verl's `RewardLoopManager` with a reward model.
        timeout: longest wait for either, in seconds (`reward.prm.timeout`).

    Raises:
        PrmError: it did not wake or fall asleep in time, or its server died.
    """
    replicas = reward_loop_manager.reward_model_manager.rollout_replicas
    _all("wake up", [replica.wake_up for replica in replicas], timeout)
    try:
        yield
    finally:
        _all("sleep", [replica.sleep for replica in replicas], timeout)


def _all(what: str, calls: list[Any], timeout: float) -> None:
    async def gathered() -> None:
        await asyncio.wait_for(asyncio.gather(*(call() for call in calls)), timeout)

    try:
        asyncio.run(gathered())
    except asyncio.TimeoutError as error:
        raise PrmError(
            f"the reward model that verl launched did not {what} within reward.prm.timeout={timeout:g} s"
        ) from error
    except RayError as error:
        raise PrmError(
            f"the reward model that verl launched failed to {what}: {error}. If memory ran out, lower "
            f"{_KEY}.rollout.gpu_memory_utilization, or give it GPUs of its own ({_KEY}.enable_resource_pool=True)"
        ) from error
