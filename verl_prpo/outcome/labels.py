# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What names an answer before its equals sign, as in `x = 5`, `AB = 3` or `f(x) = 2x`, and what follows it."""

import re
from typing import NamedTuple

from verl_prpo.outcome.latex import top_level

_COMMANDS = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta lambda mu nu xi rho sigma tau phi varphi chi "
    "psi omega Gamma Delta Theta Lambda Sigma Phi Psi Omega ell angle triangle overline vec hat bar tilde sin cos tan "
    "cot sec csc arcsin arccos arctan det dim deg gcd max min bold overrightarrow mathbb mathcal operatorname "
    "measuredangle circ"
).split()
_LABEL = re.compile(
    rf"(?:\\text\{{[^{{}}]*\}}|\\(?:{'|'.join(_COMMANDS)})(?![A-Za-z])|[A-Za-z]|_\{{(?:\\triangle\s*)?[\w,]+\}}|_\w"
    r"|(?<=[A-Zfgh])\^\{?-1\}?|\{[A-Za-z]+\}|[(),'\s|^])+"
)
_DERIVATIVE = re.compile(r"\\frac\{\s*d\s*(?:\^\d)?\s*[A-Za-z]\s*\}\{\s*d\s*[A-Za-z]\s*(?:\^\d)?\s*\}")
_NOT_NAMES = re.compile(
    r"\b(?:not|no|non|never|nor|least|most|less|more|than|except|unless|false|minus|negative)\b", re.I
)
_CONSTANTS = re.compile(r"\\text\{[ei]\}|[ei]")
_BEFORE = re.compile(r"(?P<label>[^=]{1,60}?)(?:=|\\in(?![A-Za-z]))(?P<rest>.*)", re.DOTALL)
_APPROXIMATELY = re.compile(r"\\approx(?![A-Za-z])")


_LETTERS = (
    r"(?:[A-Za-z]|\\math(?:bb|cal)\{[A-Z]\}|\\(?!(?:sin|cos|tan|cot|sec|csc|ln|log|lg|exp|frac|sqrt|text)(?![a-z]))[A-Za-z]+\s*"
    r"|\\text\{\s*[A-Za-z]+\s*\})"
)
_INSIDE = r"(?:\((?P<inside>.+)\)|\[(?P<inside2>.+)\])"
_APPLIED = re.compile(rf"(?P<name>{_LETTERS})(?:_\{{\w+\}}|_\w)?'*(?:\^\s*\{{\s*-1\s*\}})?\s*{_INSIDE}'*")
_NO_FUNCTIONS = set("abcdeijklmnxz")
"""Letters that are rarely names of functions, so that x(3) is 3x."""
_REGION = re.compile(r"\\#\s*[A-Z]|\\\|[^|=]+\\\||\[\s*[A-Z]{2,}\s*\]|\\(?:deg|dim|det|ker)(?![A-Za-z])\s*[A-Za-z]")
_CALCULATION = re.compile(
    r"\\(?:lim|sum|int|iint|oint|prod|limsup|liminf)(?![A-Za-z]).*|\\(?:max|min|sup|inf)\s*_.*", re.DOTALL
)
_FRACTION = re.compile(r"\\frac\{([^{}]+)\}\{([^{}]+)\}")
_POWER = re.compile(r"\^\s*(?:\{\s*[2-9]\s*\}|[2-9])")


class Statement(NamedTuple):
    """A value and its approximations.

    Attributes:
        label: what names the value, or None.
        values: the value and its approximations, at least one.
    """

    label: str | None
    values: tuple[str, ...]


def without_label(text: str) -> str:
    """Return a cleaned text without a label such as `x =` or `x \\in` before it."""
    found = _BEFORE.fullmatch(text)
    if found is None or not _is_balanced(found["label"]) or not is_label(found["label"]):
        return text
    return found["rest"].strip()


def _is_balanced(text: str) -> bool:
    return text.count("(") == text.count(")") and text.count("[") == text.count("]")


def is_label(text: str) -> bool:
    """Say whether a text only names something: x, AB, f(x), (x, y), but not 2x, x + y, or e."""
    text = text.strip()
    if _DERIVATIVE.fullmatch(text) or _REGION.fullmatch(text) or _CALCULATION.fullmatch(text) or _is_applied(text):
        return True
    if re.fullmatch(r"\|\s*[xyt]\s*\|", text):  # an equation to solve
        return False
    if _LABEL.fullmatch(text) is None or not re.search(r"[A-Za-z]", text):
        return False
    return _CONSTANTS.fullmatch(text) is None and not any(
        map(_NOT_NAMES.search, re.findall(r"\\text\{([^{}]*)\}", text))
    )


def _is_applied(text: str) -> bool:
    """Say whether a text is a function of something, as in f(5), P(X = 2) or E[X]."""
    found = _APPLIED.fullmatch(text)
    if found is None or _NOT_NAMES.search(found["name"]):
        return False
    inside = found["inside"] or found["inside2"]
    depth = 0
    for character in inside:
        depth += (character in "([") - (character in ")]")
        if depth < 0:  # f(2) + g(3)
            return False
    return found["name"] not in _NO_FUNCTIONS or re.search(r"[A-Z=]", inside) is not None


def names_quantity(text: str) -> bool | None:
    """Say whether the left side of an equation asks for one quantity of several unknowns, as x + y, AB + BC or a/b do.

    Returns:
        None where the side holds numbers as well, such as 2x + 3y, so that it may be part of an equation of its own.
        False where it has one unknown, as 2x and x + 1 have.
    """
    text = _FRACTION.sub(r"(\1)/(\2)", text)
    terms = [term.strip(" ()") for term in re.split(r"[-+*/]|\\cdot(?![a-z])|\\times(?![a-z])", _POWER.sub("", text))]
    terms = [term for term in terms if term]
    unknowns = {re.sub(r"^[\d.]+\s*", "", term) for term in terms} - {""}
    if len(unknowns) < 2 or not all(map(is_label, unknowns)):
        return False
    return True if all(term in unknowns for term in terms) else None


def is_approximate(text: str) -> bool:
    """Say whether a cleaned text holds the sign of an approximation."""
    return _APPROXIMATELY.search(text) is not None


def read_statement(text: str) -> Statement:
    """Read the label and the values of a text such as `x = \\frac{1}{3} \\approx 0.33`, without empty values."""
    sides = [side.strip() for part in _APPROXIMATELY.split(text) for side in top_level(part, "=")]
    sides = [side for side in sides if side]
    if len(sides) > 1 and is_label(sides[0]):
        return Statement(sides[0], tuple(sides[1:]))
    return Statement(None, tuple(sides) or (text,))
