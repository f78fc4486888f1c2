# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Token-level advantages: an example by hand per equation, agreement with the naive reference and verl, errors."""

import math
import random

import numpy as np
import pytest
import reference
import torch
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage

from verl_prpo.method.advantage import CREDITS, prpo_advantage
from verl_prpo.method.groups import all_equal_groups

NAN = float("nan")

# Two rollouts of one prompt. Row 0: segments [0, 2) and [2, 4) with r = 0.9 and 0.3, correct (R = 1).
# Row 1: one segment [0, 2) with r = 0.5, wrong (R = -1), then padding.
SCORES = torch.tensor([[0.9, 0.9, 0.3, 0.3], [0.5, 0.5, NAN, NAN]])
STARTS = torch.tensor([[1, 0, 1, 0], [1, 0, 0, 0]], dtype=torch.bool)
REWARDS = torch.tensor([1.0, -1.0])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
INDEX = np.array(["a", "a"], dtype=object)


def advantage(**options) -> torch.Tensor:
    return prpo_advantage(SCORES, STARTS, REWARDS, MASK, INDEX, **options)


def assert_rows(actual: torch.Tensor, expected: list[list[float]], tolerance: float = 1e-5):
    torch.testing.assert_close(actual.double(), torch.tensor(expected, dtype=torch.float64), atol=tolerance, rtol=0)


class TestByHand:
    def test_process_advantage_with_the_uniform_prior(self):
        # sigma = sqrt(1/12) = 0.288675; 0.4 / sigma = 1.385641, -0.2 / sigma = -0.692820, 0 / sigma = 0
        assert_rows(
            advantage(credit="process"),
            [[1.385641, 1.385641, -0.692820, -0.692820], [0.0, 0.0, 0.0, 0.0]],
        )

    def test_process_advantage_with_the_prior_of_the_authors_code(self):
        # sigma = sqrt(1/24) = 0.204124; 0.4 / sigma = 1.959592, -0.2 / sigma = -0.979796
        assert_rows(
            advantage(credit="process", prior_std=24**-0.5),
            [[1.959592, 1.959592, -0.979796, -0.979796], [0.0, 0.0, 0.0, 0.0]],
        )

    def test_outcome_advantage_is_the_distance_from_the_group_mean(self):
        # mean(1, -1) = 0: beta = +1 and -1, and 0 on padding
        assert_rows(advantage(credit="outcome"), [[1, 1, 1, 1], [-1, -1, 0, 0]])

    def test_outcome_advantage_divided_by_the_group_std(self):
        # n - 1 std of (1, -1) = sqrt(2): beta = +-0.707107
        r = 0.707106
        assert_rows(advantage(credit="outcome", outcome_norm="mean_std"), [[r, r, r, r], [-r, -r, 0, 0]])

    def test_prpo_shifts_the_process_advantage_by_the_outcome_advantage(self):
        assert_rows(advantage(), [[2.385641, 2.385641, 0.307180, 0.307180], [-1.0, -1.0, 0.0, 0.0]])

    def test_prpo_with_the_divided_outcome(self):
        assert_rows(
            advantage(outcome_norm="mean_std"),
            [[2.092747, 2.092747, 0.014286, 0.014286], [-0.707106, -0.707106, 0.0, 0.0]],
        )

    def test_group_distribution_counts_tokens_not_segments(self):
        # tokens 0.9 0.9 0.3 0.3 0.5 0.5: mean 3.4 / 6 = 0.566667, squared deviations 2 (0.111111 + 0.071111 + 0.004444)
        # = 0.373333, n - 1 variance 0.074667, std 0.273252
        assert_rows(
            advantage(credit="process", process_norm="group"),
            [[1.219875, 1.219875, -0.975900, -0.975900], [-0.243975, -0.243975, 0.0, 0.0]],
            tolerance=2e-5,
        )

    def test_the_group_mean_is_divided_by_the_std_of_the_prior(self):
        # (0.9, 0.3, 0.5 less 0.566667) / 0.288675
        assert_rows(
            advantage(credit="process", process_norm="group_mean"),
            [[1.154701, 1.154701, -0.923760, -0.923760], [-0.230940, -0.230940, 0.0, 0.0]],
            tolerance=2e-5,
        )

    def test_prm_average_counts_segments_and_divides_by_the_group_std(self):
        # R' = 1 + (0.9 + 0.3) / 2 = 1.6 and -1 + 0.5 = -0.5; mean 0.55, n - 1 std 2.1 / sqrt(2) = 1.484924
        r = 0.707106
        assert_rows(advantage(credit="prm_avg"), [[r, r, r, r], [-r, -r, 0, 0]])

    def test_prm_average_with_three_rollouts(self):
        # row 0: R' = 0 + (1.0 + 0.2) / 2 = 0.6, not 0.733 as by tokens; rows 1 and 2: 1 + 0.5 and 0 + 0
        # mean 0.7, deviations -0.1 0.8 -0.7, n - 1 std = sqrt(1.14 / 2) = 0.754983
        result = prpo_advantage(
            torch.tensor([[1.0, 1.0, 0.2], [0.5, 0.5, 0.5], [0.0, 0.0, 0.0]]),
            torch.tensor([[1, 0, 1], [1, 0, 0], [1, 0, 0]], dtype=torch.bool),
            torch.tensor([0.0, 1.0, 0.0]),
            torch.ones(3, 3),
            ["a"] * 3,
            credit="prm_avg",
        )
        assert_rows(result, [[-0.132453] * 3, [1.059626] * 3, [-0.927173] * 3])

    def test_prm_average_added_to_the_outcome_of_prpo(self):
        # beta = 1.6 - 0.55 = 1.05 and -1.05, on top of z
        assert_rows(
            advantage(credit="prm_avg_prpo"),
            [[2.435641, 2.435641, 0.357180, 0.357180], [-1.05, -1.05, 0.0, 0.0]],
        )

    def test_pure_min_form_credit(self):
        # Row 0: s = 0.8, -0.4; w = softmax(-8, 4) = 6.14e-6, 0.99999386; w s = 4.92e-6 on token 1, -0.3999975 on
        # token 3, which also gets R = 1. Return-to-go: 0.6000075 0.6000075 0.6000025 0.6000025, mean 0.600005.
        # Row 1: s = 0, w = 1; returns -1 -1, mean -1. Each row's baseline is the other's mean.
        assert_rows(
            advantage(credit="pure"),
            [[1.600007, 1.600007, 1.600002, 1.600002], [-1.600005, -1.600005, 0.0, 0.0]],
        )

    def test_pure_in_a_group_of_one_has_no_baseline(self):
        result = prpo_advantage(SCORES[1:], STARTS[1:], torch.tensor([0.25]), MASK[1:], ["solo"], credit="pure")
        assert_rows(result, [[0.25, 0.25, 0.0, 0.0]])

    def test_pure_weighs_the_lowest_segment_most(self):
        # s = 0, -0.1: w = softmax(0, 1) = 0.268941, 0.731059; rewards 0 and -0.0731059
        result = prpo_advantage(
            torch.tensor([[0.5, 0.45]]), torch.ones(1, 2, dtype=torch.bool), torch.zeros(1), torch.ones(1, 2), [0],
            credit="pure",
        )  # fmt: skip
        assert_rows(result, [[-0.073106, -0.073106]])

    def test_a_wrong_answer_at_beta_minus_one_is_pushed_up_only_above_0_789(self):
        scores = torch.tensor([[0.788, 0.790], [0.5, 0.5]])
        result = prpo_advantage(scores, STARTS[:, [0, 2]], torch.tensor([-1.0, 1.0]), torch.ones(2, 2), INDEX)
        assert result[0, 0] < 0 < result[0, 1]


def random_case(rng: random.Random):
    bs, length = rng.choice([1, 2, 5, 8]), rng.choice([1, 2, 5, 20])
    scores, starts, mask = [], [], []
    for _ in range(bs):
        begin, end = sorted((rng.randint(0, length), rng.randint(0, length)))
        holes = rng.choice([0.0, 0.3])
        mask_row = [float(begin <= c < end and rng.random() >= holes) for c in range(length)]
        valid = [c for c in range(length) if mask_row[c]]
        cuts = {c for c in valid if c == valid[0] or rng.random() < 0.3}
        score_row, score = [], rng.random()
        for c in range(length):
            if c in cuts:
                score = rng.choice([rng.random(), 0.0, 1.0, 0.5])
            score_row.append(score if mask_row[c] else NAN)
        scores.append(score_row)
        starts.append([c in cuts for c in range(length)])
        mask.append(mask_row)
    outcome = [rng.choice([1.0, -1.0, rng.uniform(-2, 2)]) for _ in range(bs)]
    index = [rng.choice("abc") for _ in range(bs)]
    return scores, starts, outcome, mask, index


@pytest.mark.parametrize("outcome_norm", ["mean", "mean_std"])
@pytest.mark.parametrize("process_norm", ["prior", "group", "group_mean"])
@pytest.mark.parametrize("credit", CREDITS)
def test_every_variant_agrees_with_the_naive_reference(credit, process_norm, outcome_norm):
    rng = random.Random(f"{credit} {process_norm} {outcome_norm}")
    options = dict(credit=credit, process_norm=process_norm, outcome_norm=outcome_norm, prior_mean=0.4, prior_std=0.3)
    for _ in range(60):
        scores, starts, outcome, mask, index = random_case(rng)
        expected = torch.tensor(reference.prpo_advantage(scores, starts, outcome, mask, index, **options))
        actual = prpo_advantage(
            torch.tensor(scores, dtype=torch.float64), torch.tensor(starts), torch.tensor(outcome, dtype=torch.float64),
            torch.tensor(mask), np.array(index, dtype=object), **options,
        )  # fmt: skip
        torch.testing.assert_close(actual, expected.double(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("credit", CREDITS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("mask_dtype", [torch.bool, torch.int32, torch.int64, torch.float32, torch.bfloat16])
def test_the_result_has_the_dtype_of_the_scores_and_fp32_accuracy(credit, dtype, mask_dtype):
    rng = random.Random(3)
    for _ in range(5):
        scores, starts, outcome, mask, index = random_case(rng)
        rounded = torch.tensor(scores).to(dtype)
        expected = reference.prpo_advantage(rounded.tolist(), starts, outcome, mask, index, credit=credit)
        actual = prpo_advantage(
            rounded,
            torch.tensor(starts),
            torch.tensor(outcome),
            torch.tensor(mask).to(mask_dtype),
            index,
            credit=credit,
        )
        assert actual.dtype == dtype
        # one rounding of the result to its dtype, on top of fp32 arithmetic
        tolerance = max(torch.finfo(dtype).eps, 4e-6)
        torch.testing.assert_close(actual.double(), torch.tensor(expected).double(), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("credit", CREDITS)
@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (3, 0)])
def test_empty_batches_and_empty_responses_give_empty_advantages(credit, shape):
    result = prpo_advantage(
        torch.zeros(shape), torch.zeros(shape, dtype=torch.bool), torch.zeros(shape[0]), torch.zeros(shape),
        np.array(["a"] * shape[0], dtype=object), credit=credit,
    )  # fmt: skip
    assert result.shape == shape


@pytest.mark.parametrize("credit", CREDITS)
def test_rows_without_a_valid_token_are_all_zero(credit):
    result = prpo_advantage(
        torch.full((3, 4), NAN), torch.zeros(3, 4, dtype=torch.bool), torch.ones(3), torch.zeros(3, 4), ["a", "a", "b"],
        credit=credit,
    )  # fmt: skip
    assert torch.equal(result, torch.zeros(3, 4))


class TestGrpoOfVerl:
    """credit="outcome" with outcome_norm="mean_std" is verl's GRPO, token for token."""

    @staticmethod
    def difference(rewards: torch.Tensor, mask: torch.Tensor, index: np.ndarray) -> float:
        bs, length = mask.shape
        token_level = torch.zeros(bs, length)
        token_level[:, 0] = rewards
        expected, _ = compute_grpo_outcome_advantage(token_level, mask, index)
        actual = prpo_advantage(
            torch.full((bs, length), 0.5), torch.zeros(bs, length, dtype=torch.bool), rewards, mask, index,
            credit="outcome", outcome_norm="mean_std",
        )  # fmt: skip
        return (actual - expected).abs().max().item()

    @pytest.mark.parametrize("size", [1, 2, 3, 8, 16, 64])
    @pytest.mark.parametrize("kind", ["signs", "binary", "normal", "constant", "wide", "large"])
    def test_to_one_millionth(self, kind, size):
        torch.manual_seed(size)
        for _ in range(10):
            rewards = {
                "signs": lambda n: torch.randint(0, 2, (n,)) * 2.0 - 1,
                "binary": lambda n: torch.randint(0, 2, (n,)).float(),
                "normal": torch.randn,
                "constant": lambda n: torch.full((n,), torch.randn(()).item()),
                "wide": lambda n: torch.randn(n) * 10,
                "large": lambda n: torch.randn(n) + 1000,
            }[kind]
            per_group = torch.cat([rewards(size) for _ in range(4)])
            index = np.repeat(np.array(["a", "b", "c", "d"], dtype=object), size)
            order = torch.randperm(len(index))
            mask = (torch.rand(len(index), 6) < 0.7).float()
            limit = 1e-6 * max(1.0, per_group.abs().max().item() if size == 1 else 1.0)
            assert self.difference(per_group[order], mask, index[order.numpy()]) <= limit

    def test_groups_of_mixed_sizes_and_ones(self):
        torch.manual_seed(0)
        index = np.array(list("abbcccddddeeeee"), dtype=object)
        for _ in range(20):
            assert self.difference(torch.randn(15), torch.ones(15, 3), index) <= 1e-6

    @pytest.mark.parametrize("reward", [0.0, 1.0, -1.0, 3.0, -7.5])
    def test_a_group_of_one(self, reward):
        assert self.difference(torch.tensor([reward]), torch.ones(1, 2), np.array(["a"], dtype=object)) <= 1e-6


class TestOneValuedGroups:
    @pytest.mark.parametrize("credit", ["prm_avg", "prpo", "prm_avg_prpo"])
    def test_equal_rewards_and_scores_are_paid_nothing_however_their_mean_rounds(self, credit):
        """An fp32 mean of equal numbers can miss them by a digit, which 1e-6 would blow up."""
        ones = torch.ones(8, 2)
        for reward in (1.0, 0.3, 5.0, 100.1):
            rewards = torch.full((8,), reward)
            found = prpo_advantage(
                0.9 * ones, ones, rewards, ones, ["a"] * 8, credit=credit, outcome_norm="mean_std", prior_mean=0.9
            )
            assert found.abs().max() < 1e-5

    """The epsilon on every measured std: what is constant has no advantage, and what nearly is stays finite."""

    @pytest.mark.parametrize("score", [0.0, 0.1, 0.7, 0.999, 1.0])
    def test_constant_process_scores_give_zero_under_the_group_norm(self, score):
        scores = torch.full((4, 500), score)
        starts = torch.zeros(4, 500, dtype=torch.bool)
        starts[:, 0] = True
        result = prpo_advantage(
            scores, starts, torch.zeros(4), torch.ones(4, 500), ["a"] * 4, credit="process", process_norm="group"
        )
        assert result.abs().max() <= 1e-3

    def test_nearly_constant_process_scores_keep_their_z_under_the_group_norm(self):
        scores = torch.full((4, 500), 0.7)
        scores[0, :50] += 1e-5
        starts = torch.zeros(4, 500, dtype=torch.bool)
        starts[:, 0] = True
        starts[0, 50] = True
        args = starts, torch.zeros(4), torch.ones(4, 500), ["a"] * 4
        exact = prpo_advantage(scores.double(), *args, credit="process", process_norm="group")
        result = prpo_advantage(scores, *args, credit="process", process_norm="group")
        torch.testing.assert_close(result, exact.float(), atol=1e-2, rtol=1e-2)

    def test_one_valid_token_in_the_group(self):
        result = prpo_advantage(
            torch.tensor([[0.9, NAN]]), torch.tensor([[True, False]]), torch.zeros(1), torch.tensor([[1, 0]]), ["a"],
            credit="process", process_norm="group",
        )  # fmt: skip
        assert_rows(result, [[0.0, 0.0]])

    @pytest.mark.parametrize("credit", CREDITS)
    def test_equal_outcomes_leave_no_outcome_advantage(self, credit):
        result = prpo_advantage(SCORES[[0, 0]], STARTS[[0, 0]], torch.ones(2), MASK[[0, 0]], INDEX, credit=credit)
        process = prpo_advantage(SCORES[[0, 0]], STARTS[[0, 0]], torch.ones(2), MASK[[0, 0]], INDEX, credit="process")
        if credit in ("outcome", "prm_avg"):
            assert torch.equal(result, torch.zeros(2, 4))
        elif credit == "trust":  # scores 0.9 and 0.3 have mean 0.6 and standard deviation 0.3
            assert_rows(result, [[1, 1, -1, -1], [1, 1, -1, -1]])
        elif credit != "pure":
            assert torch.equal(result, process)
        else:
            assert result.abs().max() < 1e-4

    def test_groups_that_agree_are_found(self):
        rewards = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0])
        assert all_equal_groups(rewards, list("abaac")).tolist() == [True, True, True, True, True]
        assert all_equal_groups(rewards, list("aabbc")).tolist() == [False, False, True, True, True]
        assert all_equal_groups(torch.zeros(0), []).tolist() == []


class TestUnscoredRows:
    def test_scored_may_be_given_as_numbers(self):
        ones = torch.ones(2, 3)
        given = [
            prpo_advantage(ones, ones, torch.zeros(2), ones, ["a", "a"], scored=s) for s in (torch.tensor([1, 0]),)
        ]
        assert given[0][1].abs().sum() == 0 and given[0][0].abs().sum() > 0

    """`scored` marks rows whose PRM request failed and the policy is to go on without them."""

    def test_their_process_advantage_is_zero_and_their_values_are_not_read(self):
        scores = torch.cat([SCORES[:1], torch.full((1, 4), NAN)])
        result = prpo_advantage(scores, STARTS, REWARDS, MASK, INDEX, scored=torch.tensor([True, False]))
        assert_rows(result, [[2.385641, 2.385641, 0.307180, 0.307180], [-1.0, -1.0, 0.0, 0.0]])

    def test_they_stay_out_of_the_group_statistics(self):
        scores = torch.cat([SCORES[:1], torch.full((1, 4), NAN)])
        result = prpo_advantage(
            scores, STARTS, REWARDS, MASK, INDEX, credit="process", process_norm="group",
            scored=torch.tensor([True, False]),
        )  # fmt: skip
        # 0.9 0.9 0.3 0.3: mean 0.6, n - 1 std sqrt(0.36 / 3) = 0.346410
        assert_rows(result, [[0.866023, 0.866023, -0.866023, -0.866023], [0.0, 0.0, 0.0, 0.0]])

    def test_they_take_the_mean_segment_score_of_their_group(self):
        scores = torch.cat([SCORES[:1], torch.full((1, 4), NAN)])
        result = prpo_advantage(
            scores, STARTS, REWARDS, MASK, INDEX, credit="prm_avg_prpo", scored=torch.tensor([True, False])
        )
        # R' = 1.6 and -1 + 0.6 = -0.4: beta = +-1
        assert_rows(result, [[2.385641, 2.385641, 0.307180, 0.307180], [-1.0, -1.0, 0.0, 0.0]])

    def test_pure_keeps_their_outcome(self):
        scores = torch.cat([SCORES[:1], torch.full((1, 4), NAN)])
        result = prpo_advantage(scores, STARTS, REWARDS, MASK, INDEX, credit="pure", scored=torch.tensor([True, False]))
        assert_rows(result, [[1.600007, 1.600007, 1.600002, 1.600002], [-2.0, -2.0, 0.0, 0.0]])

    def test_pure_pays_no_response_for_not_being_judged(self):
        """In a group of wrong answers with low scores the one without any gets what GRPO gives it: nothing."""
        starts = torch.tensor([[True, False]] * 3)
        scores = torch.tensor([[0.1, 0.1], [0.3, 0.3], [NAN, NAN]])
        scored = torch.tensor([True, True, False])
        result = prpo_advantage(
            scores, starts, torch.zeros(3), torch.ones(3, 2), ["a"] * 3, credit="pure", scored=scored
        )
        assert_rows(result, [[-0.4, -0.4], [0.4, 0.4], [0.0, 0.0]])

    READ = torch.tensor([[True, True, False, False], [True, True, True, True]])
    """The second segment of the first row was not read."""

    @pytest.mark.parametrize("process_norm", ["prior", "group", "group_mean"])
    @pytest.mark.parametrize("prior", [(0.5, 12**-0.5), (0.93, 0.003)])
    def test_the_process_advantage_of_a_segment_without_a_score_is_exactly_zero(self, process_norm, prior):
        scores = torch.where(self.READ, SCORES, NAN)
        options = {"process_norm": process_norm, "prior_mean": prior[0], "prior_std": prior[1], "scored": self.READ}
        result = prpo_advantage(scores, STARTS, REWARDS, MASK, INDEX, credit="process", **options)
        assert result[0, 2:].tolist() == [0.0, 0.0] and result[0, :2].abs().min() > 0
        assert prpo_advantage(scores, STARTS, REWARDS, MASK, INDEX, **options)[0, 2:].tolist() == [1.0, 1.0]

    def test_a_segment_without_a_score_stays_out_of_the_group_statistics(self):
        scores = torch.where(self.READ, SCORES, NAN)
        options = {"credit": "process", "process_norm": "group", "scored": self.READ}
        result = prpo_advantage(scores, STARTS, REWARDS, MASK, INDEX, **options)
        judged = self.READ & MASK.bool()
        z = (SCORES - SCORES[judged].mean()) / (SCORES[judged].std() + 1e-6)
        wanted = torch.where(judged, z, 0.0)
        torch.testing.assert_close(result, wanted)

    def test_a_segment_without_a_score_counts_in_no_mean_and_no_softmin(self):
        scores = torch.where(self.READ, SCORES, NAN)
        alone = torch.tensor([[True, False, False, False], [True, True, True, True]])
        for credit in ("prm_avg", "prm_avg_prpo"):
            result = prpo_advantage(scores, STARTS, REWARDS, MASK, INDEX, credit=credit, scored=self.READ)
            single = prpo_advantage(SCORES, STARTS & alone, REWARDS, MASK, INDEX, credit=credit)
            torch.testing.assert_close(result[0, :2], single[0, :2])
        pure = prpo_advantage(scores[:1], STARTS[:1], REWARDS[:1], MASK[:1], ["a"], credit="pure", scored=self.READ[:1])
        assert_rows(pure, [[1.8, 1.8, 1.0, 1.0]])  # 2 * 0.9 - 1 to go, then the outcome alone

    @pytest.mark.parametrize("credit", CREDITS)
    def test_a_batch_without_any_score_falls_back_to_the_outcome_alone(self, credit):
        result = prpo_advantage(
            torch.full((2, 4), NAN), STARTS, REWARDS, MASK, INDEX, credit=credit, scored=torch.tensor([False, False])
        )
        assert result.isfinite().all()
        if credit != "process":
            assert result[0].min() > 0 > result[1, :2].max()


class TestErrors:
    def test_what_is_no_tensor_is_named(self):
        with pytest.raises(TypeError, match=r"process_scores must be a torch.Tensor, got list; torch.as_tensor"):
            prpo_advantage([[0.5]], torch.ones(1, 1), torch.ones(1), torch.ones(1, 1), ["a"])

    def test_a_prior_mean_that_is_no_number_is_named(self):
        with pytest.raises(ValueError, match="prior_mean must be finite, got nan"):
            ones = torch.ones(1, 1)
            prpo_advantage(ones, ones, torch.ones(1), ones, ["a"], prior_mean=float("nan"))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"process_scores": torch.zeros(2, 5)}, r"process_scores has shape \(2, 5\), expected \(2, 4\)"),
            ({"segment_starts": torch.zeros(3, 4)}, r"segment_starts has shape \(3, 4\), expected \(2, 4\)"),
            ({"outcome_rewards": torch.zeros(3)}, r"outcome_rewards has shape \(3,\), expected \(2,\)"),
            ({"outcome_rewards": torch.zeros(2, 4)}, r"outcome_rewards has shape \(2, 4\), expected \(2,\)"),
            ({"response_mask": torch.ones(4)}, r"response_mask must be \[bs, L\], got shape \(4,\)"),
            ({"index": ["a"]}, r"index has shape \(1,\), expected \(2,\)"),
            ({"scored": torch.ones(3, dtype=torch.bool)}, r"scored has shape \(3,\), expected \(2,\)"),
            (
                {"process_scores": torch.ones(2, 4, dtype=torch.long)},
                "be a floating-point tensor, got torch.int64",
            ),
            ({"credit": "gae"}, "unknown credit 'gae'.*prpo, process, outcome, prm_avg, prm_avg_prpo, pure"),
            ({"process_norm": "batch"}, "unknown process_norm 'batch'.*prior, group"),
            ({"outcome_norm": "std"}, "unknown outcome_norm 'std'.*mean, mean_std"),
            ({"prior_std": 0.0}, "prior_std must be positive and finite, got 0.0"),
            ({"prior_std": NAN}, "prior_std must be positive and finite, got nan"),
            ({"outcome_rewards": torch.tensor([1.0, NAN])}, "outcome reward of row 1 is nan"),
            ({"outcome_rewards": torch.tensor([-math.inf, 0.0])}, "outcome reward of row 0 is -inf"),
        ],
    )
    def test_message_says_what_and_where(self, change, message):
        arguments = dict(
            process_scores=SCORES, segment_starts=STARTS, outcome_rewards=REWARDS, response_mask=MASK, index=INDEX
        )
        with pytest.raises(ValueError, match=message):
            prpo_advantage(**{**arguments, **change})

    @pytest.mark.parametrize("process_norm", ["prior", "group", "group_mean"])
    @pytest.mark.parametrize("value", [NAN, math.inf, -math.inf])
    @pytest.mark.parametrize("column", [0, 1])
    @pytest.mark.parametrize("credit", sorted(set(CREDITS) - {"outcome"}))
    def test_a_score_that_is_not_finite_under_the_mask_names_row_and_token(self, credit, process_norm, value, column):
        scores = SCORES.clone()
        scores[1, column] = value
        with pytest.raises(ValueError, match=f"process score of row 1, token {column} is {value}"):
            prpo_advantage(scores, STARTS, REWARDS, MASK, INDEX, credit=credit, process_norm=process_norm)

    def test_infinities_of_both_signs_do_not_cancel_into_silence(self):
        scores = torch.tensor([[math.inf, 0.5, -math.inf, 0.5]])
        with pytest.raises(ValueError, match="process score of row 0, token 0 is inf"):
            prpo_advantage(scores, torch.ones(1, 4, dtype=torch.bool), torch.zeros(1), torch.ones(1, 4), ["a"])

    @pytest.mark.parametrize("credit", ["prm_avg", "prm_avg_prpo", "pure"])
    def test_a_row_whose_first_valid_token_opens_no_segment_is_named(self, credit):
        starts = STARTS.clone()
        starts[1] = False
        with pytest.raises(ValueError, match="row 1"):
            prpo_advantage(SCORES, starts, REWARDS, MASK, INDEX, credit=credit)

    def test_advantages_that_overflow_the_scores_dtype_are_an_error(self):
        with pytest.raises(ValueError, match="overflow"):
            prpo_advantage(SCORES.half(), STARTS, torch.tensor([1e6, -1e6]), MASK, INDEX)
