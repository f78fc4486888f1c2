# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The alarms: silent on noise, heard on each thing that goes wrong, and not heard all the time."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau, norm, theilslopes

from verl_prpo.settings.prpo import PrpoConfig
from verl_prpo.telemetry.alarm_rules import RULES, half_weight, trend
from verl_prpo.telemetry.alarms import Alarms

WINDOW = 20


def noise(steps: int, seed: int = 0, together: float = 0.0) -> list[dict[str, float]]:
    """Metrics of a run in which nothing changes: white noise as wide as that of small batches.

    Args:
        together: correlation of the PRM's mean with the outcome's over the steps.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(steps):
        x, y, *rest = rng.normal(size=8)
        found.append(
            {
                "prpo/process_score/mean": 0.6 + 0.02 * x,
                "prpo/process_score/std": 0.2,
                "critic/score/mean": 0.5 + 0.05 * (together * x + (1 - together**2) ** 0.5 * y),
                "critic/score/min": 0.0,
                "critic/score/max": 1.0,
                "prpo/process_outcome_corr": 0.1 + 0.2 * rest[0],
                "prpo/sign_flip": 0.25 + 0.05 * rest[1],
                "prpo/group/all_equal": 0.5 + 0.1 * rest[2],
                "prpo/segments/max": 6.0,
                "prpo/segments/at_min_gap": 0.3 + 0.1 * rest[3],
                "prpo/segment_length/mean": 40.0,
                "response_length/mean": 200 + 40 * rest[4],
                "actor/entropy": 0.3 + 0.05 * rest[5],
            }
        )
    return found


def heard(metrics: Iterable[dict[str, float]], **settings: Any) -> list[tuple[int, str, str]]:
    """(step, name, line) of everything said."""
    alarms = Alarms(PrpoConfig(**{"alarm_window": WINDOW, "outcome_weight": 2.0, **settings}))
    said = []
    for step, values in enumerate(metrics, 1):
        for line in alarms.observe(step, values):
            said.append((step, line.split()[1].rstrip(","), line))
    return said


def changed(steps: int, change: Callable[[int], dict[str, float]], seed: int = 0) -> list[dict[str, float]]:
    """Noise with some of its values replaced from step to step."""
    return [{**values, **change(step)} for step, values in enumerate(noise(steps, seed), 1)]


class TestNoise:
    @pytest.mark.parametrize("together", [0.0, 0.7])
    def test_a_run_in_which_nothing_changes_is_silent(self, together):
        runs = [heard(noise(200, seed, together)) for seed in range(8)]
        assert sum(map(len, runs)) == 0

    def test_even_noise_that_opposes_prm_and_outcome_is_called_a_trend_less_than_once_in_300_steps(self):
        """The worst case: each step in which the PRM's mean is high by chance is one in which the outcome is low."""
        said = [name for seed in range(12) for _, name, _ in heard(noise(200, seed, together=-1.0))]
        assert len(said) <= 12 * 200 / 300 and set(said) <= {"prm_up_outcome_down"}

    def test_a_statistic_without_trend_is_rarely_above_the_bound_whatever_the_noise(self):
        rng = np.random.default_rng(1)
        for draw in (rng.normal, rng.standard_cauchy, rng.exponential):
            found = np.array([trend(draw(size=WINDOW))[0] for _ in range(2000)])
            assert (found > 2.5).mean() < 0.012 and (found < -2.5).mean() < 0.012  # 0.006 in theory

    def test_nothing_is_said_before_the_first_window_is_full(self):
        bad = changed(WINDOW, lambda _: {"prpo/sign_flip": 0.9})
        assert heard(bad[:-1]) == []
        assert [(step, name) for step, name, _ in heard(bad)] == [(WINDOW, "sign_flips")]


class TestTrend:
    def test_the_change_is_that_over_the_series(self):
        z, change = trend(np.linspace(1.0, 3.0, 9))
        assert z > 3 and change == pytest.approx(2.0)
        assert trend(np.linspace(3.0, 1.0, 9))[0] == pytest.approx(-z)

    def test_one_wild_value_makes_no_trend(self):
        values = np.array([0.5] * 19 + [50.0])
        assert abs(trend(values)[0]) < 2.5 and trend(values)[1] == 0.0

    def test_by_hand(self):
        # Pairs of (1, 3, 2, 4): five rise, one falls; variance 4 * 3 * 13 / 18.
        assert trend(np.array([1.0, 3.0, 2.0, 4.0]))[0] == pytest.approx((4 - 1) / (4 * 3 * 13 / 18) ** 0.5)

    def test_with_ties_by_hand(self):
        # (1, 1, 2): two pairs rise, one is equal; variance (3 * 2 * 11 - 2 * 1 * 9) / 18.
        assert trend(np.array([1.0, 1.0, 2.0]))[0] == pytest.approx((2 - 1) / ((66 - 18) / 18) ** 0.5)

    @pytest.mark.parametrize("digits", [0, 1, 12])  # many ties, some, none
    def test_scipy_finds_the_same_but_for_the_continuity_correction(self, digits):
        rng = np.random.default_rng(digits)
        for n in range(4, 60):
            values = (rng.normal(size=n) + 0.05 * np.arange(n)).round(digits)
            rises = sum(np.sign(later - earlier) for earlier, later in itertools.combinations(values, 2))
            z, change = trend(values)
            tau = kendalltau(np.arange(n), values, method="asymptotic")
            uncorrected = np.sign(tau.statistic) * norm.isf(tau.pvalue / 2)
            assert z == pytest.approx(uncorrected * (1 - 1 / max(abs(rises), 1)), abs=1e-9)
            assert change == theilslopes(values).slope * (n - 1)

    @pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [3.0] * 20])
    def test_none_in_too_few_or_equal_values(self, values):
        assert trend(np.array(values)) == (0.0, 0.0)


CASES = {
    "prm_up_outcome_down": (
        lambda t: {"prpo/process_score/mean": 0.5 + 0.004 * t, "critic/score/mean": 0.6 - 0.005 * t},
        r"steps 1 to 20: the PRM's mean score rose by 0\.076 \(now 0\.58\) while the outcome fell by 0\.095 \(now "
        r"0\.5\).*algorithm\.prpo\.outcome_weight",
    ),
    "anti_correlation": (
        lambda t: {"prpo/process_outcome_corr": -0.3 + 0.02 * (-1) ** t},
        r"correlate by -0\.30.*reward\.prm\.family.*verl-prpo calibrate",
    ),
    "sign_flips": (lambda t: {"prpo/sign_flip": 0.45}, r"45% of the tokens.*algorithm\.prpo\.outcome_weight"),
    "all_equal_groups": (
        lambda t: {"prpo/group/all_equal": 0.9},
        r"90% of the groups.*\+\+algorithm\.prpo\.skip_all_equal_groups=True",
    ),
    "truncated_responses": (
        lambda t: {"prpo/truncated": 0.3},
        r"30% of the responses are cut off.*\+\+algorithm\.prpo\.skip_truncated_responses=True",
    ),
    "single_segments": (
        lambda t: {"prpo/segments/max": 1.0},
        r"one segment \(of 40 tokens on average\).*algorithm\.prpo\.min_gap=10",
    ),
    "min_gap_segments": (
        lambda t: {"prpo/segments/at_min_gap": 0.95},
        r"95% of the cuts lie exactly algorithm\.prpo\.min_gap=10 tokens apart",
    ),
}


class TestEachAlarm:
    """Which alarm, and that its line has the numbers, the steps and what helps."""

    @pytest.mark.parametrize("name", CASES)
    def test_it_sounds_alone(self, name):
        change, line = CASES[name]
        ((step, found, said),) = heard(changed(WINDOW, change))
        assert (step, found) == (WINDOW, name)
        assert re.search(line, said) and said.endswith(
            "See docs/metrics.md. This alarm is not repeated before step 40."
        )
        assert "\n" not in said

    @pytest.mark.parametrize(
        ("name", "metric", "least", "line"),
        [
            (
                "length_collapse",
                "response_length/mean",
                0.49,
                r"have \d+ tokens on average, and had 199 in the first window",
            ),
            (
                "entropy_collapse",
                "actor/entropy",
                0.24,
                r"entropy is 0\.0\d+ nats on average, and was 0\.3\d* in the first",
            ),
        ],
    )
    def test_a_collapse_is_told_against_the_first_window(self, name, metric, least, line):
        values = noise(WINDOW) + noise(3 * WINDOW, seed=1)
        first = np.mean([step[metric] for step in values[:WINDOW]])
        for step in values[WINDOW:]:
            step[metric] = first * (least + 0.02)
        assert heard(values) == []
        for step in values[WINDOW:]:
            step[metric] = first * least
        assert {found for _, found, _ in heard(values)} == {name}
        assert re.search(line, heard(values)[0][2])

    def test_every_alarm_is_tested_here(self):
        assert set(RULES) == {*CASES, "length_collapse", "entropy_collapse", "trust_lost"}

    def test_a_rise_too_small_to_matter_is_none(self):
        """However certain it is: 5% of the scores' spread, 1% of the range of outcomes."""
        small = {"prpo/process_score/mean": 0.01, "critic/score/mean": -0.01}
        run = [
            {**values, **{name: 0.5 + full * step / WINDOW for name, full in small.items()}}
            for step, values in enumerate(noise(WINDOW), 1)
        ]
        assert heard(run) == []

    @pytest.mark.parametrize(
        "settings",
        [{"segmenter": "single"}, {"segmenter": "uniform", "num_segments": 1}, {"max_anchors": 0}],
        ids=str,
    )
    def test_single_segments_that_were_asked_for_are_no_alarm(self, settings):
        assert heard(changed(WINDOW, lambda _: {"prpo/segments/max": 1.0}), **settings) == []

    @pytest.mark.parametrize(
        ("anchors", "said"),
        [(5, "Lower algorithm.prpo.max_anchors"), ("auto", "Raise algorithm.prpo.tokens_per_anchor")],
    )
    def test_cuts_at_the_gap_are_made_fewer_by_the_setting_that_is_read(self, anchors, said):
        run = changed(WINDOW, lambda _: {"prpo/segments/at_min_gap": 0.95})
        ((_, _, line),) = heard(run, max_anchors=anchors)
        assert said in line

    def test_an_uncut_answer_behind_a_hidden_thought_is_one_segment(self):
        change = {"prpo/segments/max": 1.0, "prpo/segments/hidden/mean": 0.9}
        ((_, name, line),) = heard(changed(WINDOW, lambda _: change))
        assert name == "single_segments"
        assert "outside its hidden thoughts (reward.prm.thinking=hide) every response is one segment (of 40" in line

    @pytest.mark.parametrize("settings", [{}, {"segmenter": "single"}], ids=str)
    def test_thoughts_with_nothing_behind_them_are_said_whatever_cuts(self, settings):
        def change(_):
            return {"prpo/segments/max": 0.0, "prpo/segments/hidden/mean": 1.0, "prpo/segment_length/mean": math.nan}

        ((_, name, line),) = heard(changed(WINDOW, change), **settings)
        assert name == "single_segments" and "so the PRM judges nothing" in line
        assert "++reward.prm.thinking=score" in line and "nan" not in line

    def test_text_without_delimiters_is_said_to_lack_them(self):
        ((_, _, line),) = heard(changed(WINDOW, lambda _: {"prpo/segments/max": 1.0}), segmenter="text")
        assert "none of algorithm.prpo.delimiters" in line


class TestUnderTheCreditTrust:
    """Nothing is advised that this credit does not read."""

    def lines(self, change, **settings):
        return {name: line for _, name, line in heard(changed(WINDOW, change), credit="trust", **settings)}

    @pytest.mark.parametrize("name", ["prm_up_outcome_down", "sign_flips", "all_equal_groups"])
    def test_advice_is_of_this_credit(self, name):
        (line,) = self.lines(CASES[name][0]).values()
        assert not re.search("outcome_weight|prior_mean|prior_std|skip_all_equal|of z", line)
        wanted = {"all_equal_groups": "few mixed groups are left to check the PRM"}
        assert wanted.get(name, "algorithm.prpo.process_weight") in line

    def test_a_collapse_of_lengths_names_no_prior(self):
        values = noise(WINDOW) + noise(3 * WINDOW, seed=1)
        for step in values[WINDOW:]:
            step["response_length/mean"] = 10
        assert {n for _, n, _ in heard(values, credit="trust")} == {"length_collapse"}
        line = heard(values, credit="trust")[0][2]
        assert "prior_mean" not in line and "++algorithm.prpo.process_weight=0 for GRPO" in line

    def test_a_weight_that_goes_to_zero_is_an_alarm(self):
        (line,) = self.lines(lambda t: {"prpo/trust/weight": max(0.0, 0.35 - 0.02 * t)}).values()
        assert "ALARM trust_lost" in line and "earned a weight of 0.33 and has lost it" in line

    @pytest.mark.parametrize(
        ("weight", "settings"),
        [
            (lambda t: 0.3 - 0.01 * t, {}),  # still above 0
            (lambda t: 0.1 if t < 5 else 0.0, {}),  # it never was much
            (lambda t: 0.0 if t < 10 else 0.3, {}),
            (lambda t: 0.0, {}),
            (lambda t: 0.35 if t < 5 else 0.0, {"process_weight": 0.3}),
            (lambda t: float("nan"), {}),
        ],
    )
    def test_other_weights_are_none(self, weight, settings):
        assert self.lines(lambda t: {"prpo/trust/weight": weight(t)}, **settings) == {}

    def test_rewards_of_zero_and_one_are_fine(self):
        span = {"critic/score/min": 0.0, "critic/score/max": 1.0}
        assert half_weight(span, PrpoConfig(credit="trust")) is None


class TestHalfWeight:
    """The outcome of a verifier that gives 1 and 0, at the weight that suits -1 and +1."""

    def test_it_is_said_once_and_at_the_first_step_that_shows_it(self):
        metrics = changed(3 * WINDOW, lambda step: {"critic/score/max": 0.0} if step < 3 else {})
        said = [(step, line) for step, name, line in heard(metrics, outcome_weight=1.0) if name == "half_weight"]
        assert [step for step, _ in said] == [3]
        assert "Set ++algorithm.prpo.outcome_weight=2.0." in said[0][1]

    def test_it_sounds_for_as_long_as_it_holds(self):
        alarms = Alarms(PrpoConfig(alarm_window=8, outcome_weight=1.0))
        counts = []
        for most in (1.0, 1.0, 0.0, 1.0):
            alarms.observe(len(counts), {"critic/score/min": 0.0, "critic/score/max": most})
            counts.append(len(alarms.sounding))
        assert counts == [1, 1, 0, 1]

    @pytest.mark.parametrize(
        ("span", "settings"),
        [
            ((-1.0, 1.0), {}),
            ((0.0, 0.0), {}),
            ((0.0, 1.0), {"outcome_weight": 2.0}),
            ((0.0, 1.0), {"outcome_norm": "mean_std"}),
            ((0.0, 1.0), {"credit": "pure"}),
            ((0.0, 1.0), {"credit": "process"}),
        ],
    )
    def test_silence_where_nothing_is_amiss(self, span, settings):
        settings = {"outcome_weight": 1.0, **settings}
        assert half_weight({"critic/score/min": span[0], "critic/score/max": span[1]}, PrpoConfig(**settings)) is None
        assert half_weight({}, PrpoConfig(**settings)) is None


class TestRateLimit:
    def test_an_alarm_that_goes_on_is_said_ever_more_rarely(self):
        said = heard(changed(400, lambda _: {"prpo/sign_flip": 0.9}))
        assert [step for step, name, _ in said if name == "sign_flips"] == [20, 40, 80, 160, 320]

    def test_several_alarms_do_not_silence_each_other(self):
        said = heard(changed(30, lambda _: {"prpo/sign_flip": 0.9, "prpo/group/all_equal": 1.0}))
        assert Counter(name for _, name, _ in said) == {"sign_flips": 1, "all_equal_groups": 1}

    def test_what_sounds_is_counted_at_every_step_said_or_not(self):
        alarms = Alarms(PrpoConfig(alarm_window=8))
        counts = []
        for step in range(1, 30):
            alarms.observe(step, {"prpo/sign_flip": 0.9 if step < 15 else 0.0})
            counts.append(len(alarms.sounding))
        assert counts[:7] == [0] * 7 and counts[7:14] == [1] * 7 and counts[-8:] == [0] * 8


class TestWhatIsNotThere:
    def test_metrics_that_are_absent_or_not_finite_sound_nothing(self):
        assert heard([{} for _ in range(60)]) == []
        assert heard([dict.fromkeys(step, float("nan")) for step in noise(60)]) == []

    def test_a_metric_that_half_of_the_steps_lack_is_still_watched(self):
        def change(step: int) -> dict[str, float]:
            return {"prpo/process_outcome_corr": -0.4 if step % 2 else float("nan")}

        assert {name for _, name, _ in heard(changed(WINDOW, change))} == {"anti_correlation"}

    def test_a_resumed_run_begins_a_new_window(self):
        alarms = Alarms(PrpoConfig(alarm_window=8))
        said = [alarms.observe(step, {"prpo/sign_flip": 0.9}) for step in range(101, 109)]
        assert said[:-1] == [[]] * 7
        assert "steps 101 to 108" in said[-1][0] and "before step 116" in said[-1][0]

    def test_a_metric_that_begins_after_the_first_window_is_told_against_its_own_first_one(self):
        def change(step: int) -> dict[str, float]:
            return {"actor/entropy": float("nan") if step <= WINDOW else 1.0 if step <= 3 * WINDOW else 0.01}

        assert {name for _, name, _ in heard(changed(5 * WINDOW, change))} == {"entropy_collapse"}
