# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The study's vocabulary as a Hugging Face tokenizer, token for token and id for id.

It is a byte-level BPE without merges whose alphabet is the vocabulary's characters; words are added tokens, of which
the longest wins. So the weights stay as they are: every token has its row of the embeddings and every row its token.
transformers 5 reads whatever lies beside a Qwen2 model as a `Qwen2Tokenizer`, so it is one.
"""

from collections.abc import Iterable
from pathlib import Path

from study.vocabulary import ASK, EOS, PAD, Vocabulary
from tokenizers import AddedToken
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoTokenizer, Qwen2Tokenizer

SPECIAL = {PAD: "<pad>", EOS: "<eos>", ASK: "<ask>"}
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}" + SPECIAL[ASK] + "{% endif %}"
)
"""The question and the mark, as `study.policy.prompt_ids` has them."""


def make_tokenizer(vocabulary: Vocabulary, max_length: int) -> Qwen2Tokenizer:
    """A tokenizer with the vocabulary's ids; `max_length` is the model's context in tokens."""
    texts = [SPECIAL.get(i, text) for i, text in enumerate(vocabulary.texts)]
    tokenizer = Qwen2Tokenizer(
        vocab={text if len(text) > 1 else _as_byte(text): i for i, text in enumerate(texts)},
        merges=[],
        unk_token=SPECIAL[PAD],
        pad_token=SPECIAL[PAD],
        eos_token=SPECIAL[EOS],
        additional_special_tokens=[SPECIAL[ASK]],
        model_max_length=max_length,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )
    words = [text for i, text in enumerate(texts) if len(text) > 1 and i not in SPECIAL]
    tokenizer.add_tokens([AddedToken(word, special=False, normalized=False) for word in words])
    return tokenizer


def check_tokenizer(folder: Path, vocabulary: Vocabulary, texts: Iterable[str]) -> None:
    """Make sure that the tokenizer in a model's folder is the vocabulary.

    Raises:
        RuntimeError: another number of tokens, or a text that gives other ids or does not come back.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if len(tokenizer) != len(vocabulary):
        raise RuntimeError(f"the tokenizer in {folder} has {len(tokenizer)} tokens, the vocabulary {len(vocabulary)}")
    for text in texts:
        ids = vocabulary.encode(text)
        if tokenizer(text, add_special_tokens=False).input_ids != ids or tokenizer.decode(ids) != text:
            raise RuntimeError(
                f"the {type(tokenizer).__name__} in {folder} reads {text!r} otherwise than the study's vocabulary: "
                "this transformers version changes the tokenizer's parts on loading, install the one verl asks for"
            )


def _as_byte(character: str) -> str:
    """How a byte-level tokenizer writes an ASCII character."""
    return ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(character)[0][0]
