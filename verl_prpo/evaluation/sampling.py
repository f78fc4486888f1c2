# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""How the responses of a set are drawn: the paper's protocol unless the user says otherwise."""

import re
from dataclasses import asdict, dataclass
from typing import Any

from verl_prpo.evaluation import EvaluationError
from verl_prpo.evaluation.problems import EvaluationSet

SMALL_SET = re.compile(r"(?<![a-z])(aime|amc)(?![a-z])")
"""Sets of few problems, of which the paper draws 32 samples each."""

SMALL_SET_SAMPLES, TEMPERATURE, TOP_P = 32, 0.7, 0.9

MAX_TOKENS = 2048
"""The paper's limit of a response in training. The paper names no other limit for evaluation."""


@dataclass(frozen=True)
class Sampling:
    """How responses are drawn.

    Attributes:
        samples: number of responses to each problem.
        temperature: sampling temperature. 0 is greedy decoding.
        top_p: share of the probability that is sampled from, in (0, 1].
        max_tokens: most tokens of a response, after which it is cut off.
        seed: seed of vLLM's engine.
    """

    samples: int
    temperature: float
    top_p: float
    max_tokens: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)

    def __str__(self) -> str:
        return "greedy" if self.temperature == 0 else f"T {self.temperature:g}, top-p {self.top_p:g}"


def sampling_of(
    test_set: EvaluationSet,
    samples: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    max_tokens: int = MAX_TOKENS,
    seed: int = 0,
) -> Sampling:
    """Return the protocol for a set: AIME and AMC 32 samples at temperature 0.7 and top-p 0.9, all else greedily.

    Where the user asks for more than one sample of another set, they are drawn with the same temperature and top-p. An
    argument that is not None comes from the user and takes the place of the protocol's value.

    Raises:
        EvaluationError: the settings make no sense.
    """
    names = (test_set.name, *{problem.data_source.rsplit("/", 1)[-1] for problem in test_set.problems})
    small = any(SMALL_SET.search(re.sub(r"[\d_]+", " ", name.lower())) for name in names)
    if samples is None:  # a temperature of 0 asks for one
        samples = SMALL_SET_SAMPLES if small and temperature != 0 else 1
    if temperature is None:
        temperature = 0.0 if samples == 1 else TEMPERATURE
    if top_p is None:
        top_p = 1.0 if temperature == 0 else TOP_P
    for option, value, fine, must in (
        ("samples", samples, samples >= 1, "be at least 1"),
        ("temperature", temperature, temperature >= 0, "not be negative"),
        ("top-p", top_p, 0 < top_p <= 1, "be above 0 and at most 1"),
        ("max-tokens", max_tokens, max_tokens >= 1, "be at least 1"),
    ):
        if not fine:
            raise EvaluationError(f"--{option} {value:g} must {must}")
    if samples > 1 and temperature == 0:
        raise EvaluationError(f"--samples {samples} --temperature 0: all samples would be the same. Ask for one")
    return Sampling(samples, temperature, top_p, max_tokens, seed)
