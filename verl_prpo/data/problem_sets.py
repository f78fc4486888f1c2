# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The problem sets: where each comes from, how its rows are read, which of verl's scorers judges its answers."""

from dataclasses import dataclass

from verl_prpo.data.problems import Reader, read_competition, read_gsm8k, read_math


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
        name: name of the set on the command line and in its file's name.
        split: "train" or "test".
        size: number of problems that the set is known to have.
        data_source: verl chooses its scorer by it, and logs validation under it (`val-core/<data_source>`).
        template: name of the default prompt template.
        hub: where it is downloaded from.
        read: turns a row into a problem.
        without: name of the test set whose problems are left out of it.
    """

    name: str
    split: str
    size: int
    data_source: str
    template: str
    hub: tuple[HubSplit, ...]
    read: Reader
    without: str | None = None


_MATH = "DigitalLearningGmbH/MATH-lighteval"
_MATH500 = "HuggingFaceH4/MATH-500"
_GSM8K = "openai/gsm8k"
_AIME25 = "opencompass/AIME2025"

# verl takes its scorer for competitions by the prefix "aime".
SETS = {
    problem_set.name: problem_set
    for problem_set in (
        # The paper's 12,000: the 7,500 and 5,000 problems of MATH without the 500 of MATH500.
        ProblemSet(
            "math",
            "train",
            12_000,
            _MATH,
            "paper",
            (HubSplit(_MATH, None, "train"), HubSplit(_MATH, None, "test")),
            read_math,
            "math500",
        ),
        ProblemSet("math500", "test", 500, _MATH500, "paper", (HubSplit(_MATH500, None, "test"),), read_math),
        ProblemSet("gsm8k", "train", 7_473, _GSM8K, "hashes", (HubSplit(_GSM8K, "main", "train"),), read_gsm8k),
        ProblemSet("gsm8k_test", "test", 1_319, _GSM8K, "hashes", (HubSplit(_GSM8K, "main", "test"),), read_gsm8k),
        ProblemSet(
            "aime24",
            "test",
            30,
            "aime24",
            "paper_once",
            (HubSplit("HuggingFaceH4/aime_2024", None, "train"),),
            read_competition,
        ),
        ProblemSet(
            "aime25",
            "test",
            30,
            "aime25",
            "paper_once",
            (HubSplit(_AIME25, "AIME2025-I", "test"), HubSplit(_AIME25, "AIME2025-II", "test")),
            read_competition,
        ),
        ProblemSet(
            "amc23",
            "test",
            40,
            "aime_amc23",
            "paper_once",
            (HubSplit("math-ai/amc23", None, "test"),),
            read_competition,
        ),
    )
}
