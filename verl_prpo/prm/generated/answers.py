# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Read what a judge answered, and name why an answer cannot be used. Each reason has a counter and a remedy."""

from typing import Any

from verl_prpo.prm.families.options import OPTIONS
from verl_prpo.prm.results import PrmFailure

_SHOWN = 160


class AnswerFault(Exception):
    """An answer that holds no verdicts.

    Attributes:
        count: which counter it adds to, one of `verl_prpo.prm.generated.counts.ANSWERS`.
        kind: the kind of failure, if no further answer helps.
        detail: what was found, and which setting helps.
    """

    def __init__(self, count: str, detail: str, kind: PrmFailure = PrmFailure.BAD_OUTPUT):
        super().__init__(detail)
        self.count = count
        self.kind = kind
        self.detail = detail


def answer_text(choice: Any, max_tokens: int) -> str:
    """Return what the judge decided: the text of one choice of a chat completion, without a thought before it.

    Args:
        choice: as the `openai` package gives it.
        max_tokens: of the request, for messages.

    Raises:
        AnswerFault: the answer was cut off or refused, or it is empty.
    """
    message, reason = getattr(choice, "message", None), getattr(choice, "finish_reason", None)
    refusal = getattr(message, "refusal", None)
    if refusal or reason == "content_filter":
        said = f": {shown(refusal)}" if refusal else ""
        raise AnswerFault(
            "refused",
            f"the judge refused to answer (finish_reason={reason}). Change its prompt ({OPTIONS}.prompt_path, "
            f"{OPTIONS}.system_prompt), or choose another judge (reward.prm.model_path){said}",
        )
    content = getattr(message, "content", None)
    text = content if isinstance(content, str) else ""
    if reason == "length":
        raise AnswerFault(
            "cut_off",
            f"the judge's answer was cut off after {OPTIONS}.max_tokens={max_tokens}, before its verdict. Raise it, or "
            f"have the judge write less ({OPTIONS}.prompt_path, {OPTIONS}.extra_body): {shown(text)}",
        )
    decided = text.rpartition("</think>")[2]
    if not decided.strip():
        thought = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None) or text
        found = "nothing but a thought" if thought and str(thought).strip() else "an empty text"
        raise AnswerFault(
            "empty",
            f"the judge answered {found} (finish_reason={reason}). Look at the server's reasoning parser and at the "
            f"prompt ({OPTIONS}.prompt_path)",
        )
    return decided


def shown(text: str) -> str:
    """Write the end of a text on one line, for messages. What a judge decides stands last."""
    line = " ".join(text.split())
    return repr(line if len(line) <= _SHOWN else f"... {line[-_SHOWN:]}")
