# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Reading training runs from what verl's own loggers write, whole, damaged and resumed."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from verl.utils.tracking import Tracking

from verl_prpo.viewer.compare.runs import LogError, RunLog, read_run

Rows = list[tuple[int, dict[str, Any]]]

ROWS: Rows = [
    (0, {"val-core/my data/acc/mean@1": np.float64(0.31875), "val-aux/num_turns/min": np.int64(2)}),
    (1, {"critic/score/mean": 0.25, "actor/lr": 3e-07, "rollout_corr/kl": -1.5e-08, "training/epoch": 0}),
    (2, {"critic/score/mean": 0.5, "val-core/my data/acc/mean@1": np.float64(0.35), "actor/entropy": float("nan")}),
]


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """A function that has verl log rows; gives the jsonl, the folder of events and the console's text."""

    def log(rows: Rows, name: str = "run") -> tuple[Path, Path, str]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        monkeypatch.setenv("VERL_FILE_LOGGER_PATH", str(folder / "metrics.jsonl"))
        monkeypatch.setenv("TENSORBOARD_DIR", str(folder / "tensorboard"))
        tracking = Tracking("project", "experiment", ["file", "tensorboard", "console"])
        for step, data in rows:
            tracking.log(data, step)
        tracking.finish()
        return folder / "metrics.jsonl", folder / "tensorboard", capsys.readouterr().out

    return log


def equal(a: RunLog, b: RunLog) -> bool:
    """Whether two logs hold the same numbers, to the 24 bits that tensorboard keeps."""
    return a.series.keys() == b.series.keys() and all(
        list(series) == list(b.series[name])
        and np.allclose(list(series.values()), list(b.series[name].values()), rtol=1e-6, atol=0, equal_nan=True)
        for name, series in a.series.items()
    )


def ray(text: str) -> str:
    """The console as Ray passes it on."""
    return "".join(f"\x1b[36m(TaskRunnerV1 pid=25040)\x1b[0m {line}\n" for line in text.splitlines())


class TestTheThreeKinds:
    def test_one_run_reads_the_same_from_each_of_them(self, logged: Any, tmp_path: Path) -> None:
        jsonl, events, console = logged(ROWS)
        (tmp_path / "train.log").write_text("INFO starting\n" + ray(console) + "INFO done\n")
        runs = [read_run(path) for path in (jsonl, events, tmp_path / "train.log")]
        assert [run.kind for run in runs] == ["file", "tensorboard", "console"]
        assert all(equal(runs[0], run) and not run.repeated and not run.damaged for run in runs)
        assert runs[0].series["val-core/my data/acc/mean@1"] == {0: 0.31875, 2: 0.35}
        assert math.isnan(runs[0].series["actor/entropy"][2])
        assert runs[0].steps == [0, 1, 2]

    def test_a_single_event_file_is_read_too(self, logged: Any) -> None:
        _, events, _ = logged(ROWS)
        (file,) = events.iterdir()
        assert equal(read_run(file), read_run(events))

    def test_of_a_run_s_folder_the_jsonl_is_taken_then_the_events_then_the_console(self, logged: Any) -> None:
        jsonl, events, console = logged(ROWS)
        folder = jsonl.parent
        (folder / "train.log").write_text(ray(console))
        (folder / "rollouts").mkdir()
        assert read_run(folder).path == jsonl
        jsonl.unlink()
        assert read_run(folder).path == events
        for file in events.iterdir():
            file.unlink()
        assert read_run(folder).path == folder / "train.log"


class TestDamage:
    def test_what_ray_and_progress_bars_put_around_a_line_is_no_part_of_it(self, logged: Any, tmp_path: Path) -> None:
        jsonl, _, console = logged(ROWS)
        remark = " [repeated 3x across cluster] (Ray deduplicates logs by default. Set RAY_DEDUP_LOGS=0: see docs)"
        lines = [line for line in console.splitlines() if line.startswith("step:")]
        text = "".join(f"(pid=1, ip=10.0.0.1) Progress:  10%|#| 1/9 [00:01<00:09] {line}{remark}\n" for line in lines)
        (tmp_path / "train.log").write_text(text)
        read = read_run(tmp_path / "train.log")
        assert equal(read, read_run(jsonl))
        assert read.damaged == 0

    def test_a_line_that_another_process_broke_loses_that_value_alone(self, tmp_path: Path) -> None:
        log = tmp_path / "train.log"
        log.write_text("step:1 - a:1.0 - b:np.float64(2.(WorkerDict pid=7) hello\nstep:2 - a:3.0 - b:4.0\n")
        read = read_run(log)
        assert read.series == {"a": {1: 1.0, 2: 3.0}, "b": {2: 4.0}}
        assert read.damaged == 1

    def test_the_last_number_of_a_line_without_an_end_may_lack_digits_and_is_left_out(self, tmp_path: Path) -> None:
        log = tmp_path / "train.log"
        log.write_text("step:1 - a:1.25 - b:7.5\nstep:2 - a:1.5 - b:7")
        read = read_run(log)
        assert read.series == {"a": {1: 1.25, 2: 1.5}, "b": {1: 7.5}}
        assert read.damaged == 1

    def test_a_jsonl_cut_off_or_broken_in_the_middle_keeps_its_other_rows(self, logged: Any) -> None:
        jsonl, _, _ = logged([(step, {"a": step}) for step in range(5)])
        lines = jsonl.read_text().splitlines(keepends=True)
        jsonl.write_text(lines[0] + lines[1][:9] + "\n" + "".join(lines[2:4]) + lines[4][:-4])
        read = read_run(jsonl)
        assert read.series == {"a": {0: 0.0, 2: 2.0, 3: 3.0}}
        assert read.damaged == 2

    def test_a_jsonl_without_its_beginning_keeps_its_other_rows(self, logged: Any) -> None:
        jsonl, _, _ = logged(ROWS)
        text = jsonl.read_text()
        jsonl.write_text(text[20:])
        run = read_run(jsonl)
        assert (run.kind, run.damaged) == ("file", 1)

    def test_a_number_beyond_every_float_is_none(self, tmp_path: Path) -> None:
        file = tmp_path / "metrics.jsonl"
        file.write_text('{"step": 1, "data": {"loss": 1' + "0" * 400 + ', "length": 3}}\n' + '{"a":' * 100_000 + "\n")
        run = read_run(file)
        assert math.isnan(run.series["loss"][1])
        assert run.series["length"] == {1: 3.0}
        assert run.damaged == 1

    def test_events_cut_off_keep_what_came_before(self, logged: Any) -> None:
        _, events, _ = logged([(step, {"a": step}) for step in range(5)])
        (file,) = events.iterdir()
        file.write_bytes(file.read_bytes()[:-7])
        assert read_run(events).series == {"a": {0: 0.0, 1: 1.0, 2: 2.0, 3: 3.0}}


BEFORE: Rows = [(step, {"a": step}) for step in range(1, 7)]
"""Up to step 6; the last checkpoint is that of step 3."""
AFTER: Rows = [(3, {"val-core/x/acc/mean@1": 0.5}), *((step, {"a": 10 * step}) for step in range(4, 6))]


class TestResumedRuns:
    def test_what_came_later_counts_and_the_abandoned_steps_are_dropped(self, logged: Any, tmp_path: Path) -> None:
        first, events, console = logged(BEFORE)
        text, rows = console, first.read_text()
        second, _, console = logged(AFTER)  # verl's file logger begins its file anew
        (tmp_path / "all.jsonl").write_text(rows + second.read_text())
        (tmp_path / "all.log").write_text(ray(text + console))
        for path in (tmp_path / "all.jsonl", events, tmp_path / "all.log"):
            read = read_run(path)
            assert read.series["a"] == {1: 1, 2: 2, 3: 3, 4: 40, 5: 50}, path
            assert read.series["val-core/x/acc/mean@1"] == {3: 0.5}
            assert read.repeated == {4, 5, 6}


class TestWhatIsNoLog:
    def test_a_missing_path(self, tmp_path: Path) -> None:
        with pytest.raises(LogError, match=r"there is no .*nowhere"):
            read_run(tmp_path / "nowhere")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "is empty"),
            ("INFO the run died at once\n", "no step.*the run died"),
            (json.dumps({"step": 1, "input": "2+2", "output": "4", "score": 1.0}) + "\n", "no step.*input"),
        ],
        ids=["empty", "console without steps", "rollouts"],
    )
    def test_a_text_without_steps_says_how_it_begins(self, tmp_path: Path, text: str, reason: str) -> None:
        file = tmp_path / "file"
        file.write_text(text)
        with pytest.raises(LogError, match=reason):
            read_run(file)

    def test_a_binary_file(self, tmp_path: Path) -> None:
        (tmp_path / "model.bin").write_bytes(bytes(range(256)))
        with pytest.raises(LogError, match="neither text nor an event file"):
            read_run(tmp_path / "model.bin")

    def test_a_folder_without_logs_and_one_with_two_of_a_kind(self, logged: Any) -> None:
        jsonl, _, _ = logged(ROWS)
        (jsonl.parent / "other.jsonl").write_text(jsonl.read_text())
        with pytest.raises(LogError, match=r"several logs of the file logger.*metrics.jsonl, other.jsonl"):
            read_run(jsonl.parent)
        empty = jsonl.parent / "empty"
        empty.mkdir()
        with pytest.raises(LogError, match="no log with steps in the folder"):
            read_run(empty)


class TestRunsOfWandbAlone:
    @pytest.mark.parametrize("given", ["", "wandb", "wandb/run-1-abc", "wandb/run-1-abc/run-abc.wandb"])
    def test_the_setting_to_add_is_named(self, tmp_path: Path, given: str) -> None:
        folder = tmp_path / "wandb" / "run-1-abc"
        folder.mkdir(parents=True)
        (folder / "run-abc.wandb").write_bytes(b":W&B\0")
        (tmp_path / "wandb" / "debug.log").write_text("starting")
        with pytest.raises(LogError, match=r"wandb.*not read here; trainer\.logger='\[console,file,wandb\]'"):
            read_run(tmp_path / given)

    def test_a_console_log_beside_it_is_read(self, logged: Any, tmp_path: Path) -> None:
        _, _, console = logged(ROWS, "other")
        (tmp_path / "run" / "wandb").mkdir(parents=True)
        (tmp_path / "run" / "train.log").write_text(console)
        assert read_run(tmp_path / "run").kind == "console"
