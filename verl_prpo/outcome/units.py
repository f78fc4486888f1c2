# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Units beside a number: an answer may leave a unit out or convert it, but not name another one than the ground truth.

Words that change the number (thousand, or more, halves) and single letters that name no unit (i, x) are no units.
"""

import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

from verl_prpo.outcome.latex import squeezed

_KNOWN: dict[str, dict[str, tuple[Fraction | int | str, str]]] = {
    "length": {
        "mm": ("1/1000", "millimeter millimetre"),
        "cm": ("1/100", "centimeter centimetre"),
        "dm": ("1/10", "decimeter decimetre"),
        "m": (1, "meter metre"),
        "km": (1000, "kilometer kilometre"),
        "in": ("0.0254", "inch inche"),
        "ft": ("0.3048", "foot feet"),
        "yd": ("0.9144", "yard"),
        "mi": ("1609.344", "mile"),
    },
    "time": {
        "second": (1, "sec s"),
        "minute": (60, "min"),
        "hour": (3600, "hr h"),
        "day": (86400, ""),
        "week": (604800, "wk"),
    },
    "months": {"month": (1, ""), "year": (12, "yr")},
    "mass": {
        "mg": ("1/1000", "milligram"),
        "g": (1, "gram gm"),
        "kg": (1000, "kilogram kilo"),
        "oz": ("28.349523125", "ounce"),
        "lb": ("453.59237", "pound"),
    },
    "volume": {
        "ml": ("1/1000", "milliliter millilitre"),
        "cl": ("1/100", "centiliter"),
        "l": (1, "liter litre"),
        "pint": ("0.473176473", "pt"),
        "quart": ("0.946352946", "qt"),
        "gallon": ("3.785411784", "gal"),
    },
    "money": {"$": (1, "dollar usd buck"), "cent": ("1/100", "¢")},
    "€": {"euro": (1, "eur €")},
    "£": {"£": (1, "gbp")},
    "¥": {"yen": (1, "¥ jpy")},
    "₹": {"rupee": (1, "₹ inr rs")},
    "acre": {"acre": (1, "")},
    "angle": {"degree": (1, "deg °")},
    "radian": {"radian": (1, "rad")},
    "celsius": {"celsius": (1, "°c degreecelsius")},
    "fahrenheit": {"fahrenheit": (1, "°f degreefahrenheit")},
    "kelvin": {"kelvin": (1, "")},
    "p.m": {"p.m": (1, "pm")},
    "a.m": {"a.m": (1, "am")},
}
_FACTORS = {
    spelling: (dimension, Fraction(factor))
    for dimension, units in _KNOWN.items()
    for name, (factor, others) in units.items()
    for spelling in (name, *others.split())
}
_SPELLED_OUT = {
    "mph": "mile per hour",
    "kmph": "km per hour",
    "kph": "km per hour",
    "mps": "m per s",
    "fps": "ft per s",
}
_POWER_WORDS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
_PLURALS = {"children": "child", "people": "person", "men": "man", "women": "woman", "halves": "half"}
_NO_UNIT = re.compile(
    r"(?:hundred|thousand|million|billion|trillion|dozen|score)s?|half|halves|quarters|thirds|fourths|fifths|sixths|"
    r"sevenths|eighths|ninths|tenths|hundredths|thousandths|pi|squared|cubed|factorial|negative|positive|or|and|plus|"
    r"minus|times|not|no|non|never|nor|less|fewer|least|most|than|about|approximately|between|except|remainder|mod|base|"
    # numbers and multiples
    r"zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|"
    r"(?:twen|thir|for|fif|six|seven|eigh|nine)ty|lakhs?|crores?|gross|tens|bn|mn|mil|[a-z]*illions?|pairs?|couples?|"
    r"doubled?|tripled?|quadrupled?|twice|thrice|halved|inverse|reciprocal|fold|"
    # verdicts, verbs, comparisons, and what changes a sign
    r"is|are|was|were|be|isn|aren|has|have|equals?|exceeds?|wrong|incorrect|false|true|correct|right|invalid|extraneous|"
    r"impossible|undefined|rejected|excluded|discarded|greater|larger|smaller|higher|lower|too|many|few|below|"
    r"above|loss|losses|debt|deficit|owed|decrease|drop|opposite|if|but|unless|without"
)
_RIGHT_ANGLED = re.compile(r"\bright (?=(?:isosceles )?(?:triangle|angle|trapezoid|prism|cone|cylinder)s?\b)", re.I)
_NO_UNIT_ALONE = re.compile(r"(?:more|under|over|up|down|left|only|extra|each)(?:\s+\w{1,2})?")
"""Words that may stand beside a unit (3 more days) and are no units themselves."""
_NO_SYMBOL = ("M", "B", "MM")
"""Letters that stand for a million or a billion, not for a unit."""
_POWER = r"\s*(?:\^\s*(?:\{\s*([23])\s*\}|([23])))?"
_TEXT_UNIT = re.compile(rf"(?P<rest>.*[^\s\\_^{{(,])\s*\\text\{{(?P<unit>[^{{}}]*)\}}{_POWER}\s*\.?", re.DOTALL)
_TEXT_RATIO = re.compile(
    r"(?P<rest>.*[^\s\\_^{(,/])\s*(?:\\text\{(?P<top>[^{}]*)\}\s*/\s*\\text\{(?P<bottom>[^{}]*)\}"
    r"|\\frac\{\\text\{(?P<top2>[^{}]*)\}\}\{\\text\{(?P<bottom2>[^{}]*)\}\})" + _POWER,
    re.DOTALL,
)
_WORD_UNIT = re.compile(
    rf"(?P<rest>.*(?:\d|\}}|\\pi(?=\s)|\)))(?P<space>\s*)(?P<unit>[A-Za-z][A-Za-z. /]+){_POWER}", re.DOTALL
)
_SIGNS = "$€£¥₹"
_CODES = {"USD": "$", "US$": "$", "EUR": "euro", "GBP": "£", "JPY": "yen", "INR": "₹", "Rs": "₹"}
_CODE_BEFORE = re.compile(
    r"(?P<sign>[-+]?)\s*(?:\\text\{\s*)?(?P<code>USD|US\$|EUR|GBP|JPY|INR|Rs)\.?\s*\}?\s*(?P<rest>[-+]?\d.*)", re.DOTALL
)
_MONEY = re.compile(
    rf"(?P<sign>[-+]?)\s*(?:(?P<unit>[{_SIGNS}])|\\(?P<name>pounds|euro|yen)(?![A-Za-z]))\s*(?P<rest>\S.*)", re.DOTALL
)
_MONEY_BEHIND = re.compile(rf"(?P<rest>.*\S)\s*(?P<unit>[{_SIGNS}¢])", re.DOTALL)
_NAMED_SIGNS = {"pounds": "£", "euro": "euro", "yen": "yen"}
_TEMPERATURE = re.compile(r"(?P<rest>.*\S)\s*\^\\circ\s*(?:\\text\{\s*(?P<t>[CF])\s*\}|(?P<l>[CF]))", re.DOTALL)
_DEGREE = r"^\circ"


@dataclass(frozen=True)
class Unit:
    """A unit, simple or composed.

    Attributes:
        dimensions: dimension and power of each part, such as length 1 and time -1. An unknown word is a dimension.
        factor: a number in this unit times the factor is the number in the base units of its dimensions.
        known: whether every part is known.
    """

    dimensions: frozenset[tuple[str, int]]
    factor: Fraction
    known: bool


def without_unit(text: str) -> tuple[str, Unit | None]:
    """Split off the unit at the end of a text, or the sign of a currency before it, and return the rest and the unit.

    Args:
        text: cleaned.
    """
    coded = _CODE_BEFORE.fullmatch(text)
    if coded is not None:
        rest, unit = without_unit(coded["rest"])
        own = unit_of(_CODES[coded["code"]])
        return coded["sign"] + rest, own if unit is None else _both(own, unit)
    money = _MONEY.fullmatch(text)
    if money is not None:
        rest, unit = without_unit(money["rest"])
        own = unit_of(money["unit"] or _NAMED_SIGNS[money["name"]])
        return money["sign"] + rest, own if unit is None or (own.known and unit == own) else _both(own, unit)
    behind = _MONEY_BEHIND.fullmatch(text)
    if behind is not None:
        return behind["rest"], unit_of(behind["unit"])
    temperature = _TEMPERATURE.fullmatch(text)
    if temperature is not None:
        return temperature["rest"], unit_of("°" + (temperature["t"] or temperature["l"]))
    if text.endswith(_DEGREE) and not re.search(r"\\(?:sin|cos|tan|cot|sec|csc)", text):  # of \sin 30^\circ
        return text[: -len(_DEGREE)].strip(), unit_of("degree")
    ratio = _TEXT_RATIO.fullmatch(text)
    if ratio is not None:
        top, bottom = ratio["top"] or ratio["top2"], ratio["bottom"] or ratio["bottom2"]
        return ratio["rest"].strip(), unit_of(f"{top}/{bottom}", bottom_power=_power(ratio))
    found = _TEXT_UNIT.fullmatch(text)
    if found is not None and found["unit"].strip() in _NO_SYMBOL:
        return text, None
    if found is not None and not re.search(r"\d", found["unit"]) and found["unit"].strip():
        unit = unit_of(found["unit"], _power(found))
        if unit.known or _may_be_unit(found["unit"]):
            return found["rest"].strip(), unit
    found = _WORD_UNIT.fullmatch(text)
    if found is not None:
        unit = unit_of(found["unit"], _power(found))
        if unit.known or (found["space"] and _spelled(found["unit"]) and _may_be_unit(found["unit"])):
            return found["rest"].strip(), unit
    return text, None


def _spelled(words: str) -> bool:
    """Say whether letters after a number are words and no product such as abc."""
    first = words.split()[0]
    return (
        re.fullmatch(r"[a-z]{3,}(?: [a-z]+)*", words) is not None
        and re.search(r"[aeiouy]", first) is not None
        and sorted(first) != list(first)
    )


def _may_be_unit(words: str) -> bool:
    letters = re.findall(r"[A-Za-z]+", _RIGHT_ANGLED.sub("", words))
    return (
        len("".join(letters)) > 1
        and not _NO_UNIT_ALONE.fullmatch(words.strip().lower())
        and (unit_of(words).known or not any(_NO_UNIT.fullmatch(word.lower()) for word in letters))
    )


def _power(found: re.Match[str]) -> int:
    return int(found.group(found.re.groups - 1) or found.group(found.re.groups) or 1)


def _both(one: Unit, two: Unit) -> Unit:
    """Combine two units of one number, such as those of \\$5 million. The result is no known unit."""
    return Unit(one.dimensions | two.dimensions, one.factor * two.factor, False)


def unit_of(text: str, power: int = 1, bottom_power: int = 1) -> Unit:
    """Return the unit that words name. An unknown word is a dimension of its own."""
    words = re.sub(r"\s+", " ", text.strip().strip(".").lower())
    words = " ".join(_SPELLED_OUT.get(word, word) for word in words.split())
    top, *bottoms = re.split(r"\s*/\s*|\s+per\s+|\s+an?\s+(?=hour|minute|second|day)", words)
    dimensions: Counter[str] = Counter()
    factor, known = Fraction(1), True
    for sign, part, own in ((1, top, power), *((-1, bottom, bottom_power) for bottom in bottoms)):
        one, exponent = _part(part, own)
        for dimension, scale, is_known in one:
            dimensions[dimension] += sign * exponent
            factor *= scale ** (sign * exponent)
            known = known and is_known
    return Unit(frozenset(dimensions.items()), factor, known)


def _part(text: str, power: int) -> tuple[list[tuple[str, Fraction, bool]], int]:
    """Return the parts of a unit without `per` (dimension, factor, whether it is known), and its power."""
    words = [word for word in (word.strip(".,") for word in text.split()) if word not in ("the", "of", "")]
    for at in (0, -1):
        if len(words) > 1 and words[at] in _POWER_WORDS:
            power *= _POWER_WORDS[words.pop(at)]
    written = squeezed("".join(_singular(word) for word in words))
    for spelling in (written, "".join(words), "".join(words).rstrip("s")):
        if spelling in _FACTORS:
            return [(*_FACTORS[spelling], True)], power
    return [(" ".join(sorted(map(_singular, words))), Fraction(1), False)], power


def _singular(word: str) -> str:
    if word in _PLURALS:
        return _PLURALS[word]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and re.search(r"(?:x|ch|sh|ss)es$", word):
        return word[:-2]
    return word[:-1] if len(word) > 2 and word.endswith("s") and word[-2] not in "suio" else word
