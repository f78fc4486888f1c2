# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What an arm does, as a digest: code that is rewritten and does the same makes no run run again."""

from functools import cache

import torch
from study.arms import ARMS
from study.credit import CUTS, Run, Signals, advantages
from study.source import digest

STEPS, GROUPS, ROLLOUTS, LENGTH = 4, 24, 4, 30
DIGITS = 4


@cache
def behaviour(arm_name: str) -> str:
    """Of the cuts and advantages that an arm gives to a few made-up batches.

    Sums over a batch are taken to four digits, so that the last digits of another processor rarely matter.
    """
    arm, run = ARMS[arm_name], Run()
    generator = torch.Generator().manual_seed(0)
    seen = []
    for step in range(STEPS):
        signals = _batch(arm.cut, generator)
        told = run.observe(step, signals)
        found = advantages(arm, signals, run).double()
        column = torch.linspace(0.5, 1.5, found.shape[1], dtype=torch.float64)
        row = torch.linspace(1.5, 0.5, len(found), dtype=torch.float64)[:, None]
        sums = ((found * column * row).sum(), found.abs().sum(), (found * signals.segment_starts).sum())
        seen.append([f"{value:.{DIGITS}g}" for value in (*map(float, sums), *told.values())])
    return digest(repr(seen))


def _batch(cut: str, generator: torch.Generator) -> Signals:
    rows = GROUPS * ROLLOUTS

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    mask = torch.arange(LENGTH) < (5 + uniform(rows, 1) * (LENGTH - 5))
    line_starts = (torch.arange(LENGTH) % 6 == 0).expand(rows, LENGTH) & mask
    starts = CUTS[cut](line_starts, uniform(rows, LENGTH), 3 * uniform(rows, LENGTH), mask, generator)
    chance = uniform(GROUPS).repeat_interleave(ROLLOUTS)
    solved = uniform(rows) < chance * (torch.arange(rows) >= 2 * ROLLOUTS)  # two groups are all wrong
    segment = starts.long().cumsum(1)
    scores = uniform(rows, LENGTH + 1).gather(1, segment) * 0.7 + 0.3 * solved[:, None]
    labels = (uniform(rows, LENGTH + 1) < 0.7).float().gather(1, segment)
    rewards = torch.where(solved, 1.0, -1.0)
    index = [row // ROLLOUTS for row in range(rows)]
    cut_off = uniform(rows) < 0.1
    return Signals(scores, labels, starts, rewards, rewards.roll(1), mask, index, cut_off)
