# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A judge that writes before it decides: any instruct or thinking model at a server that speaks OpenAI's API.

This family needs no forward pass, no weights and no tokenizer: `verl_prpo.prm.generated` asks the servers, and they
answer in text. The family says on which scale the scores are and which part of a response the judge is shown. It must
be asked for by name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, ClassVar

import torch

from verl_prpo.prm.encoding.dialogue import problem_text
from verl_prpo.prm.families.base import Encoded, PrmError, PrmFamily
from verl_prpo.prm.generated.labels import LabelReader
from verl_prpo.prm.generated.options import GeneratedOptions, read_options
from verl_prpo.prm.generated.prompts import Prompt, load_prompt

UNBOUNDED = 2**31 - 1
"""The context of a judge, in place of a number that is not known here: the server refuses what is too long."""


@dataclass(frozen=True)
class Asked(Encoded):
    """What the judge is shown of one response. Its `input_ids` are the bytes of that text, by which the cache knows it.

    Attributes:
        problem: what the policy was asked.
        steps: the steps to judge.
    """

    problem: str = ""
    steps: tuple[str, ...] = ()


class GeneratedVerdicts(PrmFamily):
    """Scores from verdicts that a judge wrote."""

    name: ClassVar[str] = "generated_verdicts"
    serving: ClassVar[str | None] = "chat"
    max_context = UNBOUNDED

    def __init__(self, options: GeneratedOptions, prompt: Prompt):
        self.options = options
        self.prompt = prompt
        self.worth = {name.strip().casefold(): float(score) for name, score in options.verdicts.items()}
        self.reader = LabelReader(options.verdict_after, *options.labels)
        scores = list(self.worth.values()) if options.ask == "response" else [0.0, 1.0]
        self.score_range = (min(scores), max(scores))
        # Of verdicts that are all as likely: those of a judge lie at the ends, not between them.
        self.prior_mean = sum(scores) / len(scores)
        self.prior_std = (sum((score - self.prior_mean) ** 2 for score in scores) / len(scores)) ** 0.5

    @classmethod
    def load(
        cls,
        model_path: str,
        *,
        device: torch.device,
        dtype: torch.dtype,
        trust_remote_code: bool = False,
        **options: Any,
    ) -> "GeneratedVerdicts":
        raise PrmError(
            f"the PRM family {cls.name} asks a judge at a server and loads no weights. Set "
            "++reward.prm.server.urls='[http://judge-0:8000]' with the addresses of yours"
        )

    @classmethod
    def open(cls, model_path: str, *args: Any, trust_remote_code: bool = False, **options: Any) -> "GeneratedVerdicts":
        found = read_options(options)
        return cls(found, load_prompt(found.ask, found.prompt_path, _fixed(found)))

    def encode(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> Asked:
        problem = problem_text(messages)
        ends = list(accumulate((len(segment) for segment in segments), initial=len(problem)))
        ids = list("".join([problem, *segments]).encode("utf-8"))
        return Asked(ids, list(pairwise(ends)), problem, tuple(segments))

    def forward(self, batch: Sequence[Encoded]) -> list[list[float]]:
        raise PrmError(f"the PRM family {self.name} has no weights here. Set reward.prm.server.urls")


def _fixed(options: GeneratedOptions) -> Mapping[str, Any]:
    good, bad = (f"{options.verdict_after}{label}{_closing(options.verdict_after)}" for label in options.labels)
    return {
        "labels": list(options.verdicts),
        "explain": options.explain,
        "if_right": good,
        "if_wrong": bad,
    }


def _closing(mark: str) -> str:
    """Return the bracket that ends a verdict after a mark that opens one, or "" after any other mark."""
    return {"{": "}", "(": ")", "[": "]", "<": ">"}.get(mark[-1:], "")
