# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The recipe for long thoughts takes a real step on a CPU: tiny models, and every length divided by 16, the response's
8,192 tokens, the PRM's 4,096 and the 100 to a cut among them."""

import pytest
from dump_checks import in_process
from tiny_models import qwen_math_prm

from verl_prpo.prm.results import PrmRequest

pytestmark = pytest.mark.e2e

SCALE = 16
PROMPT, RESPONSE, CONTEXT = 1024 // SCALE, 8192 // SCALE, 4096 // SCALE
PER_ANCHOR, MIN_GAP = 100 // SCALE, 20 // SCALE


def test_long_responses_are_cut_finely_and_read_in_windows(main_ppo, assets, platform_overrides, tmp_path):
    prm = qwen_math_prm(tmp_path / "prm", context=CONTEXT, seed=3)

    run = main_ppo(
        "prpo_qwen3_8b_dapo",
        *assets.overrides(),
        *platform_overrides,
        f"reward.prm.model_path={prm}",
        f"data.max_prompt_length={PROMPT}",
        f"data.max_response_length={RESPONSE}",
        f"actor_rollout_ref.rollout.max_model_len={PROMPT + RESPONSE}",
        f"algorithm.prpo.tokens_per_anchor={PER_ANCHOR}",
        f"algorithm.prpo.min_gap={MIN_GAP}",
        "data.train_batch_size=2",
        "actor_rollout_ref.actor.ppo_mini_batch_size=2",
        "actor_rollout_ref.rollout.n=4",
        "trainer.total_training_steps=1",
    )

    (metrics,) = run.metrics()
    rollouts = run.dump(1)
    print({name: value for name, value in metrics.items() if name.startswith(("prpo/prm/", "prpo/seg", "response_l"))})
    assert "each response is cut and scored as it finishes" in run.log
    assert (metrics["prpo/prm/not_streamed"], metrics["prpo/prm/failed"]) == (0, 0)
    assert metrics["actor/grad_norm"] > 0
    windowed = [rollout for rollout in rollouts if rollout.windows]
    assert windowed and metrics["prpo/prm/overlong"] == len(windowed)
    assert metrics["prpo/prm/windows"] == sum(rollout.windows for rollout in windowed) >= 2 * len(windowed)
    assert 0 < metrics["prpo/prm/context/min"] <= metrics["prpo/prm/context/mean"] < 1
    for rollout in rollouts:
        length = sum(rollout.response_mask)
        assert len(rollout.segments) <= min(max(length // PER_ANCHOR, 5), 100) + 1
        judged = rollout.segments[: -1 if rollout.unfinished else None]
        if rollout.windows:
            assert len(rollout.segments) > 6  # what the paper's five anchors would give
            assert [segment.score is None for segment in judged] == [begin is None for begin in rollout.seen_from][
                : len(judged)
            ]
    longest = max(windowed, key=lambda rollout: rollout.windows)
    texts = [segment.text for segment in longest.segments]
    begins = {begin for begin in longest.seen_from if begin is not None}
    assert len(begins) == longest.windows
    last = [max(i for i, seen in enumerate(longest.seen_from) if seen == begin) for begin in begins]
    parts = [PrmRequest(longest.messages, texts[begin : end + 1]) for begin, end in zip(begins, last, strict=True)]
    alone = in_process(prm).score(parts)
    for end, part in zip(last, alone, strict=True):
        assert longest.segments[end].score == pytest.approx(part.scores[-1], abs=1e-4)
