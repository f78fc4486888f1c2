# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo report` on dumps of the credit trust: what it says of w, and that nothing is said of z and a prior."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import arithmetic_prm
import pytest
import trust_dumps
from report_dumps import varied
from report_dumps import write as write_varied
from test_report_scoring import dumped, line
from trust_dumps import ALONE, EQUAL, MIXED, RIGHT, WRONG

from verl_prpo.cli.main import main
from verl_prpo.telemetry.rollouts.read import read_rollouts
from verl_prpo.viewer.report.facts import Survey, Surveyor
from verl_prpo.viewer.report.summary import summary

NOTHING_EARNED = "GRPO: the PRM has not earned a weight, or process_weight is 0"


def surveyed(folder: Path) -> Survey:
    surveyor = Surveyor()
    for rollout in read_rollouts(folder):
        surveyor.add(rollout)
    return surveyor.survey()


def page(folder: Path, *arguments: str) -> dict[str, Any]:
    assert main(["report", str(folder), *arguments]) == 0
    packed = re.search(r'id="data">([^<]*)<', (folder / "report.html").read_text())
    assert packed is not None
    return json.loads(gzip.decompress(base64.b64decode(packed[1])))


def printed(folder: Path, capsys: Any, *arguments: str) -> str:
    assert main(["report", str(folder), "--terminal", "--limit", "20", *arguments]) == 0
    return capsys.readouterr().out


class TestFacts:
    def test_z_is_the_score_relative_to_its_group_and_there_is_no_prior(self, tmp_path: Path) -> None:
        found = surveyed(trust_dumps.write(tmp_path, MIXED + WRONG + RIGHT))
        assert (found.prior.source, found.prior.mean, found.prior.std) == ("relative", None, None)
        for fact, rollout in zip(found.facts, read_rollouts(tmp_path), strict=True):
            assert [segment.z for segment in fact.segments] == (rollout.relative_scores or [])
        wrong = [fact for fact in found.facts if fact.uid == "wrong"]
        assert wrong[0].segments[0].z > 0 > wrong[1].segments[0].z and wrong[2].segments[0].z is None

    def test_in_all_equal_groups_nothing_speaks_against_a_verdict(self, tmp_path: Path) -> None:
        found = surveyed(trust_dumps.write(tmp_path, MIXED + WRONG + RIGHT + ALONE))
        assert {fact.uid for fact in found.facts if fact.against} == {"mixed"}
        assert {fact.uid for fact in found.facts if fact.worst is not None} == {"mixed"}
        counted = summary(found.facts)
        assert (counted.liked_wrong, counted.checked_wrong, counted.wrong) == (1, 2, 6)
        assert (counted.disliked_right, counted.checked_right, counted.right) == (0, 1, 3)

    def test_a_dump_of_another_credit_is_as_it_was(self, tmp_path: Path) -> None:
        found = surveyed(trust_dumps.write(tmp_path, MIXED + WRONG, credit="prpo"))
        assert (found.prior.source, found.prior.mean) == ("record", 0.5)
        assert found.facts[0].segments[0].z == pytest.approx((0.9 - 0.5) / 0.25)
        assert found.facts[0].weight is None and summary(found.facts).checked_wrong == 5


class TestWords:
    def said(self, folder: Path) -> dict[str, set[str]]:
        words: dict[str, set[str]] = {}
        for response in (data := page(folder))["responses"]:
            group = next(g for g in data["groups"] if data["responses"].index(response) in g["responses"])
            words.setdefault(group["uid"], set()).add(response["trust"])
        return words

    def test_each_kind_of_group_has_its_own(self, tmp_path: Path) -> None:
        said = self.said(trust_dumps.write(tmp_path, MIXED + WRONG + RIGHT + ALONE + EQUAL))
        times = "All-equal group: w × score relative to the group, beside GRPO's advantage"
        assert said["mixed"] == {"Mixed group: GRPO, the PRM has no part."}
        assert said["wrong"] == {
            f"{times}.",
            "All-equal group, but the response has no score: GRPO, the PRM has no part.",
        }
        assert said["right"] == said["alone"] == {f"{times}."}
        assert said["equal"] == {f"{times}. Here that is 0."}

    def test_a_weight_of_zero_is_grpo(self, tmp_path: Path) -> None:
        said = self.said(trust_dumps.write(tmp_path, MIXED + WRONG, weight=0.0))
        assert said["wrong"] == {f"All-equal group, w = 0. {NOTHING_EARNED}."}
        data = page(tmp_path)
        assert data["trust"] == f"Credit trust, w = 0. {NOTHING_EARNED}."

    def test_the_step_in_a_sentence(self, tmp_path: Path) -> None:
        trust_dumps.write(tmp_path, MIXED + WRONG + RIGHT, weight=0.25)
        trust_dumps.write(tmp_path, MIXED + WRONG, weight=0.5, step=2)
        assert page(tmp_path, "--steps", "1", "2")["trust"] == (
            "Credit trust, w = 0.25 to 0.50. 2 mixed groups: GRPO, the PRM has no part. "
            "3 all-equal groups: w × score relative to the group."
        )

    def test_another_credit_has_no_words(self, tmp_path: Path) -> None:
        data = page(write_varied(tmp_path, varied()))
        assert data["trust"] == "" and {r["trust"] for r in data["responses"]} == {None}
        assert {r["weight"] for r in data["responses"]} == {None}

    def test_rules_of_filters_name_no_z(self, tmp_path: Path) -> None:
        rules = {f["key"]: f["rule"] for f in page(trust_dumps.write(tmp_path, MIXED))["filters"]}
        assert "mixed groups" in rules["liked-wrong"] and not any("mean z" in rule for rule in rules.values())


@pytest.mark.parametrize(
    "responses",
    [
        MIXED,
        ALONE,
        RIGHT,
        WRONG,
        [("a", None, (0.4, 0.9)), ("a", None, (0.4, 0.2))],
        [("a", True, None), ("a", False, None)],
    ],
    ids=["one group", "a group of one", "all right", "all wrong", "no verdicts", "no scores"],
)
def test_any_batch_can_be_shown(responses: list[Any], tmp_path: Path, capsys: Any) -> None:
    data = page(trust_dumps.write(tmp_path, responses))
    assert data["scale"]["prior"] == {"mean": None, "std": None, "source": "relative"}
    assert len(data["responses"]) == len(responses)
    capsys.readouterr()
    assert "Credit trust, w = 0.40." in printed(tmp_path, capsys)


class TestTerminal:
    def test_it_says_w_and_what_it_did_and_nothing_of_z(self, tmp_path: Path, capsys: Any) -> None:
        said = printed(trust_dumps.write(tmp_path, MIXED + WRONG), capsys)
        assert "Credit trust, w = 0.40. 1 mixed group: GRPO" in said
        assert said.count("Mixed group: GRPO, the PRM has no part.") == 3
        assert "1 of 2 wrong responses of mixed groups the PRM liked" in said
        assert "w 0.40" in said and "relative score +" in said
        assert not re.search(r"\bz [+-]|mean z|β|prior", said)
        first = next(r for r in read_rollouts(tmp_path) if r.uid == "wrong")
        part = 0.4 * first.relative_scores[0]
        assert f"relative {first.relative_scores[0]:+.2f}  PRM's part {part:+.2f}  outcome's part" in said

    def test_a_filter_has_the_rule_of_this_credit(self, tmp_path: Path, capsys: Any) -> None:
        trust_dumps.write(tmp_path, MIXED + WRONG)
        said = " ".join(printed(tmp_path, capsys, "--filter", "liked-wrong").split())
        assert "1 of 6 responses. Wrong answers of mixed groups that the PRM scores above their group" in said


class TestScoredAnew:
    """`--prm` with `++algorithm.prpo.credit=trust`."""

    RIGHT, WRONG = "2 + 3 = 5\n\nso 5 * 2 = 10", "2 + 3 = 6\n\nso 5 * 2 = 11"

    def data(self, folder: Path, groups: int, *settings: str, reverse: bool = False) -> dict[str, Any]:
        right, wrong = (self.WRONG, self.RIGHT) if reverse else (self.RIGHT, self.WRONG)
        lines = [one for g in range(groups) for one in (line(right, 1.0, f"m{g}_0_0"), line(wrong, 0.0, f"m{g}_1_0"))]
        lines += [line(self.RIGHT, 0.0, "e_0_0"), line(self.WRONG, 0.0, "e_1_0")]
        words = [*arithmetic_prm.overrides(folder / "prm"), "++algorithm.prpo.credit=trust", "--limit", "400"]
        return page(dumped(folder / "dump", lines), *words, *settings)

    def weights(self, data: dict[str, Any]) -> set[float]:
        return {response["weight"] for response in data["responses"]}

    def test_the_weight_is_what_these_responses_earn(self, tmp_path: Path) -> None:
        data = self.data(tmp_path, 36)
        (weight,) = self.weights(data)
        assert weight == pytest.approx(1 - 4 / 6, abs=1e-3)  # of 36 groups that all say the same
        assert any("on these responses the PRM earns a weight of 0.33" in text for text in data["would"])
        equal = [r for r in data["responses"] if r["allEqual"]]
        assert len(equal) == 2 and all(r["trust"].startswith("All-equal group: w ×") for r in equal)

    def test_too_few_groups_or_a_prm_that_is_wrong_are_grpo(self, tmp_path: Path) -> None:
        assert self.weights(self.data(tmp_path / "few", 4)) == {0}
        assert self.weights(self.data(tmp_path / "reverse", 36, reverse=True)) == {0}

    def test_a_weight_that_is_set_is_used(self, tmp_path: Path) -> None:
        data = self.data(tmp_path, 2, "++algorithm.prpo.process_weight=0.7")
        assert self.weights(data) == {0.7}
        assert any("the weight is set to 0.7" in text for text in data["would"])
