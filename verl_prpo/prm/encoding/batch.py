# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Turn requests into the dialogues that a model has yet to read, and its output into results. All engines share this.

A response that cannot be scored gets a failure of its own and disturbs no other. Equal dialogues are read once.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from verl_prpo.prm.cache import AskedOnce, ScoreCache, dialogue_key
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
    """Encode requests, and look up the scores that the cache holds.

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
        to_ask: the dialogues to read, each once, whose scores the cache does not hold.
    """

    def __init__(self, family: PrmFamily, cache: ScoreCache, responses: Sequence[EncodedResponse | PrmResult]):
        self._family = family
        self._responses = responses
        dialogues = [r.dialogues if isinstance(r, EncodedResponse) else [] for r in responses]
        self._asked = AskedOnce(cache, [[(dialogue_key(one), one) for one in of_response] for of_response in dialogues])
        self.to_ask = list(self._asked.to_ask.values())

    def results(self, outputs: Sequence[Any]) -> list[PrmResult]:
        """Return one result per request, in their order.

        Args:
            outputs: for each dialogue of `to_ask` its scores as the model gave them, or a failure.
        """
        found = [checked_scores(self._family, one, output) for one, output in zip(self.to_ask, outputs, strict=True)]
        return [
            _result(response, *answer) if isinstance(response, EncodedResponse) else response
            for response, answer in zip(self._responses, self._asked.answers(found), strict=True)
        ]


def _result(response: EncodedResponse, found: Sequence[PrmResult], cached: bool) -> PrmResult:
    tokens = sum(len(one.input_ids) for one in response.dialogues)
    windows = 0 if response.seen_from is None else len(response.dialogues)
    failed = next((one for one in found if one.scores is None), None)  # of any window: a part is no result
    if failed is not None:
        return replace(failed, tokens=tokens, overlong=response.overlong, windows=windows)
    scores = [one.scores or [] for one in found]
    return PrmResult(
        [None if place is None else scores[place[0]][place[1]] for place in response.places],
        tokens=tokens,
        overlong=response.overlong,
        cached=cached,
        windows=windows,
        seen_from=response.seen_from,
    )


def checked_scores(family: PrmFamily, encoded: Encoded, output: Any) -> PrmResult:
    """Return a model's output for one dialogue as scores, once they are as many as the reads, finite and in range.

    Otherwise return the failure. An output that is a `PrmResult` already is returned as it is.
    """
    if isinstance(output, PrmResult):
        return output
    tokens = len(encoded.input_ids)
    try:
        scores = list(map(float, output))
    except Exception as error:  # no sequence at all, or of what is no number
        detail = f"{family.name} gave {shown_value(output)} for scores: {shown_error(error)}"
        return PrmResult(None, PrmFailure.BAD_OUTPUT, detail, tokens)
    if len(scores) != len(encoded.reads):
        detail = f"{family.name} gave {len(scores)} scores for {len(encoded.reads)} segments"
        return PrmResult(None, PrmFailure.WRONG_COUNT, detail, tokens)
    if not all(math.isfinite(score) for score in scores):
        detail = f"scores {scores}. The weights may be damaged, or reward.prm.dtype is too narrow for them"
        return PrmResult(None, PrmFailure.NON_FINITE, detail, tokens)
    low, high = family.score_range
    if min(scores) < low - RANGE_TOLERANCE or max(scores) > high + RANGE_TOLERANCE:
        detail = f"scores {scores} leave the range [{low}, {high}] that {family.name} declares"
        return PrmResult(None, PrmFailure.OUT_OF_RANGE, detail, tokens)
    return PrmResult(scores)  # type: ignore[arg-type]
