# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Names that verl looks up only once it trains."""

from pathlib import Path

import pytest
from verl_configs import grpo

from verl_prpo.doctor.name_checks import unknown_names

ROLLOUT = "actor_rollout_ref.rollout"


@pytest.mark.parametrize(
    ("overrides", "advice"),
    [
        (["reward.reward_manager.name=dappo"], "did you mean reward.reward_manager.name=dapo?"),
        (["algorithm.adv_estimator=gprpo"], "algorithm.adv_estimator=prpo or algorithm.adv_estimator=grpo?"),
        (["algorithm.adv_estimator=reinforce_pp"], "algorithm.adv_estimator=reinforce_plus_plus?"),
        (["algorithm.adv_estimator=vine"], "set algorithm.adv_estimator to one of them"),
        (["actor_rollout_ref.actor.policy_loss.loss_mode=gsppo"], "loss_mode=gspo?"),
        (["trainer.v1.trainer_mode=colocated_async"], "trainer.v1.trainer_mode=colocate_async"),
        (["trainer.resume_mode=autoo"], "did you mean trainer.resume_mode=auto?"),
        (["trainer.logger=[console,wandbb]"], "did you mean trainer.logger=wandb?"),
        ([f"{ROLLOUT}.name=vlm"], f"did you mean {ROLLOUT}.name=vllm?"),
        (["actor_rollout_ref.actor.strategy=fsdpp"], "actor_rollout_ref.actor.strategy=fsdp"),
        ([f"{ROLLOUT}.agent.default_agent_loop=tool_agnet"], "default_agent_loop=tool_agent"),
        ([f"{ROLLOUT}.multi_turn.enable=True", f"{ROLLOUT}.multi_turn.format=hermess"], "multi_turn.format=hermes?"),
        ([f"{ROLLOUT}.checkpoint_engine.backend=nccll"], "checkpoint_engine.backend=nccl"),
        (["actor_rollout_ref.actor.use_kl_loss=True", "actor_rollout_ref.actor.kl_loss_type=low_var"], "low_var_kl?"),
        (["algorithm.use_kl_in_reward=True", "algorithm.kl_penalty=msee"], "algorithm.kl_penalty=mse?"),
        (["algorithm.use_kl_in_reward=True", "algorithm.kl_ctrl.type=adaptiv"], "algorithm.kl_ctrl.type=adaptive?"),
        (["actor_rollout_ref.actor.optim.optimizer=AdamWW"], "actor_rollout_ref.actor.optim.optimizer=AdamW"),
        (["actor_rollout_ref.actor.optim.optimizer_impl=torch.optimm"], "torch.optim"),
        (["reward.custom_reward_function.path=pkg://no.such.module"], "correct reward.custom_reward_function.path"),
        ([f"{ROLLOUT}.agent.agent_loop_config_path=/no/such.yaml"], "to a file that every node can read"),
        (["reward.custom_reward_function.path='~/mine.py'"], "verl takes the ~ as it stands"),
    ],
)
def test_the_nearest_that_verl_knows_is_named(overrides: list[str], advice: str) -> None:
    (found,) = unknown_names(grpo(*overrides))
    assert overrides[-1].partition("=")[0] in found.found
    assert advice in found.advice


@pytest.mark.parametrize(
    "override",
    [
        "actor_rollout_ref.actor.strategy=megatron",  # its package may be missing here
        f"{ROLLOUT}.checkpoint_engine.backend=nixl",
        f"{ROLLOUT}.name=sglang",
        "algorithm.adv_estimator=prpo",
        "reward.reward_manager.name=math_verifier",
        "trainer.logger=console",
        "actor_rollout_ref.actor.kl_loss_type=k3+",
    ],
)
def test_those_that_verl_knows_pass(override: str) -> None:
    assert unknown_names(grpo(override)) == []


def test_a_reward_function_is_looked_for_in_its_file_without_running_it(tmp_path: Path) -> None:
    file = tmp_path / "reward.py"
    file.write_text("raise SystemExit('never run')\ndef score_answer(*a, **k):\n    return 1.0\n")
    named = f"reward.custom_reward_function.path={file}"
    assert unknown_names(grpo(named, "reward.custom_reward_function.name=score_answer")) == []
    (found,) = unknown_names(grpo(named, "reward.custom_reward_function.name=score_anwser"))
    assert found.advice == "did you mean reward.custom_reward_function.name=score_answer?"
    file.write_text("def broken(:\n")
    (found,) = unknown_names(grpo(named))
    assert "cannot be read as Python" in found.found


def test_agent_loops_of_ones_own_count(tmp_path: Path) -> None:
    file = tmp_path / "loops.yaml"
    file.write_text("- name: my_agent\n  _target_: my.Loop\n")
    path = f"{ROLLOUT}.agent.agent_loop_config_path={file}"
    assert unknown_names(grpo(path, f"{ROLLOUT}.agent.default_agent_loop=my_agent")) == []
    (found,) = unknown_names(grpo(path, f"{ROLLOUT}.agent.default_agent_loop=my_agnt"))
    assert "my_agent" in found.advice
