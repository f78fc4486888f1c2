# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The engine: packing, order, and a failure of its own for each response that cannot be scored."""

import numpy as np
import pytest
import torch
from tiny_models import qwen_math_prm

from verl_prpo.prm.engine import InProcessEngine
from verl_prpo.prm.families.qwen_math import QwenMathPrm
from verl_prpo.prm.family import Encoded, PrmError
from verl_prpo.prm.results import PrmFailure, PrmRequest

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
    assert [longest for _, longest in family.shapes] == sorted(longest for _, longest in family.shapes)


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
    long, *pair = engine.score(requests(20, 1, 1))
    assert [(bad.scores, bad.failure) for bad in pair] == [(None, PrmFailure.BAD_OUTPUT)] * 2
    assert all("for 2 dialogues" in bad.detail for bad in pair)
    assert long.failure is None


def test_scores_are_plain_numbers_whatever_the_family_gives(family, monkeypatch):
    monkeypatch.setattr(family, "spoil", np.array)
    (result,) = InProcessEngine(family, 16384).score(requests(1))
    assert [type(score) for score in result.scores] == [float, float]


def test_running_out_of_memory_names_the_setting(family, monkeypatch):
    def out_of_memory(batch):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(family, "forward", out_of_memory)
    with pytest.raises(PrmError, match=r"reward\.prm\.max_tokens_per_forward"):
        InProcessEngine(family, 16384).score(requests(1))
