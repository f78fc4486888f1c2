# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Define what a PRM is asked and what comes back: plain data that every engine uses and any process can read."""

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
    """Compute how much of what comes before a segment the PRM had seen when it judged it in a window, from 0 to 1.

    Args:
        seen_from: for each judged segment the first one that its window shows, None for the others.
        lengths: lengths of the segments, in any unit. 0 for a hidden one.

    Returns:
        One share for each judged segment with something before it.
    """
    reach = list(accumulate(lengths, initial=0))
    return [(reach[i] - reach[begin]) / reach[i] for i, begin in enumerate(seen_from) if begin is not None and reach[i]]


@dataclass(frozen=True)
class PrmRequest:
    """One response to score.

    Attributes:
        messages: the prompt as chat messages.
        segments: texts whose concatenation is the response. "" for a segment without text.
        truncated: whether the response was cut off by its length limit, so that its last segment is not judged.
        heard: what tools and others said in the middle of the response, in order. The segments are then the policy's
            own words alone.
        row: row of the data for a score function: data_source, ground_truth and extra_info, as far as they are known.
        hidden: which segments the PRM is not shown. It is empty, or has one value for each segment.
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
    """One score per segment, or a failure. It has neither where nothing in the response can be judged.

    Attributes:
        scores: as many as segments, in the family's range. None on a failure. The score of a segment that the PRM did
            not judge is None, and this segment gets z = 0. Such a segment lies past the PRM's context with
            `reward.prm.overlong=neutral`, or is longer than a window, or is the unfinished last one of a truncated
            response, or a score function gave it None.
        failure: kind of the failure. None when there are scores.
        detail: what was found, and which setting fixes it.
        tokens: length of the dialogue as the PRM read it, of all windows together. 0 when it was not encoded.
        overlong: whether the dialogue was longer than the PRM's context, however that was handled.
        cached: whether the scores were remembered from an equal dialogue.
        counts: what asking cost and what went wrong on the way, by the names of `verl_prpo.prm.generated.counts`. Empty
            where the PRM is no judge that writes.
        windows: number of windows in which the response was read. 0 where it was read whole, or without what did not
            fit.
        seen_from: for each judged segment of a response read in windows, the first segment that the PRM saw before it
            in the window. It is the segment's own number where the PRM saw none.
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
