# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Chat turns are found again in prompts that real tokenizers rendered and decoded without their special tokens."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny_models import qwen_tokenizer

from verl_prpo.calibration.message_book import MessageBook
from verl_prpo.text.chat_turns import find_turns

# What the models' own templates write, without their tools: special tokens, and text that stays when decoded.
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}"
)
TEMPLATES: dict[str, tuple[str, list[str]]] = {
    "chatml": (CHATML, ["<|im_start|>", "<|im_end|>"]),
    "chatml without thinking": (CHATML + "{{ '<think>\n\n</think>\n\n' }}", ["<|im_start|>", "<|im_end|>"]),
    "chatml with a prefilled thought": (CHATML + "{{ '<think>\n' }}", ["<|im_start|>", "<|im_end|>"]),
    "chatml of plain tokens": (CHATML, []),
    "llama 3": (
        "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content|trim }}<|eot_id|>"
        "{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}",
        ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    ),
    "gemma": (
        "{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
        "{{ m.content|trim }}<end_of_turn>\n{% endfor %}{{ '<start_of_turn>model\n' }}",
        ["<start_of_turn>", "<end_of_turn>"],
    ),
    "deepseek": (
        "{% for m in messages %}{% if m.role == 'user' %}<｜User｜>{% elif m.role == 'assistant' %}<｜Assistant｜>"
        "{% endif %}{{ m.content }}{% endfor %}{{ '<｜Assistant｜><think>\n' }}",
        [],
    ),
    "zephyr": (
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}</s>\n{% endfor %}{{ '<|assistant|>\n' }}",
        ["</s>"],
    ),
    "llama 2": (
        "{% for m in messages %}{% if m.role == 'system' %}{% elif m.role == 'user' %}<s>[INST] "
        "{% if loop.index0 == 1 and messages[0].role == 'system' %}<<SYS>>\n{{ messages[0].content }}\n<</SYS>>\n\n"
        "{% endif %}{{ m.content }} [/INST]{% else %} {{ m.content }} </s>{% endif %}{% endfor %}",
        ["<s>", "</s>"],
    ),
}
USER = {"role": "user", "content": "What is $2+2$?\n\nPut it in \\boxed{}."}
CHATS: dict[str, list[dict[str, str]]] = {
    "a question": [USER],
    "a system prompt": [{"role": "system", "content": "Reason step by step."}, USER],
    "several turns": [
        {"role": "system", "content": "Reason step by step."},
        USER,
        {"role": "assistant", "content": "It is\n\\boxed{4}."},
        {"role": "user", "content": "And $3+3$?"},
    ],
    "a role's name within a line": [{"role": "user", "content": "The user\nasked the assistant\nin a model"}],
}


def rendered(template: str, special: list[str], messages: list[dict[str, str]]) -> str:
    """As verl's dump holds it."""
    tokenizer = qwen_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.chat_template = template
    # The tiny tokenizer has ChatML's as special tokens; a tokenizer to which they are text keeps them.
    ids = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
    return str(tokenizer.decode(ids, skip_special_tokens=bool(special)))


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_the_messages_are_found_again(template: str, chat: str) -> None:
    prompt = rendered(*TEMPLATES[template], CHATS[chat])
    turns = find_turns(prompt)
    assert turns.messages == CHATS[chat]
    # Where only names of roles are left, they might be lines of one long question.
    uncertain = chat == "several turns" and template not in (
        "chatml of plain tokens", "deepseek", "zephyr", "llama 2",
    )  # fmt: skip
    assert bool(turns.doubt) is uncertain, turns.doubt
    assert find_turns(prompt.strip()) == turns  # as some tools save prompts


def test_a_tool_answers_before_the_policy_does() -> None:
    prompt = "system\n# Tools\nuser\nQ\nassistant\n<tool_call>x</tool_call>\ntool\n5\nassistant\n"
    assert [message["role"] for message in find_turns(prompt).messages] == ["system", "user", "assistant", "tool"]


@pytest.mark.parametrize(
    "text",
    ["Who is\nuser\nhere?", "Finish:\nassistant\nHello", "a\nsystem\nof equations", "a\nmodel\nof it", "user\nx\nuser"],
)
@pytest.mark.parametrize("end", ["\nassistant\n", "\nassistant\n<think>\n", "\nassistant\n<think>\n\n</think>\n\n"])
def test_lines_that_are_names_of_roles_stay_in_the_users_words_and_are_pointed_out(text: str, end: str) -> None:
    turns = find_turns(f"system\nBe brief.\nuser\n{text}{end}")
    assert turns.messages == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    assert "names of roles stand on lines within it and are taken for text" in turns.doubt


@pytest.mark.parametrize(
    ("prompt", "doubt"),
    [
        ("What is 2+2?", "no chat template is recognised in 'What is 2+2?'"),
        ("userWhat is 2+2?assistant", "no chat template is recognised"),
        ("ds.\nuser\nWhat is 2+2?\nassistant\n", "no chat template is recognised"),  # truncated on the left
        ("user\nWhat?\nassistant\nLet me think.", "the prompt begins the answer, with 'Let me think.'"),
        ("user\nWhat?\n", "does not end with the header of an answer"),
    ],
)
def test_what_is_uncertain_is_said(prompt: str, doubt: str) -> None:
    turns = find_turns(prompt)
    assert doubt in turns.doubt
    if turns.template is None:
        assert turns.messages == [{"role": "user", "content": prompt}]
    else:
        assert turns.messages == [{"role": "user", "content": "What?"}]


class TestMessageBook:
    @staticmethod
    def book(tmp_path: Path, *questions: str) -> MessageBook:
        rows: list[dict[str, Any]] = [{"prompt": [{"role": "user", "content": question}]} for question in questions]
        pd.DataFrame(rows).to_parquet(tmp_path / "train.parquet")
        return MessageBook.read(tmp_path / "train.parquet")

    def test_the_row_with_the_most_text_of_a_prompt_is_its_row(self, tmp_path: Path) -> None:
        long = "How many rolls are left in the evening, and how many were sold?"
        book = self.book(tmp_path, "How many rolls are left in the evening", long, "2+2", "What is 2+2?")
        assert book.find(f"any{long}thing") == [{"role": "user", "content": long}]
        assert book.find("anyWhat is 2+2?thing") == [{"role": "user", "content": "What is 2+2?"}]

    def test_a_prompt_of_another_file_is_refused(self, tmp_path: Path) -> None:
        book = self.book(tmp_path, "How many rolls are left in the evening?", "2+2")
        book.find("userHow many rolls are left in the evening?assistant")
        with pytest.raises(ValueError, match="no row has the messages"):
            book.find("userWhat is 5+5?assistant")
        with pytest.raises(ValueError, match="the row is another one's"):
            book.find("userWhat is 2+2 and then half of it?assistant")
