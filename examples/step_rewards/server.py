# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Step rewards by a server of your own, asked by a coroutine so that many responses are under way at once.

    python examples/step_rewards/server.py --port 8123     # a server to try it with: it scores by equations.py

    ++reward.prm.score_function.path=examples/step_rewards/server.py ++reward.prm.score_function.name=score
    ++reward.prm.score_function.kwargs.url=http://127.0.0.1:8123/score

The request is {"messages": [...], "segments": [...], "ground_truth": ...} and the answer {"scores": [...]}, a number or
null for each segment. A server that is down or answers with an error raises here. The call is then repeated
(reward.prm.score_function.retries) before the response has failed (reward.prm.on_error).
"""

import argparse
import asyncio
import weakref
from collections.abc import Sequence
from typing import Any

import aiohttp

TIMEOUT = 30.0
"""Longest wait for an answer, in seconds. Keep it below reward.prm.score_function.timeout, whose message says less."""

_sessions: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession]" = weakref.WeakKeyDictionary()


async def score(
    messages: Sequence[dict[str, Any]], segments: Sequence[str], url: str, ground_truth: Any = None
) -> list[float | None]:
    """Ask the server for a score for each segment.

    Args:
        messages: the prompt as chat messages.
        segments: the steps.
        url: of the server, from `reward.prm.score_function.kwargs`.
        ground_truth: of the row.
    """
    body = {"messages": list(messages), "segments": list(segments), "ground_truth": ground_truth}
    async with _session().post(url, json=body) as response:
        if response.status != 200:
            raise RuntimeError(f"{url}: HTTP {response.status}: {(await response.text())[:200]}")
        return (await response.json())["scores"]


score.score_range = (0, 1)  # type: ignore[attr-defined]


def _session() -> aiohttp.ClientSession:
    """One pool of connections for all calls."""
    loop = asyncio.get_running_loop()
    if loop not in _sessions:
        _sessions[loop] = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT))
    return _sessions[loop]


def main() -> None:
    """Serve the scores of equations.py, on this machine alone."""
    import equations
    from aiohttp import web

    async def answer(request: web.Request) -> web.Response:
        asked = await request.json()
        scores = await asyncio.to_thread(equations.score, asked["messages"], asked["segments"])
        return web.json_response({"scores": scores})

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8123)
    app = web.Application()
    app.add_routes([web.post("/score", answer)])
    web.run_app(app, host="127.0.0.1", port=parser.parse_args().port)


if __name__ == "__main__":
    main()
