# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Let any instruct model judge steps, without training: the stand-in where no process reward model is at hand.

The user's turn gives the problem and asks for a verdict after each step. The assistant's turn walks through the
response, with a slot after each segment:

    <segment 1>
    [Is this step right? Answer:]
    <segment 2>
    [Is this step right? Answer:

The score of a segment is the probability of " Yes" against " No" after the colon of its slot. The slots stay empty, so
one forward pass reads them all. A verdict written into a slot would have to be generated before the next segment could
be judged, and one written beforehand would lead the judge. Each segment sees the same empty slots before it, and never
a verdict.

The verdicts are those of a judge that has stopped thinking or never began. So the assistant's turn must not begin
inside a thought. A template that opens one is refused, and the message names the option that keeps it shut. `<think>`
and `</think>` in a response are text to the judge, for a response is not what the judge thinks.

Options (`reward.prm.family_options`):
    chat_template_kwargs: variables of the chat template, such as enable_thinking=false.
    close_thought: for templates that open a thought whatever their options are (those of DeepSeek-R1): write the end of
        an empty thought after the prompt.

The scores are only as good as the model is as a judge, and not calibrated. The family must be asked for by name.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from transformers import AddedToken, AutoTokenizer

from verl_prpo.prm.conversation import Step
from verl_prpo.prm.encoding.chat_template import SETTING, ChatTemplate
from verl_prpo.prm.encoding.dialogue import Dialogue, problem_text
from verl_prpo.prm.families.base import Encoded, PrmError
from verl_prpo.prm.families.causal_lm import refuse_known_prm
from verl_prpo.prm.families.checkpoints import context_length
from verl_prpo.prm.families.label_token import LabelTokenPrm, distinct_labels
from verl_prpo.prm.families.options import OPTIONS, require_flag
from verl_prpo.text.thinking import CLOSE, OPEN

_log = logging.getLogger(__name__)

ANSWERS = (" Yes", " No")
_OTHER_MODEL = "Choose another instruct model for reward.prm.model_path, with the tokenizer that it came with."
SLOT = "\n[Is this step right? Answer:"
AFTER_SLOT = "]\n"
INSTRUCTION = (
    "You are checking a solution step by step. The problem:\n\n{problem}\n\n"
    "Go through the solution. After each step answer Yes if the step is right given the problem and the steps before "
    "it, and No if it holds a mistake."
)


class ZeroShotJudge(LabelTokenPrm):
    """Scores in [0, 1], the judge's probability of " Yes" against " No"."""

    name: ClassVar[str] = "zero_shot_judge"

    fix_model: ClassVar[str] = _OTHER_MODEL

    def __init__(self, dialogue: Dialogue, slot_ids: list[int], label_ids: tuple[int, ...], max_context: int):
        self.dialogue = dialogue
        self.tokenizer = dialogue.tokenizer
        self.slot_ids = slot_ids
        self.label_ids = label_ids
        self.max_context = max_context

    @classmethod
    def prepare(
        cls,
        model_path: str,
        *,
        trust_remote_code: bool = False,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        close_thought: bool = False,
    ) -> "ZeroShotJudge":
        require_flag("close_thought", close_thought)
        refuse_known_prm(model_path, cls.name)
        tokenizer = AutoTokenizer.from_pretrained(model_path, trust_remote_code=trust_remote_code)
        _quote_thoughts(tokenizer)
        dialogue = Dialogue(tokenizer, model_path, chat_template_kwargs)
        _shut_thought(dialogue.template, close_thought)
        slot_ids, label_ids = _slot_and_answers(dialogue, model_path)
        return cls(dialogue, slot_ids, label_ids, context_length(model_path, trust_remote_code))

    def encode(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> Encoded:
        return self.encode_turns(messages, [[segment] for segment in segments])

    def encode_turns(self, messages: Sequence[dict[str, Any]], steps: Sequence[Step]) -> Encoded:
        question = {"role": "user", "content": INSTRUCTION.format(problem=problem_text(messages))}
        answer: list[str | int | Mapping[str, Any]] = []
        for i, step in enumerate(steps):
            first, *rest = step
            if i and isinstance(first, str):
                first = AFTER_SLOT + first
            elif i:  # the slot is shut before a tool speaks; the step begins a turn
                answer.append(AFTER_SLOT.rstrip())
            answer += [first, *rest, *self.slot_ids]
        ids, positions = self.dialogue.encode([question], answer, end_turn=False)
        width = len(self.slot_ids)
        return Encoded(ids, positions[width - 1 :: width])


def _quote_thoughts(tokenizer: Any) -> None:
    """Make the tags of thoughts special tokens, so that no text is ever tokenised as one. That changes no id."""
    tags = [token for token in tokenizer.added_tokens_decoder.values() if token.content in (OPEN, CLOSE)]
    special = [
        AddedToken(tag.content, special=True, normalized=False, lstrip=tag.lstrip, rstrip=tag.rstrip) for tag in tags
    ]
    if special:
        tokenizer.add_tokens(special, special_tokens=True)


def _shut_thought(template: ChatTemplate, close_thought: bool) -> None:
    """Make sure that the judge's turn does not begin inside a thought.

    Raises:
        PrmError: it does (the message names the option that helps), or `close_thought` is set and the template opens no
            thought.
    """
    prompt = template.prompt()
    shut = _thinking_off(template)
    if not template.opens_thought():
        if close_thought:
            raise PrmError(
                f"{OPTIONS}.close_thought=true, but the chat template of {template.where} opens no thought. Remove it"
            )
        if shut is not None and template.prompt(**{shut: False}) != prompt:
            _log.warning(
                "the chat template of %s knows %s, and the judge is not shown that it should not think. Set "
                "++%s.%s=false to have it answer in the slots as the model does without thinking",
                template.where,
                shut,
                SETTING,
                shut,
            )
        return
    if close_thought:
        template.close_thought()
        return
    way_out = (
        f"Set ++{SETTING}.{shut}=false"
        if shut is not None
        else f"No option of the template keeps it shut, so set ++{OPTIONS}.close_thought=true, which ends it before "
        "the solution, or choose a model that does not think"
    )
    raise PrmError(
        f"the chat template of {template.where} opens a thought ({OPEN}) before the assistant's answer, so the judge "
        f"would give its verdicts inside it. {way_out}"
    )


def _thinking_off(template: ChatTemplate) -> str | None:
    """Return the variable of a template that, when false, makes the model answer without a thought, or None."""
    for name in ("enable_thinking", "thinking"):
        try:
            if name in template.variables and not template.opens_thought(**{name: False}):
                return name
        except ValueError:  # the template refuses it
            continue
    return None


def _slot_and_answers(dialogue: Dialogue, model_path: str) -> tuple[list[int], tuple[int, ...]]:
    slot, *answered = dialogue.plain_ids([SLOT, *(SLOT + answer for answer in ANSWERS)])
    found = [ids[-1] for ids in answered if ids[:-1] == slot]
    return slot, distinct_labels(found, ANSWERS, dialogue.tokenizer, model_path, _OTHER_MODEL)
