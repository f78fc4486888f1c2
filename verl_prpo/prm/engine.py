# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Scores a batch of responses with a PRM in this process: one forward pass per response, packed by length.

A response that cannot be scored gets a failure of its own and disturbs no other; a score is never made up.
"""

import math
import operator
import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import torch

from verl_prpo.prm.family import Encoded, PrmError, PrmFamily

RANGE_TOLERANCE = 1e-3


class PrmFailure(str, Enum):
    """Why a response has no process scores."""

    OVERLONG = "overlong"
    WRONG_COUNT = "wrong_count"
    BAD_OUTPUT = "bad_output"
    NON_FINITE = "non_finite"
    OUT_OF_RANGE = "out_of_range"
    TIMEOUT = "timeout"
    REPLICA_DIED = "replica_died"
    BAD_INPUT = "bad_input"
    ENGINE_ERROR = "engine_error"


@dataclass(frozen=True)
class PrmRequest:
    """One response to score.

    Attributes:
        messages: the prompt as chat messages.
        segments: texts whose concatenation is the response; "" for a segment without text.
    """

    messages: Sequence[dict[str, Any]]
    segments: Sequence[str]


@dataclass(frozen=True)
class PrmResult:
    """Either one score per segment or a failure.

    Attributes:
        scores: in the family's range, as many as segments; None on a failure.
        failure: its kind; None when there are scores.
        detail: what was found, and which setting mends it.
        tokens: length of the dialogue as the PRM read it, 0 when it was not encoded.
    """

    scores: list[float] | None
    failure: PrmFailure | None = None
    detail: str = ""
    tokens: int = 0


class InProcessEngine:
    """A loaded family and the packing of requests into forward passes."""

    def __init__(self, family: PrmFamily, max_tokens_per_forward: int):
        """Args:
        family: the PRM.
        max_tokens_per_forward: most tokens, padding included, of one forward pass; a single dialogue may exceed it.
        """
        self.family = family
        self.max_tokens_per_forward = max_tokens_per_forward

    def score(self, requests: Sequence[PrmRequest]) -> list[PrmResult]:
        """One result per request, in their order.

        A segment without text is not shown to the PRM; it takes the score of the nearest segment with text before it,
        or after it where there is none.

        Raises:
            PrmError: the device ran out of memory, or the family raises one.
        """
        results: list[PrmResult | None] = [None] * len(requests)
        encoded: dict[int, Encoded] = {}
        for i, request in enumerate(requests):
            outcome = self._encode(request)
            if isinstance(outcome, Encoded):
                encoded[i] = outcome
            else:
                results[i] = outcome
        for indices in self._micro_batches(encoded):
            batch = [encoded[i] for i in indices]
            output = self._forward(batch)
            try:
                rows = list(output)
                fault = f"{len(rows)} rows of scores" if len(rows) != len(batch) else ""
            except TypeError:
                fault = _shown(output)
            for n, i in enumerate(indices):
                if fault:
                    detail = f"{self.family.name} gave {fault} for {len(batch)} dialogues"
                    results[i] = PrmResult(None, PrmFailure.BAD_OUTPUT, detail, len(batch[n].input_ids))
                else:
                    results[i] = self._checked(requests[i], batch[n], rows[n])
        return [result for result in results if result is not None]

    def _encode(self, request: PrmRequest) -> Encoded | PrmResult:
        texts = [segment for segment in request.segments if segment]
        if not texts:
            return PrmResult(None, PrmFailure.BAD_INPUT, f"none of the {len(request.segments)} segments has text")
        try:
            encoded = self.family.encode(request.messages, texts)
            if not isinstance(encoded, Encoded) or not len(encoded.input_ids):
                raise ValueError(f"encode must give an Encoded with token ids, and gave {_shown(encoded)}")
            encoded = replace(encoded, input_ids=_token_ids(encoded.input_ids), reads=list(encoded.reads))
        except PrmError:
            raise
        except Exception as error:  # whatever a family or tokenizer raises on a text it cannot take
            return PrmResult(None, PrmFailure.BAD_INPUT, f"{self.family.name}: {type(error).__name__}: {error}")
        length = len(encoded.input_ids)
        if length > self.family.max_context:
            detail = (
                f"the dialogue has {length} tokens in the PRM's tokenizer, and {self.family.name} reads at most "
                f"{self.family.max_context}; lower data.max_prompt_length or data.max_response_length"
            )
            return PrmResult(None, PrmFailure.OVERLONG, detail, length)
        if len(encoded.reads) != len(texts):
            detail = f"{self.family.name} reads {len(encoded.reads)} scores for {len(texts)} segments"
            return PrmResult(None, PrmFailure.WRONG_COUNT, detail, length)
        return encoded

    def _micro_batches(self, encoded: dict[int, Encoded]) -> Iterator[list[int]]:
        """Indices of dialogues of like length, with rows times the longest within the limit."""
        batch: list[int] = []
        for i in sorted(encoded, key=lambda i: len(encoded[i].input_ids)):
            if batch and (len(batch) + 1) * len(encoded[i].input_ids) > self.max_tokens_per_forward:
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    def _forward(self, batch: list[Encoded]) -> Any:
        try:
            with torch.inference_mode():
                return self.family.forward(batch)
        except torch.OutOfMemoryError as error:
            longest = max(len(row.input_ids) for row in batch)
            raise PrmError(
                f"the PRM ran out of memory on {len(batch)} dialogues of up to {longest} tokens; lower "
                f"reward.prm.max_tokens_per_forward (now {self.max_tokens_per_forward}) or give the PRM a device "
                f"of its own: {error}"
            ) from error

    def _checked(self, request: PrmRequest, encoded: Encoded, output: Any) -> PrmResult:
        tokens = len(encoded.input_ids)
        try:
            scores = [float(score) for score in output]
        except Exception as error:  # no sequence at all, or of what is no number
            detail = f"{self.family.name} gave {_shown(output)} for scores: {type(error).__name__}: {error}"
            return PrmResult(None, PrmFailure.BAD_OUTPUT, detail, tokens)
        if len(scores) != len(encoded.reads):
            detail = f"{self.family.name} gave {len(scores)} scores for {len(encoded.reads)} segments"
            return PrmResult(None, PrmFailure.WRONG_COUNT, detail, tokens)
        if not all(math.isfinite(score) for score in scores):
            detail = f"scores {scores}; the weights may be damaged, or reward.prm.dtype too narrow for them"
            return PrmResult(None, PrmFailure.NON_FINITE, detail, tokens)
        low, high = self.family.score_range
        if min(scores) < low - RANGE_TOLERANCE or max(scores) > high + RANGE_TOLERANCE:
            detail = f"scores {scores} leave the range [{low}, {high}] that {self.family.name} declares"
            return PrmResult(None, PrmFailure.OUT_OF_RANGE, detail, tokens)
        return PrmResult(_spread(request.segments, scores), tokens=tokens)


def _token_ids(ids: Sequence[Any]) -> list[int]:
    plain = [operator.index(token) for token in ids]
    if min(plain) < 0:
        raise ValueError(f"{min(plain)} is no token id")
    return plain


def _shown(value: Any) -> str:
    """A value of any kind and size, for a message."""
    return f"{type(value).__name__} {reprlib.repr(value)}"


def _spread(segments: Sequence[str], scores: list[float]) -> list[float]:
    """Scores of the segments with text, handed on to those without."""
    spread: list[float] = []
    ahead = iter(scores)
    current = scores[0]
    for segment in segments:
        if segment:
            current = next(ahead)
        spread.append(current)
    return spread
