# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Statistics of training curves: the mean of an arm with its band, and how far two arms lie apart."""

import difflib
import math
import statistics
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.integrate import trapezoid
from scipy.stats import sem, ttest_1samp, ttest_ind
from scipy.stats import t as student_t

from verl_prpo.viewer.compare.arms import STEP_TIME, Arm
from verl_prpo.viewer.compare.runs import LogError, RunLog, Series

CONFIDENCE = 0.95
MOST_POINTS = 100
"""Most points of a curve. With more, the noise of single steps hides the curve."""
LEAST_FINAL = 5
"""Least number of steps in the final value of a training metric. One step of a short run is mostly noise."""

FINAL_SHARE = 0.1
"""Share of the compared steps, the last ones, whose mean is the final value of a training metric."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class Metric:
    """A curve: a logged metric, or the sum of several over another.

    Attributes:
        title: the name for people.
        keys: names in verl's logs. The values of those that a step has are added.
        over: name of the metric that the sum is divided by, if any.
        unit: "%" for shares (the values stay in [0, 1]), "s", "tokens", "nats" or none.
        absent: why a run may have none of it.
    """

    title: str
    keys: tuple[str, ...]
    over: str = ""
    unit: str = ""
    absent: str = ""

    @property
    def heading(self) -> str:
        """Title and unit, for people."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def validation(self) -> bool:
        """True if validations give the metric, not training steps."""
        return self.keys[0].startswith("val-")

    @property
    def name(self) -> str:
        """The metric's name in the logs."""
        summed = " + ".join(self.keys)
        return f"({summed}) / {self.over}" if self.over else summed

    def read(self, run: RunLog) -> Series:
        """Return the metric's values in a run. There are none when the run does not log it."""
        parts = [run.series[key] for key in self.keys if key in run.series]
        steps = sorted({step for part in parts for step in part})
        series = {step: sum(part[step] for part in parts if step in part) for step in steps}
        if not self.over:
            return series
        whole = run.series.get(self.over, {})
        return {s: value / whole[s] if whole[s] else math.nan for s, value in series.items() if s in whole}


NO_PRM = "only a run with a PRM logs it"
PRM_EXPOSED = ("timing_s/prm_submit", "timing_s/prm_wait")
TRAINING_METRICS = (
    Metric("outcome mean, training", ("critic/score/mean",)),
    Metric("PRM mean", ("prpo/process_score/mean",), absent=NO_PRM),
    Metric("response length", ("response_length/mean",), unit="tokens"),
    Metric("policy entropy", ("actor/entropy",), unit="nats"),
    Metric("step time", (STEP_TIME,), unit="s"),
    Metric("PRM's exposed share of a step", PRM_EXPOSED, over=STEP_TIME, unit="%", absent=NO_PRM),
)


TRUST_METRICS = (
    Metric("weight that the PRM has earned", ("prpo/trust/earned",), absent=NO_PRM),
    Metric("weight of the PRM", ("prpo/trust/weight",), absent="only a run with the credit trust logs it"),
)
"""Metrics of the credit trust, which are compared where a run logs them."""


def metrics_of(arms: Sequence[Arm], extra: Sequence[str] = ()) -> list[Metric]:
    """Choose the metrics to compare.

    They are `val-core/*` of validations, `TRAINING_METRICS`, those of `TRUST_METRICS` that a run logs, and `extra` by
    their names in the logs.

    Raises:
        LogError: no run logs one of `extra`.
    """
    logged = {key for arm in arms for run in arm.runs for key in run.series}
    core = sorted(key for key in logged if key.startswith("val-core/"))
    # With several samples per problem verl also logs the best of them and the majority's.
    means = [key for key in core if "/mean@" in key] or core
    for name in extra:
        if name not in logged:
            raise LogError(f"--metric {name}: no run logs it; {_near(name, logged)}")
    validations = [Metric(_validation_title(key), (key,)) for key in means]
    trust = [metric for metric in TRUST_METRICS if metric.name in logged]
    chosen = [Metric(name, (name,)) for name in dict.fromkeys(extra) if name not in {metric.name for metric in trust}]
    return [*validations, *TRAINING_METRICS, *trust, *chosen]


def _near(name: str, logged: Iterable[str]) -> str:
    """Ask for the metrics that a name most likely means, whole or by one of its parts, or list all of them."""
    names = sorted(logged)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if not near:
        parts = {part for one in names for part in one.split("/")}
        close = difflib.get_close_matches(name.rpartition("/")[2], parts, n=2, cutoff=0.6)
        near = [one for part in close for one in names if part in one.split("/")][:3]
    return f"did you mean {' or '.join(near)}?" if near else f"they log {', '.join(names)}"


def _validation_title(key: str) -> str:
    _, source, *rest = key.split("/")
    variable, aggregate = (rest[0], "/".join(rest[1:])) if rest else ("", "")
    return f"held-out {'accuracy' if variable == 'acc' else variable or 'metric'}, {source} {aggregate}".rstrip()


@dataclass(frozen=True)
class Curve:
    """The mean of an arm's runs.

    Attributes:
        steps: the steps that all its runs have, or the middle of each bin of them.
        mean: the mean per step. NaN where one run has no finite number.
        band: (low, high) per step. With two runs these are their values, with more the 95% t-interval of the mean. None
            for one run.
        width: steps of a bin, over which each run was averaged first. 1 when there was no need.
    """

    steps: list[float]
    mean: list[float]
    band: list[Interval] | None
    width: int


def curve(series: Sequence[Series]) -> Curve:
    """Take mean and band of the runs of an arm, at least one of them. Steps are binned to at most `MOST_POINTS`."""
    common = sorted(set.intersection(*(set(s) for s in series)))
    width = max(1, math.ceil(len(common) / MOST_POINTS))
    bins = [common[begin : begin + width] for begin in range(0, len(common), width)]
    columns = [[_finite_mean(s[step] for step in steps) for s in series] for steps in bins]
    steps = [statistics.fmean(steps) for steps in bins]
    mean = [math.fsum(column) / len(column) for column in columns]
    if len(series) == 1:
        return Curve(steps, mean, None, width)
    if len(series) == 2:
        return Curve(steps, mean, [(min(column), max(column)) for column in columns], width)
    halves = student_t.ppf((1 + CONFIDENCE) / 2, len(series) - 1) * sem(columns, axis=1)
    return Curve(steps, mean, [(m - half, m + half) for m, half in zip(mean, halves.tolist(), strict=True)], width)


def _finite_mean(values: Iterable[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else math.nan


def common_steps(series: Iterable[Series]) -> list[int]:
    """List the steps at which every run has a finite number, ascending."""
    finite = [{step for step, value in s.items() if math.isfinite(value)} for s in series]
    return sorted(set.intersection(*finite)) if finite else []


def final_value(series: Series, steps: Sequence[int], metric: Metric) -> float:
    """Return the last validation, or for a training metric the mean over the last tenth of the steps, at least five."""
    count = 1 if metric.validation else max(LEAST_FINAL, math.ceil(FINAL_SHARE * len(steps)))
    return statistics.fmean(series[step] for step in steps[-count:])


def mean_height(series: Series, steps: Sequence[int]) -> float | None:
    """Return the area under the curve (trapezoids) divided by the steps it spans, in units of the metric.

    The result is None for fewer than two steps.
    """
    if len(steps) < 2:
        return None
    return float(trapezoid([series[step] for step in steps], steps)) / (steps[-1] - steps[0])


@dataclass(frozen=True)
class Difference:
    """How much higher an arm lies than the baseline.

    Attributes:
        value: mean of the arm minus mean of the baseline.
        interval: 95% interval of that difference over seeds, or None.
        method: how the interval was found, or why there is none.
    """

    value: float
    interval: Interval | None
    method: str


PAIRED, WELCH = "paired by seed", "Welch"


def difference(baseline: Sequence[float], arm: Sequence[float], paired: bool) -> Difference:
    """Compare one number per run.

    Args:
        baseline: of the baseline's runs.
        arm: of the other arm's runs.
        paired: whether to take a t-interval of the mean of the differences between runs at the same place. It needs as
            many runs on both sides, and it also holds where the places mean nothing. Without it, Welch's t-interval
            with Satterthwaite's degrees of freedom is taken.
    """
    value = statistics.fmean(arm) - statistics.fmean(baseline)
    if min(len(baseline), len(arm)) < 2:
        return Difference(value, None, "an arm of one seed does not say how far seeds scatter")
    if paired:
        method, differences = PAIRED, np.subtract(arm, baseline)
        error = sem(differences)
    else:
        method, error = WELCH, math.hypot(sem(baseline), sem(arm))
    if error <= 1e-12 * max(1e-300, *map(abs, (*baseline, *arm))):
        return Difference(value, None, "the seeds do not scatter")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # seeds of one arm may be equal
        test = ttest_1samp(differences, 0.0) if paired else ttest_ind(arm, baseline, equal_var=False)
    low, high = test.confidence_interval(CONFIDENCE)
    return Difference(value, (float(low), float(high)), method)
