# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The study's arms."""

from study.credit import CUTS, Arm

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
    "trust": Arm("GRPO, and the PRM with the weight it earns where outcomes agree", {"credit": "trust"}, earns=True),
    "process": Arm("process only, fixed prior", {"credit": "process"}),
    "process_centred": Arm("process only, centred on the batch", {"credit": "process"}, after="centred"),
    "relative": Arm("PRPO with the group's mean and std (relative distribution)", {"process_norm": "group"}),
    "prpo_group_mean": Arm("PRPO with z less its mean over the group (ours)", {"process_norm": "group_mean"}),
    "prpo_calibrated": Arm("PRPO with a calibrated prior (ours)", calibrated=True),
    "prpo_half": Arm("PRPO with half the process advantage (ours)", {"prior_std": 2 * 12**-0.5}),
    "prpo_quarter": Arm("PRPO with a quarter of the process advantage (ours)", {"prior_std": 4 * 12**-0.5}),
    "prpo_zero_one": Arm("PRPO with rewards of 1 and 0 and their weight left at 1", outcome="zero_one"),
    "prpo_slow": Arm("PRPO at half the learning rate"),
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
