# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Values and equations that need algebra: read strictly, then compared at 60 digits, with variables at several points.

Everything here may run for ever or use up all memory. So `verl_prpo.outcome.worker` runs it under limits.
"""

from collections.abc import Callable
from fractions import Fraction
from itertools import combinations
from typing import Any

from sympy import Expr, Integer, N, Rational

from verl_prpo.outcome.formula import DIVIDED, GROUP, MATRICES, Reading, read_formula
from verl_prpo.outcome.latex import Unread
from verl_prpo.outcome.products import same_in_order, scalar

_DIGITS = 60
_MOST_DIGITS = 300
_NEAR = 1e-40
"""Relative difference below which two values are the same."""
_NOTHING = 1e-80
"""Absolute difference below which two values are the same. It is what is left where terms cancel."""
_POINTS = ((7, 5), (-11, 7), (23, 9), (-3, 17), (29, 4), (-53, 10), (1, 31), (41, 13))
"""The points at which variables are compared: fractions at which functions do nothing special."""
_FEWEST = 3
_ORDERED = frozenset({MATRICES, GROUP})
"""Doubts about the order of factors. Texts that are different in any order need no second look."""

Sides = tuple[str, str]


def same_value(answer: str, truth: str) -> bool:
    """Decide whether two cleaned values, of which not both are plain numbers, are equal.

    Raises:
        Unread: one of them is not understood, or is understood in two ways that do not agree.
    """
    return _in_all_readings(lambda second: _same(*_read(second, answer, truth)), (answer, truth))


def same_equation(answer: Sides, truth: Sides) -> bool:
    """Decide whether two equations, given as their sides, differ by a constant factor only."""
    return _in_all_readings(lambda second: _factor(second, answer, truth) is not None, (*answer, *truth))


def same_difference(answer: Sides, truth: Sides) -> bool:
    """Decide whether two inequalities, given as their smaller and larger sides, differ by a positive factor only."""

    def same(second: frozenset[str]) -> bool:
        factor = _factor(second, answer, truth)
        return factor is not None and bool(factor.is_real and factor > 0)

    return _in_all_readings(same, (*answer, *truth))


def value_of(text: str) -> Fraction:
    """Return a cleaned value as a number to 60 digits.

    Raises:
        Unread: it is not understood, or has variables, or is not real and finite.
    """
    value = N(read_formula(text).value, _DIGITS)
    if not (value.is_real and value.is_finite):
        raise Unread(f"{text!r} is no real number")
    return Fraction(str(value))


def _in_all_readings(same: Callable[[frozenset[str]], bool], texts: tuple[str, ...]) -> bool:
    readings = [read_formula(text) for text in texts]
    found = frozenset().union(*(reading.doubts for reading in readings))
    first = same(frozenset())
    doubts = sorted(found - (_no_doubts(readings) if first else _ORDERED))
    for count in range(1, len(doubts) + 1):
        for second in combinations(doubts, count):
            if same(frozenset(second)) != first:
                raise Unread(f"a formula that people read in two ways ({', '.join(second)})")
    return first


def _no_doubts(readings: list[Reading]) -> frozenset[str]:
    """Return the doubts that the texts themselves settle. Letters in the denominators of all texts are numbers."""
    doubtful = [reading for reading in readings if MATRICES in reading.doubts]
    return frozenset({MATRICES}) if all(DIVIDED in reading.notes for reading in doubtful) else frozenset()


def _read(second: frozenset[str], *texts: str) -> list[Expr]:
    return [read_formula(text, second).value for text in texts]


def _same(one: Expr, two: Expr) -> bool:
    if one == two:
        return True
    if one.is_Rational and two.is_Rational:
        return False
    if not (one.is_commutative and two.is_commutative):
        return same_in_order(one, two)
    return all(_near(a, b) for a, b in _values((one, two))) and not _differ_after_all(one, two)


def _differ_after_all(one: Expr, two: Expr) -> bool:
    """Say whether values that are near differ by what is small beside them, as 2^{4181} + e and 2^{4181} do.

    SymPy evaluates the difference with as many digits as it takes. It gives precision 1 to a result of which no digit
    counts.
    """
    difference = one - two
    symbols = sorted(difference.free_symbols, key=str)
    if symbols:
        difference = difference.subs(_points(symbols)[0])
    parts = N(difference, 15, maxn=_MOST_DIGITS).as_real_imag()
    return any(part.is_Float and part != 0 and part._prec > 1 for part in parts)


def _factor(second: frozenset[str], answer: Sides, truth: Sides) -> Any:
    """Return the constant factor between the differences of the sides, or None where there is no such factor."""
    left, right, true_left, true_right = _read(second, *answer, *truth)
    one, two = left - right, true_left - true_right
    if not (one.is_commutative and two.is_commutative):
        return _factor_in_order(one, two)
    if not two.free_symbols or one.free_symbols != two.free_symbols:
        return None
    factors = [a / b for a, b in _values((one, two)) if b != 0]
    if len(factors) < _FEWEST or not all(_near(factor, factors[0]) for factor in factors) or factors[0] == 0:
        return None
    return factors[0]


def _factor_in_order(one: Expr, two: Expr) -> Expr | None:
    """Find the constant factor as `_factor` does, where factors keep their order."""
    numbers = _values((scalar(one), scalar(two)))
    quotients = [a / b for a, b in numbers if b]
    factor = next((Rational(Fraction(str(q)).limit_denominator(10**6)) for q in quotients if q.is_real), None)
    return factor if factor and same_in_order(one, factor * two) else None


def _near(a: Any, b: Any) -> bool:
    if a == b:
        return True
    if not (a.is_finite and b.is_finite):
        return False
    return bool(abs(a - b) <= _NEAR * max(abs(a), abs(b)) or abs(a - b) <= _NOTHING)


def _values(expressions: tuple[Expr, Expr]) -> list[tuple[Any, Any]]:
    """Return the values of two expressions, at several points if they have variables.

    Raises:
        Unread: they have no values.
    """
    symbols = sorted(set().union(*(e.free_symbols for e in expressions)), key=str)
    if not symbols:
        pairs = [tuple(N(e, _DIGITS) for e in expressions)]
        fewest = 1
    else:
        pairs = [tuple(N(e.subs(point), _DIGITS) for e in expressions) for point in _points(symbols)]
        fewest = _FEWEST
    pairs = [pair for pair in pairs if all(value.is_number and value.is_finite is not None for value in pair)]
    if len(pairs) < fewest:
        raise Unread("a formula without values to compare")
    return [(a, b) for a, b in pairs]


def _points(symbols: list[Any]) -> list[dict[Any, Expr]]:
    """Return points at which to evaluate. Each variable has another value in each point."""
    points = []
    for shift in range(len(_POINTS)):
        point = {}
        for at, symbol in enumerate(symbols):
            top, bottom = _POINTS[(shift + 3 * at) % len(_POINTS)]
            point[symbol] = Rational(top, bottom) + Integer(at) / (7 + shift)
        points.append(point)
    return points
