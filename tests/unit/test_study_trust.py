# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The registered test of the credit trust: what is run, and what the page makes of it."""

import re
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats
from study.runs import Result, read_all
from study.statistics import best_rates, rate_scores
from study.tasks import TASKS, UNSEEN
from study.trust import outcome as measured
from study.trust import registered, report
from study.trust.outcome import Outcome

ROOT = Path(__file__).resolve().parents[2]
GROUPS = {"all_wrong": 0.1, "mixed_groups": 0.7}


@pytest.fixture(autouse=True)
def rates(monkeypatch):
    found = registered.RATES or dict.fromkeys(UNSEEN, 1e-4)
    monkeypatch.setattr(registered, "RATES", found)
    monkeypatch.setattr(registered, "TASKS", tuple(found))


def result(task, prm, arm, seed, greedy, sampled=0.5, weight=0.2, lr=None):
    run = registered.run_of(task, prm, arm, seed, rate=lr)
    rows = [{"step": 0, "greedy": 0.3, "sampled": 0.2}]
    for step in range(1, registered.STEPS + 1):
        row = {
            "step": step,
            "accuracy": 0.3,
            "entropy": 1.0,
            "length": 20.0,
            "advantage_mean": 0.0,
            "earned": weight,
        } | GROUPS
        if step % registered.LOOK_EVERY == 0:
            row["greedy"] = greedy[(step // registered.LOOK_EVERY) % len(greedy)]
        rows.append(row)
    rows[-1]["sampled"] = sampled
    return Result(run, "source", 1.0, rows)


def later(gain):
    """A whole test of the paper's rule and of trust, its tuning, and runs at own rates, with `gain(arm, task, lr)`."""
    found, made = [], {}

    def add(run):
        arm = registered.arm_of(run)
        lift = 0 if arm == "grpo" else gain(arm, run.task, run.settings.lr) / 100
        made[run] = result(run.task, run.prm, arm, run.settings.seed, [0.5 + lift], 0.5 + lift, lr=run.settings.lr)
        return made[run]

    for run in (*registered.first(), *registered.others()):
        found.append(add(run))
    tuning = []
    while len(wanted := list(registered.tuning(rate_scores(tuning)))) > len(tuning):
        tuning = [add(run) for run in wanted]
    own = [add(run) for run in registered.own(best_rates(tuning)) if run not in made]
    return found, tuning, own


def outcome(gain, tasks=None, prm="learned", arm="trust", seeds=registered.SEEDS):
    """GRPO at 50%, and an arm that is `gain(task, seed)` points above."""
    found = {}
    for task in tasks or registered.TASKS:
        for seed in seeds:
            found[task, "oracle", "grpo", seed] = result(task, "oracle", "grpo", seed, [0.5])
            found[task, prm, arm, seed] = result(task, prm, arm, seed, [0.5 + gain(task, seed) / 100])
    return Outcome(found)


class TestRegistered:
    def test_the_tasks_are_the_six_that_nothing_was_chosen_on(self):
        assert set(registered.TASKS) == set(UNSEEN) and not set(UNSEEN) & set(TASKS)
        assert set(registered.CONTROL_TASKS) <= set(UNSEEN)

    def test_every_arm_trains_at_grpos_rate_on_the_same_seeds(self):
        named = [(registered.arm_of(run), run) for run in (*registered.first(), *registered.others())]
        for arm, run in named:
            assert run.settings.lr == registered.RATES[run.task]
            assert run.settings.rollouts == (registered.MORE_ROLLOUTS if arm == "grpo_more" else registered.ROLLOUTS)
        for arm in ("grpo", "trust", "prpo", "pure", "grpo_more"):
            found = [(run.task, run.settings.seed) for name, run in named if name == arm]
            assert sorted(found) == sorted((task, seed) for task in registered.TASKS for seed in registered.SEEDS)

    def test_the_seeds_are_none_that_chose_or_tuned(self):
        assert not set(registered.SEEDS) & {*range(1, 6), *range(11, 27), 101, 102}
        assert len(set(registered.SEEDS)) == 12

    def test_an_arm_without_a_prm_is_run_once(self):
        assert registered.run_of("idle", "learned", "grpo", 201) == registered.run_of("idle", "oracle", "grpo", 201)

    def test_the_fixed_weight_is_a_run_of_its_own(self):
        run, *_ = registered.fixed({"idle": 0.23456})
        assert (registered.arm_of(run), run.settings.arm, run.settings.weight) == ("trust_fixed", "trust", 0.235)
        assert run != registered.run_of("idle", "learned", "trust", run.settings.seed)

    def test_own_rates_are_tuned_alike_and_apart_from_the_reported_seeds(self):
        first = list(registered.tuning({}))
        assert {(run.task, registered.arm_of(run)) for run in first} == {
            (task, arm) for task in registered.TASKS for arm in ("grpo", "trust", "prpo", "pure")
        }
        for arm in ("grpo", "trust"):
            rates = {run.settings.lr for run in first if run.task == "idle" and run.settings.arm == arm}
            assert rates == {1e-4, 2e-4, 4e-4}
        assert not {run.settings.seed for run in first} & set(registered.SEEDS)
        further = registered.tuning({("idle", "pure"): {1e-4: 0.5, 2e-4: 0.4, 4e-4: 0.3}})
        assert 5e-5 in {run.settings.lr for run in further if run.settings.arm == "pure"}

    def test_at_grpos_rate_a_run_at_its_own_rate_is_the_same_run(self):
        rates = {(task, arm): registered.RATES[task] for task in registered.TASKS for arm in registered.OWN_ARMS}
        assert set(registered.own(rates)) <= {*registered.first(), *registered.others()}

    def test_verl_runs_where_the_papers_rule_gains_and_loses_most(self):
        gains = dict(zip(registered.TASKS, (1.0, -2.0, 7.0, 0.0, -5.0, 3.0), strict=True))
        runs = list(registered.full_stack(gains))
        assert {run.task for run in runs} == {registered.TASKS[2], registered.TASKS[4]}
        assert len(set(runs)) == 18 and set(runs) <= {*registered.first(), *registered.others()}


class TestFigures:
    def test_greedy_is_the_mean_of_the_last_three_measurements(self):
        found = result("idle", "learned", "trust", 201, [0.1, 0.2, 0.9])
        looks = [row["greedy"] for row in found.rows if "greedy" in row][-3:]
        assert measured.greedy(found) == pytest.approx(np.mean(looks))
        assert [row["step"] for row in found.rows if "greedy" in row][-3:] == [32, 36, 40]

    def test_intervals_over_tasks_are_students(self):
        of_task = {"a": [1.0, 3.0], "b": [0.0, 0.0], "c": [4.0, 6.0]}
        found = measured.over_tasks(of_task)
        low, high = stats.t.interval(0.95, 2, 7 / 3, stats.sem([2.0, 0.0, 5.0]))
        assert (found.mean, found.low, found.high) == (pytest.approx(7 / 3), pytest.approx(low), pytest.approx(high))
        assert found.p == pytest.approx(stats.ttest_1samp([2.0, 0.0, 5.0], 0).pvalue)

    def test_the_bootstrap_draws_tasks_and_seeds(self):
        low, high = measured.hierarchical({"a": [1.0, 1.0], "b": [3.0, 3.0]})
        assert (low, high) == (1.0, 3.0)

    def test_a_single_seed_has_no_interval_and_equal_ones_have_one_of_no_width(self):
        assert np.isnan(measured.over_seeds([1.0]).low)
        same = measured.over_seeds([0.0, 0.0, 0.0])
        assert (same.low, same.high, same.p) == (0, 0, 1)

    def test_identical_means_every_measure_of_every_step(self):
        whole = outcome(lambda task, seed: 0, prm="random", seeds=registered.SEEDS[:3])
        assert whole.identical("random") == (18, 18)
        key = ("idle", "random", "trust", registered.SEEDS[0])
        rows = [*whole.runs[key].rows]
        rows[5] = {**rows[5], "entropy": 1.0001}
        other = Outcome({**whole.runs, key: replace(whole.runs[key], rows=rows)})
        assert other.identical("random") == (17, 18)


class TestPage:
    def test_success_is_said_where_it_is(self):
        text = report.page(outcome(lambda task, seed: 2 + len(task) % 3 + seed % 2))
        assert "| met |" in text and "not met" not in text

    def test_the_answer_is_a_gain_only_where_the_interval_is_above_0(self):
        assert "**It ended above GRPO**" in report.page(outcome(lambda task, seed: 2 + len(task) % 3 + seed % 2))
        assert "**It ended below GRPO**" in report.page(outcome(lambda task, seed: -2 - len(task) % 3))
        open_ = report.page(outcome(lambda task, seed: 4 if task in ("idle", "stack") else -3))
        assert "**No difference from GRPO is shown**" in open_

    def test_a_loss_on_one_task_is_named_and_the_mean_is_not_enough(self):
        text = report.page(outcome(lambda task, seed: -6 if task == "idle" else 3 + seed % 2))
        assert "not shown on idle -6.0" in text and text.count("**not met**") == 2

    def test_half_a_test_says_what_is_missing(self, monkeypatch):
        part = outcome(lambda task, seed: 2)
        text = report.page(part)
        assert f"{len(part.runs)} of {registered.planned()} runs" in text
        assert "| `credit=trust` | 72 | 72 |" in text and "| PURE | 0 | 72 |" in text
        monkeypatch.setattr(registered, "planned", lambda: len(part.runs))
        assert "runs are finished" not in report.page(part)

    def test_exact_labels_have_no_verdict_before_their_runs_are_finished(self):
        part = outcome(lambda task, seed: -2, ["swaps"], prm="oracle")
        assert "-2.0 greedily, +0.0 at temperature 1 | not finished |" in report.page(part)
        seeds = registered.EXACT_SEEDS
        whole = outcome(lambda task, seed: -2, registered.CONTROL_TASKS, prm="oracle", seeds=seeds)
        assert "at temperature 1 | **not met** |" in report.page(whole)

    def test_it_is_the_same_from_the_file(self, tmp_path):
        found = outcome(lambda task, seed: seed % 3)
        report.write(list(found.runs.values()), [], {}, tmp_path)
        read = report.published(tmp_path)
        assert (tmp_path / "trust.md").read_text() == report.page(read)
        assert read.runs.keys() == found.runs.keys()

    def test_its_figures_are_there_and_are_no_blank_sheets(self, tmp_path):
        found = outcome(lambda task, seed: seed % 3)
        report.write(list(found.runs.values()), [], {}, tmp_path)
        text = (tmp_path / "trust.md").read_text()
        for name in (report.GAINS, report.CURVES, report.WEIGHTS):
            assert f"]({name})" in text
            assert np.ptp(plt.imread(tmp_path / name)[..., :3]) > 0.5

    def test_the_papers_rule_stands_beside_what_its_prm_knows(self):
        found, *_ = later(lambda arm, task, lr: 2 if arm == "prpo" else 0)
        text = report.page(Outcome.read(found, prms={"idle learned": {"on_wrong": 0.831, "on_right": 0.997}}))
        assert "| idle | **+2.0 [+2.0, +2.0]** | **+2.0 [+2.0, +2.0]** | 83% | 100% |" in text
        assert "| swaps | **+2.0 [+2.0, +2.0]** | **+2.0 [+2.0, +2.0]** |  |  |" in text
        assert "above GRPO's on 6 tasks of 6 greedily" in text
        assert "The paper's rule" not in report.page(outcome(lambda task, seed: 1))

    def test_what_is_kept_of_the_papers_gain_stands_for_tasks_where_it_gains(self):
        found, *_ = later(lambda arm, task, lr: 8 if (arm, task) == ("prpo", "idle") else 2 if arm == "trust" else -1)
        text = report.page(Outcome.read(found))
        assert "| idle | +8.0 | +2.0 | 25% | +8.0 | +2.0 | 25% |" in text and "| swaps | -1.0" not in text
        none, *_ = later(lambda arm, task, lr: -1)
        assert "by both figures on none of the tasks" in report.page(Outcome.read(none))
        assert "Kept of the paper's gain" not in report.page(outcome(lambda task, seed: 1))

    def test_own_rates_stand_once_all_of_their_runs_are_there(self):
        found, tuning, own = later(lambda arm, task, lr: 9 if arm == "prpo" and lr == 1e-4 else 1)
        text = report.page(Outcome.read([*found, *tuning, *own]))
        assert "## Each arm at its own rate" in text
        table = text.partition("## Each arm at its own rate")[2]
        assert "| PRPO, the paper's | **+9.0 [+9.0, +9.0]** |" in table
        assert "| PRPO, the paper's | 0.0001 | 0.0001 |" in table
        for part in ([*found, *tuning, *own[1:]], [*found, *tuning[1:], *own]):
            assert "own rate" not in report.page(Outcome.read(part))

    def test_a_rate_that_the_tuning_finds_other_than_registered_is_said(self):
        found, tuning, own = later(lambda arm, task, lr: 1)
        low = report.page(Outcome.read([*found, *tuning, *own]))
        assert (
            "This tuning chooses others for GRPO: 2.5e-05 on swaps" in low
        )  # all rates are equal, so the least is taken

    def test_verls_runs_stand_beside_the_light_trainers(self):
        found, *_ = later(lambda arm, task, lr: {"idle": 4, "swaps": -3}.get(task, 0) if arm == "prpo" else 1)
        verl = []
        for run in registered.full_stack({"idle": 4, "swaps": -3, "carry": 0}):
            arm = run.settings.arm
            verl.append(result(run.task, run.prm, arm, run.settings.seed, [0.5 if arm == "grpo" else 0.52]))
        text = report.page(Outcome.read(found, verl))
        assert "| idle | PRPO, the paper's | verl | +2.0 (+2.0, +2.0, +2.0) | +0.0 (+0.0, +0.0, +0.0) |" in text
        assert "| swaps | PRPO, the paper's | light | -3.0 (-3.0, -3.0, -3.0) |" in text
        assert "With verl and vLLM" not in report.page(Outcome.read(found, verl[1:]))

    def test_no_runs_is_a_page_without_figures(self):
        text = report.page(Outcome({}))
        assert f"0 of {registered.planned()} runs" in text and "![" not in text


class TestPublished:
    def test_the_page_is_what_its_runs_say(self, tmp_path):
        docs = ROOT / "docs" / "evidence"
        found = report.published(docs)
        report.draw(found, tmp_path)
        assert (tmp_path / "trust.md").read_text() == (docs / "trust.md").read_text()
        assert {path.name for path in docs.glob("trust_*.png")} == {path.name for path in tmp_path.glob("*.png")}

    def test_its_runs_are_those_that_were_registered(self):
        planned = {*registered.first(), *registered.controls(), *registered.others()}
        published = {result.run for result in read_all(ROOT / "docs" / "evidence" / report.RUNS)}
        assert {run for run in published if registered.arm_of(run) != "trust_fixed"} <= planned
        assert set(registered.first()) <= published

    def test_readme_and_guide_quote_its_headline(self):
        found = report.published(ROOT / "docs" / "evidence")
        mean = measured.over_tasks(found.differences("trust", "learned", measured.greedy, registered.TASKS))
        assert mean.low < 0 < mean.high  # or the words have to change
        said = re.compile(r"level with GRPO[^.]*: (\S+) \[(\S+), (\S+)\] points greedily. A gain is not shown")
        for page in ("README.md", "docs/guide.md"):
            quoted = said.search(" ".join((ROOT / page).read_text().split()))
            assert quoted, page
            assert [float(number) for number in quoted.groups()] == pytest.approx(
                [mean.mean, mean.low, mean.high], abs=0.0501
            )

    def test_pages_quote_what_the_papers_rule_came_to(self):
        found = report.published(ROOT / "docs" / "evidence")
        means = [
            measured.over_tasks(found.differences("prpo", "learned", figure, registered.TASKS))
            for figure in (measured.greedy, measured.sampled)
        ]
        said = [f"{mean.mean:+.1f} [{mean.low:+.1f}, {mean.high:+.1f}]" for mean in means]
        assert min(found.prms[f"{task} learned"]["on_right"] for task in registered.TASKS) > 0.965  # "at most 3%"
        for page in ("README.md", "docs/guide.md", "docs/evidence.md", "docs/evidence/trust.md"):
            text = (ROOT / page).read_text()
            assert all(figure in text for figure in said), page
