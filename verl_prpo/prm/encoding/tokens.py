# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Turn texts into token ids in which nothing is a special token, and check that a PRM's weights have all its tokens."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from verl_prpo.prm.families.base import PrmError

_remembered: ContextVar[dict[tuple[int, str], list[int]] | None] = ContextVar("texts_remembered", default=None)
"""Token ids of texts by tokenizer, in the block of `texts_remembered`."""


def plain_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of each text, in which the text of a special token is text.

    The tokens that begin or end a sequence are not added.
    """
    if not texts:
        return []
    known = _remembered.get()
    if known is None:
        return tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True).input_ids
    new = [text for text in dict.fromkeys(texts) if (id(tokenizer), text) not in known]
    if new:
        found = tokenizer(new, add_special_tokens=False, split_special_tokens=True).input_ids
        known.update(zip(((id(tokenizer), text) for text in new), found, strict=True))
    return [known[id(tokenizer), text] for text in texts]


@contextmanager
def texts_remembered() -> Iterator[None]:
    """Tokenise each text once in the `with` block, where parts of one response are encoded again and again."""
    token = _remembered.set({})
    try:
        yield
    finally:
        _remembered.reset(token)


def continuation_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of each text as one that follows another text, not as the beginning of one.

    Llama's tokenizers, and others from sentencepiece, put a space before a text. That space is left out here.

    Raises:
        ValueError: the tokenizer joins a new line with what follows it.
    """
    begin, inside = plain_ids(tokenizer, ["a", "\na"])
    if inside[-1:] == begin:
        return plain_ids(tokenizer, texts)
    guard = plain_ids(tokenizer, ["\n"])[0]
    guarded = plain_ids(tokenizer, ["\n" + text for text in texts])
    if any(ids[: len(guard)] != guard for ids in guarded):
        raise ValueError("the PRM's tokenizer joins a new line with what follows it, so steps cannot be told apart")
    return [ids[len(guard) :] for ids in guarded]


def vocabulary(tokenizer: Any, also: Sequence[int] = ()) -> dict[str, int]:
    """Return the tokens that a dialogue can hold, with their ids.

    Special tokens count only when the chat template or `also` names them, for text never becomes one. Some sound models
    have other special tokens (for images, say) past their embeddings.

    Args:
        tokenizer: a Hugging Face tokenizer.
        also: ids of tokens that a family puts into dialogues itself.
    """
    template = str(tokenizer.chat_template)
    unused = {
        i
        for i, token in tokenizer.added_tokens_decoder.items()
        if token.special and token.content not in template and i not in (tokenizer.bos_token_id, *also)
    }
    return {token: i for token, i in tokenizer.get_vocab().items() if i not in unused}


def require_embeddings(tokenizer: Any, model_path: str, rows: int, fix: str, also: Sequence[int] = ()) -> None:
    """Check that every token of `vocabulary` has an embedding.

    Args:
        tokenizer: the PRM's.
        model_path: where it comes from, for the message.
        rows: of the model's input embeddings.
        fix: the setting to change, for the message.
        also: ids of tokens that the family puts into dialogues itself.

    Raises:
        PrmError: tokenizer and weights are not of one model.
    """
    largest = max([*vocabulary(tokenizer, also).values(), *also])
    if largest >= rows:
        raise PrmError(
            f"the tokenizer of reward.prm.model_path={model_path} has token ids up to {largest}, but the "
            f"weights have {rows} embeddings: the two are not of one model. {fix}"
        )
