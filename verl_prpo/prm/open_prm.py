# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Open the PRM of a configuration for a command, without Ray: in this process, at its servers or as a function."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from omegaconf import DictConfig

from verl_prpo.prm.families.base import PrmFamily
from verl_prpo.prm.families.checkpoints import local_file
from verl_prpo.prm.in_process.engine import dtype_of, open_in_process_engine
from verl_prpo.prm.results import PrmRequest, PrmResult
from verl_prpo.prm.score_function.engine import FunctionScale, open_score_function
from verl_prpo.prm.served import open_served
from verl_prpo.settings.prpo import PrmConfig, engine_of

T = TypeVar("T")

WEIGHT_FILES = ("*.safetensors", "*.bin", "*.pth")


@dataclass(frozen=True)
class OpenPrm:
    """A PRM that answers.

    Attributes:
        family: its family, with the context that it has where it runs. For a score function it is the function's scale.
        where: where it runs, for people.
        score: gives one result per request, in their order.
        close: ends the connections.
    """

    family: PrmFamily | FunctionScale
    where: str
    score: Callable[[Sequence[PrmRequest]], list[PrmResult]]
    close: Callable[[], None] = lambda: None


def load_here(config: PrmConfig, device: str = "cpu") -> OpenPrm:
    """Load the weights into this process.

    Args:
        config: `reward.prm`.
        device: as torch names it.

    Raises:
        PrmError: the PRM cannot be used as configured.
    """
    engine = open_in_process_engine(config, torch.device(device))
    where = f"here, in {dtype_of(config, torch.device(device).type)} on {device}"
    return OpenPrm(engine.family, where, engine.score)


def open_at_servers(config: PrmConfig) -> OpenPrm:
    """Ask the servers of `reward.prm.server.urls` for their health and their model, and score there.

    Args:
        config: `reward.prm`.

    Raises:
        PrmError: a server cannot be used. The message names its URL and the reason.
    """
    engine, score, close = _in_a_loop(open_served(config, config.server.urls))
    limit = "of unknown context" if engine.model.max_model_len is None else f"of {engine.model.max_model_len} tokens"
    count = len(engine.pool.servers)
    where = f"at {count} server{'s' if count > 1 else ''} of {engine.model.name}, {limit}"
    return OpenPrm(engine.family, where, score, close)


def open_function(config: PrmConfig) -> OpenPrm:
    """Load the function of `reward.prm.score_function` in a process of its own, and score with it.

    Args:
        config: `reward.prm`.

    Raises:
        PrmError: the function cannot be used.
    """
    engine, score, close = _in_a_loop(open_score_function(config))
    kind = "a coroutine" if engine.pool.coroutine else "a function"
    batches = f", with up to {config.score_function.batch_size} responses each" if engine.batched else ""
    where = f"{kind} in processes of its own, at most {engine.pool.concurrency} at once{batches}"
    return OpenPrm(engine.family, where, score, close)


def _in_a_loop(
    opening: Coroutine[Any, Any, T],
) -> tuple[T, Callable[[Sequence[PrmRequest]], list[PrmResult]], Callable[[], None]]:
    """Open an engine in an event loop of its own, and return it with its `score` and `close` for callers outside."""
    loop = asyncio.new_event_loop()  # in a thread of its own: that of a notebook runs another
    thread = threading.Thread(target=loop.run_forever, name="prm_engine", daemon=True)
    thread.start()

    def wait_for(asked: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(asked, loop).result()

    def end() -> None:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    try:
        engine: Any = wait_for(opening)
    except BaseException:
        end()
        raise

    def close() -> None:
        if not loop.is_closed():
            wait_for(engine.close())
            end()

    return engine, lambda requests: wait_for(engine.score(requests)), close


def with_model_path(config: PrmConfig, reward: DictConfig) -> PrmConfig:
    """Return the settings with the PRM's path. With `engine=reward_model` it is that of the model that verl launches.

    Args:
        config: `reward.prm`.
        reward: the section `reward`.
    """
    launched = (reward.get("reward_model") or {}).get("model_path")
    return replace(config, model_path=config.model_path or launched) if engine_of(config) == "reward_model" else config


def weight_bytes(config: PrmConfig) -> int | None:
    """Return the size of the weights on this machine's disk, in bytes, those that `family_options` name included.

    The result is None when not all of them are there.
    """
    named = [value for key, value in config.family_options.items() if key.endswith("model_path")]
    sizes = [_folder_bytes(str(path)) for path in (config.model_path, *named) if path]
    known = [size for size in sizes if size is not None]
    return sum(known) if known and len(known) == len(sizes) else None


def _folder_bytes(model_path: str) -> int | None:
    config = local_file(model_path, "config.json")
    sizes = [file.stat().st_size for pattern in WEIGHT_FILES for file in config.parent.glob(pattern)] if config else []
    return sum(sizes) if sizes else None
