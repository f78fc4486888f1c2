# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers written as words: `\\text{five}`, `twenty-one`, `one half`, `five apples`."""

import re
from fractions import Fraction

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
SMALL = {word: value for value, word in enumerate(_ONES)} | {
    word: 10 * value for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)
}
"""The words for 0 to 19 and for the tens."""
_LARGE = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_PARTS = {
    name: value
    for value, names in enumerate(
        ("half halves", "third", "fourth quarter", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"), 2
    )
    for name in names.split()
}
_NO_UNIT = re.compile(r"\b(?:to|the|in|out|by|into|over|under|point|power|times|from|th|root|and|or|squared|cubed)\b")
"""Words that make another number of the one before them, or a range, a ratio or a fraction."""


def in_digits(text: str) -> str:
    """Write a number in words at the beginning of a cleaned text in digits. Other texts stay as they are.

    Words after the number stay, for they are its unit, or they make it another number.
    """
    if re.search(r"\d", text) or len(text) > 80:
        return text
    plain = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text).strip().lower()
    if re.fullmatch(r"[a-z][a-z\s-]*%?", plain) is None:
        return text
    sign, rest = re.fullmatch(r"(negative\s+|minus\s+)?(.*)", plain).groups()  # type: ignore[union-attr]
    words = rest.replace("%", " percent").split()
    for end in range(len(words), 0, -1):
        value = _number(" ".join(words[:end]).replace("-", " ").split())
        if value is not None:
            number = f"{value.numerator}/{value.denominator}" if value.denominator > 1 else str(value)
            unit = " ".join(words[end:])
            if _NO_UNIT.search(unit):
                return text
            behind = "%" if unit == "percent" else rf"\text{{ {unit}}}" if unit else ""
            return ("-" if sign else "") + number + behind
    return text


def _number(words: list[str]) -> Fraction | None:
    whole = _whole(words)
    if whole is not None:
        return Fraction(whole)
    part = _PARTS.get(words[-1]) or _PARTS.get(words[-1].removesuffix("s"))
    top = 1 if words[:-1] in ([], ["a"]) and words[-1] == "half" else _whole(words[:-1])
    return None if part is None or top is None else Fraction(top, part)


def _whole(words: list[str]) -> int | None:
    """Read a whole number below a trillion, such as two thousand and five."""
    total, group, last = 0, 0, 0
    if not words or words[0] in ("and", "hundred", *_LARGE) or words[-1] == "and":
        return None
    for at, word in enumerate(words):
        if word in SMALL:
            if at and last not in (100, *_LARGE.values()) and not (20 <= last <= 90 and 0 < SMALL[word] < 10):
                return None
            group += SMALL[word]
            last = SMALL[word]
        elif word == "hundred" and 0 < group < 10:
            group, last = 100 * group, 100
        elif word in _LARGE and group and (total == 0 or _LARGE[word] < last):
            total, group, last = total + group * _LARGE[word], 0, _LARGE[word]
        elif not (word == "and" and last in (100, *_LARGE.values())):
            return None
    return total + group
