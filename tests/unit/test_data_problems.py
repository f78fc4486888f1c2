# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of the problem sets, in the columns in which they are published, become problems."""

from typing import Any

import numpy as np
import pytest

from verl_prpo.data.problems import last_boxed, question_key, read_competition, read_gsm8k, read_math


def math(**changed: Any) -> dict[str, Any]:
    solution = "Adding gives $\\boxed{2}$."
    return {"problem": "What is 1 + 1?", "solution": solution, "level": "Level 3", "type": "Algebra"} | changed


def gsm8k(**changed: Any) -> dict[str, Any]:
    return {"question": "What is 1 + 1?", "answer": "1 + 1 = 2\n#### 2"} | changed


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
        assert read_gsm8k(gsm8k(answer="It is 2,000.\n#### $2,000")).answer == "2000"

    def test_level_and_subject_are_kept(self) -> None:
        assert read_math(math()).extra == {"level": 3, "subject": "Algebra"}
        assert read_math(math(level=5, type=None, subject="Geometry")).extra == {"level": 5, "subject": "Geometry"}

    def test_one_question_in_two_wordings_is_one(self) -> None:
        assert question_key("What is  1 + 1?\n") == question_key("what is 1+1?") != question_key("What is 1 - 1?")


class TestColumns:
    @pytest.mark.parametrize("answer", [["27"], {"value": 27}, b"27", np.array(["27"])], ids=repr)
    def test_an_answer_that_is_no_text_and_no_number_is_refused(self, answer: Any) -> None:
        for read in (read_math, read_competition):
            with pytest.raises(ValueError, match="column answer holds a"):
                read({"problem": "How many?", "answer": answer})

    @pytest.mark.parametrize("answer", ["27", 27, 27.0, "27.0", "027", "$27$", r"\boxed{27}", r"$\boxed{027}$"])
    @pytest.mark.parametrize("column", ["problem", "question", "Problem"])
    def test_a_competition_answers_with_an_integer_however_it_is_written(self, column: str, answer: Any) -> None:
        problem = read_competition({column: "How many?", "answer": answer, "id": 3})
        assert (problem.question, problem.answer, problem.solution) == ("How many?", "27", "")

    def test_a_competition_without_an_answer_column_has_it_in_the_solution(self) -> None:
        assert read_competition({"problem": "How many?", "solution": r"So \boxed{204}"}).answer == "204"

    def test_an_answer_that_is_no_integer_stays_as_it_is(self) -> None:
        assert read_competition({"problem": "How far?", "answer": r"\frac{1}{2}"}).answer == r"\frac{1}{2}"

    @pytest.mark.parametrize("empty", [None, "", " ", float("nan")])
    def test_a_missing_cell_is_no_answer(self, empty: Any) -> None:
        with pytest.raises(ValueError, match=r"no .boxed answer"):
            read_competition({"problem": "How many?", "answer": empty})

    def test_the_answer_column_of_math500_comes_before_the_box(self) -> None:
        assert read_math(math(answer="42", solution="")).answer == "42"
        assert read_math(math(answer=r"\frac{1}{2}", solution=r"\boxed{\frac12}")).answer == r"\frac{1}{2}"
        assert read_math(math(answer=float("nan"))).answer == "2"

    def test_gsm8k_may_have_its_number_in_a_column_of_its_own(self) -> None:
        problem = read_gsm8k(gsm8k(answer="2", solution="1 + 1 = 2\n#### 2"))
        assert (problem.answer, problem.solution) == ("2", "1 + 1 = 2\n#### 2")
