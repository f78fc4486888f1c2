# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What the PRM must have been asked about the responses of a dump, and what it must have said."""

import pytest

from verl_prpo.prm.encoding.shown import shown_steps
from verl_prpo.prm.in_process.engine import InProcessEngine
from verl_prpo.prm.results import PrmRequest
from verl_prpo.telemetry.rollouts.read import Rollout

MAX_RESPONSE_LENGTH = 48


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
