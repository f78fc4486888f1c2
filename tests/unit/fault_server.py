# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A server that speaks vLLM's `/pooling` and misbehaves by script: what a real one does once in a thousand requests,
this one does when told. Run as a program it is a process that can be killed::

    python fault_server.py PORT SEPARATOR_ID DELAY
"""

import asyncio
import dataclasses
import json
import random
import sys
import threading
import time
import zlib
from array import array
from collections.abc import Callable
from typing import Any

from aiohttp import web

from verl_prpo.settings.prm import PrmConfig

Script = Callable[[int, list[list[int]]], str]
"""From the number of the request (from 0) and its token ids to what the server does, see `FaultServer`."""


def score(ids: list[int], weights: int = 0) -> float:
    """The score that the server gives at the last of these token ids: of all of them, in (0, 1)."""
    return (zlib.crc32(array("q", ids).tobytes(), weights) % 9973 + 1) / 9975


def rows(ids: list[int], separator_id: int, weights: int = 0) -> list[list[float]]:
    """Two classes' probabilities at each separator; other `weights` give others."""
    scores = [score(ids[: i + 1], weights) for i, token in enumerate(ids) if token == separator_id]
    return [[1 - right, right] for right in scores]


class FaultServer:
    """In a thread of its own, on a free port of the loopback.

    A script answers for each request: "ok", "hang" (no answer), "trickle" (a byte now and then), "500", "429", "400",
    "401", "truncated" (half of the JSON), "broken" (half of the bytes announced, then the end), "short" (a row too
    few), "twice" (one index twice), "nan", "null", "huge" (a score of 1e9), "logits" (no
    probabilities), "html", "slow" (0.2 s late).
    """

    def __init__(self, separator_id: int, script: Script | None = None, models: list[str] | None = None, **options):
        self.separator_id = separator_id
        self.script = script or (lambda number, ids: "ok")
        self.models = ["prm"] if models is None else models
        self.max_model_len = options.get("max_model_len", 4096)
        self.health = options.get("health", 200)
        self.api_key = options.get("api_key")
        self.tls = options.get("tls")
        self.weights = options.get("weights", 0)
        self.requests: list[list[list[int]]] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._loop = asyncio.new_event_loop()
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "FaultServer":
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen, again on the same port after `stop`."""
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)

    def stop(self) -> None:
        """Refuse connections and cut those that are open."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)

    async def _start(self) -> None:
        app = web.Application(client_max_size=2**28)
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._list)
        app.router.add_post("/pooling", self._pooling)
        self._runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self.tls, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _health(self, request: web.Request) -> web.Response:
        if self.health == 0:
            await asyncio.sleep(3600)
        return web.Response(status=self.health)

    async def _list(self, request: web.Request) -> web.Response:
        if self.api_key and request.headers.get("Authorization") != f"Bearer {self.api_key}":
            return web.json_response({"error": "Unauthorized"}, status=401)
        listed = [{"id": name, "object": "model", "max_model_len": self.max_model_len} for name in self.models]
        return web.json_response({"object": "list", "data": listed})

    async def _pooling(self, request: web.Request) -> web.StreamResponse:
        content = await request.json()
        ids = content["input"]
        assert content["task"] == "token_classify" and content["model"] in self.models
        self.requests.append(ids)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._behave(request, self.script(len(self.requests) - 1, ids), ids)
        finally:
            self.in_flight -= 1

    async def _behave(self, request: web.Request, act: str, ids: list[list[int]]) -> web.StreamResponse:
        if act.isdigit():
            error = {"message": f"scripted {act}", "type": "error", "param": None, "code": int(act)}
            return web.json_response({"error": error}, status=int(act))
        data = [
            {"index": i, "object": "pooling", "data": rows(row, self.separator_id, self.weights)}
            for i, row in enumerate(ids)
        ]
        if act == "slow":
            await asyncio.sleep(0.2)
        elif act == "short":
            data = data[:-1]
        elif act == "twice":
            data[-1]["index"] = 0
        elif act in ("nan", "null", "huge"):
            data[0]["data"][-1][1] = {"nan": float("nan"), "null": None, "huge": 1e9}[act]
        elif act == "logits":
            data[0]["data"][-1] = [-1.3, 0.7]
        # The order in which rows arrive is nothing to rely on.
        text = json.dumps({"id": "pool-1", "object": "list", "model": "prm", "data": data[::-1], "usage": {}}).encode()
        if act == "hang":
            await asyncio.sleep(3600)
        if act == "html":
            return web.Response(text="<html>It works!</html>", content_type="text/html")
        if act == "truncated":
            return web.Response(body=text[: len(text) // 2], content_type="application/json")
        if act in ("trickle", "broken"):
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            response.content_length = len(text)
            await response.prepare(request)
            if act == "broken":
                await response.write(text[: len(text) // 2])
                assert request.transport is not None
                request.transport.abort()
                return response
            for i in range(len(text)):
                await response.write(text[i : i + 1])
                await asyncio.sleep(0.2)
            return response
        return web.Response(body=text, content_type="application/json")


def share(part: float, act: str, seed: int = 0) -> Script:
    """A script that does `act` in a random share of the requests."""
    random_numbers = random.Random(seed)
    return lambda number, ids: act if random_numbers.random() < part else "ok"


def asking(config: PrmConfig, **changed: Any) -> PrmConfig:
    """The same `reward.prm` with some keys of its section `server` changed."""
    return dataclasses.replace(config, server=dataclasses.replace(config.server, **changed))


def main(port: int, separator_id: int, delay: float) -> None:
    """Serve until killed; each answer is `delay` seconds late."""

    def late(number: int, ids: list[list[int]]) -> str:
        time.sleep(delay)
        return "ok"

    server = FaultServer(separator_id, late)
    server._port = port
    with server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
