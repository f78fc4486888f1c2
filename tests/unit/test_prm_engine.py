# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The engine: packing, order, and a failure of its own for each response that cannot be scored."""

from collections import Counter
from itertools import pairwise
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import SEPARATOR, qwen_math_prm, qwen_tokenizer

from verl_prpo.prm.encoding.shown import has_words
from verl_prpo.prm.families.base import Encoded, PrmError
from verl_prpo.prm.families.qwen_math import QwenMathPrm
from verl_prpo.prm.in_process.engine import InProcessEngine
from verl_prpo.prm.in_process.forward_passes import LIKE, forward_passes
from verl_prpo.prm.results import PrmFailure, PrmRequest
from verl_prpo.text.decoding import segment_texts

QUESTION = [{"role": "user", "content": "1 + 1?"}]


class Watched(QwenMathPrm):
    """Notes the shape of each forward pass, and can spoil the scores in ways sound weights never do."""

    def forward(self, batch):
        self.shapes = [*getattr(self, "shapes", []), (len(batch), max(len(row.input_ids) for row in batch))]
        return [self.spoil(scores) for scores in super().forward(batch)]

    @staticmethod
    def spoil(scores):
        return scores


def load(path) -> Watched:
    return Watched.load(str(path), device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return qwen_math_prm(tmp_path_factory.mktemp("prm"))


@pytest.fixture
def family(folder):
    return load(folder)


def requests(*lengths: int) -> list[PrmRequest]:
    return [PrmRequest(QUESTION, ["We add. " * n, "So 2."]) for n in lengths]


def test_results_keep_the_order_of_requests_and_do_not_depend_on_their_company(family):
    asked = requests(9, 1, 20, 3, 1, 12)
    together = InProcessEngine(family, 1000).score(asked)
    for request, result in zip(asked, together, strict=True):
        (alone,) = InProcessEngine(family, 1000).score([request])
        assert result.failure is None and result.tokens == alone.tokens
        assert result.scores == pytest.approx(alone.scores, abs=1e-5)


@pytest.mark.parametrize("limit", [1, 300, 450, 100_000])
def test_rows_times_the_longest_stay_within_the_limit_and_each_response_is_read_once(family, limit):
    asked = requests(9, 1, 20, 3, 1, 12)
    results = InProcessEngine(family, limit).score(asked)
    assert all(rows * longest <= limit or rows == 1 for rows, longest in family.shapes)
    assert sum(rows for rows, _ in family.shapes) == len(asked) - 1  # two of them are equal
    assert all(len(result.scores) == 2 for result in results)
    assert [longest for _, longest in family.shapes] == sorted((longest for _, longest in family.shapes), reverse=True)


def test_an_overlong_response_fails_alone_with_its_numbers(family):
    short, long = requests(2, 200)
    results = InProcessEngine(family, 16384).score([long, short])
    assert (results[0].scores, results[0].failure) == (None, PrmFailure.OVERLONG)
    assert str(results[0].tokens) in results[0].detail and "256" in results[0].detail
    assert "data.max_response_length" in results[0].detail
    assert results[0].tokens > 256
    assert results[1].failure is None


def test_a_response_that_just_fits_is_read(family):
    engine = InProcessEngine(family, 16384)
    (result,) = engine.score(requests(3))
    family.max_context = result.tokens
    assert engine.score(requests(3))[0].failure is None
    family.max_context = result.tokens - 1
    assert engine.score(requests(3))[0].failure is PrmFailure.OVERLONG


def test_damaged_weights_give_non_finite_not_a_score(tmp_path):
    (result,) = InProcessEngine(load(qwen_math_prm(tmp_path, damaged=True)), 16384).score(requests(1))
    assert (result.scores, result.failure) == (None, PrmFailure.NON_FINITE)
    assert "reward.prm.dtype" in result.detail


@pytest.mark.parametrize(
    ("spoil", "failure"),
    [
        (lambda scores: scores[:-1], PrmFailure.WRONG_COUNT),
        (lambda scores: [*scores, 0.5], PrmFailure.WRONG_COUNT),
        (lambda scores: [1.01, *scores[1:]], PrmFailure.OUT_OF_RANGE),
        (lambda scores: [-0.01, *scores[1:]], PrmFailure.OUT_OF_RANGE),
        (lambda scores: [float("inf"), *scores[1:]], PrmFailure.NON_FINITE),
    ],
)
def test_scores_of_the_wrong_number_or_range_are_failures(family, spoil, failure):
    family.spoil = spoil
    results = InProcessEngine(family, 16384).score(requests(1, 2))
    assert [(result.scores, result.failure) for result in results] == [(None, failure)] * 2


def test_segments_without_text_are_not_shown_and_take_their_neighbours_score(family):
    engine = InProcessEngine(family, 16384)
    (plain,) = engine.score([PrmRequest(QUESTION, ["We add.", "So 2."])])
    (holes,) = engine.score([PrmRequest(QUESTION, ["", "We add.", "", "", "So 2.", ""])])
    first, second = plain.scores
    assert holes.scores == [first, first, first, first, second, second]
    assert holes.tokens == plain.tokens


@pytest.mark.parametrize("segments", [[], [""], ["", ""]])
def test_a_response_without_text_is_bad_input(family, segments):
    (result,) = InProcessEngine(family, 16384).score([PrmRequest(QUESTION, segments)])
    assert (result.scores, result.failure) == (None, PrmFailure.BAD_INPUT)


def test_messages_the_family_cannot_read_are_bad_input_and_spare_the_others(family):
    image = [{"role": "user", "content": [{"type": "image"}]}]
    bad, good = InProcessEngine(family, 16384).score([PrmRequest(image, ["a cat"]), *requests(1)])
    assert bad.failure is PrmFailure.BAD_INPUT and "image" in bad.detail
    assert good.failure is None


def failing(family, monkeypatch, **methods):
    """The family with methods in place of its own."""
    for name, method in methods.items():
        monkeypatch.setattr(family, name, method)
    return InProcessEngine(family, 16384)


MARKED = PrmRequest(QUESTION, ["marked"])


@pytest.mark.parametrize("error", [RuntimeError, ZeroDivisionError, AssertionError, OSError, ValueError])
def test_whatever_encode_raises_on_one_response_spares_the_others(family, monkeypatch, error):
    def encode(messages, segments, whole=family.encode):
        if segments == ["marked"]:
            raise error("not this one")
        return whole(messages, segments)

    bad, good = failing(family, monkeypatch, encode=encode).score([MARKED, *requests(1)])
    assert bad.failure is PrmFailure.BAD_INPUT and f"{error.__name__}: not this one" in bad.detail
    assert good.failure is None


def test_a_fault_that_the_family_calls_its_own_fails_the_call(family, monkeypatch):
    def encode(messages, segments):
        raise PrmError("set reward.prm.model_path to another model")

    with pytest.raises(PrmError, match="set reward"):
        failing(family, monkeypatch, encode=encode).score(requests(1))


@pytest.mark.parametrize(
    "encoded",
    [
        None,
        ([1, 2], [1]),
        Encoded([], []),
        Encoded(None, [0]),
        Encoded([1, None], [0]),
        Encoded([1.5], [0]),
        Encoded([-1, 2], [0]),
        Encoded("ids", [0]),
        Encoded([1, 2], None),
    ],
    ids=repr,
)
def test_an_encoding_that_is_none_is_bad_input_and_spares_the_others(family, monkeypatch, encoded):
    def encode(messages, segments, whole=family.encode):
        return encoded if segments == ["marked"] else whole(messages, segments)

    bad, good = failing(family, monkeypatch, encode=encode).score([MARKED, *requests(1)])
    assert (bad.scores, bad.failure) == (None, PrmFailure.BAD_INPUT) and bad.detail
    assert good.failure is None


@pytest.mark.parametrize("kind", [tuple, np.array, torch.tensor], ids=["tuple", "numpy", "torch"])
def test_token_ids_of_any_integer_sequence_are_read_alike(family, monkeypatch, kind):
    asked = requests(1, 3)
    expected = [result.scores for result in InProcessEngine(family, 16384).score(asked)]

    def encode(messages, segments, whole=family.encode):
        encoded = whole(messages, segments)
        return Encoded(kind(encoded.input_ids), encoded.reads)

    results = failing(family, monkeypatch, encode=encode).score(asked)
    assert [result.scores for result in results] == expected


@pytest.mark.parametrize("output", [None, 0.5, ["no", "number"], [None, 0.5], [[0.1, 0.2], [0.3, 0.4]], [1j, 0.5]])
def test_an_output_that_is_no_row_of_numbers_fails_alone(family, monkeypatch, output):
    def forward(batch, whole=family.forward):
        shortest = min(len(row.input_ids) for row in batch)
        pairs = zip(batch, whole(batch), strict=True)
        return [output if len(row.input_ids) == shortest else scores for row, scores in pairs]

    good, bad, other = failing(family, monkeypatch, forward=forward).score(requests(5, 1, 3))
    assert (bad.scores, bad.failure) == (None, PrmFailure.BAD_OUTPUT) and "qwen_math_prm gave" in bad.detail
    assert (good.failure, other.failure) == (None, None)


@pytest.mark.parametrize("output", [None, 0.5, torch.tensor(0.5), [], [[0.5, 0.5]] * 3])
def test_an_output_without_a_row_for_each_dialogue_fails_its_forward_pass_alone(family, monkeypatch, output):
    def forward(batch, whole=family.forward):
        return output if len(batch) == 2 else whole(batch)

    engine = failing(family, monkeypatch, forward=forward)
    engine.max_tokens_per_forward = 200
    long, *pair = engine.score(requests(20, 1, 2))
    assert [(bad.scores, bad.failure) for bad in pair] == [(None, PrmFailure.BAD_OUTPUT)] * 2
    assert all("for 2 dialogues" in bad.detail for bad in pair)
    assert long.failure is None


def test_scores_are_plain_numbers_whatever_the_family_gives(family, monkeypatch):
    monkeypatch.setattr(family, "spoil", np.array)
    (result,) = InProcessEngine(family, 16384).score(requests(1))
    assert [type(score) for score in result.scores] == [float, float]


def test_equal_requests_of_one_call_are_read_once(family):
    first, second, third = InProcessEngine(family, 16384).score(requests(1, 1, 2))
    assert [rows for rows, _ in family.shapes] == [2]
    assert (first.cached, second.cached, third.cached) == (False, True, False)
    assert first.scores == second.scores != third.scores


def test_a_response_scored_before_is_remembered(family):
    engine = InProcessEngine(family, 16384, cache_size=10)
    (before,) = engine.score(requests(1))
    again, new = engine.score(requests(1, 2))
    assert (before.cached, again.cached, new.cached) == (False, True, False)
    assert again.scores == before.scores and again.tokens == before.tokens
    assert [rows for rows, _ in family.shapes] == [1, 1]


def forward_failing(family, calls, raised):
    """A forward pass that notes how many dialogues it was given, and raises the error that `raised` gives for them."""

    def forward(batch, whole=family.forward):
        calls.append(len(batch))
        error = raised(batch)
        if error is not None:
            raise error
        return whole(batch)

    return forward


def longest_of(batch) -> int:
    return max(len(row.input_ids) for row in batch)


def test_a_dialogue_on_which_the_forward_pass_fails_fails_alone(family, monkeypatch):
    asked = requests(1, 2, 3, 4, 5, 6, 7)
    lengths = [result.tokens for result in InProcessEngine(family, 16384).score(asked)]
    calls = []

    def raised(batch):
        return ZeroDivisionError("not this one") if any(len(row.input_ids) == lengths[3] for row in batch) else None

    results = failing(family, monkeypatch, forward=forward_failing(family, calls, raised)).score(asked)
    assert [result.failure for result in results] == [None] * 3 + [PrmFailure.ENGINE_ERROR] + [None] * 3
    assert results[3].detail == "ZeroDivisionError: not this one" and results[3].tokens == lengths[3]
    assert len(calls) <= 9


def test_a_forward_pass_that_always_fails_ends_with_a_failure_for_each(family, monkeypatch):
    calls = []
    forward = forward_failing(family, calls, lambda batch: RuntimeError("the device is lost"))
    alike = [PrmRequest(QUESTION, [f"We add {i}. ", "So 2."]) for i in range(8)]
    results = failing(family, monkeypatch, forward=forward).score(alike)
    assert {result.failure for result in results} == {PrmFailure.ENGINE_ERROR}
    assert len(calls) == 15  # each half once


def test_an_output_that_fails_while_it_is_read_fails_as_the_pass(family, monkeypatch):
    def forward(batch):
        yield [0.5, 0.5]
        raise ZeroDivisionError("too late")

    results = failing(family, monkeypatch, forward=forward).score(requests(1, 2))
    assert [result.failure for result in results] == [PrmFailure.ENGINE_ERROR] * 2
    assert "too late" in results[0].detail


def test_a_fault_that_the_family_calls_its_own_in_a_forward_pass_fails_the_call(family, monkeypatch):
    forward = forward_failing(family, [], lambda batch: PrmError("set reward.prm.model_path to another model"))
    with pytest.raises(PrmError, match="set reward"):
        failing(family, monkeypatch, forward=forward).score(requests(1))


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    RuntimeError("NPU out of memory."),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=repr)
def test_out_of_memory_makes_passes_smaller_and_says_so(family, monkeypatch, caplog, error):
    asked = requests(9, 1, 20, 3, 12, 5)
    expected = InProcessEngine(family, 16384).score(asked)
    calls = []
    forward = forward_failing(family, calls, lambda batch: error if len(batch) * longest_of(batch) > 250 else None)
    engine = failing(family, monkeypatch, forward=forward)
    for result, wanted in zip(engine.score(asked), expected, strict=True):
        assert result.failure is None and result.scores == pytest.approx(wanted.scores, abs=1e-5)
    assert 125 < engine.max_tokens_per_forward and len(calls) <= 12
    assert "reward.prm.max_tokens_per_forward" in caplog.text and type(error).__name__ in caplog.text
    calls.clear()
    caplog.clear()
    engine.score(asked)
    assert caplog.text == "" and sum(calls) == len(asked)  # it has learnt what fits


def test_a_dialogue_too_long_for_the_memory_fails_alone_and_names_the_settings(family, monkeypatch):
    forward = forward_failing(family, [], lambda batch: OUT_OF_MEMORY[0] if longest_of(batch) > 150 else None)
    engine = failing(family, monkeypatch, forward=forward)
    fine, long, other = engine.score(requests(1, 20, 3))
    assert (fine.failure, long.failure, other.failure) == (None, PrmFailure.ENGINE_ERROR, None)
    for setting in ("reward.prm.max_tokens_per_forward", "reward.prm.dtype", "data.max_response_length"):
        assert setting in long.detail


class TestForwardPasses:
    @settings(max_examples=200, deadline=None)
    @given(lengths=st.lists(st.integers(1, 700), max_size=40), limit=st.integers(1, 5000))
    def test_each_dialogue_is_read_once_within_the_limit_and_beside_others_of_like_length(self, lengths, limit):
        passes = forward_passes(lengths, limit)
        assert sorted(i for members in passes for i in members) == list(range(len(lengths)))
        found = [[lengths[i] for i in members] for members in passes]
        assert all(len(p) == 1 or (len(p) * max(p) <= limit and min(p) >= LIKE * max(p)) for p in found)
        assert [length for p in found for length in p] == sorted(lengths, reverse=True)

    def test_one_long_dialogue_does_not_pad_many_short_ones(self):
        assert forward_passes([100] * 8 + [2000], 20_000) == [[8], list(range(8))]

    def test_dialogues_of_like_length_share_a_pass_until_it_is_full(self):
        assert forward_passes([100, 110, 90], 20_000) == [[1, 0, 2]]
        assert forward_passes([100, 110, 90], 220) == [[1, 0], [2]]
        assert forward_passes([100, 79], 20_000) == [[0], [1]]


# Lone bytes, halves of characters, special tokens' texts, a separator, and scripts of all directions.
ODDITIES = [
    "<|im_end|>", "<|im_start|>assistant\n", "<|endoftext|>", SEPARATOR, "[CLS]", "\x00", "\u202e", "\u200d", "\ufeff",
    "😀", "👩🏽", "首先我们", "مرحبا", "שלום", "e\u0301", "\n\n", " ", "\r", "\ufffd", "\U0010ffff", "Yes",
]  # fmt: skip


def random_ids(tokenizer, random: Random) -> list[int]:
    """Token ids of a response such as a policy that has lost its mind would give."""
    kind = random.randrange(3)
    if kind == 0:
        return [random.randrange(len(tokenizer)) for _ in range(random.randrange(40))]
    if kind == 1:
        text = random.randbytes(random.randrange(30)).decode("utf-8", random.choice(["ignore", "replace"]))
    else:
        text = "".join(random.choices(ODDITIES, k=random.randrange(8)))
    return tokenizer(text, add_special_tokens=False, split_special_tokens=random.random() < 0.5).input_ids


def random_bounds(length: int, random: Random) -> list[tuple[int, int]]:
    """Spans that tile the response; often at every token, so that characters are broken at every edge."""
    inner = range(1, length) if random.random() < 0.3 else random.choices(range(length + 1), k=random.randrange(6))
    return list(pairwise([0, *sorted(inner), length]))


@pytest.mark.parametrize("overlong", ["neutral", "raise"])
def test_ten_thousand_random_responses_get_a_score_for_each_segment_or_one_failure(tmp_path, overlong):
    random = Random(overlong)
    tokenizer = qwen_tokenizer()
    engine = InProcessEngine(load(qwen_math_prm(tmp_path, context=160)), 16384, overlong, cache_size=2000)
    count = 3334
    asked, wholes = [], []
    for _ in range(count):
        ids = random_ids(tokenizer, random)
        bounds = random_bounds(len(ids), random)
        asked.append(PrmRequest(QUESTION, segment_texts(tokenizer, ids, bounds)))
        wholes.append((tokenizer.decode(ids, skip_special_tokens=True), len(bounds)))
    results = [result for at in range(0, count, 256) for result in engine.score(asked[at : at + 256])]
    kinds = Counter()
    for request, (whole, segments), result in zip(asked, wholes, results, strict=True):
        assert "".join(request.segments) == whole and len(request.segments) == segments
        kinds[result.failure, result.overlong] += 1
        if result.failure is None:
            assert len(result.scores) == segments
            assert all(score is None or 0 <= score <= 1 for score in result.scores)
            assert (None in result.scores) <= (overlong == "neutral" and result.overlong)
        else:
            assert result.scores is None and result.detail
            assert result.failure is (PrmFailure.BAD_INPUT if not has_words(whole) else PrmFailure.OVERLONG)
    assert kinds[None, False] > count / 2 and kinds[PrmFailure.BAD_INPUT, False] > 0
    assert kinds[PrmFailure.OVERLONG if overlong == "raise" else None, True] > 0
