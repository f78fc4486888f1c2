# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Reads one value in LaTeX as a SymPy expression, and refuses what it does not know.

Parsers of LaTeX for wider use skip what they cannot read: a prime, a transpose, a leading text. For a reward that is
fatal, since the rest may then equal the ground truth. This one knows a small language, and every token of an answer
must belong to it. Where people read a formula in two ways (1/2x, \\log 100, P(x)) it can read both.
"""

import re
from typing import NamedTuple

import sympy
from sympy import Expr, Integer, Symbol

from verl_prpo.outcome.functions import applied, root
from verl_prpo.outcome.latex import FUNCTIONS, Unread, squeezed
from verl_prpo.outcome.products import cross, dot, is_capital, is_vector, may_be_cross, scalar
from verl_prpo.outcome.tokens import (
    ACCENTS,
    GREEK,
    MAYBE_FUNCTIONS,
    MAYBE_OPERATORS,
    Tokens,
    has_conjugate,
    tokens_of,
)

_FLOORS = {r"\lfloor": (r"\rfloor", sympy.floor), r"\lceil": (r"\rceil", sympy.ceiling)}
SLASH, ARGUMENT, LOGARITHM, FUNCTION, OPERATOR = "slash", "argument", "logarithm", "function", "operator"
MATRICES, VECTOR_PRODUCT, GROUP = "matrices", "vectors", "group"
DIVIDED = "divided"
"""A note, not a doubt: a capital letter stands in a denominator, where no matrix can stand."""
_TIMES, _OVER = {r"\cdot", r"\times", "*"}, {"/", r"\div"}
_TEN = Integer(10)
_LARGEST_FACTORIAL = 2000


class Reading(NamedTuple):
    """A text as read.

    Attributes:
        value: the expression.
        doubts: what people read in two ways, such as `SLASH` (see `read_formula`).
        notes: what decides about a doubt, `DIVIDED` or nothing.
    """

    value: Expr
    doubts: frozenset[str]
    notes: frozenset[str] = frozenset()


def read_formula(text: str, second: frozenset[str] = frozenset()) -> Reading:
    """Read one value.

    Args:
        text: cleaned, without outer form and unit.
        second: doubts in which to take the other reading. Then 1/2x is 1/(2x) instead of x/2 (`SLASH`), \\sin x(y) is
            sin(xy) instead of y sin(x) (`ARGUMENT`), \\log has base 10 instead of e (`LOGARITHM`), P(x) is a function
            instead of a product (`FUNCTION`), and \\Delta x is a symbol of its own (`OPERATOR`). Three doubts are about
            factors that keep their order: capital letters (`MATRICES`), vectors and what a \\times joins
            (`VECTOR_PRODUCT`), or all letters, where one and its inverse stand around another (`GROUP`).

    Raises:
        Unread: a token that is not known, or a grammar that is not.
    """
    parser = _Parser(tokens_of(text), second)
    value = parser.sum()
    if parser.token is not None:
        raise Unread(f"{parser.token!r} in {text!r}")
    return Reading(value, frozenset(parser.doubts), frozenset(parser.notes))


class _Parser(Tokens):
    """Recursive descent over the tokens of one text."""

    def __init__(self, tokens: list[str], second: frozenset[str]) -> None:
        super().__init__(tokens)
        self._second = second
        self._closers: list[str] = []
        self._degrees = any(token.lstrip("\\") in FUNCTIONS for token in self.tokens)
        if r"\circ" in self.tokens and r"\pi" in self.tokens and not self._degrees:
            raise Unread("degrees beside pi")
        self.doubts: set[str] = set()
        self.notes: set[str] = set()
        self._bold: set[str] = set()
        if has_conjugate(self.tokens):
            self.doubts.add(GROUP)

    def _other(self, doubt: str) -> bool:
        """Note that there are two readings, and say whether to take the other one."""
        self.doubts.add(doubt)
        return doubt in self._second

    def sum(self) -> Expr:
        """Read a sum, up to the first token that belongs to no sum."""
        value = self._signed_product()
        while self.token in ("+", "-"):
            minus = self.take() == "-"
            if self.token == "-":  # 3 + -2
                minus = not minus
                self.take()
            term = self._product()
            value = value - term if minus else value + term
        return value

    def _signed_product(self) -> Expr:
        if self.token in ("+", "-"):
            return -self._product() if self.take() == "-" else self._product()
        return self._product()

    def _product(self) -> Expr:
        value = self._power()
        while True:
            if self.token in _TIMES:
                sign = self.take()
                value = self._times(value, self._signed_power(), sign)
            elif self.token in _OVER:
                self.take()
                divisor = self._signed_power()
                if self._begins_factor() and self._other(SLASH):
                    while self._begins_factor():
                        divisor = divisor * self._power()
                value = self._over(value, divisor)
            elif self._begins_factor():
                value = self._times(value, self._power())
            else:
                return value

    def _times(self, one: Expr, two: Expr, sign: str = "") -> Expr:
        """Return the product of two factors, and note the doubt about what kind of product it is."""
        if sign == r"\times" and any(
            factor.has(sympy.I) and other.free_symbols for factor, other in ((one, two), (two, one))
        ):  # i and j
            return cross(one, two) if self._other(VECTOR_PRODUCT) else one * two
        names = [{symbol.name for symbol in factor.free_symbols} for factor in (one, two)]
        if all(names):
            capitals = [set(filter(is_capital, some)) for some in names]
            if all(capitals) and len(set().union(*capitals)) > 1:
                self.doubts.add(MATRICES)
            vectors = all(any(map(self._is_marked, some)) for some in names)
            if (vectors or (sign == r"\times" and may_be_cross(one, two))) and self._other(VECTOR_PRODUCT):
                if sign == r"\times":
                    return cross(one, two)
                if vectors and sign:
                    return dot(one, two)
        return one * two

    def _is_marked(self, name: str) -> bool:
        return is_vector(name) or name in self._bold or name.startswith("cross(")

    def _over(self, top: Expr, bottom: Expr) -> Expr:
        if any(is_capital(symbol.name) for symbol in bottom.free_symbols):
            self.notes.add(DIVIDED)
        return top / bottom

    def _signed_power(self) -> Expr:
        if self.token == "-":
            self.take()
            return -self._power()
        return self._power()

    def _begins_factor(self) -> bool:
        token = self.token
        if token is None or (token == "|" and self._closers[-1:] == ["|"]):
            return False
        if token[0].isdigit() or token[0] == ".":
            raise Unread(f"the number {token} after another factor")
        return token in ("(", "[", "{", "|") or token.isalpha() or self._is_operand(token)

    @staticmethod
    def _is_operand(token: str) -> bool:
        name = token[1:]
        known = (r"\pi", r"\infty", r"\frac", r"\sqrt", r"\binom")
        return token[0] == "\\" and (
            token in GREEK or token in ACCENTS or token in _FLOORS or token in known or name in FUNCTIONS
        )

    def _power(self) -> Expr:
        before = self.at
        base = self._atom()
        return self._raised(base, self.tokens[before : self.at])

    def _raised(self, base: Expr, written: list[str]) -> Expr:
        raised = False
        while self.token in ("^", "!"):
            if self.take() == "!":
                if raised or self.token == "!" or (base.is_Integer and not 0 <= int(base) <= _LARGEST_FACTORIAL):
                    raise Unread("such a factorial")
                base = sympy.factorial(scalar(base))
                continue
            if raised:
                raise Unread("a power of a power without braces")
            if self.token == r"\circ":
                self.take()
                base = base * sympy.pi / 180 if self._degrees else base
                continue
            if sum(is_capital(symbol.name) for symbol in base.free_symbols) > 1:
                self.doubts.add(MATRICES)
            if any(self._is_marked(symbol.name) for symbol in base.free_symbols):
                self.doubts.add(VECTOR_PRODUCT)
            base, raised = base ** self._exponent(base, written), True
        if self.token == "_":
            raise Unread("an index of no symbol")
        return base

    def _exponent(self, base: Expr, written: list[str]) -> Expr:
        begin = self.at
        if self.token == "-":
            exponent = self._signed_power()
        else:
            exponent = self._argument(many_digits=True)
        text = "".join(self.tokens[begin : self.at]).strip("{}")
        letter = "".join(written).islower() and not is_vector(written[0])
        if text in ("T", "H", "c", "C") and not (base.is_number or letter):
            raise Unread(f"a power {text}, which may be a transpose or a complement")
        if re.fullmatch(r"\(\d+\)", text):
            raise Unread("a power in parentheses, which may be a derivative")
        return exponent

    def _argument(self, many_digits: bool = False) -> Expr:
        """Read what a command applies to: a group in braces or one token."""
        token = self.token
        if token == "{":
            return self._group("{", "}")
        if token is not None and token[0].isdigit():
            if not many_digits and len(token) > 1:
                raise Unread(f"{token} without braces")
            return _number(self.take())
        return self._atom()

    def _group(self, opener: str, closer: str) -> Expr:
        self.expect(opener)
        self._closers.append(closer)
        value = self.sum()
        if self.token == r"\choose":
            self.take()
            value = sympy.binomial(scalar(value), scalar(self.sum()))
        self._closers.pop()
        self.expect(closer)
        return value

    def _atom(self) -> Expr:
        token = self.token
        if token in ("(", "[", "{"):
            begin = self.at
            value = self._group(token, {"(": ")", "[": "]", "{": "}"}[token])
            if token == "[" and begin == 0 and self.token is None:
                raise Unread("a value in square brackets, which may be its integer part")
            return value
        if token == "|":
            if self.peek() == "|":
                raise Unread("a norm")
            return sympy.Abs(scalar(self._group("|", "|")))
        if token in _FLOORS:
            closer, function = _FLOORS[token]
            return function(scalar(self._group(token, closer)))
        token = self.take()
        if token[0].isdigit() or token[0] == ".":
            return self._after_number(_number(token))
        name = token[1:]
        if token[0] == "\\" and name in FUNCTIONS:
            return self._function(name)
        if token == r"\frac":
            top = self._argument()
            return self._over(top, self._argument())
        if token == r"\binom":
            top = scalar(self._argument())
            return sympy.binomial(top, scalar(self._argument()))
        if token == r"\sqrt":
            index = self._group("[", "]") if self.token == "[" else Integer(2)
            return root(scalar(self._argument()), index)
        if token == r"\infty":
            return sympy.oo
        if token == r"\pi" and self.token not in ("_", "'"):
            return sympy.pi
        if token.isalpha() or token in GREEK or token in ACCENTS:
            return self._symbol(token)
        raise Unread(f"{token!r}")

    def _after_number(self, number: Expr) -> Expr:
        if self.token in ("'", "_"):
            raise Unread(f"{self.token} after a number")
        if self.token == r"\frac" and number.is_Integer and self.peek() == "{" and (self.peek(2) or "").isdigit():
            raise Unread("a mixed number within a formula")
        return number

    def _symbol(self, token: str) -> Expr:
        """Read a letter with its accent, index and primes, a constant, or a function of what follows in parentheses."""
        name = token
        bold = token == r"\bold"
        if token in ACCENTS:
            inner = self._raw_argument()
            if not re.fullmatch(r"\\?[A-Za-z]+", inner):
                raise Unread(f"{token} of {inner}")
            name = inner if bold else f"{token}{{{inner}}}"
        accented = name
        while self.token == "_" or self.token == "'":
            name += self.take()
            if name[-1] == "_":
                name += "{" + self._raw_argument() + "}"
        inverse = self.tokens[self.at : self.at + 6] == ["^", "{", "-", "1", "}", "("]
        if name == accented and token in MAYBE_OPERATORS and self._begins_symbol() and self._other(OPERATOR):
            return Symbol(f"{name} {self._symbol(self.take())}")
        is_function = name.rstrip("'") in ("f", "g", "h", "F", "G", "H") or name.endswith("'") or inverse
        maybe_function = name[0].isupper() or "_" in name or name in MAYBE_FUNCTIONS or self._before_one_letter(name)
        if inverse:
            self.at += 5
            name += "^{-1}"
        if self.token == "(" and (is_function or (maybe_function and self._other(FUNCTION))):
            return Symbol(f"{name}({self._arguments()})")
        if self.token == "[" and name[-1:].isupper() and self.at > 0 and self._other(FUNCTION):
            return Symbol(f"{name}[{self._group('[', ']')}]")
        constants = {"e": sympy.E, "i": sympy.I}
        if bold:
            return self._vector(name, constants.get(name, Symbol(name)))
        ordered = {GROUP: True, MATRICES: is_capital(name), VECTOR_PRODUCT: is_vector(name)}
        commutes = not any(ordered.get(doubt) for doubt in self._second)
        return constants.get(name, Symbol(name, commutative=commutes))

    def _vector(self, name: str, value: Expr) -> Expr:
        """Return a letter in bold type as the letter, or as a vector of its own. A bold i is no number at all."""
        self._bold.add(name)
        if name == "i":
            self.doubts.add(VECTOR_PRODUCT)
        return Symbol(rf"\bold{{{name}}}", commutative=False) if VECTOR_PRODUCT in self._second else value

    def _begins_symbol(self) -> bool:
        token = self.token or ""
        return token.isalpha() or token in GREEK or token in ACCENTS

    def _before_one_letter(self, name: str) -> bool:
        """Say whether just one letter or number in parentheses follows, as in p(x)."""
        inside = self.peek() or ""
        return (
            self.token == "("
            and self.peek(2) == ")"
            and name not in ("e", "i")
            and (inside.isalpha() or inside in GREEK or inside[:1].isdigit())
        )

    def _raw_argument(self) -> str:
        if self.token != "{":
            token = self.take()
            if len(token) > 1 and token[0].isdigit():
                raise Unread(f"the index {token} without braces")
            return token
        begin, depth = self.at + 1, 0
        while True:
            depth += {"{": 1, "}": -1}.get(self.take(), 0)
            if depth == 0:
                return squeezed("".join(self.tokens[begin : self.at - 1]))

    def _arguments(self) -> str:
        """Read the arguments of an unknown function, in one spelling."""
        self.expect("(")
        self._closers.append(")")
        found = [self.sum()]
        while self.token == ",":
            self.take()
            found.append(self.sum())
        self._closers.pop()
        self.expect(")")
        return ", ".join(str(sympy.expand(value)) for value in found)

    def _function(self, name: str) -> Expr:
        base: Expr | None = None
        if self.token == "_":
            if name != "log":
                raise Unread(f"an index of {name}")
            self.take()
            base = self._base()
        power: Expr | None = None
        if self.token == "^":
            self.take()
            power = -self._argument() if self.token == "-" and self.take() else self._argument(many_digits=True)
        argument = self._function_argument()
        if name == "log" and base is None:
            base = _TEN if self._other(LOGARITHM) else sympy.E
        value = applied(name, argument if name == "exp" else scalar(argument), base, power)
        return value if power is None or power == -1 else value**power

    def _base(self) -> Expr:
        """Read the base of a logarithm. In \\log_23 it is 2, in \\log_10 3 it is 10."""
        token = self.token
        if token is not None and token.isdigit() and len(token) > 1 and not (self.peek() or "").strip("({\\").isalnum():
            self.tokens[self.at : self.at + 1] = [token[0], token[1:]]
        return self._argument(many_digits=True)

    def _function_argument(self) -> Expr:
        """Read what a function applies to: a group, or the factors up to the next sign, function or parenthesis."""
        if self.token in ("(", "[", "{"):
            value = self._atom()
            if self.token in ("^", "!") and self._other(ARGUMENT):
                return self._raised(value, [])
            return value
        value = self._signed_power()
        while self._begins_factor() and str(self.token)[1:] not in FUNCTIONS:
            if self.token in ("(", "[", "|") and not self._other(ARGUMENT):
                return value
            value = value * self._power()
        if self.token in _OVER and (self.peek() or "")[1:] not in FUNCTIONS and self._other(ARGUMENT):
            self.take()
            return value / self._power()
        return value


def _number(token: str) -> Expr:
    return sympy.Rational(token.rstrip(".") if token != "." else "x")
