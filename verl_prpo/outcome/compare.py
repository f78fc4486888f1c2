# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Decide whether an answer equals the ground truth, part by part: by form, words, units, numbers and algebra.

A general checker takes a list for a tuple, 3.141593 for pi, "2 3" for 5, 2516_8 for 2516, ABCD for CBAD and f' for f.
Here a form is only compared with the same form, and a value only when all of it is understood.
"""

import re
from fractions import Fraction
from itertools import accumulate

from verl_prpo.outcome.assignments import as_tuple, read_assignments
from verl_prpo.outcome.choices import Choice, lone_letter, read_choice
from verl_prpo.outcome.dates import read_clock, read_date, same_time
from verl_prpo.outcome.labels import Statement, is_approximate, is_label, names_quantity, read_statement, without_label
from verl_prpo.outcome.latex import Unread, clean, commas, squeezed, top_level
from verl_prpo.outcome.leads import without_lead
from verl_prpo.outcome.number_words import in_digits
from verl_prpo.outcome.numbers import Number, read_based, read_number
from verl_prpo.outcome.quantities import in_one_unit
from verl_prpo.outcome.shapes import SET, UNEQUAL, VALUE, Shape, is_relation, joined, read_shape
from verl_prpo.outcome.units import Unit, without_unit
from verl_prpo.outcome.words import is_word, letters

LONGEST = 1000
"""The most characters that an answer may have to be compared at all."""

_MOST_SIDES = 6
_DEEPEST = 40
"""The most brackets within brackets. A deeper text is no answer."""


_LETTER = re.compile(r"(?<![A-Za-z\\])[a-df-hj-zA-Z](?![A-Za-z])")
"""A letter that may be an unknown."""
_INDEX = re.compile(r"_(?:\{[^{}]*\}|\w)$")
_SCIENTIFIC = re.compile(r"(?P<number>-?\d+)[eE](?P<power>[-+]\d{1,3})")


def equal(answer: str, truth: str) -> bool:
    """Decide whether two LaTeX texts stand for the same answer.

    It may take arbitrarily long, so run it where it can be killed.

    Args:
        answer: the answer that a response gives.
        truth: the ground truth that it is compared with. The comparison is not symmetric.

    Raises:
        Unread: they differ as texts, and a part that matters is in no known notation.
        ValueError: the answer is nested too deep or has too many parts.
        RecursionError, MemoryError: SymPy finds that the answer is nested too deep or too large.
    """
    one, two = clean(answer), clean(truth)
    if _depth(one) > _DEEPEST:
        raise ValueError("an answer nested too deep")
    if not one or not two:
        return False
    if squeezed(one) == squeezed(two):
        return True
    return _equal_answers(one, two)


def _equal_answers(one: str, two: str) -> bool:
    """Compare two cleaned texts: choices first, then dates, words and quantities, assignments, and the form for the
    rest.
    """
    choice, true_choice = read_choice(one), read_choice(two)
    if choice is not None or true_choice is not None:
        return _equal_choices(one, choice, two, true_choice)
    date, true_date = read_date(one), read_date(two)
    if date is not None and true_date is not None:
        return date == true_date
    clock, true_clock = read_clock(one), read_clock(two)
    if clock is not None and true_clock is not None and (clock[2] or true_clock[2]):
        return same_time(clock, true_clock)
    one, two = (in_digits(in_one_unit(without_lead(text))) for text in (one, two))
    assigned, true_assigned = read_assignments(one), read_assignments(two)
    if assigned is not None or true_assigned is not None:
        same = _equal_assignments(one, assigned, two, true_assigned)
        if same is not None:
            return same
    if (is_approximate(one) or is_approximate(two)) and not any(len(top_level(commas(t), ",")) > 1 for t in (one, two)):
        return _equal_statements(one, two)
    return _equal_shapes(_shape(one, two), _shape(two, one), outermost=True)


def _equal_choices(one: str, choice: Choice | None, two: str, true_choice: Choice | None) -> bool:
    """Compare choices by their letters where both have one, and by their values where both have those."""
    letter, true_letter = (c.letter if c else lone_letter(text) for c, text in ((choice, one), (true_choice, two)))
    value = choice.value if choice else None if letter else one
    true_value = true_choice.value if true_choice else None if true_letter else two
    if letter and true_letter and letter != true_letter:
        return False
    if value is None or true_value is None:
        return letter is not None and letter == true_letter
    return equal(value, true_value)


def _equal_assignments(
    one: str, assigned: dict[str, str] | None, two: str, true_assigned: dict[str, str] | None
) -> bool | None:
    """Compare values for the same unknowns, or such values with a tuple. None means that this decides nothing."""
    if assigned is not None and true_assigned is not None:
        if assigned.keys() != true_assigned.keys():
            return None
        names = list(true_assigned)
        return _equal_in_order(*(tuple(read_shape(some[name]) for name in names) for some in (assigned, true_assigned)))
    given, text = (assigned, two) if assigned is not None else (true_assigned, one)
    shape = read_shape(text)
    if given is None or shape.kind not in ("()", SET) or len(shape.parts) != len(given):
        return None
    values = tuple(read_shape(value) for value in as_tuple(given))
    if shape.kind == SET:
        if true_assigned is not None or "=" in text or len({_INDEX.sub("", name) for name in given}) == 1:
            return None
        if not _equal_in_order(values, shape.parts) and _equal_in_any_order(values, shape.parts):
            raise Unread("which of the values belongs to which unknown")
        return None
    return _equal_in_order(values, shape.parts) if assigned is not None else _equal_in_order(shape.parts, values)


def _depth(text: str) -> int:
    return max(accumulate((c in "([{") - (c in ")]}") for c in text), default=0)


def _shape(text: str, other: str) -> Shape:
    """Read the form of a text. A label such as `x =` or `x \\in` is left out where the other text has none."""
    rest = without_label(text)
    if rest != text and without_label(other) == other and "=" not in rest and "=" not in other:
        text = rest
    return read_shape(text)


def _equal_shapes(answer: Shape, truth: Shape, outermost: bool = False) -> bool:
    """Decide whether two forms are equal. Only the outermost set of one value counts as the value as well."""
    if answer.kind != truth.kind:
        answer, truth = joined(answer), joined(truth)
    if SET in (answer.kind, truth.kind):
        if answer.kind != truth.kind and not (outermost and {answer.kind, truth.kind} == {SET, VALUE}):
            return False
        one = answer.parts if answer.kind == SET else (answer,)
        two = truth.parts if truth.kind == SET else (truth,)
        same = _equal_in_order(one, two) if _order_matters(answer, truth) else _equal_in_any_order(one, two)
        if same and answer.connective != truth.connective and _connective_matters(answer, truth):
            raise Unread("what is joined in different ways")
        return same
    if answer.kind == truth.kind and truth.kind in ("union", UNEQUAL):
        return _equal_in_any_order(answer.parts, truth.parts)
    if answer.kind != truth.kind:
        return False
    if answer.kind == VALUE:
        return equal_values(answer.text, truth.text)
    if answer.kind in ("<", r"\le"):
        return _equal_inequalities(answer, truth)
    return _equal_in_order(answer.parts, truth.parts)


def _connective_matters(answer: Shape, truth: Shape) -> bool:
    """Say whether it matters that one list is joined by `and` and the other by `or`.

    It matters for inequalities, and for words where both lists have such a word between their parts. It does not matter
    for solutions.
    """
    words = answer.connective and truth.connective and any(is_word(part.text) for part in truth.parts)
    return bool(words) or any(is_relation(part) or part.kind == UNEQUAL for part in truth.parts)


def _order_matters(answer: Shape, truth: Shape) -> bool:
    """Say whether a list is of words, or of labelled values that the answer gives without their labels."""
    words = all(len(letters(part.text) or "") > 1 and is_word(part.text) for part in truth.parts)
    labels = sum("=" in part.text for part in truth.parts) > sum("=" in part.text for part in answer.parts)
    return bool(truth.parts) and (words or labels) and not _one_label(truth)


def _one_label(truth: Shape) -> bool:
    """Say whether all parts are solutions for one unknown, such as x=2 or x=3."""
    labels = {squeezed(part.text.partition("=")[0]) for part in truth.parts if "=" in part.text}
    return len(labels) == 1 and len(truth.parts) > 1 and all("=" in part.text for part in truth.parts)


def _equal_in_order(one: tuple[Shape, ...], two: tuple[Shape, ...]) -> bool:
    if len(one) != len(two):
        return False
    unread = None
    for a, b in zip(one, two, strict=True):
        try:
            if not _equal_shapes(a, b):
                return False
        except Unread as error:
            unread = error
    if unread is not None:
        raise unread
    return True


def _equal_in_any_order(one: tuple[Shape, ...], two: tuple[Shape, ...]) -> bool:
    if len(one) != len(two):
        return False
    left, unread = list(two), None
    for part in sorted(one, key=lambda part: part not in two):  # those that are the same first
        match = left.index(part) if part in left else None
        for at, other in enumerate(left) if match is None else ():
            try:
                if _equal_shapes(part, other):
                    match = at
                    break
            except Unread as error:
                unread = error
        if match is None:
            if unread is not None:
                raise unread
            return False
        del left[match]
    return True


def _equal_inequalities(answer: Shape, truth: Shape) -> bool:
    """Compare two inequalities: equal sides, or the same difference of sides, such as x - 2 < 0 and x < 2."""
    unread = None
    try:
        if _equal_in_order(answer.parts, truth.parts):
            return True
    except Unread as error:
        unread = error
    if unread is not None or any(part.kind != VALUE for part in (*answer.parts, *truth.parts)):
        if unread is not None:
            raise unread
        return False
    from verl_prpo.outcome.symbolic import same_difference

    (low, high), (true_low, true_high) = ([part.text for part in shape.parts] for shape in (answer, truth))
    return same_difference((low, high), (true_low, true_high))


def equal_values(answer: str, truth: str) -> bool:
    """Decide whether two texts without outer form stand for one value."""
    if squeezed(answer) == squeezed(truth):
        return True
    if is_word(answer) or is_word(truth):
        return letters(answer) is not None and letters(answer) == letters(truth)
    if is_approximate(answer) or is_approximate(truth):
        return _equal_statements(answer, truth)
    if len(top_level(answer, "=")) > 1 or len(top_level(truth, "=")) > 1:
        return _equal_equations(answer, truth)
    (answer, unit), (truth, true_unit) = without_unit(answer), without_unit(truth)
    if unit == true_unit:
        return _equal_unitless(answer, truth)
    if unit is None or true_unit is None:
        same = _equal_unitless(answer, truth)
        if same and (answer if unit is None else truth).endswith("%"):
            raise Unread("a percentage and a unit")
        return same
    if unit.dimensions != true_unit.dimensions:
        if (unit.known and true_unit.known) or not _equal_unitless(answer, truth):
            return False
        raise Unread("units that are not known to be the same")
    return _equal_unitless(_scaled(answer, unit), _scaled(truth, true_unit))


def _scaled(text: str, unit: Unit) -> str:
    number = read_number(text)
    if number is not None:
        value = number.value * unit.factor
        return f"{value.numerator}/{value.denominator}" if value.denominator > 1 else str(value.numerator)
    return rf"\frac{{{unit.factor.numerator}}}{{{unit.factor.denominator}}}({text})"


def _equal_unitless(answer: str, truth: str) -> bool:
    based, true_based = read_based(answer), read_based(truth)
    if based is not None or true_based is not None:
        return based == true_based
    number, true_number = read_number(answer), read_number(truth)
    if number is not None and true_number is not None:
        return number.equals(true_number)
    if squeezed(answer) == squeezed(truth):
        return bool(answer)
    from verl_prpo.outcome.symbolic import same_value

    same = same_value(_algebraic(answer, number), _algebraic(truth, true_number))
    powers, true_powers = _power_of_ten(answer), _power_of_ten(truth)
    if not same and (powers != answer or true_powers != truth) and _equal_unitless(powers, true_powers):
        raise Unread("5e-3, a power of ten or a multiple of Euler's number")
    return same


def _power_of_ten(text: str) -> str:
    """Write 5e-3 as 5 \\cdot 10^{-3}, and leave other texts as they are."""
    found = _SCIENTIFIC.fullmatch(text)
    return text if found is None else rf"{found['number']} \cdot 10^{{{int(found['power'])}}}"


def _algebraic(text: str, number: Number | None) -> str:
    """Write a number in one spelling for algebra, such as a mixed one or a repeating decimal. Other texts stay as they
    are.
    """
    if number is None or number.percent:
        return text
    value = abs(number.value)
    sign = "-" if number.value < 0 else ""
    return sign + (str(value) if value.denominator == 1 else rf"\frac{{{value.numerator}}}{{{value.denominator}}}")


def _equal_statements(answer: str, truth: str) -> bool:
    """Compare texts of which one approximates: `x = \\frac{2}{3} \\approx 0.67` is 2/3, and is 0.67."""
    one, two = read_statement(answer), read_statement(truth)
    if one.label is not None and two.label is not None and not _same_label(one.label, two.label):
        return False
    if not _agree(one):
        return False
    unread = None
    for value in one.values:
        for other in two.values:
            try:
                if _equal_shapes(read_shape(value), read_shape(other), outermost=True):
                    return True
            except Unread as error:
                unread = error
    if unread is not None:
        raise unread
    return False


def _same_label(one: str, two: str) -> bool:
    return squeezed(one) == squeezed(two) or _equal_texts(one, two)


def _agree(statement: Statement) -> bool:
    """Say whether every later value is the first one, rounded to as many digits as it gives."""
    from verl_prpo.outcome.symbolic import value_of

    if len(statement.values) == 1:
        return True
    first, *others = (without_unit(value)[0] for value in statement.values)
    number = read_number(first)
    exact = value_of(first) if number is None else number.value
    for text in others:
        rounded = read_number(text)
        if rounded is None:
            raise Unread(f"the approximation {text!r}")
        part = text.partition(".")[2]
        if abs(rounded.value - exact) > max(Fraction(1, 10 ** len(part)), abs(exact) / 200):
            return False
    return True


def _equal_equations(answer: str, truth: str) -> bool:
    """Compare texts of which at least one has an equals sign.

    They are equations, or values after a label or at the end of a chain. All sides of a chain must be the same value
    (0.56 = 56%).
    """
    sides, true_sides = ([side.strip() for side in top_level(text, "=")] for text in (answer, truth))
    if not all(sides) or not all(true_sides) or max(len(sides), len(true_sides)) > _MOST_SIDES:
        return False
    if len(sides) == 2 and is_label(sides[1]) and not is_label(sides[0]):  # 5 = x
        sides = sides[::-1]
    labels, true_labels = (sum(map(is_label, some[:-1])) for some in (sides, true_sides))
    if labels < len(sides) - 1 and len(true_sides) == 2 and not _is_number(true_sides[0]):
        return _same_equation(sides, true_sides)
    if labels and true_labels:
        if not _same_label(sides[0], true_sides[0]):
            return _same_equation(sides, true_sides)
    elif len(true_sides) > 1 and not true_labels and not all(map(_is_number, true_sides)):
        return _same_equation(sides, true_sides)
    if len(true_sides) == 1 and len(sides) == 2 and not labels and not _LETTER.search(true_sides[0]):
        asked = names_quantity(sides[0])
        if asked is None and _equal_texts(sides[-1], true_sides[-1]):
            raise Unread("an equation of several unknowns, or what they come to")
        sides = sides[1:] if asked else sides
    values = [side for side in sides[:-1] if not is_label(side)] + sides[-1:]
    return all(_equal_texts(value, true_sides[-1]) for value in values)


def _same_equation(sides: list[str], true_sides: list[str]) -> bool:
    if len(sides) != 2 or len(true_sides) != 2:
        return False
    from verl_prpo.outcome.symbolic import same_equation

    return same_equation((sides[0], sides[1]), (true_sides[0], true_sides[1]))


def _equal_texts(answer: str, truth: str) -> bool:
    return _equal_shapes(read_shape(answer), read_shape(truth), outermost=True)


def _is_number(text: str) -> bool:
    return read_number(without_unit(text)[0]) is not None
