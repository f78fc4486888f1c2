# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What came of the registered test: finished runs by arm, and differences from GRPO with their intervals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats
from study.runs import Result
from study.statistics import Difference, best_rates, rate_scores
from study.trust import registered

Key = tuple[str, str, str, int]
"""Task, PRM, arm and seed."""
Figure = Callable[[Result], float]
Prms = Mapping[str, Mapping[str, float]]
RESAMPLES, SEED = 10_000, 0


@dataclass(frozen=True)
class Outcome:
    """Finished runs.

    Attributes:
        runs: at GRPO's rate, by task, PRM, arm and seed; those of arms without a PRM under "oracle".
        tuning: that choose each arm's own rate.
        own: at each arm's own rate, as in `runs`; empty while tuning is not finished.
        full_stack: with verl and vLLM, as in `runs`.
        prms: by "task PRM", shares of the starting policy's wrong lines that it finds (`on_wrong`) and of the right
            ones that it passes (`on_right`).
    """

    runs: Mapping[Key, Result]
    tuning: Sequence[Result] = ()
    own: Mapping[Key, Result] = field(default_factory=dict)
    full_stack: Mapping[Key, Result] = field(default_factory=dict)
    prms: Prms = field(default_factory=dict)

    @classmethod
    def read(cls, results: Sequence[Result], full_stack: Sequence[Result] = (), prms: Prms | None = None) -> "Outcome":
        """From runs in any order, those of the light trainer and those of verl, and what is known of the PRMs."""
        tuning = [result for result in results if result.run.settings.seed in registered.TUNING_SEEDS]
        rates = own_rates(tuning)
        runs, own = {}, {}
        for result in results:
            task, prm, arm, seed = key = _key(result)
            if seed in registered.SEEDS and result.run.settings.lr == registered.RATES[task]:
                runs[key] = result
            of_own = prm == "learned" and arm in registered.OWN_ARMS and seed in registered.OWN_SEEDS
            if of_own and result.run.settings.lr == rates.get((task, arm)):
                own[key] = result
        return cls(runs, tuning, own, {_key(result): result for result in full_stack}, prms or {})

    @property
    def rates(self) -> dict[tuple[str, str], float]:
        """Each arm's own rate by task and arm; empty while tuning is not finished."""
        return own_rates(self.tuning)

    def differences(
        self, arm: str, prm: str, figure: Figure, tasks: Sequence[str], own: bool = False
    ) -> dict[str, list[float]]:
        """By task: the arm less GRPO in points, for each seed that both were run with.

        Args:
            arm: its name.
            prm: that it was run with.
            figure: of a run.
            tasks: to look at.
            own: whether the arm's runs are those at its own rate; GRPO's rate is its own.
        """
        prm = "oracle" if arm in registered.PRM_FREE else prm
        runs = self.own if own else self.runs
        found: dict[str, list[float]] = {}
        for task in tasks:
            for seed in registered.SEEDS:
                ours, theirs = runs.get((task, prm, arm, seed)), self.runs.get((task, "oracle", "grpo", seed))
                if ours and theirs:
                    found.setdefault(task, []).append(100 * (figure(ours) - figure(theirs)))
        return found

    def of(self, task: str, arm: str) -> list[Result]:
        """An arm's runs on a task, with the learned PRM where it has one."""
        prm = "oracle" if arm in registered.PRM_FREE else "learned"
        return [r for (name, of_prm, of_arm, _), r in self.runs.items() if (name, of_prm, of_arm) == (task, prm, arm)]

    def identical(self, prm: str) -> tuple[int, int]:
        """Of the rule's runs with a PRM: how many are GRPO's run step by step, and how many there are."""
        alike = pairs = 0
        for (task, name, arm, seed), result in self.runs.items():
            theirs = self.runs.get((task, "oracle", "grpo", seed))
            if name != prm or arm != "trust" or theirs is None:
                continue
            pairs += 1
            names = ("accuracy", "greedy", "sampled", "entropy", "length", "advantage_mean")
            alike += all(
                ours.get(measure) == other.get(measure)
                for ours, other in zip(result.rows, theirs.rows, strict=True)
                for measure in names
            )
        return alike, pairs


def greedy(result: Result) -> float:
    """Mean of the last measurements of greedy accuracy."""
    return float(np.mean([row["greedy"] for row in result.rows if "greedy" in row][-registered.LATE :]))


def sampled(result: Result) -> float:
    """Accuracy at temperature 1 after the last step."""
    return [row["sampled"] for row in result.rows if "sampled" in row][-1]


def over_seeds(values: Sequence[float]) -> Difference:
    """The mean of one task, with the 95% interval of Student's t over seeds."""
    return _by_t(values, len(values))


def over_tasks(of_task: Mapping[str, Sequence[float]]) -> Difference:
    """The mean of tasks, with the 95% interval of Student's t over task means."""
    return _by_t([float(np.mean(values)) for values in of_task.values()], sum(map(len, of_task.values())))


def hierarchical(of_task: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """A 95% bootstrap interval of the mean of tasks: tasks are drawn, then seeds within each."""
    random = np.random.default_rng(SEED)
    values = [np.asarray(found) for found in of_task.values()]
    means = []
    for _ in range(RESAMPLES):
        drawn = random.integers(len(values), size=len(values))
        means.append(np.mean([random.choice(values[i], len(values[i])).mean() for i in drawn]))
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _by_t(values: Sequence[float], pairs: int) -> Difference:
    mean = float(np.mean(values))
    if len(values) < 2:
        return Difference(mean, float("nan"), float("nan"), float("nan"), pairs)
    error = float(stats.sem(values))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, len(values) - 1)) if error else float(mean == 0)
    return Difference(mean, mean - half, mean + half, p, pairs)


def _key(result: Result) -> Key:
    run = result.run
    return run.task, run.prm, registered.arm_of(run), run.settings.seed


def own_rates(tuning: Sequence[Result]) -> dict[tuple[str, str], float]:
    """The best rate by task and arm; none while a run of the tuning is missing."""
    wanted = set(registered.tuning(rate_scores(tuning)))
    return best_rates(tuning) if wanted <= {result.run for result in tuning} else {}
