# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Turn requests into the dialogues that a model has yet to read, and its output into results: what all engines share.

A response that cannot be scored gets a failure of its own and disturbs no other. Equal dialogues are read once.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from verl_prpo.prm.cache import ScoreCache, dialogue_key
from verl_prpo.prm.encoding.response import (
    WINDOW_CONTEXT,
    EncodedResponse,
    encode_response,
    shown_error,
    shown_value,
)
from verl_prpo.prm.families.base import Encoded, PrmFamily
from verl_prpo.prm.results import PrmFailure, PrmRequest, PrmResult

RANGE_TOLERANCE = 1e-3


def encode_batch(
    family: PrmFamily,
    cache: ScoreCache,
    requests: Sequence[PrmRequest],
    overlong: str,
    window_context: float = WINDOW_CONTEXT,
) -> "Batch":
    """Encode requests and look up what is remembered.

    Args:
        family: the PRM.
        cache: of its scores.
        requests: responses to score.
        overlong: neutral, windows or raise, see `encode_response`.
        window_context: share of a window's room for context, see `encode_response`.

    Raises:
        PrmError: the family raises one.
    """
    return Batch(family, cache, [encode_response(family, request, overlong, window_context) for request in requests])


class Batch:
    """Requests on their way through an engine.

    Attributes:
        todo: the dialogues to read, each once, whose scores are not remembered.
    """

    def __init__(self, family: PrmFamily, cache: ScoreCache, responses: Sequence[EncodedResponse | PrmResult]):
        self._family = family
        self._cache = cache
        self._responses = [
            (r, list(map(dialogue_key, r.dialogues)) if isinstance(r, EncodedResponse) else []) for r in responses
        ]
        dialogues = {
            key: one
            for r, keys in self._responses
            if isinstance(r, EncodedResponse)
            for key, one in zip(keys, r.dialogues, strict=True)
        }
        self._scores: dict[bytes, Sequence[float | None] | PrmResult] = {}
        for key in dialogues:
            remembered = cache.get(key)
            if remembered is not None:
                self._scores[key] = remembered
        self._new = {key: encoded for key, encoded in dialogues.items() if key not in self._scores}
        self.todo = list(self._new.values())

    def results(self, outputs: Sequence[Any]) -> list[PrmResult]:
        """One result per request, in their order.

        Args:
            outputs: for each dialogue of `todo` its scores as the model gave them, or a failure.
        """
        for (key, encoded), output in zip(self._new.items(), outputs, strict=True):
            scores = output if isinstance(output, PrmResult) else checked_scores(self._family, encoded, output)
            if not isinstance(scores, PrmResult):
                self._cache.put(key, scores)
            self._scores[key] = scores
        results = []
        paid = set(self._new)  # each by the first request that asks for it; the others find its scores
        for response, keys in self._responses:
            if isinstance(response, EncodedResponse):
                cached = not paid.intersection(keys)
                results.append(_result(response, [self._scores[key] for key in keys], cached))
                paid.difference_update(keys)
            else:
                results.append(response)
        return results


def _result(response: EncodedResponse, found: Sequence[Sequence[float | None] | PrmResult], cached: bool) -> PrmResult:
    tokens = sum(len(one.input_ids) for one in response.dialogues)
    windows = 0 if response.seen_from is None else len(response.dialogues)
    failed = next((one for one in found if isinstance(one, PrmResult)), None)  # of any window: a part is no result
    if failed is not None:
        return replace(failed, tokens=tokens, overlong=response.overlong, windows=windows)
    scores = [one for one in found if not isinstance(one, PrmResult)]
    spread = [None if place is None else scores[place[0]][place[1]] for place in response.places]
    return PrmResult(
        spread,
        tokens=tokens,
        overlong=response.overlong,
        cached=cached,
        windows=windows,
        seen_from=response.seen_from,
    )


def checked_scores(family: PrmFamily, encoded: Encoded, output: Any) -> list[float] | PrmResult:
    """A model's output for one dialogue as scores, once they are as many as the reads, finite and in range; else the
    failure."""
    tokens = len(encoded.input_ids)
    try:
        scores = [float(score) for score in output]
    except Exception as error:  # no sequence at all, or of what is no number
        detail = f"{family.name} gave {shown_value(output)} for scores: {shown_error(error)}"
        return PrmResult(None, PrmFailure.BAD_OUTPUT, detail, tokens)
    if len(scores) != len(encoded.reads):
        detail = f"{family.name} gave {len(scores)} scores for {len(encoded.reads)} segments"
        return PrmResult(None, PrmFailure.WRONG_COUNT, detail, tokens)
    if not all(math.isfinite(score) for score in scores):
        detail = f"scores {scores}; the weights may be damaged, or reward.prm.dtype too narrow for them"
        return PrmResult(None, PrmFailure.NON_FINITE, detail, tokens)
    low, high = family.score_range
    if min(scores) < low - RANGE_TOLERANCE or max(scores) > high + RANGE_TOLERANCE:
        detail = f"scores {scores} leave the range [{low}, {high}] that {family.name} declares"
        return PrmResult(None, PrmFailure.OUT_OF_RANGE, detail, tokens)
    return scores
