# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers and final answers in the text of a step: how they are found, changed and replaced."""

import random
import re

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"
_NUMBER = re.compile(rf"(?<![\w.])(?<!\d,){_DIGITS}")
_RESULT = re.compile(rf"=\s*[\\$\s({{\[-]*({_DIGITS})")
_LABEL = re.compile(r"\A\W*(?:[Ss]tep\s*)?\(?\d+\s*[.:)]")
"""A step's own number, such as `Step 2:` or `3.`. To change it makes no step wrong."""

_BOX = "\\boxed{"


def with_wrong_number(step: str, rng: random.Random) -> str | None:
    """Change one digit of one number of a step.

    The number is a result if there is one (after an equals sign), else the last number. The outcome is None for a step
    without a number other than its label.

    Args:
        step: text of a step.
        rng: chooses the result, the digit and what takes its place.
    """
    label = _LABEL.match(step)
    begin = label.end() if label else 0
    spans = [match.span(1) for match in _RESULT.finditer(step, begin)]
    if not spans:
        spans = [match.span() for match in _NUMBER.finditer(step, begin)][-1:]
    if not spans:
        return None
    first, end = rng.choice(spans)
    at = rng.choice([i for i in range(first, end) if step[i].isdigit()])
    fitting = "123456789" if at == first else "0123456789"  # neither 05 nor a division by 0
    other = rng.choice([digit for digit in fitting if digit != step[at]])
    return step[:at] + other + step[at + 1 :]


def last_number(text: str) -> str | None:
    """Return the last number of a text, None without one."""
    found = _NUMBER.findall(text)
    return found[-1] if found else None


def with_answer(step: str, answer: str) -> str | None:
    """Put another final answer in the place of a step's own.

    The step's own is the content of its last `\\boxed{}`, else its last number. The outcome is None when it has
    neither.
    """
    span = _boxed_span(step)
    if span is None:
        numbers = [match.span() for match in _NUMBER.finditer(step)]
        if not numbers:
            return None
        span = numbers[-1]
    return step[: span[0]] + answer + step[span[1] :]


def _boxed_span(text: str) -> tuple[int, int] | None:
    """Find where the content of the last box lies, nested braces and all. The result is None without a closed box."""
    at = text.rfind(_BOX)
    if at < 0:
        return None
    begin, depth = at + len(_BOX), 1
    for i in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return begin, i
    return None
