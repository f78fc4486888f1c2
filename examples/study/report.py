# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Text, tables and figures from finished runs; nothing is measured here.

    python -m study.report docs/evidence/runs.jsonl docs      # draw the report of the runs that are published

A report is `evidence.md` and a folder `evidence` beside it: the figures, `runs.jsonl` with every run step by step,
`tuning.jsonl` with the accuracies of those that chose the learning rates, `assets.json` with what is known of policies
and PRMs, and `full_stack.md` where the runs with verl and vLLM were made.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from study.assets import LEARNED, facts_of
from study.evidence import TEMPLATE, Evidence
from study.probing import probe_of
from study.runs import DIGITS, Result, read_all, write_all
from study.sections import Facts
from study.tasks import TASKS


def write_report(
    reported: Sequence[Result], tuning: Sequence[Result], facts: Facts, full_stack: str, out: Path
) -> None:
    """Write a report into a folder.

    Args:
        reported: runs to report.
        tuning: runs that chose the learning rates.
        facts: of the starting policies and learned PRMs.
        full_stack: markdown of the runs with verl and vLLM, or nothing.
        out: made if need be; files of an earlier report are overwritten.
    """
    folder = out / "evidence"
    folder.mkdir(parents=True, exist_ok=True)
    write_all(reported, folder / "runs.jsonl")
    write_all(tuning, folder / "tuning.jsonl", ("greedy", "sampled"), DIGITS)  # as exact as what chose the rates
    (folder / "assets.json").write_text(json.dumps(facts, indent=1) + "\n")
    if full_stack:
        (folder / "full_stack.md").write_text(full_stack)
    rebuild(folder / "runs.jsonl", out)


def rebuild(runs: Path, out: Path) -> None:
    """Draw text and figures again from the `runs.jsonl` of a report and the files beside it."""
    beside = runs.parent
    folder = out / "evidence"
    folder.mkdir(parents=True, exist_ok=True)
    facts = json.loads((beside / "assets.json").read_text())
    full_stack = beside / "full_stack.md"
    told = full_stack.read_text().strip() if full_stack.exists() else ""
    found = Evidence(read_all(runs), read_all(beside / "tuning.jsonl"), facts, told, folder)
    (out / "evidence.md").write_text(found.fill(TEMPLATE.read_text()))


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
    parser.add_argument("out", type=Path, help="folder for evidence.md")
    arguments = parser.parse_args()
    rebuild(arguments.runs, arguments.out)


if __name__ == "__main__":
    main()
