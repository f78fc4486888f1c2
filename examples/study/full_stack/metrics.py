# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What verl's `file` logger and the rollout dump tell of a run, under the light trainer's names (study.trainer)."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from study.full_stack.problems import data_source
from study.trainer import Row

from verl_prpo.telemetry.rollouts.read import read_rollouts

REWARD, LENGTH, SECONDS = "critic/score/mean", "response_length/mean", "timing_s/step"


def is_whole(metrics: Path, task: str, steps: int) -> bool:
    """Whether a file holds every step of a run and the held-out accuracy at its beginning and end."""
    logged = _logged(metrics)
    greedy = _greedy_name(task)
    trained = all(REWARD in logged.get(step, {}) for step in range(1, steps + 1))
    return trained and greedy in logged.get(0, {}) and greedy in logged.get(steps, {})


def rows_of(metrics: Path, rollouts: Path, task: str) -> list[Row]:
    """Rows of steps 0 to the last.

    Returns:
        `greedy`, the accuracy on held-out problems, where it was measured; of training steps `accuracy`, `length` in
        tokens, `seconds` and, with a PRM, `prm_mean`, the mean over responses of their mean segment score.
    """
    rows = []
    for step, values in sorted(_logged(metrics).items()):
        row: Row = {"step": step}
        if _greedy_name(task) in values:
            row["greedy"] = values[_greedy_name(task)]
        if REWARD in values:
            row |= {"accuracy": (values[REWARD] + 1) / 2, "length": values[LENGTH], "seconds": values[SECONDS]}
        if "prpo/process_score/mean" in values:
            row["prm_mean"] = _prm_mean(rollouts, step)
        rows.append(row)
    return rows


def _prm_mean(rollouts: Path, step: int) -> float:
    means = []
    for rollout in read_rollouts(rollouts, [step]):
        scores = [segment.score for segment in rollout.segments if segment.score is not None]
        means += [sum(scores) / len(scores)] if scores else []
    return sum(means) / len(means)


def _greedy_name(task: str) -> str:
    return f"val-core/{data_source(task)}/acc/mean@1"


def _logged(metrics: Path) -> dict[int, dict[str, Any]]:
    """What was logged at each step; a line still being written is left out."""
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    if metrics.exists():
        for line in metrics.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                row = json.loads(line)
                found[row["step"]] |= row["data"]
    return dict(found)
