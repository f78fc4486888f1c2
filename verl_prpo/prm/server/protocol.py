# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Write requests to vLLM servers and read their answers: one row per dialogue, in the order in which they were sent.

Classifiers answer at `/pooling` (vllm/entrypoints/pooling/pooling/protocol.py), causal language models at
`/v1/completions` (vllm/entrypoints/openai/completion/protocol.py).
"""

import math
import operator
from collections.abc import Sequence
from typing import Any, overload

from verl_prpo.prm.encoding.response import shown_value
from verl_prpo.prm.results import PrmFailure, PrmResult

PATHS = {"pooling": "/pooling", "prompt_logprobs": "/v1/completions"}
"""The path at a server, by `PrmFamily.serving`."""

GENERATED = {"pooling": 0, "prompt_logprobs": 1}
"""Tokens that a server adds to each dialogue, by `PrmFamily.serving`: a completion has at least one."""

_ROUNDING = 1e-3
"""Greatest log-probability above 0 that counts as rounding."""


class PromptLogprobs(Sequence[dict[int, float] | None]):
    """Log-probabilities of a prompt's tokens, from their JSON.

    Each becomes a dict from token id to number only when it is read, for a family reads few of them.
    """

    def __init__(self, tokens: list[Any]):
        self._tokens = tokens

    def __len__(self) -> int:
        return len(self._tokens)

    @overload
    def __getitem__(self, index: int) -> dict[int, float] | None: ...

    @overload
    def __getitem__(self, index: slice) -> list[dict[int, float] | None]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        named = self._tokens[index]
        if named is None:
            return None
        found = {int(token): float(entry["logprob"]) for token, entry in named.items()}
        if any(value > _ROUNDING for value in found.values()):
            raise ValueError(f"{max(found.values())} after token {index - 1} is no log-probability")
        return found

    def require_prompt(self, ids: Sequence[int]) -> None:
        """Check that the log-probabilities are those of this prompt.

        A server names each token of the prompt besides the likeliest ones.

        Raises:
            ValueError: they belong to other token ids.
        """
        if len(self._tokens) != len(ids):
            raise ValueError(f"log-probabilities of {len(self._tokens)} tokens for {len(ids)}")
        for at, (named, token) in enumerate(zip(self._tokens, ids, strict=True)):
            if at and str(token) not in named:
                raise ValueError(f"the log-probabilities are of another prompt: token {at} is {token}, which they lack")


def request_body(serving: str, model: str, ids: list[list[int]], prompt_logprobs: int) -> dict[str, Any]:
    """Write the request that has a server read dialogues.

    Args:
        serving: `PrmFamily.serving` of the family.
        model: its name at the server.
        ids: token ids of each dialogue.
        prompt_logprobs: how many log-probabilities to ask for at each token.
    """
    if serving == "pooling":
        return {"model": model, "input": ids, "task": "token_classify", "encoding_format": "float"}
    return {"model": model, "prompt": ids, "max_tokens": 1, "temperature": 0, "prompt_logprobs": prompt_logprobs}


def answer_rows(serving: str, answer: Any, count: int) -> list[Any] | PrmResult:
    """Read what a server answered for each dialogue.

    Args:
        serving: `PrmFamily.serving` of the family.
        answer: the JSON.
        count: number of dialogues.

    Returns:
        For each dialogue what `PrmFamily.served_scores` takes, or one failure for all.
    """
    listed, field = ("data", "data") if serving == "pooling" else ("choices", "prompt_logprobs")
    try:
        found = {operator.index(row["index"]): row[field] for row in answer[listed]}
        total = len(answer[listed])
    except (TypeError, KeyError, ValueError, AttributeError):
        detail = f"the server's answer has no {listed} with index and {field}: {shown_value(answer)}"
        return PrmResult(None, PrmFailure.BAD_OUTPUT, detail)
    if total != count or sorted(found) != list(range(count)):
        detail = f"the server answered {total} rows ({len(found)} different) for {count} dialogues"
        return PrmResult(None, PrmFailure.WRONG_COUNT, detail)
    if any(not isinstance(found[i], list) for i in range(count)):
        return PrmResult(None, PrmFailure.BAD_OUTPUT, f"{field} of the server's answer holds no list")
    if serving == "pooling":
        try:
            return [_numbers(found[i]) for i in range(count)]
        except RecursionError:
            return PrmResult(None, PrmFailure.BAD_OUTPUT, f"{field} of the server's answer is nested too deep")
    return [PromptLogprobs(found[i]) for i in range(count)]


def _numbers(value: Any) -> Any:
    """Return the rows with NaN for each null, since JSON has no word for NaN."""
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return math.nan if value is None else value
