# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The study's arms: what each makes of step scores and outcomes. The mathematics is the package's own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from verl_prpo.advantage import all_equal_groups, prpo_advantage
from verl_prpo.segmentation import entropy_segments, random_segments, uniform_segments

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
    """

    process_scores: Tensor
    labels: Tensor
    segment_starts: Tensor
    outcome_rewards: Tensor
    mistiled_rewards: Tensor
    response_mask: Tensor
    index: list[int]

    def segment_means(self, values: Tensor) -> Tensor:
        """Mean over each response's segments of a value that is constant on them, `[bs]`."""
        opens = self.segment_starts & self.response_mask
        return (values * opens).sum(1) / opens.sum(1).clamp(min=1)


@dataclass(frozen=True)
class Arm:
    """A way to train.

    Attributes:
        advantage: settings of `verl_prpo.advantage.prpo_advantage`.
        calibrated: whether the prior's mean and std are those of the first batch's tokens.
        cut: name of a segmentation in `CUTS`.
        outcome: what the outcome reward is, by name in `OUTCOMES`.
        after: what is done to the advantages at the end, by name in `AFTER`.
        about: what it is, for tables.
    """

    about: str
    advantage: dict[str, Any] = field(default_factory=dict)
    calibrated: bool = False
    cut: str = "entropy"
    outcome: str = "verifier"
    after: str = "nothing"


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

ARMS: dict[str, Arm] = {
    "grpo": Arm("GRPO", {"credit": "outcome", "outcome_norm": "mean_std"}),
    "dr_grpo": Arm("Dr. GRPO: no division by the standard deviation", {"credit": "outcome"}),
    "grpo_mean_score": Arm(
        "GRPO on the mean step score: the same labels, no placement",
        {"credit": "outcome", "outcome_norm": "mean_std"},
        outcome="mean_score",
    ),
    "prpo": Arm("PRPO, the paper's"),
    "prpo_sigma": Arm("PRPO with the authors' sigma, sqrt(1/24)", {"prior_std": 24**-0.5}),
    "prm_avg": Arm("PRM-Avg", {"credit": "prm_avg"}),
    "prm_avg_prpo": Arm("PRM-Avg + PRPO", {"credit": "prm_avg_prpo"}),
    "pure": Arm("PURE (rewards 1 and 0)", {"credit": "pure"}, outcome="zero_one"),
    "process": Arm("process only, fixed prior", {"credit": "process"}),
    "process_centred": Arm("process only, centred on the batch", {"credit": "process"}, after="centred"),
    "relative": Arm("PRPO with the group's mean and std (relative distribution)", {"process_norm": "group"}),
    "prpo_group_mean": Arm("PRPO with z less its mean over the group (ours)", {"process_norm": "group_mean"}),
    "prpo_calibrated": Arm("PRPO with a calibrated prior (ours)", calibrated=True),
    "prpo_half": Arm("PRPO with half the process advantage (ours)", {"prior_std": 2 * 12**-0.5}),
    "prpo_skip": Arm("PRPO, all-equal groups skipped (ours)", after="skip_equal"),
    **{f"prpo_{cut}": Arm(f"PRPO, cut by {cut.replace('_', ', ')}", cut=cut) for cut in CUTS if cut != "entropy"},
    "defect_raw_last": Arm("defect: the last token keeps its raw score", after="raw_last"),
    "defect_padded_mean": Arm(
        "defect: PRM-Avg over the padded length",
        {"credit": "outcome", "outcome_norm": "mean_std"},
        outcome="padded_mean",
    ),
    "defect_mistiled": Arm("defect: labels tiled, rollouts interleaved", outcome="mistiled"),
}


def advantages(arm: Arm, signals: Signals, prior: tuple[float, float] | None) -> Tensor:
    """Token advantages `[bs, L]` of an arm.

    Args:
        arm: how to train.
        signals: of the batch.
        prior: calibrated mean and std of the process score, for an arm that wants them.
    """
    settings = dict(arm.advantage)
    if arm.calibrated and prior is not None:
        settings["prior_mean"], settings["prior_std"] = prior
    found = prpo_advantage(
        signals.process_scores,
        signals.segment_starts,
        OUTCOMES[arm.outcome](signals),
        signals.response_mask,
        signals.index,
        **settings,
    )
    return AFTER[arm.after](found, signals)
