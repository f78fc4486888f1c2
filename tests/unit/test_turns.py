# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Turns: a cut wherever the policy takes over, alone and with any other segmenter inside each turn."""

import random

import pytest
import torch
from tiny_models import qwen_tokenizer

from verl_prpo import turn_segments
from verl_prpo.method.turns import Turns
from verl_prpo.settings.prpo import ConfigError, PrpoConfig, prpo_config
from verl_prpo.step.conversation import Interlude
from verl_prpo.step.cutting import cut, hidden_segments
from verl_prpo.step.messages import Scores
from verl_prpo.telemetry.turns import turn_lines, turn_metrics

MASKS = ["111", "11001101", "0011100", "1", "0000", "10101", ""]
KINDS = [
    PrpoConfig(segmenter="turns"),
    PrpoConfig(segmenter="turns+entropy", max_anchors=2, min_gap=2),
    PrpoConfig(segmenter="turns+surprisal", max_anchors=2, min_gap=2, anchor_rule="greedy"),
    PrpoConfig(segmenter="turns+text", delimiters=["."]),
    PrpoConfig(segmenter="turns+tokens", delimiter_token_ids=[3, 7]),
    PrpoConfig(segmenter="turns+uniform", num_segments=2),
    PrpoConfig(segmenter="turns+random", num_segments=3),
]


def columns(starts: torch.Tensor) -> list[list[int]]:
    return [row.nonzero()[:, 0].tolist() for row in starts]


def masks(rows: list[str]) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([[int(mark) for mark in row.ljust(width, "0")] for row in rows])


def test_a_turn_begins_wherever_the_policy_takes_over():
    assert columns(turn_segments(masks(MASKS))) == [[0], [0, 4, 7], [2], [0], [], [0, 2, 4], []]
    assert turn_segments(torch.zeros(2, 0)).shape == (2, 0)
    with pytest.raises(ValueError, match=r"\[bs, L\]"):
        turn_segments(torch.ones(3))


def test_turns_as_rows_and_back():
    mask = masks(MASKS)
    turns = Turns.of(mask)
    assert turns.spans()[:4] == [(0, 0, 3), (1, 0, 2), (1, 4, 6), (1, 7, 8)]
    assert int(turns.mask.sum()) == int(mask.sum()) and turns.mask.shape[1] == 3
    numbers = torch.arange(mask.numel()).view_as(mask)
    assert turns.rows(numbers)[2].tolist()[:2] == numbers[1, 4:6].tolist()
    assert torch.equal(turns.back(turns.mask, mask), mask.bool())
    none = Turns.of(torch.zeros(2, 4))
    assert none.spans() == [] and not none.back(none.mask, torch.zeros(2, 4)).any()


def test_the_metrics_count_turns():
    scores = [None, Scores(interludes=[Interlude(2, 4, [("tool", "x")], False), Interlude(6, 7)]), Scores()]
    found = turn_metrics(masks(["111", "11001101", "0000"]), scores)
    assert found == {
        "prpo/segments/turns/mean": pytest.approx(4 / 3),
        "prpo/segments/turns/min": 0.0,
        "prpo/segments/turns/max": 3.0,
        "prpo/segments/turns/unrecognised": 1,
    }
    (line,) = turn_lines(["a", "b", "c"], scores)
    assert line.startswith("1 stretches") and "1 of 3 responses" in line and "default_agent_loop" in line
    assert "The first is b, with 1." in line and turn_lines(["a"], [None]) == []


@pytest.mark.parametrize("settings", KINDS, ids=lambda settings: settings.segmenter)
def test_each_turn_is_cut_as_if_it_were_a_response(settings):
    """Against the plain segmenter on each turn alone, over random masks, signals and tokens."""
    tokenizer = qwen_tokenizer(separator=None)
    rng = random.Random(1)
    for _ in range(6):
        lengths = [rng.randint(1, 40) for _ in range(5)]
        width = max(lengths) + rng.randint(0, 3)
        ids = [[rng.randint(0, 90) for _ in range(length)] for length in lengths]
        mask = torch.zeros(5, width, dtype=torch.long)
        for row, length in enumerate(lengths):
            own = 1
            for column in range(length):
                own = own if rng.random() < 0.8 else 1 - own
                mask[row, column] = own
        signal = torch.rand(5, width)
        keys = [f"u{row}_0_0" for row in range(5)]
        starts = cut(settings, keys=keys, response_ids=ids, response_mask=mask, signal=signal, tokenizer=tokenizer)
        assert bool((starts >= turn_segments(mask)).all()) and not (starts & (mask == 0)).any()
        wanted = torch.zeros_like(starts)
        inner = PrpoConfig(**{**vars(settings), "segmenter": settings.cuts_by})
        seen: dict[int, int] = {}
        for row, begin, end in Turns.of(mask).spans():
            found = cut(
                inner,
                keys=[f"{keys[row]}/{seen.get(row, 0)}"],
                response_ids=[ids[row][begin:end]],
                response_mask=torch.ones(1, end - begin),
                signal=signal[row : row + 1, begin:end],
                tokenizer=tokenizer,
            )
            seen[row] = seen.get(row, 0) + 1
            wanted[row, begin:end] = found[0]
        assert torch.equal(starts, wanted)


def test_without_turns_a_segment_goes_on_over_a_tools_words():
    mask = masks(["11001101"])
    assert columns(cut(PrpoConfig(segmenter="single"), keys=["a"], response_ids=[[5] * 8], response_mask=mask)) == [[0]]


def test_the_settings_know_what_cuts_inside_a_turn():
    assert [(kind.cuts_turns, kind.cuts_by) for kind in (KINDS[0], KINDS[1], PrpoConfig())] == [
        (True, "single"),
        (True, "entropy"),
        (False, "entropy"),
    ]
    with pytest.raises(ConfigError, match=r"delimiter_token_ids=\[\].*segmenter=turns\+tokens"):
        prpo_config({"prpo": {"segmenter": "turns+tokens"}})
    with pytest.raises(ConfigError, match=r"segmenter"):
        prpo_config({"prpo": {"segmenter": "turns+single"}})
    with pytest.raises(ValueError, match=r"segmenter=turns\+entropy needs entropy"):
        cut(KINDS[1], keys=["a"], response_ids=[[1]], response_mask=torch.ones(1, 1))


class TestHiddenThoughts:
    """A response of two turns, the first with a thought in its middle, under `reward.prm.thinking=hide`."""

    MASK = masks(["1111110011111100"])
    THOUGHTS = masks(["0011000000000000"]).bool()

    def cut(self, settings: PrpoConfig, thoughts: torch.Tensor | None, **more) -> list[int]:
        starts = cut(
            settings, keys=["k"], response_ids=[list(range(16))], response_mask=self.MASK, thoughts=thoughts, **more
        )
        return columns(starts)[0]

    def test_a_thought_is_a_segment_of_its_own_inside_its_turn(self):
        assert self.cut(PrpoConfig(segmenter="turns"), None) == [0, 8]
        assert self.cut(PrpoConfig(segmenter="turns"), self.THOUGHTS) == [0, 2, 4, 8]
        starts = torch.zeros(16, dtype=torch.bool)
        starts[[0, 2, 4, 8]] = True
        assert hidden_segments(starts, self.THOUGHTS[0]) == [False, True, False, False]

    def test_a_thought_that_goes_on_behind_a_tool_is_cut_at_the_turn_too(self):
        thoughts = masks(["0000110111000000"]).bool()
        assert self.cut(PrpoConfig(segmenter="turns"), thoughts) == [0, 4, 8, 10]
        assert self.cut(PrpoConfig(segmenter="single"), thoughts) == [0, 4, 10]

    def test_no_cut_lies_in_a_thought(self):
        settings = KINDS[1]
        signal = torch.tensor([[0.0, 0, 9, 9, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0]])
        assert 2 in self.cut(settings, None, signal=signal)
        assert self.cut(settings, self.THOUGHTS, signal=signal)[:4] == [0, 2, 4, 8]

    def test_automatic_anchors_count_the_tokens_of_each_turn_that_are_shown(self):
        settings = PrpoConfig(
            segmenter="turns+entropy", max_anchors="auto", tokens_per_anchor=3, anchor_bounds=[0, 9], min_gap=1
        )
        signal = torch.tensor([[0.0, 3, 9, 9, 1, 4, 0, 0, 0, 7, 8, 6, 5, 0, 0, 0]])
        # 2 + 2 tokens of the first turn are shown, each less than an anchor's; 6 of the second make two anchors.
        assert self.cut(settings, self.THOUGHTS, signal=signal) == [0, 2, 4, 8, 9, 10]
