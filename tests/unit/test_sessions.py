# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Sessions with several outputs: each counts once in its group, as in verl's own GRPO."""

import numpy as np
import pytest
import torch
from verl import DataProto
from verl.trainer.ppo.v1.utils import compute_advantage_for_multi_trajectories

from verl_prpo.method.sessions import Sessions
from verl_prpo.settings.prpo import PrpoConfig
from verl_prpo.step.credit import ProcessRewards, advantages_of, without_process_rewards
from verl_prpo.step.scored_batch import Rollouts
from verl_prpo.trainer.prompts import messages_of

KEYS = ["a_0_0", "a_0_2", "a_1_0", "a_0_1", "b_x_0_0", "b_x_1_0", "b_x_1_1", "c_0_0"]
UIDS = np.array(["a", "a", "a", "a", "b_x", "b_x", "b_x", "c"], dtype=object)
REWARDS = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 3.0, 3.0, 1.0])
MASK = torch.tensor([[1, 1, 0, 1]] * 7 + [[0, 1, 1, 0]])


def given(keys=KEYS) -> ProcessRewards:
    return without_process_rewards(MASK, sessions=Sessions.of(keys))


def test_sessions_are_read_from_verls_keys():
    sessions = Sessions.of(KEYS)
    assert sessions.of_row.tolist() == [0, 0, 1, 0, 2, 3, 3, 4]
    assert sessions.final.tolist() == [False, True, True, False, True, False, True, True]
    assert sessions.several and not Sessions.of(["a_0_0", "a_1_0"]).several
    assert Sessions.of(["plain", "other"]).of_row.tolist() == [0, 1]


@pytest.mark.parametrize("norm", ["mean_std", "mean"])
def test_the_outcome_credit_is_verls_grpo_over_sessions(norm):
    settings = PrpoConfig(credit="outcome", outcome_norm=norm)
    found = advantages_of(given(), settings, REWARDS, MASK, UIDS)
    rewards = torch.zeros(MASK.shape)
    rewards[:, -1] = REWARDS
    data = DataProto.from_dict(
        {"token_level_rewards": rewards, "response_mask": MASK.float()}, non_tensors={"uid": UIDS}
    )
    wanted = compute_advantage_for_multi_trajectories(
        data, KEYS, "grpo", norm_adv_by_std_in_grpo=norm == "mean_std"
    ).batch["advantages"]
    if norm == "mean":  # verl leaves the reward of a group of one as it is, the paper's beta there is 0
        wanted[-1] = 0
    assert torch.allclose(found, wanted, atol=1e-6)


def test_trust_without_a_weight_is_verls_grpo_over_sessions_too():
    grpo = advantages_of(given(), PrpoConfig(credit="outcome", outcome_norm="mean_std"), REWARDS, MASK, UIDS)
    assert torch.allclose(advantages_of(given(), PrpoConfig(credit="trust"), REWARDS, MASK, UIDS), grpo, atol=1e-6)


def test_prpo_adds_the_sessions_outcome_to_each_outputs_own_scores():
    scores = torch.arange(8.0)[:, None].expand(8, 4) / 10
    rewards = ProcessRewards(scores, MASK.bool(), torch.ones(8, dtype=torch.bool), 0.5, 0.5, sessions=Sessions.of(KEYS))
    found = advantages_of(rewards, PrpoConfig(), REWARDS, MASK, UIDS)
    beta = torch.tensor([0.5, 0.5, -0.5, 0.5, -1.5, 1.5, 1.5, 0.0])  # of a: sessions 1 and 0; of b: 0 and 3
    assert torch.allclose(found, ((scores - 0.5) / 0.5 + beta[:, None]) * MASK, atol=1e-6)


def test_one_output_each_changes_nothing_and_padding_is_a_session_of_its_own():
    keys = [f"u{row}_0_0" for row in range(8)]
    alone = advantages_of(without_process_rewards(MASK), PrpoConfig(credit="outcome"), REWARDS, MASK, UIDS)
    assert torch.equal(alone, advantages_of(given(keys), PrpoConfig(credit="outcome"), REWARDS, MASK, UIDS))
    rollouts = Rollouts(KEYS, [1, 0, 2, 3, 5, 6, 7, 8], 10, [], [], MASK, None, [])
    spread = given().spread(rollouts).sessions
    assert spread is not None
    assert spread.of_row[rollouts.places].tolist() == Sessions.of(KEYS).of_row.tolist()
    assert spread.final[[4, 9]].tolist() == [True, True] and len(set(spread.of_row.tolist())) == 7


def test_a_later_prompt_in_no_known_template_is_one_message_of_the_user():
    from tiny_models import sentencepiece_tokenizer

    tokenizer = sentencepiece_tokenizer()
    ids = tokenizer.encode("a summary of what was said", add_special_tokens=False)
    assert messages_of(1, [], ids, tokenizer) == [{"role": "user", "content": "a summary of what was said"}]
    assert messages_of(0, [{"role": "user", "content": "q"}], ids, tokenizer) == [{"role": "user", "content": "q"}]
