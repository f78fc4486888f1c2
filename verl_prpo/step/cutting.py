# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The configured segmenter applied to responses: one or many, in a reward-loop worker or in the trainer.

Each row is cut by itself, so that a response has the same segments alone and in any batch.
"""

import hashlib
from collections import Counter
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
from verl_prpo.method.turns import Turns
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
    if settings.cuts_by in ("entropy", "surprisal"):
        _require_signal(settings, keys, response_mask, signal)
    mask = _within(response_mask, response_ids)
    texts: Sequence[Sequence[str]] = ()
    if settings.cuts_by == "text":
        texts = [token_texts(tokenizer, ids) for ids in response_ids]
    if not settings.cuts_turns:
        return _cut_rows(settings, keys, response_ids, mask, signal, texts)
    turns = Turns.of(mask)
    spans = turns.spans()
    starts = _cut_rows(
        settings,
        _turn_keys(keys, spans),
        [response_ids[row][begin:end] for row, begin, end in spans],
        turns.mask,
        None if signal is None else turns.rows(signal),
        [texts[row][begin:end] for row, begin, end in spans] if texts else (),
    )
    return turns.back(starts, mask)


def _cut_rows(
    settings: PrpoConfig,
    keys: Sequence[str],
    response_ids: Sequence[Sequence[int]],
    mask: Tensor,
    signal: Tensor | None,
    texts: Sequence[Sequence[str]],
) -> Tensor:
    """Where the segments of rows start, responses or turns: bool, with the shape of `mask`."""
    segmenter = settings.cuts_by
    if segmenter in ("entropy", "surprisal"):
        assert signal is not None
        return entropy_segments(signal, mask, settings.max_anchors, settings.min_gap, settings.anchor_rule)
    if segmenter == "text":
        return text_segments(texts, mask, settings.delimiters)
    if segmenter == "tokens":
        ids = torch.zeros_like(mask, dtype=torch.long)
        for row, given in enumerate(response_ids):
            ids[row, : len(given)] = torch.tensor(list(given), dtype=torch.long)
        return token_segments(ids, mask, settings.delimiter_token_ids)
    if segmenter == "random":
        starts = torch.zeros_like(mask)
        for row, (key, given) in enumerate(zip(keys, response_ids, strict=True)):
            own = mask[row : row + 1, : len(given)]
            starts[row, : len(given)] = random_segments(own, settings.num_segments, _generator(key))[0]
        return starts
    return uniform_segments(mask, settings.num_segments if segmenter == "uniform" else 1)


def _turn_keys(keys: Sequence[str], spans: Sequence[tuple[int, int, int]]) -> list[str]:
    """A key for each turn: that of its response, and its number there."""
    count: Counter[int] = Counter()
    found = []
    for row, _, _ in spans:
        found.append(f"{keys[row]}/{count[row]}")
        count[row] += 1
    return found


def _require_signal(settings: PrpoConfig, keys: Sequence[str], response_mask: Tensor, signal: Tensor | None) -> None:
    segmenter = f"algorithm.prpo.segmenter={settings.segmenter}"
    if signal is None:
        raise ValueError(
            f"{segmenter} needs entropy or log-probs and got none. Set "
            "actor_rollout_ref.rollout.calculate_log_probs=True, or another ++algorithm.prpo.segmenter"
        )
    unusable = response_mask.bool() & ~signal.isfinite()
    if unusable.any():
        row, token = unusable.nonzero()[0].tolist()
        raise ValueError(
            f"response {keys[row]}, token {token}: the policy's {settings.cuts_by} is {signal[row, token].item()}, so "
            f"it cannot be cut by {segmenter}"
        )


def _within(response_mask: Tensor, response_ids: Sequence[Sequence[int]]) -> Tensor:
    lengths = torch.tensor([len(ids) for ids in response_ids])[:, None]
    return response_mask.bool() & (torch.arange(response_mask.shape[1]) < lengths)


def _generator(key: str) -> torch.Generator:
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
