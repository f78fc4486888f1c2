# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Choose where the segments of a response begin (PRPO, arXiv 2601.07182, section 3 and algorithm 1).

Every function returns `segment_starts`, a BoolTensor `[bs, L]` that is True at the first token of each segment. The
first valid token of a non-empty row always starts a segment, and no start lies where the mask is 0. A segment runs from
its start to the next one, so the segments tile the row. Positions are columns of the tensor. A stretch of tool tokens
(mask 0) between two policy tokens therefore counts as distance between them. Everything is vectorised over the batch
and runs on the device of its input.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor

from verl_prpo.method.anchors import greedy_anchors, paper_anchors
from verl_prpo.method.validate import (
    checked_mask,
    require_above_minus_infinity,
    require_anchor_bounds,
    require_segments,
)

AnchorRule = Literal["paper", "greedy"]
ANCHOR_RULES: tuple[str, ...] = ("paper", "greedy")

TOKENS_PER_ANCHOR = 100
"""Tokens to one anchor with `max_anchors="auto"`. The paper's 5 anchors suit responses of about 500 tokens."""

ANCHOR_BOUNDS = (5, 100)
"""Least and most anchors of a response with `max_anchors="auto"`. Short responses have the paper's 5. Past 10,000
tokens segments become longer, not more, because a PRM reads a separator or more for each."""


def entropy_segments(
    entropy: Tensor,
    response_mask: Tensor,
    max_anchors: int | Literal["auto"] = 5,
    min_gap: int = 10,
    rule: AnchorRule = "paper",
    *,
    tokens_per_anchor: int = TOKENS_PER_ANCHOR,
    anchor_bounds: tuple[int, int] = ANCHOR_BOUNDS,
) -> Tensor:
    """Cut each response at its entropy spikes, so that an uncertain token opens its segment (algorithm 1).

    Args:
        entropy: float `[bs, L]`, entropy in nats of the distribution each token was drawn from. Values outside the mask
            are ignored. Surprisal (minus the log-probability of the sampled token) may stand in for it.
        response_mask: bool, int or float `[bs, L]`, 1 on the policy's own tokens.
        max_anchors: how many spikes of a response are considered (the paper's k), at least 0. "auto" takes one for
            every `tokens_per_anchor` valid tokens of a row, within `anchor_bounds`.
        min_gap: least distance between two cuts, and from the row's first valid token, in tokens (the paper's m).
        rule: how cuts are chosen among the spikes.
            "paper": it takes the `max_anchors` highest positions (the earlier one on a tie) and walks them left to
            right. It keeps one that is at least `min_gap` after the last one kept. Then it drops those less than
            `min_gap` after the row's first valid token. A row of `max_anchors` valid tokens or fewer is one segment.
            "greedy": it is non-maximum suppression. It goes from the highest position down, and keeps one that is at
            least `min_gap` from the row's start and from every position kept.
        tokens_per_anchor: valid tokens to one anchor with `max_anchors="auto"`, at least 1.
        anchor_bounds: least and most anchors of a row with `max_anchors="auto"`.

    Returns:
        BoolTensor `[bs, L]`, True at the first token of each segment. A row has at most one segment more than anchors.

    Raises:
        ValueError: shapes that differ, NaN or +inf under the mask, an unknown rule, a negative size.

    Example:
        >>> import torch
        >>> from verl_prpo import entropy_segments
        >>> entropy = torch.tensor([[0.1, 0.2, 1.5, 0.1, 0.3, 0.9]])
        >>> entropy_segments(entropy, torch.ones(1, 6), max_anchors=2, min_gap=2).int()
        tensor([[1, 0, 1, 0, 0, 1]], dtype=torch.int32)
    """
    mask = checked_mask(response_mask)
    if entropy.shape != mask.shape:
        raise ValueError(f"entropy has shape {tuple(entropy.shape)} but response_mask has {tuple(mask.shape)}")
    if rule not in ANCHOR_RULES:
        raise ValueError(f"unknown anchor rule {rule!r}; choose one of {', '.join(ANCHOR_RULES)}")
    if isinstance(max_anchors, str):
        if max_anchors != "auto":
            raise ValueError(f'max_anchors must be a whole number or "auto", got {max_anchors!r}')
        require_anchor_bounds(tokens_per_anchor, anchor_bounds)
    elif max_anchors < 0:
        raise ValueError(f"max_anchors must not be negative, got {max_anchors}")
    if min_gap < 0:
        raise ValueError(f"min_gap must not be negative, got {min_gap}")
    if mask.numel() == 0:
        return torch.zeros_like(mask)
    min_gap = min(min_gap, mask.shape[1])  # beyond the length of the row it changes nothing
    with torch.no_grad():
        require_above_minus_infinity(entropy, mask)
        spikes = torch.where(mask, entropy.float(), float("-inf"))
        first, starts = _first_valid(mask)
        if isinstance(max_anchors, str):
            width = mask.shape[1]
            least, most = (min(bound, width) for bound in anchor_bounds)
            anchors = (mask.sum(1, keepdim=True) // min(tokens_per_anchor, width + 1)).clamp(least, most)
        else:
            anchors = torch.full_like(first, min(max_anchors, mask.shape[1]))
        choose = paper_anchors if rule == "paper" else greedy_anchors
        cuts, keep = choose(spikes, first, anchors.clamp(max=mask.shape[1]), min_gap)
        return _mark(starts, cuts, keep, first, mask)


def uniform_segments(response_mask: Tensor, num_segments: int) -> Tensor:
    """Cut each response into segments of equal length, give or take a token (the paper's "uniform" ablation arm).

    Args:
        response_mask: bool, int or float `[bs, L]`, 1 on the policy's own tokens.
        num_segments: segments per response, at least 1. A row with fewer valid tokens gets one segment per token.

    Returns:
        BoolTensor `[bs, L]`, True at the first token of each segment.

    Raises:
        ValueError: a mask that is not `[bs, L]`, or `num_segments` below 1.

    Example:
        >>> import torch
        >>> from verl_prpo import uniform_segments
        >>> uniform_segments(torch.tensor([[1, 1, 1, 1, 1, 0]]), num_segments=2).int()
        tensor([[1, 0, 0, 1, 0, 0]], dtype=torch.int32)
    """
    mask = checked_mask(response_mask)
    require_segments(num_segments)
    if mask.numel() == 0:
        return torch.zeros_like(mask)
    with torch.no_grad():
        num_segments = min(num_segments, mask.shape[1])
        length = mask.sum(1, keepdim=True)
        rank = mask.cumsum(1) - 1  # int64, because rank * num_segments passes 2^31 on long rows
        bin_of = rank * num_segments // length.clamp(min=1)
        bin_before = (rank - 1) * num_segments // length.clamp(min=1)  # -1 at rank 0, which makes it a start
        return mask & (bin_of != bin_before)


def random_segments(response_mask: Tensor, num_segments: int, generator: torch.Generator | None = None) -> Tensor:
    """Cut each response at positions drawn uniformly without replacement (the paper's "random" ablation arm).

    Args:
        response_mask: bool, int or float `[bs, L]`, 1 on the policy's own tokens.
        num_segments: segments per response, at least 1. A row with fewer valid tokens gets one segment per token.
        generator: source of randomness on the mask's device. None means the global one.

    Returns:
        BoolTensor `[bs, L]`, True at the first token of each segment.

    Raises:
        ValueError: a mask that is not `[bs, L]`, or `num_segments` below 1.

    Example:
        >>> import torch
        >>> from verl_prpo import random_segments
        >>> random_segments(torch.ones(1, 6), num_segments=3, generator=torch.Generator().manual_seed(0)).sum().item()
        3
    """
    mask = checked_mask(response_mask)
    require_segments(num_segments)
    if mask.numel() == 0:
        return torch.zeros_like(mask)
    with torch.no_grad():
        first, starts = _first_valid(mask)
        draws = torch.rand(mask.shape, generator=generator, device=mask.device)
        draws = torch.where(mask & ~starts, draws, -1.0)
        k = min(num_segments - 1, mask.shape[1])
        if k == 0:
            return starts
        values, cuts = draws.topk(k, dim=1)
        return _mark(starts, cuts, values >= 0, first, mask)


def token_segments(response_ids: Tensor, response_mask: Tensor, delimiter_token_ids: Sequence[int]) -> Tensor:
    """Cut each response after its delimiter tokens.

    A run of delimiters ends one segment. Delimiters before any other token end none, and belong to the first segment.

    Args:
        response_ids: int `[bs, L]`. Values outside the response are ignored.
        response_mask: bool, int or float `[bs, L]`, 1 on the policy's own tokens. A delimiter among tool tokens counts:
            the segment after it starts at the next token of the policy.
        delimiter_token_ids: token ids that end a segment, at least one.

    Returns:
        BoolTensor `[bs, L]`, True at the first token of each segment.

    Raises:
        ValueError: shapes that differ, or no delimiter.
    """
    mask = checked_mask(response_mask)
    if response_ids.shape != mask.shape:
        raise ValueError(f"response_ids has shape {tuple(response_ids.shape)}, response_mask {tuple(mask.shape)}")
    if not len(delimiter_token_ids):
        raise ValueError("delimiter_token_ids must name at least one token id")
    if mask.numel() == 0:
        return torch.zeros_like(mask)
    with torch.no_grad():
        delimiter = torch.isin(response_ids, torch.tensor(list(delimiter_token_ids), device=mask.device))
        body = mask & ~delimiter
        ended = delimiter.cumsum(1, dtype=torch.int32)
        seen = torch.where(body, ended, -1).cummax(1).values  # delimiters before the last body token up to here
        before = torch.nn.functional.pad(seen[:, :-1], (1, 0), value=-1)
        _, starts = _first_valid(mask)
        return starts | (body & (before >= 0) & (ended != before))


def text_segments(token_texts: Sequence[Sequence[str]], response_mask: Tensor, delimiters: Sequence[str]) -> Tensor:
    """Cut each response after its delimiters. The token that holds the end of one belongs to the segment that ends.

    A segment of nothing but delimiters and white space joins the one before it. At the start of a response it joins the
    one after it. So a run of delimiters ends one segment.

    Args:
        token_texts: for each row the text that each of its tokens adds. Together they are the response. A character
            whose bytes are spread over tokens is in the text of the last of them.
        response_mask: bool, int or float `[bs, L]`, 1 on the policy's own tokens. A delimiter among tool tokens counts:
            the segment after it starts at the next token of the policy.
        delimiters: texts that end a segment, at least one. None may be empty.

    Returns:
        BoolTensor `[bs, L]`, True at the first token of each segment.

    Raises:
        ValueError: another number of rows, a row longer than the mask, no delimiter or an empty one.
    """
    mask = checked_mask(response_mask)
    if len(token_texts) != len(mask) or any(len(row) > mask.shape[1] for row in token_texts):
        longest = max(map(len, token_texts), default=0)
        raise ValueError(
            f"{len(token_texts)} rows of at most {longest} token texts but response_mask has {tuple(mask.shape)}"
        )
    if not len(delimiters) or not all(delimiters):
        raise ValueError(f"delimiters must be texts that are not empty, at least one; got {list(delimiters)}")
    longest_first = sorted(delimiters, key=len, reverse=True)
    ends = re.compile("|".join(map(re.escape, longest_first)))
    starts = torch.zeros_like(mask)
    for row, texts in enumerate(token_texts):
        starts[row, _text_starts(texts, mask[row].tolist(), ends)] = True
    return starts


def restrict_segments(segment_starts: Tensor, response_mask: Tensor) -> Tensor:
    """Carry segments over to a mask that lost tokens (rollout correction rejects some after segmentation).

    Args:
        segment_starts: bool `[bs, L]`, starts under the former mask.
        response_mask: bool, int or float `[bs, L]`, the mask that remains. It may only remove tokens.

    Returns:
        BoolTensor `[bs, L]`, True at the first remaining token of each segment that still has one.
    """
    mask = checked_mask(response_mask)
    with torch.no_grad():
        segment = segment_starts.int().cumsum(1, dtype=torch.int32)
        seen = torch.where(mask, segment, 0).cummax(1).values  # the segment of the last valid token up to here
        before = torch.nn.functional.pad(seen[:, :-1], (1, 0))
        return mask & (segment != before)


def segment_bounds(segment_starts: Tensor, length: int) -> list[tuple[int, int]]:
    """List the half-open spans `[begin, end)` that tile one response, tool tokens included.

    Args:
        segment_starts: bool `[L]`, one row of any segmenter's result.
        length: number of tokens of the response, padding excluded.

    Returns:
        One `(begin, end)` per segment. The first begins at 0, and the last ends at `length`. The list is empty when no
        segment starts.
    """
    cuts = segment_starts[:length].nonzero()[:, 0].tolist()
    if not cuts:
        return []
    begins = [0, *cuts[1:]]
    return list(zip(begins, [*begins[1:], length], strict=True))


def _text_starts(texts: Sequence[str], mask: Sequence[bool], ends: re.Pattern[str]) -> list[int]:
    reach = list(accumulate(map(len, texts)))  # characters up to and with each token
    valid = [t for t in range(len(texts)) if mask[t]]
    if not valid:
        return []
    after = [bisect_left(reach, match.end()) + 1 for match in ends.finditer("".join(texts))]
    candidates = {valid[i] for i in (bisect_left(valid, token) for token in after) if i < len(valid)}
    begins = [0, *sorted(candidates - {valid[0]})]
    kept: list[int] = []
    for begin, end in zip(begins, [*begins[1:], len(texts)], strict=True):
        says_more = bool(ends.sub("", "".join(texts[begin:end])).strip())
        if not kept:
            spoken = says_more
            kept.append(begin)
        elif says_more and spoken:
            kept.append(begin)
        else:
            spoken = spoken or says_more
    return [valid[0], *kept[1:]]


def _mark(starts: Tensor, cuts: Tensor, keep: Tensor, first: Tensor, mask: Tensor) -> Tensor:
    # A cut that is dropped points at the row's first token, which is a start already. In an empty row the mask takes it
    # back.
    return starts.scatter_(1, torch.where(keep, cuts, first), True).logical_and_(mask)


def _first_valid(mask: Tensor) -> tuple[Tensor, Tensor]:
    if mask[:, 0].all():  # no search needed
        first = torch.zeros(len(mask), 1, dtype=torch.long, device=mask.device)
    else:
        first = mask.byte().argmax(1, keepdim=True)
    starts = torch.zeros_like(mask).scatter_(1, first, mask.gather(1, first))
    return first, starts
