# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Which schedule a configuration gets, and what stands against streaming."""

import dataclasses
import re

import pytest
import verl_configs

from verl_prpo.settings.prpo import ConfigError, PrmConfig, PrpoConfig, ScoreFunction
from verl_prpo.trainer.schedule import STREAMING_MANAGER, fingerprint, schedule_of, start_streaming

LOG_PROBS = "actor_rollout_ref.rollout.calculate_log_probs=True"
NO_LOG_PROBS = "actor_rollout_ref.rollout.calculate_log_probs=False"
BYPASS = "algorithm.rollout_correction.bypass_mode=True"
AGENT = "actor_rollout_ref.rollout.agent.agent_loop_manager_class"


def config(*overrides: str, segmenter: str = "uniform"):
    marks = ["+algorithm.prpo.delimiter_token_ids=[5]"] if segmenter == "tokens" else []
    return verl_configs.prpo(f"+algorithm.prpo.segmenter={segmenter}", *marks, *overrides)


@pytest.mark.parametrize("segmenter", ["text", "tokens", "uniform", "random", "single"])
def test_segmenters_that_need_no_signal_stream(segmenter):
    assert schedule_of(config(segmenter=segmenter)) == ("stream", None)


def test_surprisal_streams_where_the_rollout_keeps_log_probs():
    assert schedule_of(config(LOG_PROBS, segmenter="surprisal")) == ("stream", None)
    # bypass mode cuts at surprisal where entropy is asked for
    assert schedule_of(config(LOG_PROBS, BYPASS, segmenter="entropy")) == ("stream", None)


OBSTACLES = [
    pytest.param("entropy", [], r"segmenter=entropy needs the entropy", id="entropy"),
    pytest.param("surprisal", [NO_LOG_PROBS], r"rollout\.calculate_log_probs=True", id="surprisal without log-probs"),
    pytest.param(
        "uniform",
        ["reward.reward_model.enable=True", "reward.reward_model.enable_resource_pool=False"],
        r"reward\.reward_model\.enable_resource_pool=False",
        id="colocated reward model",
    ),
    pytest.param("uniform", [f"+{AGENT}=my.Manager"], r"agent_loop_manager_class=my\.Manager", id="own agent loop"),
]


@pytest.mark.parametrize(("segmenter", "overrides", "reason"), OBSTACLES)
class TestObstacles:
    def test_auto_goes_to_batch_and_says_why(self, segmenter, overrides, reason, capsys):
        found = config(*overrides, segmenter=segmenter)
        assert not start_streaming(found)
        said = capsys.readouterr().out
        assert said.count("\n") == 1 and "scored by batch" in said
        schedule, why = schedule_of(found)
        assert schedule == "batch" and why in said and re.search(reason, why)

    def test_stream_is_refused_with_both_keys(self, segmenter, overrides, reason):
        with pytest.raises(ConfigError, match=rf"reward\.prm\.schedule=stream.*{reason}"):
            schedule_of(config("+reward.prm.schedule=stream", *overrides, segmenter=segmenter))


def test_what_was_refused_is_refused_before_ray_starts():
    with pytest.raises(ConfigError, match=r"reward\.prm\.schedule=stream.*algorithm\.prpo\.segmenter=entropy"):
        verl_configs.validate(config("+reward.prm.schedule=stream", segmenter="entropy"))


def test_batch_asked_for_is_batch_without_a_reason(capsys):
    asked = config("+reward.prm.schedule=batch")
    assert schedule_of(asked) == ("batch", None)
    assert not start_streaming(asked)
    assert asked.actor_rollout_ref.rollout.agent.get("agent_loop_manager_class") is None


def test_streaming_puts_in_an_agent_loop_and_a_second_time_changes_nothing():
    streaming = config()
    assert start_streaming(streaming)
    assert streaming.actor_rollout_ref.rollout.agent.agent_loop_manager_class == STREAMING_MANAGER
    assert start_streaming(streaming) and schedule_of(streaming) == ("stream", None)


def test_the_agent_loop_manager_is_found_by_its_name():
    from verl.trainer.ppo.v1 import AgentLoopManagerTQ
    from verl.utils.import_utils import load_class_from_fqn

    assert issubclass(load_class_from_fqn(STREAMING_MANAGER, "AgentLoopManager"), AgentLoopManagerTQ)


def test_scores_of_other_settings_are_told_apart():
    prpo, prm = PrpoConfig(segmenter="text"), PrmConfig(model_path="a")
    plain = fingerprint(prpo, prm)
    assert plain == fingerprint(dataclasses.replace(prpo, outcome_weight=2.0), dataclasses.replace(prm, timeout=5.0))
    others = [
        fingerprint(dataclasses.replace(prpo, delimiters=["."]), prm),
        fingerprint(dataclasses.replace(prpo, segmenter="uniform"), prm),
        fingerprint(prpo, dataclasses.replace(prm, model_path="b")),
        fingerprint(prpo, dataclasses.replace(prm, overlong="raise")),
        fingerprint(prpo, dataclasses.replace(prm, family_options={"beta": 0.1})),
        fingerprint(prpo, dataclasses.replace(prm, score_function=ScoreFunction("a.py", "f"))),
        fingerprint(prpo, dataclasses.replace(prm, score_function=ScoreFunction("a.py", "f", {"scale": 2}))),
    ]
    assert len({plain, *others}) == 8
