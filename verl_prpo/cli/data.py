# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo data`: a problem set as the parquet file that verl trains or validates on."""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verl_prpo.console.choices import one_of
from verl_prpo.console.findings import say
from verl_prpo.console.folders import FolderError, writable_folder
from verl_prpo.console.progress import progress
from verl_prpo.data.problem_sets import SETS, ProblemSet
from verl_prpo.data.problems import Problem
from verl_prpo.data.templates import TEMPLATES, answer_in_form

if TYPE_CHECKING:
    from verl_prpo.data.acceptance import Acceptance

SUMMARY = "prepare problems for training and validation"

SHOWN = 10
"""Most questions listed of those that two sets share."""
LISTED = 100
"""Most answers listed of those that a scorer does not accept."""
TRIED = 200
"""Most problems whose answers a template is tried with."""
ENOUGH = 0.99
"""Share of right responses that a scorer should accept."""


def parser(prog: str) -> argparse.ArgumentParser:
    """Make the parser of the command's arguments."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Writes DIR/NAME.parquet in verl's format and says what was kept, what was not and why, and what "
        "share of the reference solutions the outcome scorers accept. Exit status: 0 done, 1 problems of a test set "
        "are among those of a training set, 2 arguments or a source that cannot be read.",
    )
    made.add_argument("name", type=one_of("problem set", SETS), metavar="NAME", help=", ".join(SETS))
    made.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder to write NAME.parquet to, made if it is not there; a training set is compared with the test sets "
        "in it, and the other way round",
    )
    made.add_argument("--source", type=Path, metavar="FILE", help=".jsonl or .parquet instead of the Hugging Face hub")
    made.add_argument("--without", type=Path, metavar="FILE", help="leave out the problems of this .jsonl or .parquet")
    made.add_argument(
        "--template",
        type=one_of("template", TEMPLATES),
        metavar="TEMPLATE",
        help=f"how the policy is asked: {', '.join(TEMPLATES)} (default: the set's own)",
    )
    made.add_argument("--drop-repeated", action="store_true", help="keep each question once")
    made.add_argument("--allow-overlap", action="store_true", help="write although test problems are in a training set")
    return made


def run(arguments: argparse.Namespace) -> int:
    """Run the command and print what was kept, what was not and why."""
    try:
        with writable_folder(arguments.out):  # first, for the hub may take minutes
            return _prepare(arguments)
    except FolderError as error:
        say(f"{error}. Give another folder with --out")
        return 2


def _prepare(arguments: argparse.Namespace) -> int:
    from verl_prpo.data.prepare import DataError, prepare, verl_rows

    problem_set = SETS[arguments.name]
    template = arguments.template or problem_set.template
    try:
        left_out = _left_out(arguments, problem_set)
        rows = _rows(arguments.source, problem_set)
        prepared = prepare(rows, problem_set, left_out, arguments.drop_repeated)
        overlaps = _overlaps(arguments.out, problem_set, prepared.problems)
    except (DataError, OSError) as error:
        say(str(error))
        return 2
    problems = prepared.problems
    if not problems:
        say(f"not one problem of {problem_set.name} in the source: {_listed(prepared.dropped)}")
        return 2
    print(f"{problem_set.name}: {len(problems)} problems, {problem_set.split}, template {template}")
    for reason, count in sorted(prepared.dropped.items()):
        print(f"  dropped {count}: {reason}")
    if left_out:
        print(f"  left out {len(prepared.left_out)} of the {len(left_out)} problems that are not to be in it")
    again = f", at {', '.join(map(str, prepared.repeated[:SHOWN]))}" if prepared.repeated else ""
    print(f"  {len(prepared.repeated)} problems repeat the question of an earlier one" + again)
    for other, questions in overlaps.items():
        print(f"  {len(questions)} problems are also in {other}" + (", such as:" if questions else ""))
        for question in questions[:SHOWN]:
            print(f"    {question[:100]!r}")
    if problem_set.split == "train" and not overlaps and not left_out:
        where = f"there is none in {arguments.out} (prepare one first, or name its file with --without)"
        print(f"  compared with no test set: {where}")
    if any(overlaps.values()) and not arguments.allow_overlap:
        advice = _advice(arguments, problem_set, [file for file, questions in overlaps.items() if questions])
        say(f"nothing was written: a model would be tested on what it was trained on; {advice}")
        return 1
    if not _scorers_accept(problem_set, problems, template):
        return 2
    if arguments.source is None and len(problems) != problem_set.size:
        say(
            f"{problem_set.name} should have {problem_set.size} problems and has {len(problems)} from the hub. "
            "Unless the rows dropped above explain it, the data set on the hub has changed"
        )
    if arguments.source is not None and len(problems) != problem_set.size:
        print(f"  the published set has {problem_set.size} problems, this source gave {len(problems)}")
    file = arguments.out / f"{problem_set.name}.parquet"
    try:
        _write(verl_rows(problems, problem_set, template), file)
    except (OSError, ValueError) as error:  # ValueError: of pyarrow, or text that UTF-8 cannot hold
        say(f"{file} cannot be written: {type(error).__name__}: {error}. Give another folder with --out")
        return 2
    print(f"  written: {file}")
    return 0


def _scorers_accept(problem_set: ProblemSet, problems: list[Problem], template: str) -> bool:
    """Print what share of right responses each scorer accepts.

    Returns:
        False when no scorer reads the form of answer that the template asks for.
    """
    from verl_prpo.data.acceptance import of_answers, of_solutions

    print(f"  of the right responses, as data_source {problem_set.data_source}, the outcome scorers accept:")
    tried = problems[:TRIED]
    verl, own = in_form = of_answers(tried, problem_set.data_source, template)
    for acceptance in of_solutions(problems, problem_set.data_source):
        if acceptance.total:
            print(f"    {acceptance.scorer}: {acceptance.share:.2%} of {acceptance.total} reference solutions")
            _list_rejected(acceptance)
    for acceptance in in_form:
        asked = answer_in_form(template, tried[0].answer)
        print(f"    {acceptance.scorer}: {acceptance.share:.2%} of {acceptance.total} answers such as {asked!r}")
        if acceptance.share >= 0.5:
            _list_rejected(acceptance)
    if max(verl.share, own.share) < 0.5:
        fitting = [name for name, other in TEMPLATES.items() if other.form != TEMPLATES[template].form]
        say(f"--template {template} asks for a form that no scorer reads for {problem_set.name}; {', '.join(fitting)}")
        return False
    if verl.share < ENOUGH <= own.share:
        print("    verl's own scorer is not enough for this template. Set reward.reward_manager.name=math_verifier")
    return True


def _list_rejected(acceptance: "Acceptance") -> None:
    for index, truth, read in acceptance.rejected[:LISTED]:
        print(f"      not {index}, whose ground truth is {truth!r}" + (f" and not {read!r}" if read else ""))
    if len(acceptance.rejected) > LISTED:
        print(f"      and {len(acceptance.rejected) - LISTED} more")


def _rows(source: Path | None, problem_set: ProblemSet) -> Iterable[Mapping[str, Any]]:
    from verl_prpo.data.prepare import DataError, read_hub, read_source

    if source is not None:
        return read_source(source)
    rows: list[Mapping[str, Any]] = []
    try:
        with progress(len(problem_set.hub), f"{problem_set.name} from the hub", "splits") as bar:
            for split in problem_set.hub:
                rows += read_hub([split])
                bar.advance()
        return rows
    except Exception as error:  # of the hub's client, or the network beneath it
        repos = ", ".join(sorted({split.repo for split in problem_set.hub}))
        raise DataError(
            f"the Hugging Face hub gives no {repos} ({type(error).__name__}: {error}); without the hub use a "
            f"file that you have: verl-prpo data {problem_set.name} --out DIR --source FILE (.jsonl or .parquet)"
        ) from error


def _left_out(arguments: argparse.Namespace, problem_set: ProblemSet) -> set[str]:
    """Return the questions that must not be in the set.

    These are the questions of `--without`, and for a set from the hub those of the test set that it excludes.
    """
    from verl_prpo.data.prepare import DataError, questions_to_leave_out, read_source

    test = SETS[problem_set.without] if problem_set.without else None
    rows: list[Mapping[str, Any]] = []
    if arguments.without is not None:
        rows = list(read_source(arguments.without))
    elif test is not None and arguments.source is None:
        rows = list(_rows(None, test))
    else:
        return set()
    try:
        return questions_to_leave_out(rows)
    except ValueError as error:
        raise DataError(f"{arguments.without or problem_set.without}: {error}") from error


def _overlaps(folder: Path, problem_set: ProblemSet, problems: Iterable[Any]) -> dict[str, list[str]]:
    """List by file the questions that are also in a set of the other split that was prepared in `folder`."""
    from verl_prpo.data.prepare import prepared_questions
    from verl_prpo.data.problems import question_key

    own = {question_key(problem.question) for problem in problems}
    found = {}
    for other in SETS.values():
        file = folder / f"{other.name}.parquet"
        if other.split != problem_set.split and file.is_file():
            found[str(file)] = [question for key, question in prepared_questions(file).items() if key in own]
    return found


def _advice(arguments: argparse.Namespace, problem_set: ProblemSet, overlapping: list[str]) -> str:
    """Advise what to do about problems that are in sets of both splits. They have to leave the training set."""
    if problem_set.split == "train":
        return "leave these out with --without FILE, the test set's"
    training = " and ".join(overlapping)
    if arguments.source is not None:
        return f"make {training} anew with --without {arguments.source}, then this"
    own = arguments.out / f"{problem_set.name}.parquet"
    return f"write this with --allow-overlap, then make {training} anew with --without {own}"


def _listed(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} times {reason}" for reason, count in sorted(dropped.items())) or "it has no rows"


def _write(rows: list[dict[str, Any]], file: Path) -> None:
    import pandas as pd

    file.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(file)
