# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Tiny random models of the families that put a head on a trunk, saved in the layout of the published ones."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tiny_models import qwen_tokenizer, sentencepiece_tokenizer, tiny_config
from transformers import (
    BertConfig,
    BertForTokenClassification,
    LlamaConfig,
    LlamaForTokenClassification,
    Qwen2ForTokenClassification,
    Qwen2Model,
    Qwen3Config,
    Qwen3ForTokenClassification,
)

BOS = "<|endoftext|>"


def skywork_prm(
    path: Path,
    seed: int = 0,
    context: int = 256,
    bos_token: str | None = BOS,
    trunk: str = "model.",
    head: bool = True,
    values: int = 1,
) -> Path:
    """A folder like that of Skywork-o1-Open-PRM: trunk, `v_head.summary`, an unused `lm_head`, an `auto_map`.

    Args:
        path: the folder.
        seed: of the weights.
        context: longest dialogue.
        bos_token: of the tokenizer.
        trunk: how the names of the trunk's weights begin.
        head: whether the weights have a head.
        values: of the head.
    """
    tokenizer = qwen_tokenizer(separator=None)
    if bos_token is not None:
        tokenizer.add_special_tokens({"bos_token": bos_token})
    config = tiny_config(len(tokenizer), context)
    torch.manual_seed(seed)
    weights = {f"{trunk}{name}": value for name, value in Qwen2Model(config).state_dict().items()}
    weights[f"{trunk.removesuffix('model.')}lm_head.weight"] = torch.randn(config.vocab_size, config.hidden_size)
    if head:
        weights["v_head.summary.weight"] = torch.randn(values, config.hidden_size) * 0.3
        weights["v_head.summary.bias"] = torch.randn(values) * 0.3
    path.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous() for name, value in weights.items()}
    save_file(weights, path / "model.safetensors", {"format": "pt"})
    tokenizer.save_pretrained(path)
    content = config.to_dict() | {
        "architectures": ["Qwen2ForPrmModel"],
        "auto_map": {"AutoModel": "modeling_qwen2_prm.Qwen2ForPrmModel"},
    }
    (path / "config.json").write_text(json.dumps(content))
    return path


def token_classification_prm(path: Path, seed: int = 0, context: int = 256, labels: int = 2, hidden: int = 32) -> Path:
    """A folder as TRL's PRMTrainer saves a Qwen2 with a token classification head.

    Args:
        path: the folder.
        seed: of the weights.
        context: longest dialogue.
        labels: classes of the head.
        hidden: size of the hidden states; vLLM on a CPU wants 128, which makes attention heads of 32.
    """
    tokenizer = qwen_tokenizer()
    torch.manual_seed(seed)
    config = tiny_config(len(tokenizer), context)
    config.hidden_size = hidden
    config.num_labels = labels
    model = Qwen2ForTokenClassification(config)
    torch.nn.init.normal_(model.score.bias, std=0.5)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def qwen3_token_classification_prm(path: Path, seed: int = 0, context: int = 256, head_dim: int = 8) -> Path:
    """The same on a Qwen3, whose attention heads have a size of their own.

    Args:
        path: the folder.
        seed: of the weights.
        context: longest dialogue.
        head_dim: of an attention head; vLLM on a CPU wants 32.
    """
    tokenizer = qwen_tokenizer()
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=head_dim,
        max_position_embeddings=context,
        initializer_range=0.3,
        num_labels=2,
    )
    model = Qwen3ForTokenClassification(config)
    torch.nn.init.normal_(model.score.bias, std=0.5)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def llama_token_classification_prm(path: Path, seed: int = 0, hidden: int = 32) -> Path:
    """The same on a Llama, whose tokenizer has a beginning-of-sequence token."""
    tokenizer = sentencepiece_tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,
        num_labels=2,
    )
    LlamaForTokenClassification(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def bert_tagger(path: Path) -> Path:
    """A token classifier of two classes that reads in both directions."""
    tokenizer = qwen_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=64,
        num_labels=2,
    )
    BertForTokenClassification(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
