# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A random byte-level policy and a handful of prompts, enough for verl to train on."""

from __future__ import annotations

from pathlib import Path

BYTES = [*range(33, 127), *range(161, 173), *range(174, 256)]
REWARD = """
def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    return sum(c.isdigit() for c in solution_str) / max(1, len(solution_str))
"""


def _byte_vocabulary() -> dict[str, int]:
    """Return the 256 characters that byte-level tokenizers stand bytes for, numbered by byte."""
    others = [byte for byte in range(256) if byte not in BYTES]
    return {chr(byte if byte in BYTES else 256 + others.index(byte)): byte for byte in range(256)}


def write(folder: Path) -> None:
    """Write `policy/`, `train.parquet`, `val.parquet` and `reward.py` into `folder`.

    The policy is a Qwen2 model of about 100,000 random float32 weights whose vocabulary is exactly the tokenizer's.
    """
    import pandas as pd
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

    vocab = _byte_vocabulary()
    for special in ("<|endoftext|>", "<|im_start|>", "<|im_end|>"):
        vocab[special] = len(vocab)
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=[], eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    tokenizer.save_pretrained(folder / "policy")
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.05,
    )
    Qwen2ForCausalLM(config).float().save_pretrained(folder / "policy")
    rows = [
        {
            "data_source": "digits",
            "prompt": [{"role": "user", "content": f"{i % 10} digits"}],
            "ability": "digits",
            "reward_model": {"style": "rule", "ground_truth": ""},
            "extra_info": {"index": i, "split": "train"},
        }
        for i in range(32)
    ]
    pd.DataFrame(rows).to_parquet(folder / "train.parquet")
    pd.DataFrame(rows[:8]).to_parquet(folder / "val.parquet")
    (folder / "reward.py").write_text(REWARD)
