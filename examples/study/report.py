# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Text, tables and figures from finished runs; nothing is measured here.

    python -m study.report docs/evidence/runs.jsonl docs      # draw the report of the runs that are published

A report is `evidence.md` and a folder `evidence` beside it: `appendix.md`, the figures, `runs.jsonl` with every run
step by step, `tuning.jsonl` with the accuracies of those that chose the learning rates, `assets.json` with what is
known of policies and PRMs, and `full_stack.md` where the runs with verl and vLLM were made.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from study.assets import LEARNED, facts_of
from study.evidence import LOOK, PAGES, Evidence
from study.plan import Plan
from study.probing import probe_of
from study.runs import DIGITS, Result, RunError, read_all, write_all
from study.sections import Facts
from study.statistics import best_rates, rate_scores
from study.tasks import TASKS

DATA = ("runs.jsonl", "tuning.jsonl", "assets.json", "full_stack.md")
"""Of a report; the last one where it was made."""
DRAWN = ("differences_*.png", "curves_*.png", "scores_*.png", "recall.png", "appendix.md")
"""Of a report, too. What else the folder holds belongs to others."""


class ReportError(Exception):
    """A report that cannot be drawn or would destroy another; the message says what to do."""


def write_report(
    reported: Sequence[Result], tuning: Sequence[Result], facts: Facts, full_stack: str, out: Path
) -> None:
    """Write a report into a folder.

    Args:
        reported: runs to report.
        tuning: runs that chose the learning rates.
        facts: of the starting policies and learned PRMs.
        full_stack: markdown of the runs with verl and vLLM, or nothing.
        out: made if need be; a report of as many runs or fewer is replaced.

    Raises:
        ReportError: there are no runs, or `out` holds a report of more.
    """
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_all(reported, folder / "runs.jsonl")
        write_all(tuning, folder / "tuning.jsonl", ("greedy", "sampled"), DIGITS)  # as exact as what chose the rates
        (folder / "assets.json").write_text(json.dumps(facts, indent=1) + "\n")
        if full_stack:
            (folder / "full_stack.md").write_text(full_stack)
        rebuild(folder / "runs.jsonl", out)


def rebuild(runs: Path, out: Path) -> None:
    """Draw text and figures again from the `runs.jsonl` of a report and the files beside it; see `write_report`.

    All is drawn before anything of an earlier report is touched. A report that lacks runs of the plan says so and draws
    no conclusions.
    """
    for file in (runs, *(runs.parent / name for name in DATA[1:3])):
        if not file.is_file():
            raise ReportError(f"{file} is missing: give the runs.jsonl of a report, with the files beside it")
    reported, tuning = read_all(runs), read_all(runs.parent / "tuning.jsonl")
    if not reported:
        raise ReportError(f"{runs} holds no run: there is nothing to report")
    before = out / "evidence" / "runs.jsonl"
    if before.is_file() and (count := len(before.read_text().splitlines())) > len(reported):
        raise ReportError(
            f"{out} holds a report of {count} runs, this one has {len(reported)}: remove it, or name another folder"
        )
    facts = json.loads((runs.parent / "assets.json").read_text())
    full_stack = runs.parent / "full_stack.md"
    told = full_stack.read_text().strip() if full_stack.exists() else ""
    missing = _missing(reported, tuning)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as made:
        folder = Path(made) / "evidence"
        folder.mkdir()
        evidence = Evidence(reported, tuning, facts, told, folder, missing)
        for page, template in (LOOK if missing else PAGES).items():
            (Path(made) / page).write_text(evidence.fill(template.read_text(), page))
        for name in DATA:
            source = runs if name == "runs.jsonl" else runs.parent / name
            if source.exists():
                shutil.copyfile(source, folder / name)
        _replace(Path(made), out)


def _missing(reported: Sequence[Result], tuning: Sequence[Result]) -> str:
    """What a report lacks of the plan; nothing if it is whole."""
    plan, rates = Plan(), best_rates(tuning)
    if {result.run for result in tuning} != set(plan.tuning(rate_scores(tuning))):
        return "These runs are a part of the study's: its learning rates are not all tuned."
    there = {result.run for result in reported}
    planned = list(plan.reported(rates))
    missing = [run for run in planned if run not in there]
    if not missing:
        return ""
    named = "; ".join(run.name for run in missing[:3]) + ("; ..." if len(missing) > 3 else "")
    return f"{len(missing)} of the study's {len(planned)} runs are missing ({named})."


def _replace(made: Path, out: Path) -> None:
    """Put a drawn report in the place of an earlier one, of which nothing stays."""
    (out / "evidence").mkdir(exist_ok=True)
    new = {file.name for file in (made / "evidence").iterdir()}
    for old in [file for name in (*DATA, *DRAWN) for file in (out / "evidence").glob(name)]:
        if old.name not in new:
            old.unlink()
    for name in sorted(new):
        (made / "evidence" / name).replace(out / "evidence" / name)
    (made / "evidence.md").replace(out / "evidence.md")


def known_facts(assets: Path) -> Facts:
    """What is known of the policies and PRMs that a folder holds."""
    names = [(task, what) for task in TASKS for what in ("policy", *LEARNED)]
    found: Facts = {}
    for task, what in names:
        facts = facts_of(task, what, assets)
        if facts is not None:
            probed = probe_of(task, what, assets)
            found[f"{task} {what}"] = facts | ({"probe": probed} if probed else {})
    return found


def main() -> None:
    """Draw a report again."""
    parser = argparse.ArgumentParser(prog="python -m study.report", description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path, help="runs.jsonl of a report")
    parser.add_argument("out", type=Path, help="folder for evidence.md and what lies beside it")
    arguments = parser.parse_args()
    try:
        rebuild(arguments.runs, arguments.out)
    except (ReportError, RunError, ValueError) as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
