# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The choice of the responses of a rollout dump that are read and shown.

A dump is read twice, so that it need not fit into memory.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from verl_prpo.viewer.report.facts import Facts, Survey, Surveyor, by_group
from verl_prpo.viewer.report.summary import Summary, by_step, summary

if TYPE_CHECKING:
    from verl_prpo.telemetry.rollouts.read import Rollout

Member = TypeVar("Member")


class ReportError(ValueError):
    """A dump that cannot be shown. The message names the path, what is wrong and what to give instead."""


@dataclass(frozen=True)
class Dump:
    """The content of a report.

    Attributes:
        survey: the facts of all responses that were read.
        points: a summary per step, for the curves.
        pick: returns the responses at some places of the dump, in its order.
        would: how it was scored, in sentences, where its own run had no PRM. Empty for a run with PRPO.
    """

    survey: Survey
    points: Sequence[tuple[int, Summary]]
    pick: Callable[[Sequence[int]], Iterable["Rollout"]]
    would: tuple[str, ...] = ()


def wanted_steps(source: Path, asked: Sequence[int] | None) -> list[int] | None:
    """Return the steps to read: those asked for, else the last one. The result is None for a file, which is one step.

    Raises:
        ReportError: nothing there, or steps of a file.
    """
    from verl_prpo.telemetry.rollouts.read import RolloutError, step_files

    try:
        files = step_files(source)
    except RolloutError as error:
        raise ReportError(str(error)) from error
    if files == [source]:
        if asked:
            raise ReportError(f"--steps picks from a folder, and {source} is a file. Leave it out, or give the folder")
        return None
    there = [int(file.stem) for file in files]
    missing = sorted(set(asked or ()) - set(there))
    if missing:
        have = ", ".join(map(str, there)) if len(there) <= 6 else f"{len(there)} steps from {there[0]} to {there[-1]}"
        raise ReportError(f"{source} holds no step {', '.join(map(str, missing))}. It holds {have}")
    return sorted(set(asked)) if asked else there[-1:]


def curve_steps(source: Path, most: int) -> list[int]:
    """Choose at most so many steps of a folder, spread evenly from its first to its last. A file has none."""
    from verl_prpo.telemetry.rollouts.read import RolloutError, step_files

    try:
        there = [int(file.stem) for file in step_files(source) if file != source]
    except RolloutError as error:
        raise ReportError(str(error)) from error
    if most < 2:
        return there[-1:] if most else []
    if len(there) <= most:
        return there
    return [there[round(i * (len(there) - 1) / (most - 1))] for i in range(most)]


def survey(
    source: Path, steps: Sequence[int] | None, threshold: float | None = None, curve: Sequence[int] = ()
) -> tuple[Survey, list[tuple[int, Summary]]]:
    """Collect the facts of every response of some steps, and the points of the curves.

    Args:
        source: a folder or a file.
        steps: the steps to show. None for a file.
        threshold: least verifier score of a right answer, in place of the verdicts of the dump.
        curve: further steps to sum up. Verdicts and prior are those of all that is read.

    Returns:
        The facts of `steps`, and a summary for each step that was read, in their order.

    Raises:
        ReportError: no response of `steps` with a record can be read.
    """
    from verl_prpo.telemetry.rollouts.read import RolloutError, read_rollouts

    surveyor = Surveyor()
    rollouts = read_rollouts(source, steps)
    further = sorted(set(curve) - set(steps or ()))
    try:
        count = 0
        for rollout in rollouts:
            surveyor.add(rollout)
            count += 1
        if not count:
            where = str(source) if steps is None else f"step {', '.join(map(str, steps))} of {source}"
            raise ReportError(_nothing(where, rollouts.skipped))
    except (OSError, RolloutError) as error:
        raise ReportError(str(error)) from error
    trouble = ""
    try:
        for rollout in read_rollouts(source, further) if further else ():
            surveyor.add(rollout)
    except (OSError, RolloutError) as error:  # of steps that nobody asked for by name
        trouble = f"The curves end where a step could not be read: {error}"
    found = surveyor.survey(threshold, rollouts.skipped)
    points = [(step, summary(facts)) for step, facts in sorted(by_step(found.facts).items())]
    return Survey(found.facts[:count], found.prior, found.verdicts, found.skipped, trouble), points


def _nothing(where: str, skipped: int) -> str:
    if not skipped:
        return f"{where} has no complete line: it is empty or still being written. Give another step"
    return (
        f"none of the {skipped} rows of {where} has a PRPO record. If they are of a GRPO run, --prm MODEL scores them "
        "with a process reward model and shows what PRPO would pay. If they are of a PRPO run, it needs "
        "algorithm.prpo.dump_responses above 0"
    )


def pick(source: Path, steps: Sequence[int] | None, indexes: Iterable[int]) -> Iterator["Rollout"]:
    """Read the responses at some places of a dump that was surveyed, in its order.

    Raises:
        ReportError: the dump is no longer what it was when it was surveyed.
    """
    from verl_prpo.telemetry.rollouts.read import RolloutError, read_rollouts

    wanted = set(indexes)
    try:
        for index, rollout in enumerate(read_rollouts(source, steps)):
            if index in wanted:
                yield rollout
                wanted.remove(index)
            if not wanted:
                return
    except RolloutError as error:
        raise ReportError(str(error)) from error
    if wanted:
        raise ReportError(f"{source} lost responses while it was read, as when its run starts anew. Try again")


def draw(facts: Sequence[Facts], limit: int, seed: int) -> list[list[Facts]]:
    """Draw whole groups with at most so many responses, in the order in which they were drawn. See `draw_groups`."""
    groups = by_group(facts)
    return draw_groups(groups, [group[0].step for group in groups], limit, seed)


def draw_groups(groups: Sequence[list[Member]], steps: Sequence[int], limit: int, seed: int) -> list[list[Member]]:
    """Draw some of the groups at random, one from each step in turn, so that nobody chooses what is shown.

    Args:
        groups: the groups to draw from.
        steps: the step of each.
        limit: most responses. Of a group that alone has more, the first ones are kept.
        seed: of the draw.
    """
    urns: dict[int, list[list[Member]]] = {}
    for group, step in zip(groups, steps, strict=True):
        urns.setdefault(step, []).append(group)
    dice = random.Random(seed)
    for urn in urns.values():
        dice.shuffle(urn)
    turns = [urn[turn] for turn in range(max(map(len, urns.values()))) for urn in urns.values() if turn < len(urn)]
    drawn: list[list[Member]] = []
    left = limit
    for group in turns:
        if len(group) <= left:
            drawn.append(group)
            left -= len(group)
    return drawn or [turns[0][:limit]]
