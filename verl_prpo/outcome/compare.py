# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Does an answer equal the ground truth, decided part by part; values that are no plain numbers are math-verify's.

math-verify alone takes a list for a tuple, 3.141593 for pi, "2 3" for 5, 2516_8 for 2516, ABCD for CBAD and any two
equations without real solutions for each other. What it is given here is one value a time, free of units, decimals
written as fractions, and equations are compared as such.
"""

import re
from itertools import accumulate

from verl_prpo.outcome.latex import clean, commas, squeezed, top_level
from verl_prpo.outcome.numbers import read_based, read_number
from verl_prpo.outcome.shapes import SET, VALUE, Shape, read_shape
from verl_prpo.outcome.units import without_unit

LONGEST = 1000
"""Most characters of an answer that is compared at all."""

_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_LABEL = re.compile(r"(?:\\text\{[^{}]*\}|\\?[A-Za-z]|_\{\w+\}|_\w|\^\{-1\}|[(),'\s|])+")
_WORDS = re.compile(r"[A-Za-z][A-Za-z0-9 ,.'/&-]*")
_MOST_SIDES = 6
_DEEPEST = 40
"""Brackets within brackets; the LaTeX parser takes exponentially long for some."""


def equal(answer: str, truth: str) -> bool:
    """Whether two LaTeX texts stand for the same answer.

    May take arbitrarily long: run it where it can be killed.

    Args:
        answer: what a response gives.
        truth: what it is held against; the comparison is not symmetric.

    Raises:
        ValueError: the answer is nested too deep or has too many parts.
        RecursionError, MemoryError: likewise, as SymPy finds out.
    """
    one, two = clean(answer), clean(truth)
    if _depth(one) > _DEEPEST:
        raise ValueError("an answer nested too deep")
    if not one or not two:
        return False
    if squeezed(one) == squeezed(two):
        return True
    one, *_ = _approximations(one)
    return any(_equal_shapes(_shape(one, other), _shape(other, one)) for other in _approximations(two))


def _depth(text: str) -> int:
    return max(accumulate((c in "([{") - (c in ")]}") for c in text), default=0)


def _approximations(text: str) -> list[str]:
    """What a text gives as the same value, such as 2/3 and 0.67."""
    parts = [part.strip() for part in re.split(r"\\approx(?![A-Za-z])|~", text)]
    return [part for part in parts if part] or [text]


def _shape(text: str, other: str) -> Shape:
    """The form of a text; a label such as `x =` or `x \\in` before it is left out where the other text has none."""
    rest = _without_label(text)
    if rest != text and _without_label(other) == other and "=" not in rest and "=" not in other:
        text = rest
    return read_shape(text)


def _without_label(text: str) -> str:
    found = re.match(r"([^=]{1,60}?)(?:=|\\in(?![A-Za-z]))(.*)", text, re.DOTALL)
    return found[2].strip() if found is not None and _is_label(found[1]) else text


def _is_label(text: str) -> bool:
    """Whether a text only names something: x, AB, f(x), (x, y), but not 2x or x + y."""
    return _LABEL.fullmatch(text.strip()) is not None and re.search(r"[A-Za-z]", text) is not None


def _equal_shapes(answer: Shape, truth: Shape) -> bool:
    if SET in (answer.kind, truth.kind) and {answer.kind, truth.kind} <= {SET, VALUE}:
        one = answer.parts if answer.kind == SET else (answer,)
        two = truth.parts if truth.kind == SET else (truth,)
        ordered = _order_matters(answer, truth)
        return _equal_in_order(one, two) if ordered else _equal_in_any_order(one, two)
    if answer.kind == truth.kind == "union":
        return _equal_in_any_order(answer.parts, truth.parts)
    if answer.kind != truth.kind:
        return False
    if answer.kind == VALUE:
        return equal_values(answer.text, truth.text)
    if answer.kind in ("<", r"\le"):
        return _equal_inequalities(answer, truth)
    return _equal_in_order(answer.parts, truth.parts)


def _order_matters(answer: Shape, truth: Shape) -> bool:
    """Whether a list is of words, or of labelled values that the answer gives without their labels."""
    words = all(len(_letters(part.text) or "") > 1 and is_word(part.text) for part in truth.parts)
    labels = sum("=" in part.text for part in truth.parts) > sum("=" in part.text for part in answer.parts)
    return bool(truth.parts) and (words or labels)


def _equal_in_order(one: tuple[Shape, ...], two: tuple[Shape, ...]) -> bool:
    return len(one) == len(two) and all(_equal_shapes(a, b) for a, b in zip(one, two, strict=True))


def _equal_in_any_order(one: tuple[Shape, ...], two: tuple[Shape, ...]) -> bool:
    if len(one) != len(two):
        return False
    left = list(two)
    for part in one:
        match = next((at for at, other in enumerate(left) if _equal_shapes(part, other)), None)
        if match is None:
            return False
        del left[match]
    return True


def _equal_inequalities(answer: Shape, truth: Shape) -> bool:
    """Of two sides: equal sides, or the same difference of sides, such as x - 2 < 0 and x < 2."""
    if _equal_in_order(answer.parts, truth.parts):
        return True
    if any(part.kind != VALUE for part in (*answer.parts, *truth.parts)):
        return False
    from verl_prpo.outcome.symbolic import same_difference

    (low, high), (true_low, true_high) = ([part.text for part in shape.parts] for shape in (answer, truth))
    return same_difference((low, high), (true_low, true_high))


def equal_values(answer: str, truth: str) -> bool:
    """Whether two texts without outer form stand for one value."""
    if squeezed(answer) == squeezed(truth):
        return True
    if is_word(answer) or is_word(truth):
        return _letters(answer) is not None and _letters(answer) == _letters(truth)
    if len(top_level(answer, "=")) > 1 or len(top_level(truth, "=")) > 1:
        return _equal_equations(answer, truth)
    (answer, unit), (truth, true_unit) = without_unit(answer), without_unit(truth)
    if unit is not None and true_unit is not None and unit != true_unit:
        return False
    based, true_based = read_based(answer), read_based(truth)
    if based is not None or true_based is not None:
        return based == true_based
    number, true_number = read_number(answer), read_number(truth)
    if number is not None and true_number is not None:
        return number.equals(true_number)
    if squeezed(answer) == squeezed(truth):
        return bool(answer)
    from verl_prpo.outcome.symbolic import same_value

    return same_value(answer, truth)


def _equal_equations(answer: str, truth: str) -> bool:
    """Where the answer or the truth has an equals sign: equations, or values behind a label or at the end of a chain,
    of which all sides must then be the same value (0.56 = 56%)."""
    sides, true_sides = ([side.strip() for side in top_level(text, "=")] for text in (answer, truth))
    if not all(sides) or not all(true_sides) or max(len(sides), len(true_sides)) > _MOST_SIDES:
        return False
    labels, true_labels = (sum(map(_is_label, some[:-1])) for some in (sides, true_sides))
    if labels < len(sides) - 1 and len(true_sides) == 2 and not _is_number(true_sides[0]):
        from verl_prpo.outcome.symbolic import same_equation

        return len(sides) == 2 and same_equation((sides[0], sides[1]), (true_sides[0], true_sides[1]))
    if labels and true_labels:
        if not _equal_texts(sides[0], true_sides[0]):
            if len(sides) != 2 or len(true_sides) != 2:
                return False
            from verl_prpo.outcome.symbolic import same_equation

            return same_equation((sides[0], sides[1]), (true_sides[0], true_sides[1]))
    elif len(true_sides) > 1 and not true_labels and not all(map(_is_number, true_sides)):
        from verl_prpo.outcome.symbolic import same_equation

        return len(sides) == len(true_sides) == 2 and same_equation(
            (sides[0], sides[1]), (true_sides[0], true_sides[1])
        )
    values = [side for side in sides[:-1] if not _is_label(side)] + sides[-1:]
    return all(_equal_texts(value, true_sides[-1]) for value in values)


def _equal_texts(answer: str, truth: str) -> bool:
    return _equal_shapes(read_shape(answer), read_shape(truth))


def _is_number(text: str) -> bool:
    return read_number(without_unit(text)[0]) is not None


def is_word(text: str) -> bool:
    """Whether an answer is surely text (`\\text{Friday}`, `(C)`, `CBAD`, `even`) and not a product such as xy."""
    letters = _letters(text)
    if letters is None:
        return False
    text = text.strip()
    if not text.isalpha():
        return True
    return len(text) > 3 or (len(text) > 1 and not text.islower())


def _letters(text: str) -> str | None:
    """A text answer in lower case without spaces, brackets and text commands; None if it is no text."""
    bare = _TEXT.sub(r"\1", text).strip().strip("()").strip(" .,")
    if not _WORDS.fullmatch(bare) or (re.search(r"[\d/]", bare) and r"\text" not in text):
        return None
    if re.search(r"[-'&]", bare) and r"\text" not in text:
        return None
    return re.sub(r"[\s,]+", "", commas(bare)).casefold()
