# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`main_ppo` with process scores that stream: each response is cut and scored while others are generated."""

import re
from collections import defaultdict
from statistics import mean

import pytest
import torch
from dump_checks import same_scores

pytestmark = pytest.mark.e2e

SIGMA = 12**-0.5
DELIMITERS = "abcdefghijkl"
"""An untrained policy says one of these now and then."""


def test_streamed_scores_reach_the_actor_and_validation_stays_outcome_only(main_ppo, assets):
    from verl_prpo.prm.families.qwen_math import QwenMathPrm
    from verl_prpo.prm.in_process.engine import InProcessEngine

    run = main_ppo(
        "prpo_laptop",
        *assets.overrides(),
        *assets.prm_overrides(),
        "data.train_batch_size=3",
        "actor_rollout_ref.actor.ppo_mini_batch_size=3",
        "actor_rollout_ref.rollout.n=4",
        "+algorithm.prpo.segmenter=text",
        f"+algorithm.prpo.delimiters=[{','.join(DELIMITERS)}]",
        "+reward.prm.schedule=stream",
        "trainer.test_freq=1",
    )
    assert "each response is cut and scored as it finishes" in run.log
    family = QwenMathPrm.load(str(assets.prm), device=torch.device("cpu"), dtype=torch.float32)
    engine = InProcessEngine(family, max_tokens_per_forward=4096)
    seen = 0
    for step in (1, 2):
        rollouts = run.dump(step)
        assert len(rollouts) == 12
        groups = defaultdict(list)
        for rollout in rollouts:
            groups[rollout.uid].append(rollout.outcome_reward)
        for rollout in rollouts:
            segments = rollout.segments
            assert rollout.outcome_reward == 2.0 * (len(rollout.response) % 2 == 0)
            assert "".join(segment.text for segment in segments) == rollout.response
            assert [s.begin for s in segments[1:]] == [s.end for s in segments[:-1]]
            for segment in segments[:-1]:
                assert any(delimiter in segment.text for delimiter in DELIMITERS)
            assert rollout.entropy is not None  # though it was not what the response was cut at
            seen += bool(same_scores(rollout, engine, 1e-4))
            beta = rollout.outcome_reward - mean(groups[rollout.uid])
            for segment in segments:
                z = (segment.score - 0.5) / SIGMA if segment.score is not None else 0.0
                for t in range(segment.begin, segment.end):
                    assert rollout.process_advantage[t] == pytest.approx(z, abs=1e-4)
                    assert rollout.advantages[t] == pytest.approx(z + beta, abs=1e-4)
    assert seen > 12
    assert any(len(rollout.segments) > 1 for rollout in run.dump(1))
    for metrics in run.metrics():
        assert metrics["prpo/prm/not_streamed"] == 0 and metrics["prpo/prm/failed"] == 0
        assert metrics["prpo/prm/requests"] + metrics["prpo/prm/empty"] == 12
        assert metrics["timing_s/prm_busy"] > 0 and metrics["timing_s/prm_wait"] >= 0
        validation = [key for key in metrics if key.startswith("val-")]
        assert validation and not [key for key in validation if re.search("prpo|prm|process", key)]
