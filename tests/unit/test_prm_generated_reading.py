# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""How the answers of a judge that writes are read, and what its prompts must show: without a server."""

import json
import math
from types import SimpleNamespace

import jsonschema
import pytest
from chat_server import token, verdicts

from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.families.generated import GeneratedVerdicts
from verl_prpo.prm.generated.answers import AnswerFault, answer_text
from verl_prpo.prm.generated.labels import LabelReader
from verl_prpo.prm.generated.prompts import load_prompt
from verl_prpo.prm.generated.verdicts import read_verdicts, verdict_schema
from verl_prpo.prm.results import PrmFailure

WORTH = {"right": 1.0, "wrong": 0.0}


class TestVerdictsOnAllSteps:
    def test_one_score_for_each_step_in_their_order(self):
        assert read_verdicts(verdicts("right", "wrong", "right"), 3, WORTH) == [1.0, 0.0, 1.0]
        assert read_verdicts('{"2": {"verdict": "wrong"}, "1": {"verdict": "right"}}', 2, WORTH) == [1.0, 0.0]

    @pytest.mark.parametrize(
        "text",
        [
            f"Step 1 holds, for {{x}} is {{1, 2}}.\n\n{verdicts('right', 'wrong')}",
            f"Here it is:\n```json\n{verdicts('right', 'wrong')}\n```\n",
            f'First I thought {{"1": {{"verdict": "wrong"}}}}. But no:\n{verdicts("right", "wrong")}',
            '{"1": "right", "2": " Wrong "}',
        ],
        ids=["writing before it", "a code fence", "another object before it", "verdicts alone"],
    )
    def test_what_the_judge_writes_before_the_last_object_is_its_own(self, text):
        assert read_verdicts(text, 2, WORTH) == [1.0, 0.0]

    def test_verdicts_of_a_users_own(self):
        assert read_verdicts('{"1": "sound", "2": "Unsure"}', 2, {"sound": 1.0, "unsure": 0.4}) == [1.0, 0.4]

    @pytest.mark.parametrize(
        ("text", "count", "kind", "says"),
        [
            ("All of the steps look fine to me.", "unreadable", "bad_output", "does not end with a JSON object"),
            (verdicts("right", "wrong")[:-20], "unreadable", "bad_output", "does not end with a JSON object"),
            (verdicts("right", "wrong")[:-1], "unreadable", "bad_output", "does not end with a JSON object"),
            (verdicts("right", "wrong") + " Done.", "unreadable", "bad_output", "family_options.structured"),
            ("[]", "unreadable", "bad_output", "family_options.prompt_path"),
            (verdicts("right"), "wrong_steps", "wrong_count", "no verdict for step 2"),
            (verdicts("right", "wrong", "right"), "wrong_steps", "wrong_count", "one that nobody asked for 3"),
            ('{"1": "right", "3": "wrong"}', "wrong_steps", "wrong_count", "no verdict for step 2; one that nobody"),
            ('{"1": "right", "2": "wrong", "1": "wrong"}', "wrong_steps", "wrong_count", "several for step 1"),
            ('{"1": "right", "2": "maybe"}', "unreadable", "bad_output", 'step 2 is "maybe", not one of right, wrong'),
            ('{"1": "right", "2": {"verdict": "right", "verdict": "wrong"}}', "unreadable", "bad_output", "step 2"),
            ('{"1": "right", "2": {"check": "right"}}', "unreadable", "bad_output", "step 2"),
            ('{"1": "right", "2": true}', "unreadable", "bad_output", "step 2 is true"),
        ],
    )
    def test_anything_else_is_a_fault_and_never_a_guess(self, text, count, kind, says):
        with pytest.raises(AnswerFault) as fault:
            read_verdicts(text, 2, WORTH)
        assert (fault.value.count, fault.value.kind) == (count, PrmFailure(kind))
        assert says in fault.value.detail and "reward.prm.family_options" in fault.value.detail

    @pytest.mark.parametrize("text", ["{" * 30_000, '{"1":' * 5_000, "{}" * 5_000])
    def test_a_flood_of_braces_ends(self, text):
        with pytest.raises(AnswerFault, match="does not end with"):
            read_verdicts(text, 2, WORTH)

    def test_the_schema_takes_what_is_read_and_nothing_else(self):
        schema = verdict_schema(2, ["right", "wrong"], explain=True)
        jsonschema.validate(json.loads(verdicts("right", "wrong")), schema)
        for wrong in (verdicts("right"), verdicts("right", "wrong", "right"), '{"1": "right", "2": "wrong"}'):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(json.loads(wrong), schema)
        assert list(schema["properties"]["1"]["properties"]) == ["check", "verdict"]  # it writes before it decides
        assert list(verdict_schema(1, ["a", "b"], explain=False)["properties"]["1"]["properties"]) == ["verdict"]


class TestTheVerdictOnOneStep:
    reader = LabelReader("\\boxed{", "Yes", "No")

    @pytest.mark.parametrize(
        ("text", "right"),
        [
            ("2 + 2 = 4. \\boxed{Yes}", True),
            ("I first said \\boxed{Yes}, but 2 + 2 is 4: $\\boxed{\\text{No}}$.", False),
            ("The answer would be \\boxed{5}, so \\boxed{no}", False),
        ],
    )
    def test_the_last_verdict_counts(self, text, right):
        assert self.reader.verdict(text) is right

    @pytest.mark.parametrize("text", ["Yes, it is right.", "\\boxed{Yesterday}", "\\boxed{5}", ""])
    def test_a_text_without_one_is_a_fault(self, text):
        with pytest.raises(AnswerFault, match=r"no verdict.*family_options\.verdict_after"):
            self.reader.verdict(text)

    def test_other_marks(self):
        reader = LabelReader("Is the solution correct?", "Yes", "No")
        assert reader.verdict("</think> Is the solution correct? **No**") is False

    def probability(self, reader, *tokens, right=True):
        content = [
            SimpleNamespace(**{**t, "top_logprobs": [SimpleNamespace(**o) for o in t["top_logprobs"]]}) for t in tokens
        ]
        return reader.probability(SimpleNamespace(content=content), right)

    def test_the_probability_of_one_label_against_the_other_at_its_token(self):
        tokens = [
            token("So ", 1.0),
            token("\\boxed", 1.0),
            token("{", 1.0),
            token("Yes", 0.6, No=0.2, Maybe=0.1),
            token("}", 1.0),
        ]
        assert self.probability(self.reader, *tokens) == pytest.approx(0.6 / 0.8)

    def test_a_token_that_holds_a_part_of_the_mark_and_pieces_of_a_label(self):
        other = {"{No": 0.3, "{N": 0.1, "{x": 0.05, "No": 0.05}
        assert self.probability(
            self.reader, token("\\boxed", 1.0), token("{Ye", 0.4, **other), token("s}", 1.0)
        ) == pytest.approx(0.5)

    def test_a_label_behind_a_space(self):
        reader = LabelReader("correct?", "Yes", "No")
        tokens = [token("correct", 1.0), token("?", 1.0), token(" No", 0.9, **{" Yes": 0.1})]
        assert self.probability(reader, *tokens, right=False) == pytest.approx(0.1)

    def test_the_other_label_is_nowhere_among_the_likeliest(self):
        assert self.probability(self.reader, token("\\boxed{", 1.0), token("Yes", 0.99, Perhaps=0.01)) == 1.0

    def test_a_verdict_in_a_thought_is_not_the_one(self):
        tokens = [
            token("<think>\\boxed{", 1.0),
            token("No", 1.0),
            token("}</think>", 1.0),
            token("\\boxed{", 1.0),
            token("Yes", 0.7, No=0.3),
        ]
        assert self.probability(self.reader, *tokens) == pytest.approx(0.7)

    def test_bytes_of_one_character_in_two_tokens(self):
        halves = [{"token": "?", "bytes": [b], "logprob": 0.0, "top_logprobs": []} for b in "é".encode()]
        assert self.probability(
            self.reader, *halves, token(" \\boxed{", 1.0), token("Yes", 0.8, No=0.2)
        ) == pytest.approx(0.8)

    @pytest.mark.parametrize("logprobs", [None, SimpleNamespace(content=None), SimpleNamespace(content=[])])
    def test_no_log_probabilities(self, logprobs):
        with pytest.raises(
            AnswerFault, match=r"no log-probabilities\. Set \+\+reward\.prm\.family_options\.score=samples"
        ) as fault:
            self.reader.probability(logprobs, True)
        assert fault.value.count == "no_logprobs"

    def test_log_probabilities_of_another_text(self):
        with pytest.raises(AnswerFault, match="belong to another text"):
            self.probability(self.reader, token("\\boxed{", 1.0), token("Yes", 1.0), right=False)


def choice(content, reason="stop", **message):
    return SimpleNamespace(finish_reason=reason, message=SimpleNamespace(content=content, **message))


class TestAnswers:
    def test_a_thought_before_the_answer_is_left_out(self):
        assert answer_text(choice("<think>\\boxed{No}</think>\\boxed{Yes}"), 10).strip() == "\\boxed{Yes}"

    @pytest.mark.parametrize(
        ("given", "count", "says"),
        [
            (choice("{", "length"), "cut_off", "family_options.max_tokens=10"),
            (choice(None, "stop", refusal="I cannot"), "refused", "I cannot"),
            (choice("", "content_filter"), "refused", "content_filter"),
            (choice(""), "empty", "an empty text"),
            (choice(None, reasoning_content="hm"), "empty", "nothing but a thought"),
            (choice("<think>hm</think> \n"), "empty", "reasoning parser"),
            (SimpleNamespace(finish_reason="stop", message=None), "empty", "an empty text"),
        ],
    )
    def test_what_is_none(self, given, count, says):
        with pytest.raises(AnswerFault) as fault:
            answer_text(given, 10)
        assert fault.value.count == count and says in fault.value.detail


FIXED = {"labels": ["right", "wrong"], "explain": True, "if_right": "\\boxed{Yes}", "if_wrong": "\\boxed{No}"}


class TestPrompts:
    def test_the_packages_own_show_every_step_and_the_form_of_the_answer(self):
        text = load_prompt("response", None, FIXED).for_response("What is {2} + 2?", ["First, 2.\n\n", "So {{ 4 }}."])
        for part in (
            "What is {2} + 2?",
            "First, 2.",
            "So {{ 4 }}.",
            "has 2 steps",
            '"check"',
            '"verdict"',
            "- right:",
            "- wrong:",
        ):
            assert part in text
        assert (
            "check"
            not in load_prompt("response", None, {**FIXED, "explain": False})
            .for_response("?", ["a"])
            .split("Answer with")[1]
        )

    def test_the_step_and_those_before_it_and_none_after(self):
        text = load_prompt("step", None, FIXED).for_step("What is 2 + 2?", ["First, 2.", "So 4."])
        assert "What is 2 + 2?" in text and "First, 2." in text and "So 4." in text
        assert "\\boxed{Yes} if the step is right and \\boxed{No} if it is not" in text and "Is step 2 right?" in text

    @pytest.mark.parametrize(
        ("ask", "text", "says"),
        [
            ("response", "{{ problem }} {{ stepz }}", r"\{\{ stepz \}\}.*Did you mean \{\{ steps \}\}"),
            ("response", "{{ steps }}", r"does not show the judge \{\{ problem \}\}"),
            ("response", "{{ problem }}", r"does not show the judge \{\{ steps \}\}"),
            ("response", "{{ problem }} {{ steps[0] }}", r"does not show the judge \{\{ steps \}\}"),
            ("step", "{{ problem }} {{ before }}", r"does not show the judge \{\{ step \}\}"),
            ("step", "{{ problem }} {{ steps }}", r"\{\{ steps \}\}, which .*ask=step does not fill"),
            ("step", "{% for x in %}", "is no Jinja template"),
            ("step", "{{ problem }}{{ step }}{{ number / 0 }}", "cannot be filled: ZeroDivisionError"),
        ],
    )
    def test_a_prompt_that_cannot_work_is_refused_with_its_placeholder(self, tmp_path, ask, text, says):
        file = tmp_path / "prompt.txt"
        file.write_text(text)
        with pytest.raises(PrmError, match=says) as error:
            load_prompt(ask, str(file), FIXED)
        assert f"reward.prm.family_options.prompt_path={file}" in str(error.value)

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(PrmError, match=r"prompt_path=.*none\.txt cannot be read.*every node"):
            load_prompt("step", str(tmp_path / "none.txt"), FIXED)


class TestOptions:
    def test_the_scale_of_verdicts_and_its_prior(self):
        family = GeneratedVerdicts.open("judge", verdicts={"good": 1, "unsure": 0.25, "bad": -1})
        assert family.score_range == (-1.0, 1.0) and family.prior_mean == pytest.approx(0.25 / 3)
        assert family.prior_std == pytest.approx(
            math.sqrt(((1 - 1 / 12) ** 2 + (0.25 - 1 / 12) ** 2 + (1 + 1 / 12) ** 2) / 3)
        )
        family = GeneratedVerdicts.open("judge", ask="step")
        assert (family.score_range, family.prior_mean, family.prior_std) == ((0.0, 1.0), 0.5, 0.5)

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"asks": "step"}, r"family_options\.asks is not a setting; did you mean reward\.prm\.family_options\.ask"),
            ({"ask": "steps"}, r"family_options\.ask=steps is not known; did you mean step"),
            ({"max_tokens": 0}, r"family_options\.max_tokens=0 must be a whole number of at least 1"),
            ({"verdicts": {"right": 1}}, r"family_options\.verdicts must give two or more"),
            ({"verdicts": {"right": 1, "wrong": "no"}}, r"family_options\.verdicts must give two or more"),
            ({"verdicts": {"right": 1, "Right ": 0}}, "names a verdict twice"),
            ({"labels": ["Yes"]}, r"family_options\.labels=\['Yes'\] must be two texts"),
            ({"labels": [True, False]}, r"family_options\.labels\[0\]=True must be"),
            ({"labels": ["correct", "correctly"]}, "beginning of the other"),
            ({"samples": 4, "temperature": 0}, r"family_options\.samples=4 with .*temperature=0"),
            ({"temperature": -1}, r"family_options\.temperature=-1 must be at least 0"),
            ({"verdict_after": " "}, r"family_options\.verdict_after must be a text"),
        ],
    )
    def test_options_that_cannot_work(self, options, says):
        with pytest.raises(PrmError, match=says):
            GeneratedVerdicts.open("judge", **options)
