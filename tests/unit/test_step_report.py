# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The record of each rollout for verl's dump: what a reader needs to see what the PRM did, token by token."""

import itertools
import json

import numpy as np
import pytest
import torch

from verl_prpo.config import PrpoConfig
from verl_prpo.estimator import ProcessRewards, advantages_of
from verl_prpo.process_pass import Rows, ScoredBatch
from verl_prpo.reward_manager import ProcessResult
from verl_prpo.segmentation import restrict_segments
from verl_prpo.step_report import StepReport

KEYS = ["a_0_0", "a_1_0", "b_0_0", "b_1_0", "pad_0_0"]
RESULTS = [
    ProcessResult(["We add. ", "So 3."], [0.75, 0.25], tokens=20),
    ProcessResult(["call(", "tool said 4) so 4"], [1.0, 0.5], tokens=20),
    ProcessResult(["long"], None, "overlong", "300 tokens", tokens=300, overlong=True),
    None,
    None,
]
LENGTHS = [5, 6, 3, 0, 1]
STARTS = [[1, 0, 1, 0, 0, 0], [1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, 0], [0] * 6, [0] * 6]
MASK = [[1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 1, 1], [1, 1, 1, 0, 0, 0], [0] * 6, [0] * 6]
SIGNAL = torch.arange(30, dtype=torch.float32).view(5, 6) / 7


def report(mask=MASK, signal: torch.Tensor | None = SIGNAL) -> StepReport:
    rows = Rows(
        keys=KEYS,
        real=[True, True, True, True, False],
        messages=[[{"role": "user", "content": [{"type": "text", "text": "1 + 2?"}]}]] * 4 + [[]],
        response_ids=[[7] * length for length in LENGTHS],
        response_mask=torch.tensor(MASK),
        signal=signal,
    )
    scored = ScoredBatch(rows, torch.tensor(STARTS, dtype=torch.bool), list(RESULTS), 0.1, 0.2)
    read = scored.read_tokens()
    given = ProcessRewards(scored.token_scores(), scored.segment_starts, read, prior_mean=0.5, prior_std=0.25)
    index = np.array(["a", "a", "b", "b", "pad"], dtype=object)
    outcome, mask = torch.tensor([1.0, -1.0, 1.0, 0.0, 0.0]), torch.tensor(mask)
    advantages = advantages_of(given, PrpoConfig(), outcome, mask, index)
    return StepReport(scored, given, PrpoConfig(), outcome, advantages, mask, index)


@pytest.fixture
def records():
    return report().records()


def test_there_is_a_record_for_each_rollout_and_none_for_padding(records):
    assert list(records) == KEYS[:4]


def test_a_record_has_the_messages_that_the_prm_was_given(records):
    assert records["a_0_0"]["messages"] == [{"role": "user", "content": "1 + 2?"}]


def test_segments_tile_the_response_with_their_text_and_score(records):
    assert records["a_0_0"]["segments"] == [
        {"begin": 0, "end": 2, "score": 0.75, "text": "We add. "},
        {"begin": 2, "end": 5, "score": 0.25, "text": "So 3."},
    ]
    for key, length in zip(KEYS[:3], LENGTHS[:3], strict=True):
        segments = records[key]["segments"]
        assert segments[0]["begin"] == 0 and segments[-1]["end"] == length
        assert all(a["end"] == b["begin"] for a, b in itertools.pairwise(segments))


def test_advantages_add_up_token_by_token(records):
    record = records["a_0_0"]
    assert record["process_advantage"] == [1.0, 1.0, -1.0, -1.0, -1.0]
    assert record["outcome_advantage"] == [1.0] * 5
    assert record["advantages"] == [2.0, 2.0, 0.0, 0.0, 0.0]
    assert (record["uid"], record["outcome_reward"], record["failure"]) == ("a", 1.0, None)


def test_tool_tokens_lie_in_a_segment_but_carry_no_advantage(records):
    record = records["a_1_0"]
    assert [(s["begin"], s["end"]) for s in record["segments"]] == [(0, 4), (4, 6)]
    assert record["response_mask"] == [1, 1, 0, 0, 1, 1]
    assert record["advantages"] == [1.0, 1.0, 0.0, 0.0, -1.0, -1.0]


def test_a_failure_has_its_kind_and_no_score(records):
    record = records["b_0_0"]
    assert record["failure"] == "overlong"
    assert [segment["score"] for segment in record["segments"]] == [None]
    assert record["process_advantage"] == [0.0] * 3
    assert record["advantages"] == record["outcome_advantage"] == [0.5] * 3


def test_a_segment_that_the_prm_did_not_read_has_no_score():
    found = report()
    found.scored.results[0] = ProcessResult(["We add. ", "So 3."], [0.75, None], overlong=True, cached=True)
    record = found.records()["a_0_0"]
    assert [segment["score"] for segment in record["segments"]] == [0.75, None]
    assert (record["overlong"], record["cached"], record["failure"]) == (True, True, None)


def test_an_empty_response_has_an_empty_record(records):
    record = records["b_1_0"]
    assert (record["segments"], record["advantages"], record["response_mask"]) == ([], [], [])
    assert record["failure"] is None


def test_tokens_that_rollout_correction_rejected_show_as_such():
    mask = [list(row) for row in MASK]
    mask[0][2] = 0
    found = report(mask)
    assert torch.equal(
        restrict_segments(found.rewards.segment_starts, found.response_mask)[0],
        torch.tensor([1, 0, 0, 1, 0, 0], dtype=torch.bool),
    )
    record = found.records()["a_0_0"]
    assert record["response_mask"] == [1, 1, 0, 1, 1]
    assert record["advantages"] == [2.0, 2.0, 0.0, 0.0, 0.0]
    assert [segment["end"] for segment in record["segments"]] == [2, 5]  # as the PRM was asked


def test_the_signal_is_as_long_as_the_response_or_absent(records):
    assert records["a_0_0"]["signal"] == pytest.approx([0, 1 / 7, 2 / 7, 3 / 7, 4 / 7], abs=1e-5)
    assert report(signal=None).records()["a_0_0"]["signal"] is None


def test_records_are_json_that_brings_every_float32_back(records):
    again = json.loads(json.dumps(records))
    assert again == records
    row = KEYS.index("a_1_0")
    signal = torch.tensor(again["a_1_0"]["signal"])
    assert torch.equal(signal, SIGNAL[row, : len(signal)])
    assert all(value == float(f"{value:.9g}") for value in again["a_1_0"]["signal"])
