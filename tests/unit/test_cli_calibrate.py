# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo calibrate` on responses whose scores are known, and the statistics it is made of."""

import builtins
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import arithmetic_prm
import numpy as np
import pytest
import report_dumps
import tiny_models
from transformers import AddedToken

from verl_prpo.calibration.agreement import auroc, auroc_with_interval, best_detection, detection
from verl_prpo.calibration.response import Response, without_thoughts
from verl_prpo.calibration.responses import InputError, cut, read_responses, recorded_alone, shown_alone
from verl_prpo.calibration.thoughts import unseen_thoughts
from verl_prpo.cli.main import main
from verl_prpo.prm.conversation import Heard
from verl_prpo.step.conversation import Interlude
from verl_prpo.telemetry.rollouts.format import record_of
from verl_prpo.telemetry.rollouts.read import Rollout, Segment

RIGHT, WRONG, NOTHING = "1 + 1 = 2", "1 + 1 = 3", "and so on"  # 0.9, 0.1 and 0.5


def jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def row(*steps: str, **known: Any) -> dict[str, Any]:
    return {"prompt": f"problem {random.Random(str(steps)).random()}", "steps": list(steps), **known}


def dumped(
    *segments: tuple[str, float | None],
    score: float,
    prompt: str = "user\nWhat?\nassistant\n",
    hidden: Sequence[int] = (),
    thoughts: Sequence[tuple[int, int]] | None = None,
) -> dict[str, Any]:
    output, spans, at = "".join(text for text, _ in segments), [], 0
    for text, value in segments:  # a token per character
        spans.append(Segment(at, at + len(text), text, value))
        at += len(text)
    rollout = Rollout(
        step=1,
        uid="a",
        prompt=prompt,
        messages=[],
        response=output,
        ground_truth="2",
        verifier_score=score,
        outcome_reward=score,
        outcome_parts={},
        segments=spans,
        token_offsets=list(range(at)),
        response_mask=[1] * at,
        entropy=None,
        surprisal=None,
        process_advantage=[0.0] * at,
        outcome_advantage=[0.0] * at,
        advantages=[0.0] * at,
        grpo_advantage=0.0,
        hidden=hidden,
        thoughts=thoughts,
    )
    verls = {"input": prompt, "output": output, "gts": "2", "score": score, "step": 1, "uid": "a_0_0"}
    return {**verls, "prpo": record_of(rollout)}


TIMES = 20


def repeated(rows: Sequence[dict[str, Any]], times: int = TIMES) -> list[dict[str, Any]]:
    """The same responses to as many different prompts, for a verdict needs more than a few."""
    key = "input" if "input" in rows[0] else "prompt"
    return [{**one, key: f"{i}. {one[key]}"} for i in range(times) for one in rows]


@pytest.fixture
def calibrate(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    def run(source: Path, *arguments: str) -> dict[str, Any]:
        words = [str(source), *arguments, "--json"]
        if "--recorded" not in words:
            words += arithmetic_prm.overrides(tmp_path / "prm")
        status = main(["calibrate", *words])
        found = json.loads(capsys.readouterr().out)
        assert status == {"fit": 0, "in doubt": 3, "do not": 4}[found["verdict"]]
        return found

    return run


class TestKnownScores:
    def test_distribution_and_suggested_prior_are_those_of_the_segments(self, calibrate: Any, tmp_path: Path) -> None:
        found = calibrate(jsonl(tmp_path / "in.jsonl", repeated([row(RIGHT, RIGHT, WRONG), row(NOTHING)])))

        scores = [0.9, 0.9, 0.1, 0.5]
        assert (found["responses"], found["segments"]) == (2 * TIMES, 4 * TIMES)
        assert found["mean"] == pytest.approx(np.mean(scores))
        assert found["std"] == pytest.approx(np.std(scores))
        suggested = found["suggested"]
        assert suggested == {"prior_mean": found["prior_mean"], "prior_std": found["prior_std"]}
        assert found["quantiles"] == {
            "0.0": 0.1, "0.05": 0.1, "0.25": pytest.approx(0.4), "0.5": pytest.approx(0.7),
            "0.75": 0.9, "0.95": 0.9, "1.0": 0.9,
        }  # fmt: skip

    def test_the_prior_weighs_a_segment_by_its_length(self, calibrate: Any, tmp_path: Path) -> None:
        rows = [dumped(("a" * 30, 0.9), ("b" * 10, 0.1), score=1.0), dumped(("c" * 40, 0.5), score=0.0)]
        found = calibrate(jsonl(tmp_path / "1.jsonl", repeated(rows)), "--recorded")

        tokens = np.repeat([0.9, 0.1, 0.5], [30, 10, 40])
        assert found["prior_mean"] == pytest.approx(tokens.mean()) != pytest.approx(found["mean"])
        assert found["prior_std"] == pytest.approx(tokens.std())

    def test_agreement_with_outcomes(self, calibrate: Any, tmp_path: Path) -> None:
        rows = [
            row(RIGHT, RIGHT, outcome=1.0),  # mean 0.9, min 0.9
            row(NOTHING, NOTHING, outcome=1.0),  # mean 0.5, min 0.5
            row(RIGHT, RIGHT, RIGHT, WRONG, outcome=0.0),  # mean 0.7, min 0.1
            row(WRONG, outcome=0.0),  # mean 0.1, min 0.1
            row(WRONG),  # unknown
        ]
        found = calibrate(jsonl(tmp_path / "in.jsonl", repeated(rows)))

        assert (found["outcomes_right"], found["outcomes_wrong"]) == (2 * TIMES, 2 * TIMES)
        assert found["area_of_mean"]["value"] == 0.75
        assert found["area_of_min"]["value"] == 1.0
        assert found["area_of_mean"]["low"] <= 0.75 <= found["area_of_mean"]["high"]
        assert found["steps"] is None

    def test_the_threshold_of_outcomes_can_be_set(self, calibrate: Any, tmp_path: Path) -> None:
        rows = [row(RIGHT, outcome=0.9), row(WRONG, outcome=0.6), row(WRONG, outcome=0.1)]
        source = jsonl(tmp_path / "in.jsonl", repeated(rows))
        graded = calibrate(source)
        assert (graded["outcomes_right"], graded["outcomes_wrong"]) == (0, 0)
        assert "unknown: the reward has three values or more" in graded["verdict_source"]
        assert calibrate(source, "--outcome-threshold", "0.5")["outcomes_right"] == 2 * TIMES
        assert calibrate(source, "--outcome-threshold", "0.8")["outcomes_right"] == TIMES

    def test_wrong_steps_found_and_missed(self, calibrate: Any, tmp_path: Path) -> None:
        rows = [
            row(RIGHT, WRONG, WRONG, NOTHING, step_labels=[1, 0, "-", False]),  # the last is missed at 0.5
            row(RIGHT, WRONG, RIGHT, step_labels=[True, "+", None]),  # the second is called wrong
        ]
        steps = calibrate(jsonl(tmp_path / "in.jsonl", repeated(rows)))["steps"]

        assert (steps["right"], steps["wrong"]) == (3 * TIMES, 3 * TIMES)
        assert steps["informed"]["value"] == pytest.approx(2 / 3 - 1 / 3)
        at_middle = {"threshold": 0.5, "recall": pytest.approx(2 / 3), "precision": pytest.approx(2 / 3)}
        assert {key: steps["at_middle"][key] for key in at_middle} == at_middle
        assert (steps["best"]["threshold"], steps["best"]["recall"]) == (pytest.approx(0.7), 1.0)
        assert steps["best"]["precision"] == 0.75
        assert steps["area"] == pytest.approx((2 * 3 + 0.5 * 2) / 9)

    def test_a_prm_that_always_says_the_same_gets_no_prior(self, calibrate: Any, tmp_path: Path) -> None:
        rows = [row(RIGHT, RIGHT, outcome=1), row(RIGHT, outcome=0)]
        found = calibrate(jsonl(tmp_path / "in.jsonl", repeated(rows)))
        assert (found["verdict"], found["suggested"]) == ("do not", None)
        assert found["reasons"] == ["all scores are 0.9: a PRM that always says the same teaches nothing"]
        assert found["area_of_mean"]["value"] == 0.5

    def test_a_response_past_the_context_counts_for_what_was_read(self, calibrate: Any, tmp_path: Path) -> None:
        rows = repeated([row(RIGHT, NOTHING * arithmetic_prm.CONTEXT, RIGHT), row(WRONG)])
        found = calibrate(jsonl(tmp_path / "in.jsonl", rows))
        assert (found["responses"], found["segments"], found["unread"]) == (2 * TIMES, 2 * TIMES, 2 * TIMES)
        assert found["mean"] == pytest.approx(0.5)
        assert "50% of the segments have no score (past the PRM's context)" in "".join(found["reasons"])
        assert "++reward.prm.overlong=windows has the PRM read" in "".join(found["reasons"])

        found = calibrate(jsonl(tmp_path / "in.jsonl", rows), "reward.prm.overlong=windows")
        assert (found["segments"], found["unread_kinds"]) == (3 * TIMES, {"past_window": TIMES})
        said = "".join(found["reasons"])
        assert "25% of the segments have no score (longer than a window of the PRM" in said and "Cut finer" in said
        assert "past the PRM's context" not in said

        found = calibrate(jsonl(tmp_path / "in.jsonl", rows), "reward.prm.overlong=raise")
        assert (found["responses"], found["failures"]) == (TIMES, {"overlong": TIMES})
        assert found["suggested"] is None

    @pytest.mark.parametrize(
        ("known", "kind"),
        [({"overlong": True, "windows": 2}, "past_window"), ({"overlong": True}, "past_context"), ({}, "abstained")],
        ids=str,
    )
    def test_a_record_says_why_a_segment_has_no_score(
        self, known: dict[str, Any], kind: str, calibrate: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        one = dumped((RIGHT, 0.9), (WRONG, None), score=1.0)
        one["prpo"].update(known)
        source = jsonl(tmp_path / "in.jsonl", repeated([one, dumped((NOTHING, 0.5), score=0.0)]))
        assert calibrate(source, "--recorded")["unread_kinds"] == {kind: TIMES}
        main(["calibrate", str(source), "--recorded"])
        shown = {
            "past_window": "20 longer than a window of the PRM",
            "past_context": "20 past the PRM's context",
            "abstained": "20 given None by the function",
        }
        assert f"40 scores, {shown[kind]}" in " ".join(capsys.readouterr().out.split())

    def test_the_unfinished_last_segment_of_a_record_is_not_judged(self, calibrate: Any, tmp_path: Path) -> None:
        rows = []
        for number in range(TIMES):
            made = dumped((RIGHT, 0.9), (WRONG, None), score=1.0, prompt=f"user\nWhat {number}?\nassistant\n")
            made["prpo"].update(truncated=True, unfinished=True)
            rows.append(made)
        found = calibrate(jsonl(tmp_path / "in.jsonl", rows))
        assert (found["segments"], found["unread"], found["mean"]) == (TIMES, 0, pytest.approx(0.9))


class TestInput:
    def test_a_dump_is_read_with_its_segments_outcomes_and_turns(self, tmp_path: Path) -> None:
        folder = tmp_path / "rollouts"
        folder.mkdir()
        jsonl(folder / "2.jsonl", [dumped(("b", 0.2), ("c", None), score=1.0, prompt="no template")])
        prompt = "system\nBe brief.\nuser\nWhat?\n\nuser\nNo.\nassistant\n"
        jsonl(folder / "10.jsonl", [dumped(("a", 0.1), score=0.0, prompt=prompt), dumped(score=0.0)])

        first, second = read_responses(folder)

        assert (first.segments, first.recorded, first.outcome) == (["b", "c"], [0.2, None], 1.0)
        assert first.messages == [{"role": "user", "content": "no template"}]
        assert [m["content"] for m in second.messages] == ["Be brief.", "What?\n\nuser\nNo."]

    def test_the_messages_in_a_dump_go_before_the_text_of_its_prompt(self, tmp_path: Path) -> None:
        """A policy's template may have added a system prompt, which the PRM was not shown in training."""
        entry = dumped(("a", 0.1), score=0.0, prompt="system\nYou are an assistant.\nuser\nWhat?\nassistant\n")
        entry["prpo"]["messages"] = [{"role": "user", "content": "What?"}]
        (response,) = read_responses(jsonl(tmp_path / "1.jsonl", [entry]))
        assert response.messages == [{"role": "user", "content": "What?"}]

    def test_recorded_scores_need_no_prm(self, calibrate: Any, tmp_path: Path) -> None:
        rows = [dumped(("a", 0.2), ("b", 0.6), score=1.0), dumped(("c", 0.1), ("d", None), score=0.0)]
        rows[1]["prpo"].update(truncated=True, unfinished=True)
        found = calibrate(jsonl(tmp_path / "1.jsonl", repeated(rows)), "--recorded")
        assert found["mean"] == pytest.approx(0.3)
        assert (found["segments"], found["area_of_min"]["value"]) == (3 * TIMES, 1.0)
        # The last segment of a response that was cut off is not judged in training, and is no fault of the PRM.
        assert (found["unread"], found["unfinished"]) == (0, TIMES)

    def test_thoughts_that_the_run_hid_are_not_taken_for_what_did_not_fit(self, calibrate: Any, tmp_path: Path) -> None:
        thought, more = ("<think>\nhm\n</think>", None), ("<think>\nor 7\n</think>", None)
        rows = [
            dumped(thought, ("\n\na", 0.2), more, ("b", 0.6), score=1.0, hidden=[0, 2]),
            dumped(("a", 0.1), ("b", 0.3), score=0.0),
            dumped(thought, score=0.0, hidden=[0]),
        ]
        source = jsonl(tmp_path / "1.jsonl", repeated(rows))
        found = calibrate(source, "--recorded")
        assert (found["unread"], found["segments"], found["responses"]) == (0, 4 * TIMES, 2 * TIMES)
        assert found["mean"] == pytest.approx(0.3)
        first, *_, last = read_responses(source)
        left, note = recorded_alone([first, last])
        assert [(one.segments, one.recorded) for one in left] == [(["\n\na", "b"], [0.2, 0.6])]
        assert note is not None and note.startswith("3 segments are thoughts that the run hid from its PRM")
        with pytest.raises(InputError, match=r"the run hid all responses"):
            recorded_alone([last])

    def test_where_some_responses_have_a_record_the_others_are_left_out(self, tmp_path: Path) -> None:
        rows = [dumped(("a", 0.2), score=1.0), {**dumped(("b", 0.3), score=1.0), "prpo": None}]
        assert [r.segments for r in read_responses(jsonl(tmp_path / "1.jsonl", rows))] == [["a"]]
        assert [r.segments for r in read_responses(jsonl(tmp_path / "2.jsonl", rows[1:]))] == [["b"]]

    def test_hidden_thoughts_are_no_part_of_the_responses(self, tmp_path: Path) -> None:
        opened = "user\nWhat?\nassistant\n<think>\n"
        rows = [
            {"input": opened, "output": "a\n\nb\n</think>\n\nc\n\nd", "score": 1.0},
            {"input": opened, "output": "a\n\nand so on", "score": 0.0},
            {"input": "user\nWhat?\nassistant\n", "output": "c\n\nd", "score": 1.0},
        ]
        found = read_responses(jsonl(tmp_path / "1.jsonl", rows))
        left, note = shown_alone(found)
        assert [[text.strip() for text in response.segments] for response in left] == [["c", "d"], ["c", "d"]]
        assert not left[0].thinking and "1 of 3 responses say nothing outside them" in note
        with pytest.raises(InputError, match=r"reward\.prm\.thinking=hide: no response says anything"):
            shown_alone(found[1:2])
        recorded = Response([], ["so a.\n\n", "b</think>c\n\n", "d"], "g", recorded=[0.1, 0.2, None], unfinished=True)
        shown = without_thoughts(recorded)
        assert shown is not None
        assert (shown.segments, shown.recorded, shown.unfinished) == (["c\n\n", "d"], [0.2, None], True)

    def test_thoughts_that_only_the_record_knows_are_hidden(self, calibrate: Any, tmp_path: Path) -> None:
        """Their tags are special tokens, so that no text shows them. The thought ends within a segment."""
        thinks = dumped((f"{WRONG} or {RIGHT}", 0.1), (f" {WRONG}, so {NOTHING}", 0.1), score=1.0, thoughts=[(0, 32)])
        plain = dumped((RIGHT, 0.9), score=0.0, thoughts=[])
        source = jsonl(tmp_path / "1.jsonl", repeated([thinks, plain]))
        found = calibrate(source, "++reward.prm.thinking=hide")
        assert sorted({found["quantiles"]["0.0"], found["quantiles"]["1.0"]}) == [0.5, 0.9]
        assert found["segments"] == 2 * TIMES and not any("hides nothing" in note for note in found["notes"])

    def test_thoughts_that_an_old_run_hid_are_those_of_its_record(self, tmp_path: Path) -> None:
        one = dumped((WRONG, None), (RIGHT, 0.9), score=1.0, hidden=[0])
        (read,) = read_responses(jsonl(tmp_path / "1.jsonl", [one]))
        assert without_thoughts(read).segments == [RIGHT]

    def test_a_dump_that_shows_no_thought_is_a_warning_and_with_the_policys_tokenizer_it_is_known(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rows = [dumped((WRONG, 0.1), (RIGHT, 0.9), score=float(score)) for score in (0, 1)]
        source = jsonl(tmp_path / "1.jsonl", repeated(rows))
        hide = [str(source), *arithmetic_prm.overrides(tmp_path / "prm"), "++reward.prm.thinking=hide"]
        assert main(["calibrate", *hide]) in (0, 3, 4)
        said = capsys.readouterr().err
        assert "warning: reward.prm.thinking=hide hides nothing: none of 40 responses shows a tag of a thought" in said
        assert "--tokenizer POLICY" in said
        for special in (True, False):
            tokenizer = tiny_models.qwen_tokenizer()
            tags = [AddedToken(tag, special=special, normalized=False) for tag in ("<think>", "</think>")]
            tokenizer.add_tokens(tags, special_tokens=special)
            policy = tmp_path / f"policy_{special}"
            tokenizer.save_pretrained(policy)
            for more in ([], ["--probe"]):
                assert main(["calibrate", *hide, "--tokenizer", str(policy), *more]) == 2 or not special
                said = capsys.readouterr().err
                assert ("(<think>, </think>) are special tokens, which verl leaves out" in said) is special
                assert ("the policy's tokenizer has no tag that text loses" in said) is not special
        rows = [dumped((f"{WRONG}\n</think>\n", 0.1), (RIGHT, 0.9), score=1.0)]
        (read,) = read_responses(jsonl(tmp_path / "2.jsonl", rows))
        assert unseen_thoughts([read]) is None and not read.thoughts_known
        known = dumped((RIGHT, 0.9), score=1.0, thoughts=[])
        (read,) = read_responses(jsonl(tmp_path / "3.jsonl", [known]))
        assert "by the dump's records no response holds a thought" in unseen_thoughts([read])

    def test_hidden_thoughts_leave_what_a_tool_said_where_it_was(self) -> None:
        heard = [
            Heard(1, 0, "tool", "1"),
            Heard(2, 8, "tool", "2"),
            Heard(2, 13, "tool", "3"),
            Heard(4, 0, "tool", "4"),
        ]
        texts = ["I ask.", "<think>\nhm", "</think>So 1, and b</think>more.", "c", "d</think>"]
        shown = without_thoughts(Response([], texts, "g", heard=heard))
        assert shown is not None and shown.segments == ["I ask.", "So 1,more.", "c"]
        assert shown.heard == [Heard(1, 0, "tool", "1"), Heard(1, 0, "tool", "2"), Heard(1, 5, "tool", "3")]

    def test_a_turn_behind_a_tools_words_begins_outside_a_thought_as_in_training(self, tmp_path: Path) -> None:
        heard = [Interlude(2, 5, [("tool", "12")])]
        turn = report_dumps.rollout("<think>\nhm tool 12\nassistant\nSo 12.", (0.4,), interludes=heard)
        assert turn.stretches() == [("<think>\nhm", True), (" tool 12\nassistant", False), ("\nSo 12.", True)]
        inside = report_dumps.rollout(
            "<think>\nhm (tool: 12)\nso</think> 12.", (0.4,), interludes=[Interlude(2, 4, [])]
        )
        opened = report_dumps.rollout(
            "<think>\nhm tool 12\nassistant\n<think>\nSo</think> 12.", (0.4,), interludes=[Interlude(2, 6, [])]
        )
        left, _ = shown_alone(read_responses(report_dumps.write(tmp_path, [turn, inside, opened])))
        assert [one.segments for one in left] == [["\nSo 12."], [" 12."], [" 12."]]
        assert [list(one.heard) for one in left] == [[Heard(0, 0, "tool", "12")], [], []]

    def test_a_grpo_dump_has_its_turns_whatever_its_template_prefills(self, tmp_path: Path) -> None:
        question = {"role": "user", "content": "What?"}
        ends = ["", "<think>\n", "<think>\n\n</think>\n\n", "<think>\nOkay, let me"]
        rows = [{"input": f"user\nWhat?\nassistant\n{end}", "output": "a\n\nb", "score": 1.0} for end in ends]
        found = read_responses(jsonl(tmp_path / "1.jsonl", rows))
        assert [list(response.messages) for response in found] == [[question]] * 4
        assert [response.thinking for response in found] == [False, True, False, True]
        assert found.notes == []

    def test_a_question_that_mentions_a_tag_does_not_begin_the_response_in_a_thought(self, tmp_path: Path) -> None:
        prompts = ["user\nWhat is <think> for?\nassistant\n", "[INST] What is <think> for? [/INST]"]
        rows = [{"input": prompt, "output": "a\n\nb", "score": 1.0} for prompt in prompts]
        rows += [{"prompt": [{"role": "user", "content": "What is <think> for?"}], "response": "a"}]
        rows += [{"prompt": [*rows[-1]["prompt"], {"role": "assistant", "content": "<think>\nOkay"}], "response": "a"}]
        found = read_responses(jsonl(tmp_path / "1.jsonl", rows))
        assert [response.thinking for response in found] == [False, False, False, True]
        assert found.notes == []

    def test_a_prompt_whose_turns_are_uncertain_is_pointed_out_with_the_remedy(self, tmp_path: Path) -> None:
        known = {"input": "user\nWhat?\nassistant\n", "output": "a", "score": 1.0}
        source = jsonl(tmp_path / "1.jsonl", [known, known | {"input": "What?"}])
        (note,) = read_responses(source).notes
        assert "the chat turns of 1 of 2 prompts are uncertain" in note
        assert "1.jsonl, line 2: no chat template is recognised in 'What?'" in note
        assert "--messages-from FILE.parquet" in note

        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What?"}]
        data = jsonl(tmp_path / "train.jsonl", [{"prompt": messages}])
        bare = jsonl(tmp_path / "2.jsonl", [known | {"input": "Be brief. What?"}])
        (response,) = read_responses(bare, "", None, data)
        assert response.messages == messages
        own = jsonl(tmp_path / "own.jsonl", [{"prompt": "?", "response": "a", "score": 1}])
        assert "--messages-from was not needed" in read_responses(own, "", None, data).notes[0]
        with pytest.raises(InputError, match=r"2.jsonl, line 1: --messages-from .*: no row has the messages"):
            read_responses(jsonl(tmp_path / "2.jsonl", [known | {"input": "Why?"}]), "", None, data)

    def test_right_and_wrong_come_from_acc_then_from_an_outcome_of_two_values(self, tmp_path: Path) -> None:
        def right(name: str, *known: dict[str, Any]) -> list[bool | None]:
            rows = [{"prompt": "?", "response": "a", **one} for one in known]
            return [response.right for response in read_responses(jsonl(tmp_path / name, rows))]

        assert right("a", {"acc": 1, "outcome": 0.3}, {"acc": 0, "outcome": 0.9}) == [True, False]
        assert right("b", {"outcome_parts": {"acc": True}}, {"outcome_parts": {"acc": False}}) == [True, False]
        assert right("c", {"outcome": 2}, {"outcome": -1}, {}) == [True, False, None]
        assert right("d", {"outcome": 0.1}, {"outcome": 0.2}, {"outcome": 0.3}) == [None] * 3
        rows = [dumped(("a", 0.1), score=1.0 - i) | {"acc": i} for i in range(2)]  # as verl's older trainer dumps acc
        for one in rows:
            one.pop("prpo")
        assert [r.right for r in read_responses(jsonl(tmp_path / "e", rows))] == [False, True]

    def test_acc_of_a_record_goes_before_a_reward_with_a_penalty(self, tmp_path: Path) -> None:
        rows = [dumped(("a", 0.1), score=score) for score in (-1.0, -1.4, 0.8)]
        for one, acc in zip(rows, (0, 0, 1), strict=True):
            one["prpo"]["outcome_parts"] = {"acc": acc}
        assert [r.right for r in read_responses(jsonl(tmp_path / "1.jsonl", rows))] == [False, False, True]

    def test_nothing_is_left_out_in_silence(self, tmp_path: Path) -> None:
        texts = ["", " \n\n", "<think>\n\n</think>", "a\n\nb\ufffd", "a"]
        rows = [{"prompt": "?", "response": text} for text in texts]
        found = read_responses(jsonl(tmp_path / "in.jsonl", rows))
        assert [response.segments for response in found] == [["a\n\n", "b\ufffd"], ["a"]]
        assert found.notes == [
            "3 of 5 responses hold no words (nothing but white space, tags or Markdown) and are left out",
            "1 responses were cut off within a character (U+FFFD at the end), so their last step is unfinished",
        ]
        rows = [dumped(("a", 0.2), score=1.0), {**dumped(("b", 0.3), score=1.0), "prpo": None}]
        (note,) = read_responses(jsonl(tmp_path / "1.jsonl", rows)).notes
        assert "1 responses have no record" in note

    def test_segments_without_words_are_no_steps(self, tmp_path: Path) -> None:
        segments = ["<think>\n", "a\n\n", "---\n\n", "</think>\n\n", "b"]
        labels = [None, 0, 1, None, 1]
        rows = [{"segments": segments, "step_labels": labels}, {"response": "".join(segments)}]
        labelled, plain = read_responses(jsonl(tmp_path / "in.jsonl", [{"prompt": "?", **one} for one in rows]))
        assert labelled.segments == ["<think>\na\n\n---\n\n</think>\n\n", "b"] == plain.segments
        assert labelled.step_labels == [False, True]
        parted = {"prompt": "?", "segments": ["<th", "ink>", "a", "b"], "step_labels": [1, 1, 0, 1]}
        (response,) = read_responses(jsonl(tmp_path / "parted.jsonl", [parted]))
        assert (len(response.segments), len(response.step_labels)) == (2, 2)
        recorded = [dumped(("a", 0.2), ("\n\n", 0.97), ("b", 0.4), score=1.0)]
        (response,) = read_responses(jsonl(tmp_path / "1.jsonl", recorded))
        assert (response.segments, response.recorded) == (["a\n\n", "b"], [0.2, 0.4])

    def test_several_delimiters_with_escapes(self, calibrate: Any, tmp_path: Path) -> None:
        rows = repeated([{"prompt": "?", "response": "1 + 1 = 2; so\tand\\n 1 + 1 = 3"}])
        source = jsonl(tmp_path / "in.jsonl", rows)
        words = ("--delimiter", ";", "--delimiter", r"\t", "--delimiter", r"\\n")
        assert calibrate(source, *words)["segments"] == 4 * TIMES

    def test_plain_responses_are_cut_after_blank_lines(self, tmp_path: Path) -> None:
        rows = [
            {"prompt": "?", "response": "a\n\nb\n\n\n\nc"},
            {"messages": [{"role": "user", "content": "?"}], "segments": ["x", "y"]},
            row("p", "q"),
        ]
        cut_by_default = read_responses(jsonl(tmp_path / "in.jsonl", rows))
        assert [r.segments for r in cut_by_default] == [["a\n\n", "b\n\n\n\n", "c"], ["x", "y"], ["p\n\n", "q"]]
        assert read_responses(tmp_path / "in.jsonl", "b")[0].segments == ["a\n\nb", "\n\n\n\nc"]

    @pytest.mark.parametrize(
        "text", ["", "\n\n", "a", "\n\na\n\n\n\n", "a\n\n \n\nb", "步骤一\n\n步骤二 🙂\n\n", "a\nb\n\nc\n"]
    )
    def test_cutting_loses_nothing_and_leaves_no_blank_segment(self, text: str) -> None:
        segments = cut(text, "\n\n")
        assert "".join(segments) == text
        assert all(segment.strip() for segment in segments) or not text.strip()

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("{", "line 1"),
            ("[]", "not a JSON object"),
            ('{"response": "a"}', "neither prompt, a text, nor messages, a chat. Its keys are response"),
            ('{"output": "a", "score": 1}', "needs input, the prompt's text, or messages"),
            ('{"prompt": "?", "response": "a", "outcome": "yes"}', "outcome must be a number, not 'yes'"),
            ('{"prompt": "?"}', "none of segments, steps and response"),
            ('{"prompt": "?", "steps": ["a"], "step_labels": [1, 0]}', "2 step_labels for 1 segments"),
            ('{"prompt": "?", "steps": ["a"], "step_labels": ["good"]}', "step label 'good'"),
            ('{"prompt": "?", "steps": []}', "steps must be a list of texts"),
            ('{"prompt": "?", "steps": "a text"}', "steps must be a list of texts, not 'a text'"),
            ('{"prompt": "?", "steps": [{"text": "a"}]}', "each of steps must be a text"),
            ('{"prompt": "?", "segments": ["a", null]}', "each of segments must be a text, not None"),
            ('{"prompt": 5, "response": "a"}', "prompt must be a text, not 5"),
            ('{"messages": "hi", "response": "a"}', "messages must be a list of"),
            ('{"messages": [], "response": "a"}', "messages must be a list of"),
            ('{"messages": [{"role": "user"}], "response": "a"}', "messages must be a list of"),
            ('{"prompt": "?", "response": ""}', "no response with words"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, tmp_path: Path, line: str, reason: str) -> None:
        (tmp_path / "in.jsonl").write_text(line)
        with pytest.raises(InputError, match=reason):
            read_responses(tmp_path / "in.jsonl")

    def test_a_sample_is_drawn_by_its_seed(self, calibrate: Any, tmp_path: Path) -> None:
        source = jsonl(tmp_path / "in.jsonl", [row(*[RIGHT] * n, WRONG) for n in range(40)])
        drawn = [calibrate(source, "--limit", "25", "--seed", seed)["segments"] for seed in ("1", "1", "2", "3")]
        assert drawn[0] == drawn[1]
        assert len(set(drawn)) > 1
        assert calibrate(source, "--limit", "25")["responses"] == 25

    def test_whole_prompts_are_drawn(self, calibrate: Any, tmp_path: Path) -> None:
        rows = [row(RIGHT, outcome=1), row(WRONG, outcome=0)]
        rows = [{**one, "prompt": f"{i}"} for i in range(100) for one in rows]
        found = calibrate(jsonl(tmp_path / "in.jsonl", rows), "--limit", "40")
        assert (found["responses"], found["prompts"], found["mixed"]) == (40, 20, 20)


class TestCommand:
    def test_it_prints_a_table_and_the_lines_to_paste(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        source = jsonl(tmp_path / "in.jsonl", repeated([row(RIGHT, WRONG, outcome=1), row(WRONG, outcome=0)]))
        prm = arithmetic_prm.overrides(tmp_path / "prm")
        assert main(["calibrate", str(source), *prm]) == 3  # no prompt has both
        printed = capsys.readouterr().out

        assert "\x1b" not in printed
        assert "AUROC of min step score" in printed
        # The first step is joined to the second by a blank line; every character counts.
        of_each = np.repeat([0.9, 0.1, 0.1], [len(RIGHT) + 2, len(WRONG), len(WRONG)])
        pasted = f"++algorithm.prpo.prior_mean={of_each.mean():.5g} ++algorithm.prpo.prior_std={of_each.std():.5g}\n"
        assert printed.endswith("\n" + pasted)

    def test_small_scores_keep_their_digits(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        scores = [0.000149, 0.000151, 0.000203]  # as of implicit_prm with beta 0.001
        rows = repeated([dumped(*(("a", score) for score in scores), score=1.0)])
        assert main(["calibrate", str(jsonl(tmp_path / "1.jsonl", rows)), "--recorded"]) == 3
        printed = capsys.readouterr().out
        mean, std = printed.splitlines()[-1].split()
        assert float(mean.partition("=")[2]) == pytest.approx(np.mean(scores), rel=1e-4)
        assert float(std.partition("=")[2]) == pytest.approx(np.std(scores), rel=1e-4)
        assert "0% 0.000149" in printed and "100% 0.000203" in printed

    def test_a_histogram_is_drawn_where_asked_and_nowhere_else(
        self, calibrate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("matplotlib.figure", exc_type=ImportError)
        monkeypatch.chdir(tmp_path)
        source = jsonl(tmp_path / "in.jsonl", repeated([row(RIGHT, outcome=1), row(WRONG, outcome=0), row(NOTHING)]))
        assert calibrate(source)["histogram"] is None
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "prm"]
        assert calibrate(source, "--histogram", "scores.png")["histogram"] == "scores.png"
        assert Path("scores.png").read_bytes().startswith(b"\x89PNG")

    @pytest.mark.parametrize(
        ("file", "said"),
        [
            ("/proc/x.png", "/proc/x.png: nothing can be written in /proc"),
            ("/dev/null/x.png", "/dev/null is a file"),
            ("scores.docx", "no kind of picture that matplotlib writes. Name a file such as scores.png"),
            (".", "no kind of picture"),
        ],
    )
    def test_a_histogram_that_cannot_be_written_ends_it_before_any_scoring(
        self, file: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        source = jsonl(tmp_path / "1.jsonl", repeated([dumped(("a", 0.2), score=1.0)]))
        assert main(["calibrate", str(source), "--recorded", "--histogram", file]) == 2
        printed = capsys.readouterr()
        assert (said in printed.err, printed.out) == (True, ""), printed.err
        assert [path.name for path in tmp_path.iterdir()] == ["1.jsonl"]

    def test_a_histogram_gets_its_folder(self, calibrate: Any, tmp_path: Path) -> None:
        source = jsonl(tmp_path / "in.jsonl", repeated([row(RIGHT, outcome=1), row(WRONG, outcome=0)]))
        assert calibrate(source, "--histogram", str(tmp_path / "new" / "scores.png"))["histogram"]
        assert (tmp_path / "new" / "scores.png").read_bytes().startswith(b"\x89PNG")

    def test_a_probe_draws_no_histogram(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        source = jsonl(tmp_path / "in.jsonl", repeated([row(RIGHT)]))
        assert main(["calibrate", str(source), "--probe", "--histogram", "a.png", "--prm", "x"]) == 2
        assert "--probe draws none" in capsys.readouterr().err

    def test_a_delimiter_that_lost_its_backslash_is_hinted_at(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        recorded = repeated([dumped(("a", 0.2), ("b", 0.3), score=1.0)])
        source = jsonl(tmp_path / "1.jsonl", recorded)
        main(["calibrate", str(source), "--recorded", "--delimiter", r"\therefore", "--json"])
        printed = capsys.readouterr()
        hint = r"If the LaTeX command \therefore is meant, write \\therefore with two backslashes"
        assert hint in printed.err
        assert any(hint in note for note in json.loads(printed.out)["notes"])
        main(["calibrate", str(source), "--recorded", "--delimiter", r"\\therefore", "--delimiter", r"\nStep"])
        assert "LaTeX" not in capsys.readouterr().err

    def test_without_matplotlib_what_gives_it_is_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        source = jsonl(tmp_path / "1.jsonl", repeated([dumped(("a", 0.2), score=1.0)]))
        real = builtins.__import__

        def without_matplotlib(name: str, *rest: Any) -> Any:
            if name.startswith("matplotlib"):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return real(name, *rest)

        monkeypatch.setattr(builtins, "__import__", without_matplotlib)
        assert main(["calibrate", str(source), "--recorded", "--json", "--histogram", str(tmp_path / "a.png")]) == 2
        assert "pip install matplotlib" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "status", "reason"),
        [
            ([], 2, "which PRM?"),
            (["--prm", "/no/such/folder"], 1, "no such folder"),
            (["reward.prm.on_eror=raise", "--prm", "x"], 2, "did you mean reward.prm.on_error?"),
            (["--recorded"], 2, "no response has a `prpo` record"),
            (["--limit", "0"], 2, "--limit 0"),
        ],
    )
    def test_what_is_wrong_is_said(
        self, arguments: list[str], status: int, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        source = jsonl(tmp_path / "in.jsonl", repeated([row(RIGHT)]))
        assert main(["calibrate", str(source), *arguments]) == status
        assert reason in capsys.readouterr().err

    def test_a_prm_that_fails_on_every_response_says_how(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        source = jsonl(tmp_path / "in.jsonl", repeated([row(NOTHING * arithmetic_prm.CONTEXT)]))
        prm = arithmetic_prm.overrides(tmp_path / "prm")
        assert main(["calibrate", str(source), *prm, "reward.prm.overlong=raise"]) == 1
        assert "for example overlong" in capsys.readouterr().err


class TestAuroc:
    @pytest.mark.parametrize("seed", range(20))
    def test_it_is_the_share_of_pairs_in_the_right_order(self, seed: int) -> None:
        draw = np.random.default_rng(seed)
        scores = draw.integers(0, 8, 40) / 8  # with many ties
        right = draw.random(40) < 0.4
        pairs = [(good > bad) + 0.5 * (good == bad) for good in scores[right] for bad in scores[~right]]
        assert auroc(scores, right) == pytest.approx(np.mean(pairs), abs=1e-12)

    def test_extremes(self) -> None:
        assert auroc([0.1, 0.2, 0.9], [False, False, True]) == 1.0
        assert auroc([0.9, 0.2, 0.1], [False, False, True]) == 0.0
        assert auroc([0.5, 0.5], [False, True]) == 0.5
        assert auroc([0.5, 0.6], [True, True]) is None

    def test_the_interval_resamples_prompts_and_not_responses(self) -> None:
        """Copies of a response add rows and no knowledge: the interval stays what it was."""
        draw = np.random.default_rng(0)
        right = draw.random(60) < 0.5
        scores = draw.random(60) + 0.3 * right
        prompts = [str(i) for i in range(60)]
        once = auroc_with_interval(list(scores), list(right), prompts, seed=1)
        copied = auroc_with_interval(list(scores) * 8, list(right) * 8, prompts * 8, seed=1)
        assert once is not None and copied is not None and once.low is not None and once.high is not None
        assert once.low < once.value < once.high
        assert (copied.value, copied.low, copied.high) == pytest.approx((once.value, once.low, once.high))

    def test_one_prompt_has_no_interval(self) -> None:
        found = auroc_with_interval([0.1, 0.9], [False, True], ["a", "a"], seed=0)
        assert found is not None
        assert (found.value, found.low, found.high) == (1.0, None, None)


class TestDetection:
    def test_counts(self) -> None:
        found = detection([0.1, 0.4, 0.6, 0.2], [False, True, False, False], threshold=0.5)
        assert (found.recall, found.precision, found.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))

    def test_nothing_called_wrong(self) -> None:
        found = detection([0.9, 0.8], [True, False], threshold=0.5)
        assert (found.recall, found.precision, found.f1) == (0.0, None, 0.0)

    @pytest.mark.parametrize("seed", range(10))
    def test_the_best_threshold_is_the_best_of_all(self, seed: int) -> None:
        draw = np.random.default_rng(seed)
        scores = draw.integers(0, 12, 30) / 12
        right = draw.random(30) < 0.6
        best = best_detection(list(scores), list(right))
        tried = [detection(list(scores), list(right), threshold).f1 for threshold in np.linspace(-0.1, 1.1, 400)]
        assert best.f1 == pytest.approx(max(tried))
