# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""From the token ids of a response to text, by token and by segment.

Text is all that crosses from the policy's tokenizer to the PRM's.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from verl_prpo.text.thinking import ends_in_thought, resumes_in_thought, special_tags, thought_spans

_LONGEST_CHARACTER = 4
"""The most tokens over which the bytes of one UTF-8 character can be spread."""


def segment_texts(tokenizer: Any, response_ids: Sequence[int], bounds: Sequence[tuple[int, int]]) -> list[str]:
    """Return the text of each segment. Together they are the decoded response, character for character.

    A character whose bytes lie on both sides of a cut goes whole to the segment that holds its last byte.

    Args:
        tokenizer: the policy's Hugging Face tokenizer.
        response_ids: token ids of one response, without padding.
        bounds: half-open token spans that tile the response, in order. It is empty for a response without segments.

    Returns:
        One string per span. It is "" where a span has no text, such as one of special tokens alone.

    Raises:
        ValueError: the spans leave a gap, overlap, or do not cover the response.
    """
    if not bounds:
        return []
    _require_tiling(bounds, len(response_ids))
    texts = token_texts(tokenizer, response_ids)
    return ["".join(texts[begin:end]) for begin, end in bounds]


def token_texts(tokenizer: Any, response_ids: Sequence[int]) -> list[str]:
    """Return the text that each token adds to the response.

    It is "" for special tokens, and for all but the last token of a character whose bytes are spread over several.

    Args:
        tokenizer: the policy's Hugging Face tokenizer.
        response_ids: token ids of one response, without padding.

    Returns:
        As many strings as tokens. Together they are the response, decoded without special tokens.
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


def thought_tokens(
    tokenizer: Any,
    response_ids: Sequence[int],
    inside: bool,
    own: Sequence[bool] | None = None,
    texts: Sequence[str] | None = None,
) -> list[bool]:
    """Say which tokens of a response are of a thought, tags included, as `thoughts_of_texts` does from texts.

    Tags that are special tokens count, although no decoded text shows them.

    Args:
        tokenizer: the policy's Hugging Face tokenizer.
        response_ids: token ids of one response, without padding.
        inside: whether the response begins inside a thought, because the prompt opens one.
        own: which tokens are the policy's own. None means that all are.
        texts: what `token_texts` gives, where it is known already.
    """
    tags = special_tags(tokenizer)
    texts = token_texts(tokenizer, response_ids) if texts is None else texts
    if tags:
        texts = [tags.get(int(token), text) for token, text in zip(response_ids, texts, strict=True)]
    return thoughts_of_texts(texts, inside, own)


def thoughts_of_texts(texts: Sequence[str], inside: bool, own: Sequence[bool] | None = None) -> list[bool]:
    """Say which tokens of a response are of a thought, tags included. A token that lies on its edge is.

    What tools and others say is of no thought. Their words neither open nor close one, but for the head of the policy's
    next turn, which is read as a prompt is.

    Args:
        texts: the text that each token adds, tags included.
        inside: whether the response begins inside a thought, because the prompt opens one.
        own: which tokens are the policy's own. None means that all are.
    """
    found: list[bool] = []
    for mine, stretch in groupby(range(len(texts)), key=lambda token: own is None or own[token]):
        said = [texts[token] for token in stretch]
        found += thought_texts(said, inside) if mine else [False] * len(said)
        inside = ends_in_thought("".join(said), inside) if mine else resumes_in_thought("".join(said), inside)
    return found


def shown_texts(texts: Sequence[str], hidden: Sequence[bool]) -> list[str]:
    """Return the texts of tokens, with "" for hidden ones. Hidden tokens end no segment and give none its words."""
    return ["" if is_hidden else text for text, is_hidden in zip(texts, hidden, strict=False)]


def thought_texts(texts: Sequence[str], inside: bool) -> list[bool]:
    """Say which texts, that together are a response with its tags, are of a thought, as `thought_tokens` does for
    tokens.
    """
    whole = "".join(texts)
    spans = thought_spans(whole, inside)
    spans = [(begin, end + (end == len(whole))) for begin, end in spans]  # with the token that ends the response
    begins = [begin for begin, _ in spans]
    found: list[bool] = []
    at = 0
    for text in texts:
        last = bisect_right(begins, max(at, at + len(text) - 1)) - 1
        found.append(last >= 0 and at < spans[last][1])
        at += len(text)
    return found


def _decoded_alone(tokenizer: Any, ids: list[int]) -> list[str]:
    """Decode each token by itself, or with the ones before it that hold the first bytes of its character."""
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
    """Decode tokens as what each adds to the few before it.

    This serves tokens that read differently within a text, and bytes that are no UTF-8. With a width of the whole
    response it is exact for any decoder, at the square of the response's length.
    """
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


def _require_tiling(bounds: Sequence[tuple[int, int]], length: int) -> None:
    at = 0
    for begin, end in bounds:
        if begin != at or end < begin:
            raise ValueError(
                f"segment bounds {list(bounds)} do not tile the response: ({begin}, {end}) must begin at {at}"
            )
        at = end
    if at != length:
        raise ValueError(f"segment bounds {list(bounds)} end at token {at}, but the response has {length} tokens")
