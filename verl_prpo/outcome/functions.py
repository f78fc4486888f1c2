# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The functions that a formula may name, as functions of SymPy."""

import sympy
from sympy import Expr, Integer

from verl_prpo.outcome.latex import Unread

_INVERSES = {"sin": "asin", "cos": "acos", "tan": "atan", "cot": "acot", "sec": "asec", "csc": "acsc"}
_SYMPY = {f"arc{name}": inverse for name, inverse in _INVERSES.items()}


def applied(name: str, argument: Expr, base: Expr | None, power: Expr | None) -> Expr:
    """Apply a function to its argument.

    Args:
        name: one of `FUNCTIONS`.
        argument: the expression that the function applies to.
        base: the base of \\log.
        power: what stands between the name and the argument. A power of -1 makes the inverse of a trigonometric
            function. All other powers are left to the caller.

    Raises:
        Unread: the power -1 of a function for which nobody knows whether it means the inverse.
    """
    if power == -1:
        if name not in _INVERSES:
            raise Unread(f"{name} to the power of -1")
        return getattr(sympy, _INVERSES[name])(argument)
    if name == "exp":
        return sympy.exp(argument)
    if name in ("ln", "log", "lg"):
        return sympy.log(argument) / sympy.log({"ln": sympy.E, "lg": Integer(10)}.get(name, base))
    return getattr(sympy, _SYMPY.get(name, name))(argument)


def root(value: Expr, index: Expr) -> Expr:
    """Return the real root of a negative number if its index is odd, else the principal root."""
    if index.is_Integer and index % 2 == 1 and value.is_number and value.is_negative:
        return -((-value) ** (1 / index))
    return value ** (1 / index)
