# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""GRPO with the plugin is GRPO of stock verl: two runs, one of which knows nothing of it but the CPU platform."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

WITHOUT = {
    "VERL_USE_EXTERNAL_PLUGINS": "none",
    "VERL_USE_EXTERNAL_MODULES": "cpu_platform_only",
    "PYTHONPATH": str(Path(__file__).parent / "platform_only"),
}


def test_it_is_the_same_with_and_without_the_plugin(main_ppo, assets):
    """Greedy rollouts, since vLLM's sampling differs from run to run; the entropy bonus makes the updates real."""
    overrides = [
        *assets.overrides(),
        "data.train_batch_size=3",
        "actor_rollout_ref.actor.ppo_mini_batch_size=3",
        "actor_rollout_ref.rollout.n=4",
        "actor_rollout_ref.rollout.temperature=0.0001",
        "actor_rollout_ref.actor.entropy_coeff=0.01",
    ]
    with_plugin = main_ppo("grpo_laptop", *overrides).metrics()
    without = main_ppo("grpo_laptop", *overrides, env=WITHOUT).metrics()
    assert [metrics["training/global_step"] for metrics in without] == [1, 2]
    for ours, verls in zip(with_plugin, without, strict=True):
        for key in ("critic/score/mean", "response_length/mean", "actor/entropy", "actor/grad_norm", "actor/pg_loss"):
            assert ours[key] == pytest.approx(verls[key], rel=1e-4, abs=1e-6), key
        assert set(ours) == set(verls)
        assert not [key for key in ours if "prpo" in key or "prm" in key]
