# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of an evaluation: what is finished is kept, and never mixed with results of other settings."""

import json
from pathlib import Path
from typing import Any

import pytest

from verl_prpo.evaluation import EvaluationError
from verl_prpo.evaluation.folder import EvaluationFolder

MODEL = {"where": "/models/policy", "files": [["model.safetensors", 10, 1_700_000_000_000_000_000]]}
SETTINGS = {"digest": "abc", "sampling": {"samples": 1, "temperature": 0.0}, "scorer": "x", "selected": 4}
RECORD = {"index": 2, "question": "¿?", "samples": [{"text": "line\nline \u2028", "correct": True}]}


@pytest.fixture
def folder(tmp_path: Path) -> EvaluationFolder:
    """One that has finished a set."""
    made = EvaluationFolder(tmp_path)
    made.note(MODEL, {"math500": SETTINGS}, {"vllm": "1"})
    made.write_records("math500", [RECORD])
    return made


def test_records_come_back_as_they_were(folder: EvaluationFolder) -> None:
    assert folder.records("math500") == {2: RECORD} and folder.finished("math500")
    assert folder.records("gsm8k") == {} and not folder.finished("gsm8k")


@pytest.mark.parametrize("line", ["{]", '"text"', '{"samples": []}', "\udcff"])
def test_a_damaged_line_is_named(folder: EvaluationFolder, line: str) -> None:
    (folder.path / "math500.jsonl").write_text(line + "\n", encoding="utf-8", errors="surrogateescape")
    with pytest.raises(EvaluationError, match=r"math500.jsonl, line 1: no record"):
        folder.records("math500")


def test_the_same_settings_and_further_sets_are_taken(folder: EvaluationFolder) -> None:
    further = {"math500": SETTINGS, "gsm8k": {**SETTINGS, "digest": "def"}}
    folder.refuse_others(MODEL, further)
    folder.note(MODEL, further, {})
    assert folder.settings()["sets"] == further


def test_settings_of_a_set_without_results_may_change(folder: EvaluationFolder) -> None:
    (folder.path / "math500.jsonl").unlink()
    folder.refuse_others({"where": "/models/other"}, {"math500": {**SETTINGS, "digest": "def"}})


@pytest.mark.parametrize(
    ("model", "changed", "fault"),
    [
        ({**MODEL, "where": "/models/other"}, {}, "model: /models/policy .* there, /models/other"),
        ({**MODEL, "files": [["model.safetensors", 10, 1_700_000_009_000_000_000]]}, {}, "weights of"),
        (MODEL, {"digest": "def"}, "math500, digest: abc there, def now"),
        (MODEL, {"sampling": {"samples": 4, "temperature": 0.0}}, "math500, samples: 1 there, 4 now"),
        (MODEL, {"selected": 3}, "math500, selected: 4 there, 3 now"),
        (MODEL, {"overrides": ["a=1"]}, r"math500, overrides: None there, \['a=1'\] now"),
    ],
)
def test_any_difference_is_named_and_refused(
    folder: EvaluationFolder, model: dict[str, Any], changed: dict[str, Any], fault: str
) -> None:
    with pytest.raises(EvaluationError, match=fault):
        folder.refuse_others(model, {"math500": {**SETTINGS, **changed}})


def test_another_folder_is_no_evaluation(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"has no evaluation.json"):
        EvaluationFolder.open(tmp_path)


def test_settings_that_are_no_json_are_named(folder: EvaluationFolder) -> None:
    (folder.path / "evaluation.json").write_text("{")
    with pytest.raises(EvaluationError, match=r"evaluation.json is no JSON"):
        folder.settings()


def test_the_summary_is_written_whole(folder: EvaluationFolder) -> None:
    file = folder.write_summary({"sets": {"math500": 1}})
    assert json.loads(file.read_text()) == {"sets": {"math500": 1}}
    names = sorted(path.name for path in folder.path.iterdir())
    assert names == ["evaluation.json", "math500.jsonl", "summary.json"]
