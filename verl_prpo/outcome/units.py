# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Units behind a number: an answer may leave them out, but not name another one than the ground truth.

Words that change the number (thousand, or more, halves) and single letters that name no unit (i, x) are no units.
"""

import re

_SAME = (
    ("mm", "millimeter", "millimetre"),
    ("cm", "centimeter", "centimetre"),
    ("m", "meter", "metre"),
    ("km", "kilometer", "kilometre"),
    ("in", "inch", "inche"),
    ("ft", "foot", "feet"),
    ("yd", "yard"),
    ("mi", "mile"),
    ("second", "sec", "s"),
    ("minute", "min"),
    ("hour", "hr", "h"),
    ("day",),
    ("week",),
    ("month",),
    ("year", "yr"),
    ("mg", "milligram"),
    ("g", "gram"),
    ("kg", "kilogram"),
    ("lb", "pound"),
    ("oz", "ounce"),
    ("liter", "litre", "l"),
    ("ml", "milliliter", "millilitre"),
    ("gallon", "gal"),
    ("$", "dollar", "usd"),
    ("cent",),
    ("euro",),
    ("acre",),
    ("mph", "milesperhour"),
    ("kmph", "km/h", "kilometersperhour"),
    ("degree", "deg"),
    ("radian", "rad"),
    ("p.m", "pm"),
    ("a.m", "am"),
)
_CANONICAL = {spelling: group[0] for group in _SAME for spelling in group}
_NO_UNIT = re.compile(
    r"(?:hundred|thousand|million|billion|trillion|dozen)s?|half|halves|thirds|fourths|fifths|tenths|hundredths|pi|"
    r"squared|cubed|factorial|negative|or|plus|minus"
)
_POWER = r"\s*(?:\^\s*(?:\{\s*([23])\s*\}|([23])))?"
_TEXT_UNIT = re.compile(rf"(?P<rest>.*[^\s\\_^{{(,])\s*\\text\{{(?P<unit>[^{{}}]*)\}}{_POWER}\s*\.?", re.DOTALL)
_WORD_UNIT = re.compile(rf"(?P<rest>.*\d\}}?)(?P<space>\s*)(?P<unit>[A-Za-z][A-Za-z. /]+){_POWER}")
_MONEY = re.compile(r"(?P<sign>[-+]?)\s*\$\s*(?P<rest>\S.*)", re.DOTALL)


def without_unit(text: str) -> tuple[str, str | None]:
    """A text without the unit at its end (or the dollar sign before it), and the unit in one spelling if it is known.

    Args:
        text: cleaned.
    """
    unit = None
    money = _MONEY.fullmatch(text)
    if money is not None:
        text, unit = money["sign"] + money["rest"], "$"
    if text.endswith("$"):
        text, unit = text[:-1].strip(), "$"
    if text.endswith(r"^\circ") and not re.search(r"\\(?:sin|cos|tan|cot|sec|csc)", text):  # of \sin 30^\circ
        return text[: -len(r"^\circ")].strip(), "degree"
    found = _TEXT_UNIT.fullmatch(text)
    if found is not None and not re.search(r"\d", found["unit"]) and found["unit"].strip():
        known = _known(found["unit"], _power(found))
        if known is not None or _may_be_unit(found["unit"]):
            return found["rest"].strip(), unit or known
    found = _WORD_UNIT.fullmatch(text)
    if found is not None:
        known = _known(found["unit"], _power(found))
        spelled = found["space"] and re.fullmatch(r"[a-z]{3,}(?: [a-z]+)*", found["unit"])
        if known is not None or (spelled and _may_be_unit(found["unit"])):
            return found["rest"].strip(), unit or known
    return text, unit


def _may_be_unit(words: str) -> bool:
    letters = re.findall(r"[A-Za-z]+", words)
    return len("".join(letters)) > 1 and not any(_NO_UNIT.fullmatch(word.lower()) for word in letters)


def _power(found: re.Match[str]) -> str | None:
    return found.group(found.re.groups - 1) or found.group(found.re.groups)


def _known(unit: str, power: str | None) -> str | None:
    words = re.sub(r"\s+", " ", unit.strip().strip(".").lower()).split(" ")
    for names, exponent in ((("square", "sq", "sq."), "2"), (("cubic", "cu", "cu."), "3")):
        if words[0] in names and len(words) > 1:
            words, power = words[1:], exponent
    word = "".join(words)
    canonical = _CANONICAL.get(word) or _CANONICAL.get(word.rstrip("s"))
    return canonical + (f"^{power}" if power else "") if canonical else None
