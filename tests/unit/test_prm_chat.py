# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Dialogues as token ids: those of the rendered template, whatever the tokenizer does around special tokens."""

import pytest
from tiny_models import CHAT_TEMPLATE, qwen_tokenizer, sentencepiece_tokenizer
from transformers import AddedToken

from verl_prpo.prm.encoding.dialogue import Dialogue

MESSAGES = [
    {"role": "user", "content": "What is 6 times 7?"},
    {"role": "assistant", "content": "Let me think."},
    {"role": "user", "content": "Please do."},
]
ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + '</s>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ m['content'] + '</s>' }}{% endif %}{% endfor %}"
)
PHI = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + '<|end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)


def with_template(tokenizer, template, **added):
    tokenizer.chat_template = template
    if added:
        tokens = [AddedToken(text, special=True, normalized=False, **added) for text in ("<|user|>", "<|assistant|>")]
        tokens.append(AddedToken("<|end|>", special=True, normalized=False, **added))
        tokenizer.add_tokens(tokens, special_tokens=True)
    return tokenizer


TOKENIZERS = {
    "qwen": lambda: with_template(qwen_tokenizer(), CHAT_TEMPLATE),
    "zephyr": lambda: with_template(sentencepiece_tokenizer(), ZEPHYR),
    "mistral": lambda: with_template(sentencepiece_tokenizer(), MISTRAL),
    "phi": lambda: with_template(sentencepiece_tokenizer(), PHI, rstrip=True),
    "lstrip": lambda: with_template(qwen_tokenizer(), PHI, lstrip=True),
}


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("answer", ["6 times 7 is 42.", "It is 42, 四十二 😀\n\nSo 42."])
def test_token_ids_are_those_of_the_rendered_template(name, answer):
    tokenizer = TOKENIZERS[name]()
    rendered = tokenizer.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True) + answer
    ids, _ = Dialogue(tokenizer, "some/prm").encode(MESSAGES, [answer], end_turn=False)
    assert ids == tokenizer(rendered, add_special_tokens=False).input_ids


@pytest.mark.parametrize("name", TOKENIZERS)
def test_special_tokens_in_contents_stay_text(name):
    tokenizer = TOKENIZERS[name]()
    special = next(token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
    dialogue = Dialogue(tokenizer, "some/prm")
    plain, _ = dialogue.encode(MESSAGES, ["It is 42."], end_turn=False)
    spoken, _ = dialogue.encode(MESSAGES, [f"It is {special}42."], end_turn=False)
    number = tokenizer.convert_tokens_to_ids(special)
    assert spoken.count(number) == plain.count(number)
