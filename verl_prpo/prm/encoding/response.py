# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Encode one response: the result is its steps as token ids within the PRM's context, or a failure.

A score is never made up: a segment that the PRM does not see has none. One that it sees in a window is judged by what
the window shows.
"""

import math
import operator
import reprlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from verl_prpo.prm.conversation import Heard, heard_between, steps_with
from verl_prpo.prm.encoding.shown import Shown, shown_steps
from verl_prpo.prm.encoding.tokens import texts_remembered
from verl_prpo.prm.encoding.truncation import steps_that_fit
from verl_prpo.prm.encoding.windows import Lengths, plan_windows
from verl_prpo.prm.families.base import Encoded, PrmError, PrmFamily
from verl_prpo.prm.results import PrmFailure, PrmRequest, PrmResult

WINDOW_CONTEXT = 0.5
"""Share of a window's room after the problem that is kept for context, where no setting says otherwise."""


@dataclass(frozen=True)
class EncodedResponse:
    """One response as the PRM is to see it.

    Attributes:
        dialogues: one, or one for each window.
        places: for each segment of the request which dialogue judges it, and the number of its score there. None for a
            segment that is not judged.
        overlong: whether the whole response would not fit.
        seen_from: of a response read in windows, for each judged segment the first segment that its window shows.
    """

    dialogues: list[Encoded]
    places: list[tuple[int, int] | None]
    overlong: bool = False
    seen_from: list[int | None] | None = None


def encode_response(
    family: PrmFamily, request: PrmRequest, overlong: str, window_context: float = WINDOW_CONTEXT
) -> EncodedResponse | PrmResult:
    """Encode one response as token ids within the PRM's context, or return the failure.

    Args:
        family: the PRM.
        request: the response. `verl_prpo.prm.encoding.shown` decides which of its segments are steps.
        overlong: what becomes of a response longer than the PRM's context: "neutral" (segments that do not fit have no
            score), "windows" (it is read in windows, see `verl_prpo.prm.encoding.windows`) or "raise" (a failure).
        window_context: share of a window's room for context.

    Raises:
        PrmError: the family raises one.
    """
    shown = shown_steps(request.segments, request.truncated, heard=request.heard, hidden=request.hidden)
    texts = shown.steps
    if not texts:
        detail = f"none of the {len(request.segments)} segments has words that can be judged"
        return PrmResult(None, PrmFailure.BAD_INPUT, detail)
    encoded = _encode(family, request.messages, texts, shown.heard)
    if isinstance(encoded, PrmResult):
        return encoded
    length = len(encoded.input_ids)
    if length <= family.max_context:
        return EncodedResponse([encoded], [None if place is None else (0, place) for place in shown.places])
    if overlong == "raise":
        return _overlong(family, length)
    if overlong == "windows":
        return _in_windows(family, request, shown, encoded, window_context)

    def tokens(count: int) -> float:
        encoded = _encode(family, request.messages, texts[:count], shown.heard)
        return len(encoded.input_ids) if isinstance(encoded, Encoded) else math.inf

    count = steps_that_fit(tokens, texts, length, family.max_context)
    if not count:
        return PrmResult([None] * len(request.segments), tokens=length, overlong=True)
    encoded = _encode(family, request.messages, texts[:count], shown.heard)
    if isinstance(encoded, PrmResult):
        return encoded
    places = [None if place is None or place >= count else (0, place) for place in shown.places]
    return EncodedResponse([encoded], places, overlong=True)


def _in_windows(
    family: PrmFamily, request: PrmRequest, shown: Shown, whole: Encoded, context: float
) -> EncodedResponse | PrmResult:
    tried: dict[tuple[int, int], Encoded | PrmResult] = {}

    def window(begin: int, end: int) -> Encoded | PrmResult:
        if (begin, end) not in tried:
            texts, heard = shown.steps[begin:end], heard_between(shown.steps, begin, end, shown.heard)
            encoded = _encode(family, request.messages, texts, heard)
            if begin and isinstance(encoded, PrmResult):  # a template may refuse to begin with another's words
                inside = [one for one in heard if one.segment or one.offset]
                encoded = _encode(family, request.messages, texts, inside)
            tried[begin, end] = encoded
        return tried[begin, end]

    def fits(begin: int, end: int) -> bool:
        encoded = window(begin, end)
        return isinstance(encoded, Encoded) and len(encoded.input_ids) <= family.max_context

    with texts_remembered():
        windows = plan_windows(fits, Lengths.of(whole, shown.steps), family.max_context, context)
    judged = {step: (n, step - w.begin) for n, w in enumerate(windows) for step in range(w.judged, w.end)}
    for n in range(len(shown.steps)):
        alone = window(n, n + 1) if n not in judged else None
        if isinstance(alone, PrmResult):  # it is not too long: the family cannot write it
            return replace(alone, overlong=True)
    if not windows:
        return PrmResult([None] * len(request.segments), tokens=len(whole.input_ids), overlong=True)
    places = [None if place is None else judged.get(place) for place in shown.places]
    first_of: dict[int, int] = {}
    for segment, step in enumerate(shown.places):
        if step is not None:
            first_of.setdefault(step, segment)
    seen_from = [None if place is None else first_of[windows[place[0]].begin] for place in places]
    dialogues = [window(w.begin, w.end) for w in windows]
    return EncodedResponse([one for one in dialogues if isinstance(one, Encoded)], places, True, seen_from)


def shown_value(value: Any) -> str:
    """Write a value of any kind and size in short, for a message."""
    return f"{type(value).__name__} {reprlib.repr(value)}"


def shown_error(error: BaseException) -> str:
    """Write an error's kind and text, or its kind alone where the error's own text cannot be had."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


def _encode(
    family: PrmFamily, messages: Sequence[dict[str, Any]], texts: list[str], heard: Sequence[Heard]
) -> Encoded | PrmResult:
    try:
        steps = steps_with(texts, heard) if heard else []
        encoded = family.encode_turns(messages, steps) if heard else family.encode(messages, texts)
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
        f"{family.max_context}. Lower data.max_prompt_length or data.max_response_length, or set "
        "++reward.prm.overlong=neutral, or windows, in which it is read in parts"
    )
    return PrmResult(None, PrmFailure.OVERLONG, detail, length, overlong=True)


def _token_ids(ids: Sequence[Any]) -> list[int]:
    plain = list(array("q", map(operator.index, ids)))
    if min(plain) < 0:
        raise ValueError(f"{min(plain)} is no token id")
    return plain
