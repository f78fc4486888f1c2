# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`main_ppo` with step rewards by a function, streamed: each response is cut and scored while others are generated, and
what the actor got is what the function says of the segments and the row. Validation stays outcome-only."""

import re
from collections import defaultdict
from statistics import mean

import pytest
from dump_checks import SIGMA, request_of

pytestmark = pytest.mark.e2e

DELIMITERS = "abcdefghijkl"
"""An untrained policy says one of these now and then."""

FUNCTION = """
def score(messages, segments, data_source, ground_truth, extra_info, share, **row):
    assert messages[0]["role"] == "user" and data_source == "tiny", (messages, data_source)
    known = 0.5 if str(extra_info["index"] + extra_info["index"] % 3) == ground_truth else 0.0
    return [None if len(text) % 3 == 0 else known + share * (len(text) % 2) for text in segments]
"""


def score_of(text):
    return None if len(text) % 3 == 0 else 0.5 + 0.25 * (len(text) % 2)


def test_streamed_step_rewards_by_a_function_reach_the_actor(main_ppo, assets, tmp_path):
    """The recipe of the toy task with another function and other cuts."""
    file = tmp_path / "steps.py"
    file.write_text(FUNCTION)
    run = main_ppo(
        "prpo_step_rewards_laptop",
        *assets.overrides(),
        "data.train_batch_size=3",
        "actor_rollout_ref.actor.ppo_mini_batch_size=3",
        "actor_rollout_ref.rollout.n=4",
        f"algorithm.prpo.delimiters=[{','.join(DELIMITERS)}]",
        "++reward.prm.schedule=stream",
        f"reward.prm.score_function.path={file}",
        "++reward.prm.score_function.kwargs.share=0.25",
        "trainer.test_freq=1",
    )
    assert f"process rewards from the score function {file}:score" in run.log
    assert "each response is cut and scored as it finishes" in run.log
    abstained = judged = 0
    for step, metrics in enumerate(run.metrics(), 1):
        rollouts = run.dump(step)
        assert len(rollouts) == 12
        check_cuts_and_advantages(rollouts)
        for rollout in filter(worded, rollouts):
            segments = rollout.segments[: -1 if rollout.unfinished else None]
            assert [s.score for s in segments] == [score_of(s.text) for s in segments]
            judged += len(segments)
            abstained += sum(s.score is None for s in segments)
        assert metrics["prpo/prm/not_streamed"] == 0 and metrics["prpo/prm/failed"] == 0
        assert metrics["prpo/prm/requests"] + metrics["prpo/prm/empty"] == 12
        assert metrics["prpo/prm/abstained"] > 0 and metrics["prpo/prm/unread"] == 0
        assert metrics["timing_s/prm_busy"] > 0 and metrics["timing_s/prm_wait"] >= 0
        validation = [key for key in metrics if key.startswith("val-")]
        assert validation and not [key for key in validation if re.search("prpo|prm|process", key)]
    assert judged > abstained > 0
    assert any(len(rollout.segments) > 1 for rollout in run.dump(1))


def check_cuts_and_advantages(rollouts):
    """A cut behind each delimiter, and A = z + beta on each token."""
    groups = defaultdict(list)
    for rollout in rollouts:
        groups[rollout.uid].append(rollout.outcome_reward)
    for rollout in rollouts:
        segments = rollout.segments
        assert rollout.failure is None
        assert (rollout.prm_latency is not None) == (request_of(rollout) is not None)
        assert rollout.outcome_reward == 2.0 * (len(rollout.response) % 2 == 0)
        assert "".join(segment.text for segment in segments) == rollout.response
        assert [s.begin for s in segments[1:]] == [s.end for s in segments[:-1]]
        assert all(any(delimiter in segment.text for delimiter in DELIMITERS) for segment in segments[:-1])
        assert rollout.entropy is not None  # though it was not what the response was cut at
        beta = rollout.outcome_reward - mean(groups[rollout.uid])
        for segment in segments:
            z = 0.0 if segment.score is None else (segment.score - 0.5) / SIGMA
            for t in range(segment.begin, segment.end):
                assert rollout.process_advantage[t] == pytest.approx(z, abs=1e-4)
                assert rollout.advantages[t] == pytest.approx(z + beta, abs=1e-4)


def worded(rollout):
    """Whether each segment is a step of its own, so that the function saw it as it is."""
    from verl_prpo.prm.encoding.shown import shown_steps

    texts = [segment.text for segment in rollout.segments]
    return shown_steps(texts).steps == texts
