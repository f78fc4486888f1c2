# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Decide which segments of a response are steps that a PRM is shown, before any family sees them.

A segment without words is no step: white space, a lone `<think>` or `</answer>` or a part of one, Markdown alone such
as `---` or a code fence. Words are letters, digits and mathematical symbols such as the empty set. A segment without
words joins the step beside it: the one before, or the one after where it only opens something or where nothing comes
before. The last segment of a response that was cut off by its length limit is unfinished. Nobody can say whether it
would have been right, so it is not shown. A hidden segment (`reward.prm.thinking=hide`) is not shown either, and the
PRM reads the others as the whole response.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from verl_prpo.prm.conversation import Heard, heard_by
from verl_prpo.text.thinking import tag_spans

_DRAWN = frozenset("=|~+<>\N{END OF PROOF}")
"""Mathematical symbols that say nothing by themselves: Markdown and HTML draw lines, tables and fences with them."""

_FENCE = re.compile(r"^[ \t>]*(?:`{3,}|~{3,})[ \t]*[A-Za-z][\w+#.-]*[ \t]*$", re.MULTILINE)
"""A line that opens a block of code and names its language."""


@dataclass(frozen=True)
class Shown:
    """What a PRM is shown of a response.

    Attributes:
        steps: texts, each with words. Together they are the response, without hidden segments and without an unfinished
            last segment.
        places: for each segment the step that it belongs to, whose score it gets. None for one that is not judged.
        unfinished: whether the last segment is not judged because the response was cut off within it.
        heard: what others said in the middle of the response, by step.
    """

    steps: list[str]
    places: list[int | None]
    unfinished: bool = False
    heard: list[Heard] = field(default_factory=list)


def has_words(text: str) -> bool:
    """Return whether a text says anything: whether it holds a letter, a digit or a mathematical symbol.

    Those in tags around thoughts and answers and in the names of code fences do not count.
    """
    return _has_words(text, _marks(text), 0)


def shown_steps(
    segments: Sequence[str],
    truncated: bool = False,
    *,
    heard: Sequence[Heard] = (),
    hidden: Sequence[bool] = (),
) -> Shown:
    """Return the steps of a response.

    Args:
        segments: texts whose concatenation is the response. "" stands for a segment without text.
        truncated: whether the response was cut off by its length limit, within its last segment.
        heard: what others said in the middle of the response, in order. A segment without words never joins a step from
            before such a message, whose score would then see what it says.
        hidden: for each segment whether it is not shown at all, or nothing where all are shown. What was heard within a
            hidden segment stands before the next one that is shown.

    Returns:
        The steps, and none at all where no finished segment has words.
    """
    if hidden and any(hidden):
        seen = [i for i, not_shown in enumerate(hidden) if not not_shown]
        left = [segments[i] for i in seen]
        shown = shown_steps(left, truncated and not hidden[-1], heard=heard_by(seen, heard))
        place_of = dict(zip(seen, shown.places, strict=True))
        return replace(shown, places=[place_of.get(i) for i in range(len(segments))])
    response = "".join(segments)
    ends = list(accumulate(map(len, segments)))
    begins = [end - len(segment) for segment, end in zip(segments, ends, strict=True)]
    tags = _by_segment(_marks(response), begins, ends)  # of the whole: a tag may lie across segments
    wordy = [_has_words(segment, theirs, begin) for segment, theirs, begin in zip(segments, tags, begins, strict=True)]
    unfinished = bool(truncated and wordy and wordy[-1])
    judged = len(segments) - unfinished
    interrupted = {one.segment for one in heard}
    steps: list[str] = []
    places: list[int | None] = []
    passed: list[Heard] = []
    waiting = ""  # text for the next step
    for number, (segment, theirs, says) in enumerate(zip(segments[:judged], tags, wordy, strict=False)):
        joins = bool(steps) and not waiting and not (theirs and theirs[-1][2]) and number not in interrupted
        joins = joins and not says
        if number in interrupted:
            here = [one for one in heard if one.segment == number]
            passed += [replace(one, segment=len(steps), offset=len(waiting) + one.offset) for one in here]
        if says:
            steps.append(waiting + segment)
            waiting = ""
        elif joins:
            steps[-1] += segment
        else:
            waiting += segment
            places.append(len(steps))
            continue
        places.append(len(steps) - 1)
    last = len(steps) - 1
    passed = [one for one in passed if one.segment <= last]
    if waiting and steps:
        steps[-1] += waiting
    places = [None if place is None or last < 0 else min(place, last) for place in places]
    return Shown(steps, [*places, *[None] * unfinished], unfinished, passed)


def _marks(text: str) -> list[tuple[int, int, bool]]:
    """List tags and named code fences of a text: begin and end of each, in order, and whether it opens something."""
    return sorted({*tag_spans(text), *((fence.start(), fence.end(), True) for fence in _FENCE.finditer(text))})


def _by_segment(
    tags: Sequence[tuple[int, int, bool]], begins: Sequence[int], ends: Sequence[int]
) -> list[list[tuple[int, int, bool]]]:
    """List for each segment the tags that lie in it, wholly or in part."""
    found: list[list[tuple[int, int, bool]]] = []
    first = 0
    for begin, end in zip(begins, ends, strict=True):
        while first < len(tags) and tags[first][1] <= begin:
            first += 1
        last = first
        while begin < end and last < len(tags) and tags[last][0] < end:
            last += 1
        found.append(list(tags[first:last]))
    return found


def _has_words(segment: str, tags: Sequence[tuple[int, int, bool]], begin: int) -> bool:
    """Return whether a segment says anything outside these tags of the response.

    Args:
        segment: its text.
        tags: begin and end of each tag in the response, in order, and whether it opens something.
        begin: the character of the response at which the segment begins.
    """
    at = 0
    for tag_begin, tag_end, _ in tags:
        if any(map(_is_word, segment[at : max(at, tag_begin - begin)])):
            return True
        at = max(at, tag_end - begin)
    return any(map(_is_word, segment[at:]))


def _is_word(character: str) -> bool:
    """Return whether a character alone says something: a letter, a digit, or a mathematical symbol not in `_DRAWN`."""
    return character.isalnum() or (unicodedata.category(character) == "Sm" and character not in _DRAWN)
