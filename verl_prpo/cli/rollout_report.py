# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo report`: rollouts with what each token was paid, as an HTML page or in the terminal."""

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from verl_prpo.console.choices import one_of
from verl_prpo.console.findings import say
from verl_prpo.settings.training_config import add_arguments
from verl_prpo.viewer.report.filters import FILTERS
from verl_prpo.viewer.report.summary import records_note

if TYPE_CHECKING:
    from verl_prpo.viewer.report.sample import Dump

SUMMARY = "show rollouts: segments, PRM scores and token advantages"

PAGE_LIMIT, TERMINAL_LIMIT = 200, 4
SCORED_LIMIT = 64
"""Most responses scored by a PRM of --prm, by default."""

CURVE_STEPS = 12
"""Most steps of a folder that the curves have points for, by default."""


def parser(prog: str) -> argparse.ArgumentParser:
    """Make the parser of the command's arguments."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Shows the responses of a rollout dump: what was cut where, what the PRM and the verifier said, "
        "and what each token is paid. Writes one HTML page that needs no network, or prints (--terminal). A dump of a "
        "GRPO run has no PRM's scores: --prm MODEL scores it and shows what PRPO would pay. Exit status: 0 done, 1 the "
        "PRM gives no scores, 2 arguments or a dump that cannot be used.",
    )
    made.add_argument("dump", type=Path, metavar="DIR", help="the folder of trainer.rollout_data_dir, or one .jsonl")
    made.add_argument(
        "overrides", nargs="*", metavar="OVERRIDE", help="with --prm: such as ++algorithm.prpo.prior_mean=0.6"
    )
    made.add_argument("--steps", "--step", type=int, nargs="+", metavar="STEP", help="steps to show (default the last)")
    made.add_argument(
        "--limit",
        type=int,
        help=f"most responses (default {PAGE_LIMIT} on a page, as whole groups, and {TERMINAL_LIMIT} in the terminal; "
        f"with --prm so many are scored, as whole groups, default {SCORED_LIMIT})",
    )
    made.add_argument(
        "--outcome-threshold",
        type=float,
        help="least verifier score of a right answer (default: the verdicts in the dump)",
    )
    made.add_argument("--seed", type=int, default=0, help="of the draw, where not all is shown (default 0)")
    page = made.add_argument_group("page")
    page.add_argument("-o", "--output", type=Path, help="the page, .html (default report.html next to the dump files)")
    page.add_argument("--max-mb", type=float, default=5.0, help="most megabytes; groups are left out (default 5)")
    page.add_argument(
        "--curve-steps",
        type=int,
        default=CURVE_STEPS,
        help=f"steps read for the curves (default {CURVE_STEPS}, 0 none)",
    )
    scored = made.add_argument_group("a dump without a PRM's scores, as of GRPO")
    scored.add_argument("--prm", help="score it with this process reward model (reward.prm.model_path)")
    scored.add_argument("--tokenizer", help="the policy's, to count and cut by its tokens (default: by words)")
    scored.add_argument(
        "--messages-from", type=Path, metavar="FILE", help="verl's data file with the chat messages of the prompts"
    )
    scored.add_argument("--device", help="cpu or cuda, for a PRM in process (default cuda where there is one)")
    add_arguments(made)
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
    from verl_prpo.viewer.report.sample import ReportError
    from verl_prpo.viewer.report.terminal_response import visible

    problem = _problem(arguments)
    if problem:
        say(problem)
        return 2
    try:
        if _scores(arguments):
            from verl_prpo.viewer.report.scoring import ScoringError, scored_dump

            try:
                dump = scored_dump(arguments, SCORED_LIMIT)
            except ScoringError as error:
                say(visible(str(error)))
                return 1
        else:
            dump = _recorded(arguments)
        return _print(arguments, dump) if arguments.terminal else _write(arguments, dump)
    except ReportError as error:
        say(visible(str(error)))
        return 2


def _scores(arguments: argparse.Namespace) -> bool:
    """Return whether a PRM is to score the dump."""
    return bool(arguments.prm or arguments.overrides or arguments.config_name)


def _recorded(arguments: argparse.Namespace) -> "Dump":
    """Read the dump of a run with PRPO. It is read twice, so that it need not fit into memory."""
    from verl_prpo.viewer.report.sample import Dump, curve_steps, pick, survey, wanted_steps

    source: Path = arguments.dump
    steps = wanted_steps(source, arguments.steps)
    curve = [] if arguments.terminal else curve_steps(source, arguments.curve_steps)
    found, points = survey(source, steps, arguments.outcome_threshold, curve)
    return Dump(found, points, lambda indexes: pick(source, steps, indexes))


def _problem(arguments: argparse.Namespace) -> str | None:
    if arguments.limit is not None and arguments.limit < 1:
        return f"--limit {arguments.limit} must be at least 1"
    if arguments.curve_steps < 0:
        return f"--curve-steps {arguments.curve_steps} must be at least 0"
    if not arguments.max_mb > 0:
        return f"--max-mb {arguments.max_mb:g} must be above 0"
    if not _scores(arguments):
        unused = [
            f"--{name.replace('_', '-')}"
            for name in ("tokenizer", "messages_from", "device")
            if getattr(arguments, name)
        ]
        if unused:
            needs = "needs" if len(unused) == 1 else "need"
            return f"{' and '.join(unused)} {needs} --prm MODEL, which scores the dump anew"
    if not arguments.terminal:
        used = [f"--{name}" for name in ("filter", "grpo", "plain") if getattr(arguments, name)]
        if used:
            return f"{' and '.join(used)} needs --terminal. The page has buttons for it"
        if arguments.output is not None and arguments.output.suffix.lower() not in (".html", ".htm"):
            return f"--output {arguments.output} must end in .html, so that it never takes the place of a dump"
    return None


def _write(arguments: argparse.Namespace, dump: "Dump") -> int:
    from verl_prpo.viewer.report.page import Heading, build_page
    from verl_prpo.viewer.report.sample import draw
    from verl_prpo.viewer.report.terminal_response import visible

    began = time.monotonic()
    source: Path = arguments.dump
    folder = source.parent if source.is_file() else source
    facts = dump.survey.facts
    drawn = draw(facts, arguments.limit or PAGE_LIMIT, arguments.seed)
    name = "/".join(folder.resolve().parts[-2:]).lstrip("/")
    heading = Heading(name, f"whole groups drawn at random (seed {arguments.seed})", dump.would)
    rollouts = dump.pick([fact.index for group in drawn for fact in group])
    page = build_page(heading, dump.survey, dump.points, drawn, rollouts, int(arguments.max_mb * 1e6))
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
        say(f"{visible(str(output))} cannot be written: {error.strerror}. Give another place with --output")
        return 2
    shown = f"{page.shown} responses" if page.shown == page.read else f"{page.shown} of {page.read} responses"
    size = f"{len(content) / 1e6:.2f} MB"
    size += f", of it {page.math_bytes / 1e6:.2f} MB to print formulas" if page.math_bytes else ""
    print(f"{visible(str(output))}  ({shown}, {size}, {time.monotonic() - began:.1f} s)")
    for note in (*dump.would, records_note(len(facts), dump.survey.skipped), dump.survey.trouble):
        if note:
            print(f"  {visible(note)}")
    return 0


def _print(arguments: argparse.Namespace, dump: "Dump") -> int:
    from verl_prpo.viewer.report.terminal import show

    limit = TERMINAL_LIMIT if arguments.limit is None else arguments.limit
    try:
        show(
            dump.survey,
            dump.pick,
            arguments.filter,
            limit,
            grpo=arguments.grpo,
            plain=arguments.plain,
            would=dump.would,
        )
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # a pager that was closed early, of which rich makes an exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered goes nowhere
    return 0
