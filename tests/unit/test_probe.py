# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The probe of a PRM: perturbations of solutions, what they are paid, and the verdicts."""

import random
import re
from dataclasses import replace

import numpy as np
import pytest

from verl_prpo.calibration.responses import cut
from verl_prpo.prm.results import PrmFailure, PrmResult
from verl_prpo.probe.numbers import last_number, with_answer, with_wrong_number
from verl_prpo.probe.payment import Judged, Pay, estimated_tokens, pay_of_both
from verl_prpo.probe.perturbations import FILLERS, OPENINGS, PERTURBATIONS, POLITE, Harm
from verl_prpo.probe.report import Prior, Probed, report, variants
from verl_prpo.probe.solution import Solution
from verl_prpo.probe.verdict import Interval, Pair, Verdict, judge, mean_interval

STEPS = ("He has 3*4=12 apples.", "He eats 5, so 12-5=7 are left.", "He buys 2: 7+2=9.", "The answer is \\boxed{9}.")
SEGMENTS = [*(step + "\n\n" for step in STEPS[:-1]), STEPS[-1]]
BY_NAME = {perturbation.name: perturbation for perturbation in PERTURBATIONS}


def perturbed(name: str, segments: list[str] = SEGMENTS, seed: str = "0") -> list[str] | None:
    return BY_NAME[name](Solution.of(segments, "\n\n"), seed)


def lines(segments: list[str] | None) -> list[str]:
    assert segments is not None
    return "".join(segments).split("\n\n")


class TestSolution:
    def test_segments_stay_as_they_are_and_the_last_step_is_closed_as_the_others(self) -> None:
        solution = Solution.of(SEGMENTS, "?")
        assert (list(solution.segments), solution.separator) == (SEGMENTS, "\n\n")
        assert solution.pieces[-1] == STEPS[-1] + "\n\n"

    def test_blank_segments_join_a_neighbour(self) -> None:
        assert Solution.of(["\n", "a\n", " \n", "b"], "\n").segments == ("\na\n \n", "b")

    def test_segments_without_white_space_between_them_are_separated_by_the_delimiter(self) -> None:
        assert Solution.of(["a;", "b"], "\n").pieces == ("a;", "b\n")


class TestPerturbations:
    @pytest.mark.parametrize("perturbation", PERTURBATIONS, ids=lambda one: one.name)
    def test_each_gives_another_text_whole_steps_and_no_trailing_white_space(self, perturbation) -> None:
        for seed in map(str, range(30)):
            changed = perturbation(Solution.of(SEGMENTS, "\n\n"), seed)
            text = "".join(changed)
            assert text != "".join(SEGMENTS)
            assert text == text.rstrip() != ""
            assert all(segment.strip() for segment in changed)

    @pytest.mark.parametrize("perturbation", PERTURBATIONS, ids=lambda one: one.name)
    def test_equal_seeds_give_equal_texts(self, perturbation) -> None:
        solution = Solution.of(SEGMENTS, "\n\n")
        assert [perturbation(solution, str(i)) for i in range(9)] == [perturbation(solution, str(i)) for i in range(9)]

    @pytest.mark.parametrize("seed", map(str, range(10)))
    def test_what_is_kept_stands_in_its_order(self, seed: str) -> None:
        dropped = lines(perturbed("drop_step", seed=seed))
        assert len(dropped) == 3 and dropped == [step for step in STEPS if step in dropped]
        assert dropped[-1] == STEPS[-1]
        skipped = lines(perturbed("skip_to_answer", seed=seed))
        assert skipped in ([*STEPS[:kept], STEPS[-1]] for kept in (1, 2))
        stopped = lines(perturbed("stop_early", seed=seed))
        assert stopped in (list(STEPS[:kept]) for kept in (1, 2, 3))
        repeated = lines(perturbed("repeat_step", seed=seed))
        assert repeated in ([*STEPS[: i + 1], *STEPS[i:]] for i in range(3))
        shuffled = lines(perturbed("shuffle_steps", seed=seed))
        assert shuffled in ([STEPS[i] for i in order] for order in ((1, 0, 2, 3), (0, 2, 1, 3)))
        padded = lines(perturbed("pad", seed=seed))
        assert [line for line in padded if line not in FILLERS] == list(STEPS) and len(padded) == 5
        assert padded[0] not in FILLERS and padded[-1] not in FILLERS

    def test_an_early_answer_takes_the_number_at_hand(self) -> None:
        found = {tuple(lines(perturbed("answer_early", seed=str(seed)))) for seed in range(30)}
        assert found == {
            (STEPS[0], "The answer is \\boxed{12}."),
            (STEPS[0], STEPS[1], "The answer is \\boxed{7}."),
        }

    def test_the_rest(self) -> None:
        assert lines(perturbed("jump_to_answer")) == [STEPS[-1]]
        *before, thanks = lines(perturbed("polite_end"))
        assert (before, thanks in POLITE) == (list(STEPS), True)
        assert lines(perturbed("polite_only"))[0] in POLITE
        assert perturbed("blank_first_line") == ["\n\n" + SEGMENTS[0], *SEGMENTS[1:]]
        assert lines(perturbed("short_first_line"))[1:] == list(STEPS)

    def test_a_wrong_number_changes_one_digit_of_the_text(self) -> None:
        for seed in map(str, range(30)):
            before, after = "".join(SEGMENTS), "".join(perturbed("wrong_number", seed=seed) or [])
            assert len(before) == len(after)
            assert sum(a != b for a, b in zip(before, after, strict=True)) == 1

    def test_one_that_finds_no_place_is_left_out(self) -> None:
        assert perturbed("drop_step", ["a\n\n", "b"]) is None
        assert perturbed("stop_early", ["a"]) is None
        assert perturbed("wrong_number", ["no number"]) is None
        assert perturbed("answer_early", ["first\n\n", "second\n\n", "The answer is 3."]) is None
        assert perturbed("shuffle_steps", ["a\n\n", "a\n\n", "b"]) is None, "the text is the same"


class TestNumbers:
    @pytest.mark.parametrize(
        ("step", "expected"),
        [
            ("So 7+5=2", r"So 7\+5=[13-9]"),
            ("Step 2: $x = 40$ apples of 3 kinds", r"Step 2: \$x = ([1-35-9]0|4[1-9])\$ apples of 3 kinds"),
            ("3. There are 8 left.", r"3\. There are [1-79] left\."),
            ("He pays $1,200", r"He pays \$([2-9],200|1,[013-9]00|1,2[1-9]0|1,20[1-9])"),
        ],
    )
    def test_a_result_or_else_the_last_number_turns_wrong(self, step: str, expected: str) -> None:
        for seed in range(40):
            changed = with_wrong_number(step, random.Random(seed))
            assert changed is not None and re.fullmatch(expected, changed), changed

    @pytest.mark.parametrize("step", ["no number", "Step 2: go on", "4) then", "x_1 is real"])
    def test_a_label_is_no_number(self, step: str) -> None:
        assert with_wrong_number(step, random.Random(0)) is None

    def test_the_last_number_with_its_thousands(self) -> None:
        assert last_number("12*3=36 of 70,000.") == "70,000"
        assert last_number("about 3.5 each.") == "3.5"
        assert last_number("none") is None

    def test_the_answer_is_the_box_whatever_its_content_or_the_last_number(self) -> None:
        assert with_answer("so \\boxed{\\frac{1}{2}}, not 3", "7") == "so \\boxed{7}, not 3"
        assert with_answer("The answer is 12.", "7") == "The answer is 7."
        assert with_answer("hence it holds", "7") is None


class TestPay:
    def judged(self, segments: list[str], z: list[float]) -> Judged:
        return Judged(segments, z, z)

    def test_z_is_the_score_under_the_prior_and_0_past_the_context(self) -> None:
        assert Judged.of(["a", "b"], [0.9, None], 0.5, 0.2).z == [pytest.approx(2.0), 0.0]

    def test_mean_and_sum_are_over_tokens_and_the_end_is_one_of_the_last_segment(self) -> None:
        one = self.judged(["a b c ", "d"], [1.0, -2.0])
        pay, _ = pay_of_both(one, one, lambda text: len(text.split()))
        assert pay.total == 3 * 1.0 + 2 * -2.0
        assert pay.mean == pytest.approx(-1 / 5)
        assert pay.score == pytest.approx(-0.5)

    @pytest.mark.parametrize(
        ("other", "original_at", "perturbed_at"),
        [
            (["one\n", "three"], 1, 1),  # a step left out
            (["one\n", "two\n", "two\n", "three"], 2, 2),
            (["one\n", "four\n", "two\n", "three"], 1, 1),
            (["one"], 0, 0),  # it ends where a newline stood, which belongs to the first segment
            (["one\n", "two\n", "three\n", "thanks"], 2, 3),  # it goes on where the end stood
            (["\none\n", "two\n", "three"], 0, 0),
            (["thanks"], 0, 0),
        ],
    )
    def test_the_segments_where_two_texts_part(self, other: list[str], original_at: int, perturbed_at: int) -> None:
        original = self.judged(["one\n", "two\n", "three"], [1.0, 2.0, 3.0])
        before, after = pay_of_both(original, self.judged(other, [float(i) for i in range(len(other))]), len)
        assert (before.segment, after.segment) == (original_at, perturbed_at)
        assert (before.at_change, after.at_change) == (original_at + 1.0, float(perturbed_at))

    def test_the_estimate_counts_words_digits_and_marks(self) -> None:
        assert estimated_tokens("So 12+5=17,\n\nthen") == 1 + 2 + 1 + 1 + 1 + 2 + 1 + 1 + 1
        assert estimated_tokens("") == 0


class TestVerdict:
    def pairs(self, at_change: float, mean: float = 0.0, noise: float = 0.0, before: float = 1.0) -> list[Pair]:
        draw = np.random.default_rng(0)
        one = Judged(["a"], [0.5], [0.0])
        return [
            Pair(str(i), one, one, Pay(before, 0, 0, 0.5, 0), Pay(before + at_change + e, mean + e, 0, 0.5, 0))
            for i, e in enumerate(noise * draw.standard_normal(40))
        ]

    @pytest.mark.parametrize(
        ("name", "at_change", "mean", "verdict"),
        [
            ("stop_early", -1.0, -1.0, Verdict.OK),
            ("stop_early", 0.0, 0.0, Verdict.FLAG),  # drift for nothing
            ("stop_early", 0.5, 0.0, Verdict.FLAG),
            ("stop_early", -1.0, 0.5, Verdict.FLAG),  # punished where it begins, but the response gains
            ("short_first_line", 0.0, 0.0, Verdict.OK),  # harm is done only when it is paid
            ("short_first_line", 0.5, 0.0, Verdict.FLAG),
        ],
    )
    def test_drift_must_cost_and_form_must_not_be_paid(
        self, name: str, at_change: float, mean: float, verdict: Verdict
    ) -> None:
        found = judge(BY_NAME[name], self.pairs(at_change, mean, noise=0.1), 0.25, seed=0)
        assert found.verdict is verdict
        assert (found.example is not None) == (verdict is Verdict.FLAG)

    def test_an_interval_around_the_bound_is_unclear(self) -> None:
        assert judge(BY_NAME["shuffle_steps"], self.pairs(0.25, noise=1.0), 0.25, seed=0).verdict is Verdict.UNCLEAR

    @pytest.mark.parametrize(
        ("free", "verdict", "reason"),
        [
            (20, Verdict.FLAG, "free for 50% of responses"),
            (12, Verdict.UNCLEAR, "undecided for 30% of responses: the interval includes the bound"),
            (3, Verdict.OK, ""),  # by chance the number at hand is right now and then
        ],
    )
    def test_a_drift_that_costs_in_the_mean_and_is_free_for_some_responses_is_a_hole(
        self, free: int, verdict: Verdict, reason: str
    ) -> None:
        pairs = [*self.pairs(-0.24)[:free], *self.pairs(-2.0)[free:]]
        found = judge(BY_NAME["answer_early"], pairs, 0.25, seed=0)
        assert found.at_change is not None and found.at_change.high < -0.25
        assert found.free is not None and found.free.value == free / 40
        assert found.free.low <= found.free.value <= found.free.high
        assert (found.verdict, found.reason) == (verdict, reason)
        assert (found.example is not None) == (verdict is Verdict.FLAG)

    def test_to_lose_the_margin_is_not_free(self) -> None:
        for loss, free in ((-0.25, 0.0), (-0.125, 1.0)):
            found = judge(BY_NAME["pad"], self.pairs(loss), 0.25, seed=0)
            assert found.free == Interval(free, free, free)

    def test_a_drift_in_the_place_of_text_that_is_pushed_down_itself_does_not_count_as_free(self) -> None:
        wrong_before = self.pairs(0.5, before=-1.0)[:10]
        found = judge(BY_NAME["drop_step"], [*wrong_before, *self.pairs(-2.0)[10:]], 0.25, seed=0)
        assert (found.responses, found.free) == (40, Interval(0.0, 0.0, 0.0))
        assert found.verdict is Verdict.OK
        found = judge(BY_NAME["drop_step"], [*wrong_before, *self.pairs(-0.125)[10:]], 0.25, seed=0)
        assert found.example is not None and found.example["original_z"] == 1.0, "the example is one that counts"

    def test_the_share_is_over_prompts_and_not_over_responses(self) -> None:
        """Half of the responses, all to one prompt out of 21, are free."""
        one_prompt = [replace(pair, group="0") for pair in self.pairs(0.0)[:20]]
        found = judge(BY_NAME["pad"], [*one_prompt, *self.pairs(-3.0)[20:]], 0.25, seed=0)
        assert found.free is not None and found.free.value == 0.5
        assert found.free.low == 0.0, "a draw of prompts may miss the one"
        assert found.verdict is Verdict.UNCLEAR

    @pytest.mark.parametrize("name", ["pad", "wrong_number"])
    def test_a_share_of_a_few_prompts_says_nothing(self, name: str) -> None:
        pairs = [*self.pairs(-2.0)[:4], *self.pairs(-2.0, before=-1.0)[4:]]
        found = judge(BY_NAME[name], pairs, 0.25, seed=0)
        assert (found.free, found.recall, found.verdict) == (None, None, Verdict.UNCLEAR)
        assert "fewer than 5 prompts" in found.reason

    def test_only_a_drift_has_a_free_share(self) -> None:
        for perturbation in PERTURBATIONS:
            found = judge(perturbation, self.pairs(-2.0), 0.25, seed=0)
            assert (found.free is not None) == (perturbation.harm is Harm.DRIFT)

    def test_a_few_prompts_say_nothing(self) -> None:
        found = judge(BY_NAME["pad"], self.pairs(1.0)[:4], 0.25, seed=0)
        assert (found.verdict, found.at_change, found.prompts) == (Verdict.UNCLEAR, None, 4)

    def test_recall_counts_steps_that_were_paid_and_are_pushed_down_once_wrong(self) -> None:
        noticed, missed = self.pairs(-1.5), self.pairs(-0.5)
        wrong_before = self.pairs(-1.0, before=-1.0)
        found = judge(BY_NAME["wrong_number"], [*noticed[:30], *missed[30:], *wrong_before], 0.25, seed=0)
        assert found.recall is not None and found.recall.value == 0.75
        assert found.verdict is Verdict.OK
        assert judge(BY_NAME["wrong_number"], missed, 0.25, seed=0).verdict is Verdict.FLAG
        assert judge(BY_NAME["wrong_number"], wrong_before, 0.25, seed=0).verdict is Verdict.UNCLEAR

    def test_the_interval_resamples_prompts_and_not_responses(self) -> None:
        values = np.random.default_rng(1).standard_normal(30).tolist()
        groups = [str(i) for i in range(30)]
        once, thrice = mean_interval(values, groups, 0), mean_interval(values * 3, groups * 3, 0)
        assert once.low == pytest.approx(thrice.low) and once.high == pytest.approx(thrice.high)
        assert once.low < once.value < once.high
        assert once.high - once.low == pytest.approx(2 * 1.96 * np.std(values) / 30**0.5, rel=0.15)

    def test_zeros_have_no_sign(self) -> None:
        assert str(Interval(-1e-9, -0.001, 0.126)) == "0.00 [0.00, 0.13]"


class TestReport:
    PROBED = tuple(Probed(f"p{i}", [{"role": "user", "content": "?"}], Solution.of(SEGMENTS, "\n\n")) for i in range(6))

    def test_a_text_is_asked_for_each_perturbation_that_applies(self) -> None:
        short = Probed("short", [], Solution.of(["no number"], "\n\n"))
        asked = variants([self.PROBED[0], short], seed=0)
        names = [[v.perturbation for v in asked if v.response == i] for i in (0, 1)]
        assert names[0] == [None, *BY_NAME]
        assert names[1] == [None, "polite_end", "polite_only", "blank_first_line", "short_first_line"]

    def test_a_prm_that_always_says_the_same_is_flagged_for_every_drift_and_every_error(self) -> None:
        asked = variants(self.PROBED, seed=0)
        results = [PrmResult([0.8] * len(variant.segments)) for variant in asked]
        found = report(self.PROBED, asked, results, Prior(0.5, 0.2), len, 0.25, seed=0)
        assert found.mean_z is not None and found.mean_z.value == pytest.approx(1.5)
        for finding in found.findings:
            assert finding.verdict is (Verdict.OK if finding.harm is Harm.FORM else Verdict.FLAG), finding.perturbation

    def test_a_text_that_the_prm_fails_on_is_counted_and_left_out(self) -> None:
        asked = variants(self.PROBED, seed=0)
        failed = PrmResult(None, PrmFailure.OVERLONG, "too long")
        first = [variant.response == 0 and variant.perturbation in (None, "pad") for variant in asked]
        results = [
            failed if fails else PrmResult([0.8] * len(variant.segments))
            for fails, variant in zip(first, asked, strict=True)
        ]
        found = report(self.PROBED, asked, results, Prior(0.5, 0.2), len, 0.25, seed=0)
        assert found.unscored == 2 and found.failure == "overlong: too long"
        assert {finding.responses for finding in found.findings} == {5}


class TestThoughts:
    """A policy that thinks and drifts still ends its thought where it answers."""

    INNER, OUTER = "First 1 + 2 = 3\n\nthen 3 * 4 = 12\n", "So 12 it is\n\nThe answer is 12"

    def texts(self, text: str, thinking: bool, seed: str = "0/1") -> dict[str, str]:
        solution = Solution.of(cut(text, "\n\n"), "\n\n", thinking)
        assert "".join(solution.segments) == text
        made = {perturbation.name: perturbation(solution, seed) for perturbation in PERTURBATIONS}
        return {name: "".join(segments) for name, segments in made.items() if segments is not None}

    @pytest.mark.parametrize("seed", map(str, range(8)))
    def test_a_thought_that_the_prompt_opened(self, seed: str) -> None:
        found = self.texts(f"{self.INNER}</think>\n\n{self.OUTER}", thinking=True, seed=seed)
        assert found["jump_to_answer"] == "</think>\n\nThe answer is 12"
        assert found["polite_only"].startswith("</think>\n\n")
        for name in {"drop_step", "skip_to_answer", "answer_early", "repeat_step", "shuffle_steps", "pad"} & set(found):
            assert found[name].count("</think>") == 1, name
            thought, _, answer = found[name].partition("</think>")
            assert thought.strip() and "answer is" in answer

    def test_steps_change_places_on_the_same_side_of_the_thoughts_end(self) -> None:
        found = self.texts("One thought\n</think>\n\nfirst\n\nsecond\n\nthird", thinking=True)
        assert found["shuffle_steps"] == "One thought\n</think>\n\nsecond\n\nfirst\n\nthird"

    def test_a_thought_of_the_response_itself(self) -> None:
        found = self.texts(f"<think>\n{self.INNER}</think>\n\n{self.OUTER}", thinking=False)
        assert found["short_first_line"].startswith(tuple(f"<think>\n{word}\n\nFirst" for word in OPENINGS))
        assert found["jump_to_answer"] == "<think>\n</think>\n\nThe answer is 12"
        assert all(text.count("<think>") == 1 for text in found.values())

    def test_text_before_the_change_stays_as_it_is(self) -> None:
        text = f"{self.INNER}</think>\n\n{self.OUTER}"
        assert self.texts(text, thinking=True)["polite_end"].startswith(text)

    def test_without_thoughts_nothing_is_added(self) -> None:
        assert not any("think>" in text for text in self.texts(self.INNER + self.OUTER, thinking=False).values())
        # Never closed: cut off, or a policy that stopped within its thought.
        assert not any("think>" in text for text in self.texts(self.INNER + self.OUTER, thinking=True).values())
