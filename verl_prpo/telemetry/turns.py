# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Metrics of responses with tools: how often the policy takes over."""

from torch import Tensor

from verl_prpo.method.turns import turn_segments


def turn_metrics(response_mask: Tensor) -> dict[str, float]:
    """Number of turns per response: 1 where the policy speaks once, 0 where it says nothing.

    Args:
        response_mask: int `[n, L]`, 1 on the policy's own tokens.
    """
    turns = turn_segments(response_mask).sum(1).float()
    if not len(turns):
        return {}
    name = "prpo/segments/turns"
    return {f"{name}/mean": turns.mean().item(), f"{name}/min": turns.min().item(), f"{name}/max": turns.max().item()}
