# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Find the token of a tag after each step, and turn the texts around it into tokens.

A tag is one token of the PRM's vocabulary. It may be a word of its own after a space, several newlines, or a token
that was added for it. It is put between the tokens of two steps, so its positions are known and never searched for.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import AddedToken

from verl_prpo.prm.encoding.tokens import continuation_ids, plain_ids
from verl_prpo.prm.families.base import PrmError

_log = logging.getLogger(__name__)

_WORD = "so"
_ENDINGS = (".", ")", "$", "}", ":")
"""Characters in which steps end that end in no word."""


@dataclass(frozen=True)
class Tag:
    """A tag as a tokenizer reads it.

    Attributes:
        token: its id.
        opening: a text that ends in the tag, after which a step is tokenised. None for an added token, which no text
            becomes.
        space: what is written before the tag and is no part of its token.
        strips: whether the tokenizer drops white space after the tag.
    """

    token: int
    opening: str | None
    space: str = ""
    strips: bool = False

    def before(self, texts: Sequence[str]) -> list[str]:
        """Append to each text what is written between it and its tag."""
        return [text + self.space for text in texts]

    def ids_behind(self, tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of texts each of which follows a tag.

        Raises:
            ValueError: the tokenizer joins the tag with what follows it.
        """
        if self.opening is None:
            texts = [text.lstrip() if self.strips else text for text in texts]
            behind = tokenizer(tokenizer.convert_ids_to_tokens(self.token) + "a", add_special_tokens=False).input_ids[
                1:
            ]
            continues = behind != plain_ids(tokenizer, ["a"])[0]
            return continuation_ids(tokenizer, texts) if continues else plain_ids(tokenizer, texts)
        (opening,) = plain_ids(tokenizer, [self.opening])
        found = plain_ids(tokenizer, [self.opening + text for text in texts])
        for ids, text in zip(found, texts, strict=True):
            if ids[: len(opening)] != opening:
                raise ValueError(f"the PRM's tokenizer joins its tag with the text that follows it ({text[:40]!r})")
        return [ids[len(opening) :] for ids in found]


def find_tag(tokenizer: Any, tag: str, behind: str, where: str, fix: str) -> Tag:
    """Find the token of a tag that stands after a word.

    Args:
        tokenizer: the PRM's. An added token that is the tag becomes a special one, so that no text is tokenised as it.
            That changes no id.
        tag: its text.
        behind: what is written between a step and the tag.
        where: the setting that names the model, for messages.
        fix: the setting to change, for messages.

    Raises:
        PrmError: the tag is several tokens, or not known. The message shows its tokens.
    """
    words, space = _WORD + behind.rstrip(" "), behind[len(behind.rstrip(" ")) :]
    for token, added in tokenizer.added_tokens_decoder.items():
        if added.content == tag:
            special = AddedToken(tag, special=True, normalized=False, lstrip=added.lstrip, rstrip=added.rstrip)
            tokenizer.add_tokens([special], special_tokens=True)
            return Tag(token, None, "" if added.lstrip else space, added.rstrip)
    text = space + tag
    before, whole = plain_ids(tokenizer, [words, words + text])
    found = whole[len(before) :] if whole[: len(before)] == before else plain_ids(tokenizer, [text])[0]
    if len(found) != 1 or found[0] == tokenizer.unk_token_id or whole != [*before, *found]:
        raise PrmError(
            f"the tokenizer of {where} has no one token for the tag {tag!r} that ends a step: written as {text!r} it "
            f"is {len(found)} token{'s' if len(found) != 1 else ''}, {tokenizer.convert_ids_to_tokens(found)}. {fix}"
        )
    joined = [
        end for end in _ENDINGS if plain_ids(tokenizer, [_WORD + end + behind.rstrip(" ") + text])[0][-1:] != found
    ]
    if joined:
        _log.warning(
            "in a text the tokenizer of %s joins the tag %r with %s before it. The tag is put as a token of its own "
            "there too, which a PRM that was trained on whole texts has not seen",
            where,
            text,
            " ".join(joined),
        )
    alone = [one for one in (text.lstrip(" "), text) if plain_ids(tokenizer, [one])[0] == found]
    return Tag(found[0], (alone or [words + text])[0])


def token_ids(tokenizer: Any, text: str) -> list[int]:
    """Return the token ids of a text by itself, or the id of the added token where the text is one."""
    added = [token for token, known in tokenizer.added_tokens_decoder.items() if known.content == text]
    return added or plain_ids(tokenizer, [text])[0]
