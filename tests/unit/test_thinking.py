# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Prompts that open a thought, as the chat templates of thinking models do."""

import pytest
from tiny_models import qwen_tokenizer
from transformers import AddedToken

from verl_prpo.text.decoding import thought_tokens
from verl_prpo.text.thinking import (
    after_thoughts,
    closing_tag,
    decode_with_tags,
    opens_thought,
    resumes_in_thought,
    thought_spans,
    with_opening,
)


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


BEGUN = "<think>\nOkay, let me"


@pytest.mark.parametrize(
    "prompt",
    [
        f"user\nWhat?\nassistant\n{BEGUN}",
        f"<|im_start|>user\nWhat?<|im_end|>\n<|im_start|>assistant\n{BEGUN}",
        f"<|start_header_id|>assistant<|end_header_id|>\n\n{BEGUN}",
        f"user\n\nWhat?assistant\n\n{BEGUN}",
        f"user\nWhat?\nmodel\n{BEGUN}",
        f"<｜User｜>What?<｜Assistant｜>{BEGUN}",
        f"[INST] What? [/INST] {BEGUN}",
        f"User: What? Assistant: {BEGUN}",
        f"user\nWhy is <think> a tag?\nassistant\n{BEGUN}",
        "assistant\n[THINK]Okay, let me",
        "assistant\n<|begin_of_thought|>\n\nOkay, let me",
    ],
)
def test_a_thought_begun_with_words_behind_the_answers_header_is_opened(prompt):
    assert opens_thought(prompt)
    assert after_thoughts(with_opening(prompt, "so 6")) == ""


@pytest.mark.parametrize(
    "prompt",
    [
        "user\nWhat is <think> for?\nassistant\n",
        "<|im_start|>user\nWhat is <think> for?<|im_end|>\n<|im_start|>assistant\n",
        "user\n\nWhat is\n<think> for?assistant\n\n",
        "system\nBegin with <think> always.\nuser\nWhat?\nassistant\n",
        "assistant\nYes.\nuser\nWhat is\n<think>\nfor?",
        f"user\nWhat?\nassistant\n{BEGUN} see.\n</think>\n\n",
        f"user\nWhat?\nassistant\n{BEGUN}\nuser\nAgain!\nassistant\n",
        "What is <think> for? Assistant: ",
    ],
)
def test_a_tag_that_a_turn_before_the_answer_mentions_opens_none(prompt):
    assert not opens_thought(prompt)


def asked(*contents, role="user"):
    return [{"role": role, "content": content} for content in contents]


@pytest.mark.parametrize(
    "prompt, messages, opened",
    [
        (f"Q: What?\nA: {BEGUN}", asked("What?"), True),  # of no template that is known
        (f"Q: What?\nA: {BEGUN}", asked("  What?\n"), True),  # templates strip
        (f"Q: {BEGUN}\nA: ", asked(BEGUN), False),
        (f"Q: {BEGUN}\nA: {BEGUN}, too", asked(BEGUN + "?", BEGUN), False),  # as the user wrote it
        ("Q: What is <think> for?\nA: ", asked("What is <think> for?"), False),
        (f"Q: What is <think> for?\nA: {BEGUN}", asked("What is <think> for?"), True),
        (f"Q: me\nA: {BEGUN}", asked("me"), True),  # also part of the thought
        (f"Q: think\nA: {BEGUN}", asked("think"), True),
        ("Begin with <think> here.\nQ: What?\nA: ", asked("What?"), False),  # of the template, before the message
        ("What is <think> for?", asked("What is <think> for?"), False),  # no template at all
        (f"User: What? Assistant: {BEGUN}", asked(f"User: What? Assistant: {BEGUN}"), True),  # the data hold all of it
        ("user\nX\nassistant\n<think> for?\nA: ", asked("X\nassistant\n<think> for?"), False),
        (f"Q: What?\nA: {BEGUN}", [*asked("What?"), *asked(BEGUN, role="assistant")], True),
        (f"Q: What?\nA: {BEGUN}", asked([{"type": "text", "text": "What?"}]), True),
        (BEGUN, asked("What?"), True),  # nobody's words
        (BEGUN, asked("What is <think>?"), False),  # nobody knows whose
        (BEGUN, asked(None), False),
        (BEGUN, [], False),
    ],
)
def test_known_messages_say_whose_the_tag_is(prompt, messages, opened):
    assert opens_thought(prompt, messages) == opened
    assert (closing_tag(prompt, messages) == "</think>") == opened


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


@pytest.mark.parametrize(
    ("text", "inside", "hidden"),
    [
        ("<think>\nso 6\n</think>\n\nIt is 6.", False, ["<think>\nso 6\n</think>"]),
        ("so 6\n</think>\n\nIt is 6.", True, ["so 6\n</think>"]),
        ("so 6\n</think>\n\nIt is 6.", False, ["so 6\n</think>"]),  # a closing tag ends what came before
        ("so 6, and so on", True, ["so 6, and so on"]),  # cut off within the thought
        ("so 6, and so on", False, []),
        ("It is 6.\n<think>\nor 7", False, ["<think>\nor 7"]),
        ("The tag <think> opens a thought.", False, []),
        ("a</think>b\n<think>c</think>d", True, ["a</think>", "<think>c</think>"]),
        ("[THINK]a[/THINK]b", False, ["[THINK]a[/THINK]"]),
        ("", True, []),
    ],
)
def test_thoughts_are_found_as_the_verifier_leaves_them_out(text, inside, hidden):
    spans = thought_spans(text, inside)
    assert [text[begin:end] for begin, end in spans if end > begin] == hidden
    end = spans[-1] if spans else (0, 0)
    left = text[end[1] :] if not spans or text[end[0] : end[1]].endswith(("</think>", "[/THINK]")) else ""
    if inside or hidden != ["<think>\nor 7"]:
        assert after_thoughts(("<think>\n" if inside else "") + text).strip() == left.strip()


@pytest.mark.parametrize("tags", ["none", "plain", "special"])
def test_tokens_of_thoughts(tags):
    tokenizer = qwen_tokenizer(separator=None)
    if tags != "none":
        added = [AddedToken(tag, special=tags == "special", normalized=False) for tag in ("<think>", "</think>")]
        tokenizer.add_tokens(added, special_tokens=tags == "special")
    answer = "\n\nIt is 😀 6."
    for text, inside in ((f"First 首先 😀.\n</think>{answer}", True), (f"<think>\na\n</think>{answer}", False)):
        ids = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
        flags = thought_tokens(tokenizer, ids, inside)
        thought = [token for token, hidden in zip(ids, flags, strict=True) if hidden]
        rest = [token for token, hidden in zip(ids, flags, strict=True) if not hidden]
        assert flags == sorted(flags, reverse=True) and rest[-1] == tokenizer.eos_token_id
        assert decode_with_tags(tokenizer, rest).strip() == "It is 😀 6."
        assert decode_with_tags(tokenizer, thought).strip() == text.split("\n\n")[0]
    ids = [*tokenizer.encode("and so on", add_special_tokens=False), tokenizer.eos_token_id]
    assert all(thought_tokens(tokenizer, ids, True)) and not any(thought_tokens(tokenizer, ids, False))
    assert thought_tokens(tokenizer, [], True) == []


@pytest.mark.parametrize(
    ("said", "inside", "resumes"),
    [
        ("\ntool\n12\nassistant\n", False, False),
        ("\ntool\n12\nassistant\n", True, False),  # a new turn begins outside a thought
        ("\ntool\n12\nassistant\n<think>\n", False, True),  # unless the template opens one
        ("<tool_response>12</tool_response>", True, True),  # words put into the policy's turn
        ("<tool_response>12</tool_response>", False, False),
        ("\ntool\n<think>\nis a tag\nassistant\n", False, False),
        ("\ntool\n</think> is a tag\n", True, True),
    ],
)
def test_a_thought_after_others_have_spoken(said, inside, resumes):
    assert resumes_in_thought(said, inside) is resumes


def test_a_tools_words_neither_open_nor_close_a_thought():
    tokenizer = qwen_tokenizer()
    parts = [
        ("a</think>\nI ask.", True), ("\ntool\n<think>\n12\nassistant\n", False), ("So 12.", True),
        ("\ntool\n</think>\nassistant\n<think>\n", False), ("b</think>c", True),
    ]  # fmt: skip
    ids = [tokenizer.encode(text, add_special_tokens=False) for text, _ in parts]
    own = [mine for part, (_, mine) in zip(ids, parts, strict=True) for _ in part]
    every = [token for part in ids for token in part]
    hidden = thought_tokens(tokenizer, every, True, own)
    shown = [token for token, mine, thought in zip(every, own, hidden, strict=True) if mine and not thought]
    assert tokenizer.decode(shown) == "\nI ask.So 12.c"
    assert not any(thought for thought, mine in zip(hidden, own, strict=True) if not mine)
