# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What `verl-prpo calibrate` says of the weight that `credit=trust` would give a PRM, and why it is 0."""

import json
import math
import random
import re
from pathlib import Path
from typing import Any

import pytest
from report_dumps import rollout, row

from verl_prpo.calibration.response import Response
from verl_prpo.calibration.trust import LEAST_GROUPS, Earned, earned
from verl_prpo.cli.main import main
from verl_prpo.prm.results import PrmFailure, PrmResult

MESSAGES = [{"role": "user", "content": "?"}]


def responses(groups: int, score: Any, size: int = 4, seed: int = 0, **known: Any) -> tuple[list, list]:
    """Half of each group is right; `score(dice, right)` is asked for each of two segments."""
    dice, made, results = random.Random(seed), [], []
    for group in range(groups):
        for place in range(size):
            fields = {"outcome": float(place % 2), "right": place % 2 == 1} | known
            made.append(Response(MESSAGES, ["one ", "two"], f"p{group}", **fields))
            results.append(PrmResult([score(dice, place % 2 == 1) for _ in range(2)]))
    return made, results


def only(found: list[Earned]) -> Earned:
    (one,) = found
    return one


def noisy(dice: random.Random, right: bool) -> float:
    return 0.5 * right + dice.random()


def test_the_weight_is_rho_less_four_standard_errors_with_the_interval_that_it_nears() -> None:
    one = only(earned(*responses(100, noisy)))
    assert one.weight == pytest.approx(one.correlation - 4 * one.standard_error) and 0.3 < one.weight < 0.9
    assert (one.low, one.high) == pytest.approx(
        (one.correlation - 1.96 * one.standard_error, min(1.0, one.correlation + 1.96 * one.standard_error))
    )
    assert (one.mixed_groups, one.reason, one.more_groups) == (100, "", None)
    wanted = rf"auto would weigh this PRM {one.weight:.2f} on your policy, nearing {one.correlation:.2f} \[0\.\d\d, "
    assert re.match(wanted, str(one)) and "100 mixed groups" in str(one)


def test_a_longer_segment_counts_for_more() -> None:
    made = [Response(MESSAGES, ["x" * 90, "y" * 10], f"p{i // 2}", right=i % 2 == 0) for i in range(2 * LEAST_GROUPS)]
    results = [PrmResult([0.6, 0.0]) if one.right else PrmResult([0.4, 1.0]) for one in made]
    one = only(earned(made, results))  # 0.54 and 0.46; by segments 0.3 and 0.7
    assert one.correlation == pytest.approx(1.0)


@pytest.mark.parametrize("groups", [1, 6, LEAST_GROUPS - 1])
def test_too_few_mixed_groups_say_how_many_more_prompts_it_takes(groups: int) -> None:
    one = only(earned(*responses(groups, lambda dice, right: float(right))))
    assert one.weight == 0 and one.correlation == pytest.approx(1.0)
    assert one.more_groups == LEAST_GROUPS - groups
    assert f"{LEAST_GROUPS - groups} more prompts with right and wrong answers" in str(one)
    more = only(earned(*responses(LEAST_GROUPS, lambda dice, right: float(right))))
    assert more.weight > 0


def test_the_number_of_prompts_that_is_asked_for_is_enough() -> None:
    def weak(dice: random.Random, right: bool) -> float:
        return 0.15 * right + dice.random()

    one = only(earned(*responses(24, weak, seed=3)))
    assert one.weight == 0 and one.correlation > 1.96 * one.standard_error
    assert f"about {one.more_groups} more prompts" in one.reason
    error = one.standard_error * math.sqrt(24 / (24 + one.more_groups))
    assert one.correlation - 4 * error > 0 > one.correlation - 4 * one.standard_error


@pytest.mark.parametrize(
    ("score", "said"),
    [
        (lambda dice, right: dice.random(), "the correlation is not above chance"),
        (lambda dice, right: 1.0 - right, "wrong responses score higher"),
        (lambda dice, right: 0.7, "in each of 40 mixed groups all responses have the same mean score"),
    ],
)
def test_a_prm_that_cannot_tell_gets_nothing_however_many_prompts_there_are(score: Any, said: str) -> None:
    one = only(earned(*responses(40, score)))
    assert (one.weight, one.more_groups) == (0, None)
    assert said in one.reason and "training would be GRPO" in str(one)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"right": None, "outcome": None}, "the input has no outcomes, neither acc nor outcome"),
        ({"right": None, "outcome": 0.3}, "acc is missing, and a reward without it must have two values"),
        ({"right": None, "outcome": math.nan}, "acc is missing"),
        ({"right": True}, f"all 80 responses are right, so none of 20 prompts.* At least {LEAST_GROUPS}"),
        ({"right": False}, "all 80 responses are wrong, so none of 20 prompts"),
        ({"truncated": True}, "all responses with an outcome were cut off"),
    ],
)
def test_what_is_missing_is_named(known: dict[str, Any], said: str) -> None:
    one = only(earned(*responses(20, noisy, **known)))
    assert one.weight == 0 and one.correlation is None and one.mixed_groups == 0
    assert re.search(said, one.reason), one.reason


def test_one_group_groups_of_one_and_scores_that_are_missing() -> None:
    assert "over 1 mixed groups" in only(earned(*responses(1, noisy))).reason
    assert "each of 30 prompts has a single response" in only(earned(*responses(30, noisy, size=1))).reason
    made, results = responses(20, noisy)
    failed = [PrmResult(None, PrmFailure.TIMEOUT) for _ in results]
    assert only(earned(made, failed)).reason == "no response has a score"
    unread = [PrmResult([math.nan, None]) for _ in results]
    assert only(earned(made, unread)).reason == "no response has a score"
    assert earned([], []) == []


def test_responses_without_scores_or_verdicts_are_left_out() -> None:
    made, results = responses(40, noisy)
    alone = only(earned(made, results))
    more, further = responses(40, lambda dice, right: 1.0 - right, right=None)
    cut, scores = responses(40, lambda dice, right: 1.0 - right, truncated=True)
    failed, nothing = responses(40, lambda dice, right: math.nan)
    assert only(earned(made + more + cut + failed, results + further + scores + nothing)) == alone


class TestCommand:
    """`calibrate --recorded` on dumps."""

    def run(self, folder: Path, rows: list[dict[str, Any]], capsys: Any, *more: str) -> tuple[int, str]:
        file = folder / "1.jsonl"
        file.write_text("".join(json.dumps(one) + "\n" for one in rows))
        status = main(["calibrate", str(file), "--recorded", *more])
        printed = capsys.readouterr()
        return status, printed.out or printed.err

    def rows(self, groups: int, sources: tuple[str, ...] = ("",), **columns: Any) -> list[dict[str, Any]]:
        made = []
        for group in range(groups):
            source = sources[group % len(sources)]
            for place in range(4):
                right = place % 2 == 1
                high = right if source != "code" else place < 2
                scores = (0.8 + place / 100, 0.7) if high else (0.3 - place / 100, 0.2)
                known = {"prompt": f"user\n{group}?", "data_source": source}
                made.append(row(rollout(scores=scores, right=right, **known), f"{group}_{place}_0") | columns)
        return made

    def test_the_weight_stands_in_the_table_and_in_json(self, tmp_path: Path, capsys: Any) -> None:
        _, said = self.run(tmp_path, self.rows(40), capsys)
        line = next(line for line in said.splitlines() if "credit=trust: auto" in line)
        assert re.search(r"would weigh this PRM (0\.\d\d|1\.00) on your policy, nearing 1\.00 \[", line)
        assert "40 mixed groups" in line and "(credit=trust reads no prior)" in said
        _, said = self.run(tmp_path, self.rows(40), capsys, "--json")
        (one,) = json.loads(said)["trust"]
        assert one["correlation"] > 0.99 and one["mixed_groups"] == 40 and one["reason"] == ""
        assert one["weight"] == pytest.approx(one["correlation"] * (1 - 4 / 40**0.5))  # all groups say the same

    def test_each_data_source_has_its_line(self, tmp_path: Path, capsys: Any) -> None:
        _, said = self.run(tmp_path, self.rows(80, ("math", "code")), capsys)
        assert re.search(r"would weigh this PRM (0\.\d\d|1\.00) on math, nearing", said)
        assert "would weigh this PRM 0 on code, and training would be GRPO: rho is" in said

    def test_sources_with_other_rewards_have_verdicts_of_their_own(self, tmp_path: Path, capsys: Any) -> None:
        rows = self.rows(40, ("math",)) + self.rows(40, ("word",))
        for one in rows[160:]:
            one["score"] = (one["score"] + 1) / 2  # 0 and 1 beside -1 and +1
            one["input"] += " again"
        _, said = self.run(tmp_path, rows, capsys, "--json", "--limit", "400")
        assert [one["mixed_groups"] for one in json.loads(said)["trust"]] == [40, 40]

    def test_a_dump_without_outcomes_names_what_is_missing(self, tmp_path: Path, capsys: Any) -> None:
        rows = [
            {"prompt": f"{i}?", "segments": ["a\n", "b"], "data_source": "own", "truncated": False} for i in range(30)
        ]
        file = tmp_path / "in.jsonl"
        file.write_text("".join(json.dumps(one) + "\n" for one in rows))
        import arithmetic_prm

        assert main(["calibrate", str(file), *arithmetic_prm.overrides(tmp_path / "prm")]) == 4
        said = capsys.readouterr().out
        assert "weigh this PRM 0 on own, and training would be GRPO: the input has no outcomes" in said

    def test_a_nan_outcome_has_no_verdict(self, tmp_path: Path, capsys: Any) -> None:
        _, said = self.run(tmp_path, self.rows(30, score=float("nan")), capsys, "--json")
        (one,) = json.loads(said)["trust"]
        assert one["weight"] == 0 and "acc is missing" in one["reason"] and one["correlation"] is None

    def test_truncated_that_is_no_truth_value_is_refused(self, tmp_path: Path, capsys: Any) -> None:
        rows = [{"prompt": "?", "segments": ["a", "b"], "truncated": "yes"}]
        status, said = self.run(tmp_path, rows, capsys)
        assert status == 2 and "line 1: truncated must be true or false, not 'yes'" in said
