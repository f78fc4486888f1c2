# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The reward model that verl launches as the PRM: what is asked of its settings, and what is wired."""

import asyncio
import copy
from types import SimpleNamespace

import pytest
import verl_configs
from omegaconf import OmegaConf
from tiny_models import instruct_model, qwen_math_prm
from verl.trainer.ppo.reward import get_custom_reward_fn
from verl.utils.reward_score import default_compute_score

from verl_prpo.prm.families.base import PrmError
from verl_prpo.settings.prpo import ConfigError, prm_config
from verl_prpo.trainer.reward_manager import outcome_config, wire
from verl_prpo.trainer.reward_model import (
    awake,
    check_reward_model,
    router_url,
    shares_gpus,
    uses_reward_model,
    wire_reward_model,
    without_default_scorer,
)

ROLLOUT = "reward.reward_model.rollout"


def configuration(*overrides, model="some/prm"):
    """verl's configuration with a reward model on two GPUs of its own."""
    return verl_configs.prpo(
        "+reward.prm.engine=reward_model",
        "reward.prm.model_path=null",
        "reward.reward_model.enable=True",
        "reward.reward_model.enable_resource_pool=True",
        "reward.reward_model.nnodes=1",
        "reward.reward_model.n_gpus_per_node=2",
        f"reward.reward_model.model_path={model}",
        f"{ROLLOUT}.name=vllm",
        *overrides,
    )


def check(config):
    check_reward_model(config, prm_config(config.reward))


@pytest.fixture(scope="module")
def pooling(tmp_path_factory):
    return qwen_math_prm(tmp_path_factory.mktemp("pooling") / "prm", context=9000)


@pytest.fixture(scope="module")
def generative(tmp_path_factory):
    return instruct_model(tmp_path_factory.mktemp("generative") / "judge")


class TestSettings:
    def test_a_reward_model_with_gpus_and_a_vllm_server_passes(self):
        check(configuration())

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("reward.reward_model.enable=False", r"Set reward\.reward_model\.enable=True"),
            (
                "reward.reward_model.model_path=null",
                r"needs the process reward model to launch. Set reward\.reward_model\.model_path",
            ),
            ("reward.prm.model_path=another/prm", r"another/prm is not the model.*some/prm\. Leave the first unset"),
            (f"{ROLLOUT}.name=sglang", r"Set reward\.reward_model\.rollout\.name=vllm"),
            (f"{ROLLOUT}.name='???'", r"rollout\.name is unset"),
            ("reward.reward_model.nnodes=0", r"reward\.reward_model\.nnodes=0 .* 0 GPUs"),
            (
                f"{ROLLOUT}.tensor_model_parallel_size=4",
                r"2 GPUs, .* needs 4 \(.*tensor_model_parallel_size",
            ),
        ],
    )
    def test_what_cannot_work_is_a_config_error_that_names_the_key(self, override, message):
        with pytest.raises(ConfigError, match=message):
            check(configuration(override))

    def test_the_same_path_given_twice_is_no_conflict(self):
        check(configuration("reward.prm.model_path=some/prm"))

    def test_a_colocated_one_is_counted_against_the_trainers_gpus(self):
        on_trainers = ("reward.reward_model.enable_resource_pool=False", "reward.reward_model.nnodes=0")
        check(configuration(*on_trainers, "trainer.n_gpus_per_node=2"))
        with pytest.raises(ConfigError, match=r"trainer\.nnodes=1 x n_gpus_per_node=1 .* needs 2"):
            check(configuration(*on_trainers, "trainer.n_gpus_per_node=1"))

    def test_only_its_own_engine_uses_it(self):
        assert uses_reward_model(prm_config(configuration().reward)) and not shares_gpus(configuration())
        assert shares_gpus(configuration("reward.reward_model.enable_resource_pool=False"))
        assert not uses_reward_model(prm_config(configuration("reward.prm.engine=in_process").reward))


class TestTheWholeConfiguration:
    def test_it_passes_verls_checks_and_ours_without_a_prm_path_or_a_reward_function(self):
        verl_configs.validate(configuration())

    def test_one_that_cannot_work_stops_before_ray_starts(self):
        with pytest.raises(ConfigError, match=r"reward\.reward_model\.enable"):
            verl_configs.validate(configuration("reward.reward_model.enable=False"))

    def test_a_reward_model_that_is_not_said_to_be_the_prm_is_refused_with_the_setting_that_says_so(self):
        with pytest.raises(ConfigError, match=r"reward\.prm\.engine=reward_model"):
            verl_configs.validate(configuration("reward.prm.engine=null", "reward.prm.model_path=some/prm"))

    def test_without_process_scores_it_must_not_become_the_outcome(self):
        with pytest.raises(ConfigError, match=r"credit=outcome asks no PRM.*reward\.reward_model\.enable=False"):
            verl_configs.validate(configuration("+algorithm.prpo.credit=outcome"))

    def test_once_wired_the_outcome_manager_sees_what_the_user_set(self, pooling):
        config = configuration(model=pooling)
        before = copy.deepcopy(config.reward)
        wire(config)
        inner = outcome_config(config).reward
        assert inner.custom_reward_function.path is None is before.custom_reward_function.path
        assert inner.reward_manager.name == before.reward_manager.name
        verl_configs.validate(config)  # as the trainer does again, after wiring


class TestWiring:
    def test_the_prm_is_the_reward_model(self, pooling):
        config = configuration(model=pooling)
        wire_reward_model(config)
        assert config.reward.prm.model_path == str(pooling)

    def test_verl_asks_the_reward_manager_with_its_own_scorer(self, pooling):
        config = configuration(model=pooling)
        wire_reward_model(config)
        assert config.reward.custom_reward_function.path is not None  # what verl's workers look at
        assert get_custom_reward_fn(config).args == (default_compute_score, {})

    def test_the_outcome_manager_sees_no_reward_function_where_the_user_gave_none(self, pooling):
        config = configuration(model=pooling)
        wire_reward_model(config)
        without_default_scorer(config.reward)
        assert get_custom_reward_fn(config) is None

    def test_a_reward_function_of_the_users_stays(self, pooling, tmp_path):
        mine = tmp_path / "mine.py"
        mine.write_text("def right(*args, **kwargs):\n    return 0.5\n")
        custom = (f"reward.custom_reward_function.path={mine}", "reward.custom_reward_function.name=right")
        config = configuration(*custom, model=pooling)
        wire_reward_model(config)
        without_default_scorer(config.reward)
        assert get_custom_reward_fn(config)() == 0.5

    def test_wiring_twice_is_wiring_once(self, pooling):
        config = configuration(model=pooling)
        wire_reward_model(config)
        once = copy.deepcopy(config)
        wire_reward_model(config)
        assert config == once

    def test_on_gpus_of_its_own_it_never_sleeps(self, pooling):
        config = configuration(model=pooling)
        wire_reward_model(config)
        rollout = config.reward.reward_model.rollout
        assert rollout.free_cache_engine is False and rollout.enable_sleep_mode is False

    def test_on_the_trainers_gpus_it_sleeps_as_configured(self, pooling):
        config = configuration("reward.reward_model.enable_resource_pool=False", model=pooling)
        wire_reward_model(config)
        rollout = config.reward.reward_model.rollout
        assert rollout.free_cache_engine is True and rollout.get("enable_sleep_mode", True) is True

    def test_a_pooling_model_is_batched_as_vllm_sees_fit_and_a_whole_prompt_fits(self, pooling):
        config = configuration(model=pooling)
        wire_reward_model(config)
        rollout = config.reward.reward_model.rollout
        assert rollout.enable_chunked_prefill is None and rollout.enable_prefix_caching is None
        assert rollout.max_num_batched_tokens == 9000

    def test_a_causal_language_model_is_batched_as_configured(self, generative):
        config = configuration("+reward.prm.family=zero_shot_judge", model=generative)
        before = copy.deepcopy(config.reward.reward_model.rollout)
        wire_reward_model(config)
        rollout = config.reward.reward_model.rollout
        for key in ("enable_chunked_prefill", "enable_prefix_caching", "max_num_batched_tokens"):
            assert rollout[key] == before[key]

    def test_a_family_that_no_server_can_score_is_refused(self, generative, tmp_path):
        family = tmp_path / "family.py"
        family.write_text(
            "from verl_prpo.prm.families.judge import ZeroShotJudge\n"
            "class AtHome(ZeroShotJudge):\n    name = 'at_home'\n    serving = None\n"
        )
        custom = (f"+reward.prm.custom_family.path={family}", "+reward.prm.custom_family.name=AtHome")
        with pytest.raises(ConfigError, match=r"family at_home\. Set \+\+reward\.prm\.engine=in_process"):
            wire_reward_model(configuration(*custom, model=generative))

    def test_engine_arguments_of_the_users_stay_beside_ours(self, pooling):
        config = configuration(f"+{ROLLOUT}.engine_kwargs.vllm.max_logprobs=40", model=pooling)
        wire_reward_model(config)
        engine = OmegaConf.to_container(config.reward.reward_model.rollout.engine_kwargs.vllm)
        assert engine.pop("worker_extension_cls").startswith("verl_prpo.")
        assert engine == {"max_logprobs": 40}

    def test_the_router_has_a_url(self):
        assert router_url(SimpleNamespace(reward_router_address="[fd00::1]:8000")) == "http://[fd00::1]:8000"


class Replica:
    """Records what is asked of a server; `slow` seconds pass with each call."""

    def __init__(self, calls, slow=0.0):
        self.calls = calls
        self.slow = slow

    async def wake_up(self):
        await asyncio.sleep(self.slow)
        self.calls.append("wake_up")

    async def sleep(self):
        await asyncio.sleep(self.slow)
        self.calls.append("sleep")


def managing(*replicas):
    return SimpleNamespace(reward_model_manager=SimpleNamespace(rollout_replicas=replicas))


class TestAwake:
    def test_every_server_is_awake_inside_and_asleep_after(self):
        calls: list[str] = []
        with awake(managing(Replica(calls), Replica(calls)), timeout=60):
            assert calls == ["wake_up", "wake_up"]
        assert calls == ["wake_up", "wake_up", "sleep", "sleep"]

    def test_they_sleep_after_a_failure_too(self):
        calls: list[str] = []
        with pytest.raises(PrmError, match="no scores"), awake(managing(Replica(calls)), timeout=60):
            raise PrmError("no scores")
        assert calls == ["wake_up", "sleep"]

    def test_one_that_does_not_wake_stops_the_run_in_time(self):
        message = r"did not wake up within reward\.prm\.timeout=0\.1 s"
        with pytest.raises(PrmError, match=message), awake(managing(Replica([], slow=3600)), timeout=0.1):
            pytest.fail("it was not awake")
