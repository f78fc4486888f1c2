# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What is run, fixed before the rule was first run on any of these tasks.

The rule is the credit "trust" with `process_weight=auto` as it stands in `verl_prpo.method`. It was chosen on the tasks
walk, early and words with seeds 11 to 26. On the tasks below only plain GRPO had been run before, to see that it learns
(seeds 101 and 102) and to find its learning rates.

Every arm trains at the rate that was tuned for GRPO, for that is what a user's switch is. The headline is greedy
accuracy on held-out problems, the mean of the last three measurements (steps 32, 36 and 40), because a single one is
noisy. Accuracy at temperature 1 after the last step is second. Twelve seeds: paired differences on the choosing tasks
had standard deviations of 0.7 to 4.5 points, so that twelve leave a task's mean an interval of 0.4 to 2.9 points either
way.

It counts as success with learned PRMs when

1. the mean over tasks is above GRPO, with the 95% interval over task means (t) above 0, greedily;
2. on each task the lower bound of the 95% interval over seeds (t) is above -3 points; where it is not, the page says
   "not shown" for that task;
3. runs with the random and the reversed PRM are identical to GRPO's;
4. with exact labels the mean is above GRPO by both figures.

No task and no seed is dropped afterwards.

Second, after the runs at GRPO's rate: every arm at its own rate, tuned as GRPO's was, and runs with verl and vLLM. The
latter are of two tasks: where the paper's rule is the furthest above GRPO, greedily and with the learned PRM, and where
it is the furthest below. These plans were fixed before a run of either.
"""

from collections.abc import Iterator, Mapping

from study.plan import RATES as FIRST_RATES
from study.plan import TUNING_SEEDS, Run, rates_to_try
from study.trainer import Settings

RATES: dict[str, float] = {"swaps": 2e-4, "piles": 2e-4, "idle": 4e-4, "carry": 2e-4, "stack": 5e-5, "circuit": 5e-5}
"""GRPO's learning rate for each task, tuned with seed 101 over 1e-4, 2e-4, 4e-4 and beyond where the best is at an
edge, by half the area under the greedy curve and half the final accuracy at temperature 1."""
TASKS = tuple(RATES)
SEEDS = tuple(range(201, 213))
CONTROL_TASKS, CONTROL_SEEDS = ("swaps", "carry", "idle"), (201, 202, 203)
EXACT_SEEDS = SEEDS[:6]
STEPS, PROMPTS, ROLLOUTS, LOOK_EVERY = 40, 16, 8, 4
LATE = 3
"""Measurements of greedy accuracy that the headline averages."""
MORE_ROLLOUTS = 10
"""Responses a prompt of the GRPO that spends on rollouts what the PRM costs: as if reading 8 responses cost as much as
writing and training on 2."""
PRM_FREE = ("grpo", "grpo_more")
WEAK, NOTHING = ("learned_weak", "oracle"), ("random", "reversed")
OWN_ARMS, OWN_SEEDS = ("trust", "prpo", "pure"), SEEDS[:6]
"""Arms that are run at rates of their own, too, with the learned PRM that they are tuned with."""
FULL_STACK_ARMS, FULL_STACK_SEEDS = ("grpo", "prpo", "trust"), SEEDS[:3]


def run_of(task: str, prm: str, arm: str, seed: int, weight: float | None = None, rate: float | None = None) -> Run:
    """A run, at GRPO's rate unless another is given.

    `grpo_more` is GRPO with more rollouts. `trust_fixed` is trust with a fixed weight.
    """
    rollouts = MORE_ROLLOUTS if arm == "grpo_more" else ROLLOUTS
    name = {"grpo_more": "grpo", "trust_fixed": "trust"}.get(arm, arm)
    prm = "oracle" if arm in PRM_FREE else prm
    lr = RATES[task] if rate is None else rate
    return Run(task, prm, Settings(name, seed, STEPS, lr, PROMPTS, rollouts, LOOK_EVERY, weight))


def arm_of(run: Run) -> str:
    """The arm that `run_of` made a run for."""
    settings = run.settings
    if settings.weight is not None:
        return "trust_fixed"
    return "grpo_more" if settings.rollouts == MORE_ROLLOUTS else settings.arm


def planned() -> int:
    """How many runs there are to be at GRPO's rate."""
    return sum(1 for _ in (*first(), *controls(), *others())) + len(SEEDS) * len(TASKS)


def first() -> Iterator[Run]:
    """GRPO and the rule, seed by seed: the headline."""
    return _each_seed("grpo", "trust")


def others() -> Iterator[Run]:
    """The arms that the rule is shown beside."""
    return _each_seed("prpo", "pure", "grpo_more")


def _each_seed(*arms: str) -> Iterator[Run]:
    for seed in SEEDS:
        for task in TASKS:
            for arm in arms:
                yield run_of(task, "learned", arm, seed)


def controls() -> Iterator[Run]:
    """PRMs that know nothing, everything, or little."""
    for seed in CONTROL_SEEDS:
        for task in CONTROL_TASKS:
            for prm in NOTHING:
                yield run_of(task, prm, "trust", seed)
    for seed in EXACT_SEEDS:
        for task in CONTROL_TASKS:
            for prm in WEAK:
                for arm in ("trust", "prpo"):
                    yield run_of(task, prm, arm, seed)


def fixed(mean_weight: dict[str, float]) -> Iterator[Run]:
    """The rule with its weight fixed at the mean that it had on a task with the learned PRM."""
    for seed in SEEDS:
        for task, weight in mean_weight.items():
            yield run_of(task, "learned", "trust_fixed", seed, round(weight, 3))


def tuning(scores: Mapping[tuple[str, str], Mapping[float, float]]) -> Iterator[Run]:
    """Runs that choose a rate for each arm and task, GRPO's once more among them.

    Args:
        scores: of the rates that were tried, by task and arm, see `study.statistics.rate_scores`.
    """
    for seed in TUNING_SEEDS:
        for task in TASKS:
            for arm in (*OWN_ARMS, "grpo"):
                for rate in rates_to_try(FIRST_RATES, scores.get((task, arm), {})):
                    yield run_of(task, "learned", arm, seed, rate=rate)


def own(rates: Mapping[tuple[str, str], float]) -> Iterator[Run]:
    """Each arm at its own rate; where that is GRPO's, the run is one of those at GRPO's rate.

    Args:
        rates: by task and arm.
    """
    for seed in OWN_SEEDS:
        for task in TASKS:
            for arm in OWN_ARMS:
                yield run_of(task, "learned", arm, seed, rate=rates[task, arm])


def full_stack(gains: Mapping[str, float]) -> Iterator[Run]:
    """Runs for verl and vLLM, on the task where the paper's rule gains most and on the one where it loses most.

    Args:
        gains: by task, points of the paper's rule over GRPO, greedily, with the learned PRM.
    """
    for seed in FULL_STACK_SEEDS:
        for task in (max(gains, key=gains.__getitem__), min(gains, key=gains.__getitem__)):
            for arm in FULL_STACK_ARMS:
                yield run_of(task, "learned", arm, seed)
