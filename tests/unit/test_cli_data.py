# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo data`: rows that verl reads and scores, and an account of every row that is not kept."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from verl.utils.reward_score import default_compute_score

from verl_prpo.cli.main import main
from verl_prpo.data.prepare import prepare
from verl_prpo.data.problem_sets import SETS, HubSplit
from verl_prpo.data.problems import question_key
from verl_prpo.data.templates import TEMPLATES, answer_in_form
from verl_prpo.outcome.scorer import score_answer

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def math(number: int, **changed: Any) -> dict[str, Any]:
    solution = f"Adding gives $\\boxed{{{number + 1}}}$."
    return {"problem": f"What is {number} + 1?", "solution": solution, "level": "Level 3", "type": "Algebra"} | changed


def gsm8k(number: int, **changed: Any) -> dict[str, Any]:
    return {"question": f"What is {number} + 1?", "answer": f"{number} + 1 = 8\n#### {number + 1}"} | changed


def competition(number: int, **changed: Any) -> dict[str, Any]:
    return {"problem": f"What is {number} + 1?", "answer": str(number + 1)} | changed


class TestPreparing:
    def test_every_row_is_kept_or_counted_with_its_reason(self) -> None:
        rows = [math(1), math(1), math(2, solution="2"), math(3, problem=" "), math(4), math(5)]
        prepared = prepare(rows, SETS["math"], {question_key("What is 5 + 1?")})
        assert [p.answer for p in prepared.problems] == ["2", "2", "5"]
        assert prepared.dropped == {
            "no \\boxed answer in the solution": 1,
            "no question (a column problem or question)": 1,
            "of math500": 1,
        }
        assert len(prepared.problems) + sum(prepared.dropped.values()) == len(rows)

    def test_a_question_that_came_before_is_pointed_at_or_dropped(self) -> None:
        rows = [math(1), math(2), math(1, problem="what is 1+1?")]
        assert prepare(rows, SETS["math"], set()).repeated == [2]
        dropping = prepare(rows, SETS["math"], set(), drop_repeated=True)
        assert len(dropping.problems) == 2 and dropping.dropped == {"the question came before": 1}
        assert dropping.repeated == []


class TestTemplates:
    @pytest.mark.parametrize("name", TEMPLATES)
    def test_a_template_shows_the_form_that_it_asks_for(self, name: str) -> None:
        template = TEMPLATES[name]
        asked = template.system + template.user.format(question="How many {sheep}?")
        assert "How many {sheep}?" in asked
        assert ("####" if "####" in answer_in_form(name, "8") else "\\boxed{}") in asked

    @pytest.mark.parametrize("name", SETS)
    def test_both_scorers_read_what_the_default_template_asks_for(self, name: str) -> None:
        problem_set = SETS[name]
        for answer, correct in (("8", True), ("9", False)):
            response = f"So the answer is {answer_in_form(problem_set.template, answer)}"
            score = default_compute_score(problem_set.data_source, response, "8")
            assert ((score["score"] if isinstance(score, dict) else score) == 1.0) is correct
            assert score_answer(problem_set.data_source, response, "8").correct is correct

    def test_sets_of_one_name_in_the_logs_are_the_two_splits_of_one_set(self) -> None:
        tests = [s.data_source for s in SETS.values() if s.split == "test"]
        assert len(set(tests)) == len(tests)


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
        assert "verl: 100.00% of 2 reference solutions" in printed
        assert "math_verifier: 100.00% of 2 answers such as '\\\\boxed{2}'" in printed

    @pytest.mark.parametrize(
        ("name", "made"), [("gsm8k", gsm8k), ("math", math), ("aime24", competition), ("amc23", competition)]
    )
    def test_the_same_source_gives_the_same_bytes(self, name: str, made: Any, tmp_path: Path) -> None:
        source = jsonl(tmp_path / "in.jsonl", [made(n) for n in range(5)])
        for folder in ("one", "two"):
            assert main(["data", name, "--source", str(source), "--out", str(tmp_path / folder)]) == 0
        one, two = ((tmp_path / folder / f"{name}.parquet").read_bytes() for folder in ("one", "two"))
        assert one == two

    @pytest.mark.parametrize("name", ["aime24", "aime25", "amc23"])
    @pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
    def test_a_competition_is_read_from_either_kind_of_file(
        self, name: str, suffix: str, tmp_path: Path, capsys: Any
    ) -> None:
        rows = [{"question": "What is 26 + 1?", "answer": 27.0}, {"question": "What is 3 x 9 - 27?", "answer": 0.0}]
        source = tmp_path / f"in.{suffix}"
        if suffix == "jsonl":
            jsonl(source, rows)
        else:
            pd.DataFrame(rows).to_parquet(source)
        assert main(["data", name, "--source", str(source), "--out", str(tmp_path)]) == 0
        written = pd.read_parquet(tmp_path / f"{name}.parquet")
        assert [truth["ground_truth"] for truth in written.reward_model] == ["27", "0"]
        assert [about["index"] for about in written.extra_info] == [0, 1]
        assert {about["split"] for about in written.extra_info} == {"test"}
        printed = capsys.readouterr().out
        assert "verl: 100.00% of 2 answers such as '\\\\boxed{27}'" in printed
        assert "reference solutions" not in printed

    def test_every_test_set_of_the_folder_is_held_against_the_training_set(self, tmp_path: Path, capsys: Any) -> None:
        for name, number in (("aime24", 1), ("math500", 2), ("gsm8k_test", 3)):
            made = {"aime24": competition, "math500": math, "gsm8k_test": gsm8k}[name]
            source = jsonl(tmp_path / f"{name}.jsonl", [made(number)])
            assert main(["data", name, "--source", str(source), "--out", str(tmp_path)]) == 0
        train = jsonl(tmp_path / "train.jsonl", [math(1), math(2), math(3), math(4)])
        assert main(["data", "math", "--source", str(train), "--out", str(tmp_path)]) == 1
        printed = capsys.readouterr().out
        for name in ("aime24", "math500", "gsm8k_test"):
            assert f"1 problems are also in {tmp_path / name}.parquet" in printed

    def test_a_test_set_is_held_against_the_training_sets_that_are_there(self, tmp_path: Path, capsys: Any) -> None:
        train = jsonl(tmp_path / "train.jsonl", [math(1), math(2)])
        command = ["data", "math", "--source", str(train), "--out", str(tmp_path)]
        assert main(command) == 0
        assert f"compared with no test set: there is none in {tmp_path} (prepare one" in capsys.readouterr().out
        test = jsonl(tmp_path / "test.jsonl", [math(2)])
        assert main(["data", "math500", "--source", str(test), "--out", str(tmp_path)]) == 1
        assert f"make {tmp_path / 'math.parquet'} anew with --without {test}, then this" in capsys.readouterr().err
        assert main([*command, "--without", str(test)]) == 0
        assert main(["data", "math500", "--source", str(test), "--out", str(tmp_path)]) == 0
        assert "compared with no" not in capsys.readouterr().out

    def test_a_source_of_another_size_than_the_published_set_is_said(self, tmp_path: Path, capsys: Any) -> None:
        for count, is_said in ((29, True), (30, False)):
            source = jsonl(tmp_path / "in.jsonl", [competition(n) for n in range(count)])
            assert main(["data", "aime24", "--source", str(source), "--out", str(tmp_path)]) == 0
            printed = capsys.readouterr().out
            assert ("the published set has 30 problems, this source gave 29" in printed) is is_said

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

    def test_a_solution_that_a_scorer_refuses_is_listed_under_its_name(self, tmp_path: Path, capsys: Any) -> None:
        # verl's scorer takes the last "\\boxed " of a text before any "\\boxed{".
        odd = math(1, solution=r"At first $\boxed 3$. No: $\boxed{2}$.")
        assert main(["data", "math", "--source", str(jsonl(tmp_path / "in.jsonl", [odd])), "--out", str(tmp_path)]) == 0
        printed = capsys.readouterr().out
        assert "verl: 0.00% of 1 reference solutions\n      not 0, whose ground truth is '2'" in printed
        assert "math_verifier: 100.00% of 1 reference solutions" in printed

    def test_a_box_for_gsm8k_is_read_by_this_packages_scorer_alone(self, tmp_path: Path, capsys: Any) -> None:
        source = jsonl(tmp_path / "in.jsonl", [gsm8k(1)])
        command = ["data", "gsm8k", "--source", str(source), "--out", str(tmp_path), "--template", "boxed"]
        assert main(command) == 0
        printed = capsys.readouterr().out
        assert "verl: 0.00% of 1 answers" in printed and "math_verifier: 100.00% of 1 answers" in printed
        assert "reward.reward_manager.name=math_verifier" in printed

    def test_a_form_that_no_scorer_reads_is_refused(self, tmp_path: Path, capsys: Any) -> None:
        source = jsonl(tmp_path / "in.jsonl", [math(1)])
        command = ["data", "math", "--source", str(source), "--out", str(tmp_path / "out"), "--template", "hashes"]
        assert main(command) == 2
        assert "asks for a form that no scorer reads for math; paper" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_from_the_hub_the_known_size_is_expected_and_the_test_set_left_out(
        self, tmp_path: Path, monkeypatch: Any, capsys: Any
    ) -> None:
        import datasets

        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        for name, rows in (("test", [math(2)]), ("train", [math(1), math(2), math(3)])):  # a folder stands for the hub
            (tmp_path / name).mkdir()
            jsonl(tmp_path / name / "train.jsonl", rows)
        for name, folder, size in (("math500", "test", 1), ("math", "train", 12)):
            changed = replace(SETS[name], hub=(HubSplit(str(tmp_path / folder), None, "train"),), size=size)
            monkeypatch.setitem(SETS, name, changed)
        assert main(["data", "math", "--out", str(tmp_path)]) == 0
        printed = capsys.readouterr()
        assert "left out 1 of the 1 problems that are not to be in it" in printed.out
        assert "math should have 12 problems and has 2 from the hub" in printed.err
        assert [p["ground_truth"] for p in pd.read_parquet(tmp_path / "math.parquet").reward_model] == ["2", "4"]

    def test_without_the_hub_the_way_with_a_file_is_said(self, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
        nowhere = replace(SETS["gsm8k"], hub=(HubSplit(str(tmp_path / "nowhere"), None, "train"),))
        monkeypatch.setitem(SETS, "gsm8k", nowhere)
        assert main(["data", "gsm8k", "--out", str(tmp_path)]) == 2
        assert "verl-prpo data gsm8k --out DIR --source FILE (.jsonl or .parquet)" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["gsm8k", "--source", "missing.jsonl"], "missing.jsonl does not exist. Name a .jsonl or .parquet file"),
            (["gsm8k", "--source", "missing.parquet"], "missing.parquet does not exist. Name"),
            (["gsm8k", "--source", "."], ". is a folder. Name"),
            (["math", "--source", "math.jsonl", "--without", "missing.jsonl"], "missing.jsonl does not exist"),
            (["gsm8k", "--source", "rows.csv"], "give a .jsonl or .parquet file"),
            (["gsm8k", "--source", "broken.jsonl"], "broken.jsonl, line 2: no JSON"),
            (["gsm8k", "--source", "latin.jsonl"], "latin.jsonl, line 1: not in UTF-8"),
            (["gsm8k", "--source", "broken.parquet"], "broken.parquet: no parquet file that can be read"),
            (["math", "--source", "math.jsonl", "--without", "broken.parquet"], "broken.parquet: no parquet file"),
            (["math", "--source", "math.jsonl", "--without", "strange.jsonl"], "strange.jsonl: no row has a question"),
            (["gsm8k", "--source", "math.jsonl"], 'not one problem of gsm8k in the source: 1 times no "####'),
        ],
    )
    def test_what_cannot_be_read_is_said(
        self, arguments: list[str], message: str, tmp_path: Path, monkeypatch: Any, capsys: Any
    ) -> None:
        monkeypatch.chdir(tmp_path)
        jsonl(tmp_path / "math.jsonl", [math(1)])
        (tmp_path / "rows.csv").write_text("question,answer\n")
        (tmp_path / "broken.jsonl").write_text(json.dumps(gsm8k(1)) + "\n{\n")
        (tmp_path / "latin.jsonl").write_bytes('{"question": "\u00e9"}\n'.encode("latin-1"))
        (tmp_path / "broken.parquet").write_text("PAR1")
        jsonl(tmp_path / "strange.jsonl", [{"prompt": "What is 1 + 1?"}])
        assert main(["data", *arguments, "--out", "out"]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_an_out_that_is_no_folder_is_said(self, tmp_path: Path, capsys: Any) -> None:
        source = jsonl(tmp_path / "math.jsonl", [math(1)])
        assert main(["data", "math", "--source", str(source), "--out", str(source)]) == 2
        assert "Give another folder with --out" in capsys.readouterr().err


class TestWithout:
    """`--without` takes what people have: the published rows, a prepared file, questions without answers."""

    @pytest.mark.parametrize("kind", ["published", "prepared", "questions alone"])
    def test_its_questions_are_left_out(self, kind: str, tmp_path: Path, capsys: Any) -> None:
        source = jsonl(tmp_path / "train.jsonl", [math(1), math(2)])
        without = jsonl(tmp_path / "test.jsonl", [math(1)])
        if kind == "prepared":
            assert main(["data", "math500", "--source", str(without), "--out", str(tmp_path / "test")]) == 0
            without = tmp_path / "test" / "math500.parquet"
        elif kind == "questions alone":
            jsonl(without, [{"problem": math(1)["problem"]}])
        out = tmp_path / "out"
        assert main(["data", "math", "--source", str(source), "--without", str(without), "--out", str(out)]) == 0
        assert "left out 1 of the 1 problems" in capsys.readouterr().out
        assert [row["question"] for row in pd.read_parquet(out / "math.parquet").extra_info] == [math(2)["problem"]]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real problems are not part of a checkout")
@pytest.mark.parametrize(
    ("name", "file", "kept"),
    [
        ("gsm8k", "gsm8k_train.jsonl", 7473),
        ("gsm8k_test", "gsm8k_test_200.jsonl", 200),
        ("math", "math_train.jsonl", 7498),
    ],
)
def test_the_scorers_accept_the_real_reference_solutions(
    name: str, file: str, kept: int, tmp_path: Path, capsys: Any
) -> None:
    assert main(["data", name, "--source", str(SHARED / file), "--out", str(tmp_path)]) == 0
    assert len(pd.read_parquet(tmp_path / f"{name}.parquet")) == kept
    printed = capsys.readouterr().out
    for scorer in ("verl", "math_verifier"):
        share = float(re.search(rf" {scorer}: ([0-9.]+)% of {kept} reference solutions", printed)[1])
        assert share >= 99.0
