# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Apply the configured segmenter to responses: one or many, in a reward-loop worker or in the trainer.

Each row is cut by itself. So a response has the same segments alone and in any batch.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
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
from verl_prpo.method.turns import Turns, turn_segments
from verl_prpo.settings.prpo import PrpoConfig
from verl_prpo.text.decoding import shown_texts, thought_tokens, token_texts
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
    texts: Sequence[Sequence[str]] | None = None,
) -> Tensor:
    """Find where the segments of responses start under `algorithm.prpo.segmenter`.

    Args:
        settings: `algorithm.prpo`.
        keys: TransferQueue keys. The random segmenter takes its seed from them.
        response_ids: token ids of each response, without padding.
        response_mask: int `[bs, L]`, 1 on the policy's own tokens.
        signal: float `[bs, L]`, entropy or surprisal in nats, for the segmenters of those names.
        tokenizer: the policy's Hugging Face tokenizer, for the segmenter text.
        thoughts: bool `[bs, L]`, True on tokens of thoughts that are hidden from the PRM. Each is a segment of its own.
            The segmenter cuts what is left as if the thoughts were the tokens of a tool. A segmenter of turns also cuts
            a thought that goes on after a tool's words.
        texts: the text that each token adds, where it is known without the tokenizer.

    Returns:
        BoolTensor `[bs, L]`, True at the first token of each segment.

    Raises:
        ValueError: the signal, the delimiters or the mask cannot be used.
    """
    own = _within(response_mask, response_ids)
    mask = own if thoughts is None else own & ~thoughts
    if settings.cuts_by in ("entropy", "surprisal"):
        _require_signal(settings, keys, mask, signal)
    shown: Sequence[Sequence[str]] = ()
    if settings.cuts_by == "text":
        shown = [token_texts(tokenizer, ids) for ids in response_ids] if texts is None else texts
        if thoughts is not None:
            shown = [shown_texts(said, hidden) for said, hidden in zip(shown, thoughts.tolist(), strict=True)]
    starts = _cut_shown(settings, keys, response_ids, mask, signal, shown)
    if thoughts is None:
        return starts
    starts |= thought_edges(own, thoughts)
    return starts | turn_segments(own) if settings.cuts_turns else starts


def _cut_shown(
    settings: PrpoConfig,
    keys: Sequence[str],
    response_ids: Sequence[Sequence[int]],
    mask: Tensor,
    signal: Tensor | None,
    texts: Sequence[Sequence[str]],
) -> Tensor:
    """Make the segmenter's own cuts, in responses or in turns: bool, in the shape of `mask`, the tokens to cut."""
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
    """Find where the segments of rows start. Rows are responses or turns: bool, in the shape of `mask`."""
    segmenter = settings.cuts_by
    if segmenter in ("entropy", "surprisal"):
        assert signal is not None
        least, most = settings.anchor_bounds
        return entropy_segments(
            signal,
            mask,
            settings.max_anchors,
            settings.min_gap,
            settings.anchor_rule,
            tokens_per_anchor=settings.tokens_per_anchor,
            anchor_bounds=(least, most),
        )
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
    """Make a key for each turn: the key of its response, and its number there."""
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


def thought_mask(
    tokenizer: Any,
    response_ids: Sequence[Sequence[int]],
    response_mask: Tensor,
    prompt_ids: Sequence[Sequence[int]],
    messages: Sequence[Sequence[dict[str, Any]]],
) -> Tensor:
    """Find which tokens of responses belong to thoughts, bool `[bs, L]`. No token of a tool does.

    Args:
        tokenizer: the policy's Hugging Face tokenizer.
        response_ids: token ids of each response, without padding.
        response_mask: int `[bs, L]`, 1 on the policy's own tokens.
        prompt_ids: token ids of the prompts, which say whether the response begins inside a thought.
        messages: the prompts as chat messages.
    """
    found = torch.zeros_like(response_mask, dtype=torch.bool)
    for row, (ids, prompt, said) in enumerate(zip(response_ids, prompt_ids, messages, strict=True)):
        own = response_mask[row, : len(ids)].bool().tolist()
        thoughts = thoughts_behind(tokenizer, prompt, said, ids, own)
        found[row, : len(ids)] = torch.tensor(thoughts, dtype=torch.bool)
    return found


def thoughts_behind(
    tokenizer: Any,
    prompt_ids: Sequence[int],
    messages: Sequence[Mapping[str, Any]],
    response_ids: Sequence[int],
    own: Sequence[bool],
    texts: Sequence[str] | None = None,
) -> list[bool]:
    """Do `thought_mask` for one response. The arguments are those of one row, and of `thought_tokens`."""
    inside = opens_thought(decode_with_tags(tokenizer, prompt_ids), messages)
    return thought_tokens(tokenizer, response_ids, inside, own, texts)


def hidden_segments(starts: Tensor, thoughts: Tensor | None) -> list[bool]:
    """List whether each segment of a response is a thought hidden from the PRM. The list is empty without thoughts.

    Args:
        starts: bool `[L]`, segment starts of one response that was cut with these thoughts.
        thoughts: bool `[L]`, or None.
    """
    return [] if thoughts is None else thoughts[starts].tolist()


def thought_edges(mask: Tensor, thoughts: Tensor) -> Tensor:
    """Mark the first own token of each thought and the first after it: bool `[bs, L]`, as the arguments are."""
    if not mask.numel():
        return torch.zeros_like(mask)
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
