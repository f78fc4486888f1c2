# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Make one HTTP exchange with a server, and name what goes wrong with it as a `PrmFailure`."""

import asyncio
import json
import os
import re
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp

from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.results import PrmFailure
from verl_prpo.settings.timeouts import CONNECT_TIMEOUT, KEEP_ALIVE

if TYPE_CHECKING:
    from verl_prpo.settings.prpo import PrmConfig

MAX_ANSWER = 2**30
"""Most bytes of an answer that are read."""

_SHOWN = 300
_ABOUT_THE_INPUT = (400, 413, 422)


class ServerFault(Exception):
    """An exchange without a usable answer.

    Attributes:
        kind: the kind of failure.
        detail: the address and what was found there.
        passing: whether the same request may succeed later.
        about_input: whether the server refused what was sent, so that it may still accept a part of it.
        retry_after: seconds for which the server asks for no requests. None where it says nothing.
    """

    def __init__(
        self,
        kind: PrmFailure,
        detail: str,
        *,
        passing: bool = False,
        about_input: bool = False,
        retry_after: float | None = None,
    ):
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.passing = passing
        self.about_input = about_input
        self.retry_after = retry_after


def open_session(config: "PrmConfig") -> aiohttp.ClientSession:
    """Open a pool of connections with the API key and certificates of `reward.prm`, for the running event loop.

    Raises:
        PrmError: the API key's variable is not set or holds no key, or the certificates cannot be read.
    """
    key = api_key(config)
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    connector = aiohttp.TCPConnector(limit=0, ssl=tls(config.server.ca_file), keepalive_timeout=KEEP_ALIVE)
    return aiohttp.ClientSession(connector=connector, headers=headers)


def api_key(config: "PrmConfig") -> str | None:
    """Read the servers' API key from the environment variable that `server.api_key_env` names.

    The result is None where the setting names none.

    Raises:
        PrmError: the variable is not set or holds no key.
    """
    name = config.server.api_key_env
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise PrmError(
            f"reward.prm.server.api_key_env={name}: this environment variable is not set on the node that runs the "
            "PRM's actor. Export it before Ray starts there, or unset the key"
        )
    if not (key.isascii() and key.isprintable()):
        raise PrmError(
            f"reward.prm.server.api_key_env={name}: this environment variable holds characters that are not "
            "printable ASCII, which no header can carry. Set it to the key alone"
        )
    return key


async def exchange(
    session: aiohttp.ClientSession, method: str, url: str, timeout: float, body: Any = None
) -> tuple[int, bytes]:
    """Send a request and read the whole answer.

    Args:
        session: a session that `open_session` made.
        method: "GET" or "POST".
        url: the full address.
        timeout: seconds until the last byte of the answer must be there.
        body: sent as JSON, if not None.

    Returns:
        The HTTP status and the answer's bytes.

    Raises:
        ServerFault: the server cannot be reached, or the answer does not arrive whole and in time.
    """
    shown = without_password(url)
    limits = aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, CONNECT_TIMEOUT))
    try:
        # A redirect would carry the texts, and a POST turned into a GET, to an address that nobody configured.
        async with session.request(method, url, json=body, timeout=limits, allow_redirects=False) as response:
            return response.status, await _whole(response, shown)
    except aiohttp.ConnectionTimeoutError as error:
        detail = f"{shown}: timeout, no connection within {limits.sock_connect:.3g} s"
        raise ServerFault(PrmFailure.TIMEOUT, detail, passing=True) from error
    except asyncio.TimeoutError as error:
        detail = f"{shown}: timeout, no whole answer within {timeout:.3g} s"
        raise ServerFault(PrmFailure.TIMEOUT, detail, passing=True) from error
    except (aiohttp.ClientSSLError, ssl.SSLError) as error:
        plain = "WRONG_VERSION_NUMBER" in str(error)
        remedy = (
            "The server may speak plain HTTP: write http://"
            if plain
            else "A certificate authority of your own goes under reward.prm.server.ca_file"
        )
        detail = f"{shown}: TLS: {_told(error)}. {remedy}"
        raise ServerFault(PrmFailure.REFUSED, detail) from error
    except aiohttp.ClientConnectorDNSError as error:
        detail = f"{shown}: name resolution failed: {_told(error.os_error)}"
        raise ServerFault(PrmFailure.REFUSED, detail, passing=True) from error
    except aiohttp.ClientConnectorError as error:
        refused = isinstance(error.os_error, ConnectionRefusedError)
        what = "connection refused" if refused else f"cannot connect: {_told(error.os_error)}"
        raise ServerFault(PrmFailure.REFUSED, f"{shown}: {what}", passing=True) from error
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, OSError) as error:
        raise ServerFault(PrmFailure.REFUSED, f"{shown}: connection lost: {_told(error)}", passing=True) from error
    except aiohttp.ClientError as error:
        raise ServerFault(PrmFailure.BAD_OUTPUT, f"{shown}: not HTTP: {_told(error)}", passing=True) from error


async def _whole(response: aiohttp.ClientResponse, shown: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > MAX_ANSWER:
            detail = (
                f"{shown}: an answer of more than {MAX_ANSWER} bytes. Lower reward.prm.server.prompts_per_request or "
                "reward.prm.server.prompt_logprobs"
            )
            raise ServerFault(PrmFailure.BAD_OUTPUT, detail)
    return b"".join(parts)


def answer_of(url: str, status: int, body: bytes) -> Any:
    """Read the JSON of an answer.

    Raises:
        ServerFault: the status is not 200, or the body is no JSON.
    """
    if status == 200:
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            detail = f"{url}: the answer of {len(body)} bytes is no JSON: {error}"
            raise ServerFault(PrmFailure.BAD_OUTPUT, detail, passing=True) from error
    detail = f"{url}: HTTP {status}: {_server_message(body)}"
    if status == 408:
        raise ServerFault(PrmFailure.TIMEOUT, detail, passing=True)
    if status >= 500 or status == 429:
        raise ServerFault(PrmFailure.SERVER_ERROR, detail, passing=True)
    if status in _ABOUT_THE_INPUT:
        raise ServerFault(PrmFailure.BAD_INPUT, detail, about_input=True)
    if status in (401, 403):
        detail += ". The API key is read from the environment variable that reward.prm.server.api_key_env names"
    raise ServerFault(PrmFailure.REFUSED, detail)


def without_password(url: str) -> str:
    """Write a URL without a password in it, for messages. The text need not be a valid URL."""
    return re.sub(r"//[^/?#]*@", "//", url.strip())


def tls(ca_file: str | None) -> ssl.SSLContext:
    """Build the TLS context that https connections are verified by.

    Args:
        ca_file: certificates of an authority of your own, as PEM, in addition to the system's. None stands for the
            system's alone.

    Raises:
        PrmError: the file cannot be read.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise PrmError(
                f"reward.prm.server.ca_file={ca_file} cannot be read as PEM certificates: {_told(error)}"
            ) from error
    return context


def _server_message(body: bytes) -> str:
    text = body.decode("utf-8", "replace").strip()
    try:
        content = json.loads(text)
        found = content.get("error", content)
        found = found.get("message", found.get("detail", text)) if isinstance(found, dict) else found
    except (ValueError, AttributeError):
        found = text
    return " ".join(str(found).split())[:_SHOWN] or "no message"


def _told(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__
