# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Which responses of a rollout dump are read and shown. A dump is read twice, so that it need not fit into memory."""

import random
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from verl_prpo.viewer.report_facts import Facts, by_group, facts_of, with_agreement

if TYPE_CHECKING:
    from verl_prpo.rollout_dump import Rollout


class ReportError(ValueError):
    """A dump that cannot be shown; the message names the path, what is wrong and what to give instead."""


def wanted_steps(source: Path, asked: Sequence[int] | None) -> list[int] | None:
    """The steps to read: those asked for, else the last one; None for a file, which is one step.

    Raises:
        ReportError: nothing there, or steps of a file.
    """
    from verl_prpo.rollout_dump import RolloutError, step_files

    try:
        files = step_files(source)
    except RolloutError as error:
        raise ReportError(str(error)) from error
    if files == [source]:
        if asked:
            raise ReportError(f"--steps picks from a folder, and {source} is a file; leave it out, or give the folder")
        return None
    there = [int(file.stem) for file in files]
    missing = sorted(set(asked or ()) - set(there))
    if missing:
        have = ", ".join(map(str, there)) if len(there) <= 6 else f"{len(there)} steps from {there[0]} to {there[-1]}"
        raise ReportError(f"{source} holds no step {', '.join(map(str, missing))}; it holds {have}")
    return sorted(set(asked)) if asked else there[-1:]


def survey(source: Path, steps: Sequence[int] | None, outcome_threshold: float) -> tuple[list[Facts], int]:
    """The facts of every response of some steps, and how many rows carry no record.

    Raises:
        ReportError: no response with a record can be read.
    """
    from verl_prpo.rollout_dump import RolloutError, read_rollouts

    rollouts = read_rollouts(source, steps)
    try:
        facts = [facts_of(rollout, index, outcome_threshold) for index, rollout in enumerate(rollouts)]
    except (OSError, RolloutError) as error:
        raise ReportError(str(error)) from error
    if not facts and not rollouts.skipped:
        where = str(source) if steps is None else f"step {', '.join(map(str, steps))} of {source}"
        raise ReportError(f"{where} has no complete line: it is empty or still being written; give another step")
    if not facts:
        where = str(source) if steps is None else f"step {', '.join(map(str, steps))} of {source}"
        raise ReportError(
            f"none of the {rollouts.skipped} rows of {where} has a PRPO record; give a dump of a run with "
            "algorithm.adv_estimator=prpo and trainer.rollout_data_dir"
        )
    return with_agreement(facts), rollouts.skipped


def pick(source: Path, steps: Sequence[int] | None, indexes: Collection[int]) -> Iterator["Rollout"]:
    """The responses at some places of a dump that was surveyed, in its order.

    Raises:
        ReportError: the dump is no longer what it was when it was surveyed.
    """
    from verl_prpo.rollout_dump import RolloutError, read_rollouts

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
        raise ReportError(f"{source} lost responses while it was read, as when its run starts anew; try again")


def draw(facts: Sequence[Facts], limit: int, seed: int) -> list[list[Facts]]:
    """Whole groups with at most so many responses, those that were drawn first in front.

    Groups are drawn at random, one from each step in turn: what is shown is no choice of anyone's.

    Args:
        limit: most responses; of a group that alone has more, the first ones are kept.
    """
    urns: dict[int, list[list[Facts]]] = {}
    for group in by_group(facts):
        urns.setdefault(group[0].step, []).append(group)
    dice = random.Random(seed)
    for urn in urns.values():
        dice.shuffle(urn)
    turns = [urn[turn] for turn in range(max(map(len, urns.values()))) for urn in urns.values() if turn < len(urn)]
    drawn: list[list[Facts]] = []
    left = limit
    for group in turns:
        if len(group) <= left:
            drawn.append(group)
            left -= len(group)
    return drawn or [turns[0][:limit]]
