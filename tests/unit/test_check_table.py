# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The table of checks as it grows."""

import functools
import io

from rich.console import Console

from verl_prpo.console.check_table import CheckTable
from verl_prpo.console.findings import Finding, Report, State


def _console(terminal: bool = False) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=80, force_terminal=terminal, highlight=False), out


def test_a_row_appears_as_its_check_ends() -> None:
    console, out = _console()
    report = Report(CheckTable(console))
    report.run("first", lambda: Finding("found one"))
    seen: list[str] = []

    def second() -> Finding:
        seen.append(out.getvalue())
        return Finding("found two", State.WARNING, "do this")

    report.run("second", second)

    assert "found one" in seen[0] and "second" not in seen[0]
    last = out.getvalue().splitlines()[-2:]
    assert last[0].split() == ["second", "warning", "found", "two"]
    assert last[1].split() == ["->", "do", "this"]


def test_what_is_being_checked_is_shown_on_a_terminal_alone() -> None:
    for terminal in (True, False):
        console, out = _console(terminal)
        report = Report(CheckTable(console))
        look = functools.partial(lambda out: Finding(str("checking: the slow one" in out.getvalue())), out)
        report.run("the slow one", look)
        assert report.checks[0].found == str(terminal)


def test_lines_to_paste_are_whole_however_narrow_the_terminal() -> None:
    console, out = _console()
    line = "   actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=30_and_much_more_than_fits \\"
    Report(CheckTable(console)).run("GPUs", lambda: Finding(f"add these:\n{line}"))
    assert line.strip() in out.getvalue()


def test_the_verdict_is_the_last_line() -> None:
    console, out = _console()
    table = CheckTable(console)
    report = Report(table)
    report.skip("one", "no need")
    table.close(report)
    assert out.getvalue().splitlines()[-1] == "nothing found that would fail (1 skipped)"
