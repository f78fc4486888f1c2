# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Figures of an evaluation, against values computed by hand."""

import itertools
from math import comb

import numpy as np
import pytest

from verl_prpo.evaluation.statistics import (
    bootstrap_intervals,
    majority,
    mcnemar_p,
    pass_at_k,
    sign_flip_p,
)
from verl_prpo.evaluation.summary import pass_ks
from verl_prpo.evaluation.votes import MOST_COMPARISONS, RIGHT, cast_votes


class TestPassAtK:
    @pytest.mark.parametrize(
        ("samples", "correct", "k", "expected"),
        [
            (4, 1, 1, 0.25),
            (4, 1, 2, 0.5),  # 1 - C(3,2)/C(4,2) = 1 - 3/6
            (5, 2, 2, 0.7),  # 1 - 3/10
            (4, 1, 4, 1.0),
            (8, 0, 8, 0.0),
            (3, 2, 2, 1.0),  # one wrong sample cannot fill two draws
        ],
    )
    def test_by_hand(self, samples: int, correct: int, k: int, expected: float) -> None:
        assert pass_at_k(samples, correct, k) == pytest.approx(expected)

    def test_is_the_share_of_all_draws_with_a_right_one(self) -> None:
        verdicts = [True, False, False, True, False, False]
        draws = list(itertools.combinations(verdicts, 3))
        assert pass_at_k(6, 2, 3) == pytest.approx(sum(any(draw) for draw in draws) / len(draws))

    @pytest.mark.parametrize(("samples", "correct", "k"), [(4, 5, 1), (4, 1, 5), (4, 1, 0), (4, -1, 1)])
    def test_counts_that_contradict_each_other_are_refused(self, samples: int, correct: int, k: int) -> None:
        with pytest.raises(ValueError, match="not defined"):
            pass_at_k(samples, correct, k)

    @pytest.mark.parametrize(
        ("samples", "ks"), [(2, [2]), (8, [2, 4, 8]), (12, [2, 4, 8, 12]), (32, [2, 4, 8, 16, 32])]
    )
    def test_the_k_that_are_reported(self, samples: int, ks: list[int]) -> None:
        assert pass_ks(samples) == ks


class TestMajority:
    @pytest.mark.parametrize(
        ("votes", "correct", "expected"),
        [
            (["a", "a", "b"], [True, True, False], 1.0),
            (["a", "b", "b"], [True, False, False], 0.0),
            (["a", "b"], [True, False], 0.5),  # a tie of two
            (["a", "b", "c"], [True, False, False], 1 / 3),
            (["a", "a", "b", "b", "c"], [True, True, False, False, False], 0.5),
            (["a", None, None], [True, False, False], 1.0),  # who gives no answer does not vote
            ([None, None], [False, False], 0.0),
        ],
    )
    def test_by_hand(self, votes: list[str | None], correct: list[bool], expected: float) -> None:
        assert majority(votes, correct) == pytest.approx(expected)

    def test_right_answers_of_any_form_vote_as_one(self) -> None:
        votes = cast_votes(["1/2", "0.5", "7", None], [True, True, False, False])
        assert votes == [RIGHT, RIGHT, "wrong 7", None]

    def test_a_right_sample_without_known_answer_leaves_the_vote_open(self) -> None:
        assert cast_votes([None, "3"], [True, False]) is None

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("1/2", r"\frac{1}{2}"),
            (r"\frac12", "0.5"),
            (r"\dfrac{1}{2}", "0.5"),
            (r"\frac{1}{\sqrt{3}}", r"\frac{\sqrt{3}}{3}"),
            ("2, 1", r"\{1, 2\}"),
            ("x = 5", "5"),
            ("5", "x = 5"),
            ("1,234", "1234"),
            ("1,234,567", "1234567.0"),
            (" 7. ", "$7$"),
            (r"\left( 1, 2 \right)", "(1,2)"),
            (r"-\frac{3}{4}", "-0.75"),
            ("Blue", "blue"),
            ("+3", "3.00"),
        ],
    )
    def test_wrong_answers_that_are_equal_vote_as_one(self, one: str, other: str) -> None:
        first, second, third = cast_votes([one, other, "81"], [False, False, False]) or []
        assert first == second != third

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("12", "1,2"),
            ("1/0", "0"),
            (r"3\frac{1}{2}", "31/2"),
            ("(1,234)", "(1234)"),
            ("x", "y"),
            ("x", "X"),
            ("f'(x)", "f(x)"),
            ("(1,2)", "(2,1)"),
        ],
    )
    def test_other_answers_stay_apart(self, one: str, other: str) -> None:
        first, second = cast_votes([one, other], [False, False]) or []
        assert first != second

    def test_right_and_wrong_answers_weigh_the_same(self) -> None:
        """Three say one half in three ways, two say 3: whichever is right, the majority is one half."""
        answers = [r"\frac12", "3", "0.5", "3", "50%"]
        for half_is_right in (True, False):
            correct = [(answer == "3") != half_is_right for answer in answers]
            votes = cast_votes(answers, correct)
            assert votes is not None and len(set(votes)) == 2
            assert majority(votes, correct) == float(half_is_right)

    def test_a_right_answer_never_votes_with_a_wrong_one(self) -> None:
        """Such as where a user's reward function also asks for a form."""
        first, second = cast_votes(["0.5", "1/2"], [True, False]) or []
        assert first == RIGHT != second

    def test_comparisons_are_bounded(self) -> None:
        asked = []

        def never(one: str, other: str) -> bool:
            asked.append((one, other))
            return False

        answers = [f"x+{n}" for n in range(60)]
        votes = cast_votes(answers, [False] * 60, never)
        assert votes is not None and len(set(votes)) == 60 and len(asked) == MOST_COMPARISONS

    @pytest.mark.parametrize("answer", ["9" * 5000, "1e999999999", "1/" + "9" * 400, "1" + ",000" * 2000])
    def test_an_absurd_number_costs_no_time(self, answer: str) -> None:
        first, second = cast_votes([answer, "1000"], [False, False]) or []
        assert first != second


class TestBootstrap:
    def test_matches_the_exact_interval_of_two_problems(self) -> None:
        """Means of two drawn from {0, 1} are 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4: the interval is all of it."""
        assert bootstrap_intervals(np.array([[0.0, 1.0]]), seed=0).tolist() == [[0.0, 1.0]]

    def test_is_near_the_normal_interval_for_many_problems(self) -> None:
        values = np.tile([1.0, 0.0, 0.0, 0.0], 250)[None]
        (interval,) = bootstrap_intervals(values, seed=1)
        half = 1.96 * (0.25 * 0.75 / 1000) ** 0.5
        assert interval == pytest.approx([0.25 - half, 0.25 + half], abs=0.004)

    def test_the_level_is_the_share_within(self) -> None:
        values = np.random.default_rng(0).normal(size=(1, 400))
        narrow, wide = (bootstrap_intervals(values, seed=0, level=level)[0] for level in (0.5, 0.95))
        assert np.diff(wide) / np.diff(narrow) == pytest.approx(1.96 / 0.674, rel=0.1)

    def test_the_seed_fixes_it(self) -> None:
        values = np.random.default_rng(0).random((2, 50))
        first, again, other = (bootstrap_intervals(values, seed=seed) for seed in (3, 3, 4))
        assert (first == again).all() and (first != other).any()

    def test_one_problem_has_no_interval(self) -> None:
        assert np.isnan(bootstrap_intervals(np.array([[1.0]]), seed=0)).all()

    def test_more_problems_than_are_drawn_at_once(self) -> None:
        values = np.tile([0.0, 1.0], 1000)[None]
        intervals = bootstrap_intervals(values, seed=0, resamples=3000)
        assert intervals.shape == (1, 2) and 0.45 < intervals[0, 0] < 0.5 < intervals[0, 1] < 0.55


class TestPairedTests:
    @pytest.mark.parametrize(
        ("only_a", "only_b", "expected"),
        [
            (0, 0, 1.0),
            (5, 0, 2 / 32),
            (1, 5, 2 * (1 + 6) / 64),
            (3, 3, 1.0),
            (2, 8, 2 * (1 + 10 + 45) / 1024),
        ],
    )
    def test_mcnemar_by_hand(self, only_a: int, only_b: int, expected: float) -> None:
        assert mcnemar_p(only_a, only_b) == pytest.approx(expected) == mcnemar_p(only_b, only_a)

    def test_sign_flip_of_three_by_hand(self) -> None:
        """Of the eight sums +-1 +-2 +-4, two have a size of at least 7, and four of at least 5 = -1 + 2 + 4."""
        assert sign_flip_p(np.array([1.0, 2.0, 4.0]), seed=0) == pytest.approx(2 / 8)
        assert sign_flip_p(np.array([-1.0, 2.0, 4.0]), seed=0) == pytest.approx(4 / 8)

    def test_sign_flip_of_equal_steps_is_mcnemar(self) -> None:
        differences = np.array([1.0] * 9 + [-1.0] * 2 + [0.0] * 20)
        assert sign_flip_p(differences, seed=0) == pytest.approx(mcnemar_p(9, 2))

    def test_thirteen_pairs_are_gone_through_exactly(self) -> None:
        assert sign_flip_p(np.array([1.0] * 9 + [-1.0] * 4), seed=0) == pytest.approx(mcnemar_p(9, 4), abs=1e-12)

    def test_random_flips_come_near_the_exact_test(self) -> None:
        differences = np.array([1.0] * 16 + [-1.0] * 8)
        exact = min(1.0, 2 * sum(comb(24, i) for i in range(9)) / 2**24)
        assert sign_flip_p(differences, seed=0) == pytest.approx(exact, abs=0.02)

    def test_no_difference_is_no_evidence_and_random_flips_never_give_0(self) -> None:
        assert sign_flip_p(np.zeros(5), seed=0) == sign_flip_p(np.array([0.5, 0.0]), seed=0) == 1.0
        assert sign_flip_p(np.ones(200), seed=0) == pytest.approx(2 / 10_001)
