# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Tiny random PRMs that are causal language models, with tokenizers that behave like the real ones."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from tiny_models import CORPUS, instruct_model
from tokenizers import Tokenizer, pre_tokenizers, processors, trainers
from tokenizers.models import BPE
from transformers import (
    AddedToken,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaTokenizer,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Tokenizer,
)

TAGGED = [
    "What is it? Step 1: First we add 17 + 60 - 7. ки",
    "Step 2: The sum is 70. + ки",
    "Step 3: The answer is: 70 - ки",
]
LLAMA3_TEMPLATE = (
    "{{ bos_token }}<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
    "Today Date: 26 Jul 2024\n\n"
    "{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] | trim }}{% set messages = messages[1:] %}"
    "{% endif %}<|eot_id|>"
    "{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


def sized(vocab_size: int, context: int, **more) -> dict:
    """Arguments of a config of two layers, with weights large enough for scores to differ."""
    return {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": context,
        "initializer_range": 0.3,
        "tie_word_embeddings": False,
        **more,
    }


def mistral_tokenizer(tag: bool = True, signs: bool = True) -> LlamaTokenizer:
    """As Mistral's: a space belongs to the word after it, every text has one before it, odd characters are bytes, and
    a sequence begins with `<s>`.

    Args:
        tag: whether " ки" is a token.
        signs: whether " +" and " -" are.
    """
    corpus = [line for text in CORPUS for line in text.split("\n")] + TAGGED
    corpus = [text if tag else text.replace("ки", "к и") for text in corpus]
    words = Tokenizer(BPE())
    words.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    letters = [*"▁abcdefghijklmnopqrstuvwxyzSW0123456789.,:?\\{}", *"ки"]
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<unk>", "<s>", "</s>", *bytes_],
        limit_alphabet=len(letters),
        initial_alphabet=letters,
        show_progress=False,
    )
    words.train_from_iterator(corpus * 5, trainer)
    model = json.loads(words.to_str())["model"]
    vocab, merges = model["vocab"], [tuple(merge) for merge in model["merges"]]
    for sign in "+-":
        vocab.setdefault(sign, len(vocab))
        if signs:
            vocab.setdefault("▁" + sign, len(vocab))
            merges = [*merges, ("▁", sign)] if ("▁", sign) not in merges else merges
        elif "▁" + sign in vocab:
            raise AssertionError(f"the corpus taught ' {sign}'")
    return LlamaTokenizer(vocab=vocab, merges=merges, add_bos_token=True)


def math_shepherd(path: Path, context: int = 256, seed: int = 0, tag: bool = True, signs: bool = True) -> Path:
    """A folder like that of math-shepherd-mistral-7b-prm: a Mistral without a chat template.

    Args:
        path: the folder.
        context: longest dialogue.
        seed: of the weights.
        tag, signs: see `mistral_tokenizer`.
    """
    tokenizer = mistral_tokenizer(tag, signs)
    torch.manual_seed(seed)
    config = MistralConfig(**sized(len(tokenizer), context), sliding_window=None)
    MistralForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def llama3_tokenizer(template: str | None = LLAMA3_TEMPLATE, corpus: Sequence[str] = CORPUS) -> PreTrainedTokenizerFast:
    """A byte-level BPE with the special tokens and the chat template of Llama 3.1, which has a system turn always."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = Qwen2Tokenizer().backend_tokenizer.pre_tokenizer
    tokenizer.decoder = Qwen2Tokenizer().backend_tokenizer.decoder
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [*corpus] * 5, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        additional_special_tokens=["<|start_header_id|>", "<|end_header_id|>"],
        chat_template=template,
        clean_up_tokenization_spaces=False,
    )


def rlhflow_prm(path: Path, context: int = 512, seed: int = 0, template: str | None = LLAMA3_TEMPLATE) -> Path:
    """A folder like that of Llama3.1-8B-PRM-Deepseek-Data: a Llama with the chat template of the instruct model.

    Args:
        path: the folder.
        context: longest dialogue.
        seed: of the weights.
        template: the chat template, or None for none.
    """
    tokenizer = llama3_tokenizer(template)
    torch.manual_seed(seed)
    LlamaForCausalLM(LlamaConfig(**sized(len(tokenizer), context))).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def label_token_prm(
    path: Path,
    context: int = 512,
    seed: int = 0,
    begins: bool = True,
    added: Sequence[str | AddedToken] = (),
    template: str | None = LLAMA3_TEMPLATE,
    hidden: int = 32,
) -> Path:
    """A folder like that of VersaPRM: a Llama with a byte-level BPE, in whose vocabulary the tags of several PRMs are
    one token each, as in Llama 3's: " \\n\\n\\n\\n", " \\n\\n\\n\\n\\n" and " ки". So is ".\\n".

    Args:
        path: the folder.
        context: longest dialogue.
        seed: of the weights.
        begins: whether the tokenizer puts the token that begins a sequence before a text, as Llama's does and Qwen's
            does not.
        added: tokens to add to the tokenizer.
        template: the chat template, or None for none.
        hidden: size of the hidden states; vLLM on a CPU wants 128, which makes attention heads of 32.
    """
    tags = [f"We add{tag}so + - yes no{tag}" for tag in (" \n\n\n\n", " \n\n\n\n\n", " ки")]
    tokenizer = llama3_tokenizer(template, [*CORPUS, *tags * 3, "It is so.\n" * 3])
    if begins:
        begin = (tokenizer.bos_token, tokenizer.bos_token_id)
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{begin[0]} $A", special_tokens=[begin]
        )
    tokenizer.add_tokens(list(added))
    torch.manual_seed(seed)
    LlamaForCausalLM(LlamaConfig(**sized(len(tokenizer), context, hidden_size=hidden))).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def implicit_pair(path: Path, context: int = 512) -> tuple[Path, Path]:
    """Folders like those of EurusPRM and its reference, Qwen2.5-Math-7B-Instruct: two Qwen2 with one tokenizer.

    Args:
        path: the folder that is to hold both.
        context: longest dialogue.
    """
    return instruct_model(path / "prm", context, seed=1), instruct_model(path / "reference", context, seed=2)


def served_output(model, ids: list[int], top: int) -> list[dict[int, float] | None]:
    """What a server's `prompt_logprobs` hold: for each token the `top` likeliest given those before, and itself."""
    with torch.no_grad():
        log_probs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    output: list[dict[int, float] | None] = [None]
    for row, token in zip(log_probs[:-1], ids[1:], strict=True):
        likeliest = row.topk(top)
        named = zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
        output.append({**dict(named), token: row[token].item()})
    return output


def least_top(complete: list, reads: list[int], label_ids: tuple[int, int]) -> int:
    """How many of the likeliest tokens hold both labels wherever a score is read, from an output that holds all."""
    ranks = [
        sorted(complete[read + 1].values(), reverse=True).index(complete[read + 1][i])
        for read in reads
        for i in label_ids
    ]
    return max(ranks) + 1
