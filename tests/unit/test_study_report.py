# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The study's plan, files, statistics and report."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from math import isnan
from pathlib import Path
from statistics import stdev

import psutil
import pytest
from study import run, runs, sections, statistics
from study.arms import ARMS
from study.assets import path_of
from study.evidence import NOT_RUN, Evidence
from study.jobs import Job, StudyError, Workers, work
from study.plan import (
    ABLATION_SEEDS,
    HEADLINE,
    PRM_FREE,
    SEEDS,
    TUNING_SEEDS,
    Plan,
    QuickPlan,
    Run,
    rates_to_try,
)
from study.report import DRAWN, ReportError, rebuild, write_report
from study.results import Results
from study.run import missing, parser
from study.runs import Result, RunError
from study.source import code_of, run_code
from study.tables import lies_above_0, lies_below_0
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
    assert statistics.early(ROWS, "accuracy") == 0.1
    assert statistics.late(ROWS, "accuracy") == 0.2


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
    assert {run.settings.seed for run in Plan().tuning({})} == set(TUNING_SEEDS)
    assert reported.isdisjoint(TUNING_SEEDS)
    assert len(SEEDS) >= 5 and len(ABLATION_SEEDS) >= 3


def test_the_plan_holds_every_arm_once_and_its_headline_on_every_task_and_seed():
    plan = Plan()
    planned = list(plan.reported(RATES))
    assert len(planned) == len(set(planned))
    assert {run.settings.arm for run in planned} == set(ARMS) - {"trust"}  # which has a test of its own
    for arm in HEADLINE:
        for prm in ("oracle",) if arm in PRM_FREE else ("oracle", "learned"):
            for task in plan.tasks:
                seeds = {r.settings.seed for r in planned if (r.task, r.prm, r.settings.arm) == (task, prm, arm)}
                assert seeds >= set(SEEDS)
    assert not list(QuickPlan().tuning({}))


@pytest.mark.parametrize(
    ("scores", "tries"),
    [
        ({}, [1e-4, 2e-4, 4e-4]),
        ({1e-4: 0.1, 2e-4: 0.2}, [1e-4, 2e-4, 4e-4]),
        ({1e-4: 0.1, 2e-4: 0.2, 4e-4: 0.1}, [1e-4, 2e-4, 4e-4]),
        ({1e-4: 0.2, 2e-4: 0.2, 4e-4: 0.1}, [5e-5, 1e-4, 2e-4, 4e-4]),
        ({5e-5: 0.3, 1e-4: 0.2, 2e-4: 0.1, 4e-4: 0.1}, [2.5e-5, 5e-5, 1e-4, 2e-4, 4e-4]),
        ({2.5e-5: 0.4, 5e-5: 0.3, 1e-4: 0.2, 2e-4: 0.1, 4e-4: 0.1}, [2.5e-5, 5e-5, 1e-4, 2e-4, 4e-4]),
        ({1e-4: 0.1, 2e-4: 0.2, 4e-4: 0.3}, [1e-4, 2e-4, 4e-4, 8e-4]),
        ({1e-4: 0.1, 2e-4: 0.2, 4e-4: 0.3, 8e-4: 0.4}, [1e-4, 2e-4, 4e-4, 8e-4]),
    ],
)
def test_a_best_rate_at_the_edge_is_looked_beyond(scores, tries):
    assert rates_to_try((1e-4, 2e-4, 4e-4), scores) == tries


def test_what_is_compared_differs_in_what_is_compared_alone():
    first = list(islice(Plan().headline(RATES), 8))
    assert {run.settings.arm for run in first} == set(HEADLINE)
    assert len({(run.task, run.settings.seed, run.settings.steps, run.settings.prompts) for run in first}) == 1


def test_a_run_is_written_whole_and_read_back(tmp_path):
    run = Run("early", "oracle", Settings("prpo", 1, steps=1))
    runs.write(run, [{"step": 0, "greedy": 1 / 3}, {"step": 1}], 2.0, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [runs.path_of(run, tmp_path).name]
    back = runs.read(runs.path_of(run, tmp_path))
    assert back.run == run
    assert back.rows == [{"step": 0, "greedy": 0.333333}, {"step": 1}]
    assert back.source == run_code("early")


def test_what_is_no_whole_run_is_named_and_how_to_mend_it(tmp_path):
    run, other = (Run("early", "oracle", Settings("prpo", seed, steps=1)) for seed in (1, 2))
    runs.write(run, [{"step": 0, "greedy": 0.5}, {"step": 1}], 2.0, tmp_path)
    path = runs.path_of(run, tmp_path)
    whole = path.read_text()
    faults = {
        "": "is no run's file",
        whole[:40]: "is no run's file",
        "{}\n": r"KeyError\('task'",
        "\n".join(whole.splitlines()[:2]): "ends after step 0",
        whole.replace("0.5", "NaN"): "greedy of step 0 is nan",
        whole.replace('"seed": 1', '"seed": 2'): f"holds another run, {other.name}",
    }
    for text, says in faults.items():
        path.write_text(text)
        with pytest.raises(RunError, match=says) as caught:
            runs.read(path)
        assert path.name in str(caught.value) and "the same command makes it again" in str(caught.value)
    with pytest.raises(RunError, match=f"greedy of step 0 is nan; the training of {run.name} diverged"):
        runs.write(run, [{"step": 0, "greedy": float("nan")}], 2.0, tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())
    runs.write_all([result("early", "oracle", "grpo", 1, 0.3)], tmp_path / "all.jsonl")
    (tmp_path / "all.jsonl").write_text((tmp_path / "all.jsonl").read_text() + "{}\n")
    with pytest.raises(RunError, match="line 2: no run"):
        runs.read_all(tmp_path / "all.jsonl")


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


PROBED = {"drop_step": "ok", "stop_early": "FLAG", "pad": "unclear", "polite_end": "FLAG"}
FACTS = {
    "early policy": {"steps": 5, "greedy": 0.3, "sampled": 0.2, "seconds": 1.0},
    "early learned": {
        "sampled": {"on_wrong": 0.5, "on_right": 0.9},
        "flawed": {"on_wrong": 0.6, "on_right": 0.8},
        "seconds": 1.0,
        "probe": {what: {"verdict": verdict} for what, verdict in PROBED.items()},
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
    oracle, learned = "**+10.0 [+10.0, +10.0]**", "**+5.0 [+5.0, +5.0]**"
    assert f"| PRPO, the paper's | {oracle} | {oracle} | {oracle} | 0.031 (0.062) |" in text  # 2 / 2**6, twice
    assert f"| PRPO, the paper's | {learned} |  | {learned} | 0.25 (0.25) |" in text
    assert text.count("p (Holm for 2)") == 2 * 2
    assert f"| PRPO, the paper's | exact labels | {oracle} | {oracle} |" in text
    assert "| PRPO, the paper's | learned |" not in text, "it was not run on all tasks"
    assert "| early | 20.0 | 42.0 | 20.0 | 42.0 |" in text
    assert "| early | learned | 50.0 | 90.0 | 60.0 | 80.0 |" in text
    assert f"| early | learned | `stop_early`, `polite_end` | `pad` | {learned} | {learned} |" in text
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
    assert "| GRPO | 0.0001 |" in text
    for name in ("runs.jsonl", "tuning.jsonl", "assets.json", "full_stack.md"):
        assert (tmp_path / "again" / "evidence" / name).read_text() == (
            tmp_path / "out" / "evidence" / name
        ).read_text()


def test_a_report_that_lacks_runs_says_so_and_draws_no_conclusions(tmp_path, reported):
    write_report(reported, [], FACTS, "", tmp_path)
    text = (tmp_path / "evidence.md").read_text()
    assert "its learning rates are not all tuned" in text and "## The answer" not in text
    published = Path(__file__).resolve().parents[2] / "docs" / "evidence"
    shutil.copytree(published, tmp_path / "less")
    lines = (tmp_path / "less" / "runs.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "less" / "runs.jsonl").write_text("".join(lines[1:]))
    lost = runs.read_all(published / "runs.jsonl")[0].run
    rebuild(tmp_path / "less" / "runs.jsonl", tmp_path / "drawn")
    text = (tmp_path / "drawn" / "evidence.md").read_text()
    assert f"1 of the study's {len(lines)} runs are missing ({lost.name})." in text and "## The answer" not in text


def test_a_smaller_report_does_not_replace_a_larger_one_and_nothing_of_an_older_one_stays(tmp_path, reported):
    write_report(reported[:-1], [], FACTS, "told", tmp_path)
    for old in ("differences_area.png", "appendix.md", "trust.md", "trust_gains.png"):
        (tmp_path / "evidence" / old).write_bytes(b"")
    write_report(reported, [], FACTS, "", tmp_path)
    for old in ("differences_area.png", "appendix.md", "full_stack.md"):
        assert not (tmp_path / "evidence" / old).exists()
    for others in ("trust.md", "trust_gains.png"):
        assert (tmp_path / "evidence" / others).exists()
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    for fewer, says in ((reported[:3], "name another folder"), ([], "holds no run")):
        with pytest.raises(ReportError, match=says):
            write_report(fewer, [], FACTS, "", tmp_path)
    assert before == {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(ReportError, match="nowhere"):
        rebuild(tmp_path / "nowhere.jsonl", tmp_path)


def test_the_published_pages_are_what_their_runs_say(tmp_path):
    docs = Path(__file__).resolve().parents[2] / "docs"
    rebuild(docs / "evidence" / "runs.jsonl", tmp_path)
    drawn = {path.name for path in (tmp_path / "evidence").glob("*.png")}
    assert drawn == {path.name for name in DRAWN for path in (docs / "evidence").glob(name) if path.suffix == ".png"}
    shown = set()
    for page in ("evidence.md", "evidence/appendix.md"):
        text = (tmp_path / page).read_text()
        assert text == (docs / page).read_text()
        assert NOT_RUN not in text
        figures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
        assert all(((tmp_path / page).parent / link).is_file() for link in figures)
        shown |= {Path(link).name for link in figures}
    assert shown == drawn


@cache
def published():
    """The published runs."""
    return Results(runs.read_all(Path(__file__).resolve().parents[2] / "docs" / "evidence" / "runs.jsonl"))


def told_of_grpo(figure):
    """What the published runs say of each PRM and arm, less GRPO."""
    return {(each.prm, each.arm): each for each in sections.compared(published(), figure)}


PAPERS_MARGIN = 0.032


def test_what_the_page_says_in_words_is_what_its_runs_say():
    """A conclusion that new runs would overturn must not stay on the page."""
    told = {name: told_of_grpo(name) for name in ("greedy", "sampled")}
    above = {of: all(lies_above_0(found[of].together) for found in told.values()) for of in told["greedy"]}
    assert [of for of, both in above.items() if both] == [("oracle", "prpo_half")]
    assert min(found.adjusted for found in told["greedy"].values()) > 0.05
    for prm in ("learned", "oracle"):
        each = told["greedy"][prm, "prpo"].of_task
        assert [task for task in each if lies_above_0(each[task]) and each[task].mean >= PAPERS_MARGIN] == ["chained"]
    paper = told["greedy"]["learned", "prpo"]
    assert lies_below_0(paper.of_task["walk"]) and lies_below_0(told["sampled"]["learned", "prpo"].of_task["early"])
    for name in told:
        open_ = told[name]["learned", "prpo"].of_task["words"]
        assert not lies_above_0(open_) and not lies_below_0(open_)
        means = {prm: told[name][prm, "prpo"].together.mean for prm in ("learned", "oracle")}
        assert told[name]["learned", "prpo_half"].together.mean > means["learned"], "half loses less"
    for task in ("early", "words"):
        weak = published().differences("learned_weak", "prpo", "grpo", sections.FIGURES["greedy"])
        assert lies_below_0(statistics.difference({task: weak[task]}))


def test_the_published_runs_are_the_plan_at_the_rates_that_the_published_tuning_chooses():
    folder = Path(__file__).resolve().parents[2] / "docs" / "evidence"
    tuned = runs.read_all(folder / "tuning.jsonl")
    assert {r.run for r in tuned} == set(Plan().tuning(statistics.rate_scores(tuned)))
    planned = set(Plan().reported(statistics.best_rates(tuned)))
    assert {r.run for r in runs.read_all(folder / "runs.jsonl")} == planned


def test_readme_and_guide_quote_the_headline_as_it_is():
    root, told = Path(__file__).resolve().parents[2], told_of_grpo("greedy")
    learned, oracle = (told[prm, "prpo"].together for prm in ("learned", "oracle"))
    readme, guide = (" ".join((root / name).read_text().split()) for name in ("README.md", "docs/guide.md"))
    below = f"{-100 * learned.mean:.1f} points below GRPO"
    assert (
        f"{below} on average (greedy, 95% interval {-100 * learned.high:.1f} to {-100 * learned.low:.1f} over seeds)"
        in readme
    )
    assert f"{100 * oracle.mean:.1f} above greedily ({100 * oracle.low:.1f} to {100 * oracle.high:.1f})" in readme
    assert f"ended {below} in" in guide


def test_the_guide_says_what_the_runs_say():
    guide = " ".join((Path(__file__).resolve().parents[2] / "docs" / "guide.md").read_text().split())
    results = published()

    def less_grpo(arm, tasks, figure="greedy", prm="learned", base="grpo", digits=0):
        of_task = results.differences(prm, arm, base, sections.FIGURES[figure])
        found = statistics.difference({task: of_task[task] for task in tasks or results.tasks})
        return f"{100 * found.mean:+.{digits}f}"

    chained, early, both = ("chained",), ("early",), ("early", "words")
    for says in (
        f"PRPO {less_grpo('prpo', chained)} greedily and {less_grpo('prpo', chained, 'sampled')} at temperature 1, "
        f"half of it {less_grpo('prpo_half', chained)} and {less_grpo('prpo_half', chained, 'sampled')}.",
        f"PRPO {less_grpo('prpo', early, 'sampled', digits=1)} at temperature 1, "
        f"half of it {less_grpo('prpo_half', early, 'sampled', digits=1)}.",
        f"PRPO {less_grpo('prpo', ('words',))} and {less_grpo('prpo', ('walk',))}, half of it "
        f"{less_grpo('prpo_half', ('words',))} and {less_grpo('prpo_half', ('walk',))}, "
        f"PURE {less_grpo('pure', ('words',))} and {less_grpo('pure', ('walk',))}.",
        f"PURE was {less_grpo('pure', early, 'sampled')} at temperature 1",
        f"PRPO {less_grpo('prpo', both, prm='learned_weak')} greedily and "
        f"{less_grpo('prpo', both, 'sampled', 'learned_weak')} at temperature 1, half of it "
        f"{less_grpo('prpo_half', both, prm='learned_weak')} and "
        f"{less_grpo('prpo_half', both, 'sampled', 'learned_weak')}.",
        f"half ended {less_grpo('prpo_half', (), 'sampled', base='prpo')[1:]} points above the paper's weight at "
        f"temperature 1, and {less_grpo('prpo_half', (), base='prpo')[1:]} greedily",
        f"process rewards alone ended {less_grpo('process', ())[1:]} points below GRPO greedily, "
        f"`credit=prm_avg_prpo` {less_grpo('prm_avg_prpo', ())[1:]}.",
    ):
        assert says in guide, says
    gaps = results.differences("learned", "prpo", "grpo", sections.FIGURES["greedy"])
    spread = sorted(round(100 * stdev(of_seed)) for of_seed in gaps.values())
    assert f"varied by {spread[0]} to {spread[-1]} points from seed to seed" in guide


def test_numbers_of_the_text_are_looked_up(tmp_path, reported):
    evidence = Evidence(reported, [], FACTS, "", tmp_path)
    assert evidence.fill("{{diff prpo grpo oracle all}}; {{mean prpo learned early}}") == ("+10.0 [+10.0, +10.0]; 47.0")
    assert (
        evidence.fill("{{diff prpo grpo oracle words,early}}, {{start early sampled}}") == "+10.0 [+10.0, +10.0], 20.0"
    )
    assert evidence.fill("{{found early learned}} {{passed early learned}}") == "50.0 90.0"
    assert evidence.fill("{{least_p greedy}} {{seeds prpo}} {{steps}} {{runs}}") == "0.062 3 4 15"
    assert evidence.fill("{{parameters}} {{tuned prpo early 1e-4 greedy}}") == f"0.3 {NOT_RUN}"
    assert evidence.fill("{{diff prpo grpo learned early,words}}") == NOT_RUN, "a mean of tasks that were not run"
    assert evidence.fill("{{diff prpo grpo learned words}} {{table rates}}") == f"{NOT_RUN} {NOT_RUN}"
    for unknown in ("{{median prpo}}", "{{table chairs}}", "{{figure chairs}}"):
        with pytest.raises(ValueError, match="known are"):
            evidence.fill(unknown)


def test_cells_by_hand(tmp_path):
    """GRPO ends at 41, 42, 43%; PRPO 10 points above with the oracle, 20 below with 30% noise, 5 above if learned."""
    found = [result("early", "oracle", "grpo", seed, 0.4 + seed / 100) for seed in (1, 2, 3)]
    for prm, gain in (("oracle", 0.1), ("noise30", -0.2), ("learned", 0.05)):
        found += [result("early", prm, "prpo", seed, 0.4 + seed / 100 + gain) for seed in (1, 2, 3)]
    evidence = Evidence(found, [], FACTS, "", tmp_path)
    rows = evidence.fill("{{table prm_quality}}").splitlines()
    assert "| 30% | **-30.0 [-30.0, -30.0]** | **-30.0 [-30.0, -30.0]** |" in rows
    assert "| learned | **-5.0 [-5.0, -5.0]** | **-5.0 [-5.0, -5.0]** |" in rows
    rows = evidence.fill("{{table against oracle,learned grpo prpo}}").splitlines()
    assert "| PRPO, the paper's | learned | early | **+5.0 [+5.0, +5.0]** | **+5.0 [+5.0, +5.0]** |" in rows
    rows = evidence.fill("{{table against noise30 grpo prpo}}").splitlines()
    assert rows[0] == "| less GRPO, PRM: 30% | task | greedy | temperature 1 |"
    assert rows[2] == "| PRPO, the paper's | early | **-20.0 [-20.0, -20.0]** | **-20.0 [-20.0, -20.0]** |"
    rows = evidence.fill("{{table along_the_way oracle prpo}}").splitlines()
    assert rows[2].startswith("| early | +5.0 | +10.0 | ")
    name = tmp_path.name
    assert f"]({name}/recall.png)" in evidence.fill("{{figure recall}}") and (tmp_path / "recall.png").exists()
    assert "](recall.png)" in evidence.fill("{{figure recall}}", f"{name}/appendix.md")


@pytest.mark.parametrize("wrong", [["--hours", "nan"], ["--hours", "-1"], ["--hours", "inf"], ["--workers", "0"]])
def test_what_cannot_be_meant_is_refused(wrong, capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(wrong)
    assert wrong[1] in capsys.readouterr().err


def studied(monkeypatch, tmp_path, study):
    """The exit status of the command with a study in the place of the real one."""
    monkeypatch.setattr("study.run._study", study)
    monkeypatch.setattr(sys, "argv", ["run", "--out", str(tmp_path)])
    heard = signal.getsignal(signal.SIGTERM)
    try:
        return run.main()
    finally:
        signal.signal(signal.SIGTERM, heard)


def test_the_exit_status_says_how_it_ended(monkeypatch, tmp_path, capsys):
    def failing(error):
        def study(*arguments):
            raise error

        return study

    assert studied(monkeypatch, tmp_path, lambda *arguments: True) == 0
    assert studied(monkeypatch, tmp_path, lambda *arguments: False) == 3
    assert studied(monkeypatch, tmp_path, failing(KeyboardInterrupt())) == 130
    for error in (StudyError("a hang"), RunError("a hang"), ReportError("a hang"), OSError(28, "a hang", "file")):
        assert studied(monkeypatch, tmp_path, failing(error)) == 1
        assert "a hang" in capsys.readouterr().err


def test_two_studies_do_not_share_a_folder(monkeypatch, tmp_path, capsys):
    with run.claimed(tmp_path):
        assert studied(monkeypatch, tmp_path, lambda *arguments: True) == 1
    assert "another study is under way" in capsys.readouterr().err
    assert studied(monkeypatch, tmp_path, lambda *arguments: True) == 0


def test_time_that_is_up_before_the_first_run_is_no_failure(monkeypatch, tmp_path):
    monkeypatch.setattr("study.run._assets", lambda *arguments: [])
    with ThreadPoolExecutor(1) as pool:
        assert not run._study(QuickPlan(), tmp_path, None, Workers(pool, 1, time.monotonic() - 1))


def test_weights_that_cannot_be_read_are_named(tmp_path):
    weights = path_of("early", "policy", tmp_path)
    weights.write_bytes(b"PK")
    with pytest.raises(StudyError, match=weights.name):
        run._policy("early", tmp_path)


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


def test_a_job_that_hangs_ends_the_study(monkeypatch):
    monkeypatch.setattr("study.jobs.PATIENCE", 0.2)
    with ThreadPoolExecutor(1) as pool, pytest.raises(StudyError, match="nothing ended in 0 s, amid nap; the same"):
        work("stage", [job("nap", time.sleep, 2)], Workers(pool, 1, time.monotonic() + 600))


def test_the_time_left_counts_what_comes_after(capsys):
    with ThreadPoolExecutor(1) as pool:
        assert work("stage", [job("sleep", time.sleep, 0.6)], Workers(pool, 1, time.monotonic() + 600), later=1000)
    told = capsys.readouterr().out
    assert "about 0 min to go" in told
    assert int(told.split("to go, ")[1].split(" min with what comes after")[0]) >= 10  # 0.6 s for each of 1001


POOL = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from study.jobs import prepare_worker

if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), prepare_worker)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    (tmp_path / "pool.py").write_text(POOL)
    examples = Path(__file__).resolve().parents[2] / "examples"
    environment = {**os.environ, "PYTHONPATH": f"{examples}:{examples / 'toy'}"}
    parent = subprocess.Popen([sys.executable, str(tmp_path / "pool.py")], stdout=subprocess.PIPE, env=environment)
    worker = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait(60)
    worker.wait(60)


def test_what_is_finished_is_not_run_again(tmp_path):
    planned = list(QuickPlan().reported(RATES))
    runs.write(planned[3], [{"step": 0}], 1.0, tmp_path)
    left = [job.arguments[0] for job in missing(planned, tmp_path, tmp_path)]
    assert left == [*planned[:3], *planned[4:]]
