# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`python -m verl.trainer.main_ppo` end to end: what the actor got is what the scores and outcomes say."""

import math
from statistics import mean

import pytest
from dump_checks import check_dump, in_process, same_scores
from guarded_run import RunFailed
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

pytestmark = pytest.mark.e2e

SMALL = [
    "data.train_batch_size=3",
    "actor_rollout_ref.actor.ppo_mini_batch_size=3",
    "actor_rollout_ref.rollout.n=4",
]


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
    """sync mode, a KL reference policy (which the PRM overlaps), an odd batch of 3 prompts in mini-batches. Scores are
    those of the PRM on disk, asked directly, and vLLM samples with the trainer's weights after each sync."""
    run = main_ppo(
        "prpo_laptop",
        *assets.overrides(),
        *assets.prm_overrides(),
        *SMALL,
        "actor_rollout_ref.actor.use_kl_loss=True",
        "actor_rollout_ref.actor.optim.lr=1e-3",
        "actor_rollout_ref.rollout.calculate_log_probs=True",
        "trainer.logger=[console,file,tensorboard]",
        env={"TENSORBOARD_DIR": str(tmp_path / "tensorboard")},
    )
    engine = in_process(assets.prm)
    for step in (1, 2):
        rollouts = run.dump(step)
        assert len(rollouts) == 12
        check_dump(rollouts, min_gap=6)
        for rollout in rollouts:
            same_scores(rollout, engine, 1e-4)
            assert "".join(segment.text for segment in rollout.segments) == rollout.response
            assert rollout.surprisal is not None and rollout.outcome_parts
    first, second = run.metrics()
    every = [advantage for rollout in run.dump(1) for advantage in rollout.advantages]
    assert first["critic/advantages/mean"] == pytest.approx(mean(every), abs=1e-4)
    assert first["prpo/prm/requests"] + first["prpo/prm/empty"] == 12 and first["prpo/prm/failed"] == 0
    assert first["timing_s/prm_wait"] >= 0 and first["timing_s/prm_busy"] > 0
    assert second["actor/grad_norm"] > 0 and math.isfinite(second["actor/pg_loss"])
    assert max(metrics["training/rollout_probs_diff_max"] for metrics in (first, second)) < 1e-5
    assert second["actor/kl_loss"] > first["actor/kl_loss"]  # the reference policy stays behind
    scores = [s.score for rollout in run.dump(1) for s in rollout.segments if s.score is not None]
    assert first["prpo/process_score/mean"] == pytest.approx(mean(scores), abs=1e-4)
    check_tensorboard(run)


def test_separate_async_updates_twice_between_weight_syncs(main_ppo, assets):
    """The rollout has a vLLM of its own; each step makes two updates, each with a process pass of its own."""
    run = main_ppo(
        "prpo_laptop",
        *assets.overrides(),
        *assets.prm_overrides(),
        "data.train_batch_size=4",
        "actor_rollout_ref.actor.ppo_mini_batch_size=2",
        "actor_rollout_ref.rollout.n=4",
        "trainer.total_training_steps=1",
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
