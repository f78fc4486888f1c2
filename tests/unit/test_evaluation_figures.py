# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""From the responses of an evaluation to its figures, and the comparison of two."""

import io
from pathlib import Path

import pytest
from evaluations import RIGHT, WRONG, evaluation
from rich.console import Console

from verl_prpo.evaluation import EvaluationError
from verl_prpo.evaluation.comparison import compare
from verl_prpo.evaluation.folder import EvaluationFolder
from verl_prpo.evaluation.summary import summarize
from verl_prpo.evaluation.tables import print_comparison, print_summary


def shown(printer, *arguments) -> str:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    printer(*arguments, console)
    return console.file.getvalue()


class TestSummary:
    def test_of_two_problems_of_four_samples(self, tmp_path: Path) -> None:
        """Three of four are right, with the majority; one of four, where two equal wrong ones outvote it."""
        responses = {0: [RIGHT, RIGHT, RIGHT, WRONG], 1: [RIGHT, "#### 1,000", "#### 1000", "none"]}
        about = {0: {"level": 1, "subject": "Algebra"}, 1: {"level": 2, "subject": "Algebra"}}
        found = summarize(evaluation(tmp_path / "a", responses, about=about))["sets"]["gsm8k"]
        values = {name: metric["value"] for name, metric in found["metrics"].items()}
        assert values == {"mean@4": 0.5, "pass@2": 0.75, "pass@4": 1.0, "maj@4": 0.5}
        assert found["metrics"]["maj@4"]["interval"] == [0.0, 1.0]
        assert (found["no_answer"], found["truncated"], found["problems"]) == (1 / 8, 0.0, 2)
        assert {level: part["metrics"]["mean@4"]["value"] for level, part in found["by_level"].items()} == {
            **{"1": 0.75, "2": 0.25}
        }
        assert found["by_subject"]["Algebra"]["problems"] == 2
        assert found["by_level"]["1"]["metrics"]["mean@4"]["interval"] is None

    def test_counts_what_could_not_be_compared_and_what_was_cut(self, tmp_path: Path) -> None:
        folder = evaluation(tmp_path / "a", {0: [r"\boxed{\int x\,dx}"], 1: [RIGHT]})
        records = list(folder.records("gsm8k").values())
        records[1]["samples"][0]["finish_reason"] = "length"
        folder.write_records("gsm8k", records)
        summary = summarize(folder)
        found = summary["sets"]["gsm8k"]
        assert (found["undecided"], found["methods"], found["truncated"]) == (1, {"unread": 1, "verl": 1}, 0.5)
        printed = shown(print_summary, summary)
        assert "gsm8k: 1 answers could not be compared and count as wrong" in printed
        assert "2 of 9" in printed and "50.0" in printed

    def test_a_folder_of_an_earlier_version_is_read(self, tmp_path: Path) -> None:
        folder = evaluation(tmp_path / "a", {0: [RIGHT]}, selected=3, engine={}, context=64, template_arguments={})
        assert "gsm8k: 2 of 3 problems are missing" in shown(print_summary, summarize(folder))


class TestComparison:
    def test_greedy_runs_by_mcnemar(self, tmp_path: Path) -> None:
        """A alone solves 0 to 4, B alone 5, both 6; problem 7 is only in A, 8 only in B."""
        a = evaluation(tmp_path / "a", {i: [WRONG if i == 5 else RIGHT] for i in range(8)})
        b = evaluation(tmp_path / "b", {i: [RIGHT if i >= 5 else WRONG] for i in (8, *range(7))})
        (found,) = compare(a, b)
        assert (found["common"], found["only_a"], found["only_b"]) == (7, [7], [8])
        assert (found["better"], found["worse"], found["test"]) == (5, 1, "McNemar, exact")
        assert found["difference"] == pytest.approx(4 / 7) and found["p"] == pytest.approx(2 * (1 + 6) / 64)
        assert found["interval"][0] < 4 / 7 < found["interval"][1]
        assert found["settings"] == []
        printed = shown(print_comparison, [found], "a", "b")
        assert "1 problems are only in A and left out: 7" in printed
        assert "1 problems are only in B and left out: 8" in printed and "5 / 1" in printed

    def test_sampled_runs_by_sign_flips(self, tmp_path: Path) -> None:
        a = evaluation(tmp_path / "a", {i: [RIGHT, RIGHT] for i in range(4)})
        b = evaluation(tmp_path / "b", {i: [RIGHT, WRONG] for i in range(4)})
        (found,) = compare(a, b)
        assert (found["mean_a"], found["mean_b"], found["interval"]) == (1.0, 0.5, [0.5, 0.5])
        assert found["test"] == "sign flip" and found["p"] == pytest.approx(2 / 16)

    def test_other_settings_are_named(self, tmp_path: Path) -> None:
        a = evaluation(tmp_path / "a", {0: [RIGHT, WRONG]}, overrides=["x=1"])
        b = evaluation(tmp_path / "b", {0: [RIGHT]}, digest="def", overrides=[])
        (found,) = compare(a, b)
        assert found["settings"] == [
            "samples: 2 and 1",
            "temperature: 0.7 and 0.0",
            "top_p: 0.9 and 1.0",
            "overrides: ['x=1'] and []",
            "prompts: abc and def",
        ]

    def test_other_ground_truths_or_questions_are_refused(self, tmp_path: Path) -> None:
        a = evaluation(tmp_path / "a", {0: [RIGHT]})
        with pytest.raises(EvaluationError, match=r"1 of 1 problems have other ground truths .*'4' and '5'"):
            compare(a, evaluation(tmp_path / "b", {0: [RIGHT]}, truth="5"))
        asked = evaluation(tmp_path / "c", {0: [RIGHT]}, about={0: {"question": "another question"}})
        with pytest.raises(EvaluationError, match="1 of 1 problems have other questions"):
            compare(a, asked)

    def test_nothing_in_common_is_refused(self, tmp_path: Path) -> None:
        a, b = (evaluation(tmp_path / name, {index: [RIGHT]}) for index, name in enumerate("ab"))
        with pytest.raises(EvaluationError, match="gsm8k: not one problem in common"):
            compare(a, b)
        (tmp_path / "c").mkdir()
        empty = EvaluationFolder(tmp_path / "c")
        empty.note({"where": "x"}, {"aime24": {}}, {})
        with pytest.raises(EvaluationError, match=r"no set in common: .* gsm8k, .* aime24"):
            compare(a, empty)
