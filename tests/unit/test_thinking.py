# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Prompts that open a thought, as the chat templates of thinking models do."""

import pytest

from verl_prpo.thinking import opens_thought, with_opening


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
