# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Score responses with a PRM that vLLM servers hold. Token ids go out, and numbers or log-probabilities come back."""

import asyncio
import logging
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from verl_prpo.prm.cache import ScoreCache
from verl_prpo.prm.encoding.batch import checked_scores, encode_batch
from verl_prpo.prm.encoding.response import shown_error, shown_value
from verl_prpo.prm.families import checked_family, family_setting, resolve_family
from verl_prpo.prm.families.base import Encoded, PrmError, PrmFamily
from verl_prpo.prm.families.checkpoints import read_model_config
from verl_prpo.prm.results import PrmFailure, PrmRequest, PrmResult
from verl_prpo.prm.server.connection import ServerFault
from verl_prpo.prm.server.protocol import GENERATED, PATHS, PromptLogprobs, answer_rows, request_body
from verl_prpo.prm.server.servers import ServedModel, Server, ServerPool
from verl_prpo.settings.timeouts import SHARE_OF_TIMEOUT

if TYPE_CHECKING:
    from verl_prpo.settings.prpo import PrmConfig

TRIAL = PrmRequest([{"role": "user", "content": "What is 1 + 1?"}], ["1 + 1 = 2.", " The answer is 2."])
"""A dialogue that every server must score before the run starts."""

SAME_MODEL = 0.05
"""Greatest difference that two servers' scores of the trial dialogue may have, as a share of the range. It is more than
the rounding of narrow floating point explains."""

_log = logging.getLogger(__name__)


class ServedEngine:
    """A family without weights and the servers that hold them. It belongs to the event loop that first calls it."""

    def __init__(self, family: PrmFamily, pool: ServerPool, model: ServedModel, config: "PrmConfig"):
        """Args:
        family: the family, opened by `PrmFamily.open`. Its `max_context` is lowered to what the servers accept.
        pool: the servers.
        model: the model they serve, as `ServerPool.check` found it.
        config: `reward.prm`.

        Raises:
            PrmError: a server cannot give the family's scores.
        """
        if family.serving not in PATHS:
            raise PrmError(
                f"a vLLM server cannot give the scores of the PRM family {family.name}. Set "
                "++reward.prm.engine=in_process and unset reward.prm.server.urls"
            )
        self.family = family
        self.serving = family.serving
        self.pool = pool
        self.model = model
        self.cache = ScoreCache(config.cache_size)
        self._config = config
        # Texts are tokenised off the event loop: it would miss the answers to other calls meanwhile. One thread, for a
        # family's tokenizer may bear no more.
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prm_reader")
        if model.max_model_len is not None:
            appended = len(family.served_ids(Encoded([0], []))) - 1
            longest = model.max_model_len - appended - GENERATED[self.serving]
            family.max_context = min(family.max_context, longest)

    async def try_servers(self) -> None:
        """Have every server score a trial dialogue, within one `server.request_timeout`.

        Raises:
            PrmError: a server cannot (the message says which and what it answered), or the servers' scores differ.
        """
        encoded = self.family.encode(TRIAL.messages, TRIAL.segments)
        if len(encoded.input_ids) > self.family.max_context:
            raise PrmError(
                f"the PRM reads at most {self.family.max_context} tokens, and a dialogue of one line has "
                f"{len(encoded.input_ids)}. Raise the servers' --max-model-len (now {self.model.max_model_len})"
            )
        servers = self.pool.servers
        scores = await asyncio.gather(*(self._trial_scores(server, encoded) for server in servers))
        low, high = self.family.score_range
        for server, found in zip(servers, scores, strict=True):
            if max(abs(x - y) for x, y in zip(found, scores[0], strict=True)) > SAME_MODEL * (high - low):
                raise PrmError(
                    f"the PRM servers {servers[0].shown} and {server.shown} give different scores for the same "
                    f"dialogue ({scores[0]} and {found}). Serve the same weights at all of reward.prm.server.urls"
                )

    async def _trial_scores(self, server: Server, encoded: Encoded) -> list[float]:
        deadline = asyncio.get_running_loop().time() + self._config.server.request_timeout
        (output,) = await self._ask([encoded], deadline, server)
        result = checked_scores(self.family, encoded, output)
        if result.scores is None:
            raise PrmError(
                f"the PRM server {server.shown} is up, but does not score as the family {self.family.name} needs it "
                f"(model {self.model.name}, {PATHS[self.serving]}): {result.detail}{self._started_otherwise(result)}"
            )
        return [score for score in result.scores if score is not None]  # a family scores all that it was asked

    def _started_otherwise(self, result: PrmResult) -> str:
        """Say what to do about a server without the family's path, or return "" for any other failure."""
        if result.failure is not PrmFailure.REFUSED:
            return ""
        return f". Start vLLM {'with' if self.serving == 'pooling' else 'without'} --runner pooling"

    async def close(self) -> None:
        """Close the connections. Requests that are still open fail."""
        self._reader.shutdown(wait=False)
        await self.pool.close()

    async def score(self, requests: Sequence[PrmRequest]) -> list[PrmResult]:
        """Return one result per request, in their order, within `reward.prm.timeout`. Calls may overlap.

        Raises:
            PrmError: the family raises one.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._config.timeout * SHARE_OF_TIMEOUT
        settings = (self.family, self.cache, requests, self._config.overlong, self._config.window_context)
        batch = await loop.run_in_executor(self._reader, encode_batch, *settings)
        outputs = await asyncio.gather(*(self._ask(part, deadline) for part in self._parts(batch.to_ask)))
        return batch.results([output for part in outputs for output in part])

    def _parts(self, dialogues: list[Encoded]) -> list[list[Encoded]]:
        """Split dialogues into parts for one request each, as large as allowed and spread over the idle servers."""
        idle = sum(server.requests == 0 for server in self.pool.servers)
        size = min(self._config.server.prompts_per_request, math.ceil(len(dialogues) / max(idle, 1)) or 1)
        return [dialogues[i : i + size] for i in range(0, len(dialogues), size)]

    async def _ask(self, dialogues: list[Encoded], deadline: float, only: Server | None = None) -> list[Any]:
        """Return for each dialogue its scores as a server gave them, or a failure."""
        try:
            ids = [list(self.family.served_ids(encoded)) for encoded in dialogues]
            request = request_body(self.serving, self.model.name, ids, self._config.server.prompt_logprobs)
            answer = await self.pool.post(PATHS[self.serving], request, sum(map(len, ids)), deadline, only)
        except ServerFault as fault:
            if fault.about_input and len(dialogues) > 1:  # of one dialogue, most likely; the others are not to suffer
                half = len(dialogues) // 2
                parts = (dialogues[:half], dialogues[half:])
                first, second = await asyncio.gather(*(self._ask(part, deadline, only) for part in parts))
                return first + second
            return [PrmResult(None, fault.kind, fault.detail)] * len(dialogues)
        except Exception as error:  # of the family, on what it is to send
            _log.exception("the PRM's servers cannot be asked")
            return [PrmResult(None, PrmFailure.ENGINE_ERROR, shown_error(error))] * len(dialogues)
        found = answer_rows(self.serving, answer, len(dialogues))
        if isinstance(found, PrmResult):
            return [found] * len(dialogues)
        return [self._scores(encoded, row) for encoded, row in zip(dialogues, found, strict=True)]

    def _scores(self, encoded: Encoded, row: Any) -> Any:
        try:
            if isinstance(row, PromptLogprobs):
                row.require_prompt(self.family.served_ids(encoded))
            return self.family.served_scores(encoded, row)
        except ValueError as error:
            detail = str(error)
        except Exception as error:  # a row of another shape than the family expects
            detail = f"{shown_value(row)} cannot be read as scores: {type(error).__name__}: {error}"
        return PrmResult(None, PrmFailure.BAD_OUTPUT, f"{self.family.name}: {detail}")


async def open_served_engine(config: "PrmConfig", urls: Sequence[str]) -> ServedEngine:
    """Open the engine of a configuration, and check its servers.

    Args:
        config: `reward.prm`.
        urls: base URLs of the servers.

    Raises:
        PrmError: a server is not up, or the family does not fit. The message names the setting.
    """
    if not config.model_path:
        raise PrmError(
            "reward.prm.model_path is not set. A served PRM's tokenizer and config are read from it, so give the hub "
            "name or folder that the servers were started with"
        )
    pool = ServerPool(config, urls)
    try:
        model = await pool.check()  # first: it is quick, and a hub is not
        family = resolve_family(config).open(
            config.model_path, trust_remote_code=config.trust_remote_code, **config.family_options
        )
        if family.serving == "prompt_logprobs":
            _require_vocabulary(config)
        engine = ServedEngine(checked_family(family, family_setting(config)), pool, model, config)
        await engine.try_servers()
    except BaseException:
        await pool.close()
        raise
    return engine


def _require_vocabulary(config: "PrmConfig") -> None:
    """Check that no more log-probabilities are asked for than there are tokens: vLLM's engine would end, not refuse."""
    size = read_model_config(config.model_path or "").get("vocab_size")
    if isinstance(size, int) and config.server.prompt_logprobs > size:
        raise PrmError(
            f"reward.prm.server.prompt_logprobs={config.server.prompt_logprobs} is more than the {size} tokens of the "
            f"vocabulary of reward.prm.model_path={config.model_path}. Lower it, or set it to -1 for all of them"
        )
