# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo data`: a problem set as the parquet file that verl trains or validates on."""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from verl_prpo.cli.report import say
from verl_prpo.data.problem_sets import SETS, TEMPLATES, ProblemSet

SUMMARY = "prepare problems for training and validation"

SHOWN = 10
"""Most rows listed of a kind."""


def parser(prog: str) -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Writes DIR/NAME.parquet in verl's format and says what was kept, what was not and why, and what "
        "share of the reference solutions verl's scorer accepts. Exit status: 0 done, 1 problems of a test set are "
        "among those of a training set, 2 arguments or a source that cannot be read.",
    )
    made.add_argument("name", choices=SETS, metavar="NAME", help=", ".join(SETS))
    made.add_argument("--out", type=Path, required=True, metavar="DIR")
    made.add_argument("--source", type=Path, metavar="FILE", help=".jsonl or .parquet instead of the Hugging Face hub")
    made.add_argument("--without", type=Path, metavar="FILE", help="leave out the problems of this .jsonl or .parquet")
    made.add_argument("--template", choices=TEMPLATES, help="how the policy is asked (default: the first that fits)")
    made.add_argument("--allow-overlap", action="store_true", help="write although test problems are in a training set")
    return made


def run(arguments: argparse.Namespace) -> int:
    """Run the command and print its account."""
    from verl_prpo.data.prepare import DataError, acceptance, prepare, verl_rows

    problem_set = SETS[arguments.name]
    template = arguments.template or problem_set.templates[0]
    if template not in problem_set.templates:
        fitting = " or ".join(problem_set.templates)
        say(f"--template {template} does not ask for the form that the scorer of {problem_set.name} reads; {fitting}")
        return 2
    try:
        left_out = _left_out(arguments, problem_set)
        prepared = prepare(_rows(arguments.source, problem_set), problem_set, left_out)
        overlaps = _overlaps(arguments.out, problem_set, prepared.problems)
    except (DataError, OSError) as error:
        say(str(error))
        return 2
    if not prepared.problems:
        say(f"not one problem of {problem_set.name} in the source: {_listed(prepared.dropped)}")
        return 2
    print(f"{problem_set.name}: {len(prepared.problems)} problems, {problem_set.split}, template {template}")
    for reason, count in sorted(prepared.dropped.items()):
        print(f"  dropped {count}: {reason}")
    for other, questions in overlaps.items():
        print(f"  {len(questions)} problems are also in {other}" + (", such as:" if questions else ""))
        for question in questions[:SHOWN]:
            print(f"    {question[:100]!r}")
    if any(overlaps.values()) and not arguments.allow_overlap:
        say("nothing was written: a model would be tested on what it was trained on; leave these out with --without")
        return 1
    accepted = acceptance(prepared.problems, problem_set)
    share = accepted.accepted / len(prepared.problems)
    print(f"  verl's scorer for {problem_set.data_source} accepts {share:.2%} of the reference solutions")
    for index, answer in accepted.rejected[:SHOWN]:
        print(f"    not row {index}, whose ground truth is {answer!r}")
    if len(accepted.rejected) > SHOWN:
        print(f"    and {len(accepted.rejected) - SHOWN} more")
    file = arguments.out / f"{problem_set.name}.parquet"
    _write(verl_rows(prepared.problems, problem_set, template), file)
    print(f"  written: {file}")
    return 0


def _rows(source: Path | None, problem_set: ProblemSet) -> Iterable[Mapping[str, Any]]:
    from verl_prpo.data.prepare import DataError, read_hub, read_source

    if source is not None:
        return read_source(source)
    try:
        return list(read_hub(problem_set.hub))
    except Exception as error:  # of the hub's client, or the network beneath it
        repos = ", ".join(sorted({split.repo for split in problem_set.hub}))
        raise DataError(
            f"the Hugging Face hub gives no {repos} ({type(error).__name__}: {error}); give a local file with --source"
        ) from error


def _left_out(arguments: argparse.Namespace, problem_set: ProblemSet) -> set[str]:
    """Questions that must not be in the set: of `--without`, and from the hub those of the test set it excludes."""
    from verl_prpo.data.prepare import prepare, read_source

    test = SETS[problem_set.without] if problem_set.without else None
    rows: list[Mapping[str, Any]] = []
    if arguments.without is not None:
        rows = list(read_source(arguments.without))
    elif test is not None and arguments.source is None:
        rows = list(_rows(None, test))
    from verl_prpo.data.problems import question_key

    return {question_key(p.question) for p in prepare(rows, test or problem_set, set()).problems}


def _overlaps(folder: Path, problem_set: ProblemSet, problems: Iterable[Any]) -> dict[str, list[str]]:
    """For each set of the other split that was prepared in `folder`, the questions that are in both."""
    from verl_prpo.data.prepare import prepared_questions
    from verl_prpo.data.problems import question_key

    own = {question_key(problem.question) for problem in problems}
    found = {}
    for other in SETS.values():
        file = folder / f"{other.name}.parquet"
        if other.split != problem_set.split and file.is_file():
            found[str(file)] = [question for key, question in prepared_questions(file).items() if key in own]
    return found


def _listed(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} times {reason}" for reason, count in sorted(dropped.items())) or "it has no rows"


def _write(rows: list[dict[str, Any]], file: Path) -> None:
    import pandas as pd

    file.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(file)
