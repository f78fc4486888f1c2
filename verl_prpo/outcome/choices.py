# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The letter of a choice, alone or with the value that it stands for: `Option B`, `D) 12`, `\\textbf{(B) }12`."""

import re
from typing import NamedTuple

_LETTER = re.compile(
    r"(?:\\text\{\s*)?(?:answer|option|choice|answer choice)\s*:?\s*(?:\}\s*)?(?:\\text\{\s*)?\(?([A-J])\)?\s*\.?\}?",
    re.IGNORECASE,
)
_ALONE = re.compile(r"(?:\\text\{)?\s*\(?\s*([A-Ja-j])\s*\)?\s*\}?")
_WITH_VALUE = [
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"\\text\{\s*\(?([A-J])[).:]+\s*\}\s*(?P<value>(?!-\s|[+*/^=<>!'_]|\\(?:cdot|times|cup|cap)).+)",
        r"\\text\{\s*\(?([A-J])[).:]+\s+(?P<value>-?\d[^{}]*)\}",
        r"\(([A-J])\)\s+(?P<value>(?:\d|\\frac|\\sqrt|\\text|\\pi|\$|\\\$).*)",
        r"([A-J])\)\s*(?P<value>(?!-\s|[+*/^=<>!'_)]).+)",
        r"([A-J])\.\s+(?P<value>(?!-\s|[+*/^=<>!'_])(?=.*[\d\\$]).+)",
    )
]


_ANOTHER = re.compile(r"\(\s*[A-J]\s*\)|(?<![A-Za-z(])[A-J]\)")
"""A second choice within the value of the first."""


class Choice(NamedTuple):
    """The letter of a choice and its value, or None where it comes without one."""

    letter: str
    value: str | None


def read_choice(text: str) -> Choice | None:
    """Read the choice that a cleaned text names.

    The result is None where the text is no choice, or just a letter, which may be a variable.
    """
    found = _LETTER.fullmatch(text)
    if found is not None:
        return Choice(found[1].upper(), None)
    for pattern in _WITH_VALUE:
        found = pattern.fullmatch(text)
        if found is not None and not _ANOTHER.search(found["value"]):
            return Choice(found[1], found["value"].strip())
    return None


def lone_letter(text: str) -> str | None:
    """Return the letter where a cleaned text is nothing else, None otherwise."""
    found = _ALONE.fullmatch(text)
    return found[1].upper() if found is not None else None
