# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Rollouts in the terminal: groups with their outcomes, then responses with what each token was told."""

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from verl_prpo.viewer.report_facts import FILTERS, Facts, Summary, by_group, end_of_scale, records_note, summary
from verl_prpo.viewer.terminal_response import STYLES, fixed, print_response, visible

if TYPE_CHECKING:
    from rich.console import Console

    from verl_prpo.rollout_dump import Rollout

GROUPS = 40
"""Most groups in the table."""


def show(
    facts: Sequence[Facts],
    pick: Callable[[Sequence[int]], Iterable["Rollout"]],
    filter_key: str | None,
    limit: int,
    grpo: bool = False,
    plain: bool = False,
    skipped: int = 0,
) -> None:
    """Print the groups and some responses on the standard output; colours only where a terminal shows them.

    Args:
        facts: of all responses that were read.
        pick: gives the responses at places of the dump, in its order.
        filter_key: a key of `FILTERS`; None spreads the responses over the groups.
        limit: most responses.
        grpo: colour by GRPO's advantage.
        plain: no colour in a terminal either.
        skipped: rows of the dump that carry no record.
    """
    from verl_prpo.cli.report import terminal

    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # an encoding without blocks gets question marks, and no error
    console = terminal()
    if plain:
        console = type(console)(highlight=False, width=console.width, color_system=None, force_terminal=False)
    chosen = next((one for one in FILTERS if one.key == filter_key), None)
    kept = chosen.select(facts) if chosen else _spread(facts)
    _print_overview(console, facts)
    if skipped:
        console.print(records_note(len(facts), skipped), markup=False, soft_wrap=True)
    if chosen:
        console.print(f"{chosen.name}: {len(kept)} of {len(facts)} responses. {chosen.rule}", markup=False)
    else:
        _print_groups(console, facts)
    if not kept:
        console.print("No response is like that.")
        return
    rollouts = dict(
        zip(sorted(fact.index for fact in kept[:limit]), pick([f.index for f in kept[:limit]]), strict=True)
    )
    scale = end_of_scale(facts)
    _print_legend(console, scale)
    numbers = {fact.index: (g, n) for g, group in enumerate(by_group(facts), 1) for n, fact in enumerate(group, 1)}
    for fact in kept[:limit]:
        print_response(console, rollouts[fact.index], fact, numbers[fact.index], scale, grpo)
    if len(kept) > limit:
        console.print(f"{len(kept) - limit} more; --limit shows them, --filter picks.", style="dim")


def _spread(facts: Sequence[Facts]) -> list[Facts]:
    """One response of each group, then a second of each, and so on."""
    groups = by_group(facts)
    return [group[turn] for turn in range(max(map(len, groups))) for group in groups if turn < len(group)]


def _print_overview(console: "Console", facts: Sequence[Facts]) -> None:
    from rich.text import Text

    steps = sorted({fact.step for fact in facts})
    lines = [(f"step {step}", summary([fact for fact in facts if fact.step == step])) for step in steps]
    for name, found in lines:
        console.print(Text(f"{name}: ", style="bold").append(_overview(found), style="not bold"))


def _overview(found: Summary) -> str:
    parts = [
        f"{found.responses} responses in {found.groups} groups",
        f"{found.right / found.responses:.0%} right",
        f"PRM mean {fixed(found.prm_right)} of right and {fixed(found.prm_wrong)} of wrong answers",
        f"{found.flip_share or 0.0:.0%} of the signs flipped",
        f"{found.all_equal} groups agree",
        f"{found.failures} failures",
    ]
    return ", ".join(parts)


def _print_groups(console: "Console", facts: Sequence[Facts]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("step", justify="right")
    table.add_column("group", justify="right")
    table.add_column("right", justify="right")
    table.add_column("PRM", justify="right")
    table.add_column("flipped", justify="right")
    table.add_column("outcomes and PRM means", overflow="fold")
    groups = by_group(facts)
    for number, group in enumerate(groups[:GROUPS], 1):
        found = summary(group)
        outcomes = Text()
        for fact in group:
            outcomes.append("✓ " if fact.right else "✗ ", style="bold green" if fact.right else "bold red")
            outcomes.append(
                (visible(fact.failure or "overlong") if fact.failure or fact.overlong else fixed(fact.prm_mean)) + "  "
            )
        table.add_row(
            str(group[0].step),
            str(number),
            f"{found.right}/{len(group)}",
            fixed(found.prm_mean),
            f"{found.flip_share or 0.0:.0%}",
            outcomes,
        )
    console.print(table)
    if len(groups) > GROUPS:
        console.print(f"and {len(groups) - GROUPS} more groups", style="dim")


def _print_legend(console: "Console", scale: float) -> None:
    from rich.text import Text

    line = Text("tokens by A: ")
    for size, style in STYLES.items():
        bound = (abs(size) - 1) * scale / 3
        words = (
            "0" if size == 0 else f"{'<' if size < 0 else '>'} {0 if bound == 0 else math.copysign(bound, size):.3g}"
        )
        line.append(f" {words} ", style=style).append(" ")
    if console.color_system is not None:
        console.print(line)
