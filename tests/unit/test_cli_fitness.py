# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The verdict of `verl-prpo calibrate`, its reasons, its exit status and whether it gives a prior."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from verl_prpo.calibration.agreement import Estimate, auroc_within, informedness
from verl_prpo.calibration.fitness import Verdict, fitness, too_few
from verl_prpo.calibration.measured import Calibration, Labelled
from verl_prpo.cli.main import main

GOOD = Estimate(0.8, 0.7, 0.9)
SOUND = Calibration(
    responses=200, prompts=50, segments=900, failures={}, unread=0, unfinished=0, quantiles={}, mean=0.6, std=0.2,
    prior_mean=0.6, prior_std=0.2, outcomes_right=80, outcomes_wrong=120, mixed=30, area_of_mean=GOOD, area_of_min=GOOD,
    area_within=GOOD, steps=None,
)  # fmt: skip


def labelled(informed: Estimate, right: int = 300, wrong: int = 100) -> Labelled:
    return Labelled(right, wrong, 0.9, informed, None, None)


@pytest.mark.parametrize(
    ("changed", "verdict", "reason", "prior"),
    [
        ({}, Verdict.FIT, "the AUROC of right against wrong responses is 0.800", True),
        (
            {"area_of_mean": Estimate(0.459, 0.386, 0.524)},
            Verdict.NOT,
            "0.459 (95% interval 0.386 to 0.524): no better than a coin at best",
            False,
        ),
        ({"area_of_mean": Estimate(0.3, 0.2, 0.45)}, Verdict.NOT, "wrong ones score higher", False),
        ({"area_of_mean": Estimate(0.55, 0.44, 0.66)}, Verdict.DOUBT, "which contains 0.5", True),
        ({"area_of_mean": Estimate(0.48, 0.3, 0.66)}, Verdict.DOUBT, "which contains 0.5", True),
        ({"area_of_mean": Estimate(0.52, 0.51, 0.53)}, Verdict.DOUBT, "hardly better than a coin", True),
        # Right and wrong differ only because the problems do.
        ({"area_within": Estimate(0.5, 0.4, 0.6)}, Verdict.DOUBT, "to the same prompt is 0.500", True),
        ({"area_within": Estimate(0.3, 0.2, 0.4)}, Verdict.NOT, "to the same prompt is 0.300", False),
        ({"mixed": 4}, Verdict.DOUBT, "4 of 50 prompts have both right and wrong responses, 5 are needed", True),
        ({"outcomes_right": 0, "outcomes_wrong": 0}, Verdict.DOUBT, "no response is known to be right or wrong", True),
        ({"outcomes_wrong": 0}, Verdict.DOUBT, "all 80 responses are right", True),
        ({"outcomes_right": 9}, Verdict.DOUBT, "9 right and 120 wrong responses are too few, at least 10", True),
        ({"prior_std": 0.0}, Verdict.NOT, "always says the same teaches nothing", False),
        ({"failures": {"overlong": 20}}, Verdict.DOUBT, "9% of the responses have no scores", False),
        ({"failures": {"timeout": 300}}, Verdict.NOT, "most responses have no scores (300 timeout)", False),
        (
            {"unread": 100, "unread_kinds": {"past_context": 100}},
            Verdict.DOUBT,
            "10% of the segments have no score (past the PRM's context). ++reward.prm.overlong=windows has",
            False,
        ),
        (
            {"unread": 100, "unread_kinds": {"past_window": 100}},
            Verdict.DOUBT,
            "have no score (longer than a window of the PRM, reward.prm.overlong=windows). Cut finer",
            False,
        ),
        (
            {"unread": 100, "unread_kinds": {"abstained": 100}},
            Verdict.DOUBT,
            "10% of the segments have no score (given None by the function). See what",
            False,
        ),
        ({"steps": labelled(Estimate(0.95, 0.9, 1.0))}, Verdict.FIT, "informedness of its flags is 0.950", True),
        ({"steps": labelled(Estimate(0.6, 0.5, 0.7))}, Verdict.DOUBT, "0.85 is what training gained with", True),
        ({"steps": labelled(Estimate(0.3, 0.2, 0.4))}, Verdict.NOT, "Training on such PRMs lost", False),
        # Too few labels say nothing either way.
        ({"steps": labelled(Estimate(0.3, 0.2, 0.4), wrong=9)}, Verdict.FIT, "the AUROC of right", True),
    ],
)
def test_verdicts(changed: dict[str, Any], verdict: Verdict, reason: str, prior: bool) -> None:
    said = fitness(replace(SOUND, **changed))
    assert said.verdict is verdict
    assert any(reason in one for one in said.reasons), said.reasons
    assert said.prior is prior


def test_labels_decide_where_outcomes_are_unknown() -> None:
    steps = labelled(Estimate(0.95, 0.9, 1.0))
    assert fitness(replace(SOUND, outcomes_right=0, outcomes_wrong=0, steps=steps)).verdict is Verdict.FIT


def test_the_worst_finding_decides_and_its_reasons_are_given() -> None:
    said = fitness(replace(SOUND, mixed=0, area_of_mean=Estimate(0.3, 0.2, 0.4)), "nothing was cut: x")
    assert said.verdict is Verdict.NOT
    assert [reason for reason in said.reasons if "0.300" not in reason] == []


def test_where_nothing_was_cut_the_scores_are_no_steps() -> None:
    said = fitness(SOUND, "nothing was cut: '\\n\\n' stands in none of the 200 responses")
    assert (said.verdict, said.prior) == (Verdict.DOUBT, False)


def test_equal_scores_of_whole_responses_are_in_doubt_with_the_reason() -> None:
    equal = replace(SOUND, std=0.0, prior_std=0.0, mean=0.5, area_of_mean=Estimate(0.5, 0.5, 0.5))
    assert fitness(equal).verdict is Verdict.NOT
    said = fitness(equal, "nothing was cut: each of the 200 responses is a single segment")
    assert (said.verdict, said.prior) == (Verdict.DOUBT, False)
    assert "all scores are 0.5, of whole responses: what the PRM says of steps was not asked" in said.reasons
    assert any(reason.startswith("nothing was cut") for reason in said.reasons)


def test_the_least_numbers_are_said() -> None:
    assert too_few(20, 5) is None
    assert "19 responses to 5 prompts decide nothing" in (too_few(19, 5) or "")
    assert "at least 20 responses to 5 prompts" in (too_few(1, 1) or "")


class TestAgreement:
    def test_within_a_prompt_other_prompts_do_not_matter(self) -> None:
        # An easy prompt whose answers all score high, a hard one: pooled, difficulty alone tells right from wrong.
        scores, right = [0.9, 0.95, 0.1, 0.05], [True, False, False, True]
        found = auroc_within(scores, right, ["easy", "easy", "hard", "hard"], seed=0)
        assert found is not None and found.value == 0.0
        found = auroc_within([0.9, 0.1, 0.2, 0.3], [True, False, False, False], ["a", "a", "a", "b"], seed=0)
        assert found is not None and found.value == 1.0
        assert auroc_within([0.9, 0.1], [True, False], ["a", "b"], seed=0) is None

    @pytest.mark.parametrize("seed", range(5))
    def test_it_is_the_share_of_pairs_within_prompts(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        scores, right = random.integers(0, 6, 60) / 6, random.random(60) < 0.5
        groups = [str(group) for group in random.integers(0, 9, 60)]
        pairs = [
            (scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j])
            for i in range(60)
            for j in range(60)
            if right[i] and not right[j] and groups[i] == groups[j]
        ]
        found = auroc_within(list(scores), list(right), groups, seed=0)
        assert found is not None and found.value == pytest.approx(np.mean(pairs))

    def test_informedness_is_recall_less_false_alarms(self) -> None:
        found = informedness([0.1, 0.4, 0.6, 0.2], [False, True, False, True], list("abcd"), 0.3, seed=0)
        assert found is not None and found.value == pytest.approx(1 / 2 - 1 / 2)
        found = informedness([0.1, 0.2, 0.9, 0.8], [False, False, True, True], list("abcd"), 0.5, seed=0)
        assert found is not None and found.value == 1.0


class TestCommand:
    @staticmethod
    def source(folder: Path, better: float, prompts: int = 40, step: str = "a\n\nb") -> Path:
        """Four responses a prompt, half of them right, whose recorded scores are better by so much if right."""
        from test_cli_calibrate import dumped

        random = np.random.default_rng(3)
        rows = []
        for prompt in range(prompts):
            for number in range(4):
                score = float(np.clip(0.5 + better * (number % 2) + 0.2 * random.standard_normal(), 0, 1))
                texts = [(step[:3], score), (step[3:], score)] if len(step) > 3 else [(step, score)]
                rows.append(dumped(*texts, score=float(number % 2), prompt=f"user\n{prompt}?\nassistant\n"))
        file = folder / "1.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    @pytest.mark.parametrize(
        ("better", "status", "said", "prior"),
        [
            (0.3, 0, "verdict: fit to train on", True),
            (0.03, 3, "verdict: in doubt", True),
            (-0.3, 4, "verdict: do not train on this PRM", False),
        ],
    )
    def test_verdict_reason_status_and_prior(
        self,
        better: float,
        status: int,
        said: str,
        prior: bool,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        source = self.source(tmp_path, better)
        assert main(["calibrate", str(source), "--recorded"]) == status
        printed = capsys.readouterr().out
        assert said in printed and "- the AUROC of right against wrong responses is" in printed
        assert ("++algorithm.prpo.prior_mean=" in printed) is prior
        assert "prior_mean" in printed or not prior

        assert main(["calibrate", str(source), "--recorded", "--json"]) == status
        found = json.loads(capsys.readouterr().out)
        assert found["verdict"] == {0: "fit", 3: "in doubt", 4: "do not"}[status]
        assert found["reasons"] and (found["suggested"] is not None) is prior

    def test_one_response_is_refused_with_the_least_number(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        source = self.source(tmp_path, 0.3)
        assert main(["calibrate", str(source), "--recorded", "--limit", "1"]) == 2
        printed = capsys.readouterr()
        assert "1 response to 1 prompt decide nothing" in printed.err and "at least 20 responses" in printed.err
        assert "raise --limit" in printed.err and printed.out == ""

    def test_it_is_said_that_nothing_was_cut(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        import arithmetic_prm

        rows = [
            {"prompt": f"{i}", "response": "1 + 1 = 2\nso 2" if i % 2 else "1 + 1 = 3", "acc": i % 2}
            for i in range(40)
        ]  # fmt: skip
        source = tmp_path / "in.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        prm = arithmetic_prm.overrides(tmp_path / "prm")
        assert main(["calibrate", str(source), *prm]) == 3
        printed = capsys.readouterr()
        nothing = "nothing was cut: '\\n\\n' stands in none of the 40 responses"
        assert f"warning: {nothing}" in printed.err
        assert nothing in printed.out and "++algorithm.prpo.prior" not in printed.out

        assert main(["calibrate", str(source), *prm, "--delimiter", "\\n", "--delimiter", ";"]) == 3
        printed = capsys.readouterr()
        assert "nothing was cut" not in printed.err + printed.out
        assert "the delimiter ';' stands in none of the 40 responses" in printed.err
