# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo report`: rollouts with what each token was told, as an HTML page or in the terminal."""

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path

from verl_prpo.cli.choices import one_of
from verl_prpo.cli.report import say
from verl_prpo.viewer.report_facts import FILTERS, records_note

SUMMARY = "show rollouts: segments, PRM scores and token advantages"

PAGE_LIMIT, TERMINAL_LIMIT = 200, 4


def parser(prog: str) -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Shows the responses of a rollout dump: what was cut where, what the PRM and the verifier said, "
        "and what each token was told. Writes one HTML page that needs no network, or prints (--terminal). Exit "
        "status: 0 done, 2 arguments or a dump that cannot be read.",
    )
    made.add_argument("dump", type=Path, metavar="DIR", help="the folder of trainer.rollout_data_dir, or one .jsonl")
    made.add_argument("--steps", "--step", type=int, nargs="+", metavar="STEP", help="steps to show (default the last)")
    made.add_argument(
        "--limit",
        type=int,
        help=f"most responses (default {PAGE_LIMIT} on a page, as whole groups, and {TERMINAL_LIMIT} in the terminal)",
    )
    made.add_argument(
        "--outcome-threshold", type=float, default=0.5, help="least verifier score of a right answer (default 0.5)"
    )
    page = made.add_argument_group("page")
    page.add_argument("-o", "--output", type=Path, help="the page, .html (default report.html next to the dump files)")
    page.add_argument("--max-mb", type=float, default=5.0, help="most megabytes; groups are left out (default 5)")
    page.add_argument("--seed", type=int, default=0, help="of the draw, where not all is shown (default 0)")
    terminal = made.add_argument_group("terminal")
    terminal.add_argument("--terminal", action="store_true", help="print instead of writing a page")
    terminal.add_argument(
        "--filter",
        type=one_of("filter", [one.key for one in FILTERS]),
        metavar="FILTER",
        help=f"only such responses, the most telling first: {', '.join(one.key for one in FILTERS)}",
    )
    terminal.add_argument("--grpo", action="store_true", help="colour tokens by GRPO's advantage")
    terminal.add_argument("--plain", action="store_true", help="no colour, also in a terminal")
    return made


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from verl_prpo.viewer.report_sample import ReportError
    from verl_prpo.viewer.terminal_response import visible

    problem = _problem(arguments)
    if problem:
        say(problem)
        return 2
    try:
        return _print(arguments) if arguments.terminal else _write(arguments)
    except ReportError as error:
        say(visible(str(error)))
        return 2


def _problem(arguments: argparse.Namespace) -> str | None:
    if arguments.limit is not None and arguments.limit < 1:
        return f"--limit {arguments.limit} must be at least 1"
    if not arguments.max_mb > 0:
        return f"--max-mb {arguments.max_mb:g} must be above 0"
    if not arguments.terminal:
        used = [f"--{name}" for name in ("filter", "grpo", "plain") if getattr(arguments, name)]
        if used:
            return f"{' and '.join(used)} needs --terminal; the page has buttons for it"
        if arguments.output is not None and arguments.output.suffix.lower() not in (".html", ".htm"):
            return f"--output {arguments.output} must end in .html, so that it never takes the place of a dump"
    return None


def _write(arguments: argparse.Namespace) -> int:
    from verl_prpo.viewer.report_page import build_page
    from verl_prpo.viewer.report_sample import draw, pick, survey, wanted_steps
    from verl_prpo.viewer.terminal_response import visible

    began = time.monotonic()
    source: Path = arguments.dump
    steps = wanted_steps(source, arguments.steps)
    folder = source.parent if source.is_file() else source
    facts, skipped = survey(source, steps, arguments.outcome_threshold)
    drawn = draw(facts, arguments.limit or PAGE_LIMIT, arguments.seed)
    rollouts = pick(source, steps, [fact.index for group in drawn for fact in group])
    name = "/".join(folder.resolve().parts[-2:]).lstrip("/")
    how = f"whole groups drawn at random (seed {arguments.seed})"
    page = build_page(name, facts, drawn, rollouts, int(arguments.max_mb * 1e6), how, skipped)
    output: Path = arguments.output or folder / "report.html"
    content = page.html.encode()
    partial = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(output)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        say(f"{visible(str(output))} cannot be written: {error.strerror}; give another place with --output")
        return 2
    shown = f"{page.shown} responses" if page.shown == page.read else f"{page.shown} of {page.read} responses"
    print(f"{visible(str(output))}  ({shown}, {len(content) / 1e6:.2f} MB, {time.monotonic() - began:.1f} s)")
    if skipped:
        print(f"  {records_note(len(facts), skipped)}")
    return 0


def _print(arguments: argparse.Namespace) -> int:
    from verl_prpo.viewer.report_sample import pick, survey, wanted_steps
    from verl_prpo.viewer.terminal import show

    steps = wanted_steps(arguments.dump, arguments.steps)
    facts, skipped = survey(arguments.dump, steps, arguments.outcome_threshold)
    try:
        show(
            facts,
            lambda indexes: pick(arguments.dump, steps, indexes),
            arguments.filter,
            arguments.limit or TERMINAL_LIMIT,
            grpo=arguments.grpo,
            plain=arguments.plain,
            skipped=skipped,
        )
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # a pager that was closed early, of which rich makes an exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered goes nowhere
    return 0
