# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`python -m verl.trainer.main_ppo` end to end: what the actor got is what the scores and outcomes say."""

import math
from collections import defaultdict
from statistics import mean

import pytest
import reference
import torch
from dump_checks import MAX_RESPONSE_LENGTH, request_of, same_scores
from guarded_run import RunFailed
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

pytestmark = pytest.mark.e2e

SMALL = [
    "data.train_batch_size=3",
    "actor_rollout_ref.actor.ppo_mini_batch_size=3",
    "actor_rollout_ref.rollout.n=4",
]
SIGMA = 12**-0.5


def check_dump(rollouts, min_gap, outcome_of=lambda text: float(len(text) % 2 == 0), weight=2.0, signal="entropy"):
    """Recompute segments, z, beta and A of every response from what the dump holds of its inputs."""
    groups = defaultdict(list)
    for rollout in rollouts:
        assert rollout.outcome_reward == pytest.approx(weight * outcome_of(rollout.response))
        assert rollout.outcome_reward == pytest.approx(weight * rollout.verifier_score)
        groups[rollout.uid].append(rollout.outcome_reward)
    assert {len(rewards) for rewards in groups.values()} == {4}
    for rollout in rollouts:
        starts = reference.entropy_segments([getattr(rollout, signal)], [rollout.response_mask], 5, min_gap, "paper")[0]
        length = len(rollout.advantages)
        assert [s.begin for s in rollout.segments] == [t for t in range(length) if starts[t]]
        assert [s.end for s in rollout.segments] == [s.begin for s in rollout.segments[1:]] + [length]
        beta = rollout.outcome_reward - mean(groups[rollout.uid])
        sent = request_of(rollout) is not None
        assert rollout.failure is None
        assert (rollout.prm_latency is not None) == sent
        assert rollout.unfinished <= rollout.truncated <= (length == MAX_RESPONSE_LENGTH)
        for segment in rollout.segments:
            unfinished = rollout.unfinished and segment is rollout.segments[-1]
            assert (segment.score is not None) == (sent and not unfinished)
            z = (segment.score - 0.5) / SIGMA if segment.score is not None else 0.0
            for t in range(segment.begin, segment.end):
                assert rollout.process_advantage[t] == pytest.approx(z, abs=1e-4)
                assert rollout.advantages[t] == pytest.approx(z + beta, abs=1e-4)


def check_tensorboard(run):
    """What verl's Tracking wrote for tensorboard is what it wrote for its file logger."""
    events = EventAccumulator(str(run.folder / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    for step, metrics in enumerate(run.metrics(), 1):
        ours = [name for name in metrics if name.startswith(("prpo/", "timing_s/prm_"))]
        assert {"prpo/process_score/mean", "prpo/sign_flip", "prpo/alarms", "timing_s/prm_wait"} <= set(ours)
        for name in ours:
            logged = {event.step: event.value for event in events.Scalars(name)}
            assert logged[step] == pytest.approx(metrics[name], rel=1e-5), name


def test_prpo_gives_the_actor_the_advantages_of_the_paper(main_ppo, assets, tmp_path):
    """sync mode, a KL reference policy (which the PRM overlaps), an odd batch of 3 prompts in mini-batches."""
    run = main_ppo(
        "prpo_laptop",
        *assets.overrides(),
        *assets.prm_overrides(),
        *SMALL,
        "actor_rollout_ref.actor.use_kl_loss=True",
        "trainer.logger=[console,file,tensorboard]",
        env={"TENSORBOARD_DIR": str(tmp_path / "tensorboard")},
    )
    for step in (1, 2):
        rollouts = run.dump(step)
        assert len(rollouts) == 12
        check_dump(rollouts, min_gap=6)
        for rollout in rollouts:
            assert "".join(segment.text for segment in rollout.segments) == rollout.response
            assert rollout.surprisal is not None and rollout.outcome_parts
    first, second = run.metrics()
    every = [advantage for rollout in run.dump(1) for advantage in rollout.advantages]
    assert first["critic/advantages/mean"] == pytest.approx(mean(every), abs=1e-4)
    assert first["prpo/prm/requests"] + first["prpo/prm/empty"] == 12 and first["prpo/prm/failed"] == 0
    assert first["timing_s/prm_wait"] >= 0 and first["timing_s/prm_busy"] > 0
    assert second["actor/grad_norm"] > 0 and math.isfinite(second["actor/pg_loss"])
    scores = [s.score for rollout in run.dump(1) for s in rollout.segments if s.score is not None]
    assert first["prpo/process_score/mean"] == pytest.approx(mean(scores), abs=1e-4)
    check_tensorboard(run)


def test_the_prm_of_the_run_is_the_prm_on_disk(main_ppo, assets):
    """Scores in the dump equal those of the PRM asked directly; colocate_async mode, rollout correction bypassed."""
    run = main_ppo(
        "prpo_laptop",
        *assets.overrides(),
        *assets.prm_overrides(),
        *SMALL,
        "trainer.v1.trainer_mode=colocate_async",
        "algorithm.rollout_correction.bypass_mode=True",
    )
    assert "cut at surprisal" in run.log
    from verl_prpo.prm.families.qwen_math import QwenMathPrm
    from verl_prpo.prm.in_process.engine import InProcessEngine

    family = QwenMathPrm.load(str(assets.prm), device=torch.device("cpu"), dtype=torch.float32)
    engine = InProcessEngine(family, max_tokens_per_forward=4096)
    check_dump(run.dump(1), min_gap=6, signal="surprisal")
    for rollout in run.dump(1):
        assert rollout.entropy is None
        same_scores(rollout, engine, 1e-4)


def test_separate_async_updates_twice_between_weight_syncs(main_ppo, assets):
    """The rollout has a vLLM of its own; each step makes two updates, each with a process pass of its own."""
    run = main_ppo(
        "prpo_laptop",
        *assets.overrides(),
        *assets.prm_overrides(),
        "data.train_batch_size=4",
        "actor_rollout_ref.actor.ppo_mini_batch_size=2",
        "actor_rollout_ref.rollout.n=4",
        "trainer.v1.trainer_mode=separate_async",
        "trainer.v1.separate_async.parameter_sync_step=2",
        "actor_rollout_ref.rollout.nnodes=1",
        "actor_rollout_ref.rollout.n_gpus_per_node=1",
        "actor_rollout_ref.rollout.checkpoint_engine.backend=local_socket",
        "actor_rollout_ref.rollout.checkpoint_engine.custom_backend_module=verl_prpo.cpu.weight_transfer",
        "ray_kwargs.ray_init.num_gpus=2",
    )
    rollouts = run.dump(1)
    assert len(rollouts) == 16
    check_dump(rollouts, min_gap=6)
    first = run.metrics()[0]
    assert first["prpo/prm/requests"] + first["prpo/prm/empty"] == 16  # of both updates


def test_a_gpu_recipe_runs_with_only_model_data_and_size_overridden(main_ppo, assets, platform_overrides):
    """That of a policy with adapters, whose reference policy is itself without them."""
    run = main_ppo(
        "prpo_lora_qwen2.5_math_7b",
        *assets.overrides(),
        "reward.reward_manager.name=naive",
        f"reward.prm.model_path={assets.prm}",
        *SMALL,
        *platform_overrides,
    )
    check_dump(run.dump(2), min_gap=10, weight=1.0)
    assert [metrics["actor/grad_norm"] > 0 for metrics in run.metrics()] == [True, True]


def test_grpo_is_the_same_with_and_without_the_plugin(main_ppo, assets, tmp_path):
    """Greedy rollouts, since vLLM's sampling differs from run to run; the entropy bonus makes the updates real."""
    overrides = [
        *assets.overrides(),
        *SMALL,
        "actor_rollout_ref.rollout.temperature=0.0001",
        "actor_rollout_ref.actor.entropy_coeff=0.01",
    ]
    with_plugin = main_ppo("grpo_laptop", *overrides).metrics()
    without = main_ppo(
        "grpo_laptop",
        *overrides,
        env={
            "VERL_USE_EXTERNAL_PLUGINS": "none",
            "VERL_USE_EXTERNAL_MODULES": "cpu_platform_only",
            "PYTHONPATH": str(__file__).replace("test_main_ppo.py", "platform_only"),
        },
    ).metrics()
    for ours, verls in zip(with_plugin, without, strict=True):
        for key in ("critic/score/mean", "response_length/mean", "actor/entropy", "actor/grad_norm", "actor/pg_loss"):
            assert ours[key] == pytest.approx(verls[key], rel=1e-4, abs=1e-6), key
        assert set(ours) == set(verls)
        assert not [key for key in ours if "prpo" in key or "prm" in key]


def test_a_prm_without_head_stops_the_run_with_its_reason(main_ppo, assets, tmp_path):
    from tiny_models import qwen_math_prm

    headless = qwen_math_prm(tmp_path / "headless", head=False)
    with pytest.raises(RunFailed, match=r"reward\.prm\.model_path"):
        main_ppo(
            "prpo_laptop",
            *assets.overrides(),
            *assets.prm_overrides(),
            *SMALL,
            f"reward.prm.model_path={headless}",
        )


def test_a_mistyped_key_stops_the_run_before_ray_starts(main_ppo, assets, tmp_path):
    with pytest.raises(RunFailed, match=r"algorithm\.prpo\.max_anchor is not a setting; did you mean.*max_anchors"):
        main_ppo("prpo_laptop", *assets.overrides(), "+algorithm.prpo.max_anchor=3")
    assert "Started a local Ray instance" not in (tmp_path / "train.log").read_text()
