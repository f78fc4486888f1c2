# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Why segments of scored responses have no score: past the PRM's context, longer than a window, or abstained."""

from collections import Counter
from collections.abc import Sequence

from verl_prpo.calibration.response import Response
from verl_prpo.prm.results import PrmResult

PAST_CONTEXT, PAST_WINDOW, ABSTAINED = "past_context", "past_window", "abstained"

SAID = {
    PAST_CONTEXT: "past the PRM's context",
    PAST_WINDOW: "longer than a window of the PRM, reward.prm.overlong=windows",
    ABSTAINED: "given None by the function",
}
"""Each kind for people."""

HELPS = {
    PAST_CONTEXT: "++reward.prm.overlong=windows has the PRM read such responses in windows",
    PAST_WINDOW: "Cut finer, in training with ++algorithm.prpo.max_anchors=auto and here with another --delimiter, or "
    "choose a PRM with a longer context",
    ABSTAINED: "See what the function finds in them",
}
"""The setting or the choice that helps against each kind."""

LONGER = "Choose a judge with a longer context"
"""The choice that helps where a segment lies past the context of a judge that cannot read in windows."""


def unread_kinds(responses: Sequence[Response], results: Sequence[PrmResult], windows: bool) -> dict[str, int]:
    """Count the segments without a score, but for an unfinished last one, which no PRM is to judge.

    Args:
        responses: responses that were scored.
        results: the PRM's result for each response.
        windows: whether long responses were read in windows.
    """
    found: Counter[str] = Counter()
    for response, result in zip(responses, results, strict=True):
        judged = (result.scores or [])[: -1 if response.unfinished else None]
        kind = ABSTAINED if not result.overlong else PAST_WINDOW if windows else PAST_CONTEXT
        found[kind] += sum(score is None for score in judged)
    return {kind: found[kind] for kind in SAID if found[kind]}
