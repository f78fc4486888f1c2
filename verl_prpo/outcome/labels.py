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
    rf"(?:\\text\{{[^{{}}]*\}}|\\(?:{'|'.join(_COMMANDS)})(?![A-Za-z])|[A-Za-z]|_\{{[\w,]+\}}|_\w"
    r"|(?<=[A-Zfgh])\^\{?-1\}?|\{[A-Za-z]+\}|[(),'\s|^])+"
)
_DERIVATIVE = re.compile(r"\\frac\{\s*d\s*(?:\^\d)?\s*[A-Za-z]\s*\}\{\s*d\s*[A-Za-z]\s*(?:\^\d)?\s*\}")
_NOT_NAMES = re.compile(
    r"\b(?:not|no|non|never|nor|least|most|less|more|than|except|unless|false|minus|negative)\b", re.I
)
_CONSTANTS = re.compile(r"\\text\{[ei]\}|[ei]")
_BEFORE = re.compile(r"(?P<label>[^=]{1,60}?)(?:=|\\in(?![A-Za-z]))(?P<rest>.*)", re.DOTALL)
_APPROXIMATELY = re.compile(r"\\approx(?![A-Za-z])")


class Statement(NamedTuple):
    """A value and its approximations.

    Attributes:
        label: what names it, or None.
        values: at least one.
    """

    label: str | None
    values: tuple[str, ...]


def without_label(text: str) -> str:
    """A cleaned text without a label such as `x =` or `x \\in` before it."""
    found = _BEFORE.fullmatch(text)
    return found["rest"].strip() if found is not None and is_label(found["label"]) else text


def is_label(text: str) -> bool:
    """Whether a text only names something: x, AB, f(x), (x, y), but not 2x, x + y, or e."""
    text = text.strip()
    if _DERIVATIVE.fullmatch(text):
        return True
    if _LABEL.fullmatch(text) is None or not re.search(r"[A-Za-z]", text):
        return False
    return _CONSTANTS.fullmatch(text) is None and not any(
        map(_NOT_NAMES.search, re.findall(r"\\text\{([^{}]*)\}", text))
    )


def is_approximate(text: str) -> bool:
    """Whether a cleaned text holds the sign of an approximation."""
    return _APPROXIMATELY.search(text) is not None


def read_statement(text: str) -> Statement:
    """A label and values of a text such as `x = \\frac{1}{3} \\approx 0.33`, without those that are empty."""
    sides = [side.strip() for part in _APPROXIMATELY.split(text) for side in top_level(part, "=")]
    sides = [side for side in sides if side]
    if len(sides) > 1 and is_label(sides[0]):
        return Statement(sides[0], tuple(sides[1:]))
    return Statement(None, tuple(sides) or (text,))
