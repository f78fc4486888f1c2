# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Thoughts in texts: the tags around them, and prompts that open one.

Chat templates of thinking models end the prompt with `<think>`, so the response holds only the closing tag. Whoever
reads the response alone has to know that it begins inside a thought.
"""

import re

OPEN, CLOSE = "<think>", "</think>"

_NAMES = "think|thinking|thought|thoughts|reasoning|reason|scratchpad|answer|solution|final"
_TAG = re.compile(rf"</?(?:{_NAMES})\s*>|\[/?THINK\]", re.IGNORECASE)
_OPENING = re.compile(rf"<(?:{_NAMES})\s*>|\[THINK\]", re.IGNORECASE)
_PREFILL = re.compile(r"<think>\s*\Z")


def opens_thought(prompt: str) -> bool:
    """Whether a prompt ends inside a thought, so that the response begins in it.

    Args:
        prompt: rendered by the chat template; special tokens may be left out.
    """
    return _PREFILL.search(prompt) is not None


def with_opening(prompt: str, response: str) -> str:
    """The response as a reader without the prompt should see it: behind `<think>` where the prompt opens a thought."""
    return f"{OPEN}\n{response}" if opens_thought(prompt) else response


def without_tags(text: str) -> str:
    """A text without the tags that mark thoughts and answers, such as `<think>` and `</answer>`."""
    return _TAG.sub("", text)


def ends_opening(text: str) -> bool:
    """Whether the last tag of a text opens a thought or an answer, so that the text belongs to what follows it."""
    found = _TAG.findall(text)
    return bool(found) and _OPENING.fullmatch(found[-1]) is not None
