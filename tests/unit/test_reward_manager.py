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

from verl_prpo.prm.family import PrmError
from verl_prpo.prm.replicas import start_replicas
from verl_prpo.prm.results import PrmRequest
from verl_prpo.reward_manager import (
    PROCESS_RESULT,
    PrmRewardManager,
    ProcessRequest,
    ProcessResult,
    outcome_config,
    process_request_batch,
    wire,
)

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
        assert PROCESS_RESULT not in right

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
        def _ask(text, cuts=(), ids=None, **settings) -> ProcessResult:
            config = parts.config(**settings)
            wire(config)
            manager = load_reward_manager(config, tokenizer)
            ids = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id] if ids is None else ids
            bounds = list(zip([0, *cuts], [*cuts, len(ids)], strict=True)) if ids else []
            answer = run(manager, process_request_batch([ProcessRequest("u7_2_0", QUESTION, ids, bounds)]))
            assert (answer["reward_score"], answer["reward_extra_info"]) == (0.0, {})
            return answer[PROCESS_RESULT]

        return _ask

    def test_texts_are_the_decoded_response_and_scores_those_of_the_engine(self, ask, parts):
        result = ask(RIGHT, cuts=(5, 12))
        assert len(result.texts) == 3 and "".join(result.texts) == RIGHT
        (direct,) = parts.engine().score([PrmRequest(QUESTION, result.texts)])
        assert result.scores == pytest.approx(direct.scores, abs=1e-5)
        assert (result.failure, result.tokens) == (None, direct.tokens)
        assert 0 < result.seconds < 120

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

    def test_raise_names_the_rows_key_what_was_found_and_the_setting(self, ask):
        with pytest.raises(PrmError) as caught:
            ask(self.LONG)
        message = str(caught.value)
        assert "for response u7_2_0: overlong: the dialogue has" in message
        assert "reward.prm.on_error=outcome_only" in message

    def test_outcome_only_gives_the_kind_of_failure_and_no_scores(self, ask):
        result = ask(self.LONG, cuts=(5,), on_error="outcome_only")
        assert (result.scores, result.failure) == (None, "overlong")
        assert "reads at most 256" in result.detail and result.tokens > 256
        assert "".join(result.texts) == self.LONG

    @pytest.mark.parametrize("on_error", ["raise", "outcome_only"])
    def test_a_prm_that_was_never_started_is_told_in_either_case(self, ask, on_error, monkeypatch):
        def missing(name: str) -> None:
            raise ValueError(f"no actor {name}")

        monkeypatch.setattr(ray, "get_actor", missing)
        with pytest.raises(PrmError, match=r"not running.*trainer\.use_v1=True"):
            ask(RIGHT, on_error=on_error)

    def test_bounds_that_do_not_tile_the_response_are_refused(self, ask):
        with pytest.raises(ValueError, match="do not tile the response"):
            ask(RIGHT, cuts=(5, 3))

    def test_requests_survive_the_way_to_a_worker(self):
        requests = [ProcessRequest(f"u{i}_0_0", QUESTION, [1, 2], [(0, 2)]) for i in range(3)]
        arrived = ray.get(ray.put(process_request_batch(requests)))
        assert len(arrived) == 3
        assert [arrived[i : i + 1].non_tensor_batch["process_request"][0] for i in range(3)] == requests
