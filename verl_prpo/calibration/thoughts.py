# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Find out whether the thoughts of a dump can be found, so that a command hides what training hides.

verl's dump is text without special tokens. Where a policy's tags of thoughts are special tokens, this text does not
show where a thought begins and ends. The record of a run with PRPO does (`thoughts`).
"""

from collections.abc import Sequence
from typing import Any

from verl_prpo.calibration.response import InputError, Response, thoughts_of
from verl_prpo.text.thinking import special_thought_tags

HIDE = "reward.prm.thinking=hide"

_REMEDY = (
    "A dump of a run with algorithm.adv_estimator=prpo records the thoughts (docs/rollouts.md). Use one, or set "
    "++reward.prm.thinking=score here and in training"
)


def unseen_thoughts(responses: Sequence[Response], tokenizer: Any = None) -> str | None:
    """Give a warning where `reward.prm.thinking=hide` hides nothing, or None where it hides something.

    Args:
        responses: responses that are to be shown without their thoughts.
        tokenizer: the policy's Hugging Face tokenizer, where it is given.

    Raises:
        InputError: the policy's tags are special tokens, and the text has lost them.
    """
    by_text = [response for response in responses if not response.thoughts_known]
    recorded = [response for response in responses if response.thoughts_known]
    return nothing_hidden(
        sum(bool(thoughts_of(response)) for response in by_text),
        len(by_text),
        any(thoughts_of(response) for response in recorded),
        tokenizer,
    )


def nothing_hidden(found: int, by_text: int, recorded: bool, tokenizer: Any = None) -> str | None:
    """Give the same warning from counts.

    Args:
        found: number of responses whose text shows a thought, among the responses of which only the text can show one.
        by_text: number of all responses of which only the text can show a thought.
        recorded: whether a record names a thought, in the other responses.
        tokenizer: as of `unseen_thoughts`.

    Raises:
        InputError: as of `unseen_thoughts`.
    """
    if found or (recorded and not by_text):
        return None
    if not by_text:
        return f"{HIDE} hides nothing: by the dump's records no response holds a thought"
    if tokenizer is not None and (tags := special_thought_tags(tokenizer)):
        raise InputError(
            f"{HIDE}: the tags of the policy's thoughts ({', '.join(tags)}) are special tokens, which verl leaves out "
            f"of a dump's text. So nobody knows where the thoughts of {by_text} responses end, and the PRM would be "
            f"shown what training hides. {_REMEDY}"
        )
    none = f"{HIDE} hides nothing: none of {by_text} responses shows a tag of a thought"
    if tokenizer is not None:
        return f"{none}, and the policy's tokenizer has no tag that text loses. So the policy does not think in tags"
    return (
        f"{none}. If the policy thinks, its tags may be special tokens, which verl leaves out of a dump's text, and "
        f"the PRM is shown here what training hides. --tokenizer POLICY finds out whether they are. {_REMEDY}"
    )
