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
from verl_prpo.text.decoding import thought_tokens, token_texts
from verl_prpo.text.thinking import decode_with_tags, opens_thought


def cut(
    settings: PrpoConfig,
    *,
    keys: Sequence[str],
    response_ids: Sequence[Sequence[int]],
    response_mask: Tensor,
    signal: Tensor | None = None,
    tokenizer: Any = None,
    thoughts: Tensor | None = None,
) -> Tensor:
    """Where the segments of responses start under `algorithm.prpo.segmenter`.

    Args:
        settings: `algorithm.prpo`.
        keys: TransferQueue keys; the random segmenter draws by them.
        response_ids: token ids of each response, without padding.
        response_mask: int `[bs, L]`, 1 on the policy's own tokens.
        signal: float `[bs, L]`, entropy or surprisal in nats, for the segmenters of those names.
        tokenizer: the policy's Hugging Face tokenizer, for the segmenter text.
        thoughts: bool `[bs, L]`, True on tokens of thoughts that are hidden from the PRM. Each is a segment of its own,
            and the segmenter cuts what is left as if the thoughts were the tokens of a tool.

    Returns:
        BoolTensor `[bs, L]`, True at the first token of each segment.

    Raises:
        ValueError: a signal, delimiters or a mask that cannot be used.
    """
    shown = response_mask if thoughts is None else response_mask * ~thoughts
    starts = _cut(settings, keys, response_ids, shown, signal, tokenizer, thoughts)
    return starts if thoughts is None else starts | thought_edges(response_mask.bool(), thoughts)


def _cut(
    settings: PrpoConfig,
    keys: Sequence[str],
    response_ids: Sequence[Sequence[int]],
    response_mask: Tensor,
    signal: Tensor | None,
    tokenizer: Any,
    thoughts: Tensor | None,
) -> Tensor:
    """The segmenter's own cuts, with the hidden thoughts out of the mask."""
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
        if thoughts is not None:  # they end no segment, and give none its words
            hidden = thoughts.tolist()
            texts = [
                ["" if is_hidden else text for text, is_hidden in zip(row, hidden[i], strict=False)]
                for i, row in enumerate(texts)
            ]
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


def thought_mask(
    tokenizer: Any,
    response_ids: Sequence[Sequence[int]],
    prompt_ids: Sequence[Sequence[int]],
    messages: Sequence[Sequence[dict[str, Any]]],
    width: int,
) -> Tensor:
    """Which tokens of responses are of thoughts, bool `[bs, width]`.

    Args:
        tokenizer: the policy's Hugging Face tokenizer.
        response_ids: token ids of each response, without padding.
        prompt_ids: token ids of the prompts, which say whether the response begins inside a thought.
        messages: the prompts as chat messages.
        width: of the batch.
    """
    found = torch.zeros(len(response_ids), width, dtype=torch.bool)
    for row, (ids, prompt, said) in enumerate(zip(response_ids, prompt_ids, messages, strict=True)):
        inside = opens_thought(decode_with_tags(tokenizer, prompt), said)
        found[row, : len(ids)] = torch.tensor(thought_tokens(tokenizer, ids, inside), dtype=torch.bool)
    return found


def hidden_segments(starts: Tensor, thoughts: Tensor | None) -> list[bool]:
    """Which segments of a response are thoughts hidden from the PRM; none at all where nothing is hidden.

    Args:
        starts: bool `[L]`, of one response that was cut with these thoughts.
        thoughts: bool `[L]`, or None.
    """
    return [] if thoughts is None else thoughts[starts].tolist()


def thought_edges(mask: Tensor, thoughts: Tensor) -> Tensor:
    """The first token of each thought and the first behind it, among the policy's own; bool `[bs, L]`, as both are."""
    state = torch.where(mask, 1 + (thoughts & mask).int(), 0)
    column = torch.where(mask, torch.arange(mask.shape[1], device=mask.device), -1).cummax(1).values
    before = torch.nn.functional.pad(column[:, :-1], (1, 0), value=-1)
    earlier = torch.where(before >= 0, state.gather(1, before.clamp(min=0)), 0)
    return mask & (thoughts | (earlier == 2)) & (state != earlier)


def _within(response_mask: Tensor, response_ids: Sequence[Sequence[int]]) -> Tensor:
    lengths = torch.tensor([len(ids) for ids in response_ids])[:, None]
    return response_mask.bool() & (torch.arange(response_mask.shape[1]) < lengths)


def _generator(key: str) -> torch.Generator:
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
