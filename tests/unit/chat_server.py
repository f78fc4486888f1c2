# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A server that speaks OpenAI's chat completions and misbehaves by script: what a real judge does now and then, this
one does when told. The good path has a test with a real vLLM server, tests/serve/test_generated_verdicts.py."""

import asyncio
import contextlib
import json
import math
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aiohttp import web

Answer = Callable[[int, dict[str, Any]], web.Response | float]
"""From the number of the request (from 0) and its body to the answer, or to the seconds of silence before none."""


class ChatServer:
    """One running server, see `chat_server`.

    Attributes:
        bodies: of the requests for completions, in order.
        keys: their Authorization headers.
        most_in_flight: greatest number of requests at a time.
    """

    def __init__(self, answer: Answer, models: Sequence[str] | None, key: str | None, max_model_len: int | None):
        self.answer = answer
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.most_in_flight = 0
        self.url = ""
        self._in_flight = 0
        self._models = models
        self._key = key
        self._max_model_len = max_model_len

    async def list(self, request: web.Request) -> web.Response:
        if self._models is None:
            return fails(404, "Not Found")
        if not self._knows(request):
            return self._unauthorized(request)
        more = {} if self._max_model_len is None else {"max_model_len": self._max_model_len}
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "t", **more} for name in self._models]
        return web.json_response({"object": "list", "data": listed})

    async def complete(self, request: web.Request) -> web.Response:
        if not self._knows(request):
            return self._unauthorized(request)
        self.bodies.append(await request.json())
        self.keys.append(request.headers.get("Authorization"))
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            answer = self.answer(len(self.bodies) - 1, self.bodies[-1])
            if isinstance(answer, float):
                await asyncio.sleep(answer)
                return fails(504, "late")
            await asyncio.sleep(0.01)
            return answer
        finally:
            self._in_flight -= 1

    def _knows(self, request: web.Request) -> bool:
        return self._key is None or request.headers.get("Authorization") == f"Bearer {self._key}"

    def _unauthorized(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return fails(401, f"Incorrect API key provided: {given}")  # some servers do say it back


@contextlib.contextmanager
def chat_server(
    answer: Answer,
    models: Sequence[str] | None = ("judge",),
    key: str | None = None,
    max_model_len: int | None = None,
    root: str = "/v1",
) -> Iterator[ChatServer]:
    """A server in a thread of its own, on a free port of the loopback.

    Args:
        answer: what it does.
        models: that it lists; None for one that has no such route.
        key: that it wants to see.
        max_model_len: that it lists with its models, as vLLM does.
        root: of its API.
    """
    server = ChatServer(answer, models, key, max_model_len)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=2**28)
        app.router.add_get(f"{root}/models", server.list)
        app.router.add_post(f"{root}/chat/completions", server.complete)
        runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def says(*texts: str | None, reason: str = "stop", logprobs: Any = None, **message: Any) -> web.Response:
    """A completion with a choice for each text, of 100 tokens of prompt and 7 a choice."""
    choices = [
        {
            "index": i,
            "finish_reason": reason,
            "logprobs": logprobs,
            "message": {"role": "assistant", "content": text, **message},
        }
        for i, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 100, "completion_tokens": 7 * len(texts), "total_tokens": 100 + 7 * len(texts)}
    content = {"id": "c", "object": "chat.completion", "created": 0, "model": "judge", "choices": choices}
    return web.json_response({**content, "usage": usage})


def fails(status: int, message: str, code: str | None = None, **headers: str) -> web.Response:
    """An error as OpenAI's servers write it; `Retry_After` is the header Retry-After."""
    error = {"message": message, "type": "error", "param": None, "code": code}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response({"error": error}, status=status, headers=named)


def verdicts(*given: str) -> str:
    """The JSON of verdicts on steps 1, 2, ..."""
    return json.dumps({str(i): {"check": "...", "verdict": verdict} for i, verdict in enumerate(given, 1)})


def asked_for(body: dict[str, Any]) -> int:
    """How many steps a request of the package's own prompts shows."""
    return len(re.findall(r"<step number=", body["messages"][-1]["content"]))


def all_right(number: int, body: dict[str, Any]) -> web.Response:
    """A judge that likes everything."""
    return says(verdicts(*["right"] * asked_for(body)))


def token(text: str, probability: float, **others: float) -> dict[str, Any]:
    """A token of a choice's log-probabilities, with other likely ones and their probabilities."""

    def entry(name: str, share: float) -> dict[str, Any]:
        return {"token": name, "logprob": math.log(share), "bytes": list(name.encode())}

    return {
        **entry(text, probability),
        "top_logprobs": [entry(text, probability)] + [entry(*o) for o in others.items()],
    }


def arithmetic(number: int, body: dict[str, Any]) -> web.Response:
    """A judge that finds every equation which does not hold, and nothing else."""
    steps = re.findall(r'<step number="\d+">\n(.*?)\n</step>', body["messages"][-1]["content"], re.DOTALL)
    wrong = [any(_evaluated(sum_) != int(value) for sum_, value in _EQUATION.findall(step)) for step in steps]
    return says(verdicts(*("wrong" if found else "right" for found in wrong)))


_EQUATION = re.compile(r"(\d+ [-+*/] \d+) = (\d+)")


def _evaluated(text: str) -> float:
    left, sign, right = text.split()
    one, other = int(left), int(right)
    return {"+": one + other, "-": one - other, "*": one * other, "/": one / (other or 1)}[sign]
