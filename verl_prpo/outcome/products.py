# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Products whose order or sign matters: of matrices, of vectors, of elements of a group.

Most letters stand for numbers, and ab is ba. Nobody can say so of capital letters, of letters in bold type or of those
with an arrow. A formula that holds such letters is read twice, once with numbers and once with the products of this
module. It is undecided where the two readings disagree.
"""

import re

import sympy
from sympy import Expr, Integer, Mul, Symbol

VECTORS = (r"\vec", r"\overrightarrow", r"\bold", r"\hat")
"""Accents of letters that stand for vectors, or for operators."""

_CAPITAL = re.compile(r"(?:\\(?:overline|bar|tilde|widehat|dot|mathcal)\{)?\\?[A-Z]")


def is_capital(name: str) -> bool:
    """Say whether the name of a symbol is a capital letter, Latin or Greek, which may stand for a matrix."""
    return _CAPITAL.match(name) is not None


def is_vector(name: str) -> bool:
    """Say whether the name of a symbol is marked as a vector."""
    return name.startswith(VECTORS)


def scalar(value: Expr) -> Expr:
    """Return the value with numbers for all symbols whose order matters, as in the angle of \\sin A."""
    return value.xreplace({s: Symbol(s.name) for s in value.free_symbols if not s.is_commutative})


def dot(one: Expr, two: Expr) -> Expr:
    """Return the scalar product, which is bilinear, and the same in both orders."""
    left, right = _terms(one), _terms(two)
    if left is None or right is None:
        return Symbol("dot({}, {})".format(*sorted((_text(one), _text(two)))))
    return sum(
        (a * b * Symbol("dot({}, {})".format(*sorted((u.name, v.name)))) for a, u in left for b, v in right), Integer(0)
    )


def cross(one: Expr, two: Expr) -> Expr:
    """Return the vector product, which is bilinear, and negative in the other order.

    The product of values that are no vectors equals only a product that is written the same.
    """
    left, right = _terms(one), _terms(two)
    if left is None or right is None:
        return Symbol(f"cross({_text(one)}, {_text(two)})", commutative=False)
    found = Integer(0)
    for a, u in left:
        for b, v in right:
            if u != v:
                sign, (first, last) = (1, (u, v)) if u.name < v.name else (-1, (v, u))
                found += sign * a * b * Symbol(f"cross({first.name}, {last.name})", commutative=False)
    return found


def may_be_cross(one: Expr, two: Expr) -> bool:
    """Say whether a cross between two values may be that of vectors or sets.

    It may be where both have letters, of more than one kind, and are linear in them, as r^2 is not.
    """
    symbols = one.free_symbols | two.free_symbols
    return bool(one.free_symbols and two.free_symbols) and len(symbols) > 1 and _linear(one) and _linear(two)


def _linear(value: Expr) -> bool:
    for term in sympy.Add.make_args(sympy.expand(value)):
        powers = [power for base, power in term.as_powers_dict().items() if base.free_symbols]
        if powers and all(power != 1 for power in powers):
            return False
    return True


def same_in_order(one: Expr, two: Expr) -> bool:
    """Say whether two values are equal where factors keep their order."""
    return sympy.expand(_without_inverses(one) - _without_inverses(two)) == 0


def _without_inverses(value: Expr) -> Expr:
    """Write B^{-1}A^{-1} for (AB)^{-1} in a value."""
    return value.replace(
        lambda e: e.is_Pow and e.exp == -1 and e.base.is_Mul,
        lambda e: Mul(*[factor**-1 for factor in reversed(e.base.args)]),
    )


def _terms(value: Expr) -> list[tuple[Expr, Symbol]] | None:
    """Return a sum of vectors as coefficients and vectors, or None if the value is no such sum."""
    found = []
    for term in sympy.Add.make_args(sympy.expand(value)):
        numbers, ordered = term.args_cnc()
        if len(ordered) != 1 or not ordered[0].is_Symbol:
            return None
        found.append((Mul(*numbers), ordered[0]))
    return found


def _text(value: Expr) -> str:
    return str(sympy.expand(value))
