# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The configured segmenter: the same cuts for a response alone, as it streams, and in any batch."""

import random

import pytest
import torch
from tiny_models import qwen_tokenizer, sentencepiece_tokenizer

from verl_prpo.method.segmentation import segment_bounds
from verl_prpo.settings.prpo import PrpoConfig
from verl_prpo.step.cutting import cut, hidden_segments, thought_mask
from verl_prpo.text.decoding import token_texts

TEXTS = ["First we add.\n\nThen 😀 divide.\n\n\n\nSo 42.", "Yes", "首先\n\n我们 é 加。\n\n", "no\n\nno\n\nno\n\nno"]
SEGMENTERS = [
    PrpoConfig(segmenter="entropy", max_anchors=3, min_gap=3),
    PrpoConfig(segmenter="surprisal", max_anchors=3, min_gap=3, anchor_rule="greedy"),
    PrpoConfig(segmenter="text"),
    PrpoConfig(segmenter="text", delimiters=["。", "."]),
    PrpoConfig(segmenter="tokens", delimiter_token_ids=[7, 11]),
    PrpoConfig(segmenter="uniform", num_segments=4),
    PrpoConfig(segmenter="random", num_segments=4),
    PrpoConfig(segmenter="single"),
]


@pytest.fixture(scope="module")
def tokenizer():
    return qwen_tokenizer(separator=None)


def batch(tokenizer, texts=TEXTS, padding: int = 3):
    ids = [[*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id] for text in texts]
    width = max(map(len, ids)) + padding
    mask = (torch.arange(width) < torch.tensor([len(row) for row in ids])[:, None]).long()
    mask[0, 4:7] = 0  # a tool's answer
    signal = torch.rand(mask.shape, generator=torch.Generator().manual_seed(0))
    return [f"u{i}_0_0" for i in range(len(ids))], ids, mask, signal


@pytest.mark.parametrize("settings", SEGMENTERS, ids=lambda settings: settings.segmenter)
def test_a_response_is_cut_alone_as_in_a_batch(tokenizer, settings):
    keys, ids, mask, signal = batch(tokenizer)
    starts = cut(settings, keys=keys, response_ids=ids, response_mask=mask, signal=signal, tokenizer=tokenizer)
    assert starts.shape == mask.shape and not (starts & (mask == 0)).any()
    for row, own in enumerate(ids):
        length = len(own)
        alone = cut(
            settings,
            keys=[keys[row]],
            response_ids=[own],
            response_mask=mask[row : row + 1, :length],
            signal=signal[row : row + 1, :length],
            tokenizer=tokenizer,
        )
        assert torch.equal(alone[0], starts[row, :length])
        assert not starts[row, length:].any()


def test_the_random_segmenter_draws_by_the_rows_key(tokenizer):
    keys, ids, mask, _ = batch(tokenizer, ["the same words " * 8] * 3)
    settings = PrpoConfig(segmenter="random", num_segments=5)
    mask[0] = mask[1]
    first = cut(settings, keys=keys, response_ids=ids, response_mask=mask)
    assert torch.equal(first, cut(settings, keys=keys, response_ids=ids, response_mask=mask))
    assert not torch.equal(first[0], first[1]) and first.sum(1).tolist() == [5] * 3


def test_a_segmenter_without_its_signal_says_so():
    with pytest.raises(ValueError, match=r"segmenter=entropy needs entropy or log-probs.*calculate_log_probs=True"):
        cut(PrpoConfig(), keys=["a"], response_ids=[[1]], response_mask=torch.ones(1, 1))


def test_a_signal_that_is_no_number_names_the_response_and_the_segmenter():
    settings = PrpoConfig(segmenter="surprisal")
    signal, mask = torch.tensor([[0.1, 0.2], [0.3, float("inf")]]), torch.ones(2, 2)
    with pytest.raises(ValueError, match=r"response b, token 1: the policy's surprisal is inf"):
        cut(
            settings,
            keys=["a", "b"],
            response_ids=[[1, 2]] * 2,
            response_mask=mask,
            signal=signal,
        )
    mask[1, 1] = 0
    assert cut(settings, keys=["a", "b"], response_ids=[[1, 2]] * 2, response_mask=mask, signal=signal)[:, 0].all()


class TestTokenTexts:
    def test_they_are_the_response(self, tokenizer):
        for text in [*TEXTS, "", " leading", "tail \n\n"]:
            ids = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
            texts = token_texts(tokenizer, ids)
            assert len(texts) == len(ids) and "".join(texts) == text and texts[-1] == ""

    def test_a_character_is_in_the_last_of_its_tokens(self, tokenizer):
        ids = tokenizer.encode("😀.", add_special_tokens=False)
        texts = token_texts(tokenizer, ids)
        assert len(ids) > 2 and texts[:-2] == [""] * (len(ids) - 2) and texts[-2:] == ["😀", "."]

    def test_bytes_that_are_no_text_lose_and_move_none_of_the_others(self, tokenizer):
        source = random.Random(0)
        broken = tokenizer.encode("😀é", add_special_tokens=False)
        words = tokenizer.encode("ab. \n\n", add_special_tokens=False)
        for _ in range(200):
            ids = [source.choice(broken + words) for _ in range(source.randint(0, 12))]
            texts = token_texts(tokenizer, ids)
            assert len(texts) == len(ids)
            assert "".join(texts) == tokenizer.decode(ids, skip_special_tokens=True)

    @pytest.mark.parametrize("count", [1, 40])
    def test_a_decoder_that_trims_the_start_of_its_input_is_followed(self, count):
        tokenizer = sentencepiece_tokenizer()
        text = "So the answer is 42. 首先 é 😀 and\n\nso on. " * count
        ids = tokenizer.encode(text, add_special_tokens=False)
        texts = token_texts(tokenizer, ids)
        whole = tokenizer.decode(ids, skip_special_tokens=True)
        assert len(texts) == len(ids) and "".join(texts) == whole
        ends = [len(tokenizer.decode(ids[:cut])) for cut in range(1, len(ids) + 1)]
        reach = 0
        for length, (piece, end) in enumerate(zip(texts, ends, strict=True), start=1):
            reach += len(piece)
            if whole.startswith(tokenizer.decode(ids[:length])):
                assert reach == end


THOUGHTFUL = [
    ("so we try 6.\n\nor 7?\n</think>\n\nIt is 6.\n\nSo 6.", True),
    ("It is 6.\n\nSo 6 it is, and no more.", False),
    ("no end of this\n\nand on", True),
    ("<think>\na\n\nb</think>One.\n\nTwo.\n<think>c</think>Three.", False),
]
"""Responses, and whether the prompt opens a thought."""


class TestHiddenThoughts:
    def rows(self, tokenizer):
        ids = [[*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id] for text, _ in THOUGHTFUL]
        prompts = [tokenizer.encode("What?\n<think>\n" if inside else "What?") for _, inside in THOUGHTFUL]
        width = max(map(len, ids)) + 2
        mask = (torch.arange(width) < torch.tensor([len(row) for row in ids])[:, None]).long()
        messages = [[{"role": "user", "content": "What?"}]] * len(ids)
        return ids, mask, thought_mask(tokenizer, ids, mask, prompts, messages)

    @pytest.mark.parametrize("settings", SEGMENTERS, ids=lambda settings: settings.segmenter)
    def test_a_thought_is_one_segment_and_the_rest_is_cut_as_alone(self, tokenizer, settings):
        ids, mask, thoughts = self.rows(tokenizer)
        keys, signal = list("abcd"), torch.rand(mask.shape, generator=torch.Generator().manual_seed(1))
        given = {"keys": keys, "response_ids": ids, "signal": signal, "tokenizer": tokenizer}
        starts = cut(settings, **given, response_mask=mask, thoughts=thoughts)
        plain = cut(settings, **given, response_mask=mask)
        shown = cut(settings, **given, response_mask=mask * ~thoughts)
        assert torch.equal(starts[1], plain[1]) and hidden_segments(starts[1], thoughts[1]) == [False] * plain[1].sum()
        for row in (0, 2, 3):
            hidden = hidden_segments(starts[row], thoughts[row])
            begins = int(thoughts[row].int().diff().clamp(min=0).sum()) + int(thoughts[row, 0])
            assert sum(hidden) == begins
            if settings.segmenter != "text":  # which leaves the words of a thought out, unlike those of a tool
                assert (starts[row] & ~thoughts[row] >= shown[row]).all()
            segment = starts[row].long().cumsum(0)[: len(ids[row])]
            for number, is_hidden in enumerate(hidden, 1):
                assert set(thoughts[row, : len(ids[row])][segment == number].tolist()) == {is_hidden}
        assert hidden_segments(starts[2], thoughts[2]) == [True]

    def test_the_segments_of_the_rest_have_their_own_text(self, tokenizer):
        ids, mask, thoughts = self.rows(tokenizer)
        starts = cut(
            PrpoConfig(segmenter="text"),
            keys=list("abcd"), response_ids=ids, response_mask=mask, tokenizer=tokenizer, thoughts=thoughts,
        )  # fmt: skip
        texts = [
            ["".join(token_texts(tokenizer, row[begin:end])) for begin, end in segment_bounds(starts[i], len(row))]
            for i, row in enumerate(ids)
        ]
        assert texts[0][0] == "so we try 6.\n\nor 7?\n</think>" and "".join(texts[0][1:]) == "\n\nIt is 6.\n\nSo 6."
        assert [text.strip() for text in texts[0][1:]] == ["It is 6.", "So 6."]
        assert [text.strip() for text in texts[3]] == [
            "<think>\na\n\nb</think>", "One.", "Two.", "<think>c</think>", "Three.",
        ]  # fmt: skip

    def test_automatic_anchors_count_the_tokens_that_are_shown(self, tokenizer):
        settings = PrpoConfig(max_anchors="auto", tokens_per_anchor=10, anchor_bounds=[0, 100], min_gap=1)
        mask, thoughts = torch.ones(1, 100).long(), (torch.arange(100) < 70)[None]
        starts = cut(
            settings, keys=["a"], response_ids=[[1] * 100], response_mask=mask, signal=torch.rand(1, 100),
            thoughts=thoughts,
        )  # fmt: skip
        assert starts.sum() <= 1 + 1 + 3 and starts[0, 0] and starts[0, 70] and not starts[0, 1:70].any()
