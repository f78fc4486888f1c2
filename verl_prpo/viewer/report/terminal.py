# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Rollouts in the terminal: groups with their outcomes, then responses with what each token was paid."""

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from verl_prpo.viewer.report.facts import Facts, Survey, by_group, end_of_scale
from verl_prpo.viewer.report.filters import FILTERS
from verl_prpo.viewer.report.summary import Summary, by_step, records_note, share, summary
from verl_prpo.viewer.report.terminal_response import STYLES, VERDICTS, fixed, print_response, visible
from verl_prpo.viewer.report.trust import done_by_weights

if TYPE_CHECKING:
    from rich.console import Console

    from verl_prpo.telemetry.rollouts.read import Rollout

GROUPS = 40
"""Most groups in the table."""

CHANCE, MANY = 0.55, 0.25
"""A PRM is called out below the first share of pairs ranked rightly. A finding is called out from the second share of
responses or tokens on. The page uses the same shares."""


def show(
    survey: Survey,
    pick: Callable[[Sequence[int]], Iterable["Rollout"]],
    filter_key: str | None,
    limit: int,
    grpo: bool = False,
    plain: bool = False,
    would: Sequence[str] = (),
) -> None:
    """Print the groups and some responses on the standard output. There are colours only where a terminal shows them.

    Args:
        survey: the survey of all responses that were read.
        pick: returns the responses at places of the dump, in its order.
        filter_key: a key of `FILTERS`. None spreads the responses over the groups.
        limit: most responses.
        grpo: whether to colour by GRPO's advantage.
        plain: whether to leave out colours in a terminal too.
        would: how the dump was scored, where its own run had no PRM.
    """
    from verl_prpo.console.findings import terminal

    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # an encoding without blocks gets question marks, and no error
    console = terminal()
    if plain:
        console = type(console)(highlight=False, width=console.width, color_system=None, force_terminal=False)
    facts = survey.facts
    chosen = next((one for one in FILTERS if one.key == filter_key), None)
    kept = chosen.select(facts) if chosen else _spread(facts)
    for line in would:
        console.print(visible(line), markup=False, soft_wrap=True)
    _print_overview(console, facts)
    numbers = {fact.index: (g, n) for g, group in enumerate(by_group(facts), 1) for n, fact in enumerate(group, 1)}
    relative = survey.prior.source == "relative"
    _print_findings(console, facts, numbers, relative)
    if done := done_by_weights(facts):
        console.print(done, markup=False, soft_wrap=True)
    if any(fact.right is None for fact in facts):
        console.print(f"! {survey.verdicts}", markup=False, soft_wrap=True)
    if survey.skipped:
        console.print(records_note(len(facts), survey.skipped), markup=False, soft_wrap=True)
    if chosen:
        console.print(
            f"{chosen.name}: {len(kept)} of {len(facts)} responses. {chosen.described(relative)}", markup=False
        )
    else:
        _print_groups(console, facts)
    if not kept:
        console.print("No response is like that.")
        return
    rollouts = dict(
        zip(sorted(fact.index for fact in kept[:limit]), pick([f.index for f in kept[:limit]]), strict=True)
    )
    scale = end_of_scale([fact.peak for fact in facts])
    _print_legend(console, scale)
    for fact in kept[:limit]:
        print_response(console, rollouts[fact.index], fact, numbers[fact.index], scale, grpo)
    if len(kept) > limit:
        console.print(f"{len(kept) - limit} more; --limit shows them, --filter picks.", style="dim")


def _spread(facts: Sequence[Facts]) -> list[Facts]:
    """Order the responses: one of each group, then a second of each, and so on."""
    groups = by_group(facts)
    return [group[turn] for turn in range(max(map(len, groups))) for group in groups if turn < len(group)]


def _print_overview(console: "Console", facts: Sequence[Facts]) -> None:
    from rich.text import Text

    for step, found in ((step, summary(rows)) for step, rows in sorted(by_step(facts).items())):
        console.print(Text(f"step {step}: ", style="bold").append(_overview(found), style="not bold"))


def _overview(found: Summary) -> str:
    parts = [
        f"{found.responses} responses in {found.groups} groups",
        f"{share(found.right, found.right + found.wrong)} right",
        *([f"{found.unknown} of unknown verdict"] if found.unknown else []),
        f"PRM mean {fixed(found.prm_right)} of right and {fixed(found.prm_wrong)} of wrong answers",
        f"{found.flip_share or 0.0:.0%} of the signs flipped",
        f"{found.all_equal} groups of one verdict",
        f"{found.failures} failures",
    ]
    return ", ".join(parts)


def _print_findings(
    console: "Console", facts: Sequence[Facts], numbers: dict[int, tuple[int, int]], relative: bool
) -> None:
    """Print what contradicts the verdicts, with the responses that do so most."""
    from rich.text import Text

    found = summary(facts)
    flips = found.flip_share or 0.0
    among, z = (" of mixed groups", "relative score") if relative else ("", "z")
    lines: list[tuple[bool, str, str | None]] = []
    if found.ranked is not None:
        words = f"the PRM ranks right above wrong in {found.ranked:.0%} of the pairs (50% is chance)"
        lines.append((found.ranked < CHANCE, words, None))
    for key, count, whole, words in (
        ("liked-wrong", found.liked_wrong, found.checked_wrong, f"wrong responses{among} the PRM liked"),
        ("disliked-right", found.disliked_right, found.checked_right, f"right responses{among} the PRM disliked"),
    ):
        lines.append((count > 0 and count >= MANY * whole, f"{count} of {whole} {words}", key))
    words = f"{flips:.0%} of the tokens, in {found.flip_responses} responses, change sign against GRPO"
    lines.append((flips >= MANY, words, "sign-flips"))
    for bad, words, shown_by in lines:
        line = Text("! " if bad else "  ", style="bold red").append(words, style="bold default")
        worst = next(one for one in FILTERS if one.key == shown_by).select(facts)[:3] if shown_by else []
        if worst:
            places = [".".join(map(str, numbers[f.index])) for f in worst]
            named = ", ".join(f"{at} ({z} {f.z_mean or 0.0:+.2f})" for at, f in zip(places, worst, strict=True))
            line.append(f"; most: {named}; --filter {shown_by} shows them", style="not bold default")
        console.print(line, soft_wrap=True)


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
            mark, _, style = VERDICTS[fact.right]
            outcomes.append(f"{mark} ", style=style)
            said = visible(fact.failure or "overlong") if fact.failure or fact.overlong else fixed(fact.prm_mean)
            outcomes.append(f"{said}{'!' if fact.against else ''}  ", style="bold" if fact.against else "")
        table.add_row(
            str(group[0].step),
            str(number),
            f"{found.right}/{len(group)}" if not found.unknown else "?",
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
