# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A response longer than the PRM's context, read in windows: what judges a segment, and how much it has seen."""

from dataclasses import replace

import pytest
import torch
from fault_server import FaultServer, rows
from hypothesis import given, settings
from hypothesis import strategies as st
from test_prm_families import TINY, WRITE
from test_prm_reading import QUESTION, WORDS, Letters
from test_prm_servers import score as served
from tiny_models import qwen_math_prm

from verl_prpo.prm.conversation import Heard, steps_with, written_out
from verl_prpo.prm.encoding.response import EncodedResponse, encode_response
from verl_prpo.prm.encoding.windows import Lengths, Window, plan_windows
from verl_prpo.prm.families import BUILT_IN, resolve_family
from verl_prpo.prm.families.base import Encoded
from verl_prpo.prm.families.qwen_math import QwenMathPrm
from verl_prpo.prm.in_process.engine import InProcessEngine
from verl_prpo.prm.load import load_prm
from verl_prpo.prm.results import PrmFailure, PrmRequest, PrmResult
from verl_prpo.settings.prpo import PrmConfig, PrmServers

STEPS = [
    f"Step {i}: we add {i} to {i * i}{' and go on with the sum' * (i % 3)}, which makes {i + i * i}.\n\n"
    for i in range(14)
]


def windowed(family, segments, context: float = 0.5, **more) -> PrmResult:
    engine = InProcessEngine(family, 10**6, "windows", window_context=context)
    (result,) = engine.score([PrmRequest(QUESTION, segments, **more)])
    return result


def whole(family, segments) -> list[float]:
    (result,) = InProcessEngine(family, 10**6, "raise").score([PrmRequest(QUESTION, segments)])
    assert result.failure is None, result
    return result.scores


class TestTheRule:
    """6 letters of the question; a segment is its letters and one token more."""

    def test_later_windows_show_what_was_judged_before(self):
        # 9 segments of 4 tokens each in a room of 20 behind the problem: 5 at once, then 2 of context and 3 new ones.
        segments = [f"{i}ab" for i in range(9)]
        family = Letters(26)
        result = windowed(family, segments)
        assert result.seen_from == [0, 0, 0, 0, 0, 3, 3, 3, 4]
        assert (result.windows, result.overlong, result.failure) == (3, True, None)
        assert result.tokens == 3 * 26
        assert [len(row.input_ids) for row in family.read] == [26, 26, 26]

    @pytest.mark.parametrize(
        ("context", "seen"),
        [
            (0.0, [0, 0, 0, 0, 0, 4, 4, 4, 4]),  # all that is left is 4, so one of context fits
            (0.5, [0, 0, 0, 0, 0, 3, 3, 3, 4]),
            (0.8, [0, 0, 0, 0, 0, 1, 2, 3, 4]),  # four of context, one judged
        ],
    )
    def test_the_share_of_context_is_a_setting(self, context, seen):
        assert windowed(Letters(26), [f"{i}ab" for i in range(9)], context).seen_from == seen

    def test_a_segment_longer_than_a_window_is_unread_and_no_window_reaches_across_it(self):
        segments = ["ab", "cd", "x" * 40, "ef", "gh"]
        result = windowed(Letters(26), segments)
        assert result.scores[2] is None and None not in result.scores[:2] + result.scores[3:]
        assert result.seen_from == [0, 0, None, 3, 3]
        assert result.scores[3:] == whole(Letters(1000), ["ef", "gh"])

    def test_a_segment_that_leaves_no_room_for_the_share_has_what_fits_before_it(self):
        result = windowed(Letters(26), ["abcd", "efgh", "ij", "x" * 15])
        assert result.seen_from == [0, 0, 0, 2]  # 16 tokens and the 3 before it fit into 20

    @pytest.mark.parametrize("context", [1, 6, 7])
    def test_a_problem_that_leaves_no_room_leaves_all_unread(self, context):
        assert windowed(Letters(context), ["abc", "de"]) == PrmResult([None, None], tokens=13, overlong=True)

    def test_the_unfinished_last_segment_is_not_shown(self):
        segments = [f"{i}ab" for i in range(9)]
        result = windowed(Letters(26), [*segments, "an unfinished th"], truncated=True)
        assert result.scores[:-1] == windowed(Letters(26), segments).scores and result.scores[-1] is None
        assert result.seen_from[-1] is None

    def test_hidden_segments_are_in_no_window_and_the_rest_is_read_as_if_it_were_all(self):
        shown = [f"{i}ab" for i in range(9)]
        segments = ["a long thought, and more of it", *shown[:4], "another thought", *shown[4:]]
        hidden = [True, *[False] * 4, True, *[False] * 5]
        family = Letters(26)
        result = windowed(family, segments, hidden=hidden)
        alone = windowed(Letters(26), shown).scores
        assert result.scores == [None, *alone[:4], None, *alone[4:]]
        assert result.seen_from == [None, 1, 1, 1, 1, None, 1, 4, 4, 4, 6]
        assert not any(ord("t") in row.input_ids for row in family.read)
        whole_response = windowed(Letters(1000), segments, hidden=hidden)
        assert (whole_response.windows, whole_response.overlong) == (0, False)
        assert [score for score in whole_response.scores if score is not None] == whole(Letters(1000), shown)
        assert windowed(Letters(26), segments, hidden=[True] * 11).failure is PrmFailure.BAD_INPUT

    def test_a_window_that_fails_fails_the_response(self, monkeypatch):
        family = Letters(26)
        forward = family.forward

        def faulty(batch):
            spoilt = batch[0].input_ids[6] != ord("0")  # the first letter of the first segment shown
            return [[float("nan")] * len(row) for row in forward(batch)] if spoilt else forward(batch)

        monkeypatch.setattr(family, "forward", faulty)
        engine = InProcessEngine(family, 1, "windows")
        (result,) = engine.score([PrmRequest(QUESTION, [f"{i}ab" for i in range(9)])])
        assert (result.scores, result.failure, result.windows) == (None, PrmFailure.NON_FINITE, 3)

    def test_a_step_that_cannot_be_written_alone_fails_the_response_and_is_not_taken_for_a_long_one(self):
        class Follows(Letters):
            """Cannot begin with a step that begins with "x"."""

            def encode(self, messages, segments):
                if segments[0].startswith("x"):
                    raise ValueError("x must follow something")
                return super().encode(messages, segments)

        segments = ["abcdefghijklmnopqr", "xstuvwxyzabcdefghi", "jk"]  # 19 tokens each in a room of 20, and 3
        assert windowed(Letters(26), segments).scores.count(None) == 0
        result = windowed(Follows(26), segments)
        assert (result.scores, result.failure, result.overlong) == (None, PrmFailure.BAD_INPUT, True)
        assert "x must follow something" in result.detail
        assert windowed(Follows(45), segments).scores.count(None) == 0  # a window in which it follows

    def test_windows_of_equal_responses_are_read_once(self):
        family = Letters(26)
        engine = InProcessEngine(family, 10**6, "windows", cache_size=100)
        request = PrmRequest(QUESTION, [f"{i}ab" for i in range(9)])
        first, second = engine.score([request, request])
        (third,) = engine.score([request])
        assert len(family.read) == 3
        assert (first.cached, second.cached, third.cached) == (False, True, True)
        assert first.scores == second.scores == third.scores and third.seen_from == first.seen_from

    @settings(max_examples=300, deadline=None)
    @given(
        segments=st.lists(WORDS, max_size=14), context=st.integers(1, 40), share=st.sampled_from([0.0, 0.3, 0.5, 0.9])
    )
    def test_each_segment_is_judged_once_by_the_shortened_response(self, segments, context, share):
        family = Letters(context)
        result = windowed(family, segments, share)
        if not any(segments):
            assert result.failure is PrmFailure.BAD_INPUT
            return
        assert all(len(row.input_ids) <= context for row in family.read)
        length = len(Letters(1000).encode(QUESTION, list(filter(None, segments))).input_ids)
        assert result.overlong == (length > context)
        if not result.overlong:
            assert result.scores == whole(Letters(1000), segments) and result.seen_from is None
            return
        worded = [i for i, segment in enumerate(segments) if segment]
        for i, score in enumerate(result.scores):
            if score is None:
                assert result.seen_from is None or result.seen_from[i] is None
                assert 6 + len(segments[i]) + 1 > context or not segments[i]
                continue
            begin = result.seen_from[i]
            if i in worded:
                assert score == whole(Letters(1000), segments[begin : i + 1])[-1]
        for end in [i for i in worded if result.scores[i] is not None]:  # no window has room for one segment more
            begin = result.seen_from[end]
            last = max(i for i in worded if result.seen_from[i] == begin)
            before = [i for i in worded if i < begin]
            if before and result.scores[before[-1]] is not None:
                shown = sum(len(segments[i]) + 1 for i in worded if before[-1] <= i <= last)
                assert 6 + shown > context


@pytest.mark.parametrize(
    "segments",
    [
        ["a" * (i % 97 + 155) for i in range(200)],
        ["a"] * 20_000,
        ["a", *["a" * 3_000] * 5],
        [*["b"] * 200, "a" * 40_000],
    ],
    ids=["even", "tiny", "large", "large last"],
)
def test_finding_the_windows_takes_few_tokenisations(segments):
    family = Letters(4096)
    result = windowed(family, segments)
    assert len(family.encoded) <= 6 * max(result.windows, 1) + 30
    assert sum(family.encoded[1:]) <= 6 * 4096 * (result.windows + 3) + 6 * max(map(len, segments))


def test_wrong_estimates_cost_trials_and_nothing_else():
    lengths = [3, 9, 4, 4, 30, 5, 5, 5, 1, 1, 2, 8]

    def fits(begin, end):
        return 10 + sum(lengths[begin:end]) <= 30

    def plan(ends):
        return plan_windows(fits, Lengths(10, ends), 30, 0.5)

    right = plan([10 + sum(lengths[: i + 1]) for i in range(12)])
    assert right == [Window(0, 0, 4), Window(5, 5, 11), Window(7, 11, 12)]
    for wrong in ([11.0 + i / 9 for i in range(12)], [1000.0 * (i + 1) for i in range(12)]):
        windows = plan(wrong)
        judged = [step for window in windows for step in range(window.judged, window.end)]
        assert judged == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]
        assert all(fits(window.begin, window.end) for window in windows)


def test_lengths_come_from_where_the_scores_are_read():
    spread = Lengths.of(Encoded([0] * 30, [11, 19, 29]), ["abcd", "efgh", "ijklm"])
    assert spread.ends == [12, 20, 30] and spread.head == pytest.approx(4)
    spans = Lengths.of(Encoded([0] * 30, [(4, 12), (12, 20), (20, 30)]), ["abcd", "efgh", "ijklm"])
    assert spans.ends == [12, 20, 30]
    assert Lengths.of(Encoded([0] * 26, ["x", "y"]), ["a" * 3, "a" * 10]).ends == pytest.approx([6, 26])


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    loaded = {}

    def load(name):
        if name not in loaded:
            path = TINY[name](tmp_path_factory.mktemp(name))
            options = {
                "implicit_prm": {"reference_model_path": str(path.parent / "reference")},
                "label_token": {"tag": " \n\n\n\n", "step": "{step}{tag}"},
            }.get(name, {})
            family = resolve_family(PrmConfig(model_path=str(path), family=name))
            loaded[name] = family.load(str(path), device=torch.device("cpu"), dtype=torch.float32, **options)
        return loaded[name]

    return load


class TestEveryFamily:
    def test_is_tried(self):
        assert set(TINY) == set(BUILT_IN) - WRITE

    @pytest.mark.parametrize("name", sorted(TINY))
    def test_scores_in_a_window_as_it_scores_the_shortened_response(self, load, name, monkeypatch):
        family = load(name)
        unlimited = family.max_context
        monkeypatch.setattr(family, "max_context", 10**6)  # rotary positions reach further than the config says
        one = max(len(family.encode(QUESTION, [step]).input_ids) for step in STEPS)
        all_scores = whole(family, STEPS)
        assert windowed(family, STEPS).scores == pytest.approx(all_scores, abs=1e-5)
        monkeypatch.setattr(family, "max_context", min(2 * one, unlimited))
        result = windowed(family, STEPS)
        assert result.failure is None and None not in result.scores and result.windows > 2
        assert result.seen_from[0] == 0 and result.seen_from[-1] > 0
        limit = family.max_context
        monkeypatch.setattr(family, "max_context", 10**6)
        parts = [PrmRequest(QUESTION, STEPS[begin : i + 1]) for i, begin in enumerate(result.seen_from)]
        alone = [part.scores[-1] for part in InProcessEngine(family, 4096, "raise").score(parts)]
        assert result.scores == pytest.approx(alone, abs=1e-4)
        for begin in set(result.seen_from):
            last = max(j for j, other in enumerate(result.seen_from) if other == begin)
            assert len(family.encode(QUESTION, STEPS[begin : last + 1]).input_ids) <= limit
            if begin:
                assert len(family.encode(QUESTION, STEPS[begin - 1 : last + 1]).input_ids) > limit
        assert max(abs(a - b) for a, b in zip(result.scores, all_scores, strict=True)) > 1e-4  # context matters


class TestConversations:
    """A window shows what was heard in its steps, and right before them."""

    HEARD = tuple(Heard(i, 0, "tool", f"the sum is {i * i}") for i in range(1, 14))

    def test_a_window_is_the_conversation_of_its_steps(self, load, monkeypatch):
        family = load("qwen_math_prm")
        monkeypatch.setattr(family, "max_context", 10**6)
        one = max(len(row.input_ids) for row in (self.part(family, i, i + 1) for i in range(14)))
        monkeypatch.setattr(family, "max_context", 2 * one)
        result = windowed(family, STEPS, heard=self.HEARD)
        assert result.failure is None and None not in result.scores and result.windows > 2
        for i, begin in enumerate(result.seen_from):
            (scores,) = family.forward([self.part(family, begin, i + 1)])
            assert result.scores[i] == pytest.approx(scores[-1], abs=1e-4)

    def part(self, family, begin, end):
        heard = [replace(one, segment=one.segment - begin) for one in self.HEARD if begin <= one.segment < end]
        steps = steps_with(STEPS[begin:end], heard)
        return family.encode_turns(QUESTION, steps)

    def test_a_template_that_refuses_to_begin_with_a_tool_begins_with_the_step(self):
        class Alternating(Letters):
            def encode_turns(self, messages, steps):
                if not isinstance(steps[0][0], str):
                    raise ValueError("a tool speaks first")
                return self.encode(messages, written_out(steps))

        heard = [Heard(i, 0, "tool", "") for i in range(1, 9)]
        segments = [f"{i}ab" for i in range(9)]
        assert None not in windowed(Alternating(60), segments, heard=heard).scores

    def test_a_hidden_thought_takes_no_message_with_it(self, load, monkeypatch):
        family = load("qwen_math_prm")
        monkeypatch.setattr(family, "max_context", 10**6)
        result = windowed(
            family, ["I ask.", "a thought", "So 12."], heard=[Heard(1, 0, "tool", "12")], hidden=[False, True, False]
        )
        (scores,) = family.forward(
            [family.encode_turns(QUESTION, steps_with(["I ask.", "So 12."], [Heard(1, 0, "tool", "12")]))]
        )
        assert result.scores == pytest.approx([scores[0], None, scores[1]], abs=1e-5)


def test_servers_are_asked_for_windows(tmp_path):
    family = QwenMathPrm.open(str(qwen_math_prm(tmp_path, context=4096)))
    config = PrmConfig(
        model_path="x", timeout=60, overlong="windows", server=PrmServers(request_timeout=20, prompts_per_request=2)
    )
    family.max_context = 2 * max(len(family.encode(QUESTION, [step]).input_ids) for step in STEPS)
    with FaultServer(family.separator_id) as server:
        (result,), _ = served(family, config, [server.url], [PrmRequest(QUESTION, STEPS)])
    assert result.failure is None and result.windows > 2
    for i, begin in enumerate(result.seen_from):
        ids = family.encode(QUESTION, STEPS[begin : i + 1]).input_ids
        assert result.scores[i] == rows(ids, family.separator_id)[-1][1]


def test_each_text_is_tokenised_once_while_windows_are_sought(tmp_path):
    family = QwenMathPrm.open(str(qwen_math_prm(tmp_path, context=4096)))
    family.max_context = 400
    tokenizer, asked = family.dialogue.tokenizer, []

    class Counting:
        def __call__(self, texts, **options):
            asked.extend(texts)
            return tokenizer(texts, **options)

        def __getattr__(self, name):
            return getattr(tokenizer, name)

    family.dialogue.tokenizer = Counting()
    found = encode_response(family, PrmRequest(QUESTION, STEPS * 8), "windows")
    assert isinstance(found, EncodedResponse) and len(found.dialogues) > 8
    for step in STEPS[1:]:
        inside = [text for text in asked if text == step.strip("\n")]
        assert len(inside) <= 8 + 2  # in the whole response, and while windows are sought


def test_load_prm_reads_in_windows(tmp_path):
    path = qwen_math_prm(tmp_path, context=4096)
    prm = load_prm(path, max_model_len=200, overlong="windows", device="cpu")
    scores = prm.score(QUESTION, STEPS)
    assert len(scores) == len(STEPS) and None not in scores
