# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The settings: the method under `algorithm.prpo.*`, the process reward model under `reward.prm.*`.

Both sections may be absent: the defaults are the paper's (arXiv 2601.07182, section 4). A mistyped key or an impossible
value is a `ConfigError` that names the key. `verl_prpo.config_check` holds a whole verl configuration against them.
"""

import difflib
import math
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from verl_prpo.advantage import CREDITS, OUTCOME_NORMS, PROCESS_NORMS
from verl_prpo.segmentation import ANCHOR_RULES

ADV_ESTIMATOR = "prpo"
MANAGER = "prm"
SEGMENTERS = ("entropy", "surprisal", "text", "tokens", "uniform", "random", "single")
ON_ERROR = ("raise", "outcome_only")
ENGINES = ("in_process", "server", "reward_model")
OVERLONG = ("neutral", "truncate", "raise")
SCHEDULES = ("auto", "stream", "batch")
DTYPES = ("bfloat16", "float16", "float32")


class ConfigError(ValueError):
    """A setting that cannot work; the message names the key and what to set instead."""


@dataclass
class PrpoConfig:
    """`algorithm.prpo`: how process scores and outcome rewards become advantages."""

    credit: str = "prpo"
    """prpo | process | outcome | prm_avg | prm_avg_prpo | pure; see `verl_prpo.advantage.prpo_advantage`."""

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
    """Texts that end a segment of the segmenter text; a segment without other text joins the one before it."""

    delimiter_token_ids: list[int] = field(default_factory=list)
    """Token ids, in the policy's tokenizer, that end a segment of the segmenter tokens."""

    process_norm: str = "prior"
    """prior (z = (r - prior_mean) / prior_std) | group (mean and std over the group's tokens, the relative
    distribution)."""

    prior_mean: float | None = None
    """Prior mean of the process score, in its units; the PRM family's own (0.5 on [0, 1]) when null."""

    prior_std: float | None = None
    """Prior standard deviation of the process score; the PRM family's own (sqrt(1/12) on [0, 1]) when null."""

    outcome_norm: str = "mean"
    """mean (R - group mean, the paper) | mean_std (also divided by the group's standard deviation, as GRPO does)."""

    outcome_weight: float = 1.0
    """Factor on the outcome reward. The paper's rewards are +1 and -1; with a verifier that gives 1 and 0, 2.0 is the
    same."""

    skip_all_equal_groups: bool = False
    """Give advantage 0 to groups whose outcomes are all equal, where otherwise the PRM alone would decide."""


@dataclass
class CustomFamily:
    """`reward.prm.custom_family`: a PRM family of your own, in the manner of verl's `reward.custom_reward_function`."""

    path: str | None = None
    """Python file that holds it."""

    name: str | None = None
    """Name of the class in that file, a subclass of `verl_prpo.prm.family.PrmFamily`."""


@dataclass
class PrmConfig:
    """`reward.prm`: the process reward model and where it runs."""

    model_path: str | None = None
    """Folder or hub name of the PRM in Hugging Face format. Required unless `algorithm.prpo.credit=outcome`. With a
    server its tokenizer and config are read, its weights are not; with `engine=reward_model` it is
    `reward.reward_model.model_path` when null."""

    family: str | None = None
    """How the PRM reads a dialogue: qwen_math_prm | skywork_prm | math_shepherd | rlhflow_prm | token_classification |
    implicit_prm | zero_shot_judge; told from the model's config.json where that is certain, when null."""

    family_options: dict[str, Any] = field(default_factory=dict)
    """Options of the family's own, such as beta and reference_model_path of implicit_prm."""

    custom_family: CustomFamily = field(default_factory=CustomFamily)
    """A family defined outside this package."""

    engine: str | None = None
    """in_process (transformers in Ray actors) | server (vLLM servers at `server_urls`) | reward_model (the one that
    verl launches from `reward.reward_model`); when null server if `server_urls` are given, else in_process."""

    schedule: str = "auto"
    """When responses are scored: stream (each as it finishes, while others are generated) | batch (all after
    old_log_prob, behind ref_log_prob) | auto (stream where the segmenter needs no entropy)."""

    overlong: str = "neutral"
    """What becomes of a response longer than the PRM's context, counted in `prpo/prm/overlong`: neutral (segments that
    do not fit get z=0, as at the prior mean, and count in no group statistic, mean or softmin) | truncate (the PRM
    reads what fits; segments past it get the last score) | raise (a failure, see `on_error`)."""

    cache_size: int = 100_000
    """Most dialogues whose scores a copy of the PRM remembers; equal ones are scored once. 0 remembers none."""

    server_urls: list[str] = field(default_factory=list)
    """Base URLs of the vLLM servers that hold the PRM, such as http://prm-0:8000; responses go to the least busy."""

    server_model: str | None = None
    """The model's name at the servers (`--served-model-name`); when null the only one that they serve."""

    server_api_key_env: str | None = None
    """Environment variable that holds the servers' API key, on the nodes that run the PRM's actors."""

    server_ca_file: str | None = None
    """File of the certificate authority of https servers, when it is not a public one. TLS is always verified."""

    server_concurrency: int = 8
    """Most requests in flight at each server."""

    server_prompts_per_request: int = 16
    """Most dialogues in one request."""

    server_request_timeout: float = 120.0
    """Longest wait for one request's answer, in seconds; then it counts as failed and may be tried again."""

    server_retries: int = 3
    """How often a request is tried again, with growing pauses, after a fault that can pass: refused, timed out, 5xx."""

    prompt_logprobs: int = 20
    """Log-probabilities per token asked of a server for families of causal language models; at most its
    `--max-logprobs`."""

    num_replicas: int = 1
    """Copies of the PRM, each a Ray actor; responses are spread over them."""

    num_gpus_per_replica: float = 1.0
    """Share of a GPU that Ray reserves for each copy, besides those of the trainer, at most 1; 0 puts it on the CPU.
    Ignored with `trainer.device=cpu`."""

    num_cpus_per_replica: float = 1.0
    """CPUs that Ray reserves for each copy."""

    dtype: str | None = None
    """bfloat16 | float16 | float32; when null bfloat16 on accelerators and float32 on the CPU."""

    compile: bool = False
    """Put the in-process PRM through torch.compile."""

    max_tokens_per_forward: int | None = None
    """Most tokens, padding included, in one forward pass of a copy; when null 16384 on accelerators and 2048 on the
    CPU, where larger passes leave the caches and are slower."""

    timeout: float = 600.0
    """Longest wait of a training step for process scores, in seconds."""

    startup_timeout: float = 1800.0
    """Longest wait for the weights to load, in seconds."""

    on_error: str = "raise"
    """What a response without scores does (timed out, refused, non-finite, ...): raise stops the run; outcome_only
    gives it the outcome advantage alone and counts it in `prpo/prm/failed`."""

    max_failed_fraction: float = 0.5
    """With `on_error=outcome_only`: the run stops when more than this share of a step's responses failed."""

    trust_remote_code: bool = False
    """Passed on to transformers when the PRM's tokenizer and weights are loaded."""

    outcome_reward_manager: Any = None
    """The reward manager that gives the outcome reward, in the form of `reward.reward_manager`. Filled in by the plugin
    with the one that you configured there; verl's naive when null."""


Section = TypeVar("Section", PrpoConfig, PrmConfig)


def prpo_config(algorithm: DictConfig | dict | None) -> PrpoConfig:
    """The typed `algorithm.prpo` of verl's `algorithm` section.

    Raises:
        ConfigError: an unknown key, a value of the wrong type or out of range.
    """
    config = _typed("algorithm.prpo", PrpoConfig, algorithm.get("prpo") if algorithm is not None else None)
    for name, allowed in (
        ("credit", CREDITS),
        ("segmenter", SEGMENTERS),
        ("anchor_rule", ANCHOR_RULES),
        ("process_norm", PROCESS_NORMS),
        ("outcome_norm", OUTCOME_NORMS),
    ):
        one_of(f"algorithm.prpo.{name}", getattr(config, name), allowed)
    _at_least("algorithm.prpo.max_anchors", config.max_anchors, 0)
    _at_least("algorithm.prpo.min_gap", config.min_gap, 0)
    _at_least("algorithm.prpo.num_segments", config.num_segments, 1)
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
        _positive("algorithm.prpo.prior_std", config.prior_std)
    _positive("algorithm.prpo.outcome_weight", config.outcome_weight)
    return config


def prm_config(reward: DictConfig | dict | None) -> PrmConfig:
    """The typed `reward.prm` of verl's `reward` section.

    Raises:
        ConfigError: an unknown key, a value of the wrong type or out of range.
    """
    config = _typed("reward.prm", PrmConfig, reward.get("prm") if reward is not None else None)
    one_of("reward.prm.on_error", config.on_error, ON_ERROR)
    one_of("reward.prm.overlong", config.overlong, OVERLONG)
    one_of("reward.prm.schedule", config.schedule, SCHEDULES)
    if config.engine is not None:
        one_of("reward.prm.engine", config.engine, ENGINES)
    _check_servers(config)
    if config.dtype is not None:
        one_of("reward.prm.dtype", config.dtype, DTYPES)
    _at_least("reward.prm.num_replicas", config.num_replicas, 1)
    _at_least("reward.prm.num_gpus_per_replica", config.num_gpus_per_replica, 0)
    if 0 < config.num_gpus_per_replica < 0.001:
        raise ConfigError(f"reward.prm.num_gpus_per_replica={config.num_gpus_per_replica} must be 0 or from 0.001 to 1")
    if config.num_gpus_per_replica > 1:
        raise ConfigError(
            f"reward.prm.num_gpus_per_replica={config.num_gpus_per_replica} must be at most 1: a copy of the PRM lives "
            "on one GPU. For more throughput raise reward.prm.num_replicas."
        )
    _at_least("reward.prm.num_cpus_per_replica", config.num_cpus_per_replica, 0)
    if 0 < config.num_cpus_per_replica < 0.001 or math.isinf(config.num_cpus_per_replica):
        raise ConfigError(
            f"reward.prm.num_cpus_per_replica={config.num_cpus_per_replica} must be 0 or a finite number from 0.001 on"
        )
    if config.max_tokens_per_forward is not None:
        _at_least("reward.prm.max_tokens_per_forward", config.max_tokens_per_forward, 1)
    _at_least("reward.prm.cache_size", config.cache_size, 0)
    if not 0 <= config.max_failed_fraction <= 1:
        raise ConfigError(f"reward.prm.max_failed_fraction={config.max_failed_fraction} must be from 0 to 1")
    _positive("reward.prm.timeout", config.timeout)
    _positive("reward.prm.startup_timeout", config.startup_timeout)
    if (config.custom_family.path is None) != (config.custom_family.name is None):
        raise ConfigError("reward.prm.custom_family needs both path (a Python file) and name (the class in it)")
    return config


def engine_of(prm: PrmConfig) -> str:
    """The engine that scores: as set, else told from `server_urls`."""
    return prm.engine or ("server" if prm.server_urls else "in_process")


def tokens_per_forward(prm: PrmConfig, device_type: str) -> int:
    """Most tokens of one forward pass of the in-process engine: as set, else what suits the device."""
    return prm.max_tokens_per_forward or (2048 if device_type == "cpu" else 16384)


def uses_prpo(config: DictConfig) -> bool:
    """Whether a verl configuration asks for PRPO; nothing of this package acts on one that does not."""
    return str(config.algorithm.get("adv_estimator", "")) == ADV_ESTIMATOR


def needs_prm(prpo: PrpoConfig) -> bool:
    """Whether the credit uses process scores at all."""
    return prpo.credit != "outcome"


def _typed(section: str, cls: type[Section], given: Any) -> Section:
    if given is None:
        return cls()
    if not isinstance(given, (DictConfig, dict)):
        raise ConfigError(f"{section} must be a section with keys, got {given!r}")
    _reject_unknown_keys(section, cls, given)
    custom_family = given.get("custom_family") if cls is PrmConfig else None
    if isinstance(custom_family, (DictConfig, dict)):
        _reject_unknown_keys(f"{section}.custom_family", CustomFamily, custom_family)
    elif custom_family is not None:
        raise ConfigError(f"{section}.custom_family must be a section with path and name, got {custom_family!r}")
    try:
        # Resolved where it stands: an interpolation may point to any key of the whole configuration.
        values = OmegaConf.to_container(given, resolve=True) if isinstance(given, DictConfig) else given
    except OmegaConfBaseException as error:
        raise ConfigError(f"{section}: {str(error).splitlines()[0]}") from error
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(cls), values))  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        key = f"{section}.{error.full_key}" if error.full_key else section
        if "is not a ListConfig" in str(error):
            value = given.get(error.full_key or "")
            raise ConfigError(f"{key}={value} must be a list; write {key}='[{value}]'") from error
        raise ConfigError(f"{key}: {str(error).splitlines()[0]}") from error


def _check_servers(config: PrmConfig) -> None:
    if config.engine == "server" and not config.server_urls:
        raise ConfigError("reward.prm.engine=server needs reward.prm.server_urls, such as [http://prm-0:8000]")
    if config.server_urls and engine_of(config) != "server":
        raise ConfigError(f"reward.prm.server_urls is not read with reward.prm.engine={config.engine}; unset one")
    for url in config.server_urls:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"reward.prm.server_urls: {url} must begin with http:// or https://")
    if len(set(config.server_urls)) != len(config.server_urls):
        raise ConfigError(f"reward.prm.server_urls={config.server_urls} names a server twice")
    _at_least("reward.prm.server_concurrency", config.server_concurrency, 1)
    _at_least("reward.prm.server_prompts_per_request", config.server_prompts_per_request, 1)
    _positive("reward.prm.server_request_timeout", config.server_request_timeout)
    _at_least("reward.prm.server_retries", config.server_retries, 0)
    _at_least("reward.prm.prompt_logprobs", config.prompt_logprobs, -1)


def _reject_unknown_keys(section: str, cls: type, given: DictConfig | dict) -> None:
    known = [f.name for f in fields(cls)]
    for key in map(str, given):
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {section}.{near[0]}?" if near else f"its keys are {', '.join(known)}"
            raise ConfigError(f"{section}.{key} is not a setting; {hint}")


def one_of(key: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raise a `ConfigError` with the key and the nearest of the allowed values unless the value is one of them."""
    if value not in allowed:
        near = difflib.get_close_matches(str(value), allowed, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"{key}={value} is not known{hint} (one of {', '.join(allowed)})")


def _at_least(key: str, value: float, least: float) -> None:
    if not value >= least:
        raise ConfigError(f"{key}={value} must be at least {least}")


def _positive(key: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise ConfigError(f"{key}={value} must be a positive number")
