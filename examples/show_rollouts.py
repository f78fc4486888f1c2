# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Show responses of a PRPO run in the terminal: segments, their text and scores, the outcome, and the token advantages.

    python examples/show_rollouts.py ROLLOUTS/2.jsonl
    python examples/show_rollouts.py ROLLOUTS/2.jsonl --limit 8 --plain | less

The file is one step of `trainer.rollout_data_dir`. A token's advantage is A = z + beta: z from the score of its
segment, beta from the outcome relative to the group. Columns give both; the line below a response counts its tokens by
advantage.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

COLUMNS = ("tokens", "score", "signal", "z", "beta", "advantage", "text")
SIGNIFICANT = 3
"""Digits to which two token advantages must agree to be counted together."""


def read_rollouts(path: Path) -> list[dict[str, Any]]:
    """The rows of a rollout dump that carry a PRPO record; padding rows carry none.

    Raises:
        SystemExit: the file cannot be read, or none of its rows does.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines if line.strip()]
    except (OSError, json.JSONDecodeError) as error:
        raise SystemExit(f"{path} is not a rollout dump of verl: {error}") from error
    recorded = [row for row in rows if isinstance(row, dict) and row.get("prpo")]
    if not recorded:
        raise SystemExit(
            f"none of the {len(rows)} rows of {path} has a PRPO record; give a file that trainer.rollout_data_dir "
            "wrote with algorithm.adv_estimator=prpo"
        )
    return recorded


def segment_rows(record: dict[str, Any]) -> list[tuple[str, ...]]:
    """One row per segment, a text for each of `COLUMNS`.

    Scores and advantages belong to whole segments; the signal is that of the segment's first token, where the cut is.
    """
    rows: list[tuple[str, ...]] = []
    for segment in record["segments"]:
        begin, end = segment["begin"], segment["end"]
        rows.append(
            (
                f"{begin}-{end}",
                "-" if segment["score"] is None else f"{segment['score']:.3f}",
                "-" if record["signal"] is None else f"{record['signal'][begin]:.2f}",
                _span(record["process_advantage"], record["response_mask"], begin, end),
                _span(record["outcome_advantage"], record["response_mask"], begin, end),
                _span(record["advantages"], record["response_mask"], begin, end),
                segment["text"],
            )
        )
    return rows


def runs(advantages: list[float]) -> list[tuple[float, int]]:
    """Token advantages as (value, number of neighbouring tokens that have it)."""
    return [
        (float(value), len(list(tokens)))
        for value, tokens in groupby(f"{advantage:.{SIGNIFICANT}g}" for advantage in advantages)
    ]


def title(row: dict[str, Any]) -> str:
    """What is known of a response as a whole."""
    record = row["prpo"]
    parts = [
        f"outcome reward {record['outcome_reward']:g}",
        f"score of the verifier {row['score']:g}",
        f"{len(record['advantages'])} tokens",
    ]
    if row.get("gts") is not None:
        parts.append(f"expected {row['gts']}")
    if record["failure"]:
        parts.append(f"no process scores ({record['failure']})")
    return f"step {row['step']}, response {row['uid']}: {', '.join(parts)}"


def print_plain(row: dict[str, Any]) -> None:
    """Print one response without colour."""
    rows = segment_rows(row["prpo"])
    table = [COLUMNS, *[(*cells, json.dumps(text, ensure_ascii=False)) for *cells, text in rows]]
    widths = [max(len(line[i]) for line in table) for i in range(len(COLUMNS) - 1)]
    print(title(row))
    print(f"prompt: {row['input'].strip()}")
    for *cells, text in table:
        print("  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)), "", text)
    print("token advantages:", _runs_text(row["prpo"]["advantages"]))
    print()


def print_rich(row: dict[str, Any]) -> None:
    """Print one response with green for advantages above and red for those below zero."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    console.print(Text(title(row), style="bold"))
    console.print(Text(row["input"].strip(), style="dim"))
    table = Table(show_lines=True)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "text" else "right", no_wrap=column != "text")
    for segment, (*cells, text) in zip(row["prpo"]["segments"], segment_rows(row["prpo"]), strict=True):
        advantages = row["prpo"]["advantages"][segment["begin"] : segment["end"]]
        colour = _colour(sum(advantages))
        table.add_row(*map(Text, cells[:-1]), Text(cells[-1], style=colour), Text(text, style=colour))
    console.print(table)
    line = Text("token advantages: ")
    for value, tokens in runs(row["prpo"]["advantages"]):
        line.append(f"{value:+.3g} x {tokens}  ", style=_colour(value))
    console.print(line)
    console.print()


def _span(values: list[float], mask: list[int], begin: int, end: int) -> str:
    """The value that the policy's own tokens of a span share, or its range."""
    own = [value for value, counts in zip(values[begin:end], mask[begin:end], strict=True) if counts]
    if not own:
        return "-"
    low, high = f"{min(own):+.3g}", f"{max(own):+.3g}"
    return low if low == high else f"{low} to {high}"


def _runs_text(advantages: list[float]) -> str:
    return "  ".join(f"{value:+.3g} x {tokens}" for value, tokens in runs(advantages))


def _colour(value: float) -> str:
    return "green" if value > 0 else "red" if value < 0 else ""


def _picked(rows: list[dict[str, Any]], limit: int) -> Iterator[dict[str, Any]]:
    """At most `limit` rows, one per prompt before a second of any: rows of a prompt are neighbours in the dump."""
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row["prpo"]["uid"])]
    turns = [group[turn] for turn in range(max(map(len, groups))) for group in groups if turn < len(group)]
    yield from turns[:limit]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dump", type=Path, help="a .jsonl file of trainer.rollout_data_dir")
    parser.add_argument("--limit", type=int, default=4, help="number of responses, spread over the prompts (default 4)")
    parser.add_argument("--plain", action="store_true", help="text without colour, also where rich is installed")
    arguments = parser.parse_args()
    show = print_plain if arguments.plain else _best_printer()
    try:
        for row in _picked(read_rollouts(arguments.dump), arguments.limit):
            show(row)
        sys.stdout.flush()
    except BrokenPipeError:  # a pager that was closed early
        sys.stdout = None


def _best_printer() -> Callable[[dict[str, Any]], None]:
    try:
        import rich  # noqa: F401
    except ImportError:
        return print_plain
    return print_rich


if __name__ == "__main__":
    main()
