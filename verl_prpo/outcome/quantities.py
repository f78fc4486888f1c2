# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""One quantity in several units, such as 8 hours and 30 minutes."""

import re
from fractions import Fraction

from verl_prpo.outcome.numbers import read_number
from verl_prpo.outcome.units import Unit, unit_of

_PART = re.compile(
    r"\s*(?P<number>\d[\d,]*(?:\.\d+)?|\\frac\{\d+\}\{\d+\})\s*(?P<unit>[A-Za-z]{1,12})\.?(?:\s*,)?(?:\s*\band\b)?"
)
_MOST_PARTS = 4


def in_one_unit(text: str) -> str:
    """Convert a cleaned text of several units to the first of its units. Other texts stay as they are.

    The units must be known, of one dimension and smaller from part to part. No later number may fill the unit before
    it, so 8 hours and 90 minutes stays as it is.
    """
    if len(text) > 120 or len(re.findall(r"\d[A-Za-z\s{}\\]", text)) < 2:
        return text
    plain = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text).strip()
    total, units, at = Fraction(0), list[Unit](), 0
    first = ""
    while at < len(plain):
        found = _PART.match(plain, at)
        number = read_number(found["number"]) if found is not None else None
        if found is None or number is None or len(units) == _MOST_PARTS:
            return text
        unit = unit_of(found["unit"])
        amount = number.value * unit.factor
        if not unit.known or (units and (unit.dimensions != units[0].dimensions or amount >= units[-1].factor)):
            return text
        total += amount
        units.append(unit)
        first = first or found["unit"]
        at = found.end()
    if len(units) < 2:
        return text
    value = total / units[0].factor
    return rf"{value}\text{{ {first}}}"
