# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Random models in the shapes of published ones: their speed is that of their size, and nothing has to be fetched."""

import json
import math
import random
from pathlib import Path
from typing import Any

import sized_prm
import torch
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM

from verl_prpo.prm.encoding.dialogue import Dialogue
from verl_prpo.prm.families.qwen_math import ARCHITECTURE, ProcessRewardModel, QwenMathPrm
from verl_prpo.prm.results import PrmRequest

PRM_7B = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}
"""Qwen2.5-Math-PRM-7B."""
POLICY_1_5B = {
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
}
"""Qwen2.5-Math-1.5B."""
SMALL = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 768,
    "max_position_embeddings": 4096,
}
"""Of both on a CPU, where only the way counts."""
QUESTION = [{"role": "user", "content": "How many apples are in the basket?"}]


def prm_config(small: bool) -> Qwen2Config:
    """The PRM's."""
    return Qwen2Config(**(SMALL | {"tie_word_embeddings": False} if small else PRM_7B))


def random_prm(small: bool, device: torch.device, dtype: torch.dtype) -> QwenMathPrm:
    """A PRM of the package's family with random weights, made where it runs."""
    words = sized_prm.tokenizer()
    config = prm_config(small)
    torch.manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            model = ProcessRewardModel._from_config(config, attn_implementation="sdpa", dtype=dtype)
    finally:
        torch.set_default_dtype(default)
    model = model.to(device).eval()
    separator = words.convert_tokens_to_ids(sized_prm.SEPARATOR)
    family = QwenMathPrm(Dialogue(words, "a random PRM", None), separator, config.max_position_embeddings)
    family.model = model
    return family


def save_prm(folder: Path, small: bool, device: torch.device, dtype: torch.dtype) -> None:
    """Write such a PRM as the published one lies in its folder; what is there already is kept."""
    if (folder / "config.json").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    family = random_prm(small, device, dtype)
    assert family.model is not None
    weights = {name: value.detach().cpu().contiguous() for name, value in family.model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    sized_prm.tokenizer().save_pretrained(folder)
    named = str(dtype).removeprefix("torch.")
    content = prm_config(small).to_dict() | {"architectures": [ARCHITECTURE], "torch_dtype": named, "dtype": named}
    (folder / "config.json").write_text(json.dumps(content, default=str))


def save_policy(folder: Path, small: bool, device: torch.device) -> None:
    """Write a random policy; what is there already is kept."""
    if (folder / "config.json").is_file():
        return
    words = sized_prm.tokenizer(separator=False)
    words.save_pretrained(folder)
    ends: dict[str, Any] = {
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
        "bos_token_id": None,
    }
    config = Qwen2Config(**(SMALL | {"tie_word_embeddings": True} if small else POLICY_1_5B), **ends)
    torch.manual_seed(1)
    with device:
        model = Qwen2ForCausalLM(config)
    model.to("cpu", torch.float32 if small else torch.bfloat16).save_pretrained(folder)


def requests(count: int, segments: int = 6, seed: int = 0) -> list[PrmRequest]:
    """Responses with lengths as in math, many short and few long, each cut into about equal segments."""
    generator = random.Random(seed)
    made = []
    for number, text in enumerate(sized_prm.responses(count, (4, 60), seed)):
        lines = text.split("\n\n")
        most = max(2, min(len(lines), int(generator.lognormvariate(math.log(14), 0.5))))
        kept = [f"{line}\n\n" for line in (f"Response {number}.", *lines[:most])]
        size = -(-len(kept) // segments)
        made.append(PrmRequest(QUESTION, ["".join(kept[at : at + size]) for at in range(0, len(kept), size)]))
    return made
