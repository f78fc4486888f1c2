# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""How a set is evaluated: the paper's protocol unless told otherwise."""

import re
from dataclasses import asdict, dataclass
from typing import Any

from verl_prpo.evaluation import EvaluationError
from verl_prpo.evaluation.problems import EvaluationSet

SMALL_SET = re.compile(r"(?<![a-z])(aime|amc)(?![a-z])")
"""Sets of few problems, of which the paper draws 32 samples each."""

SMALL_SET_SAMPLES = 32
TEMPERATURE = 0.7
TOP_P = 0.9

MAX_TOKENS = 2048
"""The paper's limit of a response in training; it names no other for evaluation."""


@dataclass(frozen=True)
class Sampling:
    """How responses are drawn.

    Attributes:
        samples: of each problem.
        temperature: 0 is greedy decoding.
        top_p: in (0, 1].
        max_tokens: after which a response is cut.
        seed: of the samples.
    """

    samples: int
    temperature: float
    top_p: float
    max_tokens: int
    seed: int

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is always taken."""
        return self.temperature == 0

    def as_dict(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)

    def __str__(self) -> str:
        return "greedy" if self.greedy else f"T {self.temperature:g}, top-p {self.top_p:g}"


@dataclass(frozen=True)
class Wanted:
    """What the user asks for; None where the protocol decides."""

    samples: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int = MAX_TOKENS
    seed: int = 0


def sampling_of(test_set: EvaluationSet, wanted: Wanted) -> Sampling:
    """The protocol for a set: AIME and AMC 32 samples at temperature 0.7 and top-p 0.9, all else greedily.

    More than one sample of another set is drawn with the same temperature and top-p.

    Raises:
        EvaluationError: settings that make no sense.
    """
    names = (test_set.name, *{problem.data_source.rsplit("/", 1)[-1] for problem in test_set.problems})
    small = any(SMALL_SET.search(re.sub(r"[\d_]+", " ", name.lower())) for name in names)
    # A temperature without a number of samples leaves the number to the set.
    greedy_asked = wanted.temperature == 0 and wanted.samples is None
    samples = wanted.samples if wanted.samples is not None else SMALL_SET_SAMPLES if small and not greedy_asked else 1
    default = 0.0 if samples == 1 else TEMPERATURE
    temperature = default if wanted.temperature is None else wanted.temperature
    top_p = wanted.top_p if wanted.top_p is not None else 1.0 if temperature == 0 else TOP_P
    if samples < 1:
        raise EvaluationError(f"--samples {samples} must be at least 1")
    if temperature < 0:
        raise EvaluationError(f"--temperature {temperature:g} must not be negative")
    if not 0 < top_p <= 1:
        raise EvaluationError(f"--top-p {top_p:g} must be above 0 and at most 1")
    if wanted.max_tokens < 1:
        raise EvaluationError(f"--max-tokens {wanted.max_tokens} must be at least 1")
    if samples > 1 and temperature == 0:
        raise EvaluationError(f"--samples {samples} --temperature 0: all samples would be the same; ask for one")
    return Sampling(samples, temperature, top_p, wanted.max_tokens, wanted.seed)
