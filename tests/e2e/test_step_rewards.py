# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`main_ppo` with step rewards by a function: what the actor got is what the function says of the segments and row."""

from collections import defaultdict
from statistics import mean

import pytest

pytestmark = pytest.mark.e2e

SIGMA = 12**-0.5

FUNCTION = """
def score(messages, segments, data_source, ground_truth, extra_info, share, **row):
    assert messages[0]["role"] == "user" and data_source == "tiny", (messages, data_source)
    known = 0.5 if str(extra_info["index"] + extra_info["index"] % 3) == ground_truth else 0.0
    return [None if len(text) % 3 == 0 else known + share * (len(text) % 2) for text in segments]
"""


def score_of(text):
    return None if len(text) % 3 == 0 else 0.5 + 0.25 * (len(text) % 2)


def test_step_rewards_by_a_function_reach_the_actor(main_ppo, assets, tmp_path):
    """The recipe of the toy task with another function and other cuts, scored in a process pass."""
    file = tmp_path / "steps.py"
    file.write_text(FUNCTION)
    run = main_ppo(
        "prpo_step_rewards_laptop",
        *assets.overrides(),
        "data.train_batch_size=3",
        "actor_rollout_ref.actor.ppo_mini_batch_size=3",
        "actor_rollout_ref.rollout.n=4",
        "algorithm.prpo.segmenter=uniform",
        "++algorithm.prpo.num_segments=4",
        "++reward.prm.schedule=batch",
        f"reward.prm.score_function.path={file}",
        "++reward.prm.score_function.kwargs.share=0.25",
    )
    assert f"process rewards from the score function {file}:score" in run.log
    abstained = 0
    for step in (1, 2):
        rollouts = run.dump(step)
        assert len(rollouts) == 12
        groups = defaultdict(list)
        for rollout in rollouts:
            groups[rollout.uid].append(rollout.outcome_reward)
        for rollout in rollouts:
            assert rollout.failure is None
            beta = rollout.outcome_reward - mean(groups[rollout.uid])
            for segment in rollout.segments:
                z = 0.0 if segment.score is None else (segment.score - 0.5) / SIGMA
                for t in range(segment.begin, segment.end):
                    assert rollout.process_advantage[t] == pytest.approx(z, abs=1e-4)
                    assert rollout.advantages[t] == pytest.approx(z + beta, abs=1e-4)
        for rollout in filter(worded, rollouts):
            judged = rollout.segments[: -1 if rollout.unfinished else None]
            assert [s.score for s in judged] == [score_of(s.text) for s in judged]
            abstained += sum(s.score is None for s in judged)
        metrics = run.metrics()[step - 1]
        assert metrics["prpo/prm/requests"] + metrics["prpo/prm/empty"] == 12 and metrics["prpo/prm/failed"] == 0
        assert metrics["prpo/prm/abstained"] > 0 and metrics["prpo/prm/unread"] == 0
    assert abstained > 0


def worded(rollout):
    """Whether each segment is a step of its own, so that the function saw it as it is."""
    from verl_prpo.prm.encoding.shown import shown_steps

    texts = [segment.text for segment in rollout.segments]
    return shown_steps(texts).steps == texts
