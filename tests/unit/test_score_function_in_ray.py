# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A score function behind verl's reward manager: replicas in a real Ray, streamed and in a process pass."""

import copy

import numpy as np
import pytest
import ray
import verl_configs
from omegaconf import DictConfig, open_dict
from plumbing import local_ray
from test_reward_manager import QUESTION, finished, rollout, run
from test_score_function import FILE
from tiny_models import qwen_tokenizer
from verl.trainer.ppo.reward import load_reward_manager
from verl.utils import hf_tokenizer

from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.replicas.start import start_replicas, stop_replicas
from verl_prpo.prm.results import PrmFailure
from verl_prpo.settings.prpo import prm_config
from verl_prpo.step.messages import SCORES, Scores, ToScore
from verl_prpo.trainer.reward_manager import score_request, wire

pytestmark = pytest.mark.ray

FUNCTION = """
import os


def score(messages, segments, data_source, ground_truth, extra_info, heard):
    assert messages[0]["content"] == "What is 6 times 7?"
    if "die" in segments[0]:
        os._exit(1)
    known = data_source == "openai/gsm8k" and extra_info == {"index": 3}
    said = [segment + "".join(m["content"] for m in before) for segment, before in zip(segments, heard)]
    return [known * float(ground_truth in text) for text in said]
"""


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    qwen_tokenizer(separator=None).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def section(tmp_path_factory):
    file = tmp_path_factory.mktemp("function") / "steps.py"
    file.write_text(FUNCTION)
    function = {"path": str(file), "name": "score", "retries": 0}
    return {"score_function": function, "num_replicas": 2, "num_cpus_per_replica": 0.5, "timeout": 120.0}


@pytest.fixture(scope="module")
def cluster(section):
    with local_ray("test_score_function"):
        yield start_replicas(prm_config({"prm": section}), "cuda")


@pytest.fixture(scope="module")
def manager(policy, section, cluster):
    config: DictConfig = verl_configs.prpo(
        f"actor_rollout_ref.model.path={policy}", "trainer.device=cpu", "+algorithm.prpo.segmenter=text"
    )
    with open_dict(config):
        config.reward.prm = copy.deepcopy(section)
    assert f"process rewards from the score function {section['score_function']['path']}:score" in wire(config)
    return load_reward_manager(config, hf_tokenizer(str(policy)))


def test_a_replica_takes_no_gpu_and_describes_the_function(cluster, section):
    described = ray.get(cluster[1].describe.remote())
    assert (described.score_range, described.prior_mean, described.max_context) == ((0.0, 1.0), 0.5, None)
    assert (described.engine, described.model_path) == (
        "score_function",
        f"{section['score_function']['path']}:score",
    )
    assert ray.available_resources()["GPU"] == 1


def test_a_finished_response_brings_its_row_and_its_outcome_stays(manager):
    tokenizer = manager.tokenizer
    text = "First 42.\n\nThen seven.\n\nSo 42.\n#### 42"
    answer = run(manager, finished(tokenizer, text)[0])
    streamed = Scores.from_dict(answer["reward_extra_info"].pop(SCORES))
    assert (streamed.scores, streamed.failure) == ([1.0, 0.0, 1.0], None)
    assert answer == run(manager, rollout(tokenizer, text))


def test_a_process_pass_sends_the_row_and_a_dead_process_costs_its_response_alone(manager):
    tokenizer = manager.tokenizer
    rows = [{"data_source": "openai/gsm8k", "ground_truth": truth, "extra_info": {"index": 3}} for truth in ("42", "5")]
    texts = ["It is 42.", "It is 5.", "We die."]
    asked = []
    for text, row in zip(texts, (rows[0], rows[1], rows[0]), strict=True):
        ids = tokenizer.encode(text, add_special_tokens=False)
        asked.append(ToScore("key", QUESTION, ids, bounds=[(0, len(ids))], row=row))
    good, other, dead = (run(manager, score_request([one]))[SCORES] for one in asked)
    assert good.scores == other.scores == [1.0]
    assert dead.failure is PrmFailure.ENGINE_ERROR and "died (exit status 1)" in dead.detail
    assert run(manager, score_request([asked[1]]))[SCORES].cached in (True, False)  # whichever replica is asked


def test_a_process_pass_sends_what_tools_said(manager):
    row = {"data_source": "openai/gsm8k", "ground_truth": "42", "extra_info": {"index": 3}}
    parts = [manager.tokenizer.encode(text, add_special_tokens=False) for text in ("I ask.", " tool: 42 ", "So that.")]
    first, tool, last = map(len, parts)
    asked = ToScore(
        "key",
        QUESTION,
        [token for part in parts for token in part],
        response_mask=[1] * first + [0] * tool + [1] * last,
        bounds=[(0, first), (first, first + tool + last)],
        row=row,
    )
    assert run(manager, score_request([asked]))[SCORES].scores == [0.0, 1.0]


def test_rows_come_from_the_transfer_queue_as_from_the_data():
    from verl_prpo.step.messages import data_row

    columns = {"data_source": "toy", "reward_model": {"ground_truth": "3", "style": "rule"}, "extra_info": {"a": 1}}
    row = data_row(columns)
    assert row == {"data_source": "toy", "ground_truth": "3", "extra_info": {"a": 1}}
    row["extra_info"]["b"] = 2  # of a copy
    assert columns["extra_info"] == {"a": 1}
    assert data_row({"data_source": np.str_("x")}) == {"data_source": "x", "ground_truth": None, "extra_info": {}}


def test_a_function_that_cannot_be_used_stops_the_start_with_its_reason(cluster):
    stop_replicas()
    broken = {"score_function": {"path": str(FILE), "name": "other_names"}, "num_cpus_per_replica": 0.5}
    with pytest.raises(
        PrmError, match=r"score_function \(path=.*name=other_names\): other_names\(prompt, steps\) cannot"
    ):
        start_replicas(prm_config({"prm": broken}), "cpu")
