# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Step rewards by a rule: a step is right when each equation between numbers in it holds.

    ++reward.prm.score_function.path=examples/step_rewards/equations.py ++reward.prm.score_function.name=score

The package's verifier compares the two sides, in plain text and in LaTeX. What it cannot decide is left out: an
equation with a letter in it, one in no known notation, one that takes too long, and one that fails by a decimal, which
may be rounded. A step without an equation that can be decided has no score (None), and its tokens get z = 0. So the
rule says nothing of words, of what is left out and of what follows from what. A policy may learn to write fewer
equations, or trivial ones: `verl-prpo calibrate --probe` shows what it would be paid for that.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from verl_prpo.outcome.latex import Unread
from verl_prpo.outcome.pool import TimedOut, WorkerFailed, shared_pool

TIMEOUT = 2.0
"""Longest comparison of two sides, in seconds. Then the equation is left out."""

_LIST_MARK = re.compile(r"^\s*(?:\(?\d+[.)]\s+|[-*]\s+)", re.MULTILINE)
"""Such as "(1) ", "2. " or "- " at the head of a line."""

_ARITHMETIC = re.compile(
    r"(?:[\d \t+\-*/^=.(){}×·÷−]|(?<=\d),(?=\d{3}(?!\d))|\\[,;!]"
    r"|\\(?:d?frac|times|cdot|div|sqrt|left|right)(?![A-Za-z]))+",
    re.ASCII,
)
"""Text that says nothing but numbers and what joins them."""

_BOLD = re.compile(r"^\*\*(?=\d)|(?<=\d)\*\*$")
"""Markdown around an equation."""

_DECIMAL = re.compile(r"\d\.\d")
"""In a number that may be rounded."""

_TO_LATEX = str.maketrans({"×": r"\times ", "·": r"\cdot ", "÷": r"\div ", "−": "-"})


def score(messages: Sequence[dict[str, Any]], segments: Sequence[str], **row: Any) -> list[float | None]:
    """Score each segment: 1 when its equations hold, 0 when one does not, None when it has none.

    Args:
        messages: the prompt as chat messages (not used).
        segments: the steps.
        row: of the data (not used).
    """
    return [_verdict(segment) for segment in segments]


score.score_range = (0, 1)  # type: ignore[attr-defined]


def equations(text: str) -> Iterator[tuple[str, str]]:
    """The two sides of each equation between numbers in a text; a = b = c are two."""
    text = _LIST_MARK.sub("", text)
    for found in _ARITHMETIC.finditer(text):
        sides = found[0].split("=")
        # What touches a letter or a command is a part of something longer, such as 3x or 2\pi.
        cut_before = bool(re.search(r"[A-Za-z_\\}%]\s*$", text[: found.start()])) and not _begins_anew(sides[0])
        cut_after = bool(re.match(r"[A-Za-z_\\%]", text[found.end() :])) and not found[0][-1].isspace()
        if cut_before:
            sides[0] = ""
        if cut_after:
            sides[-1] = ""
        whole = [_BOLD.sub("", side.strip(" \t.")) for side in sides]
        for left, right in itertools.pairwise(whole):
            if _is_value(left) and _is_value(right):
                yield left.translate(_TO_LATEX), right.translate(_TO_LATEX)


def _begins_anew(side: str) -> bool:
    """Whether a side that follows a word begins with white space and a number, not with an operator."""
    return bool(re.match(r"\s+(?:\*\*)?[\d(\\]", side))


def _is_value(side: str) -> bool:
    return bool(re.search(r"\d", side)) and not re.search(r"[+\-*/^×·÷−]$|^[+*/^×·÷]", side)


def _verdict(segment: str) -> float | None:
    found = [holds for holds in (_holds(*sides) for sides in equations(segment)) if holds is not None]
    return float(all(found)) if found else None


def _holds(left: str, right: str) -> bool | None:
    """Whether both sides are equal; None where that cannot be decided."""
    try:
        equal = shared_pool().equal(left, right, TIMEOUT)
    except (TimedOut, Unread, WorkerFailed):
        return None
    return None if not equal and _DECIMAL.search(left + " " + right) else equal
