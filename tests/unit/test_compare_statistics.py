# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The numbers under the curves, against hand-computed examples and tables of Student's t."""

import math

import numpy as np
import pytest

from verl_prpo.viewer.compare.curves import (
    PAIRED,
    TRAINING_METRICS,
    WELCH,
    Metric,
    common_steps,
    curve,
    difference,
    final_value,
    mean_height,
)
from verl_prpo.viewer.compare.runs import RunLog, Series

ANY = Metric("any", ("any",))


class TestBands:
    def test_one_run_has_none(self) -> None:
        assert curve([{1: 2.0, 2: 3.0}]).band is None

    def test_two_runs_span_theirs(self) -> None:
        found = curve([{1: 2.0, 2: 3.0}, {1: 4.0, 2: 1.0}])
        assert found.mean == [3.0, 2.0]
        assert found.band == [(2.0, 4.0), (1.0, 3.0)]

    def test_three_runs_get_the_interval_of_their_mean(self) -> None:
        found = curve([{1: 1.0}, {1: 2.0}, {1: 3.0}])
        width = 4.30265 * 1.0 / math.sqrt(3)  # the standard deviation of 1, 2, 3 is 1
        assert found.band is not None
        assert found.band[0] == pytest.approx((2 - width, 2 + width), abs=1e-4)

    def test_the_curve_has_the_steps_of_all_runs_and_a_gap_where_one_is_nan(self) -> None:
        found = curve([{1: 1.0, 2: math.nan, 3: 1.0, 4: 1.0}, {1: 3.0, 2: 3.0, 3: 3.0}])
        assert found.steps == [1, 2, 3]
        assert found.mean == pytest.approx([2.0, math.nan, 2.0], nan_ok=True)

    def test_a_long_curve_is_averaged_in_bins_before_its_band(self) -> None:
        found = curve([{step: float(step % 2) for step in range(1, 251)}, {step: 2.0 for step in range(1, 251)}])
        assert found.width == 3
        assert len(found.steps) == 84
        assert found.steps[:2] == [2, 5]  # steps 1 2 3, then 4 5 6
        assert found.mean[0] == pytest.approx((2 / 3 + 2) / 2)
        assert found.band is not None
        assert found.band[0] == pytest.approx((2 / 3, 2))


class TestNumbersOfARun:
    def test_compared_are_the_steps_with_a_number_in_every_run(self) -> None:
        assert common_steps([{0: 1.0, 1: 1.0, 2: math.nan, 3: 1.0}, {3: 1.0, 1: 2.0, 2: 2.0, 9: 1.0}]) == [1, 3]
        assert common_steps([]) == []

    def test_the_final_value_is_the_mean_of_the_last_tenth_of_the_steps(self) -> None:
        series: Series = {step: float(step) for step in range(1, 101)}
        assert final_value(series, list(series), ANY) == 95.5
        assert final_value(series, list(range(1, 21)), ANY) == 18.0  # at least five of them
        assert final_value(series, [1, 2, 3], ANY) == 2.0

    def test_or_the_last_validation(self) -> None:
        series: Series = {step: float(step) for step in range(1, 21)}
        assert final_value(series, list(series), Metric("accuracy", ("val-core/x/acc/mean@1",))) == 20.0

    def test_the_area_counts_uneven_steps_by_their_width(self) -> None:
        assert mean_height({0: 0.0, 10: 1.0, 12: 1.0}, [0, 10, 12]) == pytest.approx((5 + 2) / 12)
        assert mean_height({5: 1.0}, [5]) is None

    def test_the_exposed_share_of_the_prm_is_its_two_times_over_the_step(self) -> None:
        share = next(metric for metric in TRAINING_METRICS if metric.unit == "%")
        run = RunLog(path=None)  # type: ignore[arg-type]
        run.series = {"timing_s/step": {1: 10.0, 2: 4.0}, "timing_s/prm_submit": {1: 1.0, 2: 1.0}}
        assert share.read(run) == {1: 0.1, 2: 0.25}
        run.series["timing_s/prm_wait"] = {1: 1.0}  # a step may have but one of them
        assert share.read(run) == {1: 0.2, 2: 0.25}
        del run.series["timing_s/step"]
        assert share.read(run) == {}


class TestDifferences:
    def test_pairs_of_seeds(self) -> None:
        found = difference([0.1, 0.2, 0.3], [0.2, 0.4, 0.6], paired=True)
        # The differences 0.1, 0.2, 0.3 have mean 0.2 and standard deviation 0.1.
        width = 4.30265 * 0.1 / math.sqrt(3)
        assert found.method == PAIRED
        assert found.value == pytest.approx(0.2)
        assert found.interval == pytest.approx((0.2 - width, 0.2 + width), abs=1e-5)

    def test_welch_where_seeds_do_not_pair(self) -> None:
        found = difference([1.0, 2.0, 3.0], [4.0, 8.0], paired=False)
        # Variances of the means 1/3 and 8/2, so 13/3; freedom (13/3)^2 / ((1/3)^2 / 2 + 4^2 / 1) = 1.16955, for which
        # Student's t has the quantile 9.0828 at 0.975.
        assert found.method == WELCH
        assert found.value == 4.0
        assert found.interval is not None
        assert found.interval[1] - 4.0 == pytest.approx(9.08278 * math.sqrt(13 / 3), rel=1e-4)

    def test_an_arm_whose_seeds_are_equal_still_has_an_interval(self, recwarn: pytest.WarningsRecorder) -> None:
        found = difference([1.0, 2.0, 3.0], [4.0, 4.0], paired=False)
        width = 4.30265 / math.sqrt(3)  # of the baseline alone: two degrees of freedom
        assert found.interval == pytest.approx((2 - width, 2 + width), abs=1e-4)
        assert curve([{1: 0.25}] * 3).band == [(0.25, 0.25)]
        assert not recwarn.list

    @pytest.mark.parametrize(("baseline", "arm"), [([1.0], [2.0]), ([1.0], [2.0, 3.0]), ([1.0, 2.0, 3.0], [2.0])])
    def test_an_arm_of_one_seed_gives_no_interval(self, baseline: list[float], arm: list[float]) -> None:
        found = difference(baseline, arm, paired=len(baseline) == len(arm))
        assert found.interval is None
        assert "one seed" in found.method

    @pytest.mark.parametrize("paired", [True, False])
    def test_seeds_without_scatter_give_no_interval_of_width_0(self, paired: bool) -> None:
        found = difference([0.1, 0.1], [0.3, 0.3], paired)
        assert found.value == pytest.approx(0.2)
        assert found.interval is None

    @pytest.mark.parametrize("counts", [(4, 4), (3, 6)])
    def test_the_interval_holds_the_true_difference_95_times_of_100(self, counts: tuple[int, int]) -> None:
        draw = np.random.default_rng(0)
        held, trials = 0, 300
        for _ in range(trials):
            a, b = draw.normal(0, 1, counts[0]).tolist(), draw.normal(1, 1, counts[1]).tolist()
            interval = difference(a, b, paired=counts[0] == counts[1]).interval
            held += interval is not None and interval[0] <= 1 <= interval[1]
        assert held / trials == pytest.approx(0.95, abs=0.03)
