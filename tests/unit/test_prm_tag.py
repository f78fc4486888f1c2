# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A tag between two steps: token ids are those of the whole text, whatever the kind of tokenizer."""

import pytest
from tiny_causal_prms import llama3_tokenizer, mistral_tokenizer
from tiny_models import qwen_tokenizer, sentencepiece_tokenizer
from transformers import AddedToken

from verl_prpo.prm.encoding.tag import find_tag, token_ids
from verl_prpo.prm.encoding.tokens import plain_ids
from verl_prpo.prm.families.base import PrmError

TOKENIZERS = [mistral_tokenizer, sentencepiece_tokenizer, llama3_tokenizer, qwen_tokenizer]


def joined(tokenizer, tag: str, behind: str, join: str) -> tuple[list[int], list[int]]:
    """Token ids put together around the tag, and those of the whole text."""
    found = find_tag(tokenizer, tag, behind, "the model", "Fix it.")
    first, second = found.before([f"It is a{behind.rstrip(' ')}", f"{join}Step 2: so{behind.rstrip(' ')}"])
    ids = [*plain_ids(tokenizer, [first])[0], found.token, *found.ids_behind(tokenizer, [second])[0], found.token]
    whole = f"It is a{behind}{tag}{join}Step 2: so{behind}{tag}"
    return ids, tokenizer(whole, add_special_tokens=False).input_ids


@pytest.mark.parametrize(("behind", "join"), [(" ", "\n"), ("", "\n"), (" ", " "), ("", ""), ("\n= ", "\n\n")])
@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("make", TOKENIZERS)
def test_an_added_token(make, special, behind, join):
    tokenizer = make()
    tokenizer.add_tokens([AddedToken("<step>", special=special, normalized=False)], special_tokens=special)
    ids, whole = joined(tokenizer, "<step>", behind, join)
    assert ids == whole
    assert token_ids(tokenizer, "<step>") == [ids[-1]]


@pytest.mark.parametrize("join", ["\n", " ", "\n\n"])
@pytest.mark.parametrize(
    ("make", "tag"), [(mistral_tokenizer, "ки"), (mistral_tokenizer, "the"), (llama3_tokenizer, "the")]
)
def test_a_word(make, tag, join):
    ids, whole = joined(make(), tag, " ", join)
    assert ids == whole


def test_a_word_that_is_another_token_at_the_beginning_of_a_text():
    tokenizer = mistral_tokenizer()
    found = find_tag(tokenizer, ":", "", "the model", "Fix it.")  # by itself it would have a space before it
    assert found.token == tokenizer("so:", add_special_tokens=False).input_ids[-1]
    assert plain_ids(tokenizer, [":"])[0] != [found.token]
    ids, whole = joined(tokenizer, ":", "", "\n")
    assert ids == whole


@pytest.mark.parametrize("make", TOKENIZERS)
def test_several_tokens_are_shown(make):
    with pytest.raises(
        PrmError, match=r"the model has no one token for the tag 'zq!'.* it is \d tokens, \[.*\]\. Fix it"
    ):
        find_tag(make(), "zq!", " ", "the model", "Fix it.")
