# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""One response as calibration sees it: its prompt, its steps, and what is known of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Any

from verl_prpo.prm.conversation import Heard, heard_by
from verl_prpo.prm.encoding.shown import has_words, shown_steps
from verl_prpo.text.thinking import CLOSE, OPEN, ends_in_thought, opens_thought, thought_spans


class InputError(ValueError):
    """An input that cannot be used. The message names the file, the line and what is wrong."""


@dataclass(frozen=True)
class Response:
    """One response cut into segments.

    Attributes:
        messages: the prompt as chat messages.
        segments: texts with words, whose concatenation is the response.
        group: what responses to the same prompt share.
        outcome: outcome of the verifier, in its own units, None when unknown.
        step_labels: per segment True (right), False (wrong) or None (unknown). The whole is None when no segment has a
            label.
        recorded: per segment the score that a dump already holds, or None where there is none. The whole is None
            without a dump.
        right: whether the response is right, None where nothing says it.
        thinking: whether the prompt opens a thought, in which the response begins.
        parts: what the reward manager returned besides the outcome, such as `acc`.
        cut_here: whether the delimiters made the segments.
        unfinished: whether the response was cut off within its last segment, which is not judged then.
        heard: what tools and others said in the middle of the response, by segment. The segments are then the policy's
            own words.
        row: what a score function gets of the data: data_source, ground_truth and extra_info, as far as known.
        truncated: whether the response was cut off by a length limit, as far as the input says it.
        data_source: data source of the prompt, as verl names it. It is empty where the input does not say it.
        hidden: which segments were hidden from the PRM in the run that wrote the dump. It is empty where the run hid
            nothing.
        thoughts: half-open spans of characters of the segments that are thoughts. They are known where a dump says
            which these are, or what stands between the policy's turns. None where its words alone are known.
        thoughts_known: whether a dump says which spans are thoughts, so that no tag has to be found.
        overlong: whether the run's PRM could not read the response whole, as far as a dump says it.
        windows: in how many windows the run's PRM read the response, as far as a dump says it.
    """

    messages: Sequence[Mapping[str, Any]]
    segments: Sequence[str]
    group: str
    outcome: float | None = None
    step_labels: Sequence[bool | None] | None = None
    recorded: Sequence[float | None] | None = None
    right: bool | None = None
    thinking: bool = False
    parts: Mapping[str, Any] = field(default_factory=dict)
    cut_here: bool = False
    unfinished: bool = False
    heard: Sequence[Heard] = ()
    row: Mapping[str, Any] = field(default_factory=dict)
    truncated: bool = False
    data_source: str = ""
    hidden: Sequence[bool] = ()
    thoughts: Sequence[tuple[int, int]] | None = None
    thoughts_known: bool = False
    overlong: bool = False
    windows: int = 0


def cut(text: str, delimiters: str | Sequence[str]) -> list[str]:
    """Cut a text after each run of delimiters.

    A piece without words (white space, `<think>` or `---` alone) joins the one beside it, as it does in all dialogues
    with a PRM.
    """
    marks = sorted(filter(None, [delimiters] if isinstance(delimiters, str) else delimiters), key=len, reverse=True)
    if not marks or not text:
        return [text] if text else []
    run = f"(?:{'|'.join(map(re.escape, marks))})+"
    pieces = [piece for piece in re.findall(rf".*?(?:{run}|\Z)", text, re.DOTALL) if piece]
    return shown_steps(pieces).steps or [text]


def nothing_cut(responses: Sequence[Response], delimiters: str | Sequence[str]) -> str | None:
    """Return a sentence where no response has two segments, or None where one has."""
    if any(len(response.segments) > 1 for response in responses):
        return None
    if not any(response.cut_here for response in responses):
        return f"nothing was cut: each of the {len(responses)} responses is a single segment"
    marks = [delimiters] if isinstance(delimiters, str) else delimiters
    named = " or ".join(map(repr, marks))
    there = any(mark in segment for response in responses for segment in response.segments for mark in marks)
    holds = "ends a step before another one" if there else "stands"
    return (
        f"nothing was cut: {named} {holds} in none of the {len(responses)} responses. Give what separates their steps "
        "with --delimiter, such as '\\n'"
    )


def with_words(response: Response) -> Response:
    """Join each segment without words to the step in which a PRM sees it, and return the response that results."""
    shown = shown_steps(response.segments, heard=response.heard)
    worded = [_spoken(response.segments, shown.places, step) for step in range(len(shown.steps))]
    labels, recorded = response.step_labels, response.recorded
    return replace(
        response,
        segments=shown.steps,
        step_labels=None if labels is None else [labels[i] for i in worded],
        recorded=None if recorded is None else [recorded[i] for i in worded],
        heard=shown.heard,
        hidden=[response.hidden[i] for i in worded] if response.hidden else (),
    )


def as_recorded(response: Response) -> Response | None:
    """Return the response as the PRM of its run read it, without what was hidden from the PRM.

    The result is None where nothing is left.
    """
    kept = [i for i, hidden in enumerate(response.hidden) if not hidden]
    if not response.hidden or len(kept) == len(response.hidden):
        return response
    return _left(response, kept, [response.segments[i] for i in kept], response.heard)


def without_thoughts(response: Response) -> Response | None:
    """Return the response as a PRM reads it with `reward.prm.thinking=hide`, or None where no words are left."""
    spans = thoughts_of(response)
    kept: list[int] = []
    texts: list[str] = []
    begins = list(accumulate(map(len, response.segments), initial=0))
    for i, (segment, at) in enumerate(zip(response.segments, begins, strict=False)):
        shown = _outside(spans, segment, at)
        if has_words(shown):
            kept.append(i)
            texts.append(shown)
    before = [response.segments[one.segment][: one.offset] for one in response.heard]
    offsets = [
        len(_outside(spans, said, begins[one.segment])) for one, said in zip(response.heard, before, strict=True)
    ]
    heard = [replace(one, offset=offset) for one, offset in zip(response.heard, offsets, strict=True)]
    return _left(response, kept, texts, heard)


def _left(response: Response, kept: Sequence[int], texts: Sequence[str], heard: Sequence[Heard]) -> Response | None:
    """Return a response of which these segments are left, with these texts, or None where none is left."""
    if not kept:
        return None
    labels, recorded = response.step_labels, response.recorded
    return replace(
        response,
        segments=texts,
        step_labels=None if labels is None else [labels[i] for i in kept],
        recorded=None if recorded is None else [recorded[i] for i in kept],
        thinking=False,
        unfinished=response.unfinished and kept[-1] == len(response.segments) - 1,
        heard=heard_by(kept, heard),
        hidden=(),
        thoughts=None,
    )


def thoughts_of(response: Response) -> Sequence[tuple[int, int]]:
    """Return the thoughts of a response, as half-open spans of characters of its segments.

    They are as the dump says, or else as the response's tags show them. A message heard in between closes none.
    """
    if response.thoughts is not None:
        return response.thoughts
    text = "".join(response.segments)
    begins = list(accumulate(map(len, response.segments), initial=0))
    edges = sorted({0, len(text), *(begins[one.segment] + one.offset for one in response.heard)})
    spans: list[tuple[int, int]] = []
    inside = response.thinking
    for begin, end in pairwise(edges):
        spans += [(begin + first, begin + last) for first, last in thought_spans(text[begin:end], inside)]
        inside = ends_in_thought(text[begin:end], inside)
    return spans


def _outside(spans: Sequence[tuple[int, int]], segment: str, at: int) -> str:
    """Return what a text that begins at a character of the response says outside these spans of the response."""
    shown, end = "", 0
    for begin, behind in spans:
        shown += segment[end : max(end, begin - at)]
        end = max(end, min(len(segment), behind - at))
    return shown + segment[end:]


def begins_in_thought(prompt: str, response: str, messages: Sequence[Mapping[str, Any]] = ()) -> bool:
    """Say whether a response begins inside a thought.

    The prompt shows it, or a closing tag that nothing opened.

    Args:
        prompt: text of the prompt.
        response: text of the response.
        messages: messages of the prompt, where they are known and not read from its text.
    """
    before, closing, _ = response.partition(CLOSE)
    return opens_thought(prompt, messages) or (bool(closing) and OPEN not in before)


def _spoken(segments: Sequence[str], places: Sequence[int | None], step: int) -> int:
    """Return the segment that brings the words of a step.

    Where a tag lies across segments, there may be no segment that has words alone. The step's first segment counts
    then.
    """
    within = [i for i, place in enumerate(places) if place == step]
    return next((i for i in within if has_words(segments[i])), within[0])
