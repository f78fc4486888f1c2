# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The settings: the method under `algorithm.prpo.*`, the process reward model under `reward.prm.*`.

Both sections may be absent: the defaults are the paper's (arXiv 2601.07182, section 4). A mistyped key or an impossible
value is a `ConfigError` that names the key. `verl_prpo.trainer.checks.config_check` checks a whole verl configuration.
"""

import math
from dataclasses import dataclass, field

from omegaconf import DictConfig

from verl_prpo.method.advantage import CREDITS, OUTCOME_NORMS, PROCESS_NORMS
from verl_prpo.method.segmentation import ANCHOR_RULES
from verl_prpo.settings.prm import CustomFamily, PrmConfig, engine_of, prm_config, tokens_per_forward
from verl_prpo.settings.typed import ConfigError, at_least, one_of, positive, read_escapes, typed_section

__all__ = [
    "ConfigError",
    "CustomFamily",
    "PrmConfig",
    "PrpoConfig",
    "engine_of",
    "needs_prm",
    "one_of",
    "prm_config",
    "prpo_config",
    "tokens_per_forward",
    "uses_prpo",
]

ADV_ESTIMATOR = "prpo"
MANAGER = "prm"
SHORTEST_WINDOW = 8
"""Steps below which a trend cannot be told from noise."""
SEGMENTERS = ("entropy", "surprisal", "text", "tokens", "uniform", "random", "single")


@dataclass
class PrpoConfig:
    """`algorithm.prpo`: how process scores and outcome rewards become advantages."""

    credit: str = "prpo"
    """prpo | process | outcome | prm_avg | prm_avg_prpo | pure; see `verl_prpo.method.advantage.prpo_advantage`."""

    segmenter: str = "entropy"
    """entropy (of the policy, the paper's) | surprisal (minus the log-probability of the sampled token) | text (after
    each of `delimiters`) | tokens (after each of `delimiter_token_ids`) | uniform | random | single. With
    `algorithm.rollout_correction.bypass_mode` no entropy exists and surprisal takes its place. Surprisal comes from the
    rollout's log-probs where `actor_rollout_ref.rollout.calculate_log_probs` keeps them, else from old_log_prob."""

    max_anchors: int = 5
    """Entropy spikes considered per response (the paper's k)."""

    min_gap: int = 10
    """Least distance between two cuts, and from the start of the response, in tokens (the paper's m)."""

    anchor_rule: str = "paper"
    """paper (algorithm 1) | greedy (non-maximum suppression by entropy, as the paper's prose reads)."""

    num_segments: int = 6
    """Segments per response of the segmenters uniform and random."""

    delimiters: list[str] = field(default_factory=lambda: ["\n\n"])
    """Texts that end a segment of the segmenter text. A segment without other text joins the one before it. Escapes
    such as \\n are read (`verl_prpo.settings.typed.read_escapes`)."""

    delimiter_token_ids: list[int] = field(default_factory=list)
    """Token ids, in the policy's tokenizer, that end a segment of the segmenter tokens."""

    process_norm: str = "prior"
    """prior (z = (r - prior_mean) / prior_std) | group (mean and std over the group's tokens, the relative
    distribution) | group_mean (mean over the group's tokens, prior_std)."""

    prior_mean: float | None = None
    """Prior mean of the process score, in its units; the PRM family's own (0.5 on [0, 1]) when null."""

    prior_std: float | None = None
    """Prior standard deviation of the process score; the PRM family's own (sqrt(1/12) on [0, 1]) when null."""

    outcome_norm: str = "mean"
    """mean (R - group mean, the paper) | mean_std (also divided by the group's standard deviation, as GRPO does)."""

    outcome_weight: float = 1.0
    """Factor on the outcome reward, with the length penalty of a reward manager but without the KL penalty of
    `algorithm.use_kl_in_reward`. The paper's rewards are +1 and -1; with a verifier that gives 1 and 0, 2.0 is the
    same."""

    skip_all_equal_groups: bool = False
    """Give advantage 0 to groups whose responses are all right or all wrong, where otherwise the PRM alone would
    decide. What right means: `verl_prpo.outcome.verdicts`."""

    skip_truncated_responses: bool = False
    """Give advantage 0 to responses that were cut off by `data.max_response_length`. They still count in their group's
    mean."""

    dump_responses: int | None = 128
    """With `trainer.rollout_data_dir`: most responses of a step whose record (segments, scores, advantages) goes into
    the dump, whole groups where they fit; verl's own columns are there for all of them. 0 records none, null all."""

    alarm_window: int = 40
    """Steps over which the training signal is watched for the alarms of docs/metrics.md, at least 8; 0 sounds none."""


def prpo_config(algorithm: DictConfig | dict | None) -> PrpoConfig:
    """The typed `algorithm.prpo` of verl's `algorithm` section.

    Raises:
        ConfigError: an unknown key, a value of the wrong type or out of range.
    """
    config = typed_section("algorithm.prpo", PrpoConfig, algorithm.get("prpo") if algorithm is not None else None)
    for name, allowed in (
        ("credit", CREDITS),
        ("segmenter", SEGMENTERS),
        ("anchor_rule", ANCHOR_RULES),
        ("process_norm", PROCESS_NORMS),
        ("outcome_norm", OUTCOME_NORMS),
    ):
        one_of(f"algorithm.prpo.{name}", getattr(config, name), allowed)
    at_least("algorithm.prpo.max_anchors", config.max_anchors, 0)
    at_least("algorithm.prpo.min_gap", config.min_gap, 0)
    at_least("algorithm.prpo.num_segments", config.num_segments, 1)
    config.delimiters = [read_escapes(delimiter) for delimiter in config.delimiters]
    if config.segmenter == "text" and not (config.delimiters and all(config.delimiters)):
        raise ConfigError(
            f"algorithm.prpo.delimiters={config.delimiters} must name at least one text, none of them empty, with "
            "algorithm.prpo.segmenter=text"
        )
    if config.segmenter == "tokens" and not (config.delimiter_token_ids and min(config.delimiter_token_ids) >= 0):
        raise ConfigError(
            f"algorithm.prpo.delimiter_token_ids={config.delimiter_token_ids} must name at least one token id, from 0 "
            "on, with algorithm.prpo.segmenter=tokens"
        )
    if config.prior_mean is not None and not math.isfinite(config.prior_mean):
        raise ConfigError(f"algorithm.prpo.prior_mean={config.prior_mean} must be a finite number")
    if config.prior_std is not None:
        positive("algorithm.prpo.prior_std", config.prior_std)
    positive("algorithm.prpo.outcome_weight", config.outcome_weight)
    if config.dump_responses is not None:
        at_least("algorithm.prpo.dump_responses", config.dump_responses, 0)
    if config.alarm_window:
        at_least("algorithm.prpo.alarm_window", config.alarm_window, SHORTEST_WINDOW)  # 0 is none
    return config


def uses_prpo(config: DictConfig) -> bool:
    """Whether a verl configuration asks for PRPO; nothing of this package acts on one that does not."""
    return str(config.algorithm.get("adv_estimator", "")) == ADV_ESTIMATOR


def needs_prm(prpo: PrpoConfig) -> bool:
    """Whether the credit uses process scores at all."""
    return prpo.credit != "outcome"
