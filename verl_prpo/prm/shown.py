# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Which of a response's segments a PRM is shown as steps, decided here and before any family.

A segment without words (white space, a lone `<think>` or `</answer>`) is no step. It joins the step beside it: the one
before, or the one after where it only opens something or where nothing comes before. The last segment of a response
that was cut off by its length limit is unfinished; nobody can say whether it would have been right, so it is not shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from verl_prpo.thinking import ends_opening, without_tags


@dataclass(frozen=True)
class Shown:
    """What a PRM is shown of a response.

    Attributes:
        steps: texts, each with words; together they are the response but for an unfinished last segment.
        places: for each segment the step that it belongs to, whose score it gets; None for one that is not judged.
    """

    steps: list[str]
    places: list[int | None]


def has_words(segment: str) -> bool:
    """Whether a segment says anything besides white space and the tags around thoughts and answers."""
    return bool(without_tags(segment).strip())


def shown_steps(segments: Sequence[str], truncated: bool = False) -> Shown:
    """The steps of a response.

    Args:
        segments: texts whose concatenation is the response; "" for a segment without text.
        truncated: whether the response was cut off by its length limit, within its last segment.

    Returns:
        No steps at all where no finished segment has words.
    """
    judged = list(segments)
    if truncated and judged and has_words(judged[-1]):
        judged.pop()
    steps: list[str] = []
    places: list[int | None] = []
    waiting = ""  # text for the next step
    for segment in judged:
        if has_words(segment):
            steps.append(waiting + segment)
            waiting = ""
        elif not steps or waiting or ends_opening(segment):
            waiting += segment
            places.append(len(steps))
            continue
        else:
            steps[-1] += segment
        places.append(len(steps) - 1)
    if waiting and steps:
        steps[-1] += waiting
    places = [min(place, len(steps) - 1) if place is not None and steps else None for place in places]
    return Shown(steps, [*places, *[None] * (len(segments) - len(judged))])
