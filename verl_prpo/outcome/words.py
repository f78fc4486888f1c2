# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Answers that are words or the letter of a choice: `\\text{Friday}`, `(C)`, `CBAD`, `even`."""

import re

from verl_prpo.outcome.latex import commas

_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_WORDS = re.compile(r"[A-Za-z][A-Za-z0-9 ,.'/&-]*")


def is_word(text: str) -> bool:
    """Say whether a cleaned answer is surely text and not a product such as xy."""
    if letters(text) is None:
        return False
    text = text.strip()
    if re.fullmatch(r"[a-z](?: [a-z])+", text):  # x y
        return False
    if not text.isalpha():
        return True
    return len(text) > 3 or (len(text) > 1 and not text.islower())


def letters(text: str) -> str | None:
    """Return a text answer in lower case without spaces, brackets and text commands, or None if it is no text."""
    bare = _TEXT.sub(r"\1", text).strip().strip("()").strip(" .,")
    if not _WORDS.fullmatch(bare) or (re.search(r"[\d/]", bare) and r"\text" not in text):
        return None
    if re.search(r"[-'&]", bare) and r"\text" not in text:
        return None
    return re.sub(r"[\s,]+", "", commas(bare)).casefold()
