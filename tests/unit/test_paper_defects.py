# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Twelve defects of PRPO's published code, each ruled out by the test that is named after it."""

import re
import time
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_models
import torch
from hydra import compose, initialize_config_module
from omegaconf import open_dict
from verl import DataProto

from verl_prpo.method.advantage import CREDITS, prpo_advantage
from verl_prpo.method.segmentation import entropy_segments
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.families.qwen_math import QwenMathPrm
from verl_prpo.prm.in_process.engine import InProcessEngine
from verl_prpo.prm.results import PrmFailure, PrmRequest
from verl_prpo.settings.prpo import ConfigError, PrmConfig, PrmServers, PrpoConfig, prm_config
from verl_prpo.step.messages import TO_SCORE_NOW, Scores
from verl_prpo.step.scored_batch import Rollouts, ScoredBatch
from verl_prpo.trainer import process_pass
from verl_prpo.trainer.reward_manager import PrmRewardManager, wire

NAN = float("nan")
QUESTION = [{"role": "user", "content": "What is 6 times 7?"}]


@pytest.fixture(scope="module")
def prm(tmp_path_factory) -> QwenMathPrm:
    path = tiny_models.qwen_math_prm(tmp_path_factory.mktemp("prm"))
    return QwenMathPrm.load(str(path), device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture(scope="module")
def verl_config():
    """verl's own defaults, wired for PRPO."""
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer")
    with open_dict(config):
        config.reward.prm = {"model_path": "a-prm"}
    wire(config)
    return config


def run_manager(config, tokenizer, data: DataProto) -> dict:
    manager = PrmRewardManager(config, tokenizer)
    return manager.loop.run_until_complete(manager.run_single(data))


def finished_response(tokenizer, text: str, ground_truth: str) -> DataProto:
    """One rollout as verl's agent loop hands it to a reward manager."""
    ids = torch.tensor([tokenizer(text).input_ids])
    column = {
        "data_source": "DigitalLearningGmbH/MATH-lighteval",
        "reward_model": {"ground_truth": ground_truth},
        "extra_info": {},
    }
    non_tensors = {name: np.array([value], dtype=object) for name, value in column.items()}
    prompt = torch.zeros(1, 1, dtype=torch.long)
    attention_mask = torch.ones(1, 1 + ids.shape[1], dtype=torch.long)
    return DataProto.from_dict({"prompts": prompt, "responses": ids, "attention_mask": attention_mask}, non_tensors)


def rows_of(count: int, length: int, messages: list[dict] = QUESTION) -> Rollouts:
    return Rollouts(
        keys=[f"uid{i}_0_0" for i in range(count)],
        places=list(range(count)),
        batch_size=count,
        messages=[messages] * count,
        response_ids=[list(range(length))] * count,
        response_mask=torch.ones(count, length, dtype=torch.long),
        signal=torch.arange(float(length)).repeat(count, 1),
        truncated=[False] * count,
    )


class TestDefect01RowsGroupedByPositionAndLabelsTiled:
    @pytest.mark.parametrize("credit", CREDITS)
    def test_groups_follow_the_uid_however_rows_are_interleaved(self, credit):
        torch.manual_seed(0)
        scores, rewards, starts = torch.rand(6, 1).expand(6, 4), torch.randn(6), torch.zeros(6, 4, dtype=torch.bool)
        starts[:, 0] = True
        blocked = np.array(list("aaabbb"), dtype=object)
        tiled = [0, 3, 1, 4, 2, 5]
        expected = prpo_advantage(scores, starts, rewards, torch.ones(6, 4), blocked, credit=credit)
        actual = prpo_advantage(scores[tiled], starts, rewards[tiled], torch.ones(6, 4), blocked[tiled], credit=credit)
        torch.testing.assert_close(actual, expected[tiled])

    def test_each_response_is_judged_by_the_label_of_its_own_row(self, verl_config):
        tokenizer = tiny_models.qwen_tokenizer()
        for label, score in (("42", 1.0), ("17", 0.0)):
            response = finished_response(tokenizer, r"So the answer is \boxed{42}.", label)
            assert run_manager(verl_config, tokenizer, response)["reward_score"] == score


class TestDefect02AnchorsSkippedAndDuplicatedAndSettingsIgnored:
    ENTROPY = torch.zeros(1, 100)
    for position, nats in ((12, 5.0), (30, 4.0), (47, 3.0), (63, 2.0), (80, 1.0)):
        ENTROPY[0, position] = nats

    @pytest.mark.parametrize(
        ("max_anchors", "min_gap", "expected"),
        [
            (5, 10, [0, 12, 30, 47, 63, 80]),
            (3, 10, [0, 12, 30, 47]),
            (5, 17, [0, 30, 47, 80]),
            (5, 34, [0, 47]),
            (1, 10, [0, 12]),
        ],
    )
    def test_every_anchor_is_walked_once_and_k_and_m_take_effect(self, max_anchors, min_gap, expected):
        starts = entropy_segments(self.ENTROPY, torch.ones(1, 100), max_anchors, min_gap)
        assert starts[0].nonzero()[:, 0].tolist() == expected
        rows = rows_of(1, 100)
        rows.signal = self.ENTROPY
        settings = PrpoConfig(max_anchors=max_anchors, min_gap=min_gap)
        assert torch.equal(process_pass.segment(rows, settings), starts)


class TestDefect03LastTokenKeepsItsRawScoreAndPaddingCarriesBeta:
    def test_the_last_token_gets_the_z_of_its_segment_and_padding_gets_nothing(self):
        scores = torch.tensor([[0.9, 0.9, 0.2, 0.2, NAN, NAN], [0.5, 0.5, 0.5, NAN, NAN, NAN]])
        starts = torch.tensor([[1, 0, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]], dtype=torch.bool)
        mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0]])
        result = prpo_advantage(scores, starts, torch.tensor([1.0, -1.0]), mask, ["a", "a"])
        assert result[0, 3] == result[0, 2] == pytest.approx((0.2 - 0.5) * 12**0.5 + 1, abs=1e-6)
        assert result[1, 2] == pytest.approx(-1.0, abs=1e-6)  # z = 0 at r = 0.5
        assert torch.equal(result[mask == 0], torch.zeros(5))


class TestDefect04FewerScoresThanSegmentsBecomeZero:
    def test_the_trainer_names_the_response(self):
        rows = rows_of(2, 4)
        starts = torch.tensor([[1, 0, 1, 0], [1, 1, 1, 0]], dtype=torch.bool)
        results = [Scores(texts=["a", "b"], scores=[0.1, 0.2]), Scores(texts=["a", "b", "c"], scores=[0.1, 0.2])]
        batch = ScoredBatch(rows, starts, results, 0.0, 0.0)
        with pytest.raises(PrmError, match=r"uid1_0_0 \(row 1\) has 3 segments but the PRM gave 2 scores"):
            batch.token_scores()

    def test_the_engine_fails_the_one_response(self, prm, monkeypatch):
        forward = prm.forward
        monkeypatch.setattr(prm, "forward", lambda batch: [row[:2] for row in forward(batch)])
        short, long = (InProcessEngine(prm, 512).score([PrmRequest(QUESTION, list(s))])[0] for s in ("ab", "abc"))
        assert short.scores is not None and len(short.scores) == 2
        assert long.scores is None and long.failure == PrmFailure.WRONG_COUNT
        assert "2 scores for 3 segments" in long.detail

    def test_scores_that_are_there_reach_their_segment_and_no_other(self):
        rows = rows_of(1, 5)
        starts = torch.tensor([[1, 0, 1, 0, 1]], dtype=torch.bool)
        batch = ScoredBatch(rows, starts, [Scores(texts=["a", "b", "c"], scores=[0.1, 0.2, 0.3])], 0.0, 0.0)
        assert torch.equal(batch.token_scores(), torch.tensor([[0.1, 0.1, 0.2, 0.2, 0.3]]))


class TestDefect05MeanScoreOverThePaddedLength:
    @pytest.mark.parametrize("credit", ["prm_avg", "prm_avg_prpo"])
    def test_a_longer_answer_of_the_same_quality_earns_the_same(self, credit):
        scores = torch.full((2, 9), 0.6)
        starts = torch.zeros(2, 9, dtype=torch.bool)
        starts[:, 0] = True
        starts[1, 4] = True
        mask = torch.ones(2, 9)
        mask[0, 2:] = 0
        result = prpo_advantage(scores, starts, torch.zeros(2), mask, ["a", "a"], credit=credit)
        assert result[0, 0] == result[1, 0] == result[1, 8]


class TestDefect06StdWithoutAnEpsilonAndRewardsInHalfPrecision:
    @pytest.mark.parametrize("credit", CREDITS)
    @pytest.mark.parametrize("process_norm", ["prior", "group", "group_mean"])
    def test_constant_scores_and_outcomes_give_numbers(self, credit, process_norm):
        starts = torch.zeros(3, 5, dtype=torch.bool)
        starts[:, 0] = True
        result = prpo_advantage(
            torch.full((3, 5), 0.25), starts, torch.ones(3), torch.ones(3, 5), ["a"] * 3,
            credit=credit, process_norm=process_norm, outcome_norm="mean_std",
        )  # fmt: skip
        assert result.isfinite().all()

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_outcome_rewards_keep_their_digits_next_to_scores_of_half_precision(self, dtype):
        starts = torch.tensor([[True], [True]])
        rewards = torch.tensor([2048.25, 2048.75])  # both 2048 in float16
        result = prpo_advantage(
            torch.full((2, 1), 0.5, dtype=dtype), starts, rewards, torch.ones(2, 1), ["a", "a"], credit="outcome"
        )
        assert result[:, 0].tolist() == [-0.25, 0.25]


class TestDefect07ALiteralSeparatorShiftsAllScores:
    def test_it_is_text_in_the_response_and_in_the_prompt(self, prm):
        messages = [{"role": "user", "content": "Write <extra_0> twice: <extra_0><|im_end|>"}]
        segments = ["The tag <extra_0> ", "and <extra_0><extra_0>", " done<|im_end|>"]
        encoded = prm.encode(messages, segments)
        assert encoded.input_ids.count(prm.separator_id) == len(segments)
        assert [encoded.input_ids[position] for position in encoded.reads] == [prm.separator_id] * 3
        (result,) = InProcessEngine(prm, 512).score([PrmRequest(messages, segments)])
        assert result.failure is None and len(result.scores) == 3

    def test_the_scores_before_it_stay_what_they_were(self, prm):
        plain = PrmRequest(QUESTION, ["First we add. ", "Then we stop. ", "So the answer is 42."])
        literal = PrmRequest(QUESTION, ["First we add. ", "Then we stop. ", "<extra_0> <extra_0>"])
        engine = InProcessEngine(prm, 512)
        before, after = engine.score([plain])[0].scores, engine.score([literal])[0].scores
        assert before[:2] == pytest.approx(after[:2], abs=1e-5)


class TestDefect08TruncationDropsTrailingScores:
    def test_a_dialogue_longer_than_the_context_is_refused_whole_and_alone(self, prm):
        long = PrmRequest(QUESTION, ["a step of the proof " * 40, "and the end"])
        fitting = PrmRequest(QUESTION, ["a step", " and the end"])
        results = InProcessEngine(prm, 4096).score([fitting, long, fitting])
        assert [r.failure for r in results] == [None, PrmFailure.OVERLONG, None]
        assert results[1].scores is None and results[1].tokens > prm.max_context
        assert str(results[1].tokens) in results[1].detail and str(prm.max_context) in results[1].detail
        assert "data.max_response_length" in results[1].detail
        assert results[0].scores == pytest.approx(results[2].scores)


class TestDefect09FixedEndpointsUnboundedRetriesAndDayLongTimeouts:
    def test_every_wait_is_bounded_by_a_setting_below_an_hour(self):
        defaults = PrmConfig()
        assert 0 < defaults.timeout <= 3600 and 0 < defaults.startup_timeout <= 3600
        for key in ("timeout", "startup_timeout"):
            for value in (float("inf"), 0.0, -1.0):
                with pytest.raises(ConfigError, match=f"reward.prm.{key}"):
                    prm_config({"prm": {key: value}})

    def test_no_address_comes_with_the_package_and_a_key_only_from_the_environment(self):
        defaults = vars(PrmConfig()) | {f"server.{name}": value for name, value in vars(PrmServers()).items()}
        assert not any(defaults[name] for name in defaults if "url" in name or "address" in name)
        keys = [name for name in defaults if {"key", "token"} & set(re.split(r"[._]", name))]
        assert keys == ["server.api_key_env"] and defaults["server.api_key_env"] is None

    def test_a_collect_that_gets_no_answer_ends_in_time_and_says_what_to_change(self, monkeypatch):
        asked = []

        def get(answers, timeout):
            asked.append(timeout)
            raise process_pass.ray.exceptions.GetTimeoutError("no answer")

        monkeypatch.setattr(process_pass.ray, "get", get)
        rows = rows_of(1, 4)
        pending = process_pass.PendingScores(rows, torch.zeros(1, 4), [[0]], ["answer"], time.monotonic())
        with pytest.raises(PrmError, match=r"reward\.prm\.timeout.*reward\.prm\.num_replicas"):
            process_pass.collect(pending, timeout=5.0)
        assert len(asked) == 1 and 0 < asked[0] <= 5.0 + process_pass.COLLECT_GRACE


class TestDefect10PromptsReadBackFromDecodedTokens:
    def test_the_messages_of_the_row_travel_as_they_are(self):
        messages = [
            {"role": "system", "content": "Answer in one line."},
            {"role": "user", "content": "What does <|im_start|>user\nmean?<|im_end|>\nassistant"},
        ]
        sent = []
        worker = SimpleNamespace(compute_score_batch=SimpleNamespace(remote=lambda data: sent.append(data)))
        starts = torch.tensor([[1, 0, 1, 0]], dtype=torch.bool)
        process_pass.launch(rows_of(1, 4, messages), starts, [worker])
        (request,) = sent[0].non_tensor_batch[TO_SCORE_NOW]
        assert request.messages == messages
        assert request.bounds == [(0, 2), (2, 4)] and request.response_ids == [0, 1, 2, 3]

    def test_role_markers_in_a_message_open_no_turn(self, prm):
        start = prm.dialogue.tokenizer.convert_tokens_to_ids("<|im_start|>")
        plain = prm.encode([{"role": "user", "content": "hello"}], ["step"])
        marked = prm.encode([{"role": "user", "content": "hello<|im_start|>assistant\nstep"}], ["step"])
        assert marked.input_ids.count(start) == plain.input_ids.count(start)


class TestDefect11APrmWithoutTheTwoClassHead:
    @pytest.mark.parametrize("head", [dict(head=False), dict(classes=1), dict(classes=3)])
    def test_it_is_refused_when_loaded(self, tmp_path, head):
        path = tiny_models.qwen_math_prm(tmp_path, **head)
        with pytest.raises(PrmError, match=r"two classes(?s:.)*reward\.prm\.(model_path|family)"):
            QwenMathPrm.load(str(path), device=torch.device("cpu"), dtype=torch.float32)


class TestDefect12BoxedAnswersWithNestedBraces:
    @pytest.mark.parametrize(
        ("answer", "label", "score"),
        [
            (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", 1.0),
            (r"\boxed{\sqrt{\frac{a}{b+{c}}}}", r"\sqrt{\frac{a}{b+{c}}}", 1.0),
            (r"first \boxed{3}, no: \boxed{\frac{2}{3}}", r"\frac{2}{3}", 1.0),
            (r"\boxed{\frac12}", r"\frac{1}{2}", 1.0),
            (r"\boxed{\frac{1}{3}}", r"\frac{1}{2}", 0.0),
            ("no box at all", r"\frac{1}{2}", 0.0),
        ],
    )
    def test_the_outcome_comes_from_verls_own_scorer(self, verl_config, answer, label, score):
        tokenizer = tiny_models.qwen_tokenizer()
        response = finished_response(tokenizer, answer, label)
        assert run_manager(verl_config, tokenizer, response)["reward_score"] == score
