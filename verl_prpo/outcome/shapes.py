# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The form of an answer: one value, a list or set, a tuple, an interval, a union, a matrix, a ratio, an inequality.

Only answers of one form are compared, part by part: (1, 2) is neither {1, 2} nor [1, 2] nor 12.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from verl_prpo.outcome.latex import commas, connective, squeezed, top_level
from verl_prpo.outcome.numbers import read_number
from verl_prpo.outcome.units import without_unit

VALUE = "value"
UNEQUAL = r"\neq"
SET = "set"
"""Values whose order does not matter, in braces or separated by commas."""

_MATRIX = re.compile(r"\\begin\{([pbvBV]?)(?:small)?matrix\}(.*)\\end\{\1(?:small)?matrix\}", re.DOTALL)
_ARRAY = re.compile(r"[(\[]\s*\\begin\{array\}\{[^{}]*\}(.*)\\end\{array\}\s*[)\]]", re.DOTALL)
_TEXT_LIST = re.compile(r"\\text\{([^{}]*(?:,|\b(?:and|or)\b)[^{}]*)\}")
_RATIO = re.compile(r"[^:]+(?::[^:]+)+")
_RELATIONS = re.compile(r"(\\le(?![A-Za-z])|\\ge(?![A-Za-z])|<|>)")
_MIRRORED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}
_EMPTY = re.compile(
    r"\\emptyset|\\text\{\s*(?:the\s+)?(?:empty|null)\s+set\s*\}|(?:the )?(?:empty|null) set", re.IGNORECASE
)
_REALS = re.compile(
    r"\\mathbb\{R\}|(?:\\text\{)?\s*(?:the set of )?all real(?:s| numbers)\s*\}?",
    re.IGNORECASE,
)
_HALF_LINE = re.compile(
    r"\\mathbb\{R\}\s*(?:[\^_]\s*\{?\s*(?P<sign>[+-])\s*\}?|_\s*\{\s*(?P<order>(?:<|>|\\le|\\ge)\s*)0\s*\})"
)
_HALF_LINES = {
    "+": r"(0, \infty)",
    ">": r"(0, \infty)",
    r"\ge": r"[0, \infty)",
    "-": r"(-\infty, 0)",
    "<": r"(-\infty, 0)",
    r"\le": r"(-\infty, 0]",
}
_REALS_WITHOUT = re.compile(
    r"\\mathbb\{R\}\s*(?:\\setminus|\\backslash|-)\s*\\\{(?P<points>[^{}]*(?:\{[^{}]*\}[^{}]*)*)\\\}"
)
_DEEPEST = 6
_MOST_PARTS = 100


@dataclass(frozen=True)
class Shape:
    """A form and its parts.

    Attributes:
        kind: name of the form. Forms of equal kinds can be compared.
        parts: shapes within it. A value has none.
        text: the cleaned text of a value.
        connective: "and" or "or" where one of them joins the parts of a list.
    """

    kind: str
    parts: tuple["Shape", ...] = ()
    text: str = ""
    connective: str = ""


def is_relation(shape: Shape) -> bool:
    """Say whether a form is an inequality."""
    return bool(_RELATIONS.match(shape.kind))


def joined(shape: Shape) -> Shape:
    """Join two inequalities that `and` joins at a common side into a chain, as -1 < x and x < 4.

    Other forms stay as they are.
    """
    if shape.kind != SET or shape.connective != "and" or len(shape.parts) != 2:
        return shape
    for one, two in (shape.parts, shape.parts[::-1]):
        if all(part.kind in ("<", r"\le") for part in (one, two)) and _same_text(one.parts[1], two.parts[0]):
            return Shape(f"{one.kind} {two.kind}", (*one.parts, two.parts[1]))
    return shape


def _same_text(one: Shape, two: Shape) -> bool:
    return one.kind == two.kind == VALUE and squeezed(one.text) == squeezed(two.text)


def read_shape(text: str, depth: int = 0) -> Shape:
    """Read the form of a cleaned text.

    Raises:
        ValueError: the text is nested too deep or has too many parts.
    """
    if depth > _DEEPEST:
        raise ValueError("an answer nested too deep")
    text = text.strip()
    for reader in (_named_set, _matrix, _union, _bracketed, _unequal, _list, _either_sign, _chain, _ratio):
        found = reader(text, depth)
        if found is not None:
            if len(found.parts) > _MOST_PARTS:
                raise ValueError("an answer of too many parts")
            return found
    return Shape(VALUE, text=text)


def _parts(kind: str, texts: list[str], depth: int) -> Shape:
    return Shape(kind, tuple(read_shape(text, depth + 1) for text in texts))


def _named_set(text: str, depth: int) -> Shape | None:
    """Read the empty set and the real numbers, whatever they are called."""
    if _EMPTY.fullmatch(text):
        return Shape(SET)
    if _REALS.fullmatch(text):
        return read_shape(r"(-\infty, \infty)", depth + 1)
    half = _HALF_LINE.fullmatch(text)
    if half is not None:
        signs = half["sign"] or half["order"].replace(" ", "")
        return read_shape(_HALF_LINES[signs], depth + 1)
    without = _REALS_WITHOUT.fullmatch(text)
    if without is None:
        return None
    numbers = [read_number(point) for point in top_level(without["points"], ",")]
    if any(number is None or number.percent for number in numbers):
        return None
    points = sorted({number.value for number in numbers if number is not None})
    ends = [r"-\infty", *map(_fraction, points), r"\infty"]
    return read_shape(r"\cup".join(f"({low}, {high})" for low, high in pairwise(ends)), depth + 1)


def _fraction(value: Fraction) -> str:
    sign = "-" if value < 0 else ""
    return rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}" if value.denominator > 1 else str(value)


def _matrix(text: str, depth: int) -> Shape | None:
    found = _MATRIX.fullmatch(text)
    array = _ARRAY.fullmatch(text) if found is None else None
    if found is None and array is None:
        return None
    brackets, inner = (found[1], found[2]) if found is not None else ("", array[1] if array is not None else "")
    if r"\begin" in inner:
        return None
    rows = [row.split("&") for row in re.split(r"\\\\(?:\[[^\]]*\])?", inner) if row.strip()]
    kind = "determinant" if brackets in ("v", "V") else "matrix"
    size = "x".join([str(len(rows)), *sorted({str(len(row)) for row in rows})])
    return _parts(f"{kind} {size}", [cell for row in rows for cell in row], depth)


def _union(text: str, depth: int) -> Shape | None:
    parts = top_level(text.replace(r"\cup", "\0"), "\0")
    # Brackets of half-open intervals do not balance in kind, only in number. That is enough for top_level.
    return _parts("union", parts, depth) if len(parts) > 1 else None


def _bracketed(text: str, depth: int) -> Shape | None:
    braces = text.startswith(r"\{") and text.endswith(r"\}")
    inner = text[2:-2] if braces else text[1:-1]
    if not braces and (text[:1] not in ("(", "[") or text[-1:] not in (")", "]")):
        return None
    if not _balanced(inner):
        return None
    parts = [part for part in top_level(inner, ",;") if part.strip()]
    if braces:
        return _parts(SET, parts, depth)
    kind = text[0] + text[-1]
    if len(parts) > 1:
        return _parts(kind, parts, depth)
    return read_shape(inner, depth + 1) if kind == "()" and parts and not re.fullmatch(r"[A-Za-z]", inner) else None


def _balanced(inner: str) -> bool:
    """Say whether the brackets of a text balance, and none closes one that the text does not open."""
    depth = 0
    for character in inner:
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:
            return False
    return depth == 0


def _unequal(text: str, depth: int) -> Shape | None:
    """Read what a value is not: x \\neq 5, and x \\neq 2, 3 as a list of such."""
    sides = [side.strip() for side in re.split(r"\\neq(?![A-Za-z])", text)]
    if len(sides) == 1 or not all(sides) or re.search(r"[=<>]|\\(?:le|ge|in|cup)(?![A-Za-z])|:|\|", text):
        return None
    parts = [part.strip() for part in top_level(commas(text), ",;") if part.strip()]
    if len(parts) == 1:
        return _parts(UNEQUAL, sides, depth) if len(sides) == 2 else None
    label = sides[0]
    if not parts[0].startswith(label):
        return None
    wholes = [part if r"\neq" in part else rf"{label} \neq {part}" for part in parts]
    return Shape(SET, _parts(SET, wholes, depth).parts, connective=connective(text) or "and")


def _list(text: str, depth: int) -> Shape | None:
    if read_number(without_unit(text)[0]) is not None:  # $10,080
        return None
    words = _TEXT_LIST.fullmatch(text)
    parts = [part for part in top_level(commas(words[1] if words else text), ",;") if part.strip()]
    if words is not None:
        parts = [f"\\text{{{part.strip()}}}" for part in parts]
    if len(parts) < 2:
        return None
    return Shape(SET, _parts(SET, parts, depth).parts, connective=connective(text))


def _either_sign(text: str, depth: int) -> Shape | None:
    if len(re.findall(r"\\[pm][mp](?![A-Za-z])", text)) != 1:
        return None
    signs = [re.sub(r"\\(?:pm|mp)(?![A-Za-z])\s*", sign, text) for sign in ("+", "-")]
    return _parts(SET, [re.sub(r"^\+", "", sign) for sign in signs], depth)


def _chain(text: str, depth: int) -> Shape | None:
    """Read an inequality, from its smaller to its larger side."""
    pieces = _RELATIONS.split(text)
    sides, relations = pieces[::2], pieces[1::2]
    if not relations or not all(side.strip() for side in sides):
        return None
    if all(relation in (">", r"\ge") for relation in relations):
        sides, relations = sides[::-1], [_MIRRORED[relation] for relation in relations[::-1]]
    return _parts(" ".join(relations), sides, depth)


def _ratio(text: str, depth: int) -> Shape | None:
    if not _RATIO.fullmatch(text) or len(text) > 60:
        return None
    texts = text.split(":")
    return _parts(f"ratio of {len(texts)}", texts, depth)
