# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The final answer of a response: what the last box holds, and for GSM8K also what follows the last `####`."""

import re
from collections import deque

from verl_prpo.text.thinking import after_thoughts

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])")
_HASHES = re.compile(r"#{4,}[^\n]*")
_LINES = 20
"""The most lines with `####` that are looked at, counted from the end."""
_HASHES_PART = re.compile(r"#{4,}((?:(?!####).)*)", re.DOTALL)


def final_answer(data_source: str, response: str) -> str | None:
    """Find the answer that a response gives in the end, or None where it gives none in the form that was asked for.

    Thoughts are not read, see `verl_prpo.text.thinking.after_thoughts`. Where the response to a row of GSM8K holds a
    box and a `####` line, the later one counts. Of several `####` on a line the last one counts, as in verl's scorer. A
    `####` with nothing after it closes a heading of Markdown and is no answer.
    """
    text = after_thoughts(response)
    box = _last(_BOX, text)
    hashes = _behind_hashes(text) if "gsm8k" in data_source.lower() else None
    if hashes is not None and (box is None or hashes[0] > box.start()):
        answer = hashes[1]
        inner = _last(_BOX, answer)
        return (_boxed(answer[inner.end() :]) if inner else _ended(answer)) or None
    return (_boxed(text[box.end() :]) or None) if box is not None else None


def _behind_hashes(text: str) -> tuple[int, str] | None:
    """Find where the last `####` stands, and what follows it on its line.

    Where nothing follows it, the one before it counts.
    """
    parts = [
        (line.start() + part.start(), part[1])
        for line in deque(_HASHES.finditer(text), maxlen=_LINES)
        for part in _HASHES_PART.finditer(line.group())
    ]
    return next((part for part in reversed(parts) if part[1].strip()), parts[-1] if parts else None)


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = deque(pattern.finditer(text), maxlen=1)
    return found[0] if found else None


def _boxed(rest: str) -> str | None:
    """Return what a box holds, given the text after its command.

    The braces must balance. `\\{` and `\\}` are no braces of TeX and do not count.
    """
    rest = rest.lstrip()
    if not rest.startswith("{"):
        return re.split(r"[$\n]|\\\]|\\\)", rest, maxsplit=1)[0].strip().rstrip(".").strip()  # \boxed 5$
    depth = 0
    for brace in re.finditer(r"\\.|[{}]", rest, flags=re.DOTALL):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth == 0:
            return rest[1 : brace.start()].strip()
    return None


def _ended(line: str) -> str:
    """Return a `####` line without its full stop and without the asterisks of Markdown's bold type."""
    return line.strip(" \t\r*").rstrip(".").strip(" \t\r*")
