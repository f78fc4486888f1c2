# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Reading training runs from what verl's `file` logger writes, whole, damaged and resumed."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from verl.utils.tracking import Tracking

from verl_prpo.viewer.compare.runs import LogError, read_run

Rows = list[tuple[int, dict[str, Any]]]

ROWS: Rows = [
    (0, {"val-core/my data/acc/mean@1": np.float64(0.31875), "val-aux/num_turns/min": np.int64(2)}),
    (1, {"critic/score/mean": 0.25, "actor/lr": 3e-07, "rollout_corr/kl": -1.5e-08, "training/epoch": 0}),
    (2, {"critic/score/mean": 0.5, "val-core/my data/acc/mean@1": np.float64(0.35), "actor/entropy": float("nan")}),
]


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that has verl log rows to a file; gives the file."""

    def log(rows: Rows, name: str = "run") -> Path:
        file = tmp_path / name / "metrics.jsonl"
        file.parent.mkdir(exist_ok=True)
        monkeypatch.setenv("VERL_FILE_LOGGER_PATH", str(file))
        tracking = Tracking("project", "experiment", ["file"])
        for step, data in rows:
            tracking.log(data, step)
        tracking.finish()
        return file

    return log


class TestWhatVerlLogs:
    def test_every_number_is_read_and_no_number_is_nan(self, logged: Any) -> None:
        run = read_run(logged(ROWS))
        assert run.series["val-core/my data/acc/mean@1"] == {0: 0.31875, 2: 0.35}
        assert run.series["rollout_corr/kl"] == {1: -1.5e-08}
        assert math.isnan(run.series["actor/entropy"][2])
        assert (run.steps, run.repeated, run.damaged) == ([0, 1, 2], set(), 0)

    def test_a_folder_stands_for_its_one_log_beside_other_files(self, logged: Any) -> None:
        file = logged(ROWS)
        (file.parent / "train.log").write_text("step:1 - a:1.0\n")
        (file.parent / "rollouts.jsonl").write_text(json.dumps({"step": 1, "input": "2+2", "score": 1.0}) + "\n")
        assert read_run(file.parent) == read_run(file)

    def test_the_places_that_the_message_names_are_where_verl_writes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("VERL_FILE_LOGGER_PATH", raising=False)
        monkeypatch.delenv("VERL_FILE_LOGGER_ROOT", raising=False)
        for name, value in ((None, ""), ("ROOT", tmp_path / "root"), ("PATH", tmp_path / "own.jsonl")):
            if name:
                monkeypatch.setenv(f"VERL_FILE_LOGGER_{name}", str(value))
            tracking = Tracking("project", "experiment", ["file"])
            tracking.log({"a": 1.0}, step=1)
            tracking.finish()
        files = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.jsonl")}
        assert files == {"project/experiment.jsonl", "root/project/experiment.jsonl", "own.jsonl"}


class TestDamage:
    def test_a_jsonl_cut_off_or_broken_in_the_middle_keeps_its_other_rows(self, logged: Any) -> None:
        jsonl = logged([(step, {"a": step}) for step in range(5)])
        lines = jsonl.read_text().splitlines(keepends=True)
        jsonl.write_text(lines[0] + lines[1][:9] + "\n" + "".join(lines[2:4]) + lines[4][:-4])
        read = read_run(jsonl)
        assert read.series == {"a": {0: 0.0, 2: 2.0, 3: 3.0}}
        assert read.damaged == 2

    def test_a_jsonl_without_its_beginning_keeps_its_other_rows(self, logged: Any) -> None:
        jsonl = logged(ROWS)
        text = jsonl.read_text()
        jsonl.write_text(text[20:])
        run = read_run(jsonl)
        assert (run.steps, run.damaged) == ([1, 2], 1)

    def test_a_number_beyond_every_float_is_none(self, tmp_path: Path) -> None:
        file = tmp_path / "metrics.jsonl"
        file.write_text('{"step": 1, "data": {"loss": 1' + "0" * 400 + ', "length": 3}}\n' + '{"a":' * 100_000 + "\n")
        run = read_run(file)
        assert math.isnan(run.series["loss"][1])
        assert run.series["length"] == {1: 3.0}
        assert run.damaged == 1


BEFORE: Rows = [(step, {"a": step}) for step in range(1, 7)]
"""Up to step 6; the last checkpoint is that of step 3."""
AFTER: Rows = [(3, {"val-core/x/acc/mean@1": 0.5}), *((step, {"a": 10 * step}) for step in range(4, 6))]


class TestResumedRuns:
    def test_what_came_later_counts_and_the_abandoned_steps_are_dropped(self, logged: Any, tmp_path: Path) -> None:
        first = logged(BEFORE).read_text()
        (tmp_path / "all.jsonl").write_text(first + logged(AFTER).read_text())  # verl begins its file anew
        read = read_run(tmp_path / "all.jsonl")
        assert read.series["a"] == {1: 1, 2: 2, 3: 3, 4: 40, 5: 50}
        assert read.series["val-core/x/acc/mean@1"] == {3: 0.5}
        assert read.repeated == {4, 5, 6}


class TestWhatIsNoLog:
    def test_a_missing_path(self, tmp_path: Path) -> None:
        with pytest.raises(LogError, match=r"there is no .*nowhere"):
            read_run(tmp_path / "nowhere")

    @pytest.mark.parametrize(
        ("name", "content", "reason"),
        [
            ("run.jsonl", b"", "is empty"),
            ("run.txt", b"INFO the run died at once\n", "no step.*begins with 'INFO the run died"),
            ("1.jsonl", b'{"step": 1, "input": "2+2", "output": "4", "score": 1.0}\n', "no step.*input"),
            ("model.bin", bytes(range(256)), "is a binary file"),
            (
                "train.log",
                b"\x1b[36m(pid=7)\x1b[0m step:1 - critic/score/mean:0.5\n",
                "the console's output",
            ),
            ("run-abc.wandb", b":W&B\0", "wandb's own file"),
        ],
    )
    def test_a_file_is_named_for_what_it_is_with_the_setting_that_gives_a_log(
        self, tmp_path: Path, name: str, content: bytes, reason: str
    ) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LogError, match=rf"{reason}.*trainer\.logger=\[console,file\].*VERL_FILE_LOGGER_PATH"):
            read_run(tmp_path / name)

    def test_so_are_event_files_of_tensorboard(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TENSORBOARD_DIR", str(tmp_path / "run" / "tensorboard"))
        tracking = Tracking("project", "experiment", ["tensorboard"])
        tracking.log({"a": 1.0}, step=1)
        tracking.finish()
        (file,) = (tmp_path / "run" / "tensorboard").iterdir()
        for path in (file, file.parent, tmp_path / "run"):
            with pytest.raises(LogError, match=r"event files? of tensorboard.*trainer\.logger=\[console,file\]"):
                read_run(path)

    @pytest.mark.parametrize("given", ["", "wandb", "wandb/run-1-abc"])
    def test_so_are_folders_of_wandb(self, tmp_path: Path, given: str) -> None:
        folder = tmp_path / "wandb" / "run-1-abc"
        folder.mkdir(parents=True)
        (folder / "run-abc.wandb").write_bytes(b":W&B\0")
        (tmp_path / "wandb" / "debug.log").write_text("starting")
        with pytest.raises(LogError, match=r"the log of wandb alone.*trainer\.logger=\[console,file\]"):
            read_run(tmp_path / given)

    def test_a_folder_without_logs_and_one_of_several_runs(self, logged: Any) -> None:
        jsonl = logged(ROWS)
        (jsonl.parent / "other.jsonl").write_text(jsonl.read_text())
        with pytest.raises(LogError, match=r"logs of several runs. Name one of them: metrics.jsonl, other.jsonl"):
            read_run(jsonl.parent)
        empty = jsonl.parent / "empty"
        empty.mkdir()
        with pytest.raises(LogError, match="no log with steps"):
            read_run(empty)
