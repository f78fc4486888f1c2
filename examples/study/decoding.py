# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Decoding for models this small, for which most of transformers' own `generate` is overhead.

Same weights, same arithmetic: a prompt that several rows share is read once, keys and values are written in place, and
rows that have ended leave the batch.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from study.vocabulary import EOS, PAD, padded
from torch import Tensor
from transformers import Qwen2ForCausalLM

KEEP = 0.8
"""Rows are dropped when at most this share of them goes on."""


class _Rows:
    """Rows that are being written: keys and values `[layers, rows, heads, places, size]` and where each row stands."""

    def __init__(self, model: Qwen2ForCausalLM, prompts: Sequence[Sequence[int]], room: int):
        distinct = list(dict.fromkeys(map(tuple, prompts)))
        ids = padded(distinct, left=True)
        seen = ids != PAD
        position = (seen.cumsum(1) - 1).clamp(min=0)
        out = model(input_ids=ids, attention_mask=seen.long(), position_ids=position, use_cache=True, logits_to_keep=1)
        which = {prompt: i for i, prompt in enumerate(distinct)}
        row = torch.tensor([which[tuple(prompt)] for prompt in prompts])
        self.logits = out.logits[row, -1]
        self.position = position[row, -1] + 1
        self.written = ids.shape[1]
        layers = out.past_key_values.layers
        self.keys = torch.stack([F.pad(layer.keys[row], (0, 0, 0, room)) for layer in layers])
        self.values = torch.stack([F.pad(layer.values[row], (0, 0, 0, room)) for layer in layers])
        self.bias = F.pad(torch.where(seen, 0.0, float("-inf"))[row], (0, room))[:, None, None]

    def keep(self, rows: Tensor) -> None:
        """Go on with some rows."""
        self.position, self.bias = self.position[rows], self.bias[rows]
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]


@torch.inference_mode()
def generate(
    model: Qwen2ForCausalLM, prompts: Sequence[Sequence[int]], max_new_tokens: int, temperature: float = 1.0
) -> list[list[int]]:
    """A response to each prompt, sampled from the whole vocabulary, or greedy at temperature 0.

    Returns:
        Token ids of the responses, EOS included; one that reaches `max_new_tokens` has none.
    """
    model.eval()
    rows = _Rows(model, prompts, max_new_tokens)
    made: list[list[int]] = [[] for _ in prompts]
    alive = torch.arange(len(prompts))
    logits = rows.logits
    for count in range(1, max_new_tokens + 1):
        if temperature:
            token = torch.multinomial((logits / temperature).softmax(-1), 1)[:, 0]
        else:
            token = logits.argmax(-1)
        for row, written in zip(alive.tolist(), token.tolist(), strict=True):
            if made[row][-1:] != [EOS]:
                made[row].append(written)
        going = torch.tensor([made[row][-1] != EOS for row in alive.tolist()])
        if count == max_new_tokens or not going.any():
            break
        if going.float().mean() <= KEEP:
            rows.keep(going)
            alive, token = alive[going], token[going]
        logits = _next(model, rows, token)
    return made


def _next(model: Qwen2ForCausalLM, rows: _Rows, token: Tensor) -> Tensor:
    """Logits behind one more token in each row, `[rows, vocabulary]`."""
    trunk = model.model
    hidden = trunk.embed_tokens(token)
    cos, sin = trunk.rotary_emb(hidden[:, None], rows.position[:, None])  # [rows, 1, size] each
    end = rows.written + 1
    for layer, keys, values in zip(trunk.layers, rows.keys, rows.values, strict=True):
        attention = layer.self_attn
        normed = layer.input_layernorm(hidden)
        query, key, value = (
            project(normed).unflatten(-1, (-1, attention.head_dim))
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        keys[:, :, rows.written] = key * cos + _turned(key) * sin
        values[:, :, rows.written] = value
        query = (query * cos + _turned(query) * sin)[:, :, None] * attention.scaling
        weight = (query @ keys[:, :, :end].transpose(2, 3) + rows.bias[..., :end]).softmax(-1)
        hidden = hidden + attention.o_proj((weight @ values[:, :, :end]).flatten(1))
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    rows.written, rows.position = end, rows.position + 1
    return model.lm_head(trunk.norm(hidden))


def _turned(part: Tensor) -> Tensor:
    """Half a head's coordinates for the other, as rotary embeddings want them."""
    first, second = part.chunk(2, -1)
    return torch.cat([-second, first], -1)
