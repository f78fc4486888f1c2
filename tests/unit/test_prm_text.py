# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Segment texts: they tile the decoded response, and no character is broken."""

import functools
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import qwen_tokenizer, sentencepiece_tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from verl_prpo.text.decoding import segment_texts

qwen = functools.cache(qwen_tokenizer)
llama = functools.cache(sentencepiece_tokenizer)
TEXTS = st.text(st.sampled_from("ab 1+\n.,'é首先😀👩🏽\u200d\U0001f680"), max_size=24)


def cut(length: int, points: list[int]) -> list[tuple[int, int]]:
    """Half-open spans that tile `length` tokens; equal points make empty spans."""
    ends = [0, *sorted(point % (length + 1) for point in points), length]
    return list(itertools.pairwise(ends))


def token_bytes(tokenizer, token_id: int) -> bytes:
    """The bytes a token stands for, from the tokenizer's own definition; none for a special token."""
    if token_id in tokenizer.all_special_ids:
        return b""
    token = tokenizer.convert_ids_to_tokens(token_id)
    if tokenizer is qwen():
        to_byte = {char: byte for byte, char in bytes_to_unicode().items()}
        return bytes(to_byte[char] for char in token)
    if token.startswith("<0x"):
        return bytes([int(token[3:5], 16)])
    return token.replace("▁", " ").encode()


def texts_by_bytes(tokenizer, ids, bounds) -> list[str]:
    """Each character of the response, put where its last byte lies."""
    whole = tokenizer.decode(ids, skip_special_tokens=True)
    produced = [token_bytes(tokenizer, token_id) for token_id in ids]
    dropped = len(b"".join(produced)) - len(whole.encode())  # the leading space that Llama's decoder removes
    ends, at = [], -dropped
    for piece in produced:
        at += len(piece)
        ends.append(at)
    texts = [""] * len(bounds)
    at = 0
    for char in whole:
        at += len(char.encode())
        token = next(i for i, end in enumerate(ends) if end >= at)
        texts[next(i for i, (begin, end) in enumerate(bounds) if begin <= token < end)] += char
    return texts


@pytest.mark.parametrize("make", [qwen, llama], ids=["byte_level", "sentencepiece"])
@settings(max_examples=80, deadline=None)
@given(text=TEXTS, points=st.lists(st.integers(0, 200), max_size=6), specials=st.lists(st.integers(0, 200), max_size=3))
def test_each_character_lies_in_the_segment_of_its_last_byte(make, text, points, specials):
    tokenizer = make()
    ids = tokenizer(text, add_special_tokens=False).input_ids
    for place in specials:
        ids.insert(place % (len(ids) + 1), tokenizer.eos_token_id)
    bounds = cut(len(ids), points)
    assert segment_texts(tokenizer, ids, bounds) == texts_by_bytes(tokenizer, ids, bounds)


@pytest.mark.parametrize("make", [qwen, llama], ids=["byte_level", "sentencepiece"])
@settings(max_examples=80, deadline=None)
@given(data=st.data(), points=st.lists(st.integers(0, 200), max_size=6))
def test_texts_concatenate_to_the_decoded_response_for_any_tokens(make, data, points):
    tokenizer = make()
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=24))
    texts = segment_texts(tokenizer, ids, cut(len(ids), points))
    assert "".join(texts) == tokenizer.decode(ids, skip_special_tokens=True)


def test_an_emoji_cut_in_the_middle_goes_whole_to_the_later_segment():
    ids = qwen()("a😀b").input_ids
    assert len(ids) == 6  # one token, four bytes, one token
    for middle in (2, 3, 4):
        assert segment_texts(qwen(), ids, [(0, middle), (middle, 6)]) == ["a", "😀b"]
    assert segment_texts(qwen(), ids, [(0, 5), (5, 6)]) == ["a😀", "b"]


def test_a_broken_character_does_not_drag_its_neighbour_along_in_a_byte_fallback_decoder():
    ids = llama()("首先", add_special_tokens=False).input_ids
    assert len(ids) == 7  # the word's space, then three bytes each
    assert llama().decode(ids[:-1]) == "�" * 5  # the decoder spoils the whole run of bytes
    assert segment_texts(llama(), ids, [(0, 6), (6, 7)]) == ["首", "先"]


def test_spans_of_special_tokens_alone_have_no_text():
    ids = [*qwen()("right").input_ids, qwen().eos_token_id]
    assert segment_texts(qwen(), ids, [(0, len(ids) - 1), (len(ids) - 1, len(ids))]) == ["right", ""]


def test_no_segments_no_texts():
    assert segment_texts(qwen(), [], []) == []


@pytest.mark.parametrize("bounds", [[(0, 1)], [(0, 2), (1, 3)], [(1, 3)], [(0, 1), (2, 3)]])
def test_spans_that_do_not_tile_the_response_are_refused(bounds):
    ids = qwen()("a b").input_ids
    assert len(ids) == 3
    with pytest.raises(ValueError, match="segment bounds"):
        segment_texts(qwen(), ids, bounds)
