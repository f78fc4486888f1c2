# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Plain numbers, compared exactly: a decimal is just what it says, so 0.333 is not 1/3."""

import re
from dataclasses import dataclass
from fractions import Fraction

_INTEGER = r"\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+"
_DECIMAL = re.compile(
    rf"(?P<whole>{_INTEGER})?(?:\.(?P<part>\d*)(?:\\(?:overline|bar)\{{(?P<again>\d+)\}}|\((?P<again2>\d+)\))?)?"
)
_FRACTION = re.compile(r"\\frac\{(?P<top>[^{}]+)\}\{(?P<bottom>[^{}]+)\}|(?P<top2>[^/]+)/(?P<bottom2>[^/]+)")
_MIXED = re.compile(rf"(?P<whole>{_INTEGER})(?:\s*(?P<frac>\\frac\{{\d+\}}\{{\d+\}})|(?: | ?[+] ?)(?P<slash>\d+/\d+))")
_BASED = re.compile(r"(?P<digits>-?[0-9A-Za-z, ]*\d[0-9A-Za-z, ]*)_(?:\{(?P<base>\d+)\}|(?P<base1>\d))")
_LONGEST = 200


@dataclass(frozen=True)
class Number:
    """A number as written.

    Attributes:
        value: the exact number. For a percentage it is the number before the sign.
        percent: whether a percent sign follows.
    """

    value: Fraction
    percent: bool = False

    def equals(self, other: "Number") -> bool:
        """Say whether both numbers are the same.

        Where only one has a percent sign, they are the same if that sign is either left out like a unit or taken as
        1/100.
        """
        if self.value == other.value:
            return True
        if self.percent == other.percent:
            return False
        one, two = (n.value / 100 if n.percent else n.value for n in (self, other))
        return one == two


def read_number(text: str) -> Number | None:
    """Read an integer, decimal, fraction or mixed number with or without sign, thousands separators and percent sign.

    Args:
        text: cleaned, without units.
    """
    text = text.strip()
    if len(text) > _LONGEST:
        return None
    percent = text.endswith("%")
    value = _signed(text.rstrip("% "))
    return None if value is None else Number(value, percent)


def read_based(text: str) -> tuple[str, str] | None:
    """Read the digits and the base of a number with a base, such as 2516_8."""
    found = _BASED.fullmatch(re.sub(r"\\text\{([^{}]*)\}", r"\1", text).strip())
    if found is None:
        return None
    return re.sub(r"[, ]", "", found["digits"]).upper(), found["base"] or found["base1"]


def _signed(text: str) -> Fraction | None:
    text = text.strip()
    while text.startswith("{") and text.endswith("}") and "{" not in text[1:-1]:
        text = text[1:-1].strip()
    if text[:1] in ("-", "+"):
        value = _unsigned(text[1:].strip())
        return -value if value is not None and text[0] == "-" else value
    if text.startswith("(") and text.endswith(")") and not re.search(r"[(,]", text[1:]):
        return _signed(text[1:-1])
    return _unsigned(text)


def _unsigned(text: str) -> Fraction | None:
    found = _MIXED.fullmatch(text)
    if found is not None:
        whole = _decimal(found["whole"])
        part = _unsigned(found["frac"] or found["slash"])
        return None if whole is None or part is None else whole + part
    found = _FRACTION.fullmatch(text)
    if found is not None:
        top = _decimal_signed(found["top"] or found["top2"])
        bottom = _decimal_signed(found["bottom"] or found["bottom2"])
        return top / bottom if top is not None and bottom else None
    return _decimal(text)


def _decimal_signed(text: str) -> Fraction | None:
    text = text.strip()
    if text[:1] == "-":
        value = _decimal(text[1:].strip())
        return None if value is None else -value
    return _decimal(text)


def _decimal(text: str) -> Fraction | None:
    found = _DECIMAL.fullmatch(text.strip())
    if found is None:
        return None
    whole, part, again = found["whole"], found["part"] or "", found["again"] or found["again2"] or ""
    if whole is None and not part and not again:
        return None
    value = Fraction(int(re.sub(r"[, ]", "", whole or "0")))
    value += Fraction(int(part or "0"), 10 ** len(part))
    if again:
        value += Fraction(int(again), (10 ** len(again) - 1) * 10 ** len(part))
    return value
