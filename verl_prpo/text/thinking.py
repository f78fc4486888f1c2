# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Thoughts in texts: the tags around them, prompts that open one, and what is said after them.

Chat templates of thinking models end the prompt with an opening tag, so the response holds only the closing one.
Whoever reads the response alone has to know that it begins inside a thought.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
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

_ROLES = "[Aa]ssistant|model|[Uu]ser|system|developer|tool|ipython|function|observation"
_HEADER = re.compile(
    rf"(?:<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|<[|｜])(?P<marked>{_ROLES})\b"
    rf"|^(?P<line>{_ROLES})(?:\n|\Z)"
    r"|(?<=\S)(?P<glued>assistant|user|system|ipython)(?=\n\n)"
    r"|(?:^|(?<=[.?!)]\s))(?P<spoken>Assistant|User|Human)\s?:"
    r"|(?P<instructions>\[/?INST\])",
    re.MULTILINE,
)
"""What opens a turn of a prompt. It matches also where the prompt's special tokens are gone."""
_ANSWERS = ("assistant", "model", "[/inst]")


def tag_spans(text: str) -> list[tuple[int, int, bool]]:
    """Find the tags around thoughts and answers in a text.

    Returns:
        Begin and end of each tag, in order, and whether it opens something.
    """
    thoughts = [(m.start(), m.end(), not _closes(m)) for m in _THOUGHT_TAG.finditer(text)]
    others = [(m.start(), m.end(), not (m["other"] or "end_of" in m[0].lower())) for m in _OTHER_TAG.finditer(text)]
    return sorted({*thoughts, *others})


def thought_tags(text: str) -> list[tuple[str, bool]]:
    """Return the tags around thoughts in a text, in order, and whether each opens one."""
    return [(tag.group(), not _closes(tag)) for tag in _THOUGHT_TAG.finditer(text)]


def without_tags(text: str) -> str:
    """Return a text without the tags that mark thoughts and answers, such as `<think>` and `</answer>`."""
    return _OTHER_TAG.sub("", _THOUGHT_TAG.sub("", text))


def opens_thought(prompt: str, messages: Sequence[Mapping[str, Any]] = ()) -> bool:
    """Say whether a prompt ends inside a thought, so that the response begins in it.

    The prompt may end with the opening tag, or with the first words of the thought after it. With such words the tag
    must belong to the generation prompt, which stands after the last message, or after the header of the answer. A
    message that only mentions a tag opens no thought.

    Args:
        prompt: rendered by the chat template. It must hold its tags, also those that are special tokens
            (`decode_with_tags`).
        messages: the chat messages of the prompt, where they are known.
    """
    return _opening(prompt, messages) is not None


def with_opening(prompt: str, response: str, messages: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return the response as a reader without the prompt should see it: after the tag with which the prompt opens a
    thought.

    Args:
        prompt: as for `opens_thought`.
        response: the decoded response.
        messages: as for `opens_thought`.
    """
    tag = _opening(prompt, messages)
    return response if tag is None else f"{tag}\n{response}"


def closing_tag(prompt: str, messages: Sequence[Mapping[str, Any]] = ()) -> str | None:
    """Return the tag that ends the thought that a prompt opens, or None where it opens none.

    Args:
        prompt: as for `opens_thought`.
        messages: as for `opens_thought`.
    """
    tag = _opening(prompt, messages)
    if tag is None:
        return None
    for opening, closing in (("[", "[/"), ("◁", "◁/"), ("<|begin", "<|end"), ("<|", "<|/"), ("<", "</")):
        if tag.lower().startswith(opening):
            return closing + tag[len(opening) :]
    raise AssertionError(tag)


def after_thoughts(text: str) -> str:
    """Return what a response says after its last thought, up to a thought that it begins and does not end.

    A closing tag ends whatever came before it. An opening tag begins a thought where it begins a line. In the middle of
    a line it is only mentioned.
    """
    begin, end = 0, len(text)
    for tag in _THOUGHT_TAG.finditer(text):
        if _closes(tag):
            begin, end = tag.end(), len(text)
        elif end == len(text) and not text[max(begin, text.rfind("\n", begin, tag.start())) : tag.start()].strip():
            end = tag.start()
    return text[begin:end]


def thought_spans(text: str, inside: bool = False) -> list[tuple[int, int]]:
    """Return the thoughts of a response, tags included, as half-open spans of characters in order.

    Tags count as in `after_thoughts`. What these spans leave over after the last one is what that function returns.

    Args:
        text: a response, with its tags.
        inside: whether it begins inside a thought, because the prompt opens one (`opens_thought`).
    """
    spans, begin = _thoughts(text, inside)
    return spans if begin is None else [*spans, (begin, len(text))]


def ends_in_thought(text: str, inside: bool = False) -> bool:
    """Say whether a response ends inside a thought that it has not closed, with arguments as of `thought_spans`."""
    return _thoughts(text, inside)[1] is not None


def resumes_in_thought(said: str, inside: bool) -> bool:
    """Say whether the policy goes on inside a thought after others have spoken.

    Args:
        said: all that stands between two stretches of the policy's own words, with its tags. A chat template may open
            a thought at its end, as at the end of a prompt.
        inside: whether the policy was inside a thought when they began. It still is inside where no new turn of it
            begins.
    """
    headers = list(_HEADER.finditer(said))
    begins_turn = bool(headers) and _answers(headers[-1])
    return opens_thought(said) or (inside and not begins_turn)


def thoughts_among(said: Sequence[tuple[str, bool]], inside: bool = False) -> list[tuple[int, int]]:
    """Return the thoughts of a response in which others speak, as half-open spans of characters of the policy's own
    words.

    Args:
        said: texts in order, and whether each is the policy's own.
        inside: whether the response begins inside a thought.
    """
    spans: list[tuple[int, int]] = []
    at = 0
    for text, own in said:
        if own:
            spans += [(at + begin, at + end) for begin, end in thought_spans(text, inside)]
            at += len(text)
        inside = ends_in_thought(text, inside) if own else resumes_in_thought(text, inside)
    return spans


def _thoughts(text: str, inside: bool) -> tuple[list[tuple[int, int]], int | None]:
    """Return the closed thoughts of a response, and where one begins that it has not closed."""
    spans: list[tuple[int, int]] = []
    begin, reach = (0 if inside else None), 0
    for tag in _THOUGHT_TAG.finditer(text):
        if _closes(tag):
            spans.append((reach if begin is None else begin, tag.end()))
            begin, reach = None, tag.end()
        elif begin is None and not text[max(reach, text.rfind("\n", reach, tag.start())) : tag.start()].strip():
            begin = tag.start()
    return spans, begin


def decode_with_tags(tokenizer: Any, ids: Sequence[int]) -> str:
    """Decode without special tokens, but with the tags of thoughts where a tokenizer has them as special ones.

    Args:
        tokenizer: a Hugging Face tokenizer.
        ids: token ids.
    """
    kept = special_tags(tokenizer)
    if not kept:
        return tokenizer.decode(list(ids), skip_special_tokens=True)
    dropped = set(tokenizer.all_special_ids) - set(kept)
    return tokenizer.decode([token for token in map(int, ids) if token not in dropped], skip_special_tokens=False)


def special_tags(tokenizer: Any) -> dict[int, str]:
    """Return the tags around thoughts and answers that a tokenizer has as special tokens: their texts by token id.

    Decoding without special tokens drops them.
    """
    return {
        token: added.content
        for token, added in tokenizer.added_tokens_decoder.items()
        if added.special and (_THOUGHT_TAG.fullmatch(added.content) or _OTHER_TAG.fullmatch(added.content))
    }


def special_thought_tags(tokenizer: Any) -> list[str]:
    """Return those of `special_tags` that are around thoughts, in the order of their ids."""
    return [tag for _, tag in sorted(special_tags(tokenizer).items()) if _THOUGHT_TAG.fullmatch(tag)]


def _closes(tag: re.Match[str]) -> bool:
    return bool(tag["close"] or tag["square"] or tag["triangle"]) or (tag["edge"] or "").lower() == "end"


def _answers(header: re.Match[str]) -> bool:
    """Say whether a header opens a turn of the policy."""
    return str(header[header.lastgroup or 0]).lower() in _ANSWERS


def _opening(prompt: str, messages: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the tag with which a prompt opens the thought that it ends in, or None where it ends in no thought."""
    tags = list(_THOUGHT_TAG.finditer(prompt))
    if not tags or _closes(tags[-1]):
        return None
    tag = tags[-1]
    if not prompt[tag.end() :].strip():
        return tag.group()
    headers = list(_HEADER.finditer(prompt))
    if headers and headers[-1].start() > tag.start():
        return None
    said = _in_messages(prompt, tag, messages)
    if said is None:  # the headers decide
        texts = list(_texts(messages))
        if headers:
            said = not _answers(headers[-1])
        else:
            said = not texts or any(map(_THOUGHT_TAG.search, texts))
    return None if said else tag.group()


def _in_messages(prompt: str, tag: re.Match[str], messages: Sequence[Mapping[str, Any]]) -> bool | None:
    """Say whether a tag of a prompt is part of a message or stands before the last one. None means that this is
    unknown.

    White space is not compared, because templates and tokenizers change it.
    """
    texts = list(map(_without_space, _texts(messages)))
    whole, before, mark = map(_without_space, (prompt, prompt[: tag.start()], tag.group()))
    for text in texts:
        begin = whole.rfind(text, 0, len(before) + len(text))
        if begin >= 0 and begin + len(text) >= len(before) + len(mark):
            # A message that ends the prompt may itself end with the beginning of an answer.
            return None if begin + len(text) == len(whole) else True
    if not texts or texts[-1] not in whole:
        return None
    return texts[-1] not in before


def _texts(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the texts of messages without the answers at the end, which a prompt may begin."""
    last = len(messages)
    while last and messages[last - 1].get("role") == "assistant":
        last -= 1
    for message in list(messages)[:last]:
        content = message.get("content")
        parts = [content] if isinstance(content, str) else content or ()
        for part in parts:
            text = part.get("text") if isinstance(part, Mapping) else part
            if isinstance(text, str) and text.strip():
                yield text


def _without_space(text: str) -> str:
    return "".join(text.split())
