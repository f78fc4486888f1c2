# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The reward manager `prm`: the outcome reward is that of the manager it wraps, process scores are those of the PRM."""

import copy

import numpy as np
import pytest
import ray
import torch
from omegaconf import DictConfig, open_dict
from plumbing import Parts, local_ray
from verl import DataProto
from verl.trainer.ppo.reward import load_reward_manager
from verl.utils import hf_tokenizer
from verl.utils.ray_utils import get_event_loop

from verl_prpo.prm.replicas.start import start_replicas
from verl_prpo.prm.results import PrmRequest
from verl_prpo.step.messages import SCORES, TO_SCORE_BESIDE, Scores, ToScore
from verl_prpo.step.scored_batch import Rollouts
from verl_prpo.trainer.process_pass import segment
from verl_prpo.trainer.reward_manager import PrmRewardManager, outcome_config, score_request, wire

QUESTION = [{"role": "user", "content": "What is 6 times 7?"}]
RIGHT = "Six times seven is forty-two.\n#### 42"
WRONG = "Six times seven is 41.\n#### 41"

REWARD_FUNCTIONS = """
import asyncio


def score(data_source, solution_str, ground_truth, extra_info, bonus=0.0):
    return {"score": len(solution_str) + bonus, "turns": extra_info["num_turns"], "source": data_source}


async def score_later(data_source, solution_str, ground_truth, extra_info, bonus=0.0):
    await asyncio.sleep(0.01)
    return {"score": float(ground_truth in solution_str) + bonus}
"""

MANAGER_OF_ONES_OWN = """
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase


class Constant(RewardManagerBase):
    def __init__(self, config, tokenizer, compute_score, reward_router_address=None, reward_model_tokenizer=None):
        super().__init__(config, tokenizer, compute_score)

    async def run_single(self, data):
        return {"reward_score": 0.25, "reward_extra_info": {"name": self.config.reward.reward_manager.name}}
"""


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return Parts.build(tmp_path_factory.mktemp("parts"))


@pytest.fixture(scope="module")
def tokenizer(parts):
    return hf_tokenizer(str(parts.policy))


@pytest.fixture(scope="module")
def cluster(parts):
    with local_ray("test_reward_manager"):
        yield start_replicas(parts.prm_config(), "cpu")  # they live as long as their handles


def rollout(tokenizer, text: str, **meta) -> DataProto:
    """One finished response as the agent loop hands it to a reward manager."""
    ids = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    responses = torch.tensor([ids + [tokenizer.pad_token_id] * 5])
    prompts = torch.tensor([tokenizer.encode("What is 6 times 7?", add_special_tokens=False)])
    attended = torch.cat([torch.ones_like(prompts), torch.tensor([[1] * len(ids) + [0] * 5])], 1)
    columns = {
        "data_source": "openai/gsm8k",
        "reward_model": {"style": "rule", "ground_truth": "42"},
        "extra_info": {"index": 3},
        "raw_prompt": QUESTION,
        "__num_turns__": 2,
    }
    arrays = {}
    for name, value in columns.items():
        arrays[name] = np.empty(1, dtype=object)
        arrays[name][0] = value
    tensors = {"prompts": prompts, "responses": responses, "attention_mask": attended}
    return DataProto.from_dict(tensors=tensors, non_tensors=arrays, meta_info=meta)


def run(manager, data: DataProto) -> dict:
    return get_event_loop().run_until_complete(manager.run_single(copy.deepcopy(data)))


def managers(config: DictConfig, tokenizer):
    """The manager that the user configured, and `prm` around it."""
    alone = load_reward_manager(copy.deepcopy(config), tokenizer)
    wire(config)
    wrapping = load_reward_manager(config, tokenizer)
    assert isinstance(wrapping, PrmRewardManager)
    return alone, wrapping


def same_outcome(config: DictConfig, tokenizer, **meta) -> list[dict]:
    alone, wrapping = managers(config, tokenizer)
    found = []
    for text in (RIGHT, WRONG, ""):
        data = rollout(tokenizer, text, **meta)
        found.append(run(wrapping, data))
        assert found[-1] == run(alone, data)
    return found


class TestOutcomeReward:
    """No PRM runs in these tests, which shows that an outcome reward never asks it."""

    def test_of_naive(self, parts, tokenizer):
        right, wrong, empty = same_outcome(parts.config(), tokenizer)
        assert [r["reward_score"] for r in (right, wrong, empty)] == [1.0, 0.0, 0.0]

    def test_of_validation_rows(self, parts, tokenizer):
        right, wrong, _ = same_outcome(parts.config(), tokenizer, validate=True, global_steps=3)
        assert (right["reward_score"], wrong["reward_score"]) == (1.0, 0.0)
        assert SCORES not in right

    def test_of_dapo_with_its_overlong_penalty(self, parts, tokenizer):
        length = len(tokenizer.encode(RIGHT, add_special_tokens=False)) + 1
        config = parts.config("reward.reward_manager.name=dapo")
        with open_dict(config.reward):
            config.reward.reward_kwargs = {
                "max_resp_len": length + 2,
                "overlong_buffer_cfg": {"enable": True, "len": 4, "penalty_factor": 0.5, "log": True},
            }
        right, _, _ = same_outcome(config, tokenizer)
        assert float(right["reward_score"]) == pytest.approx(1.0 - 2 / 4 * 0.5)
        assert right["reward_extra_info"]["overlong"]

    @pytest.mark.parametrize("name", ["score", "score_later"])
    def test_of_a_custom_reward_function(self, parts, tokenizer, tmp_path, name):
        (tmp_path / "reward.py").write_text(REWARD_FUNCTIONS)
        config = parts.config(
            f"reward.custom_reward_function.path={tmp_path / 'reward.py'}",
            f"reward.custom_reward_function.name={name}",
            "+reward.custom_reward_function.reward_kwargs.bonus=0.5",
        )
        right, _, empty = same_outcome(config, tokenizer)
        expected = (len(RIGHT) + 0.5, 0.5) if name == "score" else (1.5, 0.5)
        assert (right["reward_score"], empty["reward_score"]) == expected
        if name == "score":
            assert right["reward_extra_info"]["turns"] == 2

    def test_of_a_manager_from_a_file(self, parts, tokenizer, tmp_path):
        (tmp_path / "manager.py").write_text(MANAGER_OF_ONES_OWN)
        config = parts.config(
            "reward.reward_manager.source=importlib",
            "reward.reward_manager.name=Constant",
            f"reward.reward_manager.module.path={tmp_path / 'manager.py'}",
        )
        right, _, _ = same_outcome(config, tokenizer)
        assert right == {"reward_score": 0.25, "reward_extra_info": {"name": "Constant"}}

    @pytest.mark.ray
    def test_of_remote(self, parts, tokenizer, cluster):
        config = parts.config("reward.reward_manager.name=remote", "reward.num_workers=1")
        right, wrong, _ = same_outcome(config, tokenizer)
        assert (right["reward_score"], wrong["reward_score"]) == (1.0, 0.0)


class TestWire:
    def test_prm_takes_the_place_of_the_configured_manager_and_says_so(self, parts):
        config = parts.config("reward.reward_manager.name=dapo")
        line = wire(config)
        assert (config.reward.reward_manager.name, config.reward.reward_manager.source) == ("prm", "register")
        assert "'dapo'" in line and str(parts.prm) in line

    def test_wiring_twice_is_wiring_once(self, parts):
        config = parts.config("reward.reward_manager.name=dapo")
        line = wire(config)
        once = copy.deepcopy(config)
        assert wire(config) == line and config == once

    def test_the_wrapped_manager_sees_the_configuration_it_would_have_alone(self, parts):
        config = parts.config("reward.reward_manager.name=dapo")
        before = copy.deepcopy(config)
        wire(config)
        inner = outcome_config(config)
        assert inner.reward.reward_manager == before.reward.reward_manager
        with open_dict(inner), open_dict(before):
            del inner.reward.prm, before.reward.prm
        assert inner == before
        assert config.reward.reward_manager.name == "prm"

    def test_prm_named_by_the_user_wraps_naive(self, parts, tokenizer):
        config = parts.config("reward.reward_manager.name=prm")
        assert "'naive'" in wire(config)
        assert run(load_reward_manager(config, tokenizer), rollout(tokenizer, RIGHT))["reward_score"] == 1.0


@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
class TestProcessRequest:
    LONG = "We add the numbers and divide. " * 40

    @pytest.fixture
    def ask(self, parts, tokenizer):
        def _ask(text, cuts=(), ids=None, **settings) -> Scores:
            config = parts.config(**settings)
            wire(config)
            manager = load_reward_manager(config, tokenizer)
            ids = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id] if ids is None else ids
            bounds = list(zip([0, *cuts], [*cuts, len(ids)], strict=True)) if ids else []
            answer = run(manager, score_request([ToScore("u7_2_0", QUESTION, ids, bounds)]))
            assert (answer["reward_score"], answer["reward_extra_info"]) == (0.0, {})
            return answer[SCORES]

        return _ask

    def test_texts_are_the_decoded_response_and_scores_those_of_the_engine(self, ask, parts):
        result = ask(RIGHT, cuts=(5, 12))
        assert len(result.texts) == 3 and "".join(result.texts) == RIGHT
        (direct,) = parts.engine().score([PrmRequest(QUESTION, result.texts)])
        assert result.scores == pytest.approx(direct.scores, abs=1e-5)
        assert (result.failure, result.tokens) == (None, direct.tokens)
        assert result.arrived <= result.asked < result.answered < result.asked + 120

    def test_a_cut_inside_a_character_breaks_none(self, ask, parts, tokenizer):
        text = "so 😀🎉é 四十二"
        length = len(tokenizer.encode(text, add_special_tokens=False))
        result = ask(text, cuts=tuple(range(2, length, 2)))
        assert "".join(result.texts) == text and "\ufffd" not in "".join(result.texts)
        (direct,) = parts.engine().score([PrmRequest(QUESTION, result.texts)])
        assert result.scores == pytest.approx(direct.scores, abs=1e-5)
        assert len(result.scores) == len(result.texts)

    @pytest.mark.parametrize("eos", [0, 1, 3])
    def test_nothing_but_eos_has_neither_scores_nor_a_failure(self, ask, parts, tokenizer, eos):
        parts.forget()
        result = ask("", ids=[tokenizer.eos_token_id] * eos)
        assert (result.scores, result.failure) == (None, None)
        assert "".join(result.texts) == "" and parts.asked() == []

    @pytest.mark.parametrize("on_error", ["raise", "outcome_only"])
    def test_a_failure_is_told_by_its_kind_and_raises_nothing(self, ask, on_error):
        """What becomes of it is the trainer's to decide."""
        result = ask("an unreadable text", cuts=(5,), on_error=on_error)
        assert (result.scores, result.failure) == (None, "bad_input")
        assert "this text cannot be read" in result.detail and "".join(result.texts) == "an unreadable text"

    def test_segments_past_the_context_have_no_score(self, ask):
        result = ask(self.LONG, cuts=(5,))
        assert result.failure is None and result.overlong
        assert result.scores[0] is not None and result.scores[1] is None
        assert "".join(result.texts) == self.LONG

    def test_a_dialogue_seen_before_is_remembered(self, ask):
        text = "This was never said before."
        assert [ask(text).cached for _ in range(2)] == [False, True]

    def test_a_prm_that_was_never_started_is_told(self, ask, monkeypatch):
        def missing(name: str) -> None:
            raise ValueError(f"no actor {name}")

        monkeypatch.setattr(ray, "get_actor", missing)
        result = ask("nobody there to read this")
        assert (result.scores, result.failure) == (None, "engine_error")
        assert "not running" in result.detail and "trainer.use_v1=True" in result.detail

    def test_bounds_that_do_not_tile_the_response_are_refused(self, ask):
        result = ask(RIGHT, cuts=(5, 3))
        assert (result.scores, result.failure) == (None, "bad_input")
        assert "do not tile the response" in result.detail

    def test_requests_survive_the_way_to_a_worker(self):
        requests = [ToScore(f"u{i}_0_0", QUESTION, [1, 2], [(0, 2)]) for i in range(3)]
        arrived = ray.get(ray.put(score_request(requests)))
        assert len(arrived) == 3
        assert [arrived[i : i + 1].non_tensor_batch["process_request"][0] for i in range(3)] == requests


def finished(tokenizer, text: str, **columns) -> tuple[DataProto, ToScore]:
    """One finished response of training, as `verl_prpo.trainer.agent_loop` hands it over."""
    data = rollout(tokenizer, text)
    ids = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    response = ToScore("u7_2_0", QUESTION, ids, **{"response_mask": [1] * len(ids), **columns})
    data.non_tensor_batch[TO_SCORE_BESIDE] = np.empty(1, dtype=object)
    data.non_tensor_batch[TO_SCORE_BESIDE][0] = response
    return data, response


@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
class TestFinishedResponse:
    """Cut and scored as it finishes, beside its outcome reward."""

    STEPS = "First six.\n\nThen seven.\n\n\n\nSo 42.\n#### 42"

    @pytest.fixture
    def manager(self, parts, tokenizer):
        def _manager(*overrides, **settings):
            config = parts.config(*overrides, **settings)
            wire(config)
            return load_reward_manager(config, tokenizer)

        return _manager

    def score(self, manager, data) -> tuple[dict, Scores]:
        answer = run(manager, data)
        return answer, Scores.from_dict(answer["reward_extra_info"].pop(SCORES))

    def test_outcome_and_scores_are_those_of_each_alone(self, manager, parts, tokenizer):
        data, _ = finished(tokenizer, self.STEPS)
        answer, streamed = self.score(manager("+algorithm.prpo.segmenter=text"), data)
        assert answer == run(manager("+algorithm.prpo.segmenter=text"), rollout(tokenizer, self.STEPS))
        assert streamed.texts == ["First six.\n\n", "Then seven.\n\n\n\n", "So 42.\n#### 42"]
        (direct,) = parts.engine().score([PrmRequest(QUESTION, streamed.texts)])
        assert streamed.scores == pytest.approx(direct.scores, abs=1e-5)
        assert streamed.starts[0] == 0 and len(streamed.starts) == 3
        assert streamed.arrived <= streamed.asked < streamed.answered

    def test_the_unfinished_last_segment_of_a_truncated_response_is_not_judged(self, manager, parts, tokenizer):
        data, response = finished(tokenizer, self.STEPS)
        response.response_ids.pop()  # without its EOS it is exactly as long as it may be
        response.response_mask.pop()
        limit = (f"data.max_response_length={len(response.response_ids)}", "data.max_prompt_length=64")
        _, streamed = self.score(manager("+algorithm.prpo.segmenter=text", *limit), data)
        (direct,) = parts.engine().score([PrmRequest(QUESTION, streamed.texts[:2])])
        assert streamed.scores == pytest.approx([*direct.scores, None], abs=1e-5)
        assert streamed.unfinished and streamed.unread == 0
        parts.forget()
        _, whole = self.score(manager("+algorithm.prpo.segmenter=single", *limit), data)
        assert (whole.scores, whole.failure, parts.asked()) == (None, None, [])

    @pytest.mark.parametrize("text", [" \n\n", "<think>\n\n</think>\n", "\u3000"])
    def test_a_response_without_words_is_not_sent(self, manager, parts, tokenizer, text):
        parts.forget()
        _, streamed = self.score(manager("+algorithm.prpo.segmenter=text"), finished(tokenizer, text)[0])
        assert (streamed.scores, streamed.failure, parts.asked()) == (None, None, [])

    @pytest.mark.parametrize("segmenter", ["text", "tokens", "uniform", "random", "single", "surprisal"])
    def test_segments_are_those_of_the_batch_schedule(self, manager, parts, tokenizer, segmenter):
        overrides = (f"+algorithm.prpo.segmenter={segmenter}", "+algorithm.prpo.delimiter_token_ids=[266,65]")
        length = len(tokenizer.encode(self.STEPS, add_special_tokens=False)) + 1
        log_probs = (-torch.rand(length, generator=torch.Generator().manual_seed(3))).tolist()
        mask = [1] * 8 + [0] * 6 + [1] * (length - 14)
        data, response = finished(tokenizer, self.STEPS, response_mask=mask, log_probs=log_probs)
        prm = manager(*overrides, "+algorithm.prpo.min_gap=4")
        _, streamed = self.score(prm, data)
        pad = torch.zeros(1, 7)
        rows = Rollouts(
            keys=[response.key],
            places=[0],
            batch_size=1,
            messages=[QUESTION],
            response_ids=[response.response_ids],
            response_mask=torch.cat([torch.tensor([mask]), pad.long()], 1),
            signal=torch.cat([-torch.tensor([log_probs]), pad], 1),
            truncated=[False],
        )
        assert streamed.starts == segment(rows, prm.prpo, tokenizer)[0].nonzero()[:, 0].tolist()
        assert len(streamed.scores) == len(streamed.starts)

    def test_a_hidden_thought_is_not_shown_and_the_rest_is_scored_as_if_it_were_all(self, manager, parts, tokenizer):
        parts.forget()
        text = "First six.\n\nOr five?\n</think>\n\nThen seven.\n\nSo 42.\n#### 42"
        prompt = tokenizer.encode("What is 6 times 7?\n<think>\n", add_special_tokens=False)
        data, _ = finished(tokenizer, text, prompt_ids=prompt)
        answer, streamed = self.score(manager("+algorithm.prpo.segmenter=text", thinking="hide"), data)
        assert answer["reward_score"] == 1.0
        assert streamed.texts[0] == "First six.\n\nOr five?\n</think>" and streamed.hidden == [True, False, False]
        (direct,) = parts.engine().score([PrmRequest(QUESTION, streamed.texts[1:])])
        assert streamed.scores == pytest.approx([None, *direct.scores], abs=1e-5)
        assert streamed.unread == 0 and not any("five" in asked for asked in parts.asked())

    def test_a_response_that_is_all_thought_is_not_sent_when_thoughts_are_hidden(self, manager, parts, tokenizer):
        parts.forget()
        prompt = tokenizer.encode("What is 6 times 7?\n<think>\n", add_special_tokens=False)
        for limit in ((), ("data.max_response_length=4", "data.max_prompt_length=64")):
            data, _ = finished(tokenizer, "First six.\n\nOr five, and", prompt_ids=prompt)
            _, streamed = self.score(manager("+algorithm.prpo.segmenter=text", *limit, thinking="hide"), data)
            assert (streamed.scores, streamed.failure, streamed.hidden, parts.asked()) == (None, None, [True], [])
            assert not streamed.unfinished
        data, _ = finished(tokenizer, "First six.\n\nOr five, and", prompt_ids=prompt)
        _, streamed = self.score(manager("+algorithm.prpo.segmenter=text"), data)
        assert len(streamed.scores) == 2 and streamed.hidden == []

    def test_the_prm_works_while_the_outcome_is_computed(self, manager, tokenizer, tmp_path):
        (tmp_path / "slow.py").write_text(
            "import time\n\n\ndef score(data_source, solution_str, ground_truth, extra_info):\n"
            "    began = time.monotonic()\n    time.sleep(2)\n"
            "    return {'score': 1.0, 'began': began, 'ended': time.monotonic()}\n"
        )
        data, _ = finished(tokenizer, "wait 0.1; a slow verifier beside a slow PRM")
        function = ("reward.custom_reward_function.path", "reward.custom_reward_function.name")
        slow = manager(
            "+algorithm.prpo.segmenter=single", f"{function[0]}={tmp_path / 'slow.py'}", f"{function[1]}=score"
        )
        answer, streamed = self.score(slow, data)
        assert streamed.asked < answer["reward_extra_info"]["ended"]
        assert streamed.answered > answer["reward_extra_info"]["began"]

    def test_failures_never_raise(self, manager, tokenizer, monkeypatch):
        single = manager("+algorithm.prpo.segmenter=single")
        answer, streamed = self.score(single, finished(tokenizer, "an unreadable text")[0])
        assert (answer["reward_score"], streamed.failure, streamed.starts) == (0.0, "bad_input", [0])
        surprisal = manager("+algorithm.prpo.segmenter=surprisal")
        answer, streamed = self.score(surprisal, finished(tokenizer, RIGHT)[0])
        assert (answer["reward_score"], streamed.starts) == (1.0, None)
        assert "needs entropy or log-probs" in streamed.detail

        def missing(name: str) -> None:
            raise ValueError(f"no actor {name}")

        monkeypatch.setattr(ray, "get_actor", missing)
        answer, streamed = self.score(manager("+algorithm.prpo.segmenter=single"), finished(tokenizer, RIGHT)[0])
        assert (answer["reward_score"], streamed.failure) == (1.0, "engine_error")

        def lost(name: str) -> None:
            raise RuntimeError("the cluster is gone")

        monkeypatch.setattr(ray, "get_actor", lost)
        answer, streamed = self.score(manager("+algorithm.prpo.segmenter=single"), finished(tokenizer, RIGHT)[0])
        assert (answer["reward_score"], streamed.failure) == (1.0, "engine_error")
        assert streamed.detail == "RuntimeError: the cluster is gone" and streamed.texts == [RIGHT]

    @pytest.mark.parametrize("mask", [[1], [0]])
    def test_nothing_but_eos_has_neither_scores_nor_a_failure(self, manager, tokenizer, mask):
        data, _ = finished(tokenizer, "", response_mask=mask)
        _, streamed = self.score(manager("+algorithm.prpo.segmenter=text"), data)
        assert streamed.starts == [0] * sum(mask)
        assert (streamed.scores, streamed.failure) == (None, None)

    def test_a_verifier_that_fails_fails_as_it_would_alone(self, manager, tokenizer):
        data, _ = finished(tokenizer, RIGHT)
        data.non_tensor_batch["data_source"][0] = "of no known kind"
        with pytest.raises(NotImplementedError, match="of no known kind"):
            run(manager("+algorithm.prpo.segmenter=single"), data)
