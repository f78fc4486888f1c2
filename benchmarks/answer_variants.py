# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Ground truths, answers that are wrong beside them, and other ways to write them; for `benchmarks/verifier.py`.

Every variant is right or wrong by how it is made, and no verifier is asked. A digit, a sign, an exponent, an operator,
a unit, a bracket, an order, a name or a mark is changed, and only where that changes the answer: not in binomials, in
angles of functions, in factors of 0 or in powers of 1.
"""

import random
import re
from collections.abc import Callable, Iterator
from fractions import Fraction

Change = Callable[[str, random.Random], str | None]

_PLAIN = re.compile(r"-?\d+")
_NUMBER = re.compile(r"-?(?:\d+(?:\.\d+)?|\\frac\{\d+\}\{\d+\})")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+")
_FRACTION = re.compile(r"(-?)\\[dt]?frac\{(\d+)\}\{(\d+)\}")
_DELICATE = re.compile(
    r"binom|choose|sin|cos|tan|sec|csc|cot|\||lfloor|lceil|\bmod|(?<![\d.])0(?![\d.])|(?<!\d)1\^|\\text|!"
)
"""Where a changed digit or sign need not change the value."""
_LISTED = re.compile(r"[,;=<>]|\\(?:cup|le|ge|pm|text|begin|in|approx|mbox|circ|%|\$)|:|_")
"""What makes a text more than one value."""
_TUPLE = re.compile(r"\((-?\d+),\s*(-?\d+)((?:,\s*-?\d+)*)\)")
_INTERVAL = re.compile(r"([(\[])([^()\[\],]*),([^()\[\],]*)([)\]])")
_UNIT = re.compile(r"(-?\d+(?:\.\d+)?)\s*\\text\{ *(cm|m|km|feet|inches|hours|minutes|miles|pounds|dollars|days)\}")
_UNKNOWN = ("apples", "oranges", "marbles", "tickets", "pages")
_UNITS = ("cm", "m", "feet", "hours", "pounds", "dollars", "square cm", "cubic m")


def built_in_truths(seed: int, count: int) -> list[str]:
    """Ground truths of many forms, for those who have no data."""
    draw = random.Random(seed)
    n = lambda low=2, high=99: draw.randint(low, high)  # noqa: E731
    forms: list[Callable[[], str]] = [
        lambda: str(n(10, 9999)),
        lambda: f"-{n()}",
        lambda: rf"\frac{{{n()}}}{{{draw.choice((3, 7, 11, 13, 16, 25, 40))}}}",
        lambda: f"{n()}.{n(11, 99)}",
        lambda: rf"{n()}\sqrt{{{draw.choice((2, 3, 5, 6, 7))}}}",
        lambda: rf"{n()} + {n()}\sqrt{{{draw.choice((2, 3, 5))}}}",
        lambda: rf"\frac{{{n()}\pi}}{{{draw.choice((3, 7, 8))}}}",
        lambda: f"{n()}x^{n(2, 5)} - {n()}x + {n()}",
        lambda: f"(x + {n(2, 9)})(x - {n(11, 19)})",
        lambda: f"({n()}, -{n()})",
        lambda: f"({n()}, {n(100, 120)}, {n(200, 220)})",
        lambda: f"[{n()}, {n(100, 120)})",
        lambda: rf"(-\infty, {n()}) \cup ({n(100, 120)}, \infty)",
        lambda: rf"\{{{n(2, 9)}, {n(11, 19)}, {n(21, 29)}\}}",
        lambda: f"{n(2, 9)}, {n(11, 19)}",
        lambda: f"{n()} + {n()}i",
        lambda: rf"{n()}\text{{ {draw.choice(('cm', 'feet', 'hours', 'apples', 'square units'))}}}",
        lambda: rf"\begin{{pmatrix}} {n()} & {n()} \\ -{n()} & {n()} \end{{pmatrix}}",
        lambda: f"y = {n()}x + {n()}",
        lambda: f"{n(11, 99)}_{{{draw.choice((11, 12, 16))}}}",
        lambda: f"x > {n()}",
        lambda: rf"\text{{({draw.choice('ABCDE')})}}",
        lambda: draw.choice(
            ("\\pi r^2", "f(x)", "A", "\\gamma^2", "f'(x)", "\\lambda", "n(n + 1)", "\\emptyset", "e^2", "A^{-1}")
        ),
    ]
    return [forms[at % len(forms)]() for at in range(count)]


def _one_digit(truth: str, draw: random.Random) -> str | None:
    places = [m.start() for m in re.finditer(r"(?<![\\A-Za-z])\d", truth)]
    if not places or (_DELICATE.search(truth.replace(r"\text{ ", "")) and r"\text" not in truth) or "binom" in truth:
        return None
    at = draw.choice(places)
    return truth[:at] + draw.choice([d for d in "23456789" if d != truth[at]]) + truth[at + 1 :]


def _sign(truth: str, draw: random.Random) -> str | None:
    if _LISTED.search(truth) or re.fullmatch(r"[-0.]*", truth) or "emptyset" in truth or not re.search(r"\d", truth):
        return None
    return truth[1:] if truth.startswith("-") and _NUMBER.fullmatch(truth) else f"-({truth})"


def _inner_sign(truth: str, draw: random.Random) -> str | None:
    places = [m.start() for m in re.finditer(r"(?<=[\w})]) ?[+-] ?(?=[\w\\])", truth)]
    if not places or _DELICATE.search(truth) or "phantom" in truth:
        return None
    at = draw.choice(places)
    found = re.compile(r" ?[+-] ?").match(truth, at)
    assert found is not None
    return truth[:at] + ("-" if "+" in found.group() else "+") + truth[found.end() :]


def _exponent(truth: str, draw: random.Random) -> str | None:
    found = re.search(r"(?<=[a-zA-Z2-9)])\^\{?([2-9])\}?", truth)
    if found is None or "i^" in truth or _DELICATE.search(truth):
        return None
    return truth[: found.start()] + f"^{int(found[1]) + 1}" + truth[found.end() :]


def _no_exponent(truth: str, draw: random.Random) -> str | None:
    found = re.search(r"(?<=[a-zA-Z2-9)])\^\{?([2-9])\}?", truth)
    return None if found is None or _DELICATE.search(truth) else truth[: found.start()] + truth[found.end() :]


def _turned_fraction(truth: str, draw: random.Random) -> str | None:
    found = _FRACTION.search(truth)
    if found is None or found[2] == found[3] or "0" in (found[2], found[3]) or _DELICATE.search(truth):
        return None
    return truth[: found.start()] + rf"{found[1]}\frac{{{found[3]}}}{{{found[2]}}}" + truth[found.end() :]


def _lost_root(truth: str, draw: random.Random) -> str | None:
    found = re.search(r"\\sqrt\{(\d+)\}", truth)
    return (
        None if found is None or found[1] in "01" else truth[: found.start()] + f"({found[1]})" + truth[found.end() :]
    )


def _rounded(truth: str, draw: random.Random) -> str | None:
    found = re.fullmatch(r"\\frac\{(\d+)\}\{(\d+)\}", truth)
    if found is None or int(found[2]) == 0 or 10**6 % int(found[2]) == 0:
        return None
    value = Fraction(int(found[1]), int(found[2]))
    return None if (value * 10**6).denominator == 1 else f"{float(value):.6f}"


def _other_unit(truth: str, draw: random.Random) -> str | None:
    found = re.fullmatch(r"(.*\d.*)\\text\{ *([a-z ]+?)s?\.?\}(\^2)?", truth)
    if found is None or _LISTED.search(found[1]) or float(re.sub(r"[^\d]", "", found[1]) or 0) == 0:
        return None
    units = (*_UNITS, *_UNKNOWN, "square units")
    others = [unit for unit in units if unit[:2] != found[2][:2] and found[2] not in unit]
    return rf"{found[1]}\text{{ {draw.choice(others)}}}"


def _closed(truth: str, draw: random.Random) -> str | None:
    found = _INTERVAL.fullmatch(truth)
    if found is None or (_TUPLE.fullmatch(truth) and draw.random() < 0.5):
        return None
    end = {")": "]", "]": ")"}[found[4]]
    return found[1] + found[2] + "," + found[3] + end


def _order(truth: str, draw: random.Random) -> str | None:
    found = _TUPLE.fullmatch(truth)
    return None if found is None or int(found[1]) == int(found[2]) else f"({found[2]}, {found[1]}{found[3]})"


def _one_less(truth: str, draw: random.Random) -> str | None:
    parts = truth.strip("\\{}").split(",")
    listed = len(parts) > 1 and all(_NUMBER.fullmatch(part.strip()) for part in parts) and not _GROUPED.fullmatch(truth)
    return ", ".join(part.strip() for part in parts[1:]) if listed and len(set(parts)) == len(parts) else None


def _one_more(truth: str, draw: random.Random) -> str | None:
    return f"{truth}, {int(truth) + draw.randint(1, 9)}" if _PLAIN.fullmatch(truth) else None


def _other_letter(truth: str, draw: random.Random) -> str | None:
    letters = sorted(
        set(re.findall(r"(?<![A-Za-z\\])[a-zA-Z](?![A-Za-z])", re.sub(r"\\[A-Za-z]+", "  ", truth))) - set("ei")
    )
    if not letters or r"\text" in truth or r"\mbox" in truth or "_" in truth or r"\begin" in truth or "=" in truth:
        return None
    old = draw.choice(letters)
    new = draw.choice([letter for letter in "bkmnpqtuvwz" if letter not in truth])
    return re.sub(rf"(?<![A-Za-z\\]){old}(?![A-Za-z])", new, truth)


def _choice(truth: str, draw: random.Random) -> str | None:
    found = re.fullmatch(r"\\text(?:bf)?\{\(?([A-F])\)?\}", truth)
    return None if found is None else rf"\text{{({draw.choice([c for c in 'ABCDEF' if c != found[1]])})}}"


def _marked(truth: str, draw: random.Random) -> str | None:
    """A prime, a transpose or a factor behind a value."""
    if _LISTED.search(truth) or "emptyset" in truth or "0" == truth or not truth or truth.isspace():
        return None
    if re.fullmatch(r"[A-Z]", truth):
        return truth + draw.choice(("'", "^T", "^{-1}", "_1"))
    if re.fullmatch(r"f'?\(x\)", truth):
        return truth.replace("(", "'(")
    return (
        truth + draw.choice(("'", "x", r"\text{ thousand}", "!" if not re.fullmatch("-?0*[12]", truth) else "'"))
        if (_NUMBER.fullmatch(truth) and Fraction(re.sub(r"\\frac\{(\d+)\}\{(\d+)\}", r"\1/\2", truth)) != 0)
        else None
    )


def _led(truth: str, draw: random.Random) -> str | None:
    """Text or another term before a value."""
    if _LISTED.search(truth) or truth.startswith("-") or "emptyset" in truth:
        return None
    return draw.choice((r"\text{not }", r"\mathrm{e}+", r"\text{half of }", "2+", r"\neq ")) + truth


def _approximation(truth: str, draw: random.Random) -> str | None:
    return rf"x \approx {int(truth) + draw.randint(1, 9)}" if _PLAIN.fullmatch(truth) else None


def _in_a_set(truth: str, draw: random.Random) -> str | None:
    wrapped = re.fullmatch(r"\\\{.*\\\}|\\emptyset", truth)
    return None if wrapped is None else rf"\{{{truth}\}}"


def _no_base(truth: str, draw: random.Random) -> str | None:
    found = re.fullmatch(r"(\d+)_\{?(\d+)\}?", truth)
    return None if found is None else draw.choice((found[1], f"{found[1]}_{{{int(found[2]) + 1}}}"))


def _turned_relation(truth: str, draw: random.Random) -> str | None:
    found = re.fullmatch(r"([a-z]) ?(<|>|\\leq?|\\geq?) ?(-?\d+)", truth)
    if found is None:
        return None
    return f"{found[1]} {draw.choice([s for s in ('<', '>') if s != found[2]])} {found[3]}"


WRONG: dict[str, Change] = {
    "a digit": _one_digit,
    "the sign": _sign,
    "a sign within": _inner_sign,
    "an exponent": _exponent,
    "an exponent left out": _no_exponent,
    "a fraction turned over": _turned_fraction,
    "a root left out": _lost_root,
    "rounded to six digits": _rounded,
    "another unit": _other_unit,
    "a bracket of an interval or tuple": _closed,
    "the order of a tuple": _order,
    "a solution left out": _one_less,
    "a solution too many": _one_more,
    "another letter": _other_letter,
    "another choice": _choice,
    "a mark or factor behind": _marked,
    "text or a term before": _led,
    "another approximation": _approximation,
    "a set around a set": _in_a_set,
    "the base of a number": _no_base,
    "an inequality turned": _turned_relation,
}


def _spaced(truth: str, draw: random.Random) -> str | None:
    return truth + draw.choice((r"\ ", r"\,", ".", r"\quad")) if r"\text" not in truth else None


def _dressed(truth: str, draw: random.Random) -> str | None:
    if any(sign in truth for sign in "*$_`"):
        return None
    return draw.choice(("**{}**", "$ {} $", r"\displaystyle {}", r"\({}\)")).replace("{}", truth)


def _named(truth: str, draw: random.Random) -> str | None:
    return None if _LISTED.search(truth) or not re.search(r"\d", truth) else draw.choice(("x = ", "= ", "S = ")) + truth


def _fraction_form(truth: str, draw: random.Random) -> str | None:
    found = _FRACTION.fullmatch(truth)
    if found is None:
        return None
    top, bottom, k = int(found[2]), int(found[3]), draw.randint(2, 7)
    forms = [
        rf"{found[1]}\dfrac{{{top}}}{{{bottom}}}",
        f"{found[1]}{top}/{bottom}",
        rf"{found[1]}\frac{{{k * top}}}{{{k * bottom}}}",
    ]
    return draw.choice(forms)


def _decimal_form(truth: str, draw: random.Random) -> str | None:
    found = _FRACTION.fullmatch(truth)
    if found is None or int(found[3]) == 0 or 10**4 % int(found[3]):
        return None
    digits = f"{int(found[2]) / int(found[3]):.4f}".rstrip("0").rstrip(".")
    return found[1] + digits


def _grouped(truth: str, draw: random.Random) -> str | None:
    if not re.fullmatch(r"\d{4,}", truth):
        return None
    return f"{int(truth):,}".replace(",", draw.choice((",", "{,}", r",\!")))


def _swapped(truth: str, draw: random.Random) -> str | None:
    found = re.fullmatch(r"(-?[^-+(),=<>\\]+) \+ ([^-+(),=<>]+)", truth)
    return None if found is None or r"\text" in truth else f"{found[2]} + {found[1]}"


def _reordered(truth: str, draw: random.Random) -> str | None:
    parts = [part.strip() for part in truth.removeprefix(r"\{").removesuffix(r"\}").split(",")]
    listed = len(parts) > 1 and all(_NUMBER.fullmatch(part) for part in parts) and not _GROUPED.fullmatch(truth)
    return draw.choice(("{}", r"\left\{{}\right\}")).replace("{}", ", ".join(parts[::-1])) if listed else None


def _sized(truth: str, draw: random.Random) -> str | None:
    found = _INTERVAL.fullmatch(truth)
    return None if found is None else rf"\left{found[1]}{found[2]},{found[3]}\right{found[4]}"


def _no_unit(truth: str, draw: random.Random) -> str | None:
    found = re.fullmatch(r"(-?[\d.]+|\\frac\{\d+\}\{\d+\})\s*\\text\{ *[a-z]{2,}(?: [a-z]+)*\}", truth)
    return None if found is None or re.search("thousand|million|or |and ", truth) else found[1]


def _doubled_square(truth: str, draw: random.Random) -> str | None:
    found = re.fullmatch(r"(\d*)\\sqrt\{(\d+)\}", truth)
    return None if found is None else rf"\sqrt{{{int(found[1] or 1) ** 2 * int(found[2])}}}"


def _expanded(truth: str, draw: random.Random) -> str | None:
    found = re.fullmatch(r"\(x \+ (\d+)\)\(x - (\d+)\)", truth)
    if found is None:
        return None
    a, b = int(found[1]), int(found[2])
    return f"x^2 - {b - a}x - {a * b}" if b > a else None


def _other_side(truth: str, draw: random.Random) -> str | None:
    found = re.fullmatch(r"y = (\d+)x \+ (\d+)", truth)
    return None if found is None else f"{found[1]}x - y + {found[2]} = 0"


def _with_approximation(truth: str, draw: random.Random) -> str | None:
    found = re.fullmatch(r"\\frac\{(\d+)\}\{(\d+)\}", truth)
    if found is None or int(found[2]) == 0:
        return None
    return rf"{truth} \approx {int(found[1]) / int(found[2]):.3f}"


def _converted(truth: str, draw: random.Random) -> str | None:
    found = re.fullmatch(r"(\d+)\\text\{ *(m|feet|hours)\}", truth)
    if found is None:
        return None
    factor, unit = {"m": (100, "cm"), "feet": (12, "inches"), "hours": (60, "minutes")}[found[2]]
    return rf"{int(found[1]) * factor}\text{{ {unit}}}"


def _bare_word(truth: str, draw: random.Random) -> str | None:
    found = re.fullmatch(r"\\text\{\(?([A-Za-z]+)\)?\}", truth)
    return (
        None
        if found is None
        else draw.choice((found[1], rf"\textbf{{({found[1]})}}" if len(found[1]) == 1 else found[1]))
    )


RIGHT: dict[str, Change] = {
    "a space or full stop behind": _spaced,
    "formula signs, bold type": _dressed,
    "named: x = ...": _named,
    "another fraction": _fraction_form,
    "a decimal for a fraction": _decimal_form,
    "thousands separators": _grouped,
    "terms in another order": _swapped,
    "solutions in another order": _reordered,
    "brackets that grow": _sized,
    "a unit left out": _no_unit,
    "a unit converted": _converted,
    "under the root": _doubled_square,
    "multiplied out": _expanded,
    "an equation solved for 0": _other_side,
    "with its approximation": _with_approximation,
    "a word or choice": _bare_word,
}


def variants(truths: list[str], changes: dict[str, Change], count: int, seed: int) -> Iterator[tuple[str, str, str]]:
    """Kind, answer and truth, evenly over the kinds as far as there are truths for them, each pair once."""
    draw = random.Random(seed)
    made: dict[str, list[tuple[str, str, str]]] = {kind: [] for kind in changes}
    for truth in truths:
        for kind, change in changes.items():
            answer = change(truth, draw)
            if answer is not None and answer != truth:
                made[kind].append((kind, answer, truth))
    for rows in made.values():
        draw.shuffle(rows)
        rows[:] = dict.fromkeys(rows)
    limit = 0
    while sum(min(len(rows), limit) for rows in made.values()) < min(count, sum(map(len, made.values()))):
        limit += 1
    for rows in made.values():
        yield from rows[:limit]
