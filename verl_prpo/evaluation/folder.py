# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of an evaluation: one model, its settings, and a line per finished problem; a second call adds to it."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_prpo.evaluation import EvaluationError

SETTINGS = "evaluation.json"
SUMMARY = "summary.json"

Record = dict[str, Any]
"""A finished problem: index, question, ground_truth, data_source, level, subject, prompt_tokens and samples.
Each sample has text, tokens, finish_reason, answer, correct and method."""


@dataclass(frozen=True)
class EvaluationFolder:
    """An evaluation's folder: `evaluation.json`, `summary.json` and `NAME.jsonl` of each set."""

    path: Path

    @classmethod
    def open(cls, path: Path) -> "EvaluationFolder":
        """An evaluation that is to be read.

        Raises:
            EvaluationError: the folder is none.
        """
        if not (path / SETTINGS).is_file():
            raise EvaluationError(f"{path} has no {SETTINGS}; give a folder that `verl-prpo eval ... --out` wrote")
        return cls(path)

    def settings(self) -> dict[str, Any]:
        """Model, versions, and by set its settings and how many of its problems were asked for."""
        try:
            return json.loads((self.path / SETTINGS).read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise EvaluationError(f"{self.path / SETTINGS} is no JSON ({error}); evaluate into a new folder") from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second process from adding to the same folder.

        Raises:
            EvaluationError: one is at it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise EvaluationError(f"another process is evaluating into {self.path}") from error
            yield

    def admit(self, model: dict[str, Any], sets: dict[str, dict[str, Any]], versions: dict[str, str]) -> None:
        """Take note of what is going to be evaluated, or refuse to mix it with what is there.

        Args:
            model: its identity.
            sets: by name: settings, each of which must be that of the results in the folder, and `selected`, the number
                of problems, which may differ.
            versions: of packages, for the record.

        Raises:
            EvaluationError: names each difference.
        """
        known: dict[str, Any] = {"model": model, "sets": {}}
        if (self.path / SETTINGS).is_file():
            known = self.settings()
            differing = (
                [f"model: {_short(known['model'])} there, {_short(model)} now"] if known["model"] != model else []
            )
            for name, wanted in sets.items():
                there = known["sets"].get(name, wanted)
                differing += [
                    f"{name}, {key}: {there.get(key)} there, {wanted.get(key)} now"
                    for key in sorted({*there, *wanted} - {"selected"})
                    if there.get(key) != wanted.get(key)
                ]
            if differing:
                raise EvaluationError(
                    f"--out {self.path} holds results of other settings:\n  " + "\n  ".join(differing) + "\n"
                    "give another --out, or the same settings"
                )
        for name, wanted in sets.items():
            selected = max(wanted["selected"], known["sets"].get(name, wanted)["selected"])
            known["sets"][name] = {**wanted, "selected": selected}
        known["versions"] = versions
        _write(self.path / SETTINGS, known)

    def records(self, name: str, repair: bool = False) -> dict[int, Record]:
        """Finished problems of a set by index.

        Args:
            name: of the set.
            repair: remove a last line that was not written to its end; else it is only left out.

        Raises:
            EvaluationError: a damaged line in the middle.
        """
        file = self.path / f"{name}.jsonl"
        if not file.is_file():
            return {}
        content = file.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if repair and len(whole) < len(content):
            os.truncate(file, len(whole))
        found: dict[int, Record] = {}
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                record = json.loads(line)
                found.setdefault(record["index"], record)
            except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
                raise EvaluationError(
                    f"{file}, line {number}: no record of a problem ({type(error).__name__}: {error}); remove it, and "
                    "the problem is evaluated again"
                ) from error
        return found

    def append(self, name: str, record: Record) -> None:
        """Add a finished problem."""
        with (self.path / f"{name}.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")

    def write_summary(self, summary: dict[str, Any]) -> Path:
        """Write `summary.json`; returns its path."""
        _write(self.path / SUMMARY, summary)
        return self.path / SUMMARY


def _write(file: Path, content: dict[str, Any]) -> None:
    """Write all or nothing."""
    unfinished = file.with_name(file.name + ".unfinished")
    unfinished.write_text(json.dumps(content, ensure_ascii=False, indent=2, default=str) + "\n", encoding="utf-8")
    unfinished.replace(file)


def _short(model: dict[str, Any]) -> str:
    changed = max((stat[2] for stat in model.get("files", ())), default=None)
    return str(model.get("where")) + ("" if changed is None else f" (weights of {_time(changed)})")


def _time(nanoseconds: int) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(nanoseconds / 1e9).isoformat(sep=" ", timespec="seconds")
