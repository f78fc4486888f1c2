# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The problems that the light trainer meets, as data sets for verl; a row says how its problem is drawn again."""

import random
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from study.tasks import TASKS, held_out_problems, training_problem


@cache
def problems(task: str, split: str, seed: int, count: int) -> tuple[Any, ...]:
    """Problems of a task by name, in order.

    Args:
        task: in `study.tasks.TASKS`.
        split: "train", what `study.trainer.train` draws one step after the other, or "held_out", what it measures on.
        seed: of the run for "train", else of the problems.
        count: how many; a task may have fewer held-out problems.
    """
    if split == "held_out":
        return tuple(held_out_problems(TASKS[task], seed, count))
    rng = random.Random(seed)
    return tuple(training_problem(TASKS[task], rng) for _ in range(count))


def problem_of(extra_info: dict[str, Any]) -> Any:
    """The problem of a row, from its `extra_info`."""
    drawn = problems(extra_info["task"], extra_info["split"], int(extra_info["seed"]), int(extra_info["count"]))
    return drawn[int(extra_info["index"])]


def data_source(task: str) -> str:
    """What verl calls the data set in the names of its metrics."""
    return f"study_{task}"


def write_problems(task: str, split: str, seed: int, count: int, path: Path) -> None:
    """Write what `problems` gives as a parquet file for verl."""
    rows = [
        {
            "data_source": data_source(task),
            "prompt": [{"role": "user", "content": problem.question}],
            "ability": "math",
            # Not every task has a text to compare with: reward.py asks the task, of the problem that extra_info names.
            "reward_model": {"style": "rule", "ground_truth": str(getattr(problem, "answer", ""))},
            "extra_info": {"task": task, "split": split, "seed": seed, "count": count, "index": index},
        }
        for index, problem in enumerate(problems(task, split, seed, count))
    ]
    pd.DataFrame(rows).to_parquet(path)
