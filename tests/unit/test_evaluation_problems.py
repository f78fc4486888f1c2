# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What is evaluated and how: files of `verl-prpo data`, and the paper's protocol for each set."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from verl_prpo.evaluation import EvaluationError
from verl_prpo.evaluation.problems import EvaluationProblem, EvaluationSet, read_test_sets
from verl_prpo.evaluation.prompts import Job, check_lengths
from verl_prpo.evaluation.sampling import Sampling, sampling_of


def row(index: Any, **changed: Any) -> dict[str, Any]:
    return {
        "data_source": "openai/gsm8k",
        "prompt": [{"role": "user", "content": f"What is {index} + 1?"}],
        "reward_model": {"style": "rule", "ground_truth": str(index)},
        "extra_info": {"index": index, "level": 3, "subject": "Algebra", "question": f"{index} + 1?"},
    } | changed


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pd.DataFrame(rows).to_parquet(path)
    return path


def read(path: Path, rows: list[dict[str, Any]]) -> EvaluationSet:
    return read_test_sets([parquet(path, rows)])[0]


class TestReading:
    def test_a_row_is_a_problem(self, tmp_path: Path) -> None:
        (problem,) = read(tmp_path / "gsm8k_test.parquet", [row(7)]).problems
        assert problem.messages == [{"role": "user", "content": "What is 7 + 1?"}]
        assert problem.about() == {
            **{"index": 7, "question": "7 + 1?", "ground_truth": "7", "data_source": "openai/gsm8k"},
            **{"level": "3", "subject": "Algebra"},
        }
        (bare,) = read(tmp_path / "bare.parquet", [row(7, extra_info=None)]).problems
        assert (bare.about()["question"], bare.about()["level"], bare.index) == ("What is 7 + 1?", None, 0)

    @pytest.mark.parametrize("indices", [[1, 1], [1, None], ["a", "b"]])
    def test_rows_are_counted_where_the_index_names_no_problem(self, tmp_path: Path, indices: list[Any]) -> None:
        read_set = read(tmp_path / "x.parquet", [row(index) for index in indices])
        assert [problem.index for problem in read_set.problems] == [0, 1]

    def test_the_digest_changes_with_prompts_and_ground_truths_only(self, tmp_path: Path) -> None:
        first = read(tmp_path / "a.parquet", [row(1)])
        other_truth = row(1, reward_model={"style": "rule", "ground_truth": "9"})
        assert first.digest == read(tmp_path / "b.parquet", [row(1, ability="math")]).digest
        assert first.digest != read(tmp_path / "c.parquet", [other_truth]).digest

    def test_a_larger_draw_adds_to_a_smaller_one(self, tmp_path: Path) -> None:
        read_set = read(tmp_path / "x.parquet", [row(i) for i in range(40)])
        few, more, other = ({p.index for p in read_set.draw(n, seed)} for n, seed in ((5, 0), (9, 0), (5, 1)))
        assert len(few) == 5 and few < more and few != other
        assert [p.index for p in read_set.draw(None, 0)] == list(range(40)) == [p.index for p in read_set.draw(99, 0)]

    @pytest.mark.parametrize(
        ("rows", "fault"),
        [
            ([{"question": "?"}], "no column prompt, data_source, reward_model. It has question"),
            ([row(1, prompt="What?")], "row 0: prompt must be chat messages"),
            ([row(1), row(2, reward_model={"style": "rule", "ground_truth": None})], "row 1: no reward_model.ground"),
        ],
    )
    def test_a_file_of_another_kind_is_refused(self, tmp_path: Path, rows: list[dict[str, Any]], fault: str) -> None:
        with pytest.raises(EvaluationError, match=fault):
            read(tmp_path / "x.parquet", rows)

    def test_no_file_no_parquet_and_two_of_one_name_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(EvaluationError, match="no such file"):
            read_test_sets([tmp_path / "none.parquet"])
        text = tmp_path / "text.parquet"
        text.write_text("no parquet")
        with pytest.raises(EvaluationError, match="no parquet file"):
            read_test_sets([text])
        with pytest.raises(EvaluationError, match="two files are called text"):
            read_test_sets([text, tmp_path / "other" / "text.parquet"])


class TestProtocol:
    def of(self, name: str, data_source: str = "x", **wanted: Any) -> Sampling:
        (test_set,) = (EvaluationSet(name, _problems(data_source), ""),)
        return sampling_of(test_set, **wanted)

    @pytest.mark.parametrize("name", ["math500", "gsm8k_test", "gamc"])
    def test_most_sets_are_decoded_greedily(self, name: str) -> None:
        assert self.of(name) == Sampling(1, 0.0, 1.0, 2048, 0)

    @pytest.mark.parametrize(
        ("name", "data_source"),
        [("aime24", "x"), ("AIME25", "x"), ("amc23", "x"), ("x", "aime24"), ("x", "HuggingFaceH4/aime_2024")],
    )
    def test_aime_and_amc_get_the_papers_32_samples(self, name: str, data_source: str) -> None:
        assert self.of(name, data_source) == Sampling(32, 0.7, 0.9, 2048, 0)

    def test_samples_of_another_set_are_drawn_alike(self) -> None:
        assert self.of("math500", samples=8) == Sampling(8, 0.7, 0.9, 2048, 0)
        assert self.of("math500", samples=8, temperature=1.0, top_p=1.0) == Sampling(8, 1.0, 1.0, 2048, 0)

    def test_aime_can_be_decoded_greedily(self) -> None:
        assert self.of("aime24", temperature=0.0) == Sampling(1, 0.0, 1.0, 2048, 0)
        assert self.of("aime24", samples=1) == Sampling(1, 0.0, 1.0, 2048, 0)

    @pytest.mark.parametrize(
        ("wanted", "fault"),
        [
            ({"samples": 0}, "--samples 0"),
            ({"temperature": -1.0}, "--temperature -1"),
            ({"top_p": 0.0}, "--top-p 0"),
            ({"max_tokens": 0}, "--max-tokens 0"),
            ({"samples": 4, "temperature": 0.0}, "would be the same"),
        ],
    )
    def test_settings_that_make_no_sense_are_refused(self, wanted: dict[str, Any], fault: str) -> None:
        with pytest.raises(EvaluationError, match=fault):
            self.of("math500", **wanted)


def _problems(data_source: str) -> tuple:
    return (EvaluationProblem(0, data_source, [{"role": "user", "content": "?"}], "1", {}),)


class TestContext:
    def jobs(self, *lengths: int) -> list[Job]:
        problem = EvaluationProblem(0, "x", [], "1", {})
        return [Job("set", EvaluationProblem(**{**vars(problem), "index": i}), n) for i, n in enumerate(lengths)]

    def test_prompts_that_fill_the_context_are_named_and_refused(self) -> None:
        with pytest.raises(
            EvaluationError, match=r"1 prompts .* context of 20: set/1 \(20 tokens\)\. --skip-long-prompts"
        ):
            check_lengths(self.jobs(5, 20), 10, 20, skip=False)

    def test_or_count_as_wrong(self) -> None:
        (notice,) = check_lengths(self.jobs(5, 20), 10, 20, skip=True)
        assert notice.endswith("They count as wrong")

    def test_responses_that_cannot_be_as_long_as_asked_are_counted(self) -> None:
        assert check_lengths(self.jobs(5, 10), 10, 20, skip=False) == []
        (notice,) = check_lengths(self.jobs(5, 11, 19), 10, 20, skip=False)
        assert notice.startswith("for 2 prompts --max-tokens cannot be had")

    def test_a_model_without_limit_takes_all(self) -> None:
        assert check_lengths(self.jobs(10**6), 10, None, skip=False) == []
