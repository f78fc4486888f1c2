# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The toy models' tokenizer: one token per byte, plus the words of the task.

It is a `Qwen2Tokenizer` without merges. transformers 5 rebuilds whatever tokenizer lies beside a Qwen2 model as a
`Qwen2Tokenizer` and with Qwen2's own pre-tokenizer, so a tokenizer of another make would come back different from how
it was saved; one without merges comes back the same, since a pre-tokenizer can only keep merges from happening.
`check_reload` makes sure of it.

A newline is one token, which verl's agent loop needs, and `<extra_0>`, the step separator of Qwen2.5-Math-PRM, is
there.
"""

from pathlib import Path

from task import ANSWER, CONNECTIVES
from tokenizers import AddedToken, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen2Tokenizer

PAD, START, END, SEPARATOR = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<extra_0>"
WORDS = (
    *("system", "user", "assistant", "Start from ", " and work mod ", ANSWER, "\\boxed{"),
    *(f" ({i}) " for i in range(1, 10)),
    *CONNECTIVES,
)
MAX_LENGTH = 512

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer() -> Qwen2Tokenizer:
    """The tokenizer, 280 tokens: 256 bytes, 4 special tokens and 20 words; ChatML as its chat template."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Qwen2Tokenizer(
        vocab={byte: i for i, byte in enumerate(alphabet)},
        merges=[],
        unk_token=PAD,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[START, SEPARATOR],
        model_max_length=MAX_LENGTH,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )
    tokenizer.add_tokens([AddedToken(word, special=False, normalized=False) for word in WORDS])
    return tokenizer


def prompt_text(tokenizer: PreTrainedTokenizerBase, question: str) -> str:
    """The prompt as verl makes it from a row: the question as the user's message, then the head of the reply."""
    messages = [{"role": "user", "content": question}]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def check_reload(path: str | Path, tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> None:
    """Make sure that the tokenizer saved in a model's folder comes back the same.

    Args:
        path: a folder with a model and the tokenizer saved beside it.
        tokenizer: the tokenizer as it was made.
        texts: texts on which both must give the same token ids, and from those ids the same text.

    Raises:
        RuntimeError: if they differ, naming the text.
    """
    reloaded = AutoTokenizer.from_pretrained(path)
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False).input_ids
        if reloaded(text, add_special_tokens=False).input_ids != ids or reloaded.decode(ids) != text:
            raise RuntimeError(
                f"the tokenizer saved in {path} reloads as a {type(reloaded).__name__} that reads {text!r} otherwise: "
                "this transformers version changes the tokenizer's parts on loading, install the one verl asks for"
            )
