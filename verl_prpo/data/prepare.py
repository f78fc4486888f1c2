# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Turn the rows of a problem set into what verl reads from parquet, with an account of every row that is not kept."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verl_prpo.data.problem_sets import HubSplit, ProblemSet
from verl_prpo.data.problems import Problem, question_key, read_question
from verl_prpo.data.templates import TEMPLATES


class DataError(ValueError):
    """A source that cannot be read. The message says which row."""


@dataclass
class Prepared:
    """Problems that are kept, and why others are not.

    Attributes:
        problems: the kept problems in the order of the source.
        dropped: number of rows by reason.
        repeated: index of each kept problem whose question came before in the same source.
        left_out: `question_key` of the problems that were found and left out because a test set holds them.
    """

    problems: list[Problem]
    dropped: Counter[str] = field(default_factory=Counter)
    repeated: list[int] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)


def prepare(
    rows: Iterable[Mapping[str, Any]], problem_set: ProblemSet, left_out: set[str], drop_repeated: bool = False
) -> Prepared:
    """Read rows, leaving out what has no answer and what `left_out` holds.

    Args:
        rows: rows of the source.
        problem_set: the set that they are of.
        left_out: `question_key` of problems that belong to a test set.
        drop_repeated: leave out questions that came before, too.
    """
    prepared = Prepared([])
    seen: set[str] = set()
    for row in rows:
        try:
            problem = problem_set.read(row)
        except ValueError as error:
            prepared.dropped[str(error)] += 1
            continue
        key = question_key(problem.question)
        if key in left_out:
            prepared.dropped[f"of {problem_set.without or 'the problems to leave out'}"] += 1
            prepared.left_out.add(key)
            continue
        if key in seen and drop_repeated:
            prepared.dropped["the question came before"] += 1
            continue
        if key in seen:
            prepared.repeated.append(len(prepared.problems))
        seen.add(key)
        prepared.problems.append(problem)
    return prepared


def verl_rows(problems: Sequence[Problem], problem_set: ProblemSet, template: str) -> list[dict[str, Any]]:
    """Return problems in verl's format: chat messages, data source, ground truth, index and split."""
    system, user, _ = TEMPLATES[template]
    rows: list[dict[str, Any]] = []
    for index, problem in enumerate(problems):
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": user.format(question=problem.question)})
        about: dict[str, Any] = {"split": problem_set.split, "index": index, "question": problem.question}
        about |= {**problem.extra, "solution": problem.solution}
        truth = {"style": "rule", "ground_truth": problem.answer}
        row = {"data_source": problem_set.data_source, "prompt": messages, "ability": "math", "reward_model": truth}
        rows.append({**row, "extra_info": about})
    return rows


def read_source(path: Path) -> Iterator[dict[str, Any]]:
    """Read the rows of a local .jsonl or .parquet file.

    Raises:
        DataError: there is no such file, it is of another kind, a line is no JSON object, or it is not encoded in
            UTF-8.
    """
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {found}. Name a .jsonl or .parquet file (looked for from {Path.cwd()})")
    if path.suffix == ".parquet":
        yield from _frame(path).to_dict(orient="records")
        return
    if path.suffix not in (".jsonl", ".json"):
        raise DataError(f"{path}: give a .jsonl or .parquet file")
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"))
            except UnicodeDecodeError as error:
                raise DataError(f"{path}, line {number}: not in UTF-8 ({error}). Convert the file") from error
            except json.JSONDecodeError as error:
                raise DataError(f"{path}, line {number}: no JSON ({error})") from error
            if not isinstance(row, dict):
                raise DataError(f"{path}, line {number}: a {type(row).__name__} where an object belongs")
            yield row


def questions_to_leave_out(rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the `question_key` of every row that has a question in its columns or in its extra_info.

    The row need not have an answer.

    Raises:
        ValueError: no row has a question.
    """
    found = set()
    for row in rows:
        about = row.get("extra_info")
        try:
            found.add(question_key(read_question(about if isinstance(about, Mapping) else row)))
        except ValueError:
            continue
    if not found:
        raise ValueError("no row has a question (a column problem or question), so nothing could be left out")
    return found


def _frame(path: Path) -> Any:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except OSError:
        raise
    except ValueError as error:  # of pyarrow
        raise DataError(f"{path}: no parquet file that can be read ({error})") from error


def read_hub(splits: Sequence[HubSplit]) -> Iterator[dict[str, Any]]:
    """Read the rows of splits on the Hugging Face hub, one after the other."""
    from datasets import disable_progress_bars, load_dataset
    from huggingface_hub.utils import disable_progress_bars as disable_download_bars

    disable_progress_bars()
    disable_download_bars()
    for split in splits:
        yield from load_dataset(split.repo, split.config, split=split.split)


def prepared_questions(path: Path) -> dict[str, str]:
    """Return the `question_key` of every problem of a file that `verl-prpo data` wrote, with its question.

    Raises:
        DataError: the file is of other origin.
    """
    frame = _frame(path)
    try:
        questions = [str(about["question"]) for about in frame["extra_info"]]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: no extra_info.question. Prepare it with `verl-prpo data`") from error
    return {question_key(question): question for question in questions}
