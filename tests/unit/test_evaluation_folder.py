# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of an evaluation: what is finished is kept, and never mixed with results of other settings."""

import json
from pathlib import Path
from typing import Any

import pytest

from verl_prpo.evaluation import EvaluationError
from verl_prpo.evaluation.folder import EvaluationFolder

MODEL = {"where": "/models/policy", "files": [["model.safetensors", 10, 1_700_000_000_000_000_000]], "revision": None}
SETTINGS = {"digest": "abc", "sampling": {"samples": 1, "temperature": 0.0}, "scorer": "x", "selected": 4}


@pytest.fixture
def folder(tmp_path: Path) -> EvaluationFolder:
    made = EvaluationFolder(tmp_path / "out")
    with made.locked():
        made.admit(MODEL, {"math500": SETTINGS}, {"vllm": "1"})
    return made


def record(index: int) -> dict[str, Any]:
    return {"index": index, "question": "¿?", "samples": [{"text": "line\nline \u2028", "correct": True}]}


class TestRecords:
    def test_come_back_as_they_were(self, folder: EvaluationFolder) -> None:
        for index in (2, 0):
            folder.append("math500", record(index))
        assert folder.records("math500") == {2: record(2), 0: record(0)}
        assert folder.records("gsm8k") == {}

    def test_a_line_that_was_not_finished_is_removed_and_the_next_one_is_whole(self, folder: EvaluationFolder) -> None:
        folder.append("math500", record(0))
        file = folder.path / "math500.jsonl"
        whole = file.read_bytes()
        file.write_bytes(whole + b'{"index": 1, "samp')
        assert folder.records("math500") == {0: record(0)}
        assert file.read_bytes() != whole  # who only reads changes nothing
        assert folder.records("math500", repair=True) == {0: record(0)}
        assert file.read_bytes() == whole
        folder.append("math500", record(1))
        assert list(folder.records("math500")) == [0, 1]

    @pytest.mark.parametrize("line", ["{]", '"text"', '{"samples": []}', "\udcff"])
    def test_a_damaged_line_is_named(self, folder: EvaluationFolder, line: str) -> None:
        (folder.path / "math500.jsonl").write_text(line + "\n", encoding="utf-8", errors="surrogateescape")
        with pytest.raises(EvaluationError, match=r"math500.jsonl, line 1: no record"):
            folder.records("math500")


class TestSettings:
    def test_the_same_settings_are_admitted_again_and_more_problems_and_sets_too(
        self, folder: EvaluationFolder
    ) -> None:
        folder.admit(MODEL, {"math500": {**SETTINGS, "selected": 9}}, {})
        folder.admit(MODEL, {"gsm8k": {**SETTINGS, "digest": "def"}}, {})
        folder.admit(MODEL, {"math500": {**SETTINGS, "selected": 2}}, {})
        sets = folder.settings()["sets"]
        assert {name: of_set["selected"] for name, of_set in sets.items()} == {"math500": 9, "gsm8k": 4}

    @pytest.mark.parametrize(
        ("model", "changed", "fault"),
        [
            ({**MODEL, "where": "/models/other"}, {}, "model: /models/policy .* there, /models/other"),
            ({**MODEL, "files": [["model.safetensors", 10, 1_700_000_009_000_000_000]]}, {}, "weights of"),
            (MODEL, {"digest": "def"}, "math500, digest: abc there, def now"),
            (MODEL, {"sampling": {"samples": 4}}, "math500, sampling"),
            (MODEL, {"dtype": "float32"}, "math500, dtype: None there, float32 now"),
        ],
    )
    def test_any_difference_is_named_and_refused(
        self, folder: EvaluationFolder, model: dict[str, Any], changed: dict[str, Any], fault: str
    ) -> None:
        before = folder.settings()
        with pytest.raises(EvaluationError, match=fault):
            folder.admit(model, {"math500": {**SETTINGS, **changed}}, {})
        assert folder.settings() == before

    def test_two_processes_cannot_add_to_one_folder(self, folder: EvaluationFolder) -> None:
        with folder.locked(), pytest.raises(EvaluationError, match="another process"), folder.locked():
            pass
        with folder.locked():
            pass

    def test_another_folder_is_no_evaluation(self, tmp_path: Path) -> None:
        with pytest.raises(EvaluationError, match=r"has no evaluation.json"):
            EvaluationFolder.open(tmp_path)

    def test_settings_that_are_no_json_are_named(self, folder: EvaluationFolder) -> None:
        (folder.path / "evaluation.json").write_text("{")
        with pytest.raises(EvaluationError, match=r"evaluation.json is no JSON"):
            folder.settings()

    def test_the_summary_is_written_whole(self, folder: EvaluationFolder) -> None:
        file = folder.write_summary({"sets": {"math500": 1}})
        assert json.loads(file.read_text()) == {"sets": {"math500": 1}}
        assert sorted(path.name for path in folder.path.iterdir()) == [".lock", "evaluation.json", "summary.json"]
