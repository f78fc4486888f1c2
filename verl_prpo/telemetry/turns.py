# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Metrics of responses with tools: how often the policy takes over."""

from collections.abc import Sequence

from torch import Tensor

from verl_prpo.method.turns import turn_segments
from verl_prpo.step.messages import Scores


def turn_metrics(response_mask: Tensor, scores: Sequence[Scores | None] = ()) -> dict[str, float]:
    """Count the turns per response: 1 where the policy speaks once, 0 where it says nothing.

    Also count the stretches between turns that are not as the policy's chat template writes a turn.

    Args:
        response_mask: int `[n, L]`, 1 on the policy's own tokens.
        scores: the scores of the same responses.
    """
    turns = turn_segments(response_mask).sum(1).float()
    if not len(turns):
        return {}
    name = "prpo/segments/turns"
    return {
        f"{name}/mean": turns.mean().item(),
        f"{name}/min": turns.min().item(),
        f"{name}/max": turns.max().item(),
        f"{name}/unrecognised": sum(map(_unrecognised, scores)),
    }


def turn_lines(keys: Sequence[str], scores: Sequence[Scores | None]) -> list[str]:
    """Return a line for people if some stretches are not as the policy's chat template writes a turn."""
    odd = {key: _unrecognised(result) for key, result in zip(keys, scores, strict=True) if _unrecognised(result)}
    if not odd:
        return []
    first, count = next(iter(odd.items()))
    return [
        f"{sum(odd.values())} stretches that are not the policy's own, in {len(odd)} of {len(scores)} responses, are "
        f"not as its chat template writes a turn. The PRM is shown their plain text as a tool's words. The first is "
        f"{first}, with {count}. Look at what the agent loop (actor_rollout_ref.rollout.agent.default_agent_loop) puts "
        "between turns, and at data.apply_chat_template_kwargs"
    ]


def _unrecognised(scores: Scores | None) -> int:
    return sum(not one.recognised for one in scores.interludes) if scores is not None else 0
