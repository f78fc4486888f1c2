# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Ask one question of a server that speaks OpenAI's chat completions, and name what goes wrong as a `ServerFault`.

Load, pauses, retries and the deadline are those of `verl_prpo.prm.server.servers`. The client's own retries are off.
"""

import asyncio
import email.utils
import math
import re
import ssl
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import openai

from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.families.options import OPTIONS
from verl_prpo.prm.results import PrmFailure
from verl_prpo.prm.server.connection import ServerFault, answer_of, api_key, tls, without_password
from verl_prpo.prm.server.servers import ServedModel, Server, ServerPool
from verl_prpo.settings.timeouts import CHECK_TIMEOUT, CONNECT_TIMEOUT

if TYPE_CHECKING:
    from verl_prpo.settings.prm import PrmConfig

_VERSIONED = re.compile(r"/v\d\w*(/|$)")
_TOO_LONG = re.compile(
    r"context.?length|maximum context|context window|too many (input )?tokens|prompt is too long|max_model_len|"
    r"maximum (model|input) length",
    re.IGNORECASE,
)
_NO_MODELS_ROUTE = (403, 404, 405, 501)
_NO_KEY = "none"  # the client will have one, and must not take that of OPENAI_API_KEY to other servers
_LISTED = 8


class ChatServers:
    """The servers of a judge. An instance belongs to the event loop that first uses it."""

    def __init__(self, config: "PrmConfig", urls: Sequence[str]):
        """Args:
        config: `reward.prm`, of which `server` and `model_path` are used.
        urls: base URLs. One with a version in its path, such as https://host/openai/v1, is used as it stands. Any other
            gets /v1.

        Raises:
            PrmError: a URL cannot be read, the API key is not there, or the certificates cannot be read.
        """
        self.pool = ServerPool(config, urls)
        self.model = ServedModel(config.server.model or config.model_path or "", None)
        self._named_by = "reward.prm.server.model" if config.server.model else "reward.prm.model_path"
        self._config = config
        self._key = api_key(config)
        self._tls = tls(config.server.ca_file)
        self._clients: dict[str, openai.AsyncOpenAI] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self.pool.close()
        for client in self._clients.values():
            await client.close()
        self._clients.clear()

    async def check(self) -> ServedModel:
        """Ask every server for its models.

        Returns:
            The judge's name at the servers, and the longest sequence that they say they take.

        Raises:
            PrmError: servers do not answer, refuse the key or do not serve the model. Each is named with its reason.
        """
        self.model = await self.pool.check(self._ask_model)
        return self.model

    async def complete(
        self, body: Mapping[str, Any], deadline: float, counts: Counter[str], only: Server | None = None
    ) -> Any:
        """Get one chat completion, from the server with the least work.

        Args:
            body: of the request, but for the model.
            deadline: time of the event loop's clock after which nothing is sent or waited for.
            counts: the requests sent and the tokens spent are added here, see `verl_prpo.prm.generated.counts`.
            only: the server to ask, when it must be that one.

        Raises:
            ServerFault: the last fault, once no retry is left or none would help.
        """
        work = sum(len(str(message["content"])) for message in body["messages"])
        sent = 0

        async def ask(server: Server, timeout: float) -> Any:
            nonlocal sent
            counts["requests"] += 1
            counts["retries"] += bool(sent)
            sent += 1
            return await self._complete(server, body, timeout)

        def note(fault: ServerFault) -> None:
            counts["rate_limited"] += isinstance(fault, RateLimit)

        completion = await self.pool.try_in_turn(ask, work, deadline, only, note)
        usage = getattr(completion, "usage", None)
        for name in ("prompt_tokens", "completion_tokens"):
            spent = getattr(usage, name, None)
            counts[name] += spent if isinstance(spent, int) else 0
        return completion

    async def _complete(self, server: Server, body: Mapping[str, Any], timeout: float) -> Any:
        where = f"{_api(server.shown)}/chat/completions"
        create = self._client(server).chat.completions.create
        known = {"model": self.model.name, **body}
        extra = known.pop("extra_body", {})
        limits = openai.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT))
        answer = await self._answer(where, timeout, create(**known, extra_body=dict(extra), timeout=limits))
        if not getattr(answer, "choices", None):
            detail = f"{where}: the answer is no chat completion with choices"
            raise ServerFault(PrmFailure.BAD_OUTPUT, detail, passing=True)
        return answer

    async def _ask_model(self, server: Server) -> ServedModel:
        """Return the judge as a server lists it. For a server that lists no models it is the one configured."""
        where, wanted = f"{_api(server.shown)}/models", self.model.name
        try:
            listed = await self._answer(where, CHECK_TIMEOUT, _first_page(self._client(server)))
            models = {str(model.id): getattr(model, "max_model_len", None) for model in listed}
        except ServerFault as fault:
            if isinstance(fault, Refusal) and fault.status in _NO_MODELS_ROUTE:
                return ServedModel(wanted, None)
            raise
        except (TypeError, AttributeError) as error:
            raise ServerFault(PrmFailure.BAD_OUTPUT, f"{where} lists no models") from error
        if wanted not in models:
            names = ", ".join(list(models)[:_LISTED]) + (f" and {len(models) - _LISTED} more" * (len(models) > _LISTED))
            raise PrmError(f"{server.shown} does not serve {self._named_by}={wanted}, but {names or 'nothing'}")
        length = models[wanted]
        return ServedModel(wanted, length if isinstance(length, int) and length > 0 else None)

    def _client(self, server: Server) -> openai.AsyncOpenAI:
        if server.url not in self._clients:
            # A redirect would carry the texts to an address that nobody configured.
            http = openai.DefaultAsyncHttpxClient(verify=self._tls, follow_redirects=False)
            key = self._key or _NO_KEY
            self._clients[server.url] = openai.AsyncOpenAI(
                base_url=_api(server.url), api_key=key, max_retries=0, http_client=http
            )
        return self._clients[server.url]

    async def _answer(self, where: str, timeout: float, question: Any) -> Any:
        """Wait for the whole answer to a question, within a time limit.

        Raises:
            ServerFault: something else came. The message says what, without the API key.
        """
        try:
            return await asyncio.wait_for(question, timeout)
        except (asyncio.TimeoutError, openai.APITimeoutError) as error:
            detail = f"{where}: timeout, no whole answer within {timeout:.3g} s (reward.prm.server.request_timeout)"
            raise ServerFault(PrmFailure.TIMEOUT, detail, passing=True) from error
        except openai.APIStatusError as error:
            raise self._fault(where, error) from None  # the error holds the request, and that the key
        except openai.APIConnectionError as error:
            raise _no_connection(where, error) from None
        except (openai.OpenAIError, ValueError) as error:
            detail = self._without_key(f"{where}: not the answer of an OpenAI server: {type(error).__name__}: {error}")
            raise ServerFault(PrmFailure.BAD_OUTPUT, detail, passing=True) from None

    def _fault(self, where: str, error: openai.APIStatusError) -> ServerFault:
        status = error.status_code
        try:
            answer_of(where, status, error.response.content)
        except ServerFault as fault:
            found = fault
        else:
            found = ServerFault(PrmFailure.BAD_OUTPUT, f"{where}: HTTP {status}: {error.message}")
        detail = self._without_key(found.detail)
        if status == 429:
            spent = str(error.code or error.type or "") == "insufficient_quota"
            return RateLimit(detail, passing=not spent, retry_after=retry_after(error.response.headers))
        if status in (400, 413) and _TOO_LONG.search(detail):
            return TooLong(detail)
        if status == 404:
            detail = f"{detail.rstrip('.')}. The server must have the model {self._named_by}={self.model.name}"
        return Refusal(status, found, detail, retry_after(error.response.headers))

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


class Refusal(ServerFault):
    """An answer with another status than 200.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, status: int, fault: ServerFault, detail: str, retry_after: float | None):
        super().__init__(
            fault.kind, detail, passing=fault.passing, about_input=fault.about_input, retry_after=retry_after
        )
        self.status = status


class RateLimit(ServerFault):
    """A server's refusal of more requests, for a while or until the account has credit: status 429."""

    def __init__(self, detail: str, *, passing: bool, retry_after: float | None):
        advice = "Lower reward.prm.server.concurrency, or raise reward.prm.server.retries"
        if not passing:
            advice = "The account behind the API key (reward.prm.server.api_key_env) has no more credit"
        detail = f"{detail.rstrip('.')}. {advice}"
        super().__init__(PrmFailure.SERVER_ERROR, detail, passing=passing, retry_after=retry_after)


class TooLong(ServerFault):
    """A question that does not fit in the judge's context together with the room for its answer."""

    def __init__(self, detail: str):
        detail = (
            f"{detail.rstrip('.')}. Lower data.max_response_length or {OPTIONS}.max_tokens, or serve the judge "
            "with a longer context (vLLM's --max-model-len)"
        )
        super().__init__(PrmFailure.OVERLONG, detail, about_input=True)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return for how many seconds a server asks for no requests (header Retry-After, a number or a date), or None."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


async def _first_page(client: openai.AsyncOpenAI) -> list[Any]:
    page = await client.models.list(timeout=openai.Timeout(CHECK_TIMEOUT, connect=CONNECT_TIMEOUT))
    return list(page.data)


def _no_connection(where: str, error: openai.APIConnectionError) -> ServerFault:
    causes = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    told = without_password(str(causes[-1]).strip() or type(causes[-1]).__name__)
    if any(isinstance(found, ssl.SSLError) for found in causes):
        remedy = (
            "The server may speak plain HTTP: write http://"
            if "WRONG_VERSION_NUMBER" in told
            else "A certificate authority of your own goes under reward.prm.server.ca_file"
        )
        return ServerFault(PrmFailure.REFUSED, f"{where}: TLS: {told}. {remedy}")
    if any(isinstance(found, ConnectionRefusedError) for found in causes):
        told = "connection refused"
    return ServerFault(PrmFailure.REFUSED, f"{where}: {told}", passing=True)


def _api(url: str) -> str:
    """Return the root of a server's API: its base URL as it stands if a version is in it, or else with /v1."""
    path = url.partition("://")[2].partition("/")[2]
    return url if _VERSIONED.search(f"/{path}") else f"{url}/v1"
