# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The study's plan, files, statistics and report."""

import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from math import isnan
from pathlib import Path

import pytest
from study import runs, statistics
from study.arms import ARMS
from study.claims import verdict
from study.evidence import NOT_RUN, Evidence
from study.plan import ABLATION_SEEDS, CORE, HEADLINE, PRM_FREE, SEEDS, TUNING_SEEDS, Plan, QuickPlan, Run
from study.report import rebuild, write_report
from study.results import Results
from study.run import Job, Workers, missing, work
from study.runs import Result
from study.source import code_of, run_code
from study.statistics import Difference
from study.tasks import TASKS
from study.trainer import Settings

ROWS = [
    {"step": 0, "greedy": 0.2, "sampled": 0.1},
    {"step": 1, "accuracy": 0.1, "prm_mean": 0.5},
    {"step": 2, "accuracy": 0.3, "prm_mean": 0.6, "greedy": 0.4},
    {"step": 3, "accuracy": 0.2, "prm_mean": 0.8},
    {"step": 4, "accuracy": 0.2, "prm_mean": 0.9, "greedy": 0.6, "sampled": 0.5},
]
RATES = {(task, arm): 3e-4 for task in TASKS for arm in HEADLINE}


def test_figures_of_a_run_by_hand():
    assert statistics.final(ROWS, "greedy") == 0.6
    assert statistics.area(ROWS) == pytest.approx((0.3 * 2 + 0.5 * 2) / 4)
    assert statistics.steps_to(ROWS, 0.4) == 2
    assert statistics.steps_to(ROWS, 0.7) == float("inf")
    assert statistics.early(ROWS, "accuracy") == 0.1
    assert statistics.late(ROWS, "accuracy") == 0.2
    assert statistics.hacking(ROWS) == pytest.approx(0.4 - 0.1)


def test_differences_weigh_tasks_alike_and_their_interval_holds_what_was_seen():
    found = statistics.difference({"a": [0.1, 0.2, 0.3], "b": [0.0]})
    assert found.mean == pytest.approx((0.2 + 0.0) / 2)
    assert isnan(found.low) and found.pairs == 4
    found = statistics.difference({"a": [0.1, 0.2, 0.3]})
    assert 0.1 <= found.low < 0.2 < found.high <= 0.3
    assert found.p == 2 / 2**3  # all on one side: one sign pattern of eight, and its mirror
    assert statistics.difference({"a": [0.1, -0.1]}).p == 1
    assert statistics.difference({"a": [0.1] * 5}).low == pytest.approx(0.1)


def test_holms_method_by_hand():
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def result(task, prm, arm, seed, greedy, lr=3e-4, rollouts=8, source="x"):
    random_numbers = random.Random(f"{task}{prm}{arm}{seed}")
    names = ("accuracy", "prm_mean", "label_mean", "length", "entropy", "ended_early", "mixed_groups")
    rows = [{"step": step, **{name: random_numbers.random() for name in names}} for step in range(1, 5)]
    rows = [{"step": 0, "greedy": 0.2, "sampled": 0.2}, *rows]
    rows[2]["greedy"] = (0.2 + greedy) / 2
    rows[4] |= {"greedy": greedy, "sampled": greedy}
    return Result(Run(task, prm, Settings(arm, seed, 4, lr, 16, rollouts)), source, 1.0, rows)


def test_the_rate_of_the_best_score_is_chosen_and_the_smaller_of_equals():
    tuning = [
        result("early", "oracle", "grpo", seed, greedy, lr)
        for seed in (1, 2)
        for greedy, lr in ((0.5, 3e-4), (0.4, 1e-4))
    ]
    tuning += [result("early", "oracle", "prpo", 1, 0.5, lr) for lr in (3e-4, 1e-4)]
    assert statistics.best_rates(tuning) == {("early", "grpo"): 3e-4, ("early", "prpo"): 1e-4}
    # area (0.2 + 0.35) / 2 and (0.35 + 0.5) / 2 over two steps each: 0.35; sampled 0.5
    assert statistics.rate_scores(tuning)["early", "grpo"][3e-4] == pytest.approx((0.35 + 0.5) / 2)


def test_pairs_are_of_one_task_seed_and_prm_and_grpo_needs_no_prm():
    found = Results(
        [
            result("early", "oracle", "grpo", 1, 0.3),
            result("early", "oracle", "grpo", 2, 0.5),
            result("early", "learned", "prpo", 2, 0.6),
            result("early", "learned", "prpo", 3, 0.9),
        ]
    )
    differences = found.differences("learned", "prpo", "grpo", lambda r: statistics.final(r.rows, "greedy"))
    assert differences == {"early": [pytest.approx(0.1)]}


def test_runs_of_different_code_or_settings_are_not_mixed():
    with pytest.raises(ValueError, match="different code"):
        Results([result("early", "oracle", "grpo", 1, 0.3), result("early", "oracle", "grpo", 2, 0.3, source="y")])
    with pytest.raises(ValueError, match="keep one"):
        Results([result("early", "oracle", "grpo", 1, 0.3), result("early", "oracle", "grpo", 1, 0.3, lr=1e-4)])


def test_tuning_seeds_are_not_reported():
    reported = {run.settings.seed for run in Plan().reported(RATES)}
    assert {run.settings.seed for run in Plan().tuning()} == set(TUNING_SEEDS)
    assert reported.isdisjoint(TUNING_SEEDS)
    assert len(SEEDS) >= 5 and len(ABLATION_SEEDS) >= 3


def test_the_plan_holds_every_arm_once_and_its_headline_on_every_task_and_seed():
    plan = Plan()
    planned = list(plan.reported(RATES))
    assert len(planned) == len(set(planned))
    assert {run.settings.arm for run in planned} == set(ARMS)
    for arm in HEADLINE:
        for prm in ("oracle",) if arm in PRM_FREE else ("oracle", "learned"):
            for task in plan.tasks:
                seeds = {r.settings.seed for r in planned if (r.task, r.prm, r.settings.arm) == (task, prm, arm)}
                assert seeds >= set(SEEDS if arm in CORE else ABLATION_SEEDS)
    assert not list(QuickPlan().tuning())


def test_what_is_compared_differs_in_what_is_compared_alone():
    first = list(islice(Plan().headline(RATES), 8))
    assert {run.settings.arm for run in first} == set(HEADLINE)
    assert len({(run.task, run.settings.seed, run.settings.steps, run.settings.prompts) for run in first}) == 1


def test_a_run_is_written_whole_and_read_back(tmp_path):
    run = Run("early", "oracle", Settings("prpo", 1))
    runs.write(run, [{"step": 0, "greedy": 1 / 3}], 2.0, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [runs.path_of(run, tmp_path).name]
    back = runs.read(runs.path_of(run, tmp_path))
    assert back.run == run
    assert back.rows == [{"step": 0, "greedy": 0.333333}]
    assert back.source == run_code("early")


def test_a_run_of_other_settings_has_another_file(tmp_path):
    names = {
        runs.path_of(Run("early", "oracle", settings), tmp_path)
        for settings in (
            Settings("prpo", 1),
            Settings("prpo", 2),
            Settings("prpo", 1, lr=1e-4),
            Settings("prpo", 1, steps=9),
        )
    }
    assert len(names) == 4


def test_only_code_makes_a_digest(tmp_path):
    texts = ['"""One."""\nX = 1\n', '"""Two."""\n# with a remark\nX = 1\n', '"""One."""\nX = 2\n']
    codes = []
    for text in texts:
        (tmp_path / "module.py").write_text(text)
        codes.append(code_of(tmp_path / "module.py"))
    assert codes[0] == codes[1] != codes[2]


FACTS = {
    "early policy": {"steps": 5, "greedy": 0.3, "sampled": 0.2, "seconds": 1.0},
    "early learned": {
        "sampled": {"on_wrong": 0.5, "on_right": 0.9},
        "flawed": {"on_wrong": 0.6, "on_right": 0.8},
        "seconds": 1.0,
    },
}


@pytest.fixture
def reported():
    """PRPO 10 points above GRPO with the oracle on two tasks, 5 with the learned PRM on one."""
    gains = {"grpo": 0.0, "prpo": 0.1}
    found = [
        result(task, "oracle", arm, seed, 0.4 + seed / 100 + gain)
        for task in ("early", "words")
        for arm, gain in gains.items()
        for seed in (1, 2, 3)
    ]
    return found + [result("early", "learned", "prpo", seed, 0.45 + seed / 100) for seed in (1, 2, 3)]


def test_the_report_says_what_the_runs_say(tmp_path, reported):
    write_report(reported, [], FACTS, "", tmp_path / "once")
    write_report(list(reversed(reported)), [], FACTS, "", tmp_path / "again")
    text = (tmp_path / "once" / "evidence.md").read_text()
    assert text == (tmp_path / "again" / "evidence.md").read_text()
    assert "| oracle | PRPO, the paper's | **+10.0 [+10.0, +10.0]** |" in text
    assert "| learned | PRPO, the paper's | **+5.0 [+5.0, +5.0]** |" in text
    assert "Holm for 2" in text
    assert "| early | 42.0 | 47.0 | 52.0 | 50.0 |" in text  # half of the oracle's gain
    assert "| early | learned | 50.0 | 90.0 | 60.0 | 80.0 |" in text
    assert f"{len(reported)} runs" in text
    for figure in ("curves_oracle.png", "differences_greedy.png"):
        assert f"(evidence/{figure})" in text
        assert (tmp_path / "once" / "evidence" / figure).read_bytes()[:4] == b"\x89PNG"


def test_a_published_report_is_drawn_again_from_its_runs(tmp_path, reported):
    tuned = [result("early", "oracle", "grpo", 101, 0.4, lr) for lr in (1e-4, 2e-4)]
    write_report(reported, tuned, FACTS, "| step | 0 |", tmp_path / "out")
    back = runs.read_all(tmp_path / "out" / "evidence" / "runs.jsonl")
    assert [r.run for r in back] == [r.run for r in reported]
    for ours, theirs in zip(back, reported, strict=True):
        assert [row.keys() for row in ours.rows] == [row.keys() for row in theirs.rows]
        assert ours.rows[-1]["greedy"] == pytest.approx(theirs.rows[-1]["greedy"], rel=1e-3)
    rebuild(tmp_path / "out" / "evidence" / "runs.jsonl", tmp_path / "again")
    text = (tmp_path / "again" / "evidence.md").read_text()
    assert text == (tmp_path / "out" / "evidence.md").read_text()
    assert "| step | 0 |" in text and "| GRPO | **" in text


def test_the_published_page_is_what_its_runs_say(tmp_path):
    docs = Path(__file__).resolve().parents[2] / "docs"
    rebuild(docs / "evidence" / "runs.jsonl", tmp_path)
    assert (tmp_path / "evidence.md").read_text() == (docs / "evidence.md").read_text()
    drawn = {path.name for path in (tmp_path / "evidence").glob("*.png")}
    assert drawn == {path.name for path in (docs / "evidence").glob("*.png")}
    assert (docs / "evidence.md").read_text().count(NOT_RUN) <= 1


def test_numbers_of_the_text_are_looked_up(tmp_path, reported):
    evidence = Evidence(reported, [], FACTS, "", tmp_path)
    assert evidence.fill("{{diff prpo grpo oracle all}}; {{mean prpo learned early}}") == ("+10.0 [+10.0, +10.0]; 47.0")
    assert evidence.fill("{{diff prpo grpo learned words}} {{table rollouts}}") == f"{NOT_RUN} {NOT_RUN}"
    for unknown in ("{{median prpo}}", "{{table chairs}}"):
        with pytest.raises(ValueError, match="known are"):
            evidence.fill(unknown)


def at(low, mean, high):
    return Difference(mean, low, high, 0.1, 5)


@pytest.mark.parametrize(
    ("each", "together", "least", "says"),
    [
        ([at(1, 2, 3), at(-1, 1, 2)], at(1, 2, 3), 0, "yes (tasks: 1 yes, 0 the reverse, 1 open)"),
        ([at(1, 2, 3)], at(1, 2, 3), 2.5, "yes, by less (tasks: 0 yes, 0 the reverse, 1 open)"),
        ([at(-3, -2, -1)], at(-3, -2, -1), 0, "no: the reverse (tasks: 0 yes, 1 the reverse, 0 open)"),
        ([at(-3, 2, 4)], at(-3, 2, 4), 0, "not seen (tasks: 0 yes, 0 the reverse, 1 open)"),
    ],
)
def test_an_answer_is_what_the_intervals_say(each, together, least, says):
    assert verdict(each, together, least) == says


def test_the_command_explains_itself():
    root = Path(__file__).resolve().parents[2]
    shown = subprocess.run(
        ["bash", str(root / "examples/study/run.sh"), "--help"],
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    assert "--quick" in shown.stdout and "--hours" in shown.stdout


def job(name, do, *arguments):
    return Job(name, 1, do, arguments)


def test_jobs_are_done_and_none_is_begun_when_time_is_up(capsys):
    done = []
    with ThreadPoolExecutor(2) as pool:
        jobs = [job(str(i), done.append, i) for i in range(5)]
        assert work("stage", jobs, Workers(pool, 2, time.monotonic() + 600))
        assert sorted(done) == [0, 1, 2, 3, 4]
        assert not work("stage", jobs, Workers(pool, 2, time.monotonic() - 1))
    assert len(done) == 5
    assert "5 of 5 undone" in capsys.readouterr().out


def test_a_job_that_fails_ends_the_study():
    with ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError):
        work("stage", [job("divide", divmod, 1, 0)], Workers(pool, 1, time.monotonic() + 600))


def test_what_is_finished_is_not_run_again(tmp_path):
    planned = list(QuickPlan().reported(RATES))
    runs.write(planned[3], [{"step": 0}], 1.0, tmp_path)
    left = [job.arguments[0] for job in missing(planned, tmp_path, tmp_path)]
    assert left == [*planned[:3], *planned[4:]]
