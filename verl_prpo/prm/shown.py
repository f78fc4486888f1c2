# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Which of a response's segments a PRM is shown as steps, decided here and before any family.

A segment without words (white space, a lone `<think>` or `</answer>`, or a part of one) is no step. It joins the step
beside it: the one before, or the one after where it only opens something or where nothing comes before. The last
segment of a response that was cut off by its length limit is unfinished; nobody can say whether it would have been
right, so it is not shown.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from verl_prpo.thinking import tag_spans

_BROKEN = "\ufffd"
"""What bytes decode to that are no character."""


@dataclass(frozen=True)
class Shown:
    """What a PRM is shown of a response.

    Attributes:
        steps: texts, each with words; together they are the response but for an unfinished last segment.
        places: for each segment the step that it belongs to, whose score it gets; None for one that is not judged.
        unfinished: whether the last segment is not judged because the response was cut off within it.
    """

    steps: list[str]
    places: list[int | None]
    unfinished: bool = False


def has_words(text: str) -> bool:
    """Whether a text says anything besides white space, invisible characters and the tags around thoughts and
    answers."""
    return _has_words(text, tag_spans(text), 0, len(text))


def shown_steps(segments: Sequence[str], truncated: bool = False) -> Shown:
    """The steps of a response.

    Args:
        segments: texts whose concatenation is the response; "" for a segment without text.
        truncated: whether the response was cut off by its length limit, within its last segment.

    Returns:
        No steps at all where no finished segment has words.
    """
    response = "".join(segments)
    tags = tag_spans(response)  # of the whole: a tag may lie across segments
    ends = list(accumulate(map(len, segments)))
    wordy = [
        _has_words(response, tags, begin, end) for begin, end in zip([0, *ends[:-1]], ends, strict=False) if segments
    ]
    unfinished = bool(truncated and wordy and wordy[-1])
    judged = len(segments) - unfinished
    steps: list[str] = []
    places: list[int | None] = []
    waiting = ""  # text for the next step
    for segment, end, says in zip(segments[:judged], ends, wordy, strict=False):
        if says:
            steps.append(waiting + segment)
            waiting = ""
        elif steps and not waiting and not _opens(tags, end - len(segment), end):
            steps[-1] += segment
        else:
            waiting += segment
            places.append(len(steps))
            continue
        places.append(len(steps) - 1)
    if waiting and steps:
        steps[-1] += waiting
    last = len(steps) - 1
    places = [None if place is None or last < 0 else min(place, last) for place in places]
    return Shown(steps, [*places, *[None] * unfinished], unfinished)


def _has_words(text: str, tags: Sequence[tuple[int, int, bool]], begin: int, end: int) -> bool:
    at = begin
    for tag_begin, tag_end, _ in tags:
        if tag_end <= at:
            continue
        if tag_begin >= end:
            break
        if any(map(_is_word, text[at : max(at, tag_begin)])):
            return True
        at = max(at, tag_end)
    return any(map(_is_word, text[at:end]))


def _is_word(character: str) -> bool:
    """Whether a character is seen: no separator, control or format character, and no sign of a broken one."""
    return character != _BROKEN and unicodedata.category(character)[0] not in "CZ"


def _opens(tags: Sequence[tuple[int, int, bool]], begin: int, end: int) -> bool:
    """Whether the last tag that ends within a span, or lies over its end, opens something."""
    found = [opens for tag_begin, tag_end, opens in tags if tag_end > begin and tag_begin < end]
    return bool(found) and found[-1]
