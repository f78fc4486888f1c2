# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Ask one of several servers of a model: the one with the least work in flight. Ask again after a fault that can pass.

A server that fails gets no requests for a while, longer with each fault in a row. Then it gets one request at a time
until it answers.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.results import PrmFailure
from verl_prpo.prm.server.connection import ServerFault, answer_of, exchange, open_session, without_password
from verl_prpo.settings.timeouts import BACKOFF, CHECK_TIMEOUT, MAX_BACKOFF, MAX_REST, REST

if TYPE_CHECKING:
    from verl_prpo.settings.prpo import PrmConfig

_NO_HEALTH_ROUTE = (401, 403, 404, 405)


@dataclass(frozen=True)
class ServedModel:
    """The model that the servers hold.

    Attributes:
        name: its name in requests.
        max_model_len: longest sequence that every server accepts, in tokens. None when they do not say.
    """

    name: str
    max_model_len: int | None


@dataclass
class Server:
    """One server as its clients see it: its base URL, the work in flight there, its faults in a row, and its pauses."""

    url: str
    requests: int = 0
    work: int = 0
    faults: int = 0
    resting_until: float = 0.0
    silent_until: float = 0.0

    @property
    def shown(self) -> str:
        """The URL without a password in it."""
        return without_password(self.url)


class ServerPool:
    """The servers of a model. An instance belongs to the event loop that first uses it."""

    def __init__(self, config: "PrmConfig", urls: Sequence[str]):
        """Args:
        config: `reward.prm`, of which `server.concurrency`, `server.request_timeout`, `server.retries`, the API key and
            the certificates are used.
        urls: base URLs. One that ends in /v1 means the same server as without.

        Raises:
            PrmError: a URL cannot be read, or there is none.
        """
        self._config = config
        self.servers = [Server(url) for url in dict.fromkeys(map(_base_url, urls))]
        if not self.servers:
            raise PrmError("no server of the PRM is given. Set reward.prm.server.urls")
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._changed = asyncio.Event()

    async def close(self) -> None:
        """Close the connections. Requests that are under way fail."""
        self._closed = True
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def check(self, ask: Callable[[Server], Awaitable[ServedModel]] | None = None) -> ServedModel:
        """Ask every server for its health and its model.

        Args:
            ask: how one server is asked, for servers that are no vLLM.

        Raises:
            PrmError: servers do not answer within `CHECK_TIMEOUT` or not as they should, or their models do not match
                `reward.prm.server.model` or each other. The message names each with its URL and the reason.
        """
        if ask is None:
            self._open()  # a missing key is no server's fault
        asked = [_within_check(server, ask or self._ask_model) for server in self.servers]
        found = await asyncio.gather(*asked, return_exceptions=True)
        faults = [str(fault) for fault in found if isinstance(fault, ServerFault | PrmError)]
        for fault in found:
            if isinstance(fault, BaseException) and not isinstance(fault, ServerFault | PrmError):
                raise fault
        if faults:
            down = any(isinstance(f, ServerFault) and (f.passing or f.kind is PrmFailure.TIMEOUT) for f in found)
            remedy = ". Start them, or correct reward.prm.server.urls" if down else ""
            raise PrmError(
                f"{len(faults)} of the PRM's {len(self.servers)} servers cannot be used: {'; '.join(faults)}{remedy}"
            )
        models = [model for model in found if isinstance(model, ServedModel)]
        if len({model.name for model in models}) > 1:
            listed = "; ".join(f"{s.shown}: {model.name}" for s, model in zip(self.servers, models, strict=True))
            raise PrmError(
                f"the PRM's servers hold different models ({listed}). Serve one model, or one name with vLLM's "
                "--served-model-name, and set reward.prm.server.model to it"
            )
        lengths = [model.max_model_len for model in models if model.max_model_len is not None]
        return ServedModel(models[0].name, min(lengths, default=None))

    async def post(self, path: str, body: Any, work: int, deadline: float, only: Server | None = None) -> Any:
        """Send a request to one of the servers, and return the JSON that it answers.

        Args:
            path: such as "/pooling".
            body: sent as JSON.
            work: size of the request in tokens, by which the load is spread.
            deadline: time of the event loop's clock after which nothing is sent or waited for.
            only: the server to ask, when it must be that one.

        Raises:
            ServerFault: the last fault, once no retry is left or none would help. Where one server lacks the model or
                refuses the key, only another one can help.
        """
        return await self.try_in_turn(
            lambda server, timeout: self._request(server, path, body, timeout), work, deadline, only
        )

    async def try_in_turn(
        self,
        ask: Callable[[Server, float], Awaitable[Any]],
        work: int,
        deadline: float,
        only: Server | None = None,
        on_fault: Callable[[ServerFault], None] | None = None,
    ) -> Any:
        """Return what `ask` returns for one of the servers. Try again, also at others, as `post` does.

        Args:
            ask: sends one request to a server, within so many seconds. It raises `ServerFault`.
            work, deadline, only: as in `post`.
            on_fault: called with every fault, also with one that is tried again.

        Raises:
            ServerFault: the last fault.
        """
        loop = asyncio.get_running_loop()
        last: Server | None = None
        tries = 0
        while True:
            server = await self._take(work, deadline, [only] if only else self.servers, last)
            tries += 1
            try:
                timeout = min(self._config.server.request_timeout, max(deadline - loop.time(), 0.001))
                answer = await ask(server, timeout)
            except ServerFault as fault:
                self._note(server, fault)
                if on_fault is not None:
                    on_fault(fault)
                elsewhere = not fault.about_input and only is None and len(self.servers) > 1 and not self._closed
                helps = (fault.passing or elsewhere) and tries <= self._config.server.retries
                pause = random.uniform(0, min(MAX_BACKOFF, BACKOFF * 2 ** min(tries - 1, 32)))
                if not elsewhere and fault.retry_after is not None:
                    pause = max(pause, fault.retry_after)
                if not helps or loop.time() + pause >= deadline:
                    if helps and fault.retry_after is not None and loop.time() + fault.retry_after >= deadline:
                        limit = f"reward.prm.timeout={self._config.timeout:g} s"
                        fault.detail += f". It asks to wait {fault.retry_after:g} s, past {limit}"
                    fault.detail += f" (tried {tries} times)" if tries > 1 else ""
                    raise
                last = server
            else:
                server.faults = 0
                return answer
            finally:
                self._give_back(server, work)
            await asyncio.sleep(pause)

    async def _request(self, server: Server, path: str, body: Any, timeout: float) -> Any:
        status, content = await exchange(self._open(), "POST", server.url + path, timeout, body)
        return answer_of(server.shown + path, status, content)

    async def _take(self, work: int, deadline: float, among: Sequence[Server], last: Server | None) -> Server:
        loop = asyncio.get_running_loop()
        while loop.time() < deadline:
            server = self._free(among, last)
            if server is not None:
                server.requests += 1
                server.work += work
                return server
            ends = [end for s in among for end in (s.resting_until, s.silent_until) if end > loop.time()]
            waking = [deadline, *ends]
            changed = asyncio.ensure_future(self._changed.wait())
            try:  # wait_for would lose a cancellation that comes along with the change, before Python 3.12
                await asyncio.wait({changed}, timeout=max(min(waking) - loop.time(), 0.001))
            finally:
                changed.cancel()
        limit = f"reward.prm.timeout={self._config.timeout:g} s"
        detail = f"none of {len(among)} servers had room for the request before {limit} ran out"
        raise ServerFault(PrmFailure.TIMEOUT, detail)

    def _free(self, among: Sequence[Server], last: Server | None) -> Server | None:
        """Pick the server with room that has the least work.

        A retry goes to the server of the last try, or to one with faults, only where no other has room.
        """
        now = asyncio.get_running_loop().time()
        heard = [server for server in among if server.silent_until <= now]
        awake = [server for server in heard if server.resting_until <= now] or heard
        free = [
            server for server in awake if server.requests < (1 if server.faults else self._config.server.concurrency)
        ]
        retry = last is not None
        return min(
            free,
            key=lambda server: (server is last, retry and server.faults, server.work, server.requests),
            default=None,
        )

    def _give_back(self, server: Server, work: int) -> None:
        server.requests -= 1
        server.work -= work
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _note(self, server: Server, fault: ServerFault) -> None:
        if not fault.about_input:  # one that refuses everything at once would otherwise be the least busy
            server.faults += 1
            rest = min(MAX_REST, REST * 2 ** min(server.faults - 1, 32))
            now = asyncio.get_running_loop().time()
            server.resting_until = now + rest
            server.silent_until = max(server.silent_until, now + (fault.retry_after or 0.0))
        else:
            server.faults = 0  # it answered

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ServerFault(PrmFailure.ENGINE_ERROR, "the connections to the PRM's servers were closed")
        if self._session is None:
            self._session = open_session(self._config)
        return self._session

    async def _ask_model(self, server: Server) -> ServedModel:
        session = self._open()
        status, body = await exchange(session, "GET", server.url + "/health", CHECK_TIMEOUT)
        if status != 200 and status not in _NO_HEALTH_ROUTE:  # a router may have no such route
            raise ServerFault(PrmFailure.SERVER_ERROR, f"{server.shown}/health: HTTP {status}")
        status, body = await exchange(session, "GET", server.url + "/v1/models", CHECK_TIMEOUT)
        listed = answer_of(server.shown + "/v1/models", status, body)
        try:
            models = {str(model["id"]): model.get("max_model_len") for model in listed["data"]}
        except (TypeError, KeyError, AttributeError) as error:
            raise ServerFault(PrmFailure.BAD_OUTPUT, f"{server.shown}/v1/models lists no models") from error
        wanted = self._config.server.model
        names = ", ".join(models) or "none"
        if wanted is None and len(models) != 1:
            raise PrmError(f"{server.shown} serves {len(models)} models ({names}). Set reward.prm.server.model to one")
        if wanted is not None and wanted not in models:
            raise PrmError(f"{server.shown} does not serve reward.prm.server.model={wanted}, but {names}")
        name = wanted if wanted is not None else next(iter(models))
        length = models[name]
        return ServedModel(name, length if isinstance(length, int) and length > 0 else None)


async def _within_check(server: Server, ask: Callable[[Server], Awaitable[ServedModel]]) -> ServedModel:
    try:
        return await asyncio.wait_for(ask(server), CHECK_TIMEOUT)
    except asyncio.TimeoutError:
        detail = f"{server.shown}: timeout, no answer to the check within {CHECK_TIMEOUT:g} s"
        raise ServerFault(PrmFailure.TIMEOUT, detail) from None


def _base_url(url: str) -> str:
    try:
        parsed = URL(url.strip())
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError("it must be http:// or https:// with a host")
        if parsed.query_string or parsed.fragment:
            raise ValueError("a base URL ends before ? and #. A key goes under reward.prm.server.api_key_env")
    except ValueError as error:
        shown = without_password(url).partition("?")[0]
        raise PrmError(f"reward.prm.server.urls: {shown!r} is no URL of a server: {error}") from error
    return str(parsed).rstrip("/").removesuffix("/v1")
