# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What verl's validation dumped, as records of an evaluation."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verl_prpo.evaluation import RunFailed

RIGHT_FROM = 0.5
"""The least `acc`, or else the least `score`, that counts as right."""

TOO_LONG = "prompt_too_long"
"""The finish reason and the method of a problem whose prompt leaves no room for a response."""


def read_dump(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Read the samples of each problem in a `trainer.validation_data_dir`.

    Raises:
        RunFailed: there is no dump, or it has lines that do not come from an evaluation.
    """
    files = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
    if not files:
        raise RunFailed(f"verl's validation left no dump in {folder}. See {folder.parent / 'run.log'}")
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for file in files:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    row = json.loads(line)
                    session = row["uid"].rpartition("_")[0]  # of several outputs of a session the last one counts
                    found.setdefault(row["problem"], {})[session] = _sample(row)
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise RunFailed(
                        f"{file}, line {number}: no response of an evaluation ({type(error).__name__}: {error})"
                    ) from error
    return {problem: list(sessions.values()) for problem, sessions in found.items()}


def _sample(row: Mapping[str, Any]) -> dict[str, Any]:
    acc = row.get("acc")
    return {
        "text": row["output"],
        "tokens": row["tokens"],
        "finish_reason": "length" if row["truncated"] else "stop",
        "answer": None if row["pred"] in (None, "") else str(row["pred"]),
        "correct": float(row["score"] if acc is None else acc) >= RIGHT_FROM,
        "method": str(row.get("method") or "reward_function"),
    }


def unanswered(samples: int) -> list[dict[str, Any]]:
    """Return the samples of a problem whose prompt is too long. They have no response, and so they are wrong."""
    none = {"text": "", "tokens": 0, "answer": None, "correct": False}
    return [{**none, "finish_reason": TOO_LONG, "method": TOO_LONG}] * samples
