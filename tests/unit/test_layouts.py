# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""GPUs that a run asks for against those that are there, and the layouts that fit."""

import functools
import re

import pytest
from eight_gpus import GRPO, SWITCH
from omegaconf import DictConfig
from verl_configs import compose, overridden

from verl_prpo.trainer.checks.batch_sizes import size_faults, that_divide
from verl_prpo.trainer.checks.config_check import check_config
from verl_prpo.trainer.checks.gpus import fits, pools, shortage
from verl_prpo.trainer.checks.layouts import Layout, layouts, override_line, with_settings
from verl_prpo.trainer.checks.verl_rules import verl_refusal

APART = (
    "trainer.v1.trainer_mode=separate_async",
    "actor_rollout_ref.rollout.nnodes=1",
    "actor_rollout_ref.rollout.n_gpus_per_node=4",
    "actor_rollout_ref.rollout.checkpoint_engine.backend=nccl",
)
STANDALONE = (
    "++reward.prm.engine=reward_model",
    "reward.reward_model.enable=True",
    "reward.reward_model.enable_resource_pool=True",
    "reward.reward_model.nnodes=1",
    "reward.reward_model.n_gpus_per_node=4",
    "reward.reward_model.model_path=Qwen/Qwen2.5-Math-PRM-7B",
    "reward.reward_model.rollout.name=vllm",
    "reward.reward_model.rollout.tensor_model_parallel_size=2",
)
TEACHER = (
    "distillation.enabled=True",
    "distillation.nnodes=1",
    "distillation.n_gpus_per_node=2",
    "distillation.teacher_models.teacher_model.model_path=some/teacher",
    "distillation.teacher_models.teacher_model.inference.name=vllm",
    "distillation.teacher_models.teacher_model.inference.tensor_model_parallel_size=2",
    "distillation.distillation_loss.loss_mode=k3",
)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@functools.cache
def _composed(*overrides: str) -> DictConfig:
    return overridden(compose(overrides=_last(*GRPO, *SWITCH)), overrides)


def _last(*overrides: str) -> list[str]:
    """A later override replaces an earlier one of the same key."""
    return list({override.split("=")[0].lstrip("+"): override for override in overrides}.values())


def _asked(*overrides: str) -> dict[str, float]:
    return {pool.part: pool.gpus for pool in pools(_composed(*overrides))}


class TestWhatIsAskedFor:
    @pytest.mark.parametrize(
        ("overrides", "asked"),
        [
            ((), {"the trainer": 8, "the PRM": 1}),
            (("algorithm.adv_estimator=grpo",), {"the trainer": 8}),
            (("++algorithm.prpo.credit=outcome",), {"the trainer": 8}),
            (("trainer.device=cpu",), {}),
            (
                ("++reward.prm.num_replicas=4", "++reward.prm.num_gpus_per_replica=0.5"),
                {"the trainer": 8, "the PRM": 2},
            ),
            # Ray puts no replica on two GPUs: 3 of 0.7 take 3.
            (
                ("++reward.prm.num_replicas=3", "++reward.prm.num_gpus_per_replica=0.7"),
                {"the trainer": 8, "the PRM": 3},
            ),
            (("++reward.prm.num_gpus_per_replica=0",), {"the trainer": 8}),
            (("++reward.prm.server.urls=[http://a:1]",), {"the trainer": 8}),
            (APART, {"the trainer": 8, "standalone rollout": 4, "the PRM": 1}),
            (STANDALONE, {"the trainer": 8, "the reward model": 4}),
            (TEACHER, {"the trainer": 8, "the teacher": 2, "the PRM": 1}),
        ],
    )
    def test_each_part_is_counted(self, overrides: tuple[str, ...], asked: dict[str, float]) -> None:
        assert _asked(*overrides) == asked

    @pytest.mark.parametrize(
        ("overrides", "nodes", "there_is_room"),
        [
            ((), [8], False),
            ((), [9], True),
            ((), [8, 1], True),
            (("trainer.nnodes=2", "trainer.n_gpus_per_node=4"), [8], False),  # 8 and 1
            (("trainer.nnodes=2", "trainer.n_gpus_per_node=4"), [8, 8], True),
            (("trainer.n_gpus_per_node=7",), [4, 4], False),  # enough GPUs, but the trainer's must lie on one node
            (("trainer.n_gpus_per_node=4", "++reward.prm.num_replicas=4"), [8], True),
        ],
    )
    def test_the_nodes_hold_it_or_do_not(
        self, overrides: tuple[str, ...], nodes: list[float], there_is_room: bool
    ) -> None:
        asked = pools(_composed(*overrides))
        assert fits(asked, nodes) == there_is_room
        assert bool(shortage(asked, nodes)) != there_is_room

    def test_the_shortage_is_a_number(self) -> None:
        assert shortage(pools(_composed()), [8]) == "9 GPUs asked for, 8 there (1 node of 8): 1 too few"
        assert "must lie on one node" in shortage(pools(_composed("trainer.n_gpus_per_node=7")), [4, 4])


def _passes(config: DictConfig, layout: Layout, nodes: list[float]) -> None:
    changed = with_settings(config, layout.settings)
    assert shortage(pools(changed), nodes) == "", layout
    assert size_faults(changed) == [], layout
    assert verl_refusal(changed) == "", layout
    check_config(changed)


class TestLayouts:
    def test_a_new_user_with_8_gpus_gets_these(self) -> None:
        found = layouts(_composed(), [8])
        assert [layout.lines for layout in found] == [
            [
                "++reward.prm.engine=reward_model",
                "reward.reward_model.enable=True",
                "reward.reward_model.model_path=Qwen/Qwen2.5-Math-PRM-7B",
                "reward.reward_model.rollout.name=vllm",
                "reward.reward_model.rollout.tensor_model_parallel_size=1",
                "reward.reward_model.rollout.gpu_memory_utilization=0.4",
            ],
            ["trainer.n_gpus_per_node=4", "++reward.prm.num_replicas=4"],
            [
                "trainer.n_gpus_per_node=6",
                "++reward.prm.num_replicas=2",
                "data.train_batch_size=1008",
                "actor_rollout_ref.actor.ppo_mini_batch_size=252",
                "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=30",
                "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=30",
            ],
            ["++reward.prm.server.urls='[http://PRM_HOST:8000]'"],
        ]

    @pytest.mark.parametrize(
        ("overrides", "nodes"),
        [
            ((), [8]),
            ((), [2]),
            (("trainer.nnodes=2",), [8, 8]),
            (("trainer.nnodes=3",), [8, 8]),
            (("++reward.prm.num_replicas=16",), [8, 8]),
            (("++reward.prm.num_replicas=4", "++reward.prm.num_gpus_per_replica=0.5"), [8]),
            ((*APART,), [8]),
            (STANDALONE, [8]),
            (TEACHER, [8]),
            (("algorithm.adv_estimator=grpo",), [4]),
            (("actor_rollout_ref.actor.use_dynamic_bsz=True",), [8]),
            (("actor_rollout_ref.actor.fsdp_config.ulysses_sequence_parallel_size=4",), [8]),
        ],
    )
    def test_every_layout_that_is_offered_passes_the_checks(
        self, overrides: tuple[str, ...], nodes: list[float]
    ) -> None:
        config = _composed(*overrides)
        assert shortage(pools(config), nodes)
        found = layouts(config, nodes)
        assert found
        for layout in found:
            _passes(config, layout, nodes)

    def test_a_rollout_server_on_one_node_is_offered_none_across_two(self) -> None:
        config = _composed("trainer.nnodes=2", "actor_rollout_ref.rollout.tensor_model_parallel_size=8")
        found = layouts(config, [8, 8])
        assert found[1].settings == {"trainer.nnodes": 1, "reward.prm.num_replicas": 8}
        for layout in found:
            changed = with_settings(config, layout.settings)
            assert changed.trainer.n_gpus_per_node == 8
            _passes(config, layout, [8, 8])

    def test_a_family_that_no_server_holds_is_offered_none(self) -> None:
        config = _composed("++reward.prm.family=implicit_prm")
        assert all("reward.prm.num_replicas" in layout.settings for layout in layouts(config, [8]))

    def test_the_command_that_serves_it_suits_its_family(self) -> None:
        pooled = layouts(_composed("++reward.prm.family=qwen_math_prm"), [8])[-1]
        assert "`vllm serve Qwen/Qwen2.5-Math-PRM-7B --runner pooling`" in pooled.what
        judged = layouts(_composed("++reward.prm.family=zero_shot_judge"), [8])[-1]
        assert "`vllm serve Qwen/Qwen2.5-Math-PRM-7B`" in judged.what

    def test_separate_async_shares_no_gpus(self) -> None:
        found = layouts(_composed(*APART), [8])
        assert not any("reward.reward_model.enable" in layout.settings for layout in found)

    def test_lines_of_this_package_get_two_plusses(self) -> None:
        assert override_line("reward.prm.num_replicas", 4) == "++reward.prm.num_replicas=4"
        assert override_line("trainer.nnodes", 1) == "trainer.nnodes=1"
        assert override_line("reward.prm.server.urls", ["a", "b"]) == "++reward.prm.server.urls='[a,b]'"


class TestSizes:
    @pytest.mark.parametrize(
        ("overrides", "fault", "advice"),
        [
            (
                ("trainer.n_gpus_per_node=4", "actor_rollout_ref.rollout.tensor_model_parallel_size=3"),
                "4 GPUs of the trainer .* no multiple of 3",
                "tensor_model_parallel_size to 1, 2 or 4",
            ),
            (
                ("trainer.nnodes=2", "trainer.n_gpus_per_node=5", "actor_rollout_ref.actor.use_dynamic_bsz=True"),
                "rollout servers of 2 GPUs .* neither fit side by side on nodes of trainer.n_gpus_per_node=5",
                "tensor_model_parallel_size to 1 or 5",
            ),
            (
                (
                    "trainer.nnodes=2",
                    "trainer.n_gpus_per_node=4",
                    "actor_rollout_ref.rollout.n_gpus_per_node=8",
                    "actor_rollout_ref.rollout.tensor_model_parallel_size=8",
                ),
                "rollout.n_gpus_per_node=8 puts 8 GPUs of a rollout server .* trainer.n_gpus_per_node=4 there",
                "leave actor_rollout_ref.rollout.n_gpus_per_node out, or set it to 4",
            ),
            (
                ("actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=48",),
                "160 responses of each of 8 .* no multiple of actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=48",
                "ppo_micro_batch_size_per_gpu=40",
            ),
            (
                ("actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=48",),
                "640 responses of each of 8 .*log_prob_micro_batch_size_per_gpu=48",
                "log_prob_micro_batch_size_per_gpu=40",
            ),
            (
                ("actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True",),
                "must be the same",
                "log_prob_use_dynamic_bsz=False",
            ),
            (("data.gen_batch_size=300",), "no multiple of data.gen_batch_size=300", "divisor of 1024"),
            (
                (*STANDALONE, "reward.reward_model.n_gpus_per_node=3"),
                "gives the reward model 3 GPUs, no multiple of 2",
                "to 1 or 3",
            ),
            ((*STANDALONE, "reward.reward_model.nnodes=0"), "an empty pool", "to 1 or more"),
            (
                (*APART, "actor_rollout_ref.rollout.n_gpus_per_node=1"),
                "holds no rollout server of 2 GPUs",
                "tensor_model_parallel_size to 1",
            ),
        ],
    )  # fmt: skip
    def test_what_verl_stops_at_once_it_trains(self, overrides: tuple[str, ...], fault: str, advice: str) -> None:
        found = size_faults(_composed(*overrides))
        assert any(re.search(fault, one.found) and advice in one.advice for one in found), found

    def test_batches_that_divide(self) -> None:
        seven = _composed("trainer.n_gpus_per_node=7", "actor_rollout_ref.rollout.tensor_model_parallel_size=1")
        changes = that_divide(seven)
        assert changes == {
            "data.train_batch_size": 1008,
            "actor_rollout_ref.actor.ppo_mini_batch_size": 252,
            "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu": 30,
            "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu": 30,
        }
        assert size_faults(with_settings(seven, changes)) == []
        assert that_divide(_composed()) == {}


class TestVerlsOwnChecks:
    @pytest.mark.parametrize(
        ("override", "said"),
        [
            ("actor_rollout_ref.actor.optim.lr_scheduler_type=cosin", "lr_scheduler_type=cosin is not known; did you"),
            ("actor_rollout_ref.actor.loss_agg_mode=token-men", "did you mean token-mean?"),
            ("actor_rollout_ref.rollout.mode=sync", "Rollout mode 'sync' has been removed"),
            ("trainer.v1.sampler.max_off_policy_strategy=dropp", "did you mean drop?"),
            ("trainer.v1.trainer_mode=separate_async", "nnodes must be > 0 in separate async"),
            ("algorithm.filter_groups.metric=null", ""),
        ],
    )  # fmt: skip
    def test_they_are_run_and_quoted(self, override: str, said: str) -> None:
        refused = verl_refusal(_composed("actor_rollout_ref.rollout.mode=async", override))
        assert said in refused if said else not refused

    def test_the_configuration_stays_as_it_is(self) -> None:
        config = _composed("trainer.v1.sampler.max_off_policy_threshold=3")
        before = str(config)
        assert verl_refusal(config) == ""
        assert str(config) == before
