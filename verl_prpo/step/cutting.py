# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The configured segmenter applied to responses: one or many, in a reward-loop worker or in the trainer.

Each row is cut by itself, so that a response has the same segments alone and in any batch.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from verl_prpo.method.segmentation import (
    entropy_segments,
    random_segments,
    text_segments,
    token_segments,
    uniform_segments,
)
from verl_prpo.settings.prpo import PrpoConfig
from verl_prpo.text.decoding import token_texts


def cut(
    settings: PrpoConfig,
    *,
    keys: Sequence[str],
    response_ids: Sequence[Sequence[int]],
    response_mask: Tensor,
    signal: Tensor | None = None,
    tokenizer: Any = None,
) -> Tensor:
    """Where the segments of responses start under `algorithm.prpo.segmenter`.

    Args:
        settings: `algorithm.prpo`.
        keys: TransferQueue keys; the random segmenter draws by them.
        response_ids: token ids of each response, without padding.
        response_mask: int `[bs, L]`, 1 on the policy's own tokens.
        signal: float `[bs, L]`, entropy or surprisal in nats, for the segmenters of those names.
        tokenizer: the policy's Hugging Face tokenizer, for the segmenter text.

    Returns:
        BoolTensor `[bs, L]`, True at the first token of each segment.

    Raises:
        ValueError: a signal, delimiters or a mask that cannot be used.
    """
    segmenter = settings.segmenter
    if segmenter in ("entropy", "surprisal"):
        if signal is None:
            raise ValueError(
                f"algorithm.prpo.segmenter={segmenter} needs entropy or log-probs and got none. Set "
                "actor_rollout_ref.rollout.calculate_log_probs=True, or another ++algorithm.prpo.segmenter"
            )
        unusable = response_mask.bool() & ~signal.isfinite()
        if unusable.any():
            row, token = unusable.nonzero()[0].tolist()
            raise ValueError(
                f"response {keys[row]}, token {token}: the policy's {segmenter} is {signal[row, token].item()}, so it "
                f"cannot be cut by algorithm.prpo.segmenter={segmenter}"
            )
        least, most = settings.anchor_bounds
        return entropy_segments(
            signal,
            response_mask,
            settings.max_anchors,
            settings.min_gap,
            settings.anchor_rule,
            tokens_per_anchor=settings.tokens_per_anchor,
            anchor_bounds=(least, most),
        )
    if segmenter == "text":
        texts = [token_texts(tokenizer, ids) for ids in response_ids]
        return text_segments(texts, response_mask, settings.delimiters)
    if segmenter == "tokens":
        ids = torch.zeros_like(response_mask, dtype=torch.long)
        for row, given in enumerate(response_ids):
            ids[row, : len(given)] = torch.tensor(list(given), dtype=torch.long)
        return token_segments(ids, _within(response_mask, response_ids), settings.delimiter_token_ids)
    if segmenter == "random":
        starts = torch.zeros_like(response_mask, dtype=torch.bool)
        for row, (key, given) in enumerate(zip(keys, response_ids, strict=True)):
            own = response_mask[row : row + 1, : len(given)]
            starts[row, : len(given)] = random_segments(own, settings.num_segments, _generator(key))[0]
        return starts
    return uniform_segments(response_mask, settings.num_segments if segmenter == "uniform" else 1)


def _within(response_mask: Tensor, response_ids: Sequence[Sequence[int]]) -> Tensor:
    lengths = torch.tensor([len(ids) for ids in response_ids])[:, None]
    return response_mask.bool() & (torch.arange(response_mask.shape[1]) < lengths)


def _generator(key: str) -> torch.Generator:
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
