# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Prompts that open a thought, as the chat templates of thinking models do."""

import pytest
from tiny_models import qwen_tokenizer
from transformers import AddedToken

from verl_prpo.text.thinking import after_thoughts, closing_tag, decode_with_tags, opens_thought, with_opening


@pytest.mark.parametrize("prompt", ["assistant\n<think>", "...<|im_start|>assistant\n<think>\n", "<think>\n\n "])
def test_a_prompt_that_ends_with_the_opening_tag_opens_a_thought(prompt):
    assert opens_thought(prompt)
    assert with_opening(prompt, "so 6\n</think>\n7").startswith("<think>\n")


@pytest.mark.parametrize(
    "prompt", ["", "assistant\n", "assistant\n<think>\n\n</think>\n\n", "write <think> first", "<think>\nSo"]
)
def test_others_do_not(prompt):
    assert not opens_thought(prompt)
    assert with_opening(prompt, "7") == "7"


@pytest.mark.parametrize(
    "opening, closing",
    [
        ("<think>", "</think>"),
        ("<thinking>", "</thinking>"),
        ("<THINK>", "</THINK>"),
        ("[THINK]", "[/THINK]"),
        ("<|begin_of_thought|>", "<|end_of_thought|>"),
        ("◁think▷", "◁/think▷"),
        ("<seed:think>", "</seed:think>"),
    ],
)
def test_every_pair_of_tags_opens_closes_and_ends_a_thought(opening, closing):
    prompt = f"assistant\n{opening}\n"
    assert opens_thought(prompt) and closing_tag(prompt) == closing
    assert after_thoughts(with_opening(prompt, "so 6")) == ""
    assert after_thoughts(with_opening(prompt, f"so 6\n{closing}\n7")).strip() == "7"


@pytest.mark.parametrize(
    "text, said",
    [
        ("7", "7"),
        ("a</think>b", "b"),
        ("a</THINK>b", "b"),
        ("<think>a</think>b</think>c", "c"),
        ("<think>a", ""),
        ("a</think>b\n<think>\nc", "b\n"),
        ("a</think>b\n<think>\nc</think>d", "d"),
        ("a</think>\nThe tag <think> is odd: 7", "\nThe tag <think> is odd: 7"),
        ("The tag <think> is odd: 7", "The tag <think> is odd: 7"),
        ("", ""),
    ],
)
def test_what_is_said_after_thoughts(text, said):
    assert after_thoughts(text) == said


def test_tags_that_are_special_tokens_are_decoded_and_other_special_tokens_are_not():
    tokenizer = qwen_tokenizer(separator=None)
    tags = [AddedToken(tag, special=True, normalized=False) for tag in ("<think>", "</think>")]
    tokenizer.add_tokens(tags, special_tokens=True)
    ids = tokenizer.encode("<think>So 6.</think>7<|im_end|>", add_special_tokens=False)
    assert tokenizer.decode(ids, skip_special_tokens=True) == "So 6.7"
    assert decode_with_tags(tokenizer, ids) == "<think>So 6.</think>7"
    plain = qwen_tokenizer(separator=None)
    ids = plain.encode("<think>So 6.</think>7<|im_end|>", add_special_tokens=False)
    assert decode_with_tags(plain, ids) == "<think>So 6.</think>7"
