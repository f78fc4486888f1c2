# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Rollout dumps: what `trainer.rollout_data_dir` holds of each response, read back as plain data.

verl writes a file per step, `{step}.jsonl`, and in it a line per response. This package adds the column `prpo`, the
record of what became of the response on its way to the actor. docs/rollouts.md has the format.

    from verl_prpo.telemetry.rollouts.read import read_rollouts

    for rollout in read_rollouts(Path("rollouts"), steps=[5]):
        print(rollout.outcome_reward, [(segment.text, segment.score) for segment in rollout.segments])
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_prpo.telemetry.rollouts.format import rollout_of
from verl_prpo.telemetry.rollouts.rollout import Rollout, Segment

__all__ = ["Rollout", "RolloutError", "Rollouts", "Row", "Segment", "read_rollouts", "read_rows", "step_files"]


class RolloutError(ValueError):
    """A dump that cannot be read. The message names the file, the line and what is wrong."""


@dataclass(frozen=True)
class Row:
    """One line of a dump.

    Attributes:
        file: the file that holds it.
        line: its number, from 1.
        columns: verl's columns and, in `prpo`, the record.
    """

    file: Path
    line: int
    columns: Mapping[str, Any]

    def rollout(self) -> Rollout | None:
        """Return the response with its record, or None for a row that carries none.

        Raises:
            RolloutError: the record cannot be used.
        """
        try:
            return rollout_of(self.columns)
        except KeyError as error:
            raise RolloutError(f"{self.file}, line {self.line}: {error} is missing") from error
        except (ValueError, TypeError, OverflowError) as error:
            raise RolloutError(f"{self.file}, line {self.line}: {error}") from error


class Rollouts(Iterator[Rollout]):
    """The rollouts of a dump one by one. Only the line at hand is in memory.

    Attributes:
        skipped: rows passed so far that carry no record: padding, responses beyond `algorithm.prpo.dump_responses`,
            dumps of validation or of another advantage estimator.
    """

    def __init__(self, rows: Iterator[Row]):
        self.skipped = 0
        self._rows = rows

    def __next__(self) -> Rollout:
        for row in self._rows:
            rollout = row.rollout()
            if rollout is not None:
                return rollout
            self.skipped += 1
        raise StopIteration


def read_rollouts(source: Path | str, steps: Sequence[int] | None = None) -> Rollouts:
    """Read the responses of a dump that carry a record, step by step and in each step group by group.

    Args:
        source: the folder of `trainer.rollout_data_dir`, or one step's `.jsonl`.
        steps: only these steps of a folder. None reads all of them.

    Returns:
        An iterator over `Rollout`. Its `skipped` counts the rows without a record that it has passed. A last line that
        is still being written is left out.

    Raises:
        RolloutError: nothing there, a step that is not there, a line that cannot be read, or a record of another
            format. Lines are read as the iterator reaches them.

    Example:
        The worst step of each response of a run that had `trainer.rollout_data_dir=rollouts`:

        >>> from verl_prpo import read_rollouts
        >>> for rollout in read_rollouts("rollouts", steps=[1]):
        ...     scored = [segment for segment in rollout.segments if segment.score is not None]
        ...     for segment in sorted(scored, key=lambda segment: segment.score)[:1]:
        ...         print(rollout.outcome_reward, segment.score, repr(segment.text))
        1.0 0.25 ' So it is 3.'
    """
    if isinstance(steps, (int, str)):
        raise RolloutError(f"steps={steps!r} must be a list of numbers, such as [1]")
    return Rollouts(row for file in step_files(Path(source).expanduser(), steps) for row in read_rows(file))


def step_files(source: Path, steps: Sequence[int] | None = None) -> list[Path]:
    """List the files of a dump in the order of their steps.

    Raises:
        RolloutError: nothing there, or a step that is not there.
    """
    try:
        if not source.is_dir():
            if not source.is_file():
                raise RolloutError(f"{source} is not there. Give the folder that trainer.rollout_data_dir names")
            return [source]
        found = {int(f.stem): f for f in sorted(source.iterdir()) if f.suffix == ".jsonl" and f.stem.isdecimal()}
    except OSError as error:
        raise RolloutError(f"{source} cannot be read: {error.strerror}") from error
    if not found:
        raise RolloutError(
            f"{source} holds no step's dump, such as 1.jsonl. Give the folder that trainer.rollout_data_dir names"
        )
    absent = [step for step in steps or () if step not in found]
    if absent:
        raise RolloutError(
            f"{source} holds no step {absent[0]}. It has {len(found)}, from {min(found)} to {max(found)}"
        )
    return [found[step] for step in sorted(found if steps is None else set(steps))]


def read_rows(file: Path) -> Iterator[Row]:
    """Read the rows of one file, with or without a record.

    In a step's file (`5.jsonl`) a last line that is still being written is left out.

    Raises:
        RolloutError: the file cannot be read, or a line is not a JSON object.
    """
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    columns = json.loads(line)
                except (ValueError, RecursionError) as error:
                    if file.stem.isdecimal() and not line.endswith(b"\n"):
                        return  # no prefix of an object is JSON: the rest is still to come
                    raise RolloutError(f"{file}, line {number}: no JSON: {error}") from error
                if not isinstance(columns, dict):
                    raise RolloutError(f"{file}, line {number}: not a JSON object")
                yield Row(file, number, columns)
    except OSError as error:
        raise RolloutError(f"{file} cannot be read: {error}") from error
