# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Define what is asked of a PRM and what comes back: plain data that every engine speaks and any process can read."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum
from itertools import accumulate
from typing import Any

from verl_prpo.prm.conversation import Heard


class PrmFailure(str, Enum):
    """Why a response has no process scores. Each kind has a counter `prpo/prm/{kind}`."""

    OVERLONG = "overlong"
    WRONG_COUNT = "wrong_count"
    BAD_OUTPUT = "bad_output"
    NON_FINITE = "non_finite"
    OUT_OF_RANGE = "out_of_range"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    SERVER_ERROR = "server_error"
    REPLICA_DIED = "replica_died"
    BAD_INPUT = "bad_input"
    BAD_MASK = "bad_mask"
    ENGINE_ERROR = "engine_error"

    def __str__(self) -> str:
        return self.value


def context_shares(seen_from: Sequence[int | None], lengths: Sequence[int]) -> list[float]:
    """How much of what comes before a segment the PRM had seen when it judged it in a window, from 0 to 1.

    Args:
        seen_from: for each judged segment the first one that its window shows, None for the others.
        lengths: of the segments, in any unit; 0 for a hidden one.

    Returns:
        One for each judged segment with something before it.
    """
    reach = list(accumulate(lengths, initial=0))
    return [(reach[i] - reach[begin]) / reach[i] for i, begin in enumerate(seen_from) if begin is not None and reach[i]]


@dataclass(frozen=True)
class PrmRequest:
    """One response to score.

    Attributes:
        messages: the prompt as chat messages.
        segments: texts whose concatenation is the response; "" for a segment without text.
        truncated: whether the response was cut off by its length limit, so that its last segment is not judged.
        heard: what tools and others said in the middle of the response, in order; the segments are then the policy's
            own words alone.
        row: of the data, for a score function: data_source, ground_truth and extra_info, as far as they are known.
        hidden: which segments the PRM is not shown; none at all, or one for each segment.
    """

    messages: Sequence[dict[str, Any]]
    segments: Sequence[str]
    truncated: bool = False
    _: KW_ONLY
    heard: Sequence[Heard] = ()
    row: Mapping[str, Any] = field(default_factory=dict)
    hidden: Sequence[bool] = ()


@dataclass(frozen=True)
class PrmResult:
    """One score per segment, or a failure. Neither where nothing in the response can be judged.

    Attributes:
        scores: in the family's range, as many as segments; None for a segment that the PRM did not judge (one past its
            context with `reward.prm.overlong=neutral`, one longer than a window, the unfinished last one of a truncated
            response, or one that a score function gives None), which gets z = 0. None altogether on a failure.
        failure: its kind; None when there are scores.
        detail: what was found, and which setting fixes it.
        tokens: length of the dialogue as the PRM read it, of all windows together; 0 when it was not encoded.
        overlong: whether the dialogue was longer than the PRM's context, whatever was done about it.
        cached: whether the scores were remembered from an equal dialogue.
        counts: what asking cost and what went wrong on the way, by the names of `verl_prpo.prm.generated.counts`; none
            where the PRM is no judge that writes.
        windows: in how many the response was read; 0 where it was read whole, or without what did not fit.
        seen_from: of a response read in windows, for each judged segment the first segment that the PRM saw before it
            in the window; its own number where it saw none.
    """

    scores: list[float | None] | None = None
    failure: PrmFailure | None = None
    detail: str = ""
    tokens: int = 0
    overlong: bool = False
    cached: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    windows: int = 0
    seen_from: list[int | None] | None = None
