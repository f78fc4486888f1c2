# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Choose between the two kinds of servers: vLLM servers of a PRM, and servers of a judge that writes verdicts."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from verl_prpo.prm.families import resolve_family
from verl_prpo.prm.server.engine import ServedEngine, open_served_engine
from verl_prpo.prm.server.servers import ServerPool
from verl_prpo.settings.prm import GENERATED_VERDICTS

if TYPE_CHECKING:
    from verl_prpo.prm.generated.engine import JudgeEngine
    from verl_prpo.settings.prm import PrmConfig


def asks_a_judge(config: "PrmConfig") -> bool:
    """Return whether the configured PRM is a judge that writes its verdicts.

    Raises:
        PrmError: a custom family cannot be loaded.
    """
    if config.custom_family.path is None:
        return config.family == GENERATED_VERDICTS
    return resolve_family(config).serving == "chat"


async def open_served(config: "PrmConfig", urls: Sequence[str]) -> "ServedEngine | JudgeEngine":
    """Open the engine that asks the servers of a configuration, and check the servers.

    Args:
        config: `reward.prm`.
        urls: base URLs of the servers.

    Raises:
        PrmError: a server is not up, or the family does not fit. The message names the setting.
    """
    if asks_a_judge(config):
        from verl_prpo.prm.generated.engine import open_judge

        return await open_judge(config, urls)
    return await open_served_engine(config, urls)


def require_servers(config: "PrmConfig") -> None:
    """Stop at once, before anything is started, when a server of `reward.prm.server.urls` cannot be used.

    Raises:
        PrmError: servers cannot be used. The message names each with its URL and the reason.
    """
    kind: Any = ServerPool
    if asks_a_judge(config):
        from verl_prpo.prm.generated.chat import ChatServers as kind

    async def check() -> None:
        servers = kind(config, config.server.urls)
        try:
            await servers.check()
        finally:
            await servers.close()

    with ThreadPoolExecutor(max_workers=1) as thread:  # the caller may have an event loop of its own
        thread.submit(asyncio.run, check()).result()
