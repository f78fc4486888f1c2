# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The record of each rollout for verl's dump: what a reader needs to see what the PRM did, token by token."""

import itertools
import json
import threading

import numpy as np
import pytest
import torch
from tiny_models import qwen_tokenizer
from transformers import AddedToken
from verl.trainer.ppo.v1.trainer_base import PPOTrainer

from verl_prpo.method.segmentation import restrict_segments, segment_bounds, uniform_segments
from verl_prpo.settings.prpo import PrpoConfig
from verl_prpo.step.conversation import Interlude
from verl_prpo.step.credit import OutcomeRewards, ProcessRewards, advantages_of, without_process_rewards
from verl_prpo.step.messages import Scores
from verl_prpo.step.scored_batch import Rollouts, ScoredBatch
from verl_prpo.telemetry.rollouts.read import Rollout, read_rollouts
from verl_prpo.telemetry.rollouts.write import PendingRecord, choose
from verl_prpo.telemetry.step_report import StepReport
from verl_prpo.text.decoding import segment_texts

KEYS = ["a_0_0", "a_1_0", "b_0_0", "b_1_0", "pad_0_0"]
TEXTS = ["First we add. \U0001f600 So 3.", "Step by step, call 4 so 4.", "Yes, long.", "", "pad"]
TOKENIZER = qwen_tokenizer()
IDS = [TOKENIZER.encode(text, add_special_tokens=False) for text in TEXTS]
IDS[0].append(TOKENIZER.eos_token_id)
WIDTH = max(map(len, IDS))
CUTS = [[0, 6], [0, 4], [0], [], []]
"""Columns at which the segments start; the second response has tool tokens from column 2 to 3."""


def mask_of(ids: list[list[int]]) -> torch.Tensor:
    return torch.tensor([[1] * len(row) + [0] * (WIDTH - len(row)) for row in ids])


def starts() -> torch.Tensor:
    found = torch.zeros(len(KEYS), WIDTH, dtype=torch.bool)
    for row, cuts in enumerate(CUTS):
        found[row, cuts] = True
    return found


def results() -> list[Scores | None]:
    texts = [
        segment_texts(TOKENIZER, ids, segment_bounds(row, len(ids))) for ids, row in zip(IDS, starts(), strict=True)
    ]
    return [
        Scores(texts=texts[0], scores=[0.75, 0.25], tokens=20, asked=10.0, answered=10.5),
        Scores(texts=texts[1], scores=[1.0, 0.5], tokens=20, asked=10.0, answered=12.0),
        Scores(texts=texts[2], failure="timeout", detail="no answer within 2 s", asked=10.0, answered=12.0),
        None,
        None,
    ]


def report(remaining: torch.Tensor | None = None) -> StepReport:
    mask = mask_of(IDS)
    mask[1, 2:4] = 0
    mask[4] = 0
    rows = Rollouts(
        keys=KEYS,
        places=list(range(len(KEYS))),
        batch_size=len(KEYS),
        messages=[[{"role": "user", "content": [{"type": "text", "text": "1 + 2?"}]}]] * len(KEYS),
        response_ids=IDS,
        response_mask=mask,
        signal=None,
        truncated=[False] * len(KEYS),
    )
    scored = ScoredBatch(rows, starts(), results(), 0.1, 0.2)
    given = ProcessRewards(scored.token_scores(), starts(), scored.read_tokens(), prior_mean=0.5, prior_std=0.25)
    index = np.array(["a", "a", "b", "b", "pad"], dtype=object)
    outcome = torch.tensor([1.0, -1.0, 1.0, 0.0, 0.0])
    mask = mask if remaining is None else remaining
    advantages = advantages_of(given, PrpoConfig(), outcome, mask, index)
    return StepReport(scored, given, PrpoConfig(), outcome, advantages, mask, index)


def pending(made: StepReport, row: int, **brought) -> PendingRecord:
    output = TOKENIZER.decode(IDS[row], skip_special_tokens=True)
    columns = {"step": 5, "input": "user\n1 + 2?", "output": output, "gts": "3", "score": 1.0, "uid": KEYS[row]}
    return PendingRecord(made, row, TOKENIZER, **brought, columns=columns)


@pytest.fixture
def rollouts() -> list[Rollout]:
    made = report()
    return [pending(made, row).rollout() for row in range(4)]


def test_segments_tile_the_response_with_their_text_and_score(rollouts):
    first = rollouts[0].segments
    assert [(s.begin, s.end, s.score) for s in first] == [(0, 6, 0.75), (6, len(IDS[0]), 0.25)]
    for rollout, ids in zip(rollouts[:3], IDS, strict=False):
        segments = rollout.segments
        assert segments[0].begin == 0 and segments[-1].end == len(ids)
        assert all(a.end == b.begin for a, b in itertools.pairwise(segments))
        assert "".join(segment.text for segment in segments) == rollout.response == TEXTS[KEYS.index(rollout.key)]


def test_each_token_is_where_its_text_begins(rollouts):
    rollout = rollouts[0]
    assert len(rollout.token_offsets) == len(IDS[0])
    ends = [*rollout.token_offsets[1:], len(rollout.response)]
    texts = [rollout.response[begin:end] for begin, end in zip(rollout.token_offsets, ends, strict=True)]
    assert "".join(texts) == rollout.response
    smile = texts.index(next(text for text in texts if "\U0001f600" in text))
    assert texts[smile - 1] == ""  # the first bytes of the character
    assert texts[-1] == ""  # end of turn
    for segment in rollout.segments:
        assert rollout.token_offsets[segment.begin] == rollout.response.index(segment.text)


def test_advantages_add_up_token_by_token(rollouts):
    rollout = rollouts[0]
    assert rollout.process_advantage == [1.0] * 6 + [-1.0] * (len(IDS[0]) - 6)
    assert rollout.outcome_advantage == [1.0] * len(IDS[0])
    assert rollout.advantages == [2.0] * 6 + [0.0] * (len(IDS[0]) - 6)
    assert (rollout.uid, rollout.outcome_reward, rollout.failure) == ("a", 1.0, None)


def test_grpos_advantage_is_one_number_per_response(rollouts):
    assert rollouts[0].grpo_advantage == pytest.approx(2**-0.5, abs=1e-5)  # (1 - 0) / sqrt(2) in a group of 1 and -1
    assert rollouts[1].grpo_advantage == pytest.approx(-(2**-0.5), abs=1e-5)


def test_tool_tokens_lie_in_a_segment_but_carry_no_advantage(rollouts):
    rollout = rollouts[1]
    assert [(s.begin, s.end) for s in rollout.segments] == [(0, 4), (4, len(IDS[1]))]
    assert rollout.response_mask[:5] == [1, 1, 0, 0, 1]
    assert rollout.advantages[:5] == [1.0, 1.0, 0.0, 0.0, -1.0]


@pytest.mark.parametrize("tags", ["plain", "special"])
def test_thoughts_are_recorded_also_where_the_text_has_lost_their_tags(tags, tmp_path):
    """The prompt opens a thought, and a tool speaks with a tag in its words."""
    tokenizer = qwen_tokenizer()
    added = [AddedToken(tag, special=tags == "special", normalized=False) for tag in ("<think>", "</think>")]
    tokenizer.add_tokens(added, special_tokens=tags == "special")
    said = [("We try.</think>Call", 1), ("</think>12", 0), ("So 12.", 1)]
    parts = [(tokenizer.encode(text, add_special_tokens=False), mine) for text, mine in said]
    ids, mask = [t for part, _ in parts for t in part], [mine for part, mine in parts for _ in part]
    begun = len(tokenizer.encode("We try.</think>", add_special_tokens=False))
    rows = Rollouts(
        ["a_0_0"], [0], 1, [[{"role": "user", "content": "6 + 6?"}]], [ids], torch.tensor([mask]), None, [False]
    )
    one = uniform_segments(rows.response_mask, 1)
    interlude = Interlude(len(parts[0][0]), len(ids) - len(parts[2][0]), [("tool", "12")])
    texts = [tokenizer.decode(ids, skip_special_tokens=True)]
    scored = ScoredBatch(rows, one, [Scores(texts=texts, scores=[0.5], interludes=[interlude])], 0.0, 0.0)
    given = without_process_rewards(rows.response_mask)
    made = StepReport(
        scored, given, PrpoConfig(), torch.zeros(1), torch.zeros(1, len(ids)), rows.response_mask, np.array(["a"])
    )
    columns = {"step": 1, "input": "6 + 6?", "output": texts[0], "gts": "", "score": 1.0, "uid": "a_0_0"}
    prompt = tokenizer.encode("6 + 6?<think>\n", add_special_tokens=False)
    record = PendingRecord(made, 0, tokenizer, columns=columns, prompt_ids=prompt)
    (tmp_path / "1.jsonl").write_text(json.dumps(columns | {"prpo": record.tolist()}) + "\n")
    (read,) = read_rollouts(tmp_path)
    assert read.thoughts == [(0, begun)]
    assert ("</think>" in read.segments[0].text.split("Call")[0]) == (tags == "plain")
    thought = "We try." if tags == "special" else "We try.</think>"
    assert read.thought_characters() == [(0, len(thought))] and read.thought_tokens()[:begun] == [True] * begun
    assert PendingRecord(made, 0, tokenizer, columns=columns).rollout().thoughts is None  # nobody knows the prompt


def test_a_failure_has_its_kind_its_reason_and_no_score(rollouts):
    rollout = rollouts[2]
    assert (rollout.failure, rollout.failure_detail) == ("timeout", "no answer within 2 s")
    assert [segment.score for segment in rollout.segments] == [None]
    assert rollout.process_advantage == [0.0] * len(IDS[2])
    assert rollout.advantages == rollout.outcome_advantage == [0.5] * len(IDS[2])


def test_latency_is_the_time_from_question_to_answer(rollouts):
    assert [rollout.prm_latency for rollout in rollouts] == [0.5, 2.0, 2.0, None]


def test_an_empty_response_has_an_empty_record(rollouts):
    rollout = rollouts[3]
    assert (rollout.segments, rollout.advantages, rollout.response_mask, rollout.token_offsets) == ([], [], [], [])
    assert rollout.failure is None and rollout.grpo_advantage == 0.0


def test_a_segment_that_the_prm_did_not_read_has_no_score():
    made = report()
    texts = made.scored.scores[0].texts
    made.scored.scores[0] = Scores(texts=texts, scores=[0.75, None], overlong=True, cached=True)
    rollout = pending(made, 0).rollout()
    assert [segment.score for segment in rollout.segments] == [0.75, None]
    assert (rollout.overlong, rollout.cached, rollout.failure) == (True, True, None)


def test_windows_and_hidden_thoughts_are_in_the_record():
    made = report()
    texts = made.scored.scores[0].texts
    made.scored.scores[0] = Scores(
        texts=texts, scores=[None, 0.75], overlong=True, windows=2, seen_from=[None, 1], hidden=[True, False]
    )
    rollout = pending(made, 0).rollout()
    assert (list(rollout.hidden), rollout.windows, rollout.seen_from) == ([0], 2, [None, 1])
    assert not rollout.left_out  # it read all that it was to judge
    made.scored.scores[0] = Scores(texts=texts, scores=[None, 0.75], overlong=True, windows=2, seen_from=[None, 1])
    assert pending(made, 0).rollout().left_out


def test_tokens_that_rollout_correction_rejected_show_as_such():
    mask = mask_of(IDS)
    mask[0, 6] = 0
    made = report(mask)
    assert restrict_segments(made.rewards.segment_starts, mask)[0].nonzero()[:, 0].tolist() == [0, 7]
    rollout = pending(made, 0).rollout()
    assert rollout.response_mask[5:8] == [1, 0, 1] and rollout.advantages[5:8] == [2.0, 0.0, 0.0]
    assert [segment.end for segment in rollout.segments] == [6, len(IDS[0])]  # as the PRM was asked


def test_a_credit_without_a_prm_has_one_segment_without_a_score_and_no_process_advantage():
    rows = report().scored.rollouts
    scored = ScoredBatch(rows, uniform_segments(rows.response_mask, 1), [None] * 5, 0.0, 0.0)
    given, settings = without_process_rewards(rows.response_mask), PrpoConfig(credit="outcome", outcome_norm="mean_std")
    outcome, index = torch.tensor([1.0, -1.0, 1.0, 0.0, 0.0]), np.array(["a", "a", "b", "b", "pad"], dtype=object)
    advantages = advantages_of(given, settings, outcome, rows.response_mask, index)
    made = StepReport(scored, given, settings, outcome, advantages, rows.response_mask, index)
    rollout = pending(made, 0).rollout()
    assert [(s.begin, s.end, s.text, s.score) for s in rollout.segments] == [(0, len(IDS[0]), TEXTS[0], None)]
    assert set(rollout.process_advantage) == {0.0} and set(rollout.advantages) == {rollout.grpo_advantage}
    assert set(made.metrics()) == {
        *("prpo/outcome_advantage/mean", "prpo/outcome_advantage/std"),
        *("prpo/sign_flip", "prpo/group/all_equal", "prpo/truncated", "prpo/verdict/known"),
    }


class TestUnderTheCreditTrust:
    """Group a is mixed, group b all wrong by its verdicts; w is 0.5."""

    def report(self, weights: torch.Tensor | None = None, credit: str = "trust") -> StepReport:
        made, settings = report(), PrpoConfig(credit=credit)
        made.scored.scores[2] = Scores(texts=[TEXTS[2]], scores=[0.9], asked=1.0, answered=2.0)
        made.scored.scores[3] = Scores(texts=[], failure="timeout")
        outcome = torch.tensor([1.0, -1.0, -1.0, -1.0, 0.0])
        none = torch.zeros(5, dtype=torch.bool)
        given = ProcessRewards(
            made.scored.token_scores(),
            starts(),
            made.scored.read_tokens(),
            prior_mean=0.5,
            prior_std=0.25,
            outcomes=OutcomeRewards(outcome, torch.tensor([False, False, True, True, True]), none),
            weights=torch.full((5,), 0.5) if weights is None else weights,
        )
        advantages = advantages_of(given, settings, outcome, made.response_mask, made.index)
        sources = ["math", "math", "code", "code", ""]
        return StepReport(
            made.scored, given, settings, outcome, advantages, made.response_mask, made.index, data_sources=sources
        )

    def test_a_record_says_the_weight_its_group_and_its_scores_within_the_group(self):
        made = self.report()
        mixed, _, equal = (pending(made, row).rollout() for row in range(3))
        assert [mixed.process_weight, equal.process_weight] == [0.5, 0.5]
        assert [mixed.all_equal, equal.all_equal] == [False, True]
        assert [mixed.data_source, equal.data_source] == ["math", "code"]
        assert (mixed.prior_mean, mixed.prior_std) == (None, None)
        # Group a: tokens of four segments, with the tool tokens 2 and 3 of the second response left out.
        own = [6, len(IDS[0]) - 6, 2, len(IDS[1]) - 4]
        scores = np.array([0.75, 0.25, 1.0, 0.5])
        centred = scores - np.average(scores, weights=own)
        s = (np.sum(own * centred**2) / (sum(own) + len(IDS[2]))) ** 0.5  # group b has one scored segment: no deviation
        assert mixed.relative_scores == pytest.approx((centred / s)[:2], abs=1e-4)
        assert equal.relative_scores == [0.0]

    def test_a_mixed_group_is_grpos_and_in_an_all_equal_one_the_weight_times_the_relative_score_is_paid(self):
        made = self.report()
        made.scored.scores[3] = None
        rows = torch.tensor([0.5, 0.5, 0.5, 0.5, 0.5])
        for row in (0, 1):
            rollout = pending(made, row).rollout()
            assert set(rollout.process_advantage) == {0.0}
        alone = self.report(rows)
        alone.rewards.outcomes.agree[:2] = True  # as if group a had one verdict
        alone = StepReport(
            alone.scored,
            alone.rewards,
            alone.settings,
            torch.full((5,), -1.0),
            advantages_of(alone.rewards, alone.settings, torch.full((5,), -1.0), alone.response_mask, alone.index),
            alone.response_mask,
            alone.index,
        )
        rollout = pending(alone, 0).rollout()
        assert rollout.all_equal and rollout.grpo_advantage == pytest.approx(0.0, abs=1e-6)
        for segment, relative in zip(rollout.segments, rollout.relative_scores, strict=True):
            assert rollout.advantages[segment.begin] == pytest.approx(0.5 * relative, abs=1e-6)

    def test_another_credit_has_no_weight_and_nothing_measured_is_a_weight_of_zero(self):
        other = pending(self.report(credit="prpo"), 0).rollout()
        assert (other.process_weight, other.all_equal, other.relative_scores) == (None, False, None)
        assert other.prior_mean == 0.5
        made = self.report()
        made.rewards.weights = None
        assert pending(made, 0).rollout().process_weight == 0.0

    def test_a_segment_without_a_score_has_no_relative_score(self):
        made = self.report()
        made.scored.scores[0] = Scores(texts=made.scored.scores[0].texts, scores=[0.75, None], overlong=True)
        relative = pending(made, 0).rollout().relative_scores
        assert relative[0] is not None and relative[1] is None


class TestThroughVerlsWriter:
    """verl's own `_write_generations`, which does the JSON, line by line."""

    def write(self, folder, records: list[PendingRecord | None], output: str | None = None) -> None:
        column = {"uid": KEYS[: len(records)], "prpo": records}
        outputs = [TOKENIZER.decode(ids, skip_special_tokens=True) for ids in IDS[: len(records)]]
        outputs = outputs if output is None else [output] * len(records)
        n = len(records)
        PPOTrainer._write_generations(["user\n1 + 2?"] * n, outputs, ["3"] * n, [1.0] * n, column, str(folder), 5)

    def test_what_is_read_back_is_what_was_there_to_the_last_bit_of_a_float32(self, tmp_path):
        torch.manual_seed(0)
        made = report()
        made.advantages = torch.rand_like(made.advantages) * 10 - 5
        brought = [
            {
                "entropy": torch.rand(len(ids)),
                "surprisal": torch.rand(len(ids)),
                "outcome_parts": {"acc": np.float32(1)},
            }
            for ids in IDS
        ]
        self.write(tmp_path, [pending(made, row, **brought[row]) for row in range(4)])
        for row, rollout in enumerate(read_rollouts(tmp_path)):
            wanted = pending(made, row, **brought[row]).rollout()
            for name in ("advantages", "process_advantage", "outcome_advantage", "entropy", "surprisal"):
                found = torch.tensor(getattr(rollout, name))
                assert torch.equal(found, torch.tensor(getattr(wanted, name))), name
            assert rollout.segments == wanted.segments and rollout.token_offsets == wanted.token_offsets
            assert rollout.messages == [{"role": "user", "content": "1 + 2?"}]
            assert rollout.outcome_parts == {"acc": 1.0} and rollout.key == KEYS[row] and rollout.step == 5

    def test_a_record_is_worked_out_when_its_line_is_due(self, tmp_path, monkeypatch):
        """So that of all records only one is in memory."""
        came_from: list[str] = []
        rollout = PendingRecord.rollout

        def noted(self):
            came_from.append(threading.current_thread().name)
            return rollout(self)

        monkeypatch.setattr(PendingRecord, "rollout", noted)
        records = [pending(report(), row) for row in range(4)]
        assert came_from == []
        writer = threading.Thread(target=self.write, args=(tmp_path, records), name="verls writer")
        writer.start()
        writer.join(timeout=60)
        assert came_from == ["verls writer"] * 4

    def test_a_response_that_verl_decodes_otherwise_is_in_the_record(self, tmp_path):
        """As with a pad token that is not a special one, which verl leaves at its end."""
        padded = pending(report(), 0)
        padded.columns = {**padded.columns, "output": TEXTS[0] + "!!"}
        self.write(tmp_path, [pending(report(), 0)])
        self.write(tmp_path / "padded", [padded], output=TEXTS[0] + "!!")
        assert [r.response for r in read_rollouts(tmp_path)] == [TEXTS[0]]
        assert [r.response for r in read_rollouts(tmp_path / "padded")] == [TEXTS[0]]
        assert "response" not in json.loads((tmp_path / "5.jsonl").read_text())["prpo"]

    def test_what_a_reward_function_says_is_never_too_odd_to_be_written(self, tmp_path):
        class Odd:
            def __str__(self) -> str:
                return "an odd thing"

        parts = {
            "acc": np.float32(1),
            "tests": {"passed": np.array([1, 2])},
            "odd": Odd(),
            3: [Odd()],
            "at": {(1, 2): 3},
        }
        self.write(tmp_path, [pending(report(), 0, outcome_parts=parts)])
        (found,) = read_rollouts(tmp_path)
        assert found.outcome_parts["acc"] == 1.0 and found.outcome_parts["tests"] == {"passed": [1, 2]}
        assert found.outcome_parts["odd"] == "an odd thing" and found.outcome_parts["at"] == "{(1, 2): 3}"
        assert isinstance(found.outcome_parts["3"], str)

    def test_a_record_that_cannot_be_made_names_its_response_and_how_to_do_without(self, tmp_path):
        made = report()
        made.scored.scores[0].scores.append(0.5)  # one more than there are segments
        with pytest.raises(RuntimeError, match=r"response a_0_0 .* step 5: .*algorithm.prpo.dump_responses=0"):
            self.write(tmp_path, [pending(made, 0)])


class TestChoice:
    def reports(self, *sizes: int) -> dict[str, tuple[StepReport, int]]:
        uids = [f"u{group}" for group, size in enumerate(sizes) for _ in range(size)]
        made = report()
        made.index = np.array(uids, dtype=object)
        return {f"{uid}_{row}_0": (made, row) for row, uid in enumerate(uids)}

    @pytest.mark.parametrize(("limit", "groups"), [(0, 0), (3, 0), (4, 1), (11, 2), (12, 3), (100, 3), (None, 3)])
    def test_whole_groups_as_far_as_they_fit(self, limit, groups):
        chosen = choose(self.reports(4, 4, 4), limit)
        by_group = {uid: sum(key.startswith(uid) for key in chosen) for uid in ("u0", "u1", "u2")}
        if groups:
            assert sorted(by_group.values(), reverse=True) == [4] * groups + [0] * (3 - groups)
        else:
            assert len(chosen) == limit and sorted(by_group.values())[:2] == [0, 0]  # one group in part

    def test_a_group_that_does_not_fit_leaves_room_for_one_that_does(self):
        assert len(choose(self.reports(6, 6, 2), 8)) == 8

    def test_the_same_rollouts_give_the_same_choice_in_any_order(self):
        reports = self.reports(4, 4, 4, 4)
        turned = dict(reversed(reports.items()))
        assert set(choose(reports, 8)) == set(choose(turned, 8))
