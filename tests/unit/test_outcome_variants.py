# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The verifier on answers that are right or wrong by how they are made, and its reader on what SymPy prints."""

import random
import sys
from pathlib import Path

import pytest
import sympy
from sympy import I, Integer, Rational, Symbol, pi

from verl_prpo.outcome.formula import read_formula
from verl_prpo.outcome.latex import clean
from verl_prpo.outcome.scorer import score_answers
from verl_prpo.outcome.symbolic import same_value

ROOT = Path(__file__).parents[2]
MATH = ROOT.parent / "shared" / "data" / "math_train.jsonl"
SOURCE = "lighteval/MATH"
AMPLE = 120.0

sys.path.insert(0, str(ROOT / "benchmarks"))

from answer_variants import RIGHT, WRONG, built_in_truths, variants  # noqa: E402
from verifier import read_truths  # noqa: E402


def mistakes(pairs: list[tuple[str, str, str]], right: bool) -> list[tuple[str, str, str]]:
    """Pairs of kind, answer and truth whose verdict is another one."""
    verdicts = score_answers([(SOURCE, f"\\boxed{{{answer}}}", truth) for _, answer, truth in pairs], timeout=AMPLE)
    return [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict.correct != right]


class TestMadeUpTruths:
    def test_no_near_miss_is_accepted(self):
        pairs = list(variants(built_in_truths(1, 480), WRONG, 400, seed=1))
        assert len(pairs) >= 380 and len({kind for kind, _, _ in pairs}) == len(WRONG)
        assert mistakes(pairs, right=False) == []

    def test_no_other_spelling_is_rejected(self):
        pairs = list(variants(built_in_truths(1, 480), RIGHT, 300, seed=1))
        assert len(pairs) >= 280 and {kind for kind, _, _ in pairs} >= set(RIGHT) - {"a decimal for a fraction"}
        assert mistakes(pairs, right=True) == []


@pytest.mark.skipif(not MATH.exists(), reason=f"no MATH data at {MATH}; a clone of the project does not have it")
class TestTruthsOfMath:
    @pytest.fixture(scope="class")
    def truths(self):
        return read_truths(MATH)

    def test_all_accept_themselves(self, truths):
        spaced = [("", truth.replace("{", "{ ").replace("+", " + ") + " ", truth) for truth in truths]
        assert mistakes([("", truth, truth) for truth in truths], right=True) == []
        assert [pair for pair in mistakes(spaced, right=True) if "text" not in pair[2] and "begin" not in pair[2]] == []

    def test_no_near_miss_is_accepted(self, truths):
        assert mistakes(list(variants(truths[::4], WRONG, 400, seed=2)), right=False) == []

    def test_no_other_spelling_is_rejected(self, truths):
        assert mistakes(list(variants(truths[::4], RIGHT, 300, seed=2)), right=True) == []


def random_expression(draw: random.Random, depth: int) -> sympy.Expr:
    """Sums, products, powers, roots and functions of a few symbols and numbers."""
    if depth == 0:
        symbols = [Symbol("x"), Symbol("y"), Symbol(r"\alpha"), Symbol("x_{1}"), pi, sympy.E, I]
        return draw.choice([*symbols, Integer(draw.randint(1, 30)), Rational(draw.randint(1, 9), draw.randint(2, 9))])
    one, two = random_expression(draw, depth - 1), random_expression(draw, depth - 1)
    makers = (
        lambda: one + two,
        lambda: one - two,
        lambda: one * two,
        lambda: one / two,
        lambda: one ** draw.randint(-3, 4),
        lambda: sympy.sqrt(one),
        lambda: sympy.sin(one),
        lambda: sympy.exp(one),
        lambda: sympy.Abs(one),
        lambda: -one,
    )
    return draw.choice(makers)()


@pytest.mark.parametrize(
    "style", [{}, {"mul_symbol": "dot"}, {"fold_func_brackets": True}, {"root_notation": False}], ids=str
)
def test_what_sympy_prints_is_read_as_what_it_was(style):
    draw = random.Random(7)
    read = 0
    for _ in range(150):
        written = random_expression(draw, draw.randint(1, 3))
        if written.has(sympy.zoo, sympy.nan, sympy.oo):
            continue
        text = clean(sympy.latex(written, **style))
        if r"\text" in text:  # re() and im() of what has no variables, which the reader refuses
            continue
        found = read_formula(text).value
        read += 1
        for point in (Rational(7, 5), Rational(-3, 17)):
            values = {symbol: point + at for at, symbol in enumerate(sorted(written.free_symbols, key=str))}
            a, b = (sympy.N(expression.subs(values), 40) for expression in (found, written))
            assert a == b or abs(a - b) < 1e-25 * abs(b) or abs(a - b) < 1e-30, text
    assert read > 100


def test_values_that_are_near_are_not_the_same():
    assert not same_value(r"\pi", r"\frac{314159265358979323846264338327950288419}{10^{38}}")
    assert not same_value(r"10^{-30}\sqrt{2}", "0")
    assert same_value(r"\sqrt{2}\sqrt{3} - \sqrt{6}", "0")
    assert same_value(r"\sin^2 1 + \cos^2 1", "1")
