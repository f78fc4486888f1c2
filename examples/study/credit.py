# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What an arm makes of step scores and outcomes. The mathematics is the package's own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from verl_prpo.method.advantage import prpo_advantage
from verl_prpo.method.groups import all_equal_groups
from verl_prpo.method.segmentation import entropy_segments, random_segments, uniform_segments
from verl_prpo.method.trust import Trust, agreement

MAX_ANCHORS, MIN_GAP, NUM_SEGMENTS = 5, 6, 6
"""The paper's k; its m of 10 would join two lines of 8 tokens; segments of the uniform and random cuts."""


@dataclass
class Signals:
    """What a batch of responses is trained on.

    Attributes:
        process_scores: float `[bs, L]`, the score of each token's segment.
        labels: float `[bs, L]`, 1 where the segment is right by the exact labels, whatever the PRM says.
        segment_starts: bool `[bs, L]`.
        outcome_rewards: float `[bs]`, +1 or -1.
        mistiled_rewards: float `[bs]`, the outcomes when answers are tiled while rollouts are interleaved.
        response_mask: bool `[bs, L]`.
        index: group of each row, `[bs]`.
        cut_off: bool `[bs]`, responses that reached the limit of their length.
    """

    process_scores: Tensor
    labels: Tensor
    segment_starts: Tensor
    outcome_rewards: Tensor
    mistiled_rewards: Tensor
    response_mask: Tensor
    index: list[int]
    cut_off: Tensor

    def segment_means(self, values: Tensor) -> Tensor:
        """Mean over each response's segments of a value that is constant on them, `[bs]`."""
        opens = self.segment_starts & self.response_mask
        return (values * opens).sum(1) / opens.sum(1).clamp(min=1)


@dataclass(frozen=True)
class Arm:
    """A way to train.

    Attributes:
        advantage: settings of `verl_prpo.method.advantage.prpo_advantage`.
        calibrated: whether the prior's mean and std are those of the first batch's tokens.
        cut: name of a segmentation in `CUTS`.
        outcome: what the outcome reward is, by name in `OUTCOMES`.
        after: what is done to the advantages at the end, by name in `AFTER`.
        earns: whether the process advantage has the weight that the PRM earns as the run goes.
        about: what it is, for tables.
    """

    about: str
    advantage: dict[str, Any] = field(default_factory=dict)
    calibrated: bool = False
    cut: str = "entropy"
    outcome: str = "verifier"
    after: str = "nothing"
    earns: bool = False


Cut = Callable[[Tensor, Tensor, Tensor, Tensor, torch.Generator], Tensor]
"""From line starts, entropy, surprisal, mask (each `[bs, L]`) and a generator to segment starts `[bs, L]`."""

CUTS: dict[str, Cut] = {
    "entropy": lambda _, h, s, mask, g: entropy_segments(h, mask, MAX_ANCHORS, MIN_GAP, "paper"),
    "entropy_greedy": lambda _, h, s, mask, g: entropy_segments(h, mask, MAX_ANCHORS, MIN_GAP, "greedy"),
    "surprisal": lambda _, h, s, mask, g: entropy_segments(s, mask, MAX_ANCHORS, MIN_GAP, "paper"),
    "steps": lambda starts, h, s, mask, g: starts & mask,
    "uniform": lambda _, h, s, mask, g: uniform_segments(mask, NUM_SEGMENTS),
    "random": lambda _, h, s, mask, g: random_segments(mask, NUM_SEGMENTS, g),
    "single": lambda _, h, s, mask, g: uniform_segments(mask, 1),
}


def _raw_last_token(advantage: Tensor, signals: Signals) -> Tensor:
    """The last token keeps its raw score where the others have z (a defect of the authors' code)."""
    last = signals.response_mask.sum(1) - 1
    rows = torch.arange(len(last))
    beta = advantage - _z(signals)
    changed = advantage.clone()
    changed[rows, last] = signals.process_scores[rows, last] + beta[rows, last]
    return changed


def _skip_equal(advantage: Tensor, signals: Signals) -> Tensor:
    return advantage * ~all_equal_groups(signals.outcome_rewards, signals.index)[:, None]


def _centred(advantage: Tensor, signals: Signals) -> Tensor:
    """Less the mean over the batch's tokens."""
    mask = signals.response_mask
    return (advantage - advantage[mask].mean()) * mask


def _z(signals: Signals) -> Tensor:
    return prpo_advantage(
        signals.process_scores,
        signals.segment_starts,
        signals.outcome_rewards,
        signals.response_mask,
        signals.index,
        credit="process",
    )


AFTER: dict[str, Callable[[Tensor, Signals], Tensor]] = {
    "nothing": lambda advantage, signals: advantage,
    "skip_equal": _skip_equal,
    "centred": _centred,
    "raw_last": _raw_last_token,
}

OUTCOMES: dict[str, Callable[[Signals], Tensor]] = {
    "verifier": lambda signals: signals.outcome_rewards,
    "zero_one": lambda signals: (signals.outcome_rewards + 1) / 2,
    "mean_score": lambda signals: signals.segment_means(signals.process_scores),
    # Two defects of the authors' code: the mean score over the padded length, and labels of other rows.
    "padded_mean": lambda signals: signals.outcome_rewards + (signals.process_scores * signals.response_mask).mean(1),
    "mistiled": lambda signals: signals.mistiled_rewards,
}


@dataclass
class Run:
    """What a run remembers from step to step.

    Attributes:
        prior: mean and std of the process score in the first batch.
        trust: how far scores and outcomes agreed so far.
        weight: of the process advantage where it is fixed.
    """

    prior: tuple[float, float] | None = None
    trust: Trust = field(default_factory=Trust)
    weight: float | None = None

    def observe(self, step: int, signals: Signals) -> dict[str, float]:
        """Take up a batch; returns what it says of the trust, as measures of the step."""
        self.prior = self.prior or calibrated(signals)
        found = agreement(
            signals.process_scores,
            (signals.outcome_rewards > 0).float(),
            signals.response_mask,
            signals.index,
            left_out=signals.cut_off,
        )
        self.trust.observe(step, "batch", {"": found})
        sums = self.trust.of[""]
        return {"earned": sums.weight, "correlation": sums.correlation}


def calibrated(signals: Signals) -> tuple[float, float]:
    """Mean and std of the process score over the batch's tokens; a std of 0 would divide, so at least 0.05."""
    scores = signals.process_scores[signals.response_mask]
    return scores.mean().item(), max(0.05, scores.std().item())


def advantages(arm: Arm, signals: Signals, run: Run) -> Tensor:
    """Token advantages `[bs, L]` of an arm.

    Args:
        arm: how to train.
        signals: of the batch, which the run has observed.
        run: what it remembers.
    """
    settings = dict(arm.advantage)
    if arm.calibrated and run.prior is not None:
        settings["prior_mean"], settings["prior_std"] = run.prior
    if arm.earns:
        settings["process_weight"] = run.trust.weight("") if run.weight is None else run.weight
    found = prpo_advantage(
        signals.process_scores,
        signals.segment_starts,
        OUTCOMES[arm.outcome](signals),
        signals.response_mask,
        signals.index,
        **settings,
    )
    return AFTER[arm.after](found, signals)
