# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Values and equations that need algebra: read by math-verify's LaTeX parser, compared by math-verify and SymPy.

Everything here may run for ever or eat all memory; `verl_prpo.outcome.worker` runs it under limits.
"""

import re
from typing import Any

from sympy import I, N, simplify

_CONFIG: Any = None
_FUNCTION = re.compile(r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)")
_DECIMAL = re.compile(r"(?<![\d.])(\d*)\.(\d+)")
_GROUPED = re.compile(r"(?<!\d)\d{1,3}(?:,\d{3})+(?!\d)")
_DIGITS = 40
_NEAR = 1e-25


def same_value(answer: str, truth: str) -> bool:
    """Whether two cleaned values, of which not both are plain numbers, are equal."""
    if _differ_in_case(answer, truth):
        return False
    one, two = _parse(answer), _parse(truth)
    if one is None or two is None:
        return False
    from math_verify import verify

    if not verify(two, one, float_rounding=_DIGITS, timeout_seconds=None):
        return False
    return _numerically_near(one, two)


def _differ_in_case(answer: str, truth: str) -> bool:
    """Whether the variables are the same but for capitals, which the parser does not tell apart."""
    one, two = (set(re.findall(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", " ", text))) for text in (answer, truth))
    return one != two and {v.lower() for v in one} == {v.lower() for v in two}


def same_equation(answer: tuple[str, str], truth: tuple[str, str]) -> bool:
    """Whether two equations, as their sides, differ by a constant factor only."""
    ratio = _ratio(answer, truth)
    return ratio is not None


def same_difference(answer: tuple[str, str], truth: tuple[str, str]) -> bool:
    """Whether two inequalities, as their smaller and larger sides, differ by a positive factor only."""
    ratio = _ratio(answer, truth)
    return ratio is not None and bool(ratio.is_positive)


def _ratio(answer: tuple[str, str], truth: tuple[str, str]) -> Any:
    """The constant by which the differences of the sides differ; None if they do otherwise."""
    sides = [_parse(text) for text in (*answer, *truth)]
    if any(side is None for side in sides):
        return None
    one, two = sides[0] - sides[1], sides[2] - sides[3]
    if not two.free_symbols or one.free_symbols != two.free_symbols:
        return None
    ratio = simplify(one / two)
    return ratio if ratio.is_number and ratio.is_finite and not ratio.is_zero else None


def _numerically_near(one: Any, two: Any) -> bool:
    """For values without variables: equal to 25 digits. math-verify chops what is small, such as 10^{-20}."""
    try:
        if one.free_symbols or two.free_symbols:
            return True
        a, b = N(one, _DIGITS), N(two, _DIGITS)
        if a == b or not (a.is_finite and b.is_finite):
            return bool(a == b)
        return bool(abs(a - b) <= _NEAR * max(abs(a), abs(b)))
    except (AttributeError, TypeError):  # no numbers, such as the empty set
        return bool(one == two)


def _parse(text: str) -> Any:
    """A SymPy expression, or None where the text is none."""
    from latex2sympy2_extended.latex2sympy2 import latex2sympy, normalize_latex

    text = re.sub(r"^\\text\{[^{}]*\}\s*", "", text)
    text = re.sub(r"(\\log_)(\d)\s+(?=\d)", r"\1{\2}", text)
    if re.search(r"\d\s+\d", text) or r"\text" in text or re.search(r"[=,;:<>%]", _GROUPED.sub("", text)):
        return None
    text = _GROUPED.sub(lambda found: found.group().replace(",", ""), text)
    text = _DECIMAL.sub(_as_fraction, text)
    if _FUNCTION.search(text):
        text = re.sub(r"(\d+(?:/\d+)?|\\frac\{\d+\}\{\d+\})\s*\^\\circ", r"(\1\\cdot\\frac{\\pi}{180})", text)
    text = text.replace(r"^\circ", "")
    try:
        found = latex2sympy(
            normalize_latex(text, _normalization()),
            is_real=True,
            convert_degrees=False,
            normalization_config=None,
        )
        return found.subs({symbol: I for symbol in found.free_symbols if symbol.name == "i"})
    except RecursionError:
        raise
    except MemoryError:
        raise
    except Exception:  # the parser raises plain Exception for what is no mathematics
        return None


def _as_fraction(found: re.Match[str]) -> str:
    whole, part = found[1], found[2]
    return f"{{\\frac{{{int(whole + part)}}}{{{10 ** len(part)}}}}}"


def _normalization() -> Any:
    global _CONFIG
    if _CONFIG is None:
        from latex2sympy2_extended.latex2sympy2 import NormalizationConfig

        _CONFIG = NormalizationConfig(
            basic_latex=True, units=False, malformed_operators=True, nits=False, boxed="none", equations=False
        )
    return _CONFIG
