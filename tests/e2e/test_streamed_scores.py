# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`main_ppo` with process scores that stream: each response is cut and scored while others are generated."""

import re
from collections import defaultdict
from statistics import mean

import pytest
import torch

pytestmark = pytest.mark.e2e

SIGMA = 12**-0.5
DELIMITERS = "abcdefghijkl"
"""An untrained policy says one of these now and then."""


def test_streamed_scores_reach_the_actor_and_validation_stays_outcome_only(main_ppo, assets):
    from verl_prpo.prm.engine import InProcessEngine
    from verl_prpo.prm.families.qwen_math import QwenMathPrm
    from verl_prpo.prm.results import PrmRequest

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
        entries = run.dump(step)
        assert len(entries) == 12
        groups = defaultdict(list)
        for entry in entries:
            groups[entry["prpo"]["uid"]].append(entry["prpo"]["outcome_reward"])
        for entry in entries:
            record, segments = entry["prpo"], entry["prpo"]["segments"]
            assert record["outcome_reward"] == 2.0 * (len(entry["output"]) % 2 == 0)
            assert "".join(segment["text"] for segment in segments) == entry["output"]
            assert [s["begin"] for s in segments[1:]] == [s["end"] for s in segments[:-1]]
            for segment in segments[:-1]:
                assert any(delimiter in segment["text"] for delimiter in DELIMITERS)
            texts = [segment["text"] for segment in segments]
            scores = [segment["score"] for segment in segments]
            if any(texts):
                (direct,) = engine.score([PrmRequest([{"role": "user", "content": question(entry)}], texts)])
                assert scores == pytest.approx(direct.scores, abs=1e-4)
                seen += 1
            beta = record["outcome_reward"] - mean(groups[record["uid"]])
            for segment, score in zip(segments, scores, strict=True):
                z = (score - 0.5) / SIGMA if score is not None else 0.0
                for t in range(segment["begin"], segment["end"]):
                    assert record["process_advantage"][t] == pytest.approx(z, abs=1e-4)
                    assert record["advantages"][t] == pytest.approx(z + beta, abs=1e-4)
    assert seen > 12
    assert any(len(entry["prpo"]["segments"]) > 1 for entry in run.dump(1))
    for metrics in run.metrics():
        assert metrics["prpo/prm/not_streamed"] == 0 and metrics["prpo/prm/failed"] == 0
        assert metrics["prpo/prm/requests"] + metrics["prpo/prm/empty"] == 12
        assert metrics["timing_s/prm_busy"] > 0 and metrics["timing_s/prm_wait"] >= 0
        validation = [key for key in metrics if key.startswith("val-")]
        assert validation and not [key for key in validation if re.search("prpo|prm|process", key)]


def question(entry: dict) -> str:
    return entry["input"].split("\n")[1]
