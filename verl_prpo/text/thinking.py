# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Thoughts in texts: the tags around them, prompts that open one, and what is said after them.

Chat templates of thinking models end the prompt with an opening tag, so the response holds only the closing one.
Whoever reads the response alone has to know that it begins inside a thought.
"""

import re
from collections.abc import Sequence
from typing import Any

OPEN, CLOSE = "<think>", "</think>"
"""The tags that most models use."""

_THOUGHTS = "think|thinking|thought|thoughts|reasoning|reason|reflection|analysis|scratchpad|seed:think"
_OTHERS = "answer|solution|conclusion|final|output|step|begin_of_solution|end_of_solution"
_MARKED = r"<\|?\s{{0,3}}(?P<{0}>/?)\s{{0,3}}(?:{1})(?:\s[^<>\n]{{0,100}})?/?\|?>"

_THOUGHT_TAG = re.compile(
    _MARKED.format("close", _THOUGHTS)
    + r"|<\|(?P<edge>begin|end)_of_thought\|>"
    + r"|\[(?P<square>/?)THINK\]"
    + r"|◁(?P<triangle>/?)think▷",
    re.IGNORECASE,
)
_OTHER_TAG = re.compile(_MARKED.format("other", _OTHERS), re.IGNORECASE)


def tag_spans(text: str) -> list[tuple[int, int, bool]]:
    """The tags around thoughts and answers in a text.

    Returns:
        Begin and end of each, in order, and whether it opens something.
    """
    thoughts = [(m.start(), m.end(), not _closes(m)) for m in _THOUGHT_TAG.finditer(text)]
    others = [(m.start(), m.end(), not (m["other"] or "end_of" in m[0].lower())) for m in _OTHER_TAG.finditer(text)]
    return sorted({*thoughts, *others})


def without_tags(text: str) -> str:
    """A text without the tags that mark thoughts and answers, such as `<think>` and `</answer>`."""
    return _OTHER_TAG.sub("", _THOUGHT_TAG.sub("", text))


def opens_thought(prompt: str) -> bool:
    """Whether a prompt ends inside a thought, so that the response begins in it.

    Args:
        prompt: rendered by the chat template; it must hold its tags, also those that are special tokens
            (`decode_with_tags`).
    """
    return _opening_at_end(prompt) is not None


def with_opening(prompt: str, response: str) -> str:
    """The response as a reader without the prompt should see it: behind the tag with which the prompt opens a thought.

    Args:
        prompt: as for `opens_thought`.
        response: decoded.
    """
    tag = _opening_at_end(prompt)
    return response if tag is None else f"{tag}\n{response}"


def closing_tag(prompt: str) -> str | None:
    """The tag that ends the thought that a prompt opens; None where it opens none."""
    tag = _opening_at_end(prompt)
    if tag is None:
        return None
    for opening, closing in (("[", "[/"), ("◁", "◁/"), ("<|begin", "<|end"), ("<|", "<|/"), ("<", "</")):
        if tag.lower().startswith(opening):
            return closing + tag[len(opening) :]
    raise AssertionError(tag)


def after_thoughts(text: str) -> str:
    """What a response says after its last thought, up to one that it begins and does not end.

    A closing tag ends whatever came before it. An opening tag begins a thought where it begins a line; in the middle of
    one it is only mentioned.
    """
    begin, end = 0, len(text)
    for tag in _THOUGHT_TAG.finditer(text):
        if _closes(tag):
            begin, end = tag.end(), len(text)
        elif end == len(text) and not text[max(begin, text.rfind("\n", begin, tag.start())) : tag.start()].strip():
            end = tag.start()
    return text[begin:end]


def decode_with_tags(tokenizer: Any, ids: Sequence[int]) -> str:
    """Decode without special tokens, but with the tags of thoughts where a tokenizer has them as special ones.

    Args:
        tokenizer: a Hugging Face tokenizer.
        ids: token ids.
    """
    kept = [
        token
        for token, added in tokenizer.added_tokens_decoder.items()
        if added.special and (_THOUGHT_TAG.fullmatch(added.content) or _OTHER_TAG.fullmatch(added.content))
    ]
    if not kept:
        return tokenizer.decode(list(ids), skip_special_tokens=True)
    dropped = set(tokenizer.all_special_ids) - set(kept)
    return tokenizer.decode([token for token in map(int, ids) if token not in dropped], skip_special_tokens=False)


def _closes(tag: re.Match[str]) -> bool:
    return bool(tag["close"] or tag["square"] or tag["triangle"]) or (tag["edge"] or "").lower() == "end"


def _opening_at_end(prompt: str) -> str | None:
    tags = list(_THOUGHT_TAG.finditer(prompt))
    if not tags or _closes(tags[-1]) or prompt[tags[-1].end() :].strip():
        return None
    return tags[-1].group()
