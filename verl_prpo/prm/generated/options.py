# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The options of the family generated_verdicts, `reward.prm.family_options`."""

import math
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.families.options import OPTIONS
from verl_prpo.settings.typed import SECTION, ConfigError, Count, Finite, Natural, Texts, typed_section


@dataclass(config=SECTION)
class GeneratedOptions:
    """How a judge is asked and how its answers are read."""

    ask: Literal["response", "step"] = "response"
    """response: one request asks for a verdict on every step of a response. step: one request for each step."""

    prompt_path: str | None = None
    """File with the prompt, a Jinja template. Null stands for the package's own."""

    system_prompt: str | None = None
    """Text of a system message before the prompt. Null sends none."""

    max_tokens: Count = 4096
    """Most tokens that the judge writes for one request, thoughts included."""

    temperature: Finite | None = None
    """Sampling temperature. Null leaves it to the server, which for vLLM is the model's generation_config.json."""

    asks_again: Natural = 1
    """How often a judge is asked again after an answer without verdicts. At temperature 0 it never is."""

    extra_body: dict[str, Any] = field(default_factory=dict)
    """Further keys of the request's body, such as chat_template_kwargs.enable_thinking. They replace those of the
    package: with max_completion_tokens, max_tokens is not sent."""

    structured: Literal["json_schema", "json_object", "none"] = "json_schema"
    """With ask=response, the form of the answer that the server is asked to enforce. json_schema: it can write nothing
    else. json_object: it writes JSON. none: the prompt alone says it."""

    explain: bool = True
    """With ask=response, whether the judge writes a check of each step before its verdict. Turn it off for a judge that
    thinks before it answers."""

    verdicts: dict[str, Any] = field(default_factory=lambda: {"right": 1.0, "wrong": 0.0})
    """With ask=response, the verdicts and the score of each."""

    verdict_after: str = "\\boxed{"
    """With ask=step, the text that stands before the verdict."""

    labels: Texts = field(default_factory=lambda: ["Yes", "No"])
    """With ask=step, the verdict for a right step and the one for a wrong step."""

    score: Literal["logprobs", "samples"] = "logprobs"
    """With ask=step, what the score is. logprobs: the probability of the first label against the second at the token
    where the verdict stands. samples: the share of answers with the first label."""

    samples: Count = 1
    """With ask=step, answers for each step. The score is their mean."""

    top_logprobs: Count = 20
    """With score=logprobs, likeliest tokens that the server names at each place."""


def read_options(given: Mapping[str, Any]) -> GeneratedOptions:
    """Read and check the options of a configuration.

    Raises:
        PrmError: an option is not known or not of its type, or options contradict each other.
    """
    try:
        options = typed_section(OPTIONS, GeneratedOptions, dict(given))
    except ConfigError as error:
        raise PrmError(str(error)) from error
    _check_verdicts(options.verdicts)
    _check_labels(options.labels)
    if not options.verdict_after.strip():
        raise PrmError(f"{OPTIONS}.verdict_after must be a text, such as {GeneratedOptions.verdict_after}")
    if options.temperature is not None and options.temperature < 0:
        raise PrmError(f"{OPTIONS}.temperature={options.temperature:g} must be at least 0")
    if options.samples > 1 and options.temperature == 0:
        raise PrmError(
            f"{OPTIONS}.samples={options.samples} with {OPTIONS}.temperature=0 pays for one answer several times. "
            "Raise the temperature, or ask for one sample"
        )
    return options


def _check_verdicts(verdicts: Mapping[str, Any]) -> None:
    wanted = (
        f"{OPTIONS}.verdicts must give two or more verdicts different finite scores, such as {{right: 1, wrong: 0}}"
    )
    scores = list(verdicts.values())
    numbers = [s for s in scores if isinstance(s, (int, float)) and not isinstance(s, bool) and math.isfinite(s)]
    if len(numbers) != len(scores) or len(set(numbers)) < 2:
        raise PrmError(f"{wanted}, got {dict(verdicts)}")
    if len({name.strip().casefold() for name in verdicts}) < len(verdicts) or not all(n.strip() for n in verdicts):
        raise PrmError(f"{OPTIONS}.verdicts={dict(verdicts)} names a verdict twice, or one without a name")


def _check_labels(labels: list[str]) -> None:
    if len(labels) != 2 or not all(label.strip() for label in labels):
        raise PrmError(f"{OPTIONS}.labels={labels} must be two texts: the verdict for a right step and for a wrong one")
    good, bad = (label.casefold() for label in labels)
    if good.startswith(bad) or bad.startswith(good):
        raise PrmError(f"{OPTIONS}.labels={labels}: one is the beginning of the other, so they cannot be told apart")
