# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The command line as a new user meets it: help, names that are none, folders, progress."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from verl_prpo.cli.main import COMMANDS, main
from verl_prpo.console.choices import nearest
from verl_prpo.console.folders import FolderError, writable_folder
from verl_prpo.console.progress import progress
from verl_prpo.data import prepare


class TestHelp:
    @pytest.mark.parametrize("words", [[], ["help"]])
    def test_without_a_command_all_are_listed(self, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(words) == 0
        printed = capsys.readouterr()
        assert all(f"  {name} " in printed.out for name in COMMANDS) and printed.err == ""

    @pytest.mark.parametrize("name", COMMANDS)
    def test_help_on_a_command_is_its_help(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["help", name]) == 0
        asked = capsys.readouterr().out
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        assert capsys.readouterr().out == asked and f"usage: verl-prpo {name}" in asked

    def test_the_package_is_the_command(self) -> None:
        ended = subprocess.run([sys.executable, "-m", "verl_prpo"], capture_output=True, text=True, timeout=120)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout.startswith("usage: verl-prpo [-h]") and "calibrate" in ended.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["docter"], "no command 'docter'; did you mean doctor?"),
        (["calibrat"], "no command 'calibrat'; did you mean calibrate?"),
        (["xyzzy"], "no command 'xyzzy' (one of data, eval, doctor,"),
        (["help", "docter"], "no command 'docter'; did you mean doctor?"),
        (["data", "maths", "--out", "x"], "no problem set 'maths'; did you mean math or math500?"),
        (["data", "math", "--out", "x", "--template", "papr"], "no template 'papr'; did you mean paper"),
        (["report", "x", "--terminal", "--filter", "liked"], "no filter 'liked'; did you mean liked-wrong"),
        (["calibrate", "x", "--delimeter", "y"], "unrecognized arguments: --delimeter y; did you mean --delimiter"),
    ],
)
def test_a_name_that_is_none_gets_the_nearest(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_that_is_none_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "grpo_laptp"]) == 2
    assert "; did you mean grpo_laptop" in capsys.readouterr().err


def test_where_nothing_is_near_all_names_are_given() -> None:
    assert nearest("zzz", ["one", "two"]) == " (one of one, two)"


class TestFolders:
    def test_data_looks_at_its_folder_before_the_hub(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def asked(splits: Any) -> Any:
            raise AssertionError("the hub was asked")

        monkeypatch.setattr(prepare, "read_hub", asked)
        (tmp_path / "file").write_text("")
        places = [tmp_path / "file" / "x", *([Path("/proc/x")] if Path("/proc").is_dir() else [])]
        for place in places:
            assert main(["data", "math", "--out", str(place)]) == 2
            assert f"{place} cannot be written" in capsys.readouterr().err

    def test_a_folder_that_stays_empty_is_taken_away(self, tmp_path: Path) -> None:
        with writable_folder(tmp_path / "a" / "b"):
            assert (tmp_path / "a" / "b").is_dir()
        assert list(tmp_path.iterdir()) == []
        with writable_folder(tmp_path / "a" / "b"):
            (tmp_path / "a" / "b" / "file").write_text("")
        with writable_folder(tmp_path / "a" / "b"):
            pass
        assert (tmp_path / "a" / "b" / "file").exists()

    def test_what_was_made_on_the_way_to_a_fault_is_taken_away(self, tmp_path: Path) -> None:
        with pytest.raises(FolderError, match="cannot be written"), writable_folder(tmp_path / "a" / ("b" * 300)):
            pass
        assert list(tmp_path.iterdir()) == []


class TestProgress:
    @pytest.mark.parametrize("terminal", [True, False])
    def test_a_bar_is_for_terminals_alone(self, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda: terminal)
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(os, "environ", {**os.environ, "TERM": "xterm", "COLUMNS": "100"})
        with progress(4, "scoring", "responses") as bar:
            bar.advance(3, note="so far")
            assert bar.done == 3
        written = stream.getvalue()
        assert (written == "") is not terminal
        if terminal:
            assert "scoring" in written and "3/4" in written and "so far" in written


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m verl_prpo recipe prpo_laptop | true"
    ended = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "")
