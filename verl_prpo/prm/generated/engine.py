# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Score responses by the verdicts that a judge writes. Texts go out to its servers, and texts come back."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from verl_prpo.prm.cache import AskedOnce, ScoreCache, dialogue_key
from verl_prpo.prm.encoding.response import EncodedResponse, encode_response, shown_error
from verl_prpo.prm.families import checked_family, family_setting, resolve_family
from verl_prpo.prm.families.base import Encoded, PrmError
from verl_prpo.prm.families.generated import Asked, GeneratedVerdicts
from verl_prpo.prm.families.options import OPTIONS
from verl_prpo.prm.generated.answers import AnswerFault
from verl_prpo.prm.generated.chat import ChatServers, Refusal, TooLong
from verl_prpo.prm.generated.counts import NAMES
from verl_prpo.prm.generated.questions import Judge, Question
from verl_prpo.prm.results import PrmFailure, PrmRequest, PrmResult
from verl_prpo.prm.server.connection import ServerFault
from verl_prpo.prm.server.engine import TRIAL
from verl_prpo.prm.server.servers import ServedModel, Server
from verl_prpo.settings.timeouts import SHARE_OF_TIMEOUT

if TYPE_CHECKING:
    from verl_prpo.settings.prm import PrmConfig

_log = logging.getLogger(__name__)


class JudgeEngine:
    """A judge and the servers that hold it. An instance belongs to the event loop that first calls it."""

    def __init__(self, family: GeneratedVerdicts, servers: ChatServers, model: ServedModel, config: "PrmConfig"):
        """Args:
        family: the family, opened.
        servers: the servers of the judge, checked.
        model: the model they serve, as `ChatServers.check` found it.
        config: `reward.prm`.
        """
        self.family = family
        self.pool = servers.pool
        self.model = model
        self.cache = ScoreCache(config.cache_size)
        self._servers = servers
        self._judge = Judge(family, servers)
        self._config = config

    async def try_servers(self) -> None:
        """Have every server judge a trial dialogue, within one `server.request_timeout`.

        Raises:
            PrmError: a server gives no verdicts. The message says which, what it answered and what to set.
        """
        await asyncio.gather(*map(self._try_server, self.pool.servers))

    async def _try_server(self, server: Server) -> None:
        deadline = asyncio.get_running_loop().time() + self._config.server.request_timeout
        asked = self.family.encode(TRIAL.messages, TRIAL.segments)
        try:
            await self._judge.scores(Question(asked.problem, asked.steps, deadline, only=server))
        except (ServerFault, AnswerFault) as fault:
            raise PrmError(
                f"the judge's server {server.shown} is up, but gives no verdicts on a trial (model {self.model.name}): "
                f"{str(fault.detail).rstrip('.')}{self._asked_otherwise(fault)}"
            ) from None

    def _asked_otherwise(self, fault: Exception) -> str:
        """Say what to do about a server that refuses the form of the question, or return "" for any other fault."""
        options = self.family.options
        if not isinstance(fault, Refusal) or not fault.about_input:
            return ""
        if options.ask == "step" and options.score == "logprobs":
            return f". If it gives no log-probabilities, or fewer, set ++{OPTIONS}.score=samples or top_logprobs"
        if options.ask == "response" and options.structured != "none":
            return f". If it does not know such a response_format, set ++{OPTIONS}.structured=none"
        return ""

    async def close(self) -> None:
        """Close the connections. Questions that are still open fail."""
        await self._servers.close()

    async def score(self, requests: Sequence[PrmRequest]) -> list[PrmResult]:
        """Return one result per request, in their order, within `reward.prm.timeout`. Calls may overlap.

        Equal dialogues are judged once. What the judge cost is in the result of the first of them.

        Raises:
            PrmError: the family raises one.
        """
        deadline = asyncio.get_running_loop().time() + self._config.timeout * SHARE_OF_TIMEOUT
        responses = [encode_response(self.family, request, "raise") for request in requests]
        dialogues = [r.dialogues if isinstance(r, EncodedResponse) else [] for r in responses]  # one each: no windows
        asked = AskedOnce(self.cache, [[(dialogue_key(one), one) for one in of_response] for of_response in dialogues])
        judged = await asyncio.gather(*(self._judged(encoded, deadline) for encoded in asked.to_ask.values()))
        return [
            _by_segment(response, *answer) if isinstance(response, EncodedResponse) else response
            for response, answer in zip(responses, asked.answers(judged), strict=True)
        ]

    async def _judged(self, asked: Encoded, deadline: float) -> PrmResult:
        """Return one score per step, or the failure."""
        assert isinstance(asked, Asked)
        question = Question(asked.problem, asked.steps, deadline, cut=self._config.overlong == "neutral")
        scores: list[float | None] | None = None
        failure, detail, overlong = None, "", False
        try:
            scores = await self._judge.scores(question)
            overlong = None in scores
        except (ServerFault, AnswerFault) as fault:
            failure, detail, overlong = fault.kind, fault.detail, isinstance(fault, TooLong)
        except Exception as error:  # of a prompt, on a text that it cannot take
            _log.exception("the judge cannot be asked")
            failure, detail = PrmFailure.ENGINE_ERROR, shown_error(error)
        counts = {name: question.counts[name] for name in NAMES}
        tokens = question.counts["prompt_tokens"]
        return PrmResult(scores, failure, detail, tokens, overlong, counts=counts)


def _by_segment(response: EncodedResponse, found: Sequence[PrmResult], cached: bool) -> PrmResult:
    (result,) = found
    if cached:
        result = replace(result, cached=result.scores is not None, counts={})
    if result.scores is None:
        return result
    return replace(result, scores=[None if place is None else result.scores[place[1]] for place in response.places])


async def open_judge(config: "PrmConfig", urls: Sequence[str]) -> JudgeEngine:
    """Open the engine of a configuration, and check its prompt and its servers.

    Args:
        config: `reward.prm`.
        urls: base URLs of the servers.

    Raises:
        PrmError: an option or the prompt cannot work, or a server is not up or gives no verdicts.
    """
    if not config.model_path and not config.server.model:
        raise PrmError("reward.prm.model_path is not set. Give the judge's name at the servers")
    family = resolve_family(config).open(config.model_path or "", **config.family_options)
    checked_family(family, family_setting(config))
    servers = ChatServers(config, urls)
    try:
        engine = JudgeEngine(family, servers, await servers.check(), config)  # type: ignore[arg-type]
        await engine.try_servers()
    except BaseException:
        await servers.close()
        raise
    return engine
