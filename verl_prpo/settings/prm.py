# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The settings of the process reward model, `reward.prm.*`: which one, where it runs, what happens to failures."""

from dataclasses import field, fields
from typing import Any, Literal

from omegaconf import DictConfig
from pydantic.dataclasses import dataclass

from verl_prpo.settings.timeouts import CALL_TIMEOUT, PRM_TIMEOUT, REQUEST_TIMEOUT, STARTUP_TIMEOUT
from verl_prpo.settings.typed import (
    SECTION,
    ConfigError,
    Count,
    CpuShare,
    Fraction,
    GpuShare,
    LogProbabilities,
    Natural,
    Positive,
    Texts,
    WindowContext,
    read_escapes,
    typed_section,
)

GENERATED_VERDICTS = "generated_verdicts"
"""The family of a judge that writes before it decides. It runs at servers alone, and no file of it is read here."""


@dataclass(config=SECTION)
class CustomFamily:
    """`reward.prm.custom_family`: a PRM family of your own, as verl's `reward.custom_reward_function` is a function."""

    path: str | None = None
    """Python file that defines it."""

    name: str | None = None
    """Name of the class in that file, a subclass of `verl_prpo.prm.families.base.PrmFamily`."""


@dataclass(config=SECTION)
class ScoreFunction:
    """`reward.prm.score_function`: step rewards by a function of your own, in the place of a PRM.

    verl's `reward.custom_reward_function` is the same for the outcome.
    """

    path: str | None = None
    """Python file that defines the function, or pkg://package.module."""

    name: str | None = None
    """Name of the function in that file: `(messages, segments, **row)`, plain or a coroutine, that returns a score for
    each segment. See docs/step_rewards.md."""

    kwargs: dict[str, Any] = field(default_factory=dict)
    """Further keyword arguments of the function. They replace those of the row that have the same name."""

    timeout: Positive = CALL_TIMEOUT
    """Longest wait for one call, in seconds. Then the call has failed, and the process that runs it is ended."""

    retries: Natural = 2
    """How often a call is repeated that raised an error or took too long. The pauses grow."""

    concurrency: Count | None = None
    """Most calls at once in one replica: a coroutine's in one process, a plain function's each in a process of its own.
    Null stands for 32 with a coroutine, and for `num_cpus_per_replica` (1 at least) with a plain function."""

    batch_size: Count = 16
    """Most responses in one call of a function that is marked as batched."""


@dataclass(config=SECTION)
class PrmServers:
    """`reward.prm.server`: the vLLM servers that hold the PRM, and how they are asked."""

    urls: Texts = field(default_factory=list)
    """Base URLs of the servers, such as http://prm-0:8000. Each response goes to the server with the least work."""

    model: str | None = None
    """The model's name at the servers (`--served-model-name`). Null stands for the only model that they serve."""

    api_key_env: str | None = None
    """Environment variable that holds the servers' API key, on the nodes that run the PRM's actors."""

    ca_file: str | None = None
    """File with the certificate authority of https servers, if it is not a public one. TLS is always verified."""

    concurrency: Count = 8
    """Most requests that a replica has in flight at each server. A judge that writes can use 32 and more."""

    prompts_per_request: Count = 16
    """Most dialogues in one request."""

    request_timeout: Positive = REQUEST_TIMEOUT
    """Longest wait for the answer to one request, in seconds. Then the request has failed and may be sent again."""

    retries: Natural = 3
    """How often a request is sent again after a fault that can pass: refused, timed out, HTTP 5xx or 429. The pauses
    grow. A judge's Retry-After is respected."""

    prompt_logprobs: LogProbabilities = 20
    """Log-probabilities per token that a server returns, for families of causal language models. At most the server's
    `--max-logprobs`."""


@dataclass(config=SECTION)
class PrmConfig:
    """`reward.prm`: the process reward model and where it runs."""

    model_path: str | None = None
    """Folder or hub name of the PRM in Hugging Face format. Required unless `algorithm.prpo.credit` is outcome or
    `score_function` gives the scores. With servers only its tokenizer and config are read. With the family
    generated_verdicts it is the judge's name at its servers. With `engine=reward_model`, null stands for
    `reward.reward_model.model_path`."""

    family: str | None = None
    """How the PRM reads a dialogue: qwen_math_prm, skywork_prm, label_token, math_shepherd, rlhflow_prm,
    token_classification, implicit_prm, zero_shot_judge or generated_verdicts. Null detects it from the model's
    config.json, where that is certain."""

    family_options: dict[str, Any] = field(default_factory=dict)
    """Options of the family, such as beta and reference_model_path of implicit_prm. Escapes such as \\n are read in all
    texts except names of files and folders."""

    custom_family: CustomFamily = field(default_factory=CustomFamily)
    """A family defined outside this package."""

    score_function: ScoreFunction = field(default_factory=ScoreFunction)
    """A function of your own that gives the step rewards. It takes the place of `model_path`, family and engine."""

    engine: Literal["in_process", "server", "reward_model"] | None = None
    """Where the PRM runs. in_process: with transformers, in Ray actors. server: on the vLLM servers of `server.urls`.
    reward_model: on the servers that verl starts for `reward.reward_model`. Null stands for server if `server.urls` is
    set, and for in_process otherwise."""

    schedule: Literal["auto", "stream", "batch"] = "auto"
    """When responses are scored. stream: each as soon as it is finished, while others are generated. batch: all after
    old_log_prob, while ref_log_prob runs. auto: stream if the segmenter needs no entropy, else batch."""

    overlong: Literal["neutral", "windows", "raise"] = "neutral"
    """What happens to a response longer than the PRM's context. `prpo/prm/overlong` counts them. neutral: segments that
    do not fit get z = 0 and are left out of every mean and softmin. windows: the PRM reads the response in windows.
    Each holds the problem, segments to judge, and before them as many segments as fit. A segment that does not fit
    alone is treated as with neutral. raise: the response has failed, see `on_error`."""

    window_context: WindowContext = 0.5
    """With `overlong=windows`: about which share of a window after the problem is context, segments judged before.
    The first window has none. At 0.5 the PRM reads a long response about twice, at 0 about once.
    `prpo/prm/context/mean` says how much of the response a score has seen."""

    thinking: Literal["score", "hide"] = "score"
    """What the PRM is shown of the policy's thoughts, such as what stands between <think> and </think>. score: they
    are judged like the rest. hide: the PRM reads the response without them. Each thought is a segment without a score.
    Its tokens get the outcome advantage alone and are left out of every mean and softmin. The segmenter cuts what is
    left of the response. `prpo/prm/hidden` counts such segments."""

    cache_size: Natural = 100_000
    """Most dialogues whose scores a replica keeps. Equal dialogues are scored once. 0 keeps none."""

    server: PrmServers = field(default_factory=PrmServers)
    """The vLLM servers that hold the PRM."""

    num_replicas: Count = 1
    """Replicas of the PRM, each a Ray actor. Responses are spread over them."""

    num_gpus_per_replica: GpuShare = 1.0
    """Share of a GPU that Ray reserves for each replica, in addition to the trainer's GPUs. 0 puts it on the CPU. Not
    read with `trainer.device=cpu`."""

    num_cpus_per_replica: CpuShare = 1.0
    """CPUs that Ray reserves for each replica."""

    dtype: Literal["bfloat16", "float16", "float32"] | None = None
    """Floating point type of the weights. Null stands for bfloat16 on accelerators and float32 on the CPU."""

    compile: bool = False
    """Whether torch.compile compiles the PRM. In process only."""

    max_tokens_per_forward: Count | None = None
    """Most tokens, padding included, in one forward pass of a replica. Null stands for 16384 on accelerators and 2048
    on the CPU, where larger passes are slower because they leave the caches."""

    timeout: Positive = PRM_TIMEOUT
    """Longest wait of a training step for process scores, in seconds."""

    startup_timeout: Positive = STARTUP_TIMEOUT
    """Longest wait for the replicas to load the PRM, in seconds."""

    on_error: Literal["raise", "outcome_only"] = "raise"
    """What happens when a response gets no scores (timed out, refused, not finite, ...). raise: the run stops.
    outcome_only: the response gets the outcome advantage alone, and `prpo/prm/failed` counts it."""

    max_failed_fraction: Fraction = 0.5
    """With `on_error=outcome_only`: the run stops when more than this share of a step's responses failed."""

    trust_remote_code: bool = False
    """Whether code that comes with the PRM may run. Passed on to transformers."""

    outcome_reward_manager: Any = None
    """The reward manager that gives the outcome reward, in the form of `reward.reward_manager`. The plugin copies the
    one configured there. Null stands for verl's naive. Do not set it."""


REPLACED = {f"server_{one.name}": f"is now reward.prm.server.{one.name}" for one in fields(PrmServers)} | {
    "prompt_logprobs": "is now reward.prm.server.prompt_logprobs",
    "overlong=truncate": "is no longer a choice: it gave segments that the PRM had not read another's score. Set "
    "++reward.prm.overlong=windows (the PRM reads such a response in parts), neutral (such segments get z=0), or raise "
    "(the response has failed, and reward.prm.on_error decides)",
}
"""Keys and values of earlier versions."""


def prm_config(reward: DictConfig | dict | None) -> PrmConfig:
    """Read `reward.prm` from verl's `reward` section, with its types and ranges checked.

    Raises:
        ConfigError: an unknown key, a value of the wrong type or out of range, or values that contradict each other.
    """
    config = typed_section("reward.prm", PrmConfig, reward.get("prm") if reward is not None else None, REPLACED)
    config.family_options = _as_matched(config.family_options)
    _check_servers(config)
    if (config.custom_family.path is None) != (config.custom_family.name is None):
        raise ConfigError("reward.prm.custom_family needs both path (a Python file) and name (the class in it)")
    _check_score_function(config)
    if config.overlong == "windows" and config.family == GENERATED_VERDICTS and config.custom_family.path is None:
        raise ConfigError(
            f"reward.prm.overlong=windows with reward.prm.family={GENERATED_VERDICTS}: how much a judge can read is "
            "known to its servers alone, so no windows can be planned. Set ++reward.prm.overlong=neutral or raise"
        )
    return config


SCORE_FUNCTION = "score_function"
"""The name that `engine_of` returns for a score function. `reward.prm.engine` cannot have this value: a score function
is chosen by its path alone."""

_PLACES = ("path", "file", "dir", "folder")
"""Endings of the names of options whose values are files or folders."""


def _as_matched(option: Any) -> Any:
    """Read the escapes in the texts of a family's option. Names of files and folders stay as they are."""
    if isinstance(option, str):
        return read_escapes(option)
    if isinstance(option, dict):
        return {key: value if str(key).endswith(_PLACES) else _as_matched(value) for key, value in option.items()}
    if isinstance(option, list):
        return [_as_matched(value) for value in option]
    return option


def engine_of(prm: PrmConfig) -> str:
    """Return the engine that scores: score_function where there is one, else as set, else decided by `server.urls`."""
    if prm.score_function.path is not None:
        return SCORE_FUNCTION
    return prm.engine or ("server" if prm.server.urls else "in_process")


def judge_of(prm: PrmConfig) -> str:
    """Name for people what gives the process scores: the PRM's path, or the score function."""
    function = prm.score_function
    return f"{function.path}:{function.name}" if function.path is not None else prm.model_path or ""


def tokens_per_forward(prm: PrmConfig, device_type: str) -> int:
    """Return the most tokens of one forward pass of the in-process engine: as set, else what suits the device."""
    return prm.max_tokens_per_forward or (2048 if device_type == "cpu" else 16384)


def _check_score_function(config: PrmConfig) -> None:
    function, key = config.score_function, "reward.prm.score_function"
    if function.path is None and function != ScoreFunction():
        raise ConfigError(f"{key} needs path (a Python file) besides what is set. Set ++{key}.path=FILE.py")
    if function.path is None:
        return
    if not function.path or not function.name:
        raise ConfigError(f"{key} needs both path (a Python file) and name (the function in it). Set ++{key}.name=NAME")
    others = {
        "model_path": config.model_path,
        "family": config.family,
        "family_options": config.family_options,
        "custom_family.path": config.custom_family.path,
        "engine": config.engine,
        "server.urls": config.server.urls,
    }
    for name, value in others.items():
        if value:
            raise ConfigError(
                f"{key}.path={function.path} and reward.prm.{name}={value}: either the function gives the scores or a "
                f"model does. Unset one of the two (++reward.prm.{name}=null)"
            )


def _check_servers(config: PrmConfig) -> None:
    urls = config.server.urls
    if config.engine == "server" and not urls:
        raise ConfigError(
            "reward.prm.engine=server needs servers. Set "
            "++reward.prm.server.urls='[http://prm-0:8000]' with the addresses of yours"
        )
    if urls and engine_of(config) != "server":
        raise ConfigError(f"reward.prm.server.urls is not read with reward.prm.engine={config.engine}. Unset one")
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"reward.prm.server.urls: {url} must begin with http:// or https://")
    if len(set(urls)) != len(urls):
        raise ConfigError(f"reward.prm.server.urls={urls} names a server twice")
