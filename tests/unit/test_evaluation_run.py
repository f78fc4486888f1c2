# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""From responses to figures: scoring beside generation, what an interruption keeps, and the comparison of two runs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from verl_prpo.evaluation import EvaluationError, run
from verl_prpo.evaluation.comparison import compare
from verl_prpo.evaluation.folder import EvaluationFolder, Record
from verl_prpo.evaluation.generation import Request, Response, seed_of
from verl_prpo.evaluation.problems import EvaluationProblem
from verl_prpo.evaluation.protocol import Sampling
from verl_prpo.evaluation.run import Job, evaluate, unanswered
from verl_prpo.evaluation.scoring import Scorer, TrainingScorer, load_function
from verl_prpo.evaluation.summary import summarize, unfinished

GREEDY = Sampling(1, 0.0, 1.0, 64, 0)


def problem(index: int, truth: Any = "4", **about: Any) -> EvaluationProblem:
    message = {"role": "user", "content": f"question {index}"}
    return EvaluationProblem(index, "openai/gsm8k", (message,), truth, message["content"], about)


def job(index: int, sampling: Sampling = GREEDY, **about: Any) -> Job:
    return Job("gsm8k", problem(index, **about), Request(f"gsm8k/{index}", [1, 2, 3], sampling))


def finished(index: int, *texts: str, **about: Any) -> tuple[Job, list[Response]]:
    sampling = Sampling(len(texts), 0.7, 0.9, 64, 0) if len(texts) > 1 else GREEDY
    return job(index, sampling, **about), [Response(text, len(text), "stop") for text in texts]


class TestScoring:
    def kept(self, batches: Any, scorer: Scorer | None = None) -> dict[int, Record]:
        found: dict[int, Record] = {}
        evaluate(batches, scorer or TrainingScorer(), lambda job, record: found.update({record["index"]: record}))
        return found

    def test_responses_are_judged_as_in_training(self) -> None:
        found = self.kept([[finished(0, "It is 4.\n#### 4", "#### 5", "no answer", level=3, subject="Algebra")]])
        samples = found[0]["samples"]
        assert [(s["correct"], s["answer"]) for s in samples] == [(True, "4"), (False, "5"), (False, None)]
        assert {key: found[0][key] for key in ("ground_truth", "level", "subject", "prompt_tokens")} == {
            "ground_truth": "4",
            "level": "3",
            "subject": "Algebra",
            "prompt_tokens": 3,
        }
        assert [(s["tokens"], s["finish_reason"]) for s in samples][1] == (6, "stop")

    def test_an_interruption_keeps_what_was_generated(self) -> None:
        found: dict[int, Record] = {}

        def batches() -> Iterator[list[tuple[Job, list[Response]]]]:
            yield [finished(0, "#### 4")]
            yield []
            yield [finished(1, "#### 4"), finished(2, "#### 5")]
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            evaluate(batches(), TrainingScorer(), lambda job, record: found.update({record["index"]: record}))
        assert sorted(found) == [0, 1, 2]

    def test_an_error_of_the_scorer_ends_the_run(self, tmp_path: Path) -> None:
        file = tmp_path / "reward.py"
        file.write_text("def compute_score(data_source, solution_str, ground_truth, extra_info): return 1 / 0")
        with pytest.raises(EvaluationError, match="problem 0 of openai/gsm8k: ZeroDivisionError"):
            self.kept([[finished(0, "#### 4")]], load_function(str(file)))

    def test_a_scorer_that_hangs_ends_the_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / "reward.py"
        file.write_text("import time\ndef compute_score(**rest): time.sleep(30)")
        monkeypatch.setattr(run, "SCORING_TIMEOUT", 0.2)
        with pytest.raises(EvaluationError, match=r"no verdict for 0\.2 s on the 1 problems"):
            self.kept([[finished(0, "#### 4")]], load_function(str(file)))

    def test_a_prompt_that_is_too_long_is_wrong(self) -> None:
        record = unanswered(job(5, Sampling(2, 0.7, 0.9, 64, 0)))
        assert [(s["correct"], s["finish_reason"]) for s in record["samples"]] == [(False, "prompt_too_long")] * 2

    def test_the_samples_of_a_problem_have_a_seed_of_their_own(self) -> None:
        assert seed_of("aime24/1", 0) == seed_of("aime24/1", 0)
        assert len({seed_of(name, seed) for name in ("aime24/1", "aime24/2", "amc23/1") for seed in (0, 1)}) == 6


class TestRewardFunction:
    def verdict(self, path: Path, body: str, text: str = r"\boxed{4}", name: str = "") -> Any:
        path.write_text(f"def compute_score(data_source, solution_str, ground_truth, extra_info=None):\n    {body}\n")
        return load_function(f"{path}{name}")([(problem(0, about=1), text)])[0]

    @pytest.mark.parametrize(
        ("body", "correct", "answer"),
        [
            ("return float(ground_truth in solution_str)", True, "4"),
            ("return -1", False, "4"),
            ("return {'score': 0.1, 'acc': 1.0, 'pred': 'four'}", True, "four"),
            ("return {'score': 1.0, 'acc': 0.0}", False, "4"),
            ("return {'score': extra_info['about']}", True, "4"),
        ],
    )
    def test_gives_a_number_or_a_dict(self, tmp_path: Path, body: str, correct: bool, answer: str) -> None:
        verdict = self.verdict(tmp_path / "reward.py", body)
        assert (verdict.correct, verdict.answer) == (correct, answer)

    def test_without_box_there_is_no_answer(self, tmp_path: Path) -> None:
        assert self.verdict(tmp_path / "reward.py", "return 1", text="4").answer is None

    @pytest.mark.parametrize("body", ["return None", "return 'much'", "return {'reward': 1}"])
    def test_anything_else_is_refused(self, tmp_path: Path, body: str) -> None:
        with pytest.raises(EvaluationError, match="where a number or a dict with score belongs"):
            self.verdict(tmp_path / "reward.py", body)

    def test_what_cannot_be_loaded_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(EvaluationError, match="no file"):
            load_function(str(tmp_path / "none.py"))
        with pytest.raises(EvaluationError, match=r"no function other .* it has compute_score"):
            self.verdict(tmp_path / "reward.py", "return 1", name=":other")
        (tmp_path / "broken.py").write_text("import no_such_module")
        with pytest.raises(EvaluationError, match="ModuleNotFoundError"):
            load_function(str(tmp_path / "broken.py"))

    def test_another_version_of_the_file_is_another_scorer(self, tmp_path: Path) -> None:
        file = tmp_path / "reward.py"
        names = []
        for body in ("return 1", "return 0"):
            self.verdict(file, body)
            names.append(load_function(str(file)).name)
        assert names[0] != names[1]

    def test_the_training_scorer_wants_text(self) -> None:
        with pytest.raises(EvaluationError, match="score it with your own --reward-function"):
            TrainingScorer().check(problem(0, ["4", "four"]))


def evaluation(path: Path, results: Sequence[tuple[Job, list[Response]]], **changed: Any) -> EvaluationFolder:
    """An evaluation as the command leaves it, of responses given here."""
    folder = EvaluationFolder(path)
    sampling = results[0][0].request.sampling
    settings = {"digest": "abc", "sampling": sampling.as_dict(), "scorer": "x", "total": 9, "selected": len(results)}
    with folder.locked():
        folder.admit({"where": str(path), "files": []}, {"gsm8k": {**settings, **changed}}, {})
    evaluate([results], TrainingScorer(), lambda job, record: folder.append("gsm8k", record))
    return folder


RIGHT, WRONG, OTHER, NONE = "#### 4", "#### 5", "#### 6", "?"


class TestSummary:
    def test_figures_by_hand(self, tmp_path: Path) -> None:
        """Shares 3/4, 1/4 and 0; majority right, tied between two of which one is right, wrong."""
        folder = evaluation(
            tmp_path / "a",
            [
                finished(0, RIGHT, RIGHT, RIGHT, WRONG, level=1, subject="Algebra"),
                finished(1, RIGHT, WRONG, NONE, NONE, level=2, subject="Algebra"),
                finished(2, WRONG, WRONG, OTHER, OTHER, level=2),
            ],
        )
        found = summarize(folder)["sets"]["gsm8k"]
        value = {name: figure["value"] for name, figure in found["metrics"].items()}
        assert value == pytest.approx({"mean@4": 1 / 3, "pass@2": (1.0 + 0.5 + 0) / 3, "pass@4": 2 / 3, "maj@4": 0.5})
        low, high = found["metrics"]["mean@4"]["interval"]
        assert 0 <= low < 1 / 3 < high <= 0.75
        assert found["no_answer"] == pytest.approx(2 / 12) and found["truncated"] == 0
        assert found["tokens_mean"] == pytest.approx((10 * 6 + 2 * 1) / 12)
        assert {level: part["metrics"]["mean@4"]["value"] for level, part in found["by_level"].items()} == {
            "1": 0.75,
            "2": 0.125,
        }
        assert {subject: part["problems"] for subject, part in found["by_subject"].items()} == {"Algebra": 2}
        assert found["by_level"]["1"]["metrics"]["mean@4"]["interval"] is None

    def test_a_greedy_run_has_accuracy_only_and_counts_what_was_cut(self, tmp_path: Path) -> None:
        cut = (job(1), [Response("1, 2, 3,", 64, "length")])
        folder = evaluation(tmp_path / "a", [finished(0, RIGHT), cut])
        found = summarize(folder)["sets"]["gsm8k"]
        assert {name: figure["value"] for name, figure in found["metrics"].items()} == {"mean@1": 0.5}
        assert found["truncated"] == 0.5

    def test_a_prompt_without_response_counts_as_wrong_but_has_no_length(self, tmp_path: Path) -> None:
        folder = evaluation(tmp_path / "a", [finished(0, RIGHT)])
        folder.append("gsm8k", unanswered(job(1)))
        found = summarize(folder)["sets"]["gsm8k"]
        assert (found["metrics"]["mean@1"]["value"], found["tokens_mean"], found["too_long"]) == (0.5, 6, 1)

    def test_an_unfinished_set_is_named(self, tmp_path: Path) -> None:
        folder = evaluation(tmp_path / "a", [finished(0, RIGHT)], selected=3)
        assert unfinished(summarize(folder)) == ["gsm8k: 1 of 3"]


class TestComparison:
    def test_greedy_runs_by_mcnemar(self, tmp_path: Path) -> None:
        """A alone solves 0 to 4, B alone 5, both 6; problem 7 is only in A, 8 only in B."""
        a = evaluation(tmp_path / "a", [finished(i, WRONG if i == 5 else RIGHT) for i in range(8)])
        b = evaluation(tmp_path / "b", [finished(i, RIGHT if i >= 5 else WRONG) for i in (8, *range(7))])
        (result,) = compare(a, b)
        assert (result.common, result.only_a, result.only_b) == (7, 1, 1)
        assert (result.better, result.worse, result.test) == (5, 1, "McNemar, exact")
        assert result.difference == pytest.approx(4 / 7) and result.p == pytest.approx(2 * (1 + 6) / 64)
        assert result.interval is not None and result.interval[0] < 4 / 7 < result.interval[1]
        assert result.settings == ()

    def test_sampled_runs_by_sign_flips(self, tmp_path: Path) -> None:
        a = evaluation(tmp_path / "a", [finished(i, RIGHT, RIGHT) for i in range(4)])
        b = evaluation(tmp_path / "b", [finished(i, RIGHT, WRONG) for i in range(4)])
        (result,) = compare(a, b)
        assert (result.mean_a, result.mean_b, result.interval) == (1.0, 0.5, (0.5, 0.5))
        assert result.test == "sign flip" and result.p == pytest.approx(2 / 16)

    def test_runs_of_other_settings_are_told_apart(self, tmp_path: Path) -> None:
        a = evaluation(tmp_path / "a", [finished(0, RIGHT, WRONG), finished(1, RIGHT, WRONG)])
        b = evaluation(tmp_path / "b", [finished(0, RIGHT), finished(1, WRONG)], digest="def")
        (result,) = compare(a, b)
        assert result.settings == (
            "samples: 2 and 1",
            "temperature: 0.7 and 0.0",
            "top_p: 0.9 and 1.0",
            "prompts: abc and def",
        )

    def test_other_ground_truths_or_questions_are_refused(self, tmp_path: Path) -> None:
        a = evaluation(tmp_path / "a", [finished(0, RIGHT)])
        other = Job("gsm8k", problem(0, "5"), Request("gsm8k/0", [1], GREEDY))
        b = evaluation(tmp_path / "b", [(other, [Response(RIGHT, 6, "stop")])])
        with pytest.raises(EvaluationError, match=r"1 of 1 problems have other ground truths .*'4' and '5'"):
            compare(a, b)
        asked = EvaluationProblem(0, "openai/gsm8k", (), "4", "another question", {})
        c = evaluation(tmp_path / "c", [(Job("gsm8k", asked, other.request), [Response(RIGHT, 6, "stop")])])
        with pytest.raises(EvaluationError, match="1 of 1 problems have other questions"):
            compare(a, c)

    def test_nothing_in_common_is_refused(self, tmp_path: Path) -> None:
        a, b = (evaluation(tmp_path / name, [finished(index, RIGHT)]) for index, name in enumerate("ab"))
        with pytest.raises(EvaluationError, match="gsm8k: not one problem in common"):
            compare(a, b)
        empty = EvaluationFolder(tmp_path / "c")
        with empty.locked():
            empty.admit({"where": "x"}, {"aime24": {"selected": 1}}, {})
        with pytest.raises(EvaluationError, match=r"no set in common: .* gsm8k, .* aime24"):
            compare(a, empty)
