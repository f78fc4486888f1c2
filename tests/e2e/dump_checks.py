# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What the PRM must have been asked about the responses of a dump, and what it must have said."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import mean

import pytest
import reference
import torch

from verl_prpo.prm.encoding.shown import shown_steps
from verl_prpo.prm.families.qwen_math import QwenMathPrm
from verl_prpo.prm.in_process.engine import InProcessEngine
from verl_prpo.prm.results import PrmRequest
from verl_prpo.telemetry.rollouts.read import Rollout

MAX_RESPONSE_LENGTH = 48
SIGMA = 12**-0.5


def in_process(prm: Path) -> InProcessEngine:
    """The PRM on disk in this process, fp32."""
    family = QwenMathPrm.load(str(prm), device=torch.device("cpu"), dtype=torch.float32)
    return InProcessEngine(family, max_tokens_per_forward=4096)


def request_of(rollout: Rollout) -> PrmRequest | None:
    """What the PRM was asked about a response of a dump; None for one that is never sent. A policy this small may say
    nothing but special tokens, and mostly runs into its length limit."""
    texts = [segment.text for segment in rollout.segments]
    shown = shown_steps(texts, rollout.truncated)
    return PrmRequest(rollout.messages, texts, rollout.truncated) if shown.steps else None


def same_scores(rollout: Rollout, engine: InProcessEngine, tolerance: float) -> list[float]:
    """Check that the scores of a response of a dump are those of an engine in this process; the scores."""
    request = request_of(rollout)
    scores = [segment.score for segment in rollout.segments]
    assert (rollout.prm_latency is not None) == (request is not None)
    if request is None:
        assert not any(score is not None for score in scores)
        return []
    (direct,) = engine.score([request])
    assert direct.scores is not None, direct.detail
    assert [score is None for score in scores] == [score is None for score in direct.scores]
    known = [score for score in scores if score is not None]
    assert known == pytest.approx([score for score in direct.scores if score is not None], abs=tolerance)
    return known


def check_dump(
    rollouts: list[Rollout],
    min_gap: int,
    outcome_of: Callable[[str], float] = lambda text: float(len(text) % 2 == 0),
    weight: float = 2.0,
    signal: str = "entropy",
) -> None:
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
