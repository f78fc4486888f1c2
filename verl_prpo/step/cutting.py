# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The configured segmenter applied to responses: one or many, in a reward-loop worker or in the trainer.

Each row is cut by itself, so that a response has the same segments alone and in any batch.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from verl_prpo.method.segmentation import (
    AnchorRule,
    entropy_segments,
    random_segments,
    text_segments,
    token_segments,
    uniform_segments,
)
from verl_prpo.settings.prpo import PrpoConfig

_LONGEST_CHARACTER = 4
"""Tokens over which the bytes of one UTF-8 character can be spread."""


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
            raise ValueError(f"algorithm.prpo.segmenter={segmenter} needs a signal and got none")
        rule = cast(AnchorRule, settings.anchor_rule)
        return entropy_segments(signal, response_mask, settings.max_anchors, settings.min_gap, rule)
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


def token_texts(tokenizer: Any, response_ids: Sequence[int]) -> list[str]:
    """The text that each token adds to the response; "" for special tokens and for all but the last token of a
    character whose bytes are spread over several.

    Args:
        tokenizer: the policy's Hugging Face tokenizer.
        response_ids: token ids of one response, without padding.

    Returns:
        As many strings as tokens; together they are the response, decoded without special tokens.
    """
    ids = list(response_ids)
    if not ids:
        return []
    whole = tokenizer.decode(ids, skip_special_tokens=True)
    for decoded in (_decoded_alone, _decoded_in_windows):
        texts = decoded(tokenizer, ids)
        if "".join(texts) == whole:
            return texts
    return _decoded_in_windows(tokenizer, ids, len(ids))


def _decoded_alone(tokenizer: Any, ids: list[int]) -> list[str]:
    """Each token decoded by itself, or with the ones before it that hold the first bytes of its character."""
    distinct = list(dict.fromkeys(ids))
    decoded = tokenizer.batch_decode([[token] for token in distinct], skip_special_tokens=True)
    alone = dict(zip(distinct, decoded, strict=True))
    texts: list[str] = []
    broken: list[int] = []
    for token in ids:
        text = alone[token]
        if broken or text.endswith("\ufffd"):
            broken.append(token)
            text = tokenizer.decode(broken, skip_special_tokens=True)
            if text.endswith("\ufffd") and len(broken) < _LONGEST_CHARACTER:
                texts.append("")
                continue
            broken = []
        texts.append(text)
    return texts


def _decoded_in_windows(tokenizer: Any, ids: list[int], width: int = 32) -> list[str]:
    """For tokens that read differently within a text, and for bytes that are no UTF-8: what each adds to the few before
    it. With a width of the whole response this is exact for any decoder, at the square of its length."""
    texts: list[str] = []
    for begin in range(0, len(ids), width):
        end = min(begin + width, len(ids))
        left = max(0, begin - _LONGEST_CHARACTER)
        window, *prefixes = tokenizer.batch_decode(
            [ids[left : end + _LONGEST_CHARACTER], *(ids[left:cut] for cut in range(max(begin, 1), end + 1))],
            skip_special_tokens=True,
        )
        at = 0 if begin == 0 else _common_length(prefixes.pop(0), window)
        for prefix in prefixes:
            reach = max(at, _common_length(prefix, window))
            texts.append(window[at:reach])
            at = reach
    return texts


def _common_length(a: str, b: str) -> int:
    if b.startswith(a):
        return len(a)
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[:middle] == b[:middle] else (low, middle - 1)
    return low


def _within(response_mask: Tensor, response_ids: Sequence[Sequence[int]]) -> Tensor:
    lengths = torch.tensor([len(ids) for ids in response_ids])[:, None]
    return response_mask.bool() & (torch.arange(response_mask.shape[1]) < lengths)


def _generator(key: str) -> torch.Generator:
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
