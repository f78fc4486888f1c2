# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The chat turns of a prompt that a dump holds as text, decoded without its special tokens.

Some templates mark turns with ordinary text (`<｜User｜>`, `[INST]`), which stays. Others use special tokens, and only
the names of the roles are left: on lines of their own (ChatML, Gemma), or after the text before them (Llama 3). Such a
name can also be a line of somebody's text. So the result says whether it is the only possible reading.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from verl_prpo.text.thinking import OPEN

Message = dict[str, str]

_KINDS = {
    "system": "s", "developer": "s", "user": "u", "assistant": "a", "model": "a",
    "tool": "t", "ipython": "t", "function": "t", "observation": "t",
}  # fmt: skip
_ROLE = "|".join(_KINDS)
_ALTERNATING = re.compile(r"s?(?:ua(?:t+a)*)*u(?:a(?:t+a)*t+)?")
"""The orders of turns that a policy may be asked to answer."""

_BEGUN = r"<think>(?:(?!</?think>|\[/?INST\]).)*(?:</think>\s*)?"
_NOTHING_OR_THOUGHT = re.compile(rf"\s*(?:{_BEGUN})?", re.DOTALL)
_THOUGHT_AT_END = re.compile(rf"{_BEGUN}\Z", re.DOTALL)


@dataclass(frozen=True)
class Turns:
    """A prompt as chat messages.

    Attributes:
        messages: the turns before the answer. Without a template all of the prompt is the user's turn.
        template: the kind of template that was recognised, None for none.
        doubt: why this may be the wrong reading, empty where it is the only one.
    """

    messages: list[Message]
    template: str | None
    doubt: str = ""


@dataclass(frozen=True)
class _Style:
    """How a kind of template marks a turn.

    Attributes:
        name: name for people.
        header: matches what opens a turn. Its group `role` is the role's name.
        ends: ordinary text that may close a turn, to be taken off.
        visible: whether the marks are no text that people write.
        clean: what a template does to contents, so that a header and what follows it can be kept apart.
    """

    name: str
    header: re.Pattern[str]
    ends: tuple[str, ...]
    visible: bool
    clean: Callable[[str], str]


def _without_line_end(text: str) -> str:
    return text.removesuffix("\n")


_STYLES = (
    _Style(
        "ChatML", re.compile(rf"<\|im_start\|>(?P<role>{_ROLE})(?:\n|\Z)"), ("<|im_end|>",), True, _without_line_end
    ),
    _Style(
        "Llama 3",
        re.compile(rf"<\|start_header_id\|>(?P<role>{_ROLE})<\|end_header_id\|>(?:\n\n|\Z)"),
        ("<|eot_id|>", "<|eom_id|>"),
        True,
        str.strip,
    ),
    _Style("Gemma", re.compile(rf"<start_of_turn>(?P<role>{_ROLE})(?:\n|\Z)"), ("<end_of_turn>",), True, str.strip),
    _Style("DeepSeek", re.compile(r"<｜(?P<role>User|Assistant)｜>"), ("<｜end▁of▁sentence｜>",), True, str),
    _Style(
        "Zephyr",
        re.compile(r"(?:\A|(?<=\n)|(?<=</s>)|(?<=<\|end\|>))<\|(?P<role>system|user|assistant)\|>\n?"),
        ("</s>", "<|end|>"),
        True,
        str.strip,
    ),
    _Style("Llama 3", re.compile(rf"(?:\A|(?<![ \t\n])|(?<=\n\n))(?P<role>{_ROLE})(?:\n\n|\Z)"), (), False, str.strip),
    _Style("ChatML or Gemma", re.compile(rf"^(?P<role>{_ROLE})(?:\n|\Z)", re.MULTILINE), (), False, _without_line_end),
)

_INSTRUCTIONS = re.compile(r"\s*\[INST\](.*?)\[/INST\]", re.DOTALL)
_SYSTEM = re.compile(r"\s*<<SYS>>\s*(.*?)\s*<</SYS>>\s*", re.DOTALL)


def find_turns(prompt: str) -> Turns:
    """Find the turns of a prompt, in the reading that is the likeliest.

    Args:
        prompt: rendered by a chat template, with or without its special tokens.
    """
    text = prompt.lstrip()
    for style in _STYLES:
        found = _read(text, style)
        if found is not None:
            return found
    found = _instructions(text)
    if found is not None:
        return found
    return Turns([{"role": "user", "content": prompt}], None, f"no chat template is recognised in {_begin(prompt)}")


def _read(text: str, style: _Style) -> Turns | None:
    """Read the turns under one style. The result is None where the text is not of it."""
    headers = list(style.header.finditer(text))
    first = text[: headers[0].start()] if headers else ""
    if not headers:
        return None
    # DeepSeek's system prompt has no header; before any other first header nothing may stand.
    if first.strip() and not (style.name == "DeepSeek" and _kind(headers[-1]) == "a"):
        return None
    if style.name == "Llama 3" and not style.visible and not _ends_like_llama(text, headers[-1]):
        return None
    kinds = "".join(_kind(header) for header in headers)
    if "u" not in kinds:
        return None
    opening = [{"role": "system", "content": first}] if first.strip() else []
    doubts: list[str] = []
    tail = ""
    if kinds[-1] == "a":
        answer, kinds, headers = headers[-1], kinds[:-1], headers[:-1]
        end, tail = answer.start(), text[answer.end() :]
        if not _NOTHING_OR_THOUGHT.fullmatch(tail):
            doubts.append(f"the prompt begins the answer, with {_begin(tail)}")
    else:
        end = len(text)
        doubts.append("the prompt does not end with the header of an answer")
    if not _ALTERNATING.fullmatch(kinds):
        if style.visible:
            doubts.append(f"its turns are {' '.join(_role(header) for header in headers)}")
        else:
            headers = _frame(headers)
            doubts.append("names of roles stand on lines within it and are taken for text")
    elif len(headers) > 2 and not style.visible:
        doubts.append("names of roles stand on lines within it and are taken for turns")
    messages = opening + list(_messages(text, headers, end, style))
    return Turns(messages, style.name, "; ".join(doubts))


def _frame(headers: list[re.Match[str]]) -> list[re.Match[str]]:
    """Return the headers of a system prompt and one user's turn. All later ones are part of what the user says."""
    return headers[: 2 if _kind(headers[0]) == "s" else 1]


def _messages(text: str, headers: list[re.Match[str]], end: int, style: _Style) -> Iterable[Message]:
    for header, close in zip(headers, [*(header.start() for header in headers[1:]), end], strict=True):
        content = text[header.end() : close]
        for mark in style.ends:
            content = content.rstrip("\n").removesuffix(mark) if content.rstrip("\n").endswith(mark) else content
        yield {"role": _role(header), "content": style.clean(content)}


def _ends_like_llama(text: str, last: re.Match[str]) -> bool:
    """Say whether the answer's header follows the text before it at once, as it does where contents are stripped."""
    return _kind(last) == "a" and last.start() > 0 and text[last.start() - 1] != "\n" and text.split("\n")[1] == ""


def _instructions(text: str) -> Turns | None:
    """Read the turns of Llama 2 and of Mistral's first templates. The result is None where the text is not of them."""
    body = _THOUGHT_AT_END.sub("", text)
    at = 0
    messages: list[Message] = []
    if not body.removeprefix("<s>").lstrip().startswith("[INST]"):
        return None
    for found in _INSTRUCTIONS.finditer(body):
        between = body[at : found.start()].replace("</s>", "").strip()
        if between.removeprefix("<s>"):
            messages.append({"role": "assistant", "content": between})
        instruction = found[1]
        system = _SYSTEM.match(instruction) if not at else None
        if system is not None:
            messages.append({"role": "system", "content": system[1]})
            instruction = instruction[system.end() :]
        messages.append({"role": "user", "content": instruction.strip()})
        at = found.end()
    if not at or body[at:].strip():
        return None
    return Turns(messages, "[INST]")


def _kind(header: re.Match[str]) -> str:
    return _KINDS[header["role"].lower()]


def _role(header: re.Match[str]) -> str:
    role = header["role"].lower()
    return "assistant" if role == "model" else role


def _begin(text: str) -> str:
    short = " ".join(text.replace(OPEN, " ").split())
    return repr(short if len(short) <= 60 else short[:57] + "...")
