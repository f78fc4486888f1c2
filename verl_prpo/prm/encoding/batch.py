# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""From requests to dialogues that a model has yet to read, and from its output to results: what all engines share.

A response that cannot be scored gets a failure of its own and disturbs no other. Equal dialogues are read once. A score
is never made up: a segment that the PRM did not read has None.
"""

import math
import operator
import reprlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from verl_prpo.prm.cache import ScoreCache, dialogue_key
from verl_prpo.prm.encoding.shown import Shown, shown_steps
from verl_prpo.prm.encoding.truncation import part_that_fits, segments_that_fit
from verl_prpo.prm.families.base import Encoded, PrmError, PrmFamily
from verl_prpo.prm.results import PrmFailure, PrmRequest, PrmResult

RANGE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Reading:
    """One request as the PRM is to read it.

    Attributes:
        encoded: the dialogue.
        places: for each segment of the request the number of its score, or None where the dialogue ends before it.
        overlong: whether the whole response would not fit.
    """

    encoded: Encoded
    places: list[int | None]
    overlong: bool = False


class Batch:
    """Requests on their way through an engine.

    Attributes:
        todo: dialogues, each once, whose scores are not known yet.
    """

    def __init__(self, family: PrmFamily, cache: ScoreCache, readings: Sequence[Reading | PrmResult]):
        self._family = family
        self._cache = cache
        self._readings = readings
        self._known: dict[bytes, list[float] | PrmResult] = {}
        self._first: dict[bytes, int] = {}
        self._keys = [dialogue_key(r.encoded) if isinstance(r, Reading) else b"" for r in readings]
        self.todo: list[Encoded] = []
        self._todo_keys: list[bytes] = []
        for i, (key, reading) in enumerate(zip(self._keys, readings, strict=True)):
            if not isinstance(reading, Reading) or key in self._known or key in self._first:
                continue
            remembered = cache.get(key)
            if remembered is not None:
                self._known[key] = remembered
            else:
                self._first[key] = i
                self.todo.append(reading.encoded)
                self._todo_keys.append(key)

    def results(self, outputs: Sequence[Any]) -> list[PrmResult]:
        """One result per request, in their order.

        Args:
            outputs: for each dialogue of `todo` its scores as the model gave them, or a failure.
        """
        for key, encoded, output in zip(self._todo_keys, self.todo, outputs, strict=True):
            scores = output if isinstance(output, PrmResult) else checked_scores(self._family, encoded, output)
            if not isinstance(scores, PrmResult):
                self._cache.put(key, scores)
            self._known[key] = scores
        return [self._result(i, reading) for i, reading in enumerate(self._readings)]

    def _result(self, i: int, reading: Reading | PrmResult) -> PrmResult:
        if isinstance(reading, PrmResult):
            return reading
        scores = self._known[self._keys[i]]
        tokens = len(reading.encoded.input_ids)
        if isinstance(scores, PrmResult):
            return replace(scores, tokens=tokens, overlong=reading.overlong)
        spread = [None if place is None else scores[place] for place in reading.places]
        cached = self._first.get(self._keys[i]) != i
        return PrmResult(spread, tokens=tokens, overlong=reading.overlong, cached=cached)


def take(family: PrmFamily, cache: ScoreCache, requests: Sequence[PrmRequest], overlong: str) -> Batch:
    """Encode requests and look up what is remembered.

    Args:
        family: the PRM.
        cache: of its scores.
        requests: responses to score.
        overlong: what becomes of a response longer than the PRM's context: "neutral" (segments that do not fit have no
            score), "truncate" (the PRM reads what fits; segments past it take the last score), "raise" (a failure).

    Raises:
        PrmError: the family raises one.
    """
    return Batch(family, cache, [read(family, request, overlong) for request in requests])


def read(family: PrmFamily, request: PrmRequest, overlong: str) -> Reading | PrmResult:
    """One request as token ids within the PRM's context, or the failure it met.

    What of the response is a step is decided by `verl_prpo.prm.encoding.shown`.
    """
    shown = shown_steps(request.segments, request.truncated)
    texts = shown.steps
    if not texts:
        detail = f"none of the {len(request.segments)} segments has words that can be judged"
        return PrmResult(None, PrmFailure.BAD_INPUT, detail)
    encoded = _encode(family, request.messages, texts)
    if isinstance(encoded, PrmResult):
        return encoded
    if len(encoded.input_ids) <= family.max_context:
        return Reading(encoded, shown.places)
    length = len(encoded.input_ids)
    if overlong == "raise":
        return _overlong(family, length)

    def tokens(texts: list[str]) -> float:
        encoded = _encode(family, request.messages, texts)
        return len(encoded.input_ids) if isinstance(encoded, Encoded) else math.inf

    fit = segments_that_fit(tokens, texts, length, family.max_context)
    fitting = texts[: fit.count]
    beyond: int | None = None
    if overlong == "truncate":
        part = part_that_fits(tokens, texts, fit, family.max_context)
        fitting = [*fitting, part] if part else fitting
        beyond = len(fitting) - 1
    if not fitting:
        unread = PrmResult([None] * len(request.segments), tokens=length, overlong=True)
        return unread if overlong == "neutral" else _overlong(family, length)
    encoded = _encode(family, request.messages, fitting)
    if isinstance(encoded, PrmResult):
        return encoded
    return Reading(encoded, _places(shown, len(fitting), beyond), overlong=True)


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


def shown_value(value: Any) -> str:
    """A value of any kind and size, for a message."""
    return f"{type(value).__name__} {reprlib.repr(value)}"


def shown_error(error: BaseException) -> str:
    """An error's kind and text, even of one that cannot write itself."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


def _encode(family: PrmFamily, messages: Sequence[dict[str, Any]], texts: list[str]) -> Encoded | PrmResult:
    try:
        encoded = family.encode(messages, texts)
        if not isinstance(encoded, Encoded) or not len(encoded.input_ids):
            raise ValueError(f"encode must give an Encoded with token ids, and gave {shown_value(encoded)}")
        encoded = replace(encoded, input_ids=_token_ids(encoded.input_ids), reads=list(encoded.reads))
    except PrmError:
        raise
    except Exception as error:  # whatever a family or tokenizer raises on a text it cannot take
        return PrmResult(None, PrmFailure.BAD_INPUT, f"{family.name}: {shown_error(error)}")
    if len(encoded.reads) != len(texts):
        detail = f"{family.name} reads {len(encoded.reads)} scores for {len(texts)} segments"
        return PrmResult(None, PrmFailure.WRONG_COUNT, detail, len(encoded.input_ids))
    return encoded


def _overlong(family: PrmFamily, length: int) -> PrmResult:
    detail = (
        f"the dialogue has {length} tokens in the PRM's tokenizer, and {family.name} reads at most "
        f"{family.max_context}; lower data.max_prompt_length or data.max_response_length, or set "
        "++reward.prm.overlong=neutral"
    )
    return PrmResult(None, PrmFailure.OVERLONG, detail, length, overlong=True)


def _places(shown: Shown, read: int, beyond: int | None) -> list[int | None]:
    """For each segment the number of its score: `read` steps were read; those after them have `beyond`."""
    return [place if place is None or place < read else beyond for place in shown.places]


def _token_ids(ids: Sequence[Any]) -> list[int]:
    plain = list(array("q", map(operator.index, ids)))
    if min(plain) < 0:
        raise ValueError(f"{min(plain)} is no token id")
    return plain
