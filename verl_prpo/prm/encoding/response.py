# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Encode one response: its steps as token ids within the PRM's context, or the failure it met.

A score is never made up: a segment that the PRM does not see has none.
"""

import math
import operator
import reprlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from verl_prpo.prm.conversation import Heard, steps_with
from verl_prpo.prm.encoding.shown import shown_steps
from verl_prpo.prm.encoding.truncation import steps_that_fit
from verl_prpo.prm.families.base import Encoded, PrmError, PrmFamily
from verl_prpo.prm.results import PrmFailure, PrmRequest, PrmResult


@dataclass(frozen=True)
class EncodedResponse:
    """One response as the PRM is to see it.

    Attributes:
        encoded: the dialogue.
        places: for each segment of the request the number of its score, or None where the dialogue ends before it.
        overlong: whether the whole response would not fit.
    """

    encoded: Encoded
    places: list[int | None]
    overlong: bool = False


def encode_response(family: PrmFamily, request: PrmRequest, overlong: str) -> EncodedResponse | PrmResult:
    """One response as token ids within the PRM's context, or the failure it met.

    Args:
        family: the PRM.
        request: the response; `verl_prpo.prm.encoding.shown` decides which of its segments are steps.
        overlong: what becomes of a response longer than the PRM's context: "neutral" (segments that do not fit have no
            score) or "raise" (a failure).

    Raises:
        PrmError: the family raises one.
    """
    shown = shown_steps(request.segments, request.truncated, request.heard)
    texts = shown.steps
    if not texts:
        detail = f"none of the {len(request.segments)} segments has words that can be judged"
        return PrmResult(None, PrmFailure.BAD_INPUT, detail)
    encoded = _encode(family, request.messages, texts, shown.heard)
    if isinstance(encoded, PrmResult):
        return encoded
    length = len(encoded.input_ids)
    if length <= family.max_context:
        return EncodedResponse(encoded, shown.places)
    if overlong == "raise":
        return _overlong(family, length)

    def tokens(count: int) -> float:
        encoded = _encode(family, request.messages, texts[:count], shown.heard)
        return len(encoded.input_ids) if isinstance(encoded, Encoded) else math.inf

    count = steps_that_fit(tokens, texts, length, family.max_context)
    if not count:
        return PrmResult([None] * len(request.segments), tokens=length, overlong=True)
    encoded = _encode(family, request.messages, texts[:count], shown.heard)
    if isinstance(encoded, PrmResult):
        return encoded
    places = [None if place is None or place >= count else place for place in shown.places]
    return EncodedResponse(encoded, places, overlong=True)


def shown_value(value: Any) -> str:
    """A value of any kind and size, for a message."""
    return f"{type(value).__name__} {reprlib.repr(value)}"


def shown_error(error: BaseException) -> str:
    """An error's kind and text, even of one that cannot write itself."""
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
        f"{family.max_context}; lower data.max_prompt_length or data.max_response_length, or set "
        "++reward.prm.overlong=neutral"
    )
    return PrmResult(None, PrmFailure.OVERLONG, detail, length, overlong=True)


def _token_ids(ids: Sequence[Any]) -> list[int]:
    plain = list(array("q", map(operator.index, ids)))
    if min(plain) < 0:
        raise ValueError(f"{min(plain)} is no token id")
    return plain
