# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Finished runs by task, PRM, arm, rollouts and seed."""

from collections.abc import Callable, Sequence

from study.plan import PRM_FREE
from study.runs import Result
from study.tasks import TASKS


class Results:
    """Runs to look up.

    Raises:
        ValueError: two runs differ in learning rate or steps alone, or one task's runs come from different code.
    """

    def __init__(self, results: Sequence[Result]):
        self._of: dict[tuple[str, str, str, int], dict[int, Result]] = {}
        sources: dict[str, str] = {}
        for result in results:
            run, settings = result.run, result.run.settings
            found = self._of.setdefault((run.task, run.prm, settings.arm, settings.rollouts), {})
            if settings.seed in found:
                raise ValueError(f"two runs of {run.task}, {run.prm}, {settings.arm}, seed {settings.seed}: keep one")
            if sources.setdefault(run.task, result.source) != result.source:
                raise ValueError(f"runs of {run.task} come from different code: remove the older ones")
            found[settings.seed] = result
        self.tasks = [task for task in TASKS if task in sources]

    def of(self, task: str, prm: str, arm: str, rollouts: int = 8) -> dict[int, Result]:
        """Runs by seed; those of an arm that no PRM can change are looked up with the oracle."""
        return self._of.get((task, "oracle" if arm in PRM_FREE else prm, arm, rollouts), {})

    def has(self, prm: str, arm: str) -> bool:
        """Whether there is any run of an arm with a PRM."""
        return any(self.of(task, prm, arm) for task in self.tasks)

    def differences(
        self,
        prm: str,
        arm: str,
        base: str,
        figure: Callable[[Result], float],
        seeds: Sequence[int] | None = None,
        rollouts: int = 8,
        base_prm: str | None = None,
    ) -> dict[str, list[float]]:
        """By task: a figure of an arm less that of another, for each seed that both were run with (of `seeds`).

        Both have the same PRM unless `base_prm` is given.
        """
        found = {}
        for task in self.tasks:
            ours, theirs = self.of(task, prm, arm, rollouts), self.of(task, base_prm or prm, base, rollouts)
            shared = [seed for seed in sorted(ours) if seed in theirs and (seeds is None or seed in seeds)]
            if shared:
                found[task] = [figure(ours[seed]) - figure(theirs[seed]) for seed in shared]
        return found

    def curves(self, task: str, prm: str, arm: str, name: str) -> tuple[list[float], list[list[float]]]:
        """Steps at which a measure was taken, and its values for each seed."""
        runs = list(self.of(task, prm, arm).values())
        steps = [row["step"] for row in runs[0].rows if name in row] if runs else []
        return steps, [[row[name] for row in run.rows if name in row] for run in runs]
