# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo compare`: the curves of several training runs, and how far they lie apart."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from verl_prpo.console.findings import say, terminal

if TYPE_CHECKING:
    from verl_prpo.viewer.compare.table import Table

SUMMARY = "compare training runs: curves, differences and their intervals"


def parser(prog: str) -> argparse.ArgumentParser:
    """Make the parser of the command's arguments."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Prints each run's difference to the first, from what verl's `file` logger wrote, and with -o DIR "
        "draws the curves as DIR/compare.png and DIR/compare.html. Exit status: 0 done, 2 arguments or logs that "
        "cannot be used.",
    )
    made.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="PATH or LABEL=PATH: a file of verl's `file` logger (trainer.logger=[console,file]), or the folder that "
        "holds one. PATH may be a pattern such as 'runs/prpo_seed*'. Runs with one label are seeds of one arm",
    )
    made.add_argument("--baseline", metavar="LABEL", help="what the others are compared with (default: the first run)")
    made.add_argument("--metric", action="append", default=[], metavar="NAME", help="a metric of the logs, besides")
    made.add_argument("-o", "--out", type=Path, metavar="DIR", help="write compare.png and compare.html there")
    return made


def run(arguments: argparse.Namespace) -> int:
    """Run the command and print the table and the paths."""
    from verl_prpo.viewer.compare.arms import read_arms, with_baseline
    from verl_prpo.viewer.compare.curves import metrics_of
    from verl_prpo.viewer.compare.page import described, save_page
    from verl_prpo.viewer.compare.plots import save_png
    from verl_prpo.viewer.compare.runs import LogError
    from verl_prpo.viewer.compare.table import make_table
    from verl_prpo.viewer.report.terminal_response import visible

    try:
        arms = with_baseline(read_arms(arguments.runs), arguments.baseline)
        metrics = metrics_of(arms, arguments.metric)
        drawn = [metric for metric in metrics if any(metric.read(run) for arm in arms for run in arm.runs)]
        if not drawn:
            raise LogError("the logs have none of the metrics that are compared. Name what they have with --metric")
        table = make_table(arms, metrics)
        written: list[Path] = []
        if arguments.out is not None:
            arguments.out.mkdir(parents=True, exist_ok=True)
            picture, page = arguments.out / "compare.png", arguments.out / "compare.html"
            save_png(arms, drawn, picture)
            save_page(arms, drawn, table, page)
            written = [picture, page]
    except (LogError, OSError) as error:
        say(visible(str(error)))
        return 2
    for line in described(arms):
        print(visible(line))
    print_table(table)
    if not written:
        print("The curves are drawn with -o DIR: compare.png and the page compare.html.")
    for path in written:
        print(f"written: {visible(str(path))} ({path.stat().st_size / 1e3:.0f} kB)")
    return 0


def print_table(table: "Table") -> None:
    """Print the differences, then what to know about them."""
    from rich.table import Table as Grid
    from rich.text import Text

    from verl_prpo.viewer.compare.table import COLUMNS
    from verl_prpo.viewer.report.terminal_response import visible

    console = terminal()
    grid = Grid(show_edge=False, pad_edge=False)
    for column in COLUMNS:
        grid.add_column(column)
    previous = ""
    for row in table.rows:
        if previous and row.metric != previous:
            grid.add_section()
        lead = (row.metric, row.steps) if row.metric != previous else ("", "")
        grid.add_row(*(Text(visible(cell)) for cell in (*lead, row.arm, *row.cells)))
        previous = row.metric
    console.print(grid)
    for note in table.notes:
        console.print(Text(visible(f"* {note}")))
