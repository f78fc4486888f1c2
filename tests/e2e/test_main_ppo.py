# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`python -m verl.trainer.main_ppo` end to end: what the actor got is what the scores and outcomes say."""

import math
from collections import defaultdict
from statistics import mean

import pytest
import reference
import torch
from guarded_run import RunFailed
from transformers import AutoTokenizer

pytestmark = pytest.mark.e2e

SMALL = [
    "data.train_batch_size=3",
    "actor_rollout_ref.actor.ppo_mini_batch_size=3",
    "actor_rollout_ref.rollout.n=4",
]
SIGMA = 12**-0.5


def check_dump(entries, min_gap, outcome_of=lambda text: float(len(text) % 2 == 0), weight=2.0):
    """Recompute segments, z, beta and A of every response from what the dump holds of its inputs."""
    groups = defaultdict(list)
    for entry in entries:
        record = entry["prpo"]
        assert record["outcome_reward"] == pytest.approx(weight * outcome_of(entry["output"]))
        groups[record["uid"]].append(record["outcome_reward"])
    assert {len(rewards) for rewards in groups.values()} == {4}
    for entry in entries:
        record = entry["prpo"]
        length = len(record["advantages"])
        starts = reference.entropy_segments([record["signal"]], [record["response_mask"]], 5, min_gap, "paper")[0]
        assert [s["begin"] for s in record["segments"]] == [t for t in range(length) if starts[t]]
        assert [s["end"] for s in record["segments"]] == [s["begin"] for s in record["segments"][1:]] + [length]
        beta = record["outcome_reward"] - mean(groups[record["uid"]])
        spoken = any(segment["text"] for segment in record["segments"])
        assert record["failure"] is None
        for segment in record["segments"]:
            # A policy this small may say nothing but special tokens; such a response is never sent, and its z is 0.
            assert (segment["score"] is not None) == spoken
            z = (segment["score"] - 0.5) / SIGMA if spoken else 0.0
            for t in range(segment["begin"], segment["end"]):
                assert record["process_advantage"][t] == pytest.approx(z, abs=1e-4)
                assert record["advantages"][t] == pytest.approx(z + beta, abs=1e-4)


def test_prpo_gives_the_actor_the_advantages_of_the_paper(main_ppo, assets):
    """sync mode, a KL reference policy (which the PRM overlaps), an odd batch of 3 prompts in mini-batches."""
    run = main_ppo(
        "prpo_laptop", *assets.overrides(), *assets.prm_overrides(), *SMALL, "actor_rollout_ref.actor.use_kl_loss=True"
    )
    tokenizer = AutoTokenizer.from_pretrained(assets.policy)
    for step in (1, 2):
        entries = run.dump(step)
        assert len(entries) == 12
        check_dump(entries, min_gap=6)
        for entry in entries:
            assert "".join(s["text"] for s in entry["prpo"]["segments"]) == entry["output"]
    first, second = run.metrics()
    every = [a for entry in run.dump(1) for a in entry["prpo"]["advantages"]]
    assert first["critic/advantages/mean"] == pytest.approx(mean(every), abs=1e-4)
    assert first["prpo/prm/requests"] + first["prpo/prm/empty"] == 12 and first["prpo/prm/failed"] == 0
    assert first["timing_s/prm_wait"] >= 0 and first["timing_s/prm_busy"] > 0
    assert second["actor/grad_norm"] > 0 and math.isfinite(second["actor/pg_loss"])
    scores = [s["score"] for entry in run.dump(1) for s in entry["prpo"]["segments"] if s["score"] is not None]
    assert first["prpo/process_score/mean"] == pytest.approx(mean(scores), abs=1e-4)
    assert tokenizer.eos_token is not None


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
    from verl_prpo.prm.engine import InProcessEngine
    from verl_prpo.prm.families.qwen_math import QwenMathPrm
    from verl_prpo.prm.results import PrmRequest

    family = QwenMathPrm.load(str(assets.prm), device=torch.device("cpu"), dtype=torch.float32)
    engine = InProcessEngine(family, max_tokens_per_forward=4096)
    for entry in run.dump(1):
        segments = entry["prpo"]["segments"]
        if not any(s["text"] for s in segments):
            continue
        question = entry["input"].split("\n")[1]
        messages = [{"role": "user", "content": question}]
        (result,) = engine.score([PrmRequest(messages, [s["text"] for s in segments])])
        assert result.scores == pytest.approx([s["score"] for s in segments], abs=1e-4)


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
    entries = run.dump(1)
    assert len(entries) == 16
    check_dump(entries, min_gap=6)
    first = run.metrics()[0]
    assert first["prpo/prm/requests"] + first["prpo/prm/empty"] == 16  # of both updates


def test_the_gpu_recipe_runs_with_only_model_data_and_size_overridden(main_ppo, assets, platform_overrides):
    run = main_ppo(
        "prpo_qwen2.5_math_1.5b",
        *assets.overrides(),
        f"reward.prm.model_path={assets.prm}",
        *SMALL,
        *platform_overrides,
    )
    check_dump(run.dump(2), min_gap=10)


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
