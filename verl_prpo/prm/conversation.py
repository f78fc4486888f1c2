# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Handle responses in which others speak too: what a tool, a user or others said between the policy's own words.

A step is a list of parts. A text is what the policy said, a chat message is what it read before it went on. A step ends
with a text, where its score is read, so no score sees what was said after its step.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

HEADINGS = {"tool": "Tool output", "user": "User", "system": "System", "assistant": "Assistant"}
"""The headings of messages that are written as text, by role."""

Step = list[str | Mapping[str, Any]]


@dataclass(frozen=True)
class Heard:
    """A message that the policy read in the middle of its response.

    Attributes:
        segment: number of the segment, from 0, in which or before which it came.
        offset: how much of that segment's own text was said by then, in characters. 0 where it came before.
        role: who spoke, such as tool.
        content: the text.
    """

    segment: int
    offset: int
    role: str
    content: str

    @property
    def message(self) -> dict[str, str]:
        """It as a chat message."""
        return {"role": self.role, "content": self.content}


def heard_by(kept: Sequence[int], heard: Sequence[Heard]) -> list[Heard]:
    """Number anew what was heard, where only some segments are kept.

    What came in or before a segment that is not kept stands before the next one that is.

    Args:
        kept: numbers of the segments that are kept, increasing.
        heard: what was heard in all segments, in order. What came after the last one kept is dropped.
    """
    found = []
    for one in heard:
        number = bisect_left(kept, one.segment)
        if number < len(kept):
            offset = one.offset if kept[number] == one.segment else 0
            found.append(replace(one, segment=number, offset=offset))
    return found


def heard_between(texts: Sequence[str], begin: int, end: int, heard: Sequence[Heard]) -> list[Heard]:
    """Pick what was heard in the steps from `begin` to before `end` and right before them, numbered from `begin`.

    Args:
        texts: the texts of all steps.
        begin, end: half-open range of steps.
        heard: what was heard in all steps, in order.
    """
    found = []
    for one in heard:
        late = 0 < len(texts[one.segment]) <= one.offset  # at the end of a step, so before the next one
        step = one.segment + late
        if begin <= step < end:
            found.append(replace(one, segment=step - begin, offset=0 if late else one.offset))
    return found


def steps_with(texts: Sequence[str], heard: Sequence[Heard]) -> list[Step]:
    """Build steps from parts: each text, split where something was heard.

    Args:
        texts: the policy's own words by step.
        heard: in the order of the response. What came after the last words of the last step is dropped.
    """
    steps: list[Step] = []
    late: Step = []  # heard at the end of a step, so before the next one
    for number, text in enumerate(texts):
        step, late, at = late, [], 0
        for one in (one for one in heard if one.segment == number):
            if one.offset and one.offset >= len(text):
                late.append(one.message)
                continue
            if one.offset > at:
                step.append(text[at : one.offset])
                at = one.offset
            step.append(one.message)
        steps.append([*step, text[at:]])
    return steps


def heard_by_step(texts: Sequence[str], heard: Sequence[Heard]) -> list[list[dict[str, str]]]:
    """List the chat messages that were heard right before or within each step.

    Args:
        texts, heard: as in `steps_with`.
    """
    return [[dict(part) for part in step if not isinstance(part, str)] for step in steps_with(texts, heard)]


def written_out(steps: Sequence[Step]) -> list[str]:
    """Write steps as plain text, for a PRM that knows no turns. What was heard stands in the text under a heading.

    A message at the beginning of a step is written before the step's first text, so a score does not see what was said
    after its step.
    """
    return ["\n\n".join(part if isinstance(part, str) else written(part) for part in step) for step in steps]


def written(message: Mapping[str, Any]) -> str:
    """Write a chat message as text, under a heading that says who spoke."""
    role = str(message.get("role"))
    return f"{HEADINGS.get(role, role.capitalize())}:\n{message_text(message)}"


def message_text(message: Mapping[str, Any]) -> str:
    """Return the text of one chat message, whose content is a string or a list of text parts.

    Raises:
        ValueError: the content, or a part of it, is not text.
    """
    content = message.get("content")
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if not isinstance(content, Sequence):
        raise ValueError(f"a {message.get('role')} message has a content of type {type(content).__name__}, not text")
    texts = []
    for part in content:
        text = part if isinstance(part, str) else part.get("text") if isinstance(part, Mapping) else None
        if text is None:
            kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            raise ValueError(f"a {message.get('role')} message has a part of type {kind!r}. The PRM reads text only")
        texts.append(text)
    return "".join(texts)
