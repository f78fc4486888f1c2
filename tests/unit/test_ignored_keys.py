# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Keys of older verl that this one takes and does not read."""

import pytest
from verl_configs import grpo, prpo

from verl_prpo.console.findings import CheckFailed, State
from verl_prpo.doctor import key_checks, wiring
from verl_prpo.settings.training_config import TrainingArguments
from verl_prpo.trainer.checks.config_check import notices
from verl_prpo.trainer.checks.ignored_keys import ignored_keys


@pytest.mark.parametrize(
    ("override", "successor", "decides"),
    [
        ("reward_model.reward_manager=dapo", "reward.reward_manager.name", True),
        ("custom_reward_function.path=/my/reward.py", "reward.custom_reward_function.path", True),
        ("custom_reward_function.name=mine", "reward.custom_reward_function.name", True),
        ("reward_model.enable=True", "reward.reward_model.enable", True),
        ("reward_model.model.path=my/rm", "reward.reward_model.model_path", True),
        ("sandbox_fusion.url=http://sandbox", "reward.sandbox_fusion.url", True),
        ("+reward_model.reward_kwargs.overlong.len=4096", "++reward.reward_kwargs.overlong.len", True),
        ("reward_model.num_workers=16", "reward.num_workers", False),
        ("reward_model.rollout.name=sglang", "reward.reward_model.rollout.name", False),
        ("+reward_model.launch_reward_fn_async=True", "", False),
        ("+reward_model.strategy=fsdp", "", False),
    ],
)  # fmt: skip
def test_each_is_named_with_the_key_that_took_its_place(override: str, successor: str, decides: bool) -> None:
    (found,) = ignored_keys(grpo(override))
    key, _, value = override.lstrip("+").partition("=")
    assert (found.key, str(found.value), found.successor, found.decides_rewards) == (key, value, successor, decides)
    assert (f"write {successor}={value}" if successor else "nothing took its place") in str(found)


def test_a_module_of_ones_own_moves_as_a_whole() -> None:
    found = ignored_keys(
        grpo(
            "reward_model.reward_loop_source=importlib",
            "reward_model.reward_loop_module_path=/my/manager.py",
            "reward_model.reward_loop_class_name=Mine",
        )
    )
    assert {one.key: one.successor for one in found} == {
        "reward_model.reward_loop_source": "reward.reward_manager.source",
        "reward_model.reward_loop_module_path": "reward.reward_manager.module.path",
        # verl puts the class's name where its managers are named, too
        "reward_model.reward_loop_class_name": "reward.reward_manager.module.name",
    }


def test_a_command_for_both_verls_is_left_alone() -> None:
    assert ignored_keys(grpo("reward_model.reward_manager=dapo", "reward.reward_manager.name=dapo")) == []
    assert ignored_keys(grpo("reward_model.reward_manager=naive")) == []  # what this verl takes anyway
    assert ignored_keys(grpo()) == []


def test_doctor_fails_where_other_rewards_would_be_trained_on() -> None:
    with pytest.raises(CheckFailed, match=r"reward_model\.reward_manager=dapo .*write reward\.reward_manager\.name="):
        key_checks.keys(grpo("reward_model.reward_manager=dapo"))
    found = key_checks.keys(grpo("reward_model.num_workers=16"))
    assert (found.state, found.details["old"]) == (State.WARNING, ["reward_model.num_workers"])


@pytest.mark.parametrize(
    ("override", "has", "lacks"),
    [
        ("reward_model.reward_manager=prime", "write reward.reward_manager.name=NAME, with a NAME of dapo, ", " prm"),
        ("reward_model.rollout.name=hf", "write reward.reward_model.rollout.name=NAME, with a NAME of ", " hf,"),
    ],
)  # fmt: skip
def test_a_name_that_this_verl_lacks_is_not_advised(override: str, has: str, lacks: str) -> None:
    (found,) = ignored_keys(grpo(override))
    assert f"this verl has no {override.partition('=')[2]}: {has}" in str(found)
    assert lacks not in str(found)


def test_a_manager_of_ones_own_is_in_no_registry() -> None:
    own = ("reward_model.reward_manager=Mine", "reward_model.reward_loop_source=importlib")
    found = {one.key: str(one) for one in ignored_keys(grpo(*own))}
    assert "write reward.reward_manager.name=Mine" in found["reward_model.reward_manager"]


def test_one_that_hydra_refuses_is_named_too() -> None:
    with pytest.raises(CheckFailed, match="launch_reward_fn_async") as failed:
        wiring.composed(TrainingArguments(("reward_model.launch_reward_fn_async=True", "reward_model.num_workers=2")))
    assert "reward_model.launch_reward_fn_async=True is a key of older verl" in failed.value.advice
    assert "take it out" in failed.value.advice and "write reward.num_workers=2" in failed.value.advice


def test_a_key_that_verl_declares_and_reads_nowhere_is_a_warning() -> None:
    found = key_checks.keys(grpo("data.return_raw_input_ids=True", "actor_rollout_ref.nccl_timeout=7"))
    assert (found.state, found.details["unread"]) == (
        State.WARNING,
        ["actor_rollout_ref.nccl_timeout", "data.return_raw_input_ids"],
    )


def test_training_with_prpo_says_it_at_its_start() -> None:
    said = [line for line in notices(prpo("custom_reward_function.path=/my/reward.py")) if line.startswith("WARNING")]
    assert said == [
        "WARNING: custom_reward_function.path=/my/reward.py is a key of older verl and has no effect: write "
        "reward.custom_reward_function.path=/my/reward.py"
    ]
