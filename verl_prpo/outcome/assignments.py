# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Values for several unknowns: `x=3, y=-2`, `(x,y)=(3,-2)`, and a system in braces that says the same."""

import re

from verl_prpo.outcome.labels import is_label
from verl_prpo.outcome.latex import commas, connective, squeezed, top_level

_SYSTEM = re.compile(
    r"(?:\\\{\s*)?\\begin\{(cases|aligned|array|align\*?|gathered)\}(?:\{[^{}]*\})?(.*)\\end\{\1\}", re.DOTALL
)


def read_assignments(text: str) -> dict[str, str] | None:
    """Return the value of each unknown, in the order of a cleaned text, or None unless there are two unknowns or more.

    Each unknown must be named once, since x=3, x=-2 are two solutions for one unknown.
    """
    system = _SYSTEM.fullmatch(text)
    if system is not None:
        parts = [row.replace("&", "").strip(" ,.;") for row in re.split(r"\\\\(?:\[[^\]]*\])?", system[2])]
        parts = [part for row in parts if row for part in top_level(commas(row), ",")]
    elif connective(text) == "or":
        return None
    else:
        sides = [side.strip() for side in top_level(text, "=")]
        if len(sides) == 2 and all(side[:1] == "(" and side[-1:] == ")" for side in sides):
            names, values = (top_level(side[1:-1], ",") for side in sides)
            return _distinct(list(zip(names, values, strict=True))) if len(names) == len(values) else None
        parts = top_level(commas(text), ",;")
    pairs = [top_level(part, "=") for part in parts if part.strip()]
    return _distinct([(pair[0], pair[1]) for pair in pairs]) if all(len(pair) == 2 for pair in pairs) else None


def _distinct(pairs: list[tuple[str, str]]) -> dict[str, str] | None:
    found = {squeezed(name.strip()): value.strip() for name, value in pairs}
    named = all(is_label(name) and value.strip() and not re.search(r"[<>]", value) for name, value in pairs)
    return found if named and len(found) == len(pairs) > 1 else None


def as_tuple(values: dict[str, str]) -> list[str]:
    """Return the values in the order of a tuple.

    The order is that of the alphabet where all unknowns are single letters, else the order as written.
    """
    names = list(values)
    if all(re.fullmatch(r"[A-Za-z]", name) for name in names):
        names.sort()
    return [values[name] for name in names]
