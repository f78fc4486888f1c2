# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The problem sets: where each comes from, how its rows are read, which of verl's scorers judges its answers."""

from dataclasses import dataclass

from verl_prpo.data.problems import Reader, read_gsm8k, read_math

TEMPLATES = {
    "boxed": ("", "{question} Let's think step by step and output the final answer within \\boxed{{}}."),
    "qwen_math": ("Please reason step by step, and put your final answer within \\boxed{}.", "{question}"),
    "hashes": ("", '{question} Let\'s think step by step and output the final answer after "####".'),
}
"""System and user message by name: boxed and hashes are those of verl's own preparation scripts for MATH and GSM8K,
qwen_math that of the Qwen2.5-Math models."""


@dataclass(frozen=True)
class HubSplit:
    """A split of a data set on the Hugging Face hub."""

    repo: str
    config: str | None
    split: str


@dataclass(frozen=True)
class ProblemSet:
    """A named set.

    Attributes:
        name: of the command line and of the file.
        split: "train" or "test".
        data_source: by which verl chooses its scorer.
        templates: that ask for the answer in the form this scorer reads, the default first.
        hub: where it is downloaded from.
        read: a row to a problem.
        without: name of the test set whose problems are left out of it.
    """

    name: str
    split: str
    data_source: str
    templates: tuple[str, ...]
    hub: tuple[HubSplit, ...]
    read: Reader
    without: str | None = None


_MATH = "DigitalLearningGmbH/MATH-lighteval"
_BOXED = ("boxed", "qwen_math")

SETS = {
    problem_set.name: problem_set
    for problem_set in (
        # The paper's 12,000: the 7,500 and 5,000 problems of MATH without the 500 of MATH500.
        ProblemSet(
            "math",
            "train",
            _MATH,
            _BOXED,
            (HubSplit(_MATH, None, "train"), HubSplit(_MATH, None, "test")),
            read_math,
            "math500",
        ),
        ProblemSet(
            "math500",
            "test",
            "HuggingFaceH4/MATH-500",
            _BOXED,
            (HubSplit("HuggingFaceH4/MATH-500", None, "test"),),
            read_math,
        ),
        ProblemSet(
            "gsm8k", "train", "openai/gsm8k", ("hashes",), (HubSplit("openai/gsm8k", "main", "train"),), read_gsm8k
        ),
        ProblemSet(
            "gsm8k_test", "test", "openai/gsm8k", ("hashes",), (HubSplit("openai/gsm8k", "main", "test"),), read_gsm8k
        ),
    )
}
