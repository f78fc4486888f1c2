# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Which answers count as right: tables of pairs with their verdicts, the form that is asked for, and odd texts."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from verl_prpo.outcome import scorer
from verl_prpo.outcome.extract import final_answer
from verl_prpo.outcome.numbers import read_number
from verl_prpo.outcome.reward_function import compute_score
from verl_prpo.outcome.scorer import score_answer, score_answers

MATH = "DigitalLearningGmbH/MATH-lighteval"
GSM8K = "openai/gsm8k"
PAIRS = [line.split("\t") for line in (Path(__file__).parent / "answer_pairs.tsv").read_text().splitlines()[1:]]
KINDS = [line.split("\t") for line in (Path(__file__).parent / "answer_kinds.tsv").read_text().splitlines()[1:]]
"""Kind, verdict, source, answer, truth: what other verifiers get wrong, and what must stay right beside it."""
AMPLE = 120.0
"""Time limit, in seconds, where time is not what is tested; the machine may be busy."""


def given_as(source: str, answer: str) -> tuple[str, str]:
    """Data source and a response that ends in the answer."""
    if source == "gsm8k":
        return GSM8K, f"Six times twelve is <<6*12=72>>72.\n#### {answer}"
    return MATH, f"We find $\\boxed{{{answer}}}$."


class TestTable:
    """One verdict of `score_answers` for each line of `answer_pairs.tsv`."""

    @pytest.fixture(scope="class")
    def verdicts(self):
        triples = [(*given_as(source, answer), truth) for _, source, answer, truth in PAIRS]
        return score_answers(triples, timeout=AMPLE)

    def test_every_pair_gets_the_expected_verdict(self, verdicts):
        surprises = [
            (pair, verdict)
            for pair, verdict in zip(PAIRS, verdicts, strict=True)
            if verdict.correct != (pair[0] == "right")
        ]
        assert surprises == []

    def test_the_answer_is_reported_as_written(self, verdicts):
        assert [v.answer for v, pair in zip(verdicts, PAIRS, strict=True) if pair[1] == "math"] == [
            pair[2] for pair in PAIRS if pair[1] == "math"
        ]

    def test_all_three_judges_are_needed(self, verdicts):
        assert {v.method for v in verdicts} == {"verl", "number", "compared", "unread"}

    def test_there_are_enough_near_misses(self):
        wrong = sum(verdict == "wrong" for verdict, *_ in PAIRS)
        assert len(PAIRS) >= 60 and wrong >= len(PAIRS) / 3


class TestKinds:
    """Kinds of answers that are easily misread, each with its own pairs in `answer_kinds.tsv`."""

    @pytest.fixture(scope="class")
    def verdicts(self):
        triples = [(*given_as(source, answer), truth) for _, _, source, answer, truth in KINDS]
        return score_answers(triples, timeout=AMPLE)

    @pytest.mark.parametrize("kind", sorted({kind for kind, *_ in KINDS}))
    def test_every_pair_gets_the_expected_verdict(self, verdicts, kind):
        pairs = [(row, verdict) for row, verdict in zip(KINDS, verdicts, strict=True) if row[0] == kind]
        assert [(row, verdict) for row, verdict in pairs if verdict.correct != (row[1] == "right")] == []

    def test_none_fails_or_times_out(self, verdicts):
        """What is not understood is so by rule, and never by accident."""
        assert {"timeout", "error", "too_long"}.isdisjoint(verdict.method for verdict in verdicts)

    def test_each_has_enough_of_both(self):
        assert min(Counter(kind for kind, *_ in KINDS).values()) >= 10
        assert min(Counter((kind, verdict) for kind, verdict, *_ in KINDS).values()) >= 4
        assert len({(answer, truth) for *_, answer, truth in KINDS}) == len(KINDS)


class TestDoubt:
    """What cannot be decided counts as wrong, and the verdict and the reward's columns say that it was not decided."""

    @pytest.mark.parametrize(
        ("answer", "truth"),
        [
            (r"\mathfrak{S}_3", r"\mathfrak{A}_3"),
            (r"\int x\,dx", r"\frac{x^2}{2}"),
            (r"\text{not }\pi", r"\pi"),
            ("30'", "30"),
            (r"12\text{ apples}", r"12\text{ oranges}"),
            (r"\log 100", "2"),  # base 10 or e
            ("1/2x", r"\frac{x}{2}"),
            (r"(1, \Box)", "(1, 2)"),
            (r"\{1, 2, \Box\}", r"\{1, 2, 3\}"),
        ],
    )
    def test_is_said(self, answer, truth):
        verdict = score_answer(MATH, f"\\boxed{{{answer}}}", truth, timeout=AMPLE)
        assert (verdict.correct, verdict.method) == (False, "unread")
        row = compute_score(MATH, f"\\boxed{{{answer}}}", truth, timeout=AMPLE)
        assert (row["score"], row["acc"], row["undecided"], row["method"]) == (-1.0, 0.0, 1.0, "unread")

    @pytest.mark.parametrize(
        ("answer", "truth"),
        [
            (r"(1, \Box)", "(2, 3)"),  # wrong, whatever the box is
            (r"11\text{ apples}", r"12\text{ oranges}"),
            (r"5\text{ cm}", r"5\text{ kg}"),
            (r"\log 100", "3"),  # in neither base
            ("x+1", "x+2"),
            (r"\Box", "(1, 2)"),
        ],
    )
    def test_is_none_where_the_rest_decides(self, answer, truth):
        verdict = score_answer(MATH, f"\\boxed{{{answer}}}", truth, timeout=AMPLE)
        assert (verdict.correct, verdict.method) == (False, "compared")

    def test_does_not_hide_what_is_the_same(self):
        assert score_answer(MATH, r"\boxed{\mathfrak{S}_3}", r"\mathfrak S_3", timeout=AMPLE).method == "unread"
        assert score_answer(MATH, r"\boxed{(\Box,  \tfrac12)}", r"(\Box, 0.5)", timeout=AMPLE).correct
        assert score_answer(MATH, r"\boxed{\{\Box, 1\}}", r"\{1, \Box\}", timeout=AMPLE).correct


class TestForm:
    """A response answers in the form that it was asked for, or not at all."""

    @pytest.mark.parametrize(
        ("response", "answer"),
        [
            (r"First $\boxed{4}$, no, $\boxed{5}$.", "5"),
            (r"so \boxed{\frac{1}{\sqrt{2}}} holds", r"\frac{1}{\sqrt{2}}"),
            (r"\fbox{7}", "7"),
            (r"$\boxed 5$ apples", "5"),
            (r"\boxed {5}", "5"),
            (r"\boxed{\boxed{5}}", "5"),
            (r"\boxed{\left\{1,2\right\}}", r"\left\{1,2\right\}"),
            (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
            ("<think>\\boxed{4}?</think>\\boxed{5}", "5"),
        ],
    )
    def test_the_last_box_is_the_answer(self, response, answer):
        assert final_answer(MATH, response) == answer

    @pytest.mark.parametrize(
        "response",
        [
            "",
            "The answer is 5.",
            "5",
            "#### 5",
            r"\boxed{5",
            r"\boxed{\frac{1}{2}",
            r"\boxed{5} and then \boxed{6",
            r"\boxed{}",
            r"\boxed",
            r"\boxedfive",
            "<think>\\boxed{5}</think> It is five.",
            "<think>It may be \\boxed{5}, but",
        ],
    )
    def test_a_response_without_a_finished_box_is_wrong(self, response):
        verdict = score_answer(MATH, response, "5")
        assert (verdict.correct, verdict.answer, verdict.method) == (False, None, "no_answer")

    @pytest.mark.parametrize("source", ["aime24", "math-ai/amc23", "my/problems", "HuggingFaceH4/MATH-500"])
    def test_every_source_is_asked_for_a_box(self, source):
        assert score_answer(source, r"thus \boxed{204}", "204").correct
        assert score_answer(source, r"thus \boxed{204}", 204).correct  # type: ignore[arg-type]
        assert not score_answer(source, "Answer: 204", "204").correct

    @pytest.mark.parametrize(
        ("response", "answer"),
        [
            ("#### 72", "72"),
            ("#### 71\n#### 72\n", "72"),
            (r"\boxed{72}", "72"),
            ("#### 71\n\\boxed{72}", "72"),
            ("\\boxed{71}\n#### 72", "72"),
            (r"#### $\boxed{72}$", "72"),
            ("#### 72 #### 73", "73"),
            ("#### 72#### 73", "73"),
            ("#### 72 #### 73\nSo it is.", "73"),
            ("#### 71\n#### 72 #### 73", "73"),
            ("#### 72 ####", "72"),
            ("#### **72** ####", "72"),
            ("##### 72", "72"),
            (r"#### \boxed{72} #### 73", "73"),
            (r"#### 72 #### \boxed{73}", "73"),
            ("<think>#### 71</think>#### 72", "72"),
        ],
    )
    def test_gsm8k_takes_hashes_or_a_box_whichever_comes_last(self, response, answer):
        assert final_answer(GSM8K, response) == answer

    @pytest.mark.parametrize("response", ["The answer is 72.", "72", "####", "#### \n72", "### 72"])
    def test_gsm8k_takes_nothing_else(self, response):
        assert final_answer(GSM8K, response) is None

    def test_a_choice_of_answers_is_no_answer(self):
        assert not score_answer(GSM8K, "#### 72 or 73", "72").correct
        assert not score_answer(MATH, r"\boxed{5 \text{ or } 6}", "5").correct

    def test_an_endless_box_is_not_compared(self):
        verdict = score_answer(MATH, "\\boxed{" + "1+" * 1000 + "1}", "2001")
        assert (verdict.correct, verdict.method) == (False, "too_long")


class TestVerlsTooGenerousYes:
    """Pairs that verl's own normalisation of MATH answers takes for equal."""

    @pytest.mark.parametrize(
        ("answer", "truth"),
        [
            (r"\text{ (A)}", r"\text{ (B)}"),
            (r"1\text{ and } 2", r"1\text{ and } 3"),
            ("1 2", "12"),
            ("x=5", "y=5"),
            ("9=5", "5"),
        ],
    )
    def test_is_not_believed(self, answer, truth):
        from verl.utils.reward_score import default_compute_score

        response = f"\\boxed{{{answer}}}"
        assert default_compute_score(MATH, response, truth) == 1.0
        assert not score_answer(MATH, response, truth, timeout=AMPLE).correct


class TestGroundTruths:
    """A parquet file may hold more than text."""

    @pytest.mark.parametrize(
        "truth", [0.5, r"\frac12", [r"\frac12"], np.array([r"\frac12"]), np.float64(0.5)], ids=repr
    )
    def test_are_text_a_number_or_a_list_of_one(self, truth):
        assert score_answer(MATH, r"\boxed{\frac{1}{2}}", truth, timeout=AMPLE).correct

    @pytest.mark.parametrize("truth", [None, float("nan"), True, b"5", [], ["5", "6"], {"answer": "5"}], ids=repr)
    def test_of_other_types_are_an_error_and_not_a_silent_no(self, truth, caplog, monkeypatch):
        monkeypatch.setattr(scorer, "_next_line", 0.0)
        for answer in ("5", r"\text{None}", "nan"):
            verdict = score_answer(MATH, f"\\boxed{{{answer}}}", truth)
            assert (verdict.correct, verdict.method) == (False, "error")
        assert "reward_model.ground_truth" in caplog.text


class TestNumbers:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("12", 12),
            ("-1,234", -1234),
            ("1 234", 1234),
            (r"\frac{3}{-4}", -0.75),
            (r"-1\frac{1}{2}", -1.5),
            ("(5)", 5),
        ],
    )
    def test_are_read(self, text, value):
        number = read_number(text)
        assert number is not None and number.value == value

    @pytest.mark.parametrize(
        "text", ["", "-", ".", "1.2.3", "1 2", "1,23", "(1,234)", "1/0", "x", "1e3", "--1", "9" * 999]
    )
    def test_or_not(self, text):
        assert read_number(text) is None


COMMANDS = (
    r"\frac \boxed{ \text{ \sqrt \cup \pm \le \infty \begin{pmatrix} \end{pmatrix} \\ \{ \} \, \! #### and sqrt".split()
)
SIGNS = "\\{}[]()^_$&%#,.;:=<>+-*/|!~ 0123456789xyzABCi\n∞π√½²"
LATEX = st.lists(st.sampled_from([*SIGNS, *COMMANDS]), max_size=30).map("".join)


class TestOddTexts:
    @given(response=st.one_of(st.text(max_size=200), LATEX, LATEX.map(lambda t: f"\\boxed{{{t}}}")), truth=LATEX)
    @settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def test_never_raise(self, response, truth):
        for source in (MATH, GSM8K):
            verdict = score_answer(source, response, truth, timeout=5.0)
            assert isinstance(verdict.correct, bool) and isinstance(verdict.method, str)

    @given(answer=LATEX.filter(lambda t: t.strip()))
    @settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def test_an_empty_truth_has_no_right_answer(self, answer):
        assert not score_answer(MATH, f"\\boxed{{{answer}}}", "", timeout=5.0).correct

    @pytest.mark.parametrize(
        "response",
        [
            "\\boxed{" * 20000,
            "\\boxed{5}" * 20000,
            "{" * 100000 + "\\boxed{" + "}" * 100000,
            "\\boxed{" + "(" * 400 + "1" + ")" * 400 + "}",
            "\\boxed{" + "{" * 400 + "1" + "}" * 400 + "}",
            "#### " * 20000,
            "9" * 100000,
            "\\boxed{\ud800}",
            "\\boxed{\x00\uffff\u202e5}",
        ],
        ids=lambda text: repr(text[:20]),
    )
    def test_long_deep_and_strange_ones_get_a_verdict(self, response):
        for source in (MATH, GSM8K):
            assert not score_answer(source, response, "7", timeout=10.0).correct


NO_UNITS = (
    *("is wrong", "is extraneous", "incorrect", "false", "more", "too many", "below zero", "doubled", "inverse"),
    *("thirty", "seven", "lakh", "crore", "gross", "tens", "bn", "M", "nonillion", "pairs", "loss", "is not valid"),
)


@pytest.mark.parametrize("words", NO_UNITS)
def test_words_that_change_a_number_are_no_unit_that_may_be_left_out(words):
    assert not score_answer(MATH, rf"$\boxed{{5\text{{ {words}}}}}$", "5").correct


@pytest.mark.parametrize("words", ["apples", "square units", "cm", "hours", "marbles in all", "dollars", "students"])
def test_units_may_be_left_out(words):
    assert score_answer(MATH, rf"$\boxed{{5\text{{ {words}}}}}$", "5").correct


@pytest.mark.parametrize("text", ["#### 7\n\nNote #### ", "#### 7\n####\n", "#### 3\n#### 7 ####"])
def test_hashes_with_nothing_behind_them_only_close_a_heading(text):
    assert final_answer("openai/gsm8k", text) == "7"
