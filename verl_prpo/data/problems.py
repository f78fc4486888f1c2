# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""One problem of any set, and how the rows of each set become one."""

import re
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, field
from typing import Any

from verl_prpo.outcome.extract import final_answer

_INTEGER = re.compile(r"[+-]?\d+(\.0*)?")


@dataclass(frozen=True)
class Problem:
    """A problem with its reference solution.

    Attributes:
        question: the question as the policy is asked it, without instructions.
        answer: the ground truth that the outcome scorer compares with.
        solution: a reference solution that ends in the answer, in the form the scorer reads, "" when there is none.
        extra: what else the set says about the problem (level, subject).
    """

    question: str
    answer: str
    solution: str
    extra: dict[str, Any] = field(default_factory=dict)


Reader = Callable[[Mapping[str, Any]], Problem]


def read_math(row: Mapping[str, Any]) -> Problem:
    """Read a row of MATH (arXiv 2103.03874) or MATH500.

    The answer is in a column of its own, or in the solution's last box.

    Raises:
        ValueError: no question, or no answer.
    """
    solution = _solution(row)
    answer = column(row, "answer")
    if answer is None:
        if not solution:
            raise ValueError("no solution and no answer")
        answer = last_boxed(solution)
    extra = {"level": _level(row.get("level")), "subject": column(row, "type", "subject")}
    known = {key: value for key, value in extra.items() if value is not None}
    return Problem(read_question(row), str(answer).strip(), solution, known)


def read_gsm8k(row: Mapping[str, Any]) -> Problem:
    """Read a row of GSM8K (arXiv 2110.14168). The answer is the number after `####`, without thousands separators.

    Raises:
        ValueError: no question, or no answer.
    """
    texts = [str(text) for text in (column(row, "answer"), column(row, "solution")) if text is not None]
    if not texts:
        raise ValueError("no answer")
    for text in texts:
        _, mark, number = text.rpartition("####")
        if mark and number.strip():
            return Problem(read_question(row), number.strip().replace(",", "").replace("$", ""), text)
    raise ValueError('no "#### <number>" in the answer')


def read_competition(row: Mapping[str, Any]) -> Problem:
    """Read a row of AIME or AMC, whose answers are integers: 27, 27.0 and "027" are all 27.

    Solutions are left out. Where a row has any, they are several, with remarks, and do not end in the answer.

    Raises:
        ValueError: no question, or no answer.
    """
    answer = column(row, "answer")
    if answer is None:
        answer = last_boxed(str(column(row, "solution") or ""))
    text = str(answer).strip()
    if "\\boxed" in text:
        text = last_boxed(text)
    text = text.strip("$ ")
    return Problem(read_question(row), str(int(text.split(".")[0])) if _INTEGER.fullmatch(text) else text, "")


def column(row: Mapping[str, Any], *names: str) -> Any:
    """Return the first of the named columns that holds something, whatever the case of its name, or None when none
    does.

    Raises:
        ValueError: the column holds a list, an object or bytes.
    """
    cells = {str(name).lower(): value for name, value in row.items()}
    for name in names:
        value = cells.get(name)
        if isinstance(value, Sized) and not isinstance(value, str):
            raise ValueError(f"column {name} holds a {type(value).__name__} where text or a number belongs")
        if value is not None and value == value and str(value).strip():  # a missing cell of parquet is NaN
            return value
    return None


def last_boxed(text: str) -> str:
    """Return what the last box of a text holds, read as the outcome scorer reads it.

    Raises:
        ValueError: there is no box, or it is empty or never closed.
    """
    answer = final_answer("", text)
    if answer is not None:
        return answer
    boxed = any(box in text for box in ("\\boxed", "\\fbox"))
    raise ValueError(
        "the last \\boxed of the solution is empty or never closed" if boxed else "no \\boxed answer in the solution"
    )


def question_key(question: str) -> str:
    """Return what two wordings of a question share: letters, digits and signs, without case and white space."""
    return re.sub(r"\s+", "", question).casefold()


def _level(level: Any) -> int | None:
    digits = re.search(r"\d+", str(level))
    return int(digits.group()) if digits else None


def read_question(row: Mapping[str, Any]) -> str:
    """Return the question of a row of any set.

    Raises:
        ValueError: the row has no question, or one that no file can hold.
    """
    question = column(row, "problem", "question")
    if not isinstance(question, str):
        raise ValueError("no question (a column problem or question)")
    if re.search("[\ud800-\udfff]", question):
        raise ValueError("the question has half a surrogate pair, which is no text")
    return question


def _solution(row: Mapping[str, Any]) -> str:
    return str(column(row, "solution") or "")
