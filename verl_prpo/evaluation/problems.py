# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The problems of an evaluation, read from the parquet files that verl validates on."""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_prpo.evaluation import EvaluationError

COLUMNS = ("prompt", "data_source", "reward_model")


@dataclass(frozen=True)
class EvaluationProblem:
    """One row.

    Attributes:
        index: names the problem within its set. It is extra_info.index, or the row's number where that is not unique.
        data_source: decides how its answer is scored.
        messages: chat messages with role and content.
        ground_truth: the right answer.
        extra_info: all of the row's extra_info.
    """

    index: int
    data_source: str
    messages: list[dict[str, str]]
    ground_truth: Any
    extra_info: dict[str, Any]

    def about(self) -> dict[str, Any]:
        """Return what a record keeps of the problem. The question is extra_info.question, or the last message."""
        level, subject = (self.extra_info.get(name) for name in ("level", "subject"))
        return {
            "index": self.index,
            "question": str(self.extra_info.get("question") or self.messages[-1]["content"]),
            "ground_truth": self.ground_truth,
            "data_source": self.data_source,
            "level": None if level is None else str(level),
            "subject": None if subject is None else str(subject),
        }


@dataclass(frozen=True)
class EvaluationSet:
    """The problems of a file.

    Attributes:
        name: name of the file, without its ending.
        problems: the problems in the file's order.
        digest: hash of prompts, data sources and ground truths.
    """

    name: str
    problems: tuple[EvaluationProblem, ...]
    digest: str

    def draw(self, limit: int | None, seed: int) -> list[EvaluationProblem]:
        """Draw so many problems at random, in the file's order. A larger limit adds to those of a smaller one."""
        if limit is None or limit >= len(self.problems):
            return list(self.problems)
        order = list(range(len(self.problems)))
        random.Random(seed).shuffle(order)
        return [self.problems[row] for row in sorted(order[:limit])]


def read_test_sets(files: Sequence[Path]) -> list[EvaluationSet]:
    """Read parquet files.

    Raises:
        EvaluationError: a file is missing or no parquet file, lacks columns, has no rows, or has the name of another.
    """
    twice = [name for name, count in Counter(file.stem for file in files).items() if count > 1]
    if twice:
        raise EvaluationError(f"--data: two files are called {twice[0]}, by which the results are named. Rename one")
    return [_read(file) for file in files]


def _read(file: Path) -> EvaluationSet:
    import pandas as pd

    if not file.is_file():
        raise EvaluationError(f"--data {file}: no such file. `verl-prpo data NAME --out DIR` writes it")
    try:
        rows = plain(pd.read_parquet(file).to_dict(orient="records"))
    except Exception as error:  # of whichever parquet engine pandas found
        raise EvaluationError(f"--data {file}: no parquet file ({type(error).__name__}: {error})") from error
    if not rows:
        raise EvaluationError(f"--data {file}: no rows")
    missing = [column for column in COLUMNS if column not in rows[0]]
    if missing:
        raise EvaluationError(
            f"--data {file}: no column {', '.join(missing)}. It has {', '.join(rows[0])}. "
            "`verl-prpo data` writes files as they are needed here"
        )
    problems = [_problem(f"--data {file}, row {number}", number, row) for number, row in enumerate(rows)]
    indices = [problem.extra_info.get("index") for problem in problems]
    if len(set(map(str, indices))) == len(rows) and all(type(index) is int for index in indices):
        problems = [EvaluationProblem(**{**vars(p), "index": p.extra_info["index"]}) for p in problems]
    content = [(p.index, p.data_source, p.messages, p.ground_truth) for p in problems]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]
    return EvaluationSet(file.stem, tuple(problems), digest)


def _problem(where: str, number: int, row: dict[str, Any]) -> EvaluationProblem:
    messages, truth, extra_info = row["prompt"], row["reward_model"], row.get("extra_info")
    if not messages or not isinstance(messages, list) or not all(map(_is_message, messages)):
        raise EvaluationError(f"{where}: prompt must be chat messages with role and content")
    if not isinstance(truth, dict) or truth.get("ground_truth") is None:
        raise EvaluationError(f"{where}: no reward_model.ground_truth")
    said = [{"role": message["role"], "content": message["content"]} for message in messages]
    extra_info = extra_info if isinstance(extra_info, dict) else {}
    return EvaluationProblem(number, str(row["data_source"]), said, truth["ground_truth"], extra_info)


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("role", "content"))


def plain(value: Any) -> Any:
    """Turn numpy's arrays and numbers, as parquet gives them, into lists and numbers of Python.

    NaN, which parquet gives for a missing value, becomes None.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return None if isinstance(value, float) and value != value else value
