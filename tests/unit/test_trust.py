# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The credit "trust": GRPO where outcomes rank a group, the PRM's word with an earned weight where they cannot."""

import json
import math
import random

import numpy as np
import pytest
import torch
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage

from verl_prpo.method.advantage import prpo_advantage
from verl_prpo.method.segmentation import uniform_segments
from verl_prpo.method.trust import DECAY, Agreement, Trust, agreement
from verl_prpo.settings.prpo import ConfigError, PrpoConfig, prpo_config
from verl_prpo.step.credit import OutcomeRewards, ProcessRewards, advantages_of
from verl_prpo.step.trust import FILE, Judged, RunTrust
from verl_prpo.telemetry.metrics import trust_metrics

NAN = float("nan")
TOKENS = 5


def batch(rng, groups=16, rollouts=8, score=None, right=None, longer_when_wrong=True):
    """Scores `[bs, L]`, right `[bs]`, mask and index; a segment has five tokens. `score(right, prompt)` is asked once a
    segment."""
    rows = groups * rollouts
    scores, mask = torch.zeros(rows, 6 * TOKENS), torch.zeros(rows, 6 * TOKENS, dtype=torch.long)
    outcome = torch.zeros(rows)
    for group in range(groups):
        chance, prompt = rng.random(), rng.random()
        for row in range(group * rollouts, (group + 1) * rollouts):
            fine = rng.random() < chance if right is None else right(row)
            outcome[row] = float(fine)
            segments = 1 if fine or not longer_when_wrong else 6
            mask[row, : segments * TOKENS] = 1
            for k in range(segments):
                scores[row, k * TOKENS : (k + 1) * TOKENS] = score(fine, prompt)
    return scores, outcome, mask, [row // rollouts for row in range(rows)]


def weights_of(score, steps, **options):
    rng, trust, weights = random.Random(0), Trust(), []
    for step in range(steps):
        trust.observe(step, "b", {"": agreement(*batch(rng, score=lambda f, p: score(rng, f, p), **options))})
        weights.append(trust.weight(""))
    return weights


class TestEarning:
    @pytest.mark.parametrize("groups", [4, 16, 48])
    @pytest.mark.parametrize(
        "score",
        [
            pytest.param(lambda rng, fine, prompt: rng.random(), id="uniform"),
            pytest.param(lambda rng, fine, prompt: float(rng.random() < 0.9), id="one in ten flagged"),
            pytest.param(lambda rng, fine, prompt: float(rng.random() < 0.3 + prompt / 2), id="errors by prompt"),
        ],
    )
    def test_a_prm_that_answers_at_random_earns_nothing_though_wrong_responses_are_longer(self, score, groups):
        steps = 1000 if groups == 4 else 300 if groups == 16 else 60
        weights = weights_of(score, steps, groups=groups)
        assert max(weights) < 0.05
        assert sum(weight > 0 for weight in weights) <= 0.002 * steps

    def test_any_flag_would_have_been_fooled_by_those_lengths(self):
        rng = random.Random(0)
        scores, right, mask, _ = batch(rng, groups=200, score=lambda f, p: float(rng.random() < 0.5))
        flagged = ((scores < 0.5) & mask.bool()).any(1).float()
        informedness = flagged[right == 0].mean() - flagged[right == 1].mean()
        assert informedness > 0.4  # 1 - 0.5^6 less 1 - 0.5^1

    @pytest.mark.parametrize("score", [lambda rng, f, p: 0.7, lambda rng, f, p: 1.0 - f, lambda rng, f, p: 0.1 + 0.2])
    def test_constant_scores_and_the_reverse_of_the_truth_earn_nothing(self, score):
        assert set(weights_of(score, 30)) == {0.0}

    def test_the_truth_earns_nearly_everything(self):
        assert weights_of(lambda rng, fine, prompt: float(fine), 30)[-1] > 0.7

    def test_a_prm_that_is_half_right_earns_less_than_one_that_is_right(self):
        half = weights_of(lambda rng, f, p: float(f) if rng.random() < 0.5 else rng.random(), 30)[-1]
        full = weights_of(lambda rng, f, p: float(f), 30)[-1]
        assert 0.1 < half < full

    def test_trust_comes_with_evidence_and_goes_with_it(self):
        rng, trust = random.Random(0), Trust()
        weights = []
        for step in range(60):
            score = (lambda f, p: float(f)) if step < 20 else (lambda f, p: rng.random())
            trust.observe(step, "b", {"": agreement(*batch(rng, groups=12, score=score))})
            weights.append(trust.weight(""))
        assert weights[0] < weights[19] and weights[19] > 0.6
        assert max(weights[50:]) == 0

    def test_up_to_sixteen_mixed_groups_earn_nothing_whatever_they_say(self):
        rng = random.Random(0)
        few = agreement(*batch(rng, groups=16, right=lambda row: row % 2, score=lambda f, p: float(f)))
        assert (few.groups, few.correlation, few.weight) == (16, pytest.approx(1.0), 0.0)
        many = agreement(*batch(rng, groups=100, right=lambda row: row % 2, score=lambda f, p: float(f)))
        assert many.weight == pytest.approx(1 - 4 / math.sqrt(100))

    def test_by_hand(self):
        # Group a: m = 0.9, 0.5 (right, wrong): x = 0.2, -0.2; a = 1, -1. Group b: m = 0.2, 0.4, 0.6 (right, wrong,
        # wrong): x = -0.2, 0, 0.2; share 1/3, std sqrt(2)/3, a = sqrt(2), -1/sqrt(2), -1/sqrt(2). Group c is all right.
        scores = torch.tensor([[0.9], [0.5], [0.2], [0.4], [0.6], [0.3], [0.8]], dtype=torch.float64)
        right = torch.tensor([1.0, 0, 1, 0, 0, 1, 1])
        found = agreement(scores, right, torch.ones(7, 1), list("aabbbcc"))
        b = -0.2 * math.sqrt(2) - 0.2 / math.sqrt(2)
        assert found.cross == pytest.approx(0.4 + b)
        assert found.cross_squared == pytest.approx(0.4**2 + b**2)
        assert found.scores == pytest.approx(4 * 0.04)
        assert found.verdicts == pytest.approx(2 + 3)
        assert found.groups == 2
        assert found.correlation == pytest.approx((0.4 + b) / math.sqrt(0.16 * 5))


class TestWhatCounts:
    SCORES = torch.tensor([[0.9, 0.9], [0.5, 0.5], [0.2, 0.2], [0.6, 0.6]])
    RIGHT = torch.tensor([1.0, 0.0, 1.0, 0.0])
    MASK = torch.ones(4, 2)

    def found(self, **options):
        given = {"scored": None, "left_out": None, "right": self.RIGHT, "scores": self.SCORES, "mask": self.MASK}
        given |= options
        return agreement(
            given["scores"],
            given["right"],
            given["mask"],
            list("aabb"),
            scored=given["scored"],
            left_out=given["left_out"],
        )

    def test_a_group_without_both_outcomes_says_nothing(self):
        assert self.found(right=torch.tensor([1.0, 1, 0, 0])) == Agreement()
        assert self.found(right=torch.tensor([1.0, NAN, 0, NAN])) == Agreement()

    def test_cut_off_unscored_and_unknown_responses_are_no_part_of_a_group(self):
        rows = torch.tensor([0, 0, 0, 1])
        alone = agreement(self.SCORES[:2], self.RIGHT[:2], self.MASK[:2], list("aa"))
        assert self.found(left_out=rows.bool()) == alone
        assert self.found(scored=~rows.bool()) == alone
        assert self.found(right=torch.tensor([1.0, 0, 1, NAN])) == alone

    def test_unread_tokens_and_what_stands_outside_the_mask_do_not_count(self):
        scores = self.SCORES.clone()
        scores[:, 1] = NAN
        read = torch.tensor([[1, 0]] * 4).bool()
        assert self.found(scores=scores, scored=read) == self.found()
        assert self.found(scores=scores, mask=read) == self.found()

    def test_order_and_padding_change_nothing(self):
        rng = random.Random(3)
        scores, right, mask, index = batch(rng, score=lambda f, p: rng.random())
        expected = agreement(scores, right, mask, index)
        order = torch.randperm(len(right), generator=torch.Generator().manual_seed(1))
        wide = torch.nn.functional.pad(scores[order], (0, 7), value=NAN)
        found = agreement(wide, right[order], torch.nn.functional.pad(mask[order], (0, 7)), np.array(index)[order])
        for name in ("cross", "scores", "verdicts", "cross_squared", "groups"):
            assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-12)

    @pytest.mark.parametrize("shift, scale", [(0, 2), (-0.5, 1), (3, 100), (-7, 1e-3)])
    def test_no_unit_of_the_scores_has_to_be_known(self, shift, scale):
        rng = random.Random(3)
        scores, right, mask, index = batch(rng, groups=80, score=lambda f, p: 0.5 * f + rng.random())
        found = agreement(scores.double() * scale + shift, right, mask, index)
        expected = agreement(scores.double(), right, mask, index)
        assert found.weight == pytest.approx(expected.weight) and found.weight > 0

    def test_an_empty_batch_says_nothing(self):
        assert agreement(torch.zeros(0, 3), torch.zeros(0), torch.zeros(0, 3), []) == Agreement()


class TestRun:
    def test_a_batch_that_comes_again_counts_once_and_another_of_the_step_adds(self):
        one = Agreement(1.0, 2.0, 3.0, 4.0, 5.0)
        trust = Trust()
        trust.observe(1, "a", {"": one})
        trust.observe(1, "a", {"": one})
        assert trust.of[""] == one
        trust.observe(1, "b", {"": one})
        assert trust.of[""] == one + one
        trust.observe(2, "a", {"": one})
        assert trust.of[""].cross == pytest.approx(2 * DECAY + 1)
        assert trust.of[""].cross_squared == pytest.approx(8 * DECAY**2 + 4)

    def test_a_resumed_run_goes_on_with_the_same_weight(self, tmp_path):
        settings = PrpoConfig(credit="trust")
        rng = random.Random(0)
        batches = [batch(rng, groups=20, score=lambda f, p: 0.4 * f + rng.random()) for _ in range(6)]
        whole, first, second = RunTrust(settings), RunTrust(settings), RunTrust(settings)
        expected = [run(whole, step, b) for step, b in enumerate(batches)]
        for step, b in enumerate(batches[:3]):
            run(first, step, b)
        first.save(tmp_path / "global_step_3")
        assert second.load(tmp_path / "global_step_3") is None
        found = [run(second, step + 3, b) for step, b in enumerate(batches[3:])]
        for ours, theirs in zip(found, expected[3:], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
        assert float(found[-1][0]) > 0

    @pytest.mark.parametrize(
        "text, said",
        [(None, "is not there"), ("{", "cannot be used"), ('{"": {"cross": 1}}', "cannot be used"), ("[]", "cannot")],
    )
    def test_a_checkpoint_without_usable_counts_is_said_and_training_goes_on(self, tmp_path, text, said):
        if text is not None:
            (tmp_path / FILE).write_text(text)
        trust = RunTrust(PrpoConfig(credit="trust"))
        line = trust.load(tmp_path)
        assert said in line and "measured anew" in line
        assert run(trust, 1, batch(random.Random(0), score=lambda f, p: float(f))).shape == (128,)

    def test_each_data_source_earns_its_own(self):
        rng = random.Random(0)
        trust = RunTrust(PrpoConfig(credit="trust"))
        sources = ["math" if row < 64 * 8 else "code" for row in range(128 * 8)]
        for step in range(4):
            scores, right, mask, index = batch(rng, groups=128, score=lambda f, p: rng.random())
            scores[: 64 * 8] = right[: 64 * 8, None]
            weights = run(trust, step, (scores, right, mask, index), sources)
        assert float(weights[0]) > 0.5 and float(weights[-1]) == 0
        metrics = trust_metrics(trust.of, sources, weights)
        assert metrics["prpo/trust/earned/code"] == 0
        assert metrics["prpo/trust/earned/math"] == pytest.approx(float(weights[0]))
        assert metrics["prpo/trust/weight"] == pytest.approx(float(weights[0]) / 2)

    def test_a_fixed_weight_is_used_and_what_was_earned_is_logged_beside_it(self):
        trust = RunTrust(PrpoConfig(credit="trust", process_weight=0.3))
        given = batch(random.Random(0), groups=150, score=lambda f, p: float(f))
        assert run(trust, 1, given).unique().tolist() == [pytest.approx(0.3)]
        assert trust_metrics(trust.of, ["x"])["prpo/trust/earned"] > 0.3
        assert trust.lines(1) == []

    def test_it_says_when_the_weight_leaves_zero_and_when_it_comes_back(self):
        rng, trust, said = random.Random(0), RunTrust(PrpoConfig(credit="trust")), []
        for step in range(60):
            score = (lambda f, p: float(f)) if step < 20 else (lambda f, p: 1.0 - f)
            run(trust, step, batch(rng, groups=12, score=score))
            said += [(step, line) for line in trust.lines(step)]
        assert len(said) == 2
        assert said[0][0] < 10 and "has earned a weight of 0." in said[0][1]
        assert said[1][0] > 20 and "has lost its weight. Training is GRPO" in said[1][1]


def run(trust, step, given, sources=None):
    """The weights of a batch of `batch`."""
    scores, right, mask, index = given
    rewards = ProcessRewards(scores, mask.bool(), torch.ones_like(mask, dtype=torch.bool), 0.5, 1.0)
    judged = Judged([bool(r) for r in right], index, sources or ["x"] * len(right))
    return trust.weights(step, f"batch {step}", rewards, mask, judged)


class TestAdvantage:
    def given(self, seed=0, signed=True):
        rng = random.Random(seed)
        scores, right, mask, index = batch(rng, groups=12, rollouts=4, score=lambda f, p: rng.random())
        right[:4], right[4:8] = 0.0, 1.0  # one group all wrong, one all right
        rewards = 2 * right - 1 if signed else right
        return scores, uniform_segments(mask, 3), rewards, mask, np.array([str(i) for i in index], dtype=object)

    def advantage(self, given, **options):
        return prpo_advantage(*given, credit="trust", **options)

    def grpo(self, given):
        _, _, rewards, mask, index = given
        tokens = torch.zeros_like(mask, dtype=torch.float)
        tokens[torch.arange(len(mask)), mask.sum(1) - 1] = rewards
        return compute_grpo_outcome_advantage(tokens, mask, index)[0]

    def test_a_weight_of_zero_is_verls_grpo_bit_for_bit(self):
        for seed in range(20):
            given = self.given(seed)
            assert torch.equal(self.advantage(given, process_weight=0.0), self.grpo(given))
            rows = torch.zeros(len(given[2]))
            assert torch.equal(self.advantage(given, process_weight=rows), self.grpo(given))

    def test_rows_without_scores_are_verls_grpo_bit_for_bit(self):
        given = self.given()
        nothing = torch.zeros(len(given[2]), dtype=torch.bool)
        assert torch.equal(self.advantage(given, scored=nothing), self.grpo(given))

    def test_mixed_groups_are_verls_grpo_whatever_the_weight(self):
        given = self.given()
        found = self.advantage(given, process_weight=0.7)
        rewards = given[2].view(12, 4)
        mixed = (rewards.min(1)[0] != rewards.max(1)[0]).repeat_interleave(4)
        assert mixed.any() and torch.equal(found[mixed], self.grpo(given)[mixed])

    def test_all_equal_groups_get_the_score_relative_to_their_group(self):
        scores = torch.tensor([[0.9, 0.9, 0.3], [0.5, 0.0, 0.0], [0.2, 0.2, 0.2], [0.6, 0.6, 0.6]])
        mask = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 1], [1, 1, 1]])
        rewards = torch.tensor([-1.0, -1.0, 1.0, -1.0])
        found = prpo_advantage(
            scores, mask.bool(), rewards, mask, ["a", "a", "b", "b"], credit="trust", process_weight=0.5
        )
        # Group a: mean 0.65, deviations 0.25, 0.25, -0.35, -0.15. Group b: mean 0.4, deviations 3 x -0.2, 3 x 0.2.
        s = math.sqrt((2 * 0.25**2 + 0.35**2 + 0.15**2 + 6 * 0.2**2) / 10)
        expected = torch.tensor([[0.25, 0.25, -0.35], [-0.15, 0, 0]]) * 0.5 / s
        torch.testing.assert_close(found[:2], expected, rtol=0, atol=1e-5)
        assert found[2:].abs().unique().tolist() == [pytest.approx(0.7071, abs=1e-4)]

    def test_the_process_part_sums_to_zero_in_each_group(self):
        given = self.given()
        found = self.advantage(given, process_weight=1.0) - self.grpo(given)
        assert found[:8].abs().sum() > 1
        for group in (slice(0, 4), slice(4, 8)):
            assert found[group].sum().item() == pytest.approx(0, abs=1e-4)

    def test_equal_scores_pay_nothing(self):
        given = self.given()
        scores = torch.full_like(given[0], 0.1) + 0.2
        assert torch.equal(self.advantage((scores, *given[1:]), process_weight=1.0), self.grpo(given))

    @pytest.mark.parametrize("shift, scale", [(0, 2), (-0.5, 1), (3, 100)])
    def test_no_prior_has_to_be_known(self, shift, scale):
        given = self.given()
        other = self.advantage((given[0] * scale + shift, *given[1:]), process_weight=0.6)
        torch.testing.assert_close(other, self.advantage(given, process_weight=0.6), rtol=0, atol=1e-3)

    def test_rewards_of_zero_and_one_train_the_same(self):
        signed, plain = self.given(), self.given(signed=False)
        found = self.advantage(plain, process_weight=0.6)
        torch.testing.assert_close(found, self.advantage(signed, process_weight=0.6), rtol=0, atol=1e-5)

    def test_order_and_padding_change_nothing(self):
        scores, starts, rewards, mask, index = self.given()
        expected = self.advantage((scores, starts, rewards, mask, index), process_weight=0.6)
        order = torch.randperm(len(rewards), generator=torch.Generator().manual_seed(1))
        wide = [torch.nn.functional.pad(part[order], (0, 5)) for part in (scores, starts, mask)]
        given = (wide[0], wide[1], rewards[order], wide[2], index[order.numpy()])
        found = self.advantage(given, process_weight=0.6)
        torch.testing.assert_close(found[:, :-5], expected[order], rtol=0, atol=1e-6)
        assert found[:, -5:].abs().max() == 0

    def test_verdicts_say_which_groups_agree_where_a_length_penalty_spreads_the_rewards(self):
        given = self.given()
        penalty = torch.linspace(0, 0.1, len(given[2]))
        spread = (given[0], given[1], given[2] - penalty, *given[3:])
        agree = torch.zeros(len(penalty), dtype=torch.bool)
        agree[:8] = True
        plain = self.advantage(given, process_weight=0.5, agree=agree) - self.grpo(given)
        found = self.advantage(spread, process_weight=0.5, agree=agree) - self.grpo(spread)
        torch.testing.assert_close(found, plain, rtol=0, atol=1e-6)
        assert torch.equal(self.advantage(spread, process_weight=0.5), self.grpo(spread))  # by reward no group agrees

    @pytest.mark.parametrize("weight", [-0.1, NAN, float("inf"), torch.zeros(3), torch.full((48,), -1.0)])
    def test_a_weight_that_is_none_is_refused(self, weight):
        with pytest.raises(ValueError, match="process_weight"):
            self.advantage(self.given(), process_weight=weight)

    @pytest.mark.parametrize("rewards", [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    def test_groups_of_one_and_single_groups_are_fine(self, rewards):
        scores, mask = torch.tensor([[0.9, 0.1], [0.4, 0.4]]), torch.ones(2, 2)
        for index in (["a", "b"], ["a", "a"]):
            found = prpo_advantage(scores, mask.bool(), torch.tensor(rewards), mask, index, credit="trust")
            assert found.isfinite().all()


class TestSettings:
    def test_the_settings_reach_the_advantage(self):
        scores, right, mask, index = batch(random.Random(0), groups=4, rollouts=4, score=lambda f, p: random.random())
        right[:4] = 0
        outcomes = OutcomeRewards(right, torch.arange(16) < 4, torch.zeros(16, dtype=torch.bool))
        given = ProcessRewards(scores, mask.bool(), torch.ones(16, dtype=torch.bool), 0.5, 0.3, outcomes)
        settings = PrpoConfig(credit="trust")
        nothing = advantages_of(given, settings, right, mask, np.array(index))
        given.weights = torch.full((16,), 0.4)
        something = advantages_of(given, settings, right, mask, np.array(index))
        assert nothing[:4].abs().max() == 0 and something[:4].abs().max() > 0.1
        assert torch.equal(nothing[4:], something[4:])

    @pytest.mark.parametrize("value", ["auto", 0, 0.5, "0.5", 2])
    def test_what_is_a_weight(self, value):
        found = prpo_config({"prpo": {"credit": "trust", "process_weight": value}}).process_weight
        assert found == (value if value == "auto" else float(value))

    @pytest.mark.parametrize("value", ["automatic", -0.5, True, "nan", None])
    def test_what_is_none(self, value):
        with pytest.raises(ConfigError, match=r"algorithm\.prpo\.process_weight.*auto or a number of at least 0"):
            prpo_config({"prpo": {"credit": "trust", "process_weight": value}})

    def test_it_is_refused_where_nothing_reads_it(self):
        with pytest.raises(ConfigError, match=r"credit=trust alone.*prior_std"):
            prpo_config({"prpo": {"process_weight": 0.5}})
        with pytest.raises(ConfigError, match="skip_all_equal_groups=False"):
            prpo_config({"prpo": {"credit": "trust", "skip_all_equal_groups": True}})

    def test_a_checkpoint_holds_plain_json(self, tmp_path):
        trust = RunTrust(PrpoConfig(credit="trust"))
        run(trust, 1, batch(random.Random(0), groups=20, score=lambda f, p: float(f)))
        trust.save(tmp_path)
        assert json.loads((tmp_path / FILE).read_text())["x"]["groups"] > 5
