# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The settings of the process reward model, `reward.prm.*`: which one, where it runs, what becomes of failures."""

import math
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig

from verl_prpo.settings.typed import ConfigError, at_least, one_of, positive, read_escapes, typed_section

ON_ERROR = ("raise", "outcome_only")
ENGINES = ("in_process", "server", "reward_model")
OVERLONG = ("neutral", "raise")
SCHEDULES = ("auto", "stream", "batch")
DTYPES = ("bfloat16", "float16", "float32")


@dataclass
class CustomFamily:
    """`reward.prm.custom_family`: a PRM family of your own, in the manner of verl's `reward.custom_reward_function`."""

    path: str | None = None
    """Python file that holds it."""

    name: str | None = None
    """Name of the class in that file, a subclass of `verl_prpo.prm.families.base.PrmFamily`."""


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
    """Options of the family's own, such as beta and reference_model_path of implicit_prm. Escapes such as \\n are read
    in every text but the names of files and folders."""

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
    do not fit get z=0, as at the prior mean, and count in no group statistic, mean or softmin) | raise (a failure, see
    `on_error`)."""

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


def prm_config(reward: DictConfig | dict | None) -> PrmConfig:
    """The typed `reward.prm` of verl's `reward` section.

    Raises:
        ConfigError: an unknown key, a value of the wrong type or out of range.
    """
    config = typed_section("reward.prm", PrmConfig, reward.get("prm") if reward is not None else None)
    config.family_options = _as_matched(config.family_options)
    one_of("reward.prm.on_error", config.on_error, ON_ERROR)
    if config.overlong == "truncate":
        raise ConfigError(
            "reward.prm.overlong=truncate is no longer a choice: it gave segments that the PRM had not read another's "
            "score. Set ++reward.prm.overlong=neutral (such segments get z=0), or ++reward.prm.overlong=raise (the "
            "response has failed, and reward.prm.on_error decides)"
        )
    one_of("reward.prm.overlong", config.overlong, OVERLONG)
    one_of("reward.prm.schedule", config.schedule, SCHEDULES)
    if config.engine is not None:
        one_of("reward.prm.engine", config.engine, ENGINES)
    _check_servers(config)
    if config.dtype is not None:
        one_of("reward.prm.dtype", config.dtype, DTYPES)
    at_least("reward.prm.num_replicas", config.num_replicas, 1)
    at_least("reward.prm.num_gpus_per_replica", config.num_gpus_per_replica, 0)
    if 0 < config.num_gpus_per_replica < 0.001:
        raise ConfigError(f"reward.prm.num_gpus_per_replica={config.num_gpus_per_replica} must be 0 or from 0.001 to 1")
    if config.num_gpus_per_replica > 1:
        raise ConfigError(
            f"reward.prm.num_gpus_per_replica={config.num_gpus_per_replica} must be at most 1: a copy of the PRM lives "
            "on one GPU. For more throughput raise reward.prm.num_replicas."
        )
    at_least("reward.prm.num_cpus_per_replica", config.num_cpus_per_replica, 0)
    if 0 < config.num_cpus_per_replica < 0.001 or math.isinf(config.num_cpus_per_replica):
        raise ConfigError(
            f"reward.prm.num_cpus_per_replica={config.num_cpus_per_replica} must be 0 or a finite number from 0.001 on"
        )
    if config.max_tokens_per_forward is not None:
        at_least("reward.prm.max_tokens_per_forward", config.max_tokens_per_forward, 1)
    at_least("reward.prm.cache_size", config.cache_size, 0)
    if not 0 <= config.max_failed_fraction <= 1:
        raise ConfigError(f"reward.prm.max_failed_fraction={config.max_failed_fraction} must be from 0 to 1")
    positive("reward.prm.timeout", config.timeout)
    positive("reward.prm.startup_timeout", config.startup_timeout)
    if (config.custom_family.path is None) != (config.custom_family.name is None):
        raise ConfigError("reward.prm.custom_family needs both path (a Python file) and name (the class in it)")
    return config


_PLACES = ("path", "file", "dir", "folder")
"""How the names of options end that name a place on a disk."""


def _as_matched(option: Any) -> Any:
    """An option of a family with the escapes in its texts read; names of files and folders stay as they are."""
    if isinstance(option, str):
        return read_escapes(option)
    if isinstance(option, dict):
        return {key: value if str(key).endswith(_PLACES) else _as_matched(value) for key, value in option.items()}
    if isinstance(option, list):
        return [_as_matched(value) for value in option]
    return option


def engine_of(prm: PrmConfig) -> str:
    """The engine that scores: as set, else told from `server_urls`."""
    return prm.engine or ("server" if prm.server_urls else "in_process")


def tokens_per_forward(prm: PrmConfig, device_type: str) -> int:
    """Most tokens of one forward pass of the in-process engine: as set, else what suits the device."""
    return prm.max_tokens_per_forward or (2048 if device_type == "cpu" else 16384)


def _check_servers(config: PrmConfig) -> None:
    if config.engine == "server" and not config.server_urls:
        raise ConfigError(
            "reward.prm.engine=server needs servers; set "
            "++reward.prm.server_urls='[http://prm-0:8000]' with the addresses of yours"
        )
    if config.server_urls and engine_of(config) != "server":
        raise ConfigError(f"reward.prm.server_urls is not read with reward.prm.engine={config.engine}; unset one")
    for url in config.server_urls:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"reward.prm.server_urls: {url} must begin with http:// or https://")
    if len(set(config.server_urls)) != len(config.server_urls):
        raise ConfigError(f"reward.prm.server_urls={config.server_urls} names a server twice")
    at_least("reward.prm.server_concurrency", config.server_concurrency, 1)
    at_least("reward.prm.server_prompts_per_request", config.server_prompts_per_request, 1)
    positive("reward.prm.server_request_timeout", config.server_request_timeout)
    at_least("reward.prm.server_retries", config.server_retries, 0)
    at_least("reward.prm.prompt_logprobs", config.prompt_logprobs, -1)
