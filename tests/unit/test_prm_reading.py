# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""From requests to dialogues and back: what is read of a response that is too long, and what is not read twice."""

import zlib
from itertools import accumulate
from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import qwen_math_prm

from verl_prpo.prm.cache import ScoreCache
from verl_prpo.prm.encoding.batch import encode_batch
from verl_prpo.prm.encoding.response import EncodedResponse, encode_response
from verl_prpo.prm.families.base import Encoded, PrmError, PrmFamily
from verl_prpo.prm.families.qwen_math import QwenMathPrm
from verl_prpo.prm.in_process.engine import InProcessEngine
from verl_prpo.prm.results import PrmFailure, PrmRequest, PrmResult

QUESTION = [{"role": "user", "content": "1 + 1?"}]  # 6 letters
SEGMENT_END = 0
WORDS = st.text("abc首𝒜", min_size=0, max_size=7)


class Letters(PrmFamily):
    """One token per character of the question and the segments and one after each segment, whose score depends on all
    tokens up to it."""

    name: ClassVar[str] = "letters"

    def __init__(self, max_context: int):
        self.max_context = max_context
        self.encoded: list[int] = []
        self.read: list[Encoded] = []

    @classmethod
    def load(cls, model_path, *, device, dtype, trust_remote_code=False):
        return cls(int(model_path))

    def encode(self, messages, segments):
        ids = [ord(char) for message in messages for char in message["content"]]
        reads = []
        for segment in segments:
            ids += map(ord, segment)
            reads.append(len(ids))
            ids.append(SEGMENT_END)
        self.encoded.append(len(ids))
        return Encoded(ids, reads)

    def forward(self, batch):
        self.read += batch
        return [[score_of(row.input_ids[: read + 1]) for read in row.reads] for row in batch]


def score_of(ids: list[int]) -> float:
    return zlib.crc32(repr(ids).encode()) / 2**32


def scored(segments, context: int = 1000, overlong: str = "neutral", question=QUESTION) -> PrmResult:
    (result,) = InProcessEngine(Letters(context), 10**6, overlong).score([PrmRequest(question, segments)])
    return result


class TestTooLong:
    def test_neutral_leaves_segments_past_the_context_without_a_score(self):
        # 6 letters of the question, 3 + 1 of the first segment and 2 + 1 of the second make 13.
        whole = scored(["abc", "de", "fg"])
        cut = scored(["abc", "de", "fg"], context=15)
        assert (whole.tokens, whole.overlong) == (16, False)
        assert (cut.tokens, cut.overlong) == (13, True)
        assert cut.failure is None and cut.scores == [*whole.scores[:2], None]

    def test_raise_is_a_failure_with_numbers_and_settings(self):
        cut = scored(["abc", "de", "fg"], context=15, overlong="raise")
        assert (cut.scores, cut.failure, cut.tokens, cut.overlong) == (None, PrmFailure.OVERLONG, 16, True)
        for word in ("16 tokens", "at most 15", "data.max_response_length", "++reward.prm.overlong=neutral"):
            assert word in cut.detail

    @pytest.mark.parametrize("overlong", ["neutral", "raise"])
    def test_a_dialogue_of_exactly_the_context_is_not_too_long(self, overlong):
        result = scored(["abc", "de", "fg"], context=16, overlong=overlong)
        assert result.overlong is False and result.scores == scored(["abc", "de", "fg"]).scores

    def test_a_first_segment_that_does_not_fit_is_unread(self):
        unread = scored(["a" * 90, "b"], context=50)
        assert unread == PrmResult([None, None], tokens=99, overlong=True)

    @pytest.mark.parametrize("context", [1, 6, 7])
    def test_a_prompt_that_leaves_no_room_for_a_letter(self, context):
        assert scored(["abc", "de"], context).scores == [None, None]
        assert scored(["abc", "de"], context, "raise").failure is PrmFailure.OVERLONG

    def test_segments_without_text_follow_their_neighbours(self):
        first, second = scored(["abc", "de"]).scores
        segments = ["", "abc", "", "de", "", "fg", ""]
        neutral = scored(segments, context=15)
        assert neutral.scores == [first, first, first, second, second, None, None]

    @settings(max_examples=300, deadline=None)
    @given(segments=st.lists(WORDS, max_size=8), context=st.integers(1, 60))
    def test_what_fits_is_scored_as_if_it_were_all_there_is(self, segments, context):
        result = scored(segments, context)
        if not any(segments):
            assert (result.failure, result.scores) == (PrmFailure.BAD_INPUT, None)
            return
        lengths = [6 + end for end in accumulate(len(segment) + bool(segment) for segment in segments)]
        fits = sum(length <= context for length in lengths)
        assert result.overlong == (lengths[-1] > context)
        alone = scored(segments[:fits]).scores or [None] * fits  # nothing but empty segments may fit
        if not any(segments[:fits]) and fits:
            alone = result.scores[fits : fits + 1] * fits  # and these take the score of the text after them
        assert result.scores == [*alone, *[None] * (len(segments) - fits)]

    @pytest.mark.parametrize(
        "segments",
        [
            ["a" * (i % 97 + 155) for i in range(200)],  # 10 times the context
            ["a" * 40_960],
            ["a"] * 20_000,
            ["a", *["a" * 8_000] * 5],
            ["a" * 40_000, *["b"] * 200],
            [*["b"] * 200, "a" * 40_000],
        ],
        ids=["even", "one", "tiny", "large", "large first", "large last"],
    )
    def test_finding_what_fits_takes_few_tokenisations(self, segments):
        family = Letters(4096)
        assert isinstance(
            encode_response(family, PrmRequest(QUESTION, segments), "neutral"), EncodedResponse | PrmResult
        )
        assert len(family.encoded) <= 30
        assert sum(family.encoded) <= 8 * family.encoded[0]

    def test_a_tokeniser_that_cannot_take_a_prefix_leaves_it_out(self, monkeypatch):
        family = Letters(14)

        def encode(messages, segments, whole=family.encode):
            if segments == ["abc", "de"]:
                raise ValueError("not this prefix")
            return whole(messages, segments)

        monkeypatch.setattr(family, "encode", encode)
        (result,) = InProcessEngine(family, 10**6, "neutral").score([PrmRequest(QUESTION, ["abc", "de", "fg"])])
        assert result.scores == [*scored(["abc"]).scores, None, None]


def test_a_real_model_gives_the_scores_of_the_same_prefix_alone(tmp_path):
    family = QwenMathPrm.load(
        str(qwen_math_prm(tmp_path, context=128)), device=torch.device("cpu"), dtype=torch.float32
    )
    segments = [f"First we add {i} and {i}. 首先" for i in range(60)]  # far more than 10 times the context
    engine = InProcessEngine(family, 4096, "neutral")
    (cut,) = engine.score([PrmRequest(QUESTION, segments)])
    read = next(n for n in range(60, 0, -1) if len(family.encode(QUESTION, segments[:n]).input_ids) <= 128)
    (alone,) = engine.score([PrmRequest(QUESTION, segments[:read])])
    assert 0 < read < 10 and alone.overlong is False
    assert cut.scores[:read] == pytest.approx(alone.scores, abs=1e-5)
    assert cut.scores[read:] == [None] * (60 - read)
    assert cut.tokens <= 128


class TestReadOnce:
    def test_equal_dialogues_of_a_batch_are_to_do_once(self):
        requests = [PrmRequest(QUESTION, segments) for segments in (["ab"], ["c"], ["ab"], ["ab", ""], ["a", "b"])]
        batch = encode_batch(Letters(100), ScoreCache(10), requests, "raise")
        assert len(batch.to_ask) == 3  # an empty segment is not shown; a cut at another place is another dialogue
        results = batch.results([[0.1], [0.2], [0.3, 0.4]])
        assert [result.scores for result in results] == [[0.1], [0.2], [0.1], [0.1, 0.1], [0.3, 0.4]]
        assert [result.cached for result in results] == [False, False, True, True, False]

    def test_what_was_scored_is_not_to_do_again(self):
        family, cache = Letters(100), ScoreCache(10)
        requests = [PrmRequest(QUESTION, ["ab"]), PrmRequest(QUESTION, ["c"])]
        encode_batch(family, cache, requests[:1], "raise").results([[0.1]])
        batch = encode_batch(family, cache, requests, "raise")
        assert [row.input_ids[-2] for row in batch.to_ask] == [ord("c")]
        old, new = batch.results([[0.2]])
        assert (old.scores, old.cached, new.scores, new.cached) == ([0.1], True, [0.2], False)

    def test_a_response_too_long_is_known_by_what_is_read_of_it(self):
        family = Letters(12)
        engine = InProcessEngine(family, 10**6, "neutral", cache_size=10)
        long, longer = (PrmRequest(QUESTION, ["a", "b" * n]) for n in (50, 70))
        (first,), (second,) = engine.score([long]), engine.score([longer])
        assert (second.cached, second.overlong, second.scores) == (True, True, first.scores)
        assert len(family.read) == 1

    @pytest.mark.parametrize(
        "output",
        [[], [0.1, 0.2], [float("nan")], [7.0], None, PrmResult(None, PrmFailure.SERVER_ERROR, "503")],
        ids=repr,
    )
    def test_failures_are_not_remembered(self, output):
        family, cache = Letters(100), ScoreCache(10)
        request = PrmRequest(QUESTION, ["ab"])
        (failed,) = encode_batch(family, cache, [request], "raise").results([output])
        assert failed.failure is not None and failed.cached is False and failed.tokens == 9
        batch = encode_batch(family, cache, [request], "raise")
        assert len(batch.to_ask) == 1
        assert batch.results([[0.1]])[0].scores == [0.1]

    def test_equal_requests_share_a_failure(self):
        batch = encode_batch(Letters(100), ScoreCache(10), [PrmRequest(QUESTION, ["ab"])] * 2, "raise")
        results = batch.results([[float("nan")]])
        assert [(result.failure, result.cached) for result in results] == [(PrmFailure.NON_FINITE, False)] * 2

    def test_requests_that_fail_before_they_are_read_are_not_to_do(self):
        requests = [PrmRequest(QUESTION, []), PrmRequest(QUESTION, ["a" * 99]), PrmRequest(QUESTION, ["ab"])]
        batch = encode_batch(Letters(50), ScoreCache(10), requests, "raise")
        assert len(batch.to_ask) == 1
        failures = [result.failure for result in batch.results([[0.1]])]
        assert failures == [PrmFailure.BAD_INPUT, PrmFailure.OVERLONG, None]

    def test_scores_that_a_caller_changes_do_not_change_what_is_remembered(self):
        engine = InProcessEngine(Letters(100), 10**6, cache_size=10)
        (first,) = engine.score([PrmRequest(QUESTION, ["ab"])])
        expected = list(first.scores)
        first.scores[0] = 7.0
        assert engine.score([PrmRequest(QUESTION, ["ab"])])[0].scores == expected


class TestOddInput:
    @pytest.mark.parametrize("token", [2**63, -1, 1.5, None, "1"], ids=repr)
    def test_what_is_no_token_id_is_bad_input_and_spares_the_others(self, monkeypatch, token):
        family = Letters(100)

        def encode(messages, segments, whole=family.encode):
            return Encoded([1, token], [1]) if segments == ["marked"] else whole(messages, segments)

        monkeypatch.setattr(family, "encode", encode)
        requests = [PrmRequest(QUESTION, ["marked"]), PrmRequest(QUESTION, ["ab"])]
        bad, good = InProcessEngine(family, 10**6).score(requests)
        assert (bad.scores, bad.failure, good.failure) == (None, PrmFailure.BAD_INPUT, None)

    def test_an_error_that_cannot_write_itself_is_still_a_failure(self, monkeypatch):
        class Silent(Exception):
            def __str__(self):
                raise RuntimeError

        def encode(messages, segments):
            raise Silent

        family = Letters(100)
        monkeypatch.setattr(family, "encode", encode)
        (result,) = InProcessEngine(family, 10**6).score([PrmRequest(QUESTION, ["ab"])])
        assert (result.failure, result.detail) == (PrmFailure.BAD_INPUT, "letters: Silent")

    def test_a_lone_surrogate_is_bad_input_not_a_crash(self, tmp_path):
        family = QwenMathPrm.load(str(qwen_math_prm(tmp_path)), device=torch.device("cpu"), dtype=torch.float32)
        requests = [PrmRequest(QUESTION, ["a\ud800"]), PrmRequest(QUESTION, ["ab"])]
        bad, good = InProcessEngine(family, 4096).score(requests)
        assert (bad.failure, good.failure) == (PrmFailure.BAD_INPUT, None)

    def test_a_fault_that_the_family_calls_its_own_is_raised(self, monkeypatch):
        def encode(messages, segments):
            raise PrmError("choose another model")

        family = Letters(100)
        monkeypatch.setattr(family, "encode", encode)
        with pytest.raises(PrmError, match="another model"):
            encode_batch(family, ScoreCache(0), [PrmRequest(QUESTION, ["ab"])], "neutral")
