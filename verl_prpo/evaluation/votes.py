# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Which answers of a problem's samples count as the same in a majority vote."""

import re
from collections.abc import Sequence
from fractions import Fraction

RIGHT = "right"
"""The vote of every right answer: all of them equal the ground truth."""

_FRACTION = re.compile(r"(-?)\\[dt]?frac\{(\d{1,30})\}\{(\d{1,30})\}")
_NUMBER = re.compile(r"[-+]?\d{0,30}(\d\.?|\.\d{1,30})(/\d{1,30})?")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?")


def cast_votes(answers: Sequence[str | None], correct: Sequence[bool]) -> list[str | None] | None:
    """The vote of each sample.

    Right answers vote as one, whatever their form. Wrong ones vote as one when they are the same number, or the same
    text without white space and dressing.

    Args:
        answers: as extracted; None for none.
        correct: the verdicts, of the same length.

    Returns:
        A vote a sample, None for one without answer; None in place of all where a right sample has no known answer, so
        that wrong ones without answer cannot be told from those that gave none.
    """
    votes: list[str | None] = []
    for answer, is_right in zip(answers, correct, strict=True):
        if is_right and answer is None:
            return None
        votes.append(None if answer is None else RIGHT if is_right else "wrong " + canonical(answer))
    return votes


def canonical(answer: str) -> str:
    """One spelling for answers that are the same number or text: `1/2`, `0.5` and `\\frac{1}{2}` are one."""
    bare = answer.strip().strip("$").rstrip(".")
    bare = re.sub(r"\\(left|right|[,;:!])|\s+", "", bare)
    if _THOUSANDS.fullmatch(bare):
        bare = bare.replace(",", "")
    if fraction := _FRACTION.fullmatch(bare):
        bare = "{}{}/{}".format(*fraction.groups())
    if not _NUMBER.fullmatch(bare):
        return bare.casefold()
    try:
        return str(Fraction(bare))
    except (ValueError, ZeroDivisionError):
        return bare
