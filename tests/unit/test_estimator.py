# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The estimator `prpo` as verl calls it: through verl's own `compute_advantage`, KL penalty and rollout correction."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from verl import DataProto
from verl.trainer.ppo.core_algos import AdvantageEstimator, FixedKLController, compute_grpo_outcome_advantage
from verl.trainer.ppo.ray_trainer import apply_kl_penalty, compute_advantage
from verl.trainer.ppo.rollout_corr_helper import compute_rollout_correction_and_add_to_batch
from verl.trainer.ppo.v1.utils import compute_advantage_for_multi_trajectories

from verl_prpo.settings.prpo import ConfigError
from verl_prpo.trainer.estimator import ProcessRewards, handed_over

STD = 0.25
MEAN = 0.5


def algorithm(**prpo) -> OmegaConf:
    return OmegaConf.create({"adv_estimator": "prpo", "prpo": prpo})


def batch(rewards, lengths, uids, width=8) -> DataProto:
    """Responses of the given lengths with the outcome reward on their last token."""
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    scores = torch.zeros(len(lengths), width)
    for row, (reward, length) in enumerate(zip(rewards, lengths, strict=True)):
        scores[row, length - 1] = reward
    tensors = {"token_level_scores": scores, "token_level_rewards": scores.clone(), "response_mask": mask}
    return DataProto.from_dict(tensors=tensors, non_tensors={"uid": np.array(uids, dtype=object)})


def rewards_of(*rows, width=8, scored=None) -> ProcessRewards:
    """Each row is a list of (length, score) segments."""
    starts = torch.zeros(len(rows), width, dtype=torch.bool)
    scores = torch.zeros(len(rows), width)
    for row, segments in enumerate(rows):
        at = 0
        for length, score in segments:
            starts[row, at] = True
            scores[row, at : at + length] = score
            at += length
    scored = torch.ones(len(rows), dtype=torch.bool) if scored is None else torch.tensor(scored)
    return ProcessRewards(scores, starts, scored, prior_mean=MEAN, prior_std=STD)


def advantages(data: DataProto, given: ProcessRewards | None, **prpo) -> torch.Tensor:
    with handed_over(given):
        result = compute_advantage(data, "prpo", config=algorithm(**prpo))
    assert torch.equal(result.batch["advantages"], result.batch["returns"])
    return result.batch["advantages"]


def grpo(data: DataProto) -> torch.Tensor:
    return compute_advantage(data, AdvantageEstimator.GRPO, config=algorithm()).batch["advantages"]


class TestThroughVerl:
    """Hand-computed: prior 0.5 +- 0.25, outcomes +1 and -1, so z is (r - 0.5) / 0.25 and beta is R."""

    def test_process_rewards_that_were_handed_over_shift_by_the_outcome(self):
        data = batch([1.0, -1.0], [5, 3], ["a", "a"])
        found = advantages(data, rewards_of([(2, 0.75), (3, 0.25)], [(3, 1.0)]))
        torch.testing.assert_close(
            found, torch.tensor([[2.0, 2.0, 0.0, 0.0, 0.0, 0, 0, 0], [1.0, 1.0, 1.0, 0, 0, 0, 0, 0]])
        )

    def test_verls_v1_entry_gives_the_same(self):
        given = rewards_of([(2, 0.75), (3, 0.25)], [(3, 1.0)])
        with handed_over(given):
            v1 = compute_advantage_for_multi_trajectories(
                batch([1.0, -1.0], [5, 3], ["a", "a"]),
                batch_keys=["a_0_0", "a_1_0"],
                adv_estimator="prpo",
                config=algorithm(),
            )
        assert torch.equal(v1.batch["advantages"], advantages(batch([1.0, -1.0], [5, 3], ["a", "a"]), given))

    def test_the_order_of_rows_changes_nothing(self):
        rows = [[(2, 0.75), (3, 0.25)], [(3, 1.0)], [(4, 0.1)], [(1, 0.2), (1, 0.9)]]
        outcome, lengths, uids = [1.0, -1.0, 1.0, 1.0], [5, 3, 4, 2], ["a", "a", "b", "b"]
        order = [2, 0, 3, 1]
        plain = advantages(batch(outcome, lengths, uids), rewards_of(*rows))
        mixed = advantages(
            batch([outcome[i] for i in order], [lengths[i] for i in order], [uids[i] for i in order]),
            rewards_of(*(rows[i] for i in order)),
        )
        torch.testing.assert_close(mixed, plain[order])

    def test_the_configured_prior_goes_before_that_of_the_family(self):
        data = batch([1.0], [2], ["a"])
        given = rewards_of([(2, 0.75)])
        assert advantages(data, given)[0, 0] == pytest.approx(1.0)
        assert advantages(data, given, prior_mean=0.0)[0, 0] == pytest.approx(3.0)
        assert advantages(data, given, prior_std=0.125)[0, 0] == pytest.approx(2.0)
        assert advantages(data, given, prior_mean=0.25, prior_std=1.0)[0, 0] == pytest.approx(0.5)

    def test_the_outcome_weight_scales_the_outcome_alone(self):
        given = rewards_of([(2, 0.75)], [(2, 0.75)])
        found = advantages(batch([1.0, 0.0], [2, 2], ["a", "a"]), given, outcome_weight=2.0)
        assert found[:, 0].tolist() == pytest.approx([1.0 + 1.0, 1.0 - 1.0])

    def test_rows_without_scores_are_trained_on_their_outcome_alone(self):
        data = batch([1.0, -1.0], [3, 3], ["a", "a"])
        found = advantages(data, rewards_of([(3, 0.75)], [(3, 0.0)], scored=[True, False]))
        assert found[:, :3].tolist() == [[2.0] * 3, [-1.0] * 3]

    def test_groups_that_agree_can_be_skipped_and_others_are_not(self):
        data = batch([1.0, 1.0, 1.0, -1.0], [2, 2, 2, 2], ["a", "a", "b", "b"])
        given = rewards_of(*([(2, 0.75)] for _ in range(4)))
        kept = advantages(data, given)
        skipped = advantages(data, given, skip_all_equal_groups=True)
        assert kept[:2, :2].tolist() == [[1.0, 1.0]] * 2
        assert not skipped[:2].any()
        assert torch.equal(skipped[2:], kept[2:])


class TestBadInput:
    def test_missing_process_scores_name_the_settings_of_a_trainer_that_has_them(self):
        with pytest.raises(ConfigError, match=r"no process scores.*trainer\.use_v1=True.*trainer_mode"):
            advantages(batch([1.0], [3], ["a"]), None)

    def test_scores_do_not_outlive_the_call_they_were_handed_to(self):
        data = batch([1.0], [3], ["a"])
        advantages(data, rewards_of([(3, 0.5)]))
        with pytest.raises(ConfigError, match="no process scores"):
            compute_advantage(data, "prpo", config=algorithm())
        with pytest.raises(RuntimeError, match="boom"), handed_over(rewards_of([(3, 0.5)])):
            raise RuntimeError("boom")
        with pytest.raises(ConfigError, match="no process scores"):
            compute_advantage(data, "prpo", config=algorithm())

    def test_a_score_that_is_not_finite_names_the_row(self):
        given = rewards_of([(3, 0.5)], [(2, float("nan"))])
        with pytest.raises(ValueError, match=r"process score of row 1, token 0 is nan"):
            advantages(batch([1.0, 1.0], [3, 2], ["a", "a"]), given)

    def test_an_outcome_that_is_not_finite_names_the_row(self):
        with pytest.raises(ValueError, match=r"outcome reward of row 1 is nan"):
            advantages(batch([1.0, float("nan")], [3, 2], ["a", "a"]), rewards_of([(3, 0.5)], [(2, 0.5)]))

    def test_scores_of_another_batch_are_refused(self):
        with pytest.raises(ValueError, match=r"expected \(1, 8\) to fit response_mask"):
            advantages(batch([1.0], [3], ["a"]), rewards_of([(3, 0.5)], [(3, 0.5)]))

    def test_an_unknown_key_is_named_with_the_nearest_one(self):
        with pytest.raises(ConfigError, match=r"algorithm\.prpo\.credits is not a setting; did you mean"):
            advantages(batch([1.0], [3], ["a"]), rewards_of([(3, 0.5)]), credits="prpo")


OUTCOME_ONLY = {"credit": "outcome", "outcome_norm": "mean_std"}


class TestOutcomeOnlyIsGrpo:
    """`credit=outcome` with `outcome_norm=mean_std` is verl's GRPO, token for token, and needs no PRM."""

    @pytest.mark.parametrize("kind", ["plus or minus one", "zero or one", "real"])
    def test_on_groups_of_any_size(self, kind):
        source = torch.Generator().manual_seed(1)
        sizes = [1, 2, 3, 8, 8, 5]
        uids = [f"u{g}" for g, size in enumerate(sizes) for _ in range(size)]
        bits = torch.randint(0, 2, (len(uids),), generator=source).float()
        real = torch.randn(len(uids), generator=source)
        outcome = {"plus or minus one": bits * 2 - 1, "zero or one": bits, "real": real}[kind].tolist()
        lengths = torch.randint(1, 9, (len(uids),), generator=source).tolist()
        order = torch.randperm(len(uids), generator=source).tolist()
        uids, outcome, lengths = ([column[i] for i in order] for column in (uids, outcome, lengths))
        expected = grpo(batch(outcome, lengths, uids))
        found = advantages(batch(outcome, lengths, uids), None, **OUTCOME_ONLY)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)

    def test_process_rewards_that_are_there_change_nothing(self):
        data = batch([1.0, -1.0, 1.0], [5, 3, 2], ["a", "a", "a"])
        given = rewards_of([(5, 0.9)], [(3, 0.9)], [(2, 0.1)])
        torch.testing.assert_close(advantages(data, given, **OUTCOME_ONLY), grpo(data), atol=1e-6, rtol=0)

    def test_with_a_kl_penalty_in_the_reward(self):
        data = penalised(batch([1.0, -1.0, 1.0, 1.0], [5, 3, 2, 8], ["a", "a", "b", "b"]))
        assert not torch.equal(data.batch["token_level_rewards"], data.batch["token_level_scores"])
        torch.testing.assert_close(advantages(data, None, **OUTCOME_ONLY), grpo(data), atol=1e-6, rtol=0)

    def test_with_tokens_that_rollout_correction_rejected(self):
        data = corrected(batch([1.0, -1.0], [5, 3], ["a", "a"]), rejected=[(0, 0), (0, 3), (1, 0), (1, 1), (1, 2)])
        found = advantages(data, None, **OUTCOME_ONLY)
        expected, _ = compute_grpo_outcome_advantage(
            data.batch["token_level_rewards"], data.batch["response_mask"], data.non_tensor_batch["uid"]
        )
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
        assert not found[1].any()


def penalised(data: DataProto) -> DataProto:
    """verl's own KL penalty in the reward, from log-probs that differ from the reference's."""
    source = torch.Generator().manual_seed(2)
    shape = data.batch["response_mask"].shape
    data.batch["old_log_probs"] = -torch.rand(shape, generator=source)
    data.batch["ref_log_prob"] = -torch.rand(shape, generator=source)
    data, _ = apply_kl_penalty(data, FixedKLController(0.1), kl_penalty="kl")
    return data


def corrected(data: DataProto, rejected: list[tuple[int, int]]) -> DataProto:
    """verl's own rollout correction, with log-probs that lie far apart on the tokens to reject."""
    data.batch["old_log_probs"] = torch.full(data.batch["response_mask"].shape, -1.0)
    data.batch["rollout_log_probs"] = data.batch["old_log_probs"].clone()
    for row, column in rejected:
        data.batch["rollout_log_probs"][row, column] = -4.0
    settings = OmegaConf.create({"rollout_rs": "token_k1", "rollout_rs_threshold": "0.5_2.0"})
    data, _ = compute_rollout_correction_and_add_to_batch(data, settings)
    for row, column in rejected:
        assert data.batch["response_mask"][row, column] == 0
    return data


class TestKlInReward:
    def test_the_penalty_is_part_of_the_outcome(self):
        data = penalised(batch([1.0, -1.0], [5, 3], ["a", "a"]))
        outcome = data.batch["token_level_rewards"].sum(1)
        beta = outcome - outcome.mean()
        found = advantages(data, rewards_of([(5, 0.75)], [(3, 0.5)]))
        expected = (torch.tensor([1.0, 0.0]) + beta)[:, None] * data.batch["response_mask"]
        torch.testing.assert_close(found, expected)


class TestRolloutCorrection:
    ROWS = ([(2, 0.75), (3, 0.25)], [(3, 1.0)])
    EXPECTED = torch.tensor([[2.0, 2.0, 0.0, 0.0, 0.0, 0, 0, 0], [1.0, 1.0, 1.0, 0, 0, 0, 0, 0]])

    @pytest.mark.parametrize(
        "rejected",
        [
            pytest.param([(0, 1), (1, 1)], id="inside a segment"),
            pytest.param([(0, 0), (0, 2)], id="first token of each segment"),
            pytest.param([(0, 0), (0, 1)], id="a whole segment"),
            pytest.param([(1, 0), (1, 1), (1, 2)], id="a whole response"),
        ],
    )
    @pytest.mark.parametrize("credit", ["prpo", "process"])
    def test_rejected_tokens_get_0_and_the_others_keep_their_advantage(self, rejected, credit):
        data = corrected(batch([1.0, -1.0], [5, 3], ["a", "a"]), rejected)
        beta = torch.tensor([[1.0], [-1.0]]) if credit == "prpo" else torch.zeros(2, 1)
        z = torch.tensor([[1.0, 1, -1, -1, -1, 0, 0, 0], [2.0, 2, 2, 0, 0, 0, 0, 0]])
        expected = (z + beta) * data.batch["response_mask"]
        torch.testing.assert_close(advantages(data, rewards_of(*self.ROWS), credit=credit), expected)

    @pytest.mark.parametrize("credit", ["prm_avg", "prm_avg_prpo", "pure"])
    def test_a_segment_that_lost_its_first_token_still_counts_as_one(self, credit):
        whole = batch([1.0, -1.0], [5, 3], ["a", "a"])
        found = advantages(
            corrected(batch([1.0, -1.0], [5, 3], ["a", "a"]), [(0, 2)]), rewards_of(*self.ROWS), credit=credit
        )
        assert found[0, 2] == 0 and found.isfinite().all()
        if credit != "pure":  # PURE's baseline is a mean over the tokens that are left
            expected = advantages(whole, rewards_of(*self.ROWS), credit=credit)
            expected[0, 2] = 0
            torch.testing.assert_close(found, expected)
