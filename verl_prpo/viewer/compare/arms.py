# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The logs that are compared: the arms of a comparison and their seeds, from the arguments of a command line."""

import difflib
import glob
import itertools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verl_prpo.viewer.compare.runs import LogError, RunLog, read_run

STEP_TIME = "timing_s/step"


@dataclass
class Arm:
    """Runs that differ in nothing but their seed.

    Attributes:
        label: its name in plots and tables.
        runs: one per seed, in the order given.
    """

    label: str
    runs: list[RunLog]


def read_arms(arguments: Sequence[str]) -> list[Arm]:
    """Read the arms, in the order in which their labels first appear.

    Args:
        arguments: each `PATH` or `LABEL=PATH`, where PATH may be a glob pattern. Paths with one label are seeds of one
            arm. Without a label, a path is an arm of its own, named by what distinguishes it from the other paths.

    Raises:
        LogError: a path without a log, a log given twice, labels that differ in case only.
    """
    labelled: list[tuple[str | None, Path]] = []
    for argument in arguments:
        label, paths = _split(argument)
        labelled += [(label, path) for path in paths]
    names = iter(_names([path for label, path in labelled if label is None]))
    arms: dict[str, Arm] = {}
    for label, path in labelled:
        name = next(names) if label is None else label
        arms.setdefault(name, Arm(name, [])).runs.append(read_run(path))
    folded: dict[str, str] = {}
    for name in arms:
        if folded.setdefault(name.casefold(), name) != name:
            raise LogError(f"the labels {folded[name.casefold()]} and {name} differ in case only. Write one of them")
    _refuse_equal_runs([run for arm in arms.values() for run in arm.runs])
    return list(arms.values())


def with_baseline(arms: list[Arm], label: str | None) -> list[Arm]:
    """Return the arms with the baseline first. Without a label the first arm is the baseline.

    Raises:
        LogError: no arm has that label.
    """
    if label is None:
        return arms
    labels = [arm.label for arm in arms]
    if label not in labels:
        near = difflib.get_close_matches(label, labels, n=1, cutoff=0.3)
        raise LogError(
            f"--baseline {label}: no run has this label{f'; did you mean {near[0]}?' if near else '.'} "
            f"The labels are {', '.join(labels)}"
        )
    return sorted(arms, key=lambda arm: arm.label != label)


def _split(argument: str) -> tuple[str | None, list[Path]]:
    """Split an argument into label and paths. A path that exists as it is written has no label, even with a = in it."""
    if found := _matches(argument):
        return None, found
    label, equals, pattern = argument.partition("=")
    if not equals:
        raise LogError(f"there is no {argument}")
    if not label.strip():
        raise LogError(f"{argument}: the label before = is empty")
    found = _matches(os.path.expanduser(pattern))
    if not found:
        raise LogError(f"there is no {pattern} (label {label})")
    return label.strip(), found


def _matches(pattern: str) -> list[Path]:
    if pattern and Path(pattern).exists():
        return [Path(pattern)]
    # Seed 10 after seed 9: pairs of seeds are formed in this order.
    return [Path(path) for path in sorted(glob.glob(pattern, recursive=True), key=_natural)]


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def _names(paths: Sequence[Path]) -> list[str]:
    """Name each path by its parts, without those that all paths share at the beginning and at the end."""
    parts = [Path(os.path.realpath(path)).parts for path in paths]
    if len(set(parts)) < 2:
        return [path.resolve().name for path in paths]
    shortest = min(map(len, parts))
    begin = next(i for i in range(shortest + 1) if i == shortest or len({part[i] for part in parts}) > 1)
    end = 0
    while end < shortest - begin - 1 and len({part[-1 - end] for part in parts}) == 1:
        end += 1
    return ["/".join(part[begin : len(part) - end]) or part[-1] for part in parts]


def _refuse_equal_runs(runs: Sequence[RunLog]) -> None:
    """Refuse a run that is given twice, as when a pattern also matches a copy of its log.

    Logs with equal step times hold the same run, because the step times of two runs differ.
    """
    for earlier, later in itertools.combinations(runs, 2):
        a, b = earlier.series.get(STEP_TIME, {}), later.series.get(STEP_TIME, {})
        common = a.keys() & b.keys()
        same = bool(common) and all(a[step] == b[step] for step in common)
        if same or earlier.path.resolve() == later.path.resolve():
            raise LogError(f"{earlier.path} and {later.path} hold the same run, which may be given only once")
