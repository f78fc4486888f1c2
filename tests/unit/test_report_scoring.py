# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo report DUMP --prm MODEL`: what PRPO would pay for the dump of a GRPO run."""

import base64
import gzip
import json
import random
import re
from itertools import islice
from pathlib import Path
from typing import Any

import arithmetic_prm
import pyarrow
import pyarrow.parquet
import pytest
from report_dumps import plain_row, row, varied
from slips import random_plan, slipped_solution
from task import distinct_problems, solution
from tiny_models import qwen_math_prm, qwen_tokenizer

from verl_prpo.cli.main import main
from verl_prpo.viewer.report.would import plain_response, words

STD = 12**-0.5
Z = 0.4 / STD
"""Of a step that ArithmeticPrm scores 0.9; one that it scores 0.1 has the opposite."""

RIGHT, WRONG = "2 + 3 = 5\n\nso 5 * 2 = 10", "2 + 3 = 6\n\nso 5 * 2 = 10"
TOY = Path(__file__).parents[2] / "examples" / "toy"
BUILT = Path(__file__).parents[2] / ".quickstart" / "toy"


def line(output: str, score: float, uid: str | None = "a_0_0", **more: Any) -> dict[str, Any]:
    question = (uid or "a").split("_")[0]
    columns = {
        "input": f"user\nWhat is {question}?\nassistant\n",
        "output": output,
        "gts": "10",
        "score": score,
        "step": 4,
    }
    return columns | ({} if uid is None else {"uid": uid}) | more


def dumped(folder: Path, lines: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "4.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    return folder


def pair(uid: str) -> list[dict[str, Any]]:
    return [line(RIGHT, 1.0, f"{uid}_0_0"), line(WRONG, 0.0, f"{uid}_1_0")]


@pytest.fixture
def prm(tmp_path: Path) -> list[str]:
    return arithmetic_prm.overrides(tmp_path / "prm")


def data_of(folder: Path) -> dict[str, Any]:
    page = (folder / "report.html").read_text("utf-8")
    found = re.search(r'<script type="text/plain" id="data">([A-Za-z0-9+/=]*)</script>', page)
    assert found is not None
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


def spread(values: list[Any]) -> list[float]:
    return [v for value, count in values for v in [value] * count] if isinstance(values[0], list) else values


class TestLongThoughts:
    THOUGHT = "2 + 3 = 6\n\nno, 2 + 3 = 5\n</think>\n\n"

    def test_a_hidden_thought_gets_the_outcome_alone(self, tmp_path: Path, prm: list[str]) -> None:
        lines = [line(self.THOUGHT + RIGHT, 1.0, "a_0_0"), line(WRONG, 0.0, "a_1_0")]
        folder = dumped(tmp_path / "dump", lines)
        assert main(["report", str(folder), *prm, "reward.prm.thinking=hide"]) == 0
        first, second = data_of(folder)["responses"]
        assert [segment[2] for segment in first["segments"]] == [None, 0.9, 0.9] and first["hidden"] == [0]
        assert second["hidden"] == [] and len(second["segments"]) == 2
        hidden_tokens = first["segments"][0][1]
        assert set(spread(first["z"])[:hidden_tokens]) == {0}
        assert spread(first["z"])[hidden_tokens] == pytest.approx(Z, abs=1e-3)
        assert main(["report", str(folder), *prm]) == 0
        assert len(data_of(folder)["responses"][0]["segments"]) == 4

    def test_nothing_outside_the_thoughts_is_said_with_the_setting(
        self, tmp_path: Path, prm: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = dumped(tmp_path / "dump", [line("2 + 3 = 5\n</think>\n", 1.0)])
        assert main(["report", str(folder), *prm, "reward.prm.thinking=hide"]) != 0
        assert "outside its thoughts (reward.prm.thinking=hide)" in capsys.readouterr().err


class TestPaid:
    def test_advantages_are_those_of_prpo_beside_grpos(self, tmp_path: Path, prm: list[str]) -> None:
        folder = dumped(tmp_path / "dump", pair("a"))
        assert main(["report", str(folder), *prm]) == 0
        found = data_of(folder)
        right, wrong = found["responses"]
        assert [segment[2] for segment in right["segments"]] == [0.9, 0.9]
        assert [segment[2] for segment in wrong["segments"]] == [0.1, 0.9]
        cut = wrong["segments"][1][0]
        assert spread(right["A"]) == pytest.approx([0.5 + Z] * right["tokens"], rel=1e-4)
        paid = [-0.5 - Z] * cut + [-0.5 + Z] * (wrong["tokens"] - cut)
        assert spread(wrong["A"]) == pytest.approx(paid, rel=1e-4)
        assert (right["grpo"], wrong["grpo"]) == (pytest.approx(0.70711, rel=1e-4), pytest.approx(-0.70711, rel=1e-4))
        assert (right["right"], wrong["right"], wrong["worst"]) == (True, False, 1)
        assert wrong["flips"] == pytest.approx((wrong["tokens"] - cut) / wrong["tokens"], rel=1e-4)
        assert found["scale"]["prior"] == {"mean": 0.5, "std": pytest.approx(STD, rel=1e-4), "source": "record"}

    def test_settings_of_the_method_count(self, tmp_path: Path, prm: list[str]) -> None:
        folder = dumped(tmp_path / "dump", pair("a"))
        settings = ["algorithm.prpo.outcome_weight=2", "algorithm.prpo.prior_mean=0.8", "algorithm.prpo.prior_std=0.1"]
        assert main(["report", str(folder), *prm, *settings]) == 0
        right = data_of(folder)["responses"][0]
        assert spread(right["A"]) == pytest.approx([1.0 + 1.0] * right["tokens"], rel=1e-4)

    def test_the_page_says_that_nothing_was_trained_with_this(self, tmp_path: Path, prm: list[str]) -> None:
        folder = dumped(tmp_path / "dump", pair("a"))
        assert main(["report", str(folder), *prm]) == 0
        said = " ".join(data_of(folder)["would"])
        assert said.startswith("What PRPO would pay: this run was not trained with these numbers.")
        assert "cuts by entropy need the policy's entropy at each token, which such a dump does not hold" in said
        assert "Tokens are words here: --tokenizer POLICY" in said

    def test_the_prm_is_given_the_users_words(self, tmp_path: Path, prm: list[str]) -> None:
        folder = dumped(tmp_path / "dump", pair("a"))
        assert main(["report", str(folder), *prm]) == 0
        assert data_of(folder)["groups"][0]["messages"] == [{"role": "user", "content": "What is a?"}]

    def test_messages_may_come_from_the_data(
        self, tmp_path: Path, prm: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Roles in a template of one's own, which nothing recognises."""
        question = [{"role": "system", "content": "Add."}, {"role": "user", "content": "What is a, out of 2, 3, 5?"}]
        lines = [one | {"input": "<<SYS>>Add.<<ASK>>What is a, out of 2, 3, 5?<<BOT>>"} for one in pair("a")]
        folder = dumped(tmp_path / "dump", lines)
        assert main(["report", str(folder), *prm]) == 0
        assert data_of(folder)["groups"][0]["messages"] == [{"role": "user", "content": lines[0]["input"]}]
        said = " ".join(data_of(folder)["would"])
        assert (
            "the chat turns of 1 of 1 prompts are uncertain. The first is in 4.jsonl, line 1: no chat template" in said
        )
        assert "--messages-from FILE.parquet" in said

        data = tmp_path / "train.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"prompt": [question]}), data)
        assert main(["report", str(folder), *prm, "--messages-from", str(data)]) == 0
        assert data_of(folder)["groups"][0]["messages"] == question
        assert "uncertain" not in " ".join(data_of(folder)["would"])

        other = [one | {"input": "What is b, out of 7, 8 and 9?"} for one in pair("a")]
        assert main(["report", str(dumped(tmp_path / "o", other)), *prm, "--messages-from", str(data)]) == 2
        assert "4.jsonl, line 1: --messages-from" in capsys.readouterr().err
        assert main(["report", str(folder), *prm, "--messages-from", str(tmp_path / "no.parquet")]) == 2
        assert "no.parquet does not exist" in capsys.readouterr().err

    def test_in_the_terminal(self, tmp_path: Path, prm: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        folder = dumped(tmp_path / "dump", pair("a") + pair("b"))
        assert main(["report", str(folder), *prm, "--terminal"]) == 0
        out = capsys.readouterr().out
        assert out.startswith("What PRPO would pay: this run was not trained with these numbers.")
        assert "the PRM ranks right above wrong in 100% of the pairs" in out
        assert (
            "[2] PRM 0.900  z +1.39  β -0.50  A +0.89" in out and "⇄ flipped  <- liked most, in a wrong answer" in out
        )
        assert not (folder / "report.html").exists()


class TestGroups:
    @pytest.mark.parametrize("keyed", [True, False])
    def test_a_row_key_or_else_the_prompt_tells_the_group(self, tmp_path: Path, prm: list[str], keyed: bool) -> None:
        lines = [*pair("a"), *pair("b_c")]
        if not keyed:
            lines = [{name: value for name, value in one.items() if name != "uid"} for one in lines]
        folder = dumped(tmp_path / "dump", lines)
        assert main(["report", str(folder), *prm]) == 0
        assert [group["responses"] for group in data_of(folder)["groups"]] == [[0, 1], [2, 3]]

    def test_a_key_without_its_two_numbers_is_no_group_of_its_own(self) -> None:
        assert plain_response(line("x", 1.0, "f1e2"), 1).uid == "user\nWhat is f1e2?\nassistant\n"
        assert plain_response(line("x", 1.0, "f1_e2_3_0"), 1).uid == "f1_e2"

    def test_the_limit_bounds_what_is_scored_in_whole_groups(self, tmp_path: Path, prm: list[str]) -> None:
        folder = dumped(tmp_path / "dump", [one for g in range(10) for one in pair(f"g{g}")])
        shown = []
        for seed in ("0", "0", "1"):
            assert main(["report", str(folder), *prm, "--limit", "5", "--seed", seed]) == 0
            found = data_of(folder)
            shown.append([group["uid"] for group in found["groups"]])
            assert "4 of 20 responses, whole groups drawn at random, were scored by" in " ".join(found["would"])
        assert shown[0] == shown[1] != shown[2]

    def test_verdicts_of_the_dump_decide(self, tmp_path: Path, prm: list[str]) -> None:
        lines = [line(RIGHT, score, f"a_{i}_0", acc=acc) for i, (score, acc) in enumerate(((0.3, True), (0.9, False)))]
        folder = dumped(tmp_path / "dump", lines)
        assert main(["report", str(folder), *prm]) == 0
        assert [one["right"] for one in data_of(folder)["responses"]] == [True, False]


class TestCuts:
    def test_words_are_the_text(self) -> None:
        for text in (RIGHT, "", "  a\n\n b\tc \n", "\n\n", "x"):
            assert "".join(words(text)) == text

    def test_delimiters_of_the_settings(self, tmp_path: Path, prm: list[str]) -> None:
        folder = dumped(tmp_path / "dump", [line("a\nb\n\nc", 1.0, "a_0_0"), line("a", 0.0, "a_1_0")])
        assert main(["report", str(folder), *prm, r'algorithm.prpo.delimiters=["\n"]']) == 0
        assert len(data_of(folder)["responses"][0]["segments"]) == 3

    def test_the_policys_tokenizer_counts_its_tokens(self, tmp_path: Path, prm: list[str]) -> None:
        tokenizer = qwen_tokenizer()
        tokenizer.save_pretrained(tmp_path / "policy")
        folder = dumped(tmp_path / "dump", pair("a"))
        uniform = ["algorithm.prpo.segmenter=uniform", "algorithm.prpo.num_segments=3"]
        assert main(["report", str(folder), *prm, *uniform, "--tokenizer", str(tmp_path / "policy")]) == 0
        found = data_of(folder)["responses"][0]
        assert found["tokens"] == len(tokenizer(RIGHT, add_special_tokens=False).input_ids)
        assert len(found["segments"]) == 3

    def test_a_response_of_white_space_is_not_sent(self, tmp_path: Path, prm: list[str]) -> None:
        folder = dumped(tmp_path / "dump", [*pair("a"), line(" \n\n ", 0.0, "a_2_0"), line("", 0.0, "a_3_0")])
        assert main(["report", str(folder), *prm]) == 0
        assert [one["prm"] for one in data_of(folder)["responses"]] == [0.9, 0.5, None, None]

    def test_a_tag_alone_is_no_step_and_has_the_score_of_the_step_beside_it(
        self, tmp_path: Path, prm: list[str]
    ) -> None:
        text = "<think>\n\n2 + 3 = 6\n\n</think>\n\n5 * 2 = 10"
        folder = dumped(tmp_path / "dump", [line(text, 0.0, "a_0_0"), line(RIGHT, 1.0, "a_1_0")])
        assert main(["report", str(folder), *prm]) == 0
        assert [segment[2] for segment in data_of(folder)["responses"][0]["segments"]] == [0.1, 0.1, 0.1, 0.9]

    def test_records_of_another_prm_are_not_used(self, tmp_path: Path, prm: list[str]) -> None:
        folder = dumped(tmp_path / "dump", [row(made, f"{made.uid}_{i}_0") for i, made in enumerate(varied())])
        assert main(["report", str(folder), *prm]) == 0
        found = data_of(folder)
        assert "the dump's own scores and advantages are not used" in found["would"][0]
        scores = {segment[2] for one in found["responses"] for segment in one["segments"]}
        assert 0.5 in scores and scores <= {0.5, None}  # no equations there, and a text that no PRM can encode


class TestFailures:
    def test_a_response_without_scores_says_why(self, tmp_path: Path, prm: list[str]) -> None:
        folder = dumped(tmp_path / "dump", [*pair("a"), line("long " * arithmetic_prm.CONTEXT, 0.0, "a_2_0")])
        assert main(["report", str(folder), *prm, "reward.prm.overlong=raise"]) == 0
        found = data_of(folder)
        assert (found["responses"][2]["failure"], found["all"]["failures"]) == ("overlong", 1)

    def test_without_any_scores_the_status_is_1(
        self, tmp_path: Path, prm: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = dumped(tmp_path / "dump", [line("long " * arithmetic_prm.CONTEXT, 0.0)])
        assert main(["report", str(folder), *prm, "reward.prm.overlong=raise"]) == 1
        assert "not one response has scores" in capsys.readouterr().err
        assert not (folder / "report.html").exists()

    @pytest.mark.parametrize(
        ("arguments", "status", "said"),
        [
            (["--prm", "nowhere/prm"], 1, "nowhere/prm"),
            (["algorithm.prpo.num_segments=3"], 2, "which PRM?"),
            (["--prm", "prm", "algorithm.prpo.segmenter=uniform"], 2, "give the policy's tokenizer with --tokenizer"),
            (["--prm", "prm", "algorithm.prpo.credid=prpo"], 2, "credid"),
            (["--prm", "prm", "--tokenizer", "nowhere"], 2, "--tokenizer nowhere cannot be loaded"),
            (["--prm", "prm", "--steps", "9"], 2, "holds no step 9"),
            (["--tokenizer", "policy"], 2, "--tokenizer needs --prm MODEL"),
            (["--messages-from", "a.parquet", "--device", "cpu"], 2, "--messages-from and --device need --prm MODEL"),
        ],
    )
    def test_refusals(
        self,
        arguments: list[str],
        status: int,
        said: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        arithmetic_prm.model_folder(tmp_path / "prm")
        dumped(Path("dump"), pair("a"))
        assert main(["report", "dump", *arguments]) == status
        err = capsys.readouterr().err
        assert said in err and "Traceback" not in err

    def test_a_line_without_a_score_is_named(
        self, tmp_path: Path, prm: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        lacking = {name: value for name, value in pair("a")[1].items() if name != "score"}
        folder = dumped(tmp_path / "dump", [pair("a")[0], lacking])
        assert main(["report", str(folder), *prm]) == 2
        assert "4.jsonl, line 2: 'score' is missing" in capsys.readouterr().err


class TestRealPrms:
    def test_a_family_of_published_prms(self, tmp_path: Path) -> None:
        model = qwen_math_prm(tmp_path / "Qwen2.5-Math-PRM-tiny")
        folder = dumped(tmp_path / "dump", [plain_row(made, f"{made.uid}_{i}_0") for i, made in enumerate(varied())])
        assert main(["report", str(folder), "--prm", str(model), "--limit", "4", "--device", "cpu"]) == 0
        found = data_of(folder)
        assert len(found["responses"]) == 4
        scores = [segment[2] for one in found["responses"] for segment in one["segments"]]
        assert len(scores) == 4 and all(score is None or 0 <= score <= 1 for score in scores)
        assert sum(score is not None for score in scores) >= 3  # one may not fit into the tiny context

    @pytest.mark.skipif(not BUILT.is_dir(), reason="the toy PRM is not built: python examples/toy/build.py")
    def test_the_toy_tasks_prm_finds_the_slips(self, tmp_path: Path) -> None:
        dice = random.Random(0)
        lines = []
        for g, problem in enumerate(islice(distinct_problems(dice), 6)):
            slipped = slipped_solution(problem, dice, random_plan(problem, dice, 0.9))
            for i, (text, score) in enumerate(((solution(problem, dice), 1.0), (slipped or "So", 0.0))):
                prompt = f"user\n{problem.question}\nassistant\n"
                lines.append(line(text, score, f"g{g}_{i}_0", input=prompt, gts=problem.answer))
        folder = dumped(tmp_path / "dump", lines)
        family = [
            f"reward.prm.custom_family.path={TOY / 'prm.py'}",
            "reward.prm.custom_family.name=ToyLikelihoodFamily",
        ]
        cut = r'algorithm.prpo.delimiters=["\n"]'
        assert main(["report", str(folder), "--prm", str(BUILT / "prm"), *family, cut, "--device", "cpu"]) == 0
        found = data_of(folder)["all"]
        assert found["ranked"] == 1.0 and found["disliked_right"] == 0
        assert found["prm_right"] > 0.95 > 0.8 > found["prm_wrong"]
