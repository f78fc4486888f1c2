# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The chat messages to which an output of an agent loop responds."""

from collections.abc import Mapping, Sequence
from typing import Any

from verl_prpo.text.chat_turns import find_turns


def messages_of(
    later: int | bool, raw_prompt: Sequence[Mapping[str, Any]], prompt_ids: Sequence[int], tokenizer: Any
) -> list[dict[str, Any]]:
    """Return the prompt of an output as chat messages.

    The first output of a session responds to the row's own messages. A later one responds to a prompt that the agent
    loop made, such as a summary of the conversation. verl keeps only its tokens, which are read back into turns. A
    prompt in no known template becomes one message of the user.

    Args:
        later: whether (or how many) outputs of the session came before.
        raw_prompt: the messages of the row.
        prompt_ids: token ids of the output's prompt.
        tokenizer: the policy's Hugging Face tokenizer.
    """
    if not later:
        return [dict(message) for message in raw_prompt]
    text = tokenizer.decode(list(prompt_ids), skip_special_tokens=False)
    found = find_turns(text)
    if found.template is None:
        return [{"role": "user", "content": tokenizer.decode(list(prompt_ids), skip_special_tokens=True)}]
    return [dict(message) for message in found.messages]
