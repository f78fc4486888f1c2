# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What is run: learning rates are tuned on seeds of their own; of the runs that are reported the headline is first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from study.arms import ARMS
from study.credit import CUTS
from study.tasks import TASKS
from study.trainer import Settings

RATES = (1e-4, 2e-4, 4e-4)
LEAST_RATE, MOST_RATE = 2.5e-5, 8e-4
"""Where the best of `RATES` is the lowest or the highest of them, half or twice as much is tried, too, and so on."""
TUNING_SEEDS = (101,)
SEEDS = (1, 2, 3, 4, 5)
ABLATION_SEEDS = (1, 2, 3)
PRMS = ("oracle", "learned")

HEADLINE = ("grpo", "dr_grpo", "grpo_mean_score", "prpo", "prm_avg", "prm_avg_prpo", "pure", "process")
"""Arms with learning rates of their own, on every task."""
PRM_FREE = ("grpo", "dr_grpo")
"""Arms that no PRM can change: run once, with the oracle beside them for the record, and compared with all."""

DEFECTS = tuple(arm for arm in ARMS if arm.startswith("defect_"))
CUT_ARMS = tuple(f"prpo_{cut}" for cut in CUTS if cut != "entropy")
BORROWS = {"process_centred": "process", "defect_padded_mean": "prm_avg"}
"""The headline arm whose learning rate an ablation uses, where it is not "prpo"."""


Rates = Mapping[tuple[str, str], float]
"""Learning rate by task and headline arm."""


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        task, prm: by name.
        settings: of the trainer.
    """

    task: str
    prm: str
    settings: Settings

    @property
    def name(self) -> str:
        """For people."""
        settings = self.settings
        rollouts = f", {settings.rollouts} rollouts" if settings.rollouts != 8 else ""
        return f"{self.task}, {self.prm}, {settings.arm}, seed {settings.seed}, lr {settings.lr:g}{rollouts}"


@dataclass(frozen=True)
class Plan:
    """The runs of a study.

    Attributes:
        tasks: by name.
        arms: of the headline comparison.
        prms: of the headline comparison.
        seeds: of the headline comparison.
        steps, prompts: of every run.
        rates: to choose from first for each task and arm, with the oracle; a single one leaves nothing to tune.
    """

    tasks: Sequence[str] = tuple(TASKS)
    arms: Sequence[str] = HEADLINE
    prms: Sequence[str] = PRMS
    seeds: Sequence[int] = SEEDS
    steps: int = 40
    prompts: int = 16
    rates: Sequence[float] = RATES
    tuning_seeds: Sequence[int] = TUNING_SEEDS
    ablation_seeds: Sequence[int] = ABLATION_SEEDS

    def tuning(self, scores: Mapping[tuple[str, str], Mapping[float, float]]) -> Iterator[Run]:
        """Runs that choose the learning rates of the headline arms, task by task.

        Args:
            scores: of the rates that were tried, by task and arm: where the best is at an edge, one more follows.
        """
        if len(self.rates) < 2:
            return
        for seed in self.tuning_seeds:
            for task in self.tasks:
                for arm in self.arms:
                    for rate in rates_to_try(self.rates, scores.get((task, arm), {})):
                        yield self._run(task, "oracle", arm, seed, rate)

    def reported(self, rate: Rates) -> Iterator[Run]:
        """The runs that are reported; some belong to several comparisons and come up once.

        Args:
            rate: learning rate by task and headline arm.
        """
        rest = [run for part in (self.prm_quality, self.ablations, self.rollouts) for run in part(rate)]
        by_seed = sorted(rest, key=lambda run: run.settings.seed)  # an early end leaves whole comparisons behind
        yield from dict.fromkeys((*self.headline(rate), *self.weights(rate), *by_seed))

    def headline(self, rate: Rates) -> Iterator[Run]:
        """Every arm on every task, seed by seed."""
        for seed in self.seeds:
            for task in self.tasks:
                for prm in self.prms:
                    for arm in self.arms:
                        if prm == "oracle" or arm not in PRM_FREE:
                            yield self._run(task, prm, arm, seed, rate[task, arm])

    def weights(self, rate: Rates) -> Iterator[Run]:
        """PRPO with less of the process advantage beside the outcome; slower, where a learned PRM leads astray."""
        for seed in self.seeds:
            for task in self.tasks:
                for prm in self.prms:
                    yield self._run(task, prm, "prpo_half", seed, rate[task, "prpo"])
        for seed in self.ablation_seeds:
            for task in self.tasks:
                yield self._run(task, "learned", "prpo_quarter", seed, rate[task, "prpo"])
            yield self._run("early", "oracle", "prpo_quarter", seed, rate["early", "prpo"])
            for task in ("words", "walk"):
                yield self._run(task, "learned", "prpo_slow", seed, rate[task, "prpo"] / 2)

    def ablations(self, rate: Rates) -> Iterator[Run]:
        """The other arms with the oracle; those that answer a poor PRM with the learned one, too."""
        variants = ("prpo_sigma", "relative", "prpo_group_mean", "prpo_calibrated")
        for seed in self.ablation_seeds:
            for arm in (*variants, "prpo_skip", "process_centred", *DEFECTS):
                yield self._run("early", "oracle", arm, seed, rate["early", borrowed(arm)])
            for arm in (*variants, *CUT_ARMS):
                yield self._run("words", "oracle", arm, seed, rate["words", borrowed(arm)])
            for arm in ("process_centred", "prpo_group_mean", "prpo_calibrated"):
                yield self._run("early", "learned", arm, seed, rate["early", borrowed(arm)])
            for task, prm in (("early", "oracle"), ("early", "learned"), ("walk", "learned")):
                yield self._run(task, prm, "prpo_zero_one", seed, rate[task, "prpo"])

    def prm_quality(self, rate: Rates) -> Iterator[Run]:
        """Worse and worse PRMs, with placed credit and, for some, with the same scores as one reward."""
        poor = ("noise5", "noise10", "noise20", "noise30", "kind", "harsh", "length", "learned_weak")
        some = ("noise10", "noise30", "learned_weak")
        for seed in self.ablation_seeds:
            for task, arm, prms in (
                ("early", "prpo", poor),
                ("early", "grpo_mean_score", some),
                ("words", "prpo", some),
            ):
                for prm in prms:
                    yield self._run(task, prm, arm, seed, rate[task, arm])
            for task in ("early", "words"):
                for arm in ("prpo_half", "prpo_quarter", "prm_avg", "pure"):
                    yield self._run(task, "learned_weak", arm, seed, rate[task, borrowed(arm)])

    def rollouts(self, rate: Rates) -> Iterator[Run]:
        """Four and sixteen responses a prompt."""
        for seed in self.ablation_seeds:
            for rollouts in (4, 16):
                for arm in ("grpo", "prpo"):
                    yield self._run("early", "oracle", arm, seed, rate["early", arm], rollouts)

    def _run(self, task: str, prm: str, arm: str, seed: int, rate: float, rollouts: int = 8) -> Run:
        return Run(task, prm, Settings(arm, seed, self.steps, rate, self.prompts, rollouts))


@dataclass(frozen=True)
class QuickPlan(Plan):
    """A look in ten minutes: two tasks, four arms, two seeds, half the steps, no tuning and no ablations."""

    tasks: Sequence[str] = ("early", "walk")
    arms: Sequence[str] = ("grpo", "grpo_mean_score", "prpo", "process")
    seeds: Sequence[int] = (1, 2)
    steps: int = 24
    rates: Sequence[float] = (2e-4,)

    def reported(self, rate: Rates) -> Iterator[Run]:
        """The headline alone."""
        return self.headline(rate)


def borrowed(arm: str) -> str:
    """The headline arm whose learning rate an arm uses."""
    return arm if arm in HEADLINE else BORROWS.get(arm, "prpo")


def rates_to_try(first: Sequence[float], scores: Mapping[float, float]) -> list[float]:
    """Learning rates from low to high: the first ones, those with a score, and one beyond the best if it is at an edge.

    The smaller of equals is the best; nothing beyond `LEAST_RATE` and `MOST_RATE` is tried.
    """
    tried = sorted({*first, *scores})
    if set(first) <= scores.keys():
        best = max(sorted(scores), key=lambda rate: scores[rate])
        if best == tried[0] and best / 2 >= LEAST_RATE:
            tried.insert(0, best / 2)
        elif best == tried[-1] and 2 * best <= MOST_RATE:
            tried.append(2 * best)
    return tried
