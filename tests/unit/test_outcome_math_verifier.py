# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The reward manager `math_verifier`: rewards, length penalty, reports, and mistakes named before Ray starts."""

import copy
import re

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf, open_dict
from tiny_models import qwen_tokenizer
from transformers import AddedToken
from verl import DataProto
from verl.trainer.ppo.metric_utils import process_validation_metrics
from verl.trainer.ppo.reward import load_reward_manager, resolve_reward_manager_cls
from verl.utils.ray_utils import get_event_loop
from verl_configs import grpo, prpo, validate

from verl_prpo.outcome import pool
from verl_prpo.outcome.math_verifier import MathVerifierRewardManager, length_penalty
from verl_prpo.settings.outcome import MathVerifierConfig, math_verifier_config
from verl_prpo.settings.prpo import ConfigError
from verl_prpo.trainer.checks.config_check import check_config, notices
from verl_prpo.trainer.reward_manager import PrmRewardManager, wire

MATH = "DigitalLearningGmbH/MATH-lighteval"
NAMED = "reward.reward_manager.name=math_verifier"
RIGHT = r"Half of it: $\boxed{0.5}$"
WRONG = r"Twice of it: $\boxed{2}$"
SURD = r"$\boxed{\frac{\sqrt{12}}{\sqrt{48}}}$"
KEYS = {"acc": float, "pred": str, "method": str, "undecided": float, "outcome": float, "length_penalty": float}


@pytest.fixture(scope="module")
def tokenizer():
    return qwen_tokenizer(separator=None)


def rollout(tokenizer, text: str, question: str = "What is half of one?", **meta) -> DataProto:
    """One finished response to a problem whose answer is one half, padded, as the agent loop hands it on."""
    ids = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    prompt = tokenizer.encode(question, add_special_tokens=False)
    columns = {
        "data_source": MATH,
        "reward_model": {"style": "rule", "ground_truth": r"\frac{1}{2}"},
        "extra_info": {"index": 3},
        "raw_prompt": [{"role": "user", "content": "What is half of one?"}],
        "__num_turns__": 2,
    }
    arrays = {name: np.empty(1, dtype=object) for name in columns}
    for name, value in columns.items():
        arrays[name][0] = value
    tensors = {
        "prompts": torch.tensor([prompt]),
        "responses": torch.tensor([ids + [tokenizer.pad_token_id] * 5]),
        "attention_mask": torch.tensor([[1] * (len(prompt) + len(ids)) + [0] * 5]),
    }
    return DataProto.from_dict(tensors=tensors, non_tensors=arrays, meta_info=meta)


def run(manager, data: DataProto) -> dict:
    return get_event_loop().run_until_complete(manager.run_single(copy.deepcopy(data)))


def manager_of(tokenizer, *overrides: str):
    return load_reward_manager(grpo(NAMED, *overrides), tokenizer)


class TestRewards:
    def test_are_plus_and_minus_one_by_default(self, tokenizer):
        manager = manager_of(tokenizer)
        assert isinstance(manager, MathVerifierRewardManager)
        found = [run(manager, rollout(tokenizer, text)) for text in (RIGHT, SURD, WRONG, "no box", "")]
        assert [f["reward_score"] for f in found] == [1.0, 1.0, -1.0, -1.0, -1.0]
        assert [f["reward_extra_info"]["acc"] for f in found] == [1.0, 1.0, 0.0, 0.0, 0.0]

    @pytest.mark.parametrize(
        "prompt, response, reward",
        [
            ("assistant\n<think>\n", RIGHT, -1.0),  # cut off inside the thought that the template opened
            ("assistant\n<think>", f"so {WRONG}\n</think>\n\n{RIGHT}", 1.0),
            ("assistant\n<think>\n", f"so {RIGHT}\n</think>\n\nI do not know", -1.0),
            ("assistant\n<think>\n\n</think>\n\n", RIGHT, 1.0),  # a thought that the template closed
            ("assistant\n", f"<think>\n{RIGHT}", -1.0),
            ("assistant\n", RIGHT, 1.0),
            ("assistant\n<think>\nOkay, let me", f" see. {RIGHT}", -1.0),  # the template begins the thought, too
            ("assistant\n<think>\nOkay, let me", f" see. {WRONG}\n</think>\n\n{RIGHT}", 1.0),
            ("user\nWhat is <think> in HTML?\nassistant\n", RIGHT, 1.0),
        ],
    )
    def test_an_answer_inside_a_thought_is_none_whoever_opened_it(self, tokenizer, prompt, response, reward):
        assert run(manager_of(tokenizer), rollout(tokenizer, response, prompt))["reward_score"] == reward

    @pytest.mark.parametrize("tail", ["", "<think>\n", "<think>\nOkay, let me", "<think>\n\n</think>\n\n"])
    @pytest.mark.parametrize("question", ["What is half of one?", "Why\n<think>\nand what is half of one?"])
    @pytest.mark.parametrize("template", ["user\n{}\nassistant\n", "Q: {}\nA: "])
    def test_a_question_that_mentions_a_tag_opens_no_thought(self, tokenizer, template, question, tail):
        data = rollout(tokenizer, RIGHT, template.format(question) + tail)
        data.non_tensor_batch["raw_prompt"][0] = [{"role": "user", "content": question}]
        opened = tail and "</think>" not in tail
        assert run(manager_of(tokenizer), data)["reward_score"] == (-1.0 if opened else 1.0)

    def test_a_long_beginning_of_a_thought_and_padding_before_the_prompt_change_nothing(self, tokenizer):
        data = rollout(tokenizer, RIGHT, "assistant\n<think>\n" + "Okay, let me see what is asked here. " * 20)
        width = 7
        padding = torch.full((1, width), tokenizer.pad_token_id)
        data.batch["prompts"] = torch.cat([padding, data.batch["prompts"]], 1)
        data.batch["attention_mask"] = torch.cat([torch.zeros_like(padding), data.batch["attention_mask"]], 1)
        assert run(manager_of(tokenizer), data)["reward_score"] == -1.0

    @pytest.mark.parametrize(
        "prompt, response, reward",
        [("assistant\n<think>", RIGHT, -1.0), ("assistant\n<think>", f"so {WRONG}</think>{RIGHT}", 1.0)],
    )
    def test_the_same_where_the_tags_are_special_tokens(self, prompt, response, reward):
        tokenizer = qwen_tokenizer(separator=None)
        tags = [AddedToken(tag, special=True, normalized=False) for tag in ("<think>", "</think>")]
        tokenizer.add_tokens(tags, special_tokens=True)
        assert run(manager_of(tokenizer), rollout(tokenizer, response, prompt))["reward_score"] == reward

    def test_are_what_the_settings_say(self, tokenizer):
        manager = manager_of(tokenizer, "+reward.math_verifier.correct=2.5", "+reward.math_verifier.wrong=0")
        assert run(manager, rollout(tokenizer, RIGHT))["reward_score"] == 2.5
        assert run(manager, rollout(tokenizer, WRONG))["reward_score"] == 0.0

    def test_every_response_reports_the_same_keys_and_types(self, tokenizer):
        manager = manager_of(tokenizer, "+reward.math_verifier.length_penalty_threshold=30")
        for text in (RIGHT, SURD, WRONG, "", RIGHT * 20):
            extra = run(manager, rollout(tokenizer, text))["reward_extra_info"]
            assert {key: type(value) for key, value in extra.items()} == KEYS

    def test_the_answer_and_its_judge_are_reported(self, tokenizer):
        manager = manager_of(tokenizer)
        found = [run(manager, rollout(tokenizer, text))["reward_extra_info"] for text in (RIGHT, WRONG, "none")]
        assert [(f["pred"], f["method"]) for f in found] == [("0.5", "verl"), ("2", "number"), ("", "no_answer")]

    def test_an_answer_that_takes_too_long_is_wrong_and_says_so(self, tokenizer):
        manager = manager_of(tokenizer, "+reward.math_verifier.timeout=0.5")
        found = run(manager, rollout(tokenizer, r"\boxed{9^{9^{9}}}"))
        assert found["reward_score"] == -1.0
        assert (found["reward_extra_info"]["method"], found["reward_extra_info"]["undecided"]) == ("timeout", 1.0)


class TestLengthPenalty:
    def test_is_0_up_to_the_threshold_and_then_the_length_over_it(self):
        assert [length_penalty(length, 100) for length in (0, 99, 100, 101, 250)] == [0, 0, 0, 1.01, 2.5]
        assert length_penalty(10**6, None) == 0

    @pytest.mark.parametrize(("text", "reward"), [(RIGHT, 1.0), (WRONG, -1.0)])
    def test_is_subtracted_from_the_reward_and_not_from_the_accuracy(self, tokenizer, text, reward):
        length = len(tokenizer.encode(text, add_special_tokens=False)) + 1
        for threshold, penalty in ((length, 0.0), (length - 1, length / (length - 1))):
            manager = manager_of(tokenizer, f"+reward.math_verifier.length_penalty_threshold={threshold}")
            found = run(manager, rollout(tokenizer, text))
            extra = found["reward_extra_info"]
            assert found["reward_score"] == pytest.approx(reward - penalty)
            assert (extra["outcome"], extra["length_penalty"]) == (reward, pytest.approx(penalty))
            assert extra["acc"] == float(reward > 0)

    def test_padding_is_no_length(self, tokenizer):
        length = len(tokenizer.encode(RIGHT, add_special_tokens=False)) + 1
        manager = manager_of(tokenizer, f"+reward.math_verifier.length_penalty_threshold={length + 4}")
        assert run(manager, rollout(tokenizer, RIGHT))["reward_score"] == 1.0


class TestWithinVerl:
    def test_prm_wraps_it_like_any_other(self, tokenizer):
        config = prpo(NAMED, "+reward.math_verifier.wrong=-0.5")
        alone = load_reward_manager(copy.deepcopy(config), tokenizer)
        wire(config)
        wrapping = load_reward_manager(config, tokenizer)
        assert isinstance(wrapping, PrmRewardManager)
        assert isinstance(wrapping.outcome_manager, MathVerifierRewardManager)
        for text in (RIGHT, WRONG):
            data = rollout(tokenizer, text, validate=True)
            assert run(wrapping, data) == run(alone, data)

    def test_validation_shows_accuracy_and_majority_votes_over_the_answers(self, tokenizer):
        manager = manager_of(tokenizer, "+reward.math_verifier.length_penalty_threshold=1")
        found = [run(manager, rollout(tokenizer, text)) for text in (RIGHT, WRONG, RIGHT, "none")]
        columns = {key: [f["reward_extra_info"][key] for f in found] for key in KEYS}
        columns["reward"] = [f["reward_score"] for f in found]
        metrics = process_validation_metrics([MATH] * 4, ["one"] * 4, columns)[MATH]
        assert metrics["acc"]["mean@4"] == 0.5
        assert metrics["undecided"]["mean@4"] == 0.0
        assert 0.5 < metrics["acc"]["maj@4/mean"] <= 1.0
        assert {"pred", "method"}.isdisjoint(metrics)

    def test_verl_knows_it_by_name(self):
        assert resolve_reward_manager_cls(grpo(NAMED)) is MathVerifierRewardManager

    @pytest.mark.parametrize("manager", ["naive", "dapo"])
    def test_the_scorer_alone_serves_other_managers(self, tokenizer, manager):
        config = grpo(
            f"reward.reward_manager.name={manager}",
            "reward.custom_reward_function.path=pkg://verl_prpo.outcome.reward_function",
        )
        with open_dict(config.reward):
            config.reward.custom_reward_function.reward_kwargs = {"wrong": 0.0}
        validate(copy.deepcopy(config))
        found = [run(load_reward_manager(config, tokenizer), rollout(tokenizer, text)) for text in (RIGHT, WRONG)]
        assert [(f["reward_score"], f["reward_extra_info"]["acc"]) for f in found] == [(1.0, 1.0), (0.0, 0.0)]


class TestSettings:
    def test_defaults_are_the_papers(self):
        assert math_verifier_config({}) == math_verifier_config(None) == MathVerifierConfig(1.0, -1.0, None, 10.0)

    @pytest.mark.parametrize("configured", [grpo, prpo])
    @pytest.mark.parametrize(
        ("overrides", "message"),
        [
            (["+reward.math_verifier.corect=1"], "reward.math_verifier.corect .* did you mean .*correct"),
            (["+reward.math_verifier.correct=yes"], "reward.math_verifier.correct"),
            (["+reward.math_verifier.correct=nan"], "reward.math_verifier.correct=nan must be a finite number"),
            (["+reward.math_verifier.correct=-1"], "correct=-1 must be more than reward.math_verifier.wrong=-1"),
            (
                ["+reward.math_verifier.length_penalty_threshold=0"],
                "length_penalty_threshold=0 must be a whole number",
            ),
            (["+reward.math_verifier.length_penalty_threshold=1.5"], "reward.math_verifier.length_penalty_threshold"),
            (["+reward.math_verifier.timeout=0"], "reward.math_verifier.timeout=0 must be a positive number"),
            (["+reward.math_verifier=5"], "reward.math_verifier must be a section"),
            (
                ["reward.custom_reward_function.path=my_rewards.py"],
                "reward.custom_reward_function.path=my_rewards.py and reward.reward_manager.name=math_verifier",
            ),
        ],
        ids=lambda value: value if isinstance(value, str) else None,
    )
    def test_mistakes_are_named_before_ray_starts(self, configured, overrides, message):
        with pytest.raises(ConfigError, match=message):
            validate(configured(NAMED, *overrides))

    def test_a_reward_model_that_would_bypass_it_is_refused(self):
        with pytest.raises(ConfigError, match=re.escape("reward.reward_model.enable=True makes verl bypass")):
            validate(grpo(NAMED, "reward.reward_model.enable=True"))

    def test_so_is_the_prm_of_a_prpo_run_that_goes_back_to_grpo(self):
        """verl would take its scores for the outcome."""
        with pytest.raises(ConfigError, match=re.escape("reward.reward_model.enable=True makes verl bypass")):
            validate(grpo(NAMED, "reward.reward_model.enable=True", "+reward.prm.engine=reward_model"))

    @pytest.mark.parametrize("reward", [{}, {"reward": {}}, {"reward": {"reward_manager": "naive"}}])
    def test_a_configuration_without_a_reward_manager_of_this_kind_is_let_alone(self, reward):
        config = OmegaConf.create({"algorithm": {"adv_estimator": "grpo"}, **reward}, flags={"struct": True})
        check_config(config)
        assert notices(config) == []

    @pytest.mark.parametrize("configured", [grpo, prpo])
    def test_that_another_manager_does_not_read_are_pointed_out(self, configured, capsys):
        validate(configured("+reward.math_verifier.wrong=0"))
        assert "reward.math_verifier is not read with reward.reward_manager.name=naive" in capsys.readouterr().out
        validate(configured(NAMED, "+reward.math_verifier.wrong=0"))
        assert "is not read" not in capsys.readouterr().out

    @pytest.mark.parametrize("configured", [grpo, prpo])
    def test_sound_ones_pass(self, configured):
        validate(
            configured(NAMED, "+reward.math_verifier.wrong=0", "+reward.math_verifier.length_penalty_threshold=2048")
        )


def test_a_node_on_which_no_formula_can_be_compared_stops_the_run(tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_CODE", "raise ModuleNotFoundError('No module named math_verify')")
    monkeypatch.setattr(pool, "_pools", {})
    with pytest.raises(RuntimeError, match=r"cannot be compared on this node: .*would count as wrong.*pip install"):
        load_reward_manager(grpo(NAMED), tokenizer)
