# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo data`: rows that verl reads and scores, and an account of every row that is not kept."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from verl.utils.reward_score import default_compute_score

from verl_prpo.cli.main import main
from verl_prpo.data.prepare import prepare
from verl_prpo.data.problem_sets import SETS, TEMPLATES
from verl_prpo.data.problems import last_boxed, question_key, read_gsm8k, read_math

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def math(number: int, **changed: Any) -> dict[str, Any]:
    solution = f"Adding gives $\\boxed{{{number + 1}}}$."
    return {"problem": f"What is {number} + 1?", "solution": solution, "level": "Level 3", "type": "Algebra"} | changed


def gsm8k(number: int, **changed: Any) -> dict[str, Any]:
    return {"question": f"What is {number} + 1?", "answer": f"{number} + 1 = 8\n#### {number + 1}"} | changed


class TestAnswers:
    @pytest.mark.parametrize(
        ("solution", "answer"),
        [
            (r"So it is $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
            (r"First \boxed{1}, then \boxed{\text{(A)}}.", r"\text{(A)}"),
            (r"The set is \fbox{\{1, 2\}}.", r"\{1, 2\}"),
            (r"So $x = \boxed 5$ and we are done.", "5"),
            (r"It is $\boxed {17}$.", "17"),
        ],
    )
    def test_the_last_box_holds_the_answer(self, solution: str, answer: str) -> None:
        assert last_boxed(solution) == answer

    @pytest.mark.parametrize(
        ("solution", "fault"),
        [("no box", "no .boxed"), (r"\boxed{}", "empty"), (r"\boxed{1", "never closed"), (r"\boxed$", "empty")],
    )
    def test_a_solution_without_an_answer_says_so(self, solution: str, fault: str) -> None:
        with pytest.raises(ValueError, match=fault):
            last_boxed(solution)

    def test_a_number_of_gsm8k_has_no_thousands_separators(self) -> None:
        assert read_gsm8k(gsm8k(1, answer="It is 2,000.\n#### $2,000")).answer == "2000"

    def test_level_and_subject_are_kept(self) -> None:
        assert read_math(math(1)).extra == {"level": 3, "subject": "Algebra"}
        assert read_math(math(1, level=5, type=None, subject="Geometry")).extra == {"level": 5, "subject": "Geometry"}

    def test_one_question_in_two_wordings_is_one(self) -> None:
        assert question_key("What is  1 + 1?\n") == question_key("what is 1+1?") != question_key("What is 1 - 1?")


class TestPreparing:
    def test_every_row_is_kept_or_counted_with_its_reason(self) -> None:
        rows = [math(1), math(1), math(2, solution="2"), math(3, problem=" "), math(4), math(5)]
        prepared = prepare(rows, SETS["math"], {question_key("What is 5 + 1?")})
        assert [p.answer for p in prepared.problems] == ["2", "5"]
        assert prepared.dropped == {
            "the question came before": 1,
            "no \\boxed answer in the solution": 1,
            "no problem": 1,
            "of math500": 1,
        }
        assert len(prepared.problems) + sum(prepared.dropped.values()) == len(rows)

    @pytest.mark.parametrize("name", SETS)
    def test_each_template_asks_for_the_form_that_the_scorer_reads(self, name: str) -> None:
        answers = {"boxed": r"\boxed{8}", "qwen_math": r"\boxed{8}", "hashes": "#### 8"}
        for template in SETS[name].templates:
            asked = "".join(TEMPLATES[template])
            assert ("####" if template == "hashes" else "boxed") in asked
            assert default_compute_score(SETS[name].data_source, f"So {answers[template]}", "8") == 1.0


class TestCommand:
    def test_verl_finds_messages_data_source_and_ground_truth(self, tmp_path: Path, capsys: Any) -> None:
        source = jsonl(tmp_path / "in.jsonl", [math(1), math(2)])
        assert main(["data", "math", "--source", str(source), "--out", str(tmp_path), "--template", "qwen_math"]) == 0
        first, second = pd.read_parquet(tmp_path / "math.parquet").to_dict(orient="records")
        assert [m["role"] for m in first["prompt"]] == ["system", "user"]
        assert first["prompt"][1]["content"] == "What is 1 + 1?"
        assert default_compute_score(first["data_source"], r"\boxed{2}", first["reward_model"]["ground_truth"]) == 1.0
        assert [row["extra_info"]["index"] for row in (first, second)] == [0, 1]
        assert first["extra_info"]["split"] == "train" and first["extra_info"]["level"] == 3
        printed = capsys.readouterr().out
        assert "math: 2 problems, train, template qwen_math" in printed
        assert "accepts 100.00% of the reference solutions" in printed

    def test_the_same_source_gives_the_same_file(self, tmp_path: Path) -> None:
        source = jsonl(tmp_path / "in.jsonl", [gsm8k(n) for n in range(5)])
        for folder in ("one", "two"):
            assert main(["data", "gsm8k", "--source", str(source), "--out", str(tmp_path / folder)]) == 0
        one, two = (pd.read_parquet(tmp_path / folder / "gsm8k.parquet") for folder in ("one", "two"))
        pd.testing.assert_frame_equal(one, two)

    def test_test_problems_in_a_training_set_are_an_error_unless_allowed(self, tmp_path: Path, capsys: Any) -> None:
        test = jsonl(tmp_path / "test.jsonl", [math(1), math(2)])
        train = jsonl(tmp_path / "train.jsonl", [math(2, problem="what is 2+1?"), math(3)])
        assert main(["data", "math500", "--source", str(test), "--out", str(tmp_path)]) == 0
        command = ["data", "math", "--source", str(train), "--out", str(tmp_path)]
        assert main(command) == 1
        assert not (tmp_path / "math.parquet").exists()
        printed = capsys.readouterr()
        assert "1 problems are also in" in printed.out and "--without" in printed.err
        assert main([*command, "--without", str(test)]) == 0
        assert len(pd.read_parquet(tmp_path / "math.parquet")) == 1
        assert main([*command, "--allow-overlap"]) == 0

    def test_a_solution_that_the_scorer_refuses_is_listed(self, tmp_path: Path, capsys: Any) -> None:
        # verl's scorer takes the last "\\boxed " of a text before any "\\boxed{".
        odd = math(1, solution=r"At first $\boxed 3$. No: $\boxed{2}$.")
        assert main(["data", "math", "--source", str(jsonl(tmp_path / "in.jsonl", [odd])), "--out", str(tmp_path)]) == 0
        printed = capsys.readouterr().out
        assert "accepts 0.00%" in printed and "not row 0, whose ground truth is '2'" in printed

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["gsm8k", "--template", "boxed"], "does not ask for the form that the scorer of gsm8k reads; hashes"),
            (["gsm8k", "--source", "missing.jsonl"], "missing.jsonl"),
            (["gsm8k", "--source", "rows.csv"], "give a .jsonl or .parquet file"),
            (["gsm8k", "--source", "broken.jsonl"], "broken.jsonl, line 2: no JSON"),
            (["gsm8k", "--source", "math.jsonl"], "not one problem of gsm8k in the source: 1 times no answer"),
        ],
    )
    def test_what_cannot_be_read_is_said(
        self, arguments: list[str], message: str, tmp_path: Path, monkeypatch: Any, capsys: Any
    ) -> None:
        monkeypatch.chdir(tmp_path)
        jsonl(tmp_path / "math.jsonl", [math(1)])
        (tmp_path / "rows.csv").write_text("question,answer\n")
        (tmp_path / "broken.jsonl").write_text(json.dumps(gsm8k(1)) + "\n{\n")
        assert main(["data", *arguments, "--out", "out"]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real problems are not part of a checkout")
@pytest.mark.parametrize(
    ("name", "file", "kept"),
    [
        ("gsm8k", "gsm8k_train.jsonl", 7473),
        ("gsm8k_test", "gsm8k_test_200.jsonl", 200),
        ("math", "math_train.jsonl", 7496),
    ],
)
def test_verls_scorer_accepts_the_real_reference_solutions(
    name: str, file: str, kept: int, tmp_path: Path, capsys: Any
) -> None:
    assert main(["data", name, "--source", str(SHARED / file), "--out", str(tmp_path)]) == 0
    assert len(pd.read_parquet(tmp_path / f"{name}.parquet")) == kept
    share = float(capsys.readouterr().out.split("accepts ")[1].split("%")[0])
    assert share >= 99.9
