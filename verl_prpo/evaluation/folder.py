# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of an evaluation: one model, its settings, and a line per problem of each finished set."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from verl_prpo.evaluation import EvaluationError

SETTINGS = "evaluation.json"
SUMMARY = "summary.json"

Record = dict[str, Any]
"""A finished problem, with index, question, ground_truth, data_source, level, subject, prompt_tokens and samples.
Each sample has text, tokens, finish_reason, answer, correct and method."""


@dataclass(frozen=True)
class EvaluationFolder:
    """An evaluation's folder: `evaluation.json`, `summary.json`, `NAME.jsonl` of each finished set, and `runs/`."""

    path: Path

    @classmethod
    def open(cls, path: Path) -> "EvaluationFolder":
        """Open an evaluation that is to be read.

        Raises:
            EvaluationError: the folder holds no evaluation.
        """
        if not (path / SETTINGS).is_file():
            raise EvaluationError(f"{path} has no {SETTINGS}. Give a folder that `verl-prpo eval ... --out` wrote")
        return cls(path)

    def settings(self) -> dict[str, Any]:
        """Return model, versions, and for each set its settings and how many of its problems were asked for."""
        try:
            return json.loads((self.path / SETTINGS).read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise EvaluationError(f"{self.path / SETTINGS} is no JSON ({error}). Evaluate into a new folder") from error

    def finished(self, name: str) -> bool:
        """Say whether a set has been evaluated."""
        return (self.path / f"{name}.jsonl").is_file()

    def refuse_others(self, model: dict[str, Any], sets: dict[str, dict[str, Any]]) -> None:
        """Refuse to mix an evaluation of other settings with the results that are there.

        Args:
            model: the model's identity.
            sets: the settings of each set by name.

        Raises:
            EvaluationError: the settings differ. The message names each difference.
        """
        there = self._finished_settings()
        before = there.get("model", model)
        differing = [f"model: {_short(before)} there, {_short(model)} now"] if before != model else []
        for name in sets.keys() & there.get("sets", {}).keys():
            old, new = flat(there["sets"][name]), flat(sets[name])
            differing += [
                f"{name}, {key}: {old.get(key)} there, {new.get(key)} now"
                for key in sorted({*old, *new})
                if old.get(key) != new.get(key)
            ]
        if differing:
            raise EvaluationError(
                f"--out {self.path} holds results of other settings:\n  " + "\n  ".join(differing) + "\n"
                "give another --out, or the same settings"
            )

    def note(self, model: dict[str, Any], sets: dict[str, dict[str, Any]], versions: dict[str, str]) -> None:
        """Write down what is going to be evaluated, beside what is finished."""
        known = self._finished_settings().get("sets", {})
        self._write(SETTINGS, _json({"model": model, "sets": {**known, **sets}, "versions": versions}))

    def _finished_settings(self) -> dict[str, Any]:
        """Return the settings of the results that are there, without sets that have none."""
        there = self.settings() if (self.path / SETTINGS).is_file() else {}
        sets = {name: settings for name, settings in there.get("sets", {}).items() if self.finished(name)}
        return {**there, "sets": sets} if sets else {}

    def records(self, name: str) -> dict[int, Record]:
        """Read the finished problems of a set by index.

        Raises:
            EvaluationError: a line is damaged.
        """
        file = self.path / f"{name}.jsonl"
        found: dict[int, Record] = {}
        for number, line in enumerate(file.read_bytes().splitlines() if file.is_file() else (), start=1):
            try:
                record = json.loads(line)
                found.setdefault(record["index"], record)
            except (ValueError, KeyError, TypeError) as error:
                raise EvaluationError(
                    f"{file}, line {number}: no record of a problem ({type(error).__name__}: {error}). Without "
                    "the file the set is evaluated again"
                ) from error
        return found

    def write_records(self, name: str, records: Sequence[Record]) -> None:
        """Write the problems of a set. The set is finished then."""
        self._write(f"{name}.jsonl", "".join(json.dumps(r, ensure_ascii=False, default=str) + "\n" for r in records))

    def write_summary(self, summary: dict[str, Any]) -> Path:
        """Write `summary.json` and return its path."""
        self._write(SUMMARY, _json(summary))
        return self.path / SUMMARY

    def _write(self, name: str, text: str) -> None:
        """Write all of a file or nothing of it."""
        unfinished = self.path / f"{name}.unfinished"
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(self.path / name)


def flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a set with those of its sampling among them."""
    return {**{key: value for key, value in settings.items() if key != "sampling"}, **settings.get("sampling", {})}


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2, default=str) + "\n"


def _short(model: dict[str, Any]) -> str:
    changed = max((stat[2] for stat in model.get("files", ())), default=None)
    when = "" if changed is None else datetime.fromtimestamp(changed / 1e9).isoformat(sep=" ", timespec="seconds")
    return f"{model.get('where')}{when and f' (weights of {when})'}"
