# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""One problem of any set, and how the rows of each set become one."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_BOXES = ("\\boxed", "\\fbox")


@dataclass(frozen=True)
class Problem:
    """A problem with its reference solution.

    Attributes:
        question: as the policy is asked, without instructions.
        answer: the ground truth that the outcome scorer compares with.
        solution: a reference solution that ends in the answer, in the form the scorer reads.
        extra: what else the set knows of it (level, subject).
    """

    question: str
    answer: str
    solution: str
    extra: dict[str, Any] = field(default_factory=dict)


Reader = Callable[[Mapping[str, Any]], Problem]


def read_math(row: Mapping[str, Any]) -> Problem:
    """A row of MATH (arXiv 2103.03874) or MATH500: the answer is in the solution's last box.

    Raises:
        ValueError: no question, or no answer.
    """
    solution = _text(row, "solution")
    answer = last_boxed(solution)
    extra = {"level": _level(row.get("level")), "subject": row.get("type") or row.get("subject")}
    known = {key: value for key, value in extra.items() if value is not None}
    return Problem(_text(row, "problem"), answer, solution, known)


def read_gsm8k(row: Mapping[str, Any]) -> Problem:
    """A row of GSM8K (arXiv 2110.14168): the answer is the number after `####`, without thousands separators.

    Raises:
        ValueError: no question, or no answer.
    """
    solution = _text(row, "answer")
    _, mark, number = solution.rpartition("####")
    if not mark or not number.strip():
        raise ValueError('no "#### <number>" in the answer')
    return Problem(_text(row, "question"), number.strip().replace(",", "").replace("$", ""), solution)


def last_boxed(text: str) -> str:
    """What the last `\\boxed{...}` (or `\\fbox{...}`, or `\\boxed 5`) of a text holds, braces within it balanced.

    Raises:
        ValueError: there is none, or it is empty or never closed.
    """
    begin, box = max((text.rfind(box), box) for box in _BOXES)
    if begin < 0:
        raise ValueError("no \\boxed answer in the solution")
    rest = text[begin + len(box) :]
    bare = not rest.lstrip().startswith("{")
    content = rest.split("$")[0].strip() if bare else _balanced(rest.lstrip())  # \boxed 5$ ends with its formula
    if not content.strip():
        raise ValueError("the last \\boxed of the solution is empty")
    return content


def question_key(question: str) -> str:
    """What two wordings of one question have in common: letters, digits and signs, without case and white space."""
    return re.sub(r"\s+", "", question).casefold()


def _balanced(text: str) -> str:
    depth = 0
    for at, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[1:at]
    raise ValueError("the last \\boxed of the solution is never closed")


def _level(level: Any) -> int | None:
    digits = re.search(r"\d+", str(level))
    return int(digits.group()) if digits else None


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"no {name}")
    return value
