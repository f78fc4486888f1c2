# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo report --terminal`: what it prints, and where it prints no colour."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from report_dumps import PAYLOAD, empty, rollout, varied, with_turns, write

from verl_prpo.cli.main import main
from verl_prpo.viewer.report.terminal_response import visible

COMMAND = [sys.executable, "-m", "verl_prpo.cli.main", "report"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "rollouts", varied())


def in_terminal(command: list[str], **environment: str) -> str:
    """What a command prints in a terminal of 120 columns with colours."""
    controller, terminal = pty.openpty()
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    env = {**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": "120", **environment}
    process = subprocess.Popen(command, stdout=terminal, stderr=subprocess.STDOUT, stdin=terminal, env=env)
    os.close(terminal)
    printed = b""
    limit = time.monotonic() + 300
    while time.monotonic() < limit:
        if not select.select([controller], [], [], 1)[0]:
            continue
        try:
            piece = os.read(controller, 65536)
        except OSError:  # the command has ended
            break
        if not piece:
            break
        printed += piece
    os.close(controller)
    assert process.wait(60) == 0, printed
    return printed.decode()


class TestPiped:
    def test_groups_come_before_responses_and_have_no_escape_codes(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["report", str(folder), "--terminal", "--limit", "6"]) == 0
        out = capsys.readouterr().out
        assert "\x1b" not in out
        assert out.index("6 responses in 3 groups") < out.index("✓ 0.80") < out.index("✓ right  step 1, group 1")
        assert "! the PRM ranks right above wrong in 33% of the pairs (50% is chance)" in out
        assert "! 1 of 4 wrong responses the PRM liked; most: 1.2 (z +1.50); --filter liked-wrong shows them" in out
        assert out.count("step 1, group ") == 6

    def test_a_segment_has_its_numbers_and_its_text(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["report", str(folder), "--terminal", "--filter", "liked-wrong"]) == 0
        out = capsys.readouterr().out
        # scores 0.95 and 0.8 under the prior (0.5, 0.25), beta -1
        assert (
            "[1] PRM 0.950  z +1.80  β -1.00  A +0.80  tokens 1 to 6  ⇄ flipped  <- liked most, in a wrong answer"
            in out
        )
        assert "✗ wrong, but the PRM liked it  step 1, group 1, response 2" in out
        assert "[2] PRM 0.800  z +1.20  β -1.00  A +0.20  tokens 7 to 12  ⇄ flipped" in out
        assert "    Two and two is five, and\n" in out
        assert "Wrong, PRM liked: 1 of 6 responses" in out

    def test_turns_are_told_apart_and_a_tools_words_stand_under_its_name(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = write(tmp_path / "turns", [with_turns(), rollout(uid="turns", right=False)])
        assert main(["report", str(folder), "--terminal"]) == 0
        out = capsys.readouterr().out
        assert (
            "12 tokens, 3 turns" in " ".join(out.split())
            and "turn 1  tokens 1 to 5" in out
            and "turns 2 to 3  tokens 6 to 12" in out
        )
        assert "    I ask 7+5\n    tool > 12\n" in out
        assert "    tool > <b>x</b>\n    user > go on\n" in out
        assert len(re.findall(r"\bturns? \d", out)) == 2  # the other response says nothing of turns

    def test_grpo_instead(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["report", str(folder), "--terminal", "--grpo", "--limit", "1"]) == 0
        assert "[1] PRM 0.900  GRPO's A +0.90" in capsys.readouterr().out

    def test_a_failure_says_why(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["report", str(folder), "--terminal", "--filter", "failures"]) == 0
        assert "! no scores: timeout no answer within 30 s" in capsys.readouterr().out

    def test_a_filter_that_finds_nothing_says_so(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder = write(tmp_path, [rollout()])
        assert main(["report", str(folder), "--terminal", "--filter", "failures"]) == 0
        assert "No response is like that." in capsys.readouterr().out

    def test_an_unknown_verdict_is_told_and_is_not_wrong(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = write(tmp_path, [rollout(verifier_score=score) for score in (0.1, 0.5, 0.9)])
        assert main(["report", str(folder), "--terminal"]) == 0
        out = capsys.readouterr().out
        assert "none right, 3 of unknown verdict" in out and "? unknown  step 1" in out and "✗" not in out
        assert "! which responses are right is unknown: the reward has three values or more" in out

    def test_a_response_without_tokens(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder = write(tmp_path, [empty()])
        assert main(["report", str(folder), "--terminal"]) == 0
        assert "PRM mean none" in capsys.readouterr().out

    def test_text_is_never_read_as_markup(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder = write(tmp_path, [rollout("[bold]One[/bold] :smile: [/]", ground_truth="[red]4", uid="[u]")])
        assert main(["report", str(folder), "--terminal"]) == 0
        out = capsys.readouterr().out
        for text in ("[bold]One[/bold]", ":smile:", "[/]", "expected [red]4", "What is [u]?"):
            assert text in out

    def test_a_pager_may_close_early(self, folder: Path) -> None:
        command = [*COMMAND, str(folder), "--terminal", "--limit", "6"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(300) == 0

    def test_an_encoding_without_such_characters_is_no_error(self, folder: Path) -> None:
        env = {**os.environ, "PYTHONIOENCODING": "ascii"}
        printed = subprocess.run([*COMMAND, str(folder), "--terminal"], env=env, capture_output=True, timeout=300)
        assert printed.returncode == 0, printed.stderr
        assert b"PRM 0.900" in printed.stdout


class TestInATerminal:
    def test_tokens_have_colours_and_what_is_pushed_down_is_underlined(self, folder: Path) -> None:
        printed = in_terminal([*COMMAND, str(folder), "--terminal", "--limit", "6"])
        assert re.search(r"\x1b\[38;2;11;28;46;48;2;[\d;]+mTwo and two is four", printed)
        assert re.search(r"\x1b\[4;38;2;43;13;0;48;2;[\d;]+mThree by three is", printed)

    def test_plain_has_none(self, folder: Path) -> None:
        assert "\x1b[" not in in_terminal([*COMMAND, str(folder), "--terminal", "--plain"])

    def test_no_color_leaves_underlines(self, folder: Path) -> None:
        printed = in_terminal([*COMMAND, str(folder), "--terminal", "--limit", "6"], NO_COLOR="1")
        assert "48;2;" not in printed
        assert "\x1b[4m" in printed

    def test_a_model_cannot_steer_the_terminal(self, folder: Path) -> None:
        printed = in_terminal([*COMMAND, str(folder), "--terminal", "--limit", "6"])
        assert "<U+001B>[31mred<U+0000>" in printed
        assert "\x1b[31m" not in printed
        assert not re.search("[\u202e\u2028\x00]", printed)

    def test_nor_can_a_record(self, tmp_path: Path) -> None:
        bad = "\x1b[31m\x9b2J"
        folder = write(tmp_path, [rollout(scores=(None,), failure=bad, failure_detail=bad, ground_truth=bad * 100)])
        printed = in_terminal([*COMMAND, str(folder), "--terminal"])
        assert "no scores: <U+001B>[31m<U+009B>2J" in printed
        assert "\x1b[31m" not in printed
        assert "\x9b" not in printed
        assert printed.count("<U+009B>2J") < 30


def test_only_what_acts_is_named() -> None:
    assert visible("a\tb\nc é 数学 🎉") == "a    b\nc é 数学 🎉"
    assert visible(PAYLOAD).encode()


def test_windows_and_hidden_thoughts_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read = {"overlong": True, "windows": 2, "seen_from": [0, 0, 2, None]}
    rollouts = [
        rollout("one two three four five six seven eight", (0.9, 0.4, 0.5, None), **read),
        rollout("one two three four", (None, 0.4), hidden=(0,)),
    ]
    assert main(["report", str(write(tmp_path / "rollouts", rollouts)), "--terminal", "--limit", "6"]) == 0
    out = capsys.readouterr().out
    assert "! longer than the PRM's context: it read the response in 2 windows; its scores had seen 50% of what" in out
    assert out.count("it did not read all segments") == 1  # the last one of the first response
    assert "! one of the segments is a thought hidden from the PRM: outcome alone" in out
    assert "mean z -0.40" in out  # of the judged tokens, not of the thought's
