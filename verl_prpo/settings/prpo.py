# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The settings of the method, `algorithm.prpo.*`. The names of `verl_prpo.settings.prm` can be imported from here too.

Both sections may be absent: the defaults are the paper's (arXiv 2601.07182, section 4). A mistyped key or an impossible
value is a `ConfigError` that names the key. `verl_prpo.trainer.checks.config_check` checks a whole verl configuration.
"""

from dataclasses import field
from typing import Literal

from omegaconf import DictConfig
from pydantic.dataclasses import dataclass

from verl_prpo.method.advantage import Credit, OutcomeNorm, ProcessNorm
from verl_prpo.method.segmentation import ANCHOR_BOUNDS, TOKENS_PER_ANCHOR, AnchorRule
from verl_prpo.settings.prm import (
    CustomFamily,
    PrmConfig,
    PrmServers,
    ScoreFunction,
    engine_of,
    judge_of,
    prm_config,
    tokens_per_forward,
)
from verl_prpo.settings.typed import (
    SECTION,
    AlarmWindow,
    AnchorBounds,
    Anchors,
    AutoOrFactor,
    ConfigError,
    Count,
    Finite,
    Natural,
    Positive,
    Texts,
    TokenIds,
    one_of,
    read_escapes,
    typed_section,
)

__all__ = [
    "ConfigError",
    "CustomFamily",
    "PrmConfig",
    "PrmServers",
    "PrpoConfig",
    "ScoreFunction",
    "engine_of",
    "judge_of",
    "needs_prm",
    "one_of",
    "prm_config",
    "prpo_config",
    "tokens_per_forward",
    "uses_prpo",
]

Segmenter = Literal[
    "entropy",
    "surprisal",
    "text",
    "tokens",
    "uniform",
    "random",
    "single",
    "turns",
    "turns+entropy",
    "turns+surprisal",
    "turns+text",
    "turns+tokens",
    "turns+uniform",
    "turns+random",
]
TURNS = "turns"

ADV_ESTIMATOR = "prpo"
MANAGER = "prm"


@dataclass(config=SECTION)
class PrpoConfig:
    """`algorithm.prpo`: how process scores and outcome rewards become advantages."""

    credit: Credit = "prpo"
    """How the process advantage z and the outcome reward R are combined. prpo: z + (R - group mean), the paper's
    method. process: z alone. outcome: the outcome alone, without a PRM. prm_avg: R plus the mean segment score,
    normalised over the group. prm_avg_prpo: z + (R plus the mean segment score, less the group mean). pure:
    return-to-go of the least scores, as PURE does. trust: GRPO, and in groups that are all right or all wrong
    `process_weight` times the process advantage relative to the group. See
    `verl_prpo.method.advantage.prpo_advantage`."""

    process_weight: AutoOrFactor = "auto"
    """For the credit trust: the weight of the process advantage. auto: what the PRM has earned, measured on mixed
    groups as the run goes (`verl_prpo.method.trust`). A number fixes it. 0 is GRPO."""

    segmenter: Segmenter = "entropy"
    """Where a response is cut. entropy: at the policy's entropy spikes, as in the paper. surprisal: at spikes of minus
    the log-probability of the sampled token. text: after each of `delimiters`. tokens: after each of
    `delimiter_token_ids`. uniform: into equal parts. random: at random tokens. single: nowhere. turns: wherever the
    policy takes over again, after a tool say. turns+entropy and the others: at turns, and inside each turn as if it
    were a response. With `algorithm.rollout_correction.bypass_mode` there is no entropy, and surprisal replaces it.
    Surprisal comes from the rollout's log-probs if `actor_rollout_ref.rollout.calculate_log_probs` keeps them, else
    from old_log_prob."""

    max_anchors: Anchors = 5
    """Most entropy spikes considered per response (the paper's k), for the segmenters entropy and surprisal. With
    turns+entropy and turns+surprisal it counts per turn. auto: one for every `tokens_per_anchor` tokens of the response
    or turn, within `anchor_bounds`."""

    tokens_per_anchor: Count = TOKENS_PER_ANCHOR
    """Tokens of a response to one anchor, with `max_anchors=auto`. The default keeps the density of the paper's 5 in a
    response of 500 tokens."""

    anchor_bounds: AnchorBounds = field(default_factory=lambda: list(ANCHOR_BOUNDS))
    """Least and most anchors of a response, or of a turn, with `max_anchors=auto`. By default a short response has the
    paper's 5, and one of more than 10,000 tokens has longer segments instead of more."""

    min_gap: Natural = 10
    """Least distance between two cuts, and from the start of the response, in tokens (the paper's m), for the
    segmenters entropy and surprisal."""

    anchor_rule: AnchorRule = "paper"
    """Which spikes become cuts. paper: algorithm 1. greedy: non-maximum suppression, as the paper's prose reads."""

    num_segments: Count = 6
    """Segments per response, for the segmenters uniform and random. With turns+uniform and turns+random it counts per
    turn."""

    delimiters: Texts = field(default_factory=lambda: ["\n\n"])
    """Texts that end a segment, for the segmenter text. A segment without other text joins the one before it. Escapes
    such as \\n are read (`verl_prpo.settings.typed.read_escapes`)."""

    delimiter_token_ids: TokenIds = field(default_factory=list)
    """Token ids of the policy's tokenizer that end a segment, for the segmenter tokens."""

    process_norm: ProcessNorm = "prior"
    """How a score r becomes z. prior: (r - `prior_mean`) / `prior_std`. group: with the mean and standard deviation
    over the group's tokens (the paper's relative distribution). group_mean: with the mean over the group's tokens and
    `prior_std`."""

    prior_mean: Finite | None = None
    """Prior mean of the process score, in the score's units. Null stands for the PRM family's own (0.5 on [0, 1])."""

    prior_std: Positive | None = None
    """Prior standard deviation of the process score, in the score's units. Null stands for the PRM family's own
    (sqrt(1/12) on [0, 1])."""

    outcome_norm: OutcomeNorm = "mean"
    """How R is compared with its group. mean: R - group mean, as in the paper. mean_std: also divided by the group's
    standard deviation, as GRPO does."""

    outcome_weight: Positive = 1.0
    """Factor on the outcome reward. It includes the length penalty of a reward manager, but not the KL penalty of
    `algorithm.use_kl_in_reward`. The paper's rewards are +1 and -1. With a verifier that gives 1 and 0, 2.0 has the
    same effect."""

    skip_all_equal_groups: bool = False
    """Whether groups whose responses are all right or all wrong get advantage 0. Otherwise the PRM alone decides in
    them. For what right means, see `verl_prpo.outcome.verdicts`."""

    skip_truncated_responses: bool = False
    """Whether responses that were cut off at `data.max_response_length` get advantage 0. They still count in the mean
    of their group."""

    dump_responses: Natural | None = 128
    """Most responses of a step whose record (segments, scores, advantages) is written to `trainer.rollout_data_dir`,
    whole groups where they fit. verl's own columns are written for all responses. 0 records none, null all."""

    alarm_window: AlarmWindow = 40
    """Steps over which the training signal is watched for the alarms of docs/metrics.md. 0 turns the alarms off."""

    @property
    def cuts_turns(self) -> bool:
        """True if a cut lies wherever the policy takes over."""
        return self.segmenter.startswith(TURNS)

    @property
    def cuts_by(self) -> str:
        """The segmenter that cuts a response, or each turn of it with a segmenter of turns. `turns` gives single."""
        return "single" if self.segmenter == TURNS else self.segmenter.removeprefix(f"{TURNS}+")


def prpo_config(algorithm: DictConfig | dict | None) -> PrpoConfig:
    """Read `algorithm.prpo` from verl's `algorithm` section, with its types and ranges checked.

    Raises:
        ConfigError: an unknown key, a value of the wrong type or out of range, or no delimiter for the segmenter.
    """
    config = typed_section("algorithm.prpo", PrpoConfig, algorithm.get("prpo") if algorithm is not None else None)
    if config.process_weight != "auto" and config.credit != "trust":
        raise ConfigError(
            f"algorithm.prpo.process_weight={config.process_weight} is read by algorithm.prpo.credit=trust alone, and "
            f"the credit is {config.credit}. Set ++algorithm.prpo.credit=trust, or for less of the paper's z "
            "a larger ++algorithm.prpo.prior_std"
        )
    if config.credit == "trust" and config.skip_all_equal_groups:
        raise ConfigError(
            "algorithm.prpo.skip_all_equal_groups=True leaves the credit trust nothing to do: it uses the PRM in "
            "all-equal groups alone. Set ++algorithm.prpo.skip_all_equal_groups=False, or "
            "++algorithm.prpo.process_weight=0 for GRPO"
        )
    config.delimiters = [read_escapes(delimiter) for delimiter in config.delimiters]
    if config.cuts_by == "text" and not (config.delimiters and all(config.delimiters)):
        raise ConfigError(
            f"algorithm.prpo.delimiters={config.delimiters} must name at least one text, none of them empty, with "
            f"algorithm.prpo.segmenter={config.segmenter}"
        )
    if config.cuts_by == "tokens" and not config.delimiter_token_ids:
        raise ConfigError(
            "algorithm.prpo.delimiter_token_ids=[] must name at least one token id with "
            f"algorithm.prpo.segmenter={config.segmenter}"
        )
    return config


def uses_prpo(config: DictConfig) -> bool:
    """Return whether a verl configuration asks for PRPO. This package does nothing with one that does not."""
    return str(config.algorithm.get("adv_estimator", "")) == ADV_ESTIMATOR


def needs_prm(prpo: PrpoConfig) -> bool:
    """Return whether the credit uses process scores at all."""
    return prpo.credit != "outcome"
