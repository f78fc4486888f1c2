# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Tiny random models with real tokenizers, saved in the layout of the real ones."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import AddedToken, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, Qwen2Model, Qwen2Tokenizer

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SEPARATOR = "<extra_0>"
CORPUS = [
    "First we add the numbers, then we divide by two. Yes No Yes No\nIs this step right? Answer: Yes\n",
    "So the answer is \\boxed{42}. Step by step, the sum is 17 and the product is 60.\n\nTherefore it is right.",
    "首先我们把两个数相加，然后除以二。所以答案是四十二。",
]


def qwen_tokenizer(separator: str | None = "special") -> Qwen2Tokenizer:
    """A byte-level BPE of a few hundred merges, which transformers reloads as it is.

    Args:
        separator: `<extra_0>` as a "special" token, as a "plain" added token, or None for no such token.
    """
    trained = Tokenizer(BPE())
    trained.pre_tokenizer = Qwen2Tokenizer().backend_tokenizer.pre_tokenizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        CORPUS * 5, trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    )
    model = json.loads(trained.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=[tuple(merge) for merge in model["merges"]],
        unk_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
    if separator is not None:
        special = separator == "special"
        tokenizer.add_tokens([AddedToken(SEPARATOR, special=special, normalized=False)], special_tokens=special)
    return tokenizer


def sentencepiece_tokenizer() -> PreTrainedTokenizerFast:
    """Decodes as Llama's does: a space belongs to the word after it, the first is dropped, odd bytes are tokens."""
    tokenizer = Tokenizer(BPE(byte_fallback=True, unk_token="<unk>"))
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=["<unk>", "<s>", "</s>", *bytes_], limit_alphabet=40, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS[:2] * 5, trainer)
    content = json.loads(tokenizer.to_str())
    # The byte tokens belong to the vocabulary alone; as added tokens they would be matched in text.
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] not in bytes_]
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        clean_up_tokenization_spaces=False,
    )


def tiny_config(vocab_size: int, context: int = 256) -> Qwen2Config:
    """A Qwen2 of two layers, with weights large enough for scores to differ."""
    return Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.3,
        tie_word_embeddings=False,
    )


def wide_heads_config(vocab_size: int, context: int, initializer_range: float = 0.3) -> Qwen2Config:
    """Two heads of 32 dimensions each, the fewest that vLLM's attention on the CPU takes."""
    return Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=context,
        initializer_range=initializer_range,
        tie_word_embeddings=False,
    )


def qwen_math_prm(
    path: Path,
    separator: str | None = "special",
    context: int = 256,
    seed: int = 0,
    head: bool = True,
    classes: int = 2,
    damaged: bool = False,
) -> Path:
    """A folder like that of Qwen2.5-Math-PRM: trunk, two-layer head, an unused `lm_head`, an `auto_map` to remote code.

    Args:
        path: the folder.
        separator: see `qwen_tokenizer`.
        context: longest dialogue.
        seed: of the weights.
        head: whether the weights have a head.
        classes: of the head.
        damaged: whether the head's last bias is NaN.
    """
    tokenizer = qwen_tokenizer(separator)
    config = tiny_config(len(tokenizer), context)
    torch.manual_seed(seed)
    trunk = Qwen2Model(config)
    weights = {f"model.{name}": value for name, value in trunk.state_dict().items()}
    weights["lm_head.weight"] = torch.randn(config.vocab_size, config.hidden_size)
    if head:
        weights["score.0.weight"] = torch.randn(config.hidden_size, config.hidden_size) * 0.3
        weights["score.0.bias"] = torch.randn(config.hidden_size) * 0.3
        weights["score.2.weight"] = torch.randn(classes, config.hidden_size) * 0.3
        weights["score.2.bias"] = torch.full((classes,), float("nan")) if damaged else torch.randn(classes) * 0.3
    path.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous() for name, value in weights.items()}
    save_file(weights, path / "model.safetensors", {"format": "pt"})
    tokenizer.save_pretrained(path)
    content = config.to_dict() | {
        "architectures": ["Qwen2ForProcessRewardModel"],
        "auto_map": {
            "AutoConfig": "configuration_qwen2_rm.Qwen2RMConfig",
            "AutoModel": "modeling_qwen2_rm.Qwen2ForProcessRewardModel",
        },
    }
    (path / "config.json").write_text(json.dumps(content))
    return path


def instruct_model(
    path: Path,
    context: int = 512,
    seed: int = 0,
    answers: bool = True,
    template: str | dict[str, str] | None = CHAT_TEMPLATE,
    added: Sequence[str] = (),
) -> Path:
    """A folder with a causal language model and a chat template.

    Args:
        path: the folder.
        context: longest dialogue.
        seed: of the weights.
        answers: whether " Yes" and " No" are tokens of their own.
        template: the chat template, or several by name, or None for none.
        added: further tokens, none of them special, as the tags of thoughts are in thinking models.
    """
    tokenizer = qwen_tokenizer()
    if not answers:
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        tokenizer = Qwen2Tokenizer(
            vocab={byte: i for i, byte in enumerate(alphabet)},
            merges=[],
            pad_token="<|endoftext|>",
            eos_token="<|im_end|>",
            additional_special_tokens=["<|im_start|>"],
        )
    tokenizer.chat_template = template
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in added])
    torch.manual_seed(seed)
    Qwen2ForCausalLM(tiny_config(len(tokenizer), context)).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
