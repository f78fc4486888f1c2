# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Any instruct model as a judge of steps, without training: the stand-in where no process reward model is at hand.

The user's turn gives the problem and asks for a verdict after each step; the assistant's turn walks through the
response, with a slot after each segment:

    <segment 1>
    [Is this step right? Answer:]
    <segment 2>
    [Is this step right? Answer:

The score of a segment is the probability of " Yes" against " No" after the colon of its slot. The slots stay empty, so
one forward pass reads them all: a verdict written into a slot would have to be generated before the next segment could
be judged, and one written beforehand would lead the judge. What follows sees the empty slots before it, the same for
every segment, and never a verdict.

The scores are only as good as the model is as a judge, and not calibrated; the family must be asked for by name.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from transformers import AutoTokenizer

from verl_prpo.prm.chat import Dialogue, problem_text
from verl_prpo.prm.families.causal_lm import context_length, load_causal_lm, refuse_known_prm
from verl_prpo.prm.families.labels import LabelTokenPrm
from verl_prpo.prm.family import Encoded, PrmError

ANSWERS = (" Yes", " No")
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

    def __init__(
        self, model: Any, dialogue: Dialogue, slot_ids: list[int], label_ids: tuple[int, int], max_context: int
    ):
        self.model = model
        self.dialogue = dialogue
        self.slot_ids = slot_ids
        self.label_ids = label_ids
        self.max_context = max_context

    @classmethod
    def load(
        cls, model_path: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool = False
    ) -> "ZeroShotJudge":
        family = cls.open(model_path, trust_remote_code=trust_remote_code)
        family.model = load_causal_lm(
            model_path, cls.name, device=device, dtype=dtype, trust_remote_code=trust_remote_code
        )
        family.dialogue.require_embeddings(
            family.model.get_input_embeddings().weight.shape[0],
            "Choose an instruct model with the tokenizer it came with.",
        )
        return family

    @classmethod
    def open(cls, model_path: str, *, trust_remote_code: bool = False) -> "ZeroShotJudge":
        refuse_known_prm(model_path, cls.name)
        tokenizer = AutoTokenizer.from_pretrained(model_path, trust_remote_code=trust_remote_code)
        dialogue = Dialogue(tokenizer, model_path)
        slot_ids, label_ids = _slot_and_answers(dialogue, model_path)
        return cls(None, dialogue, slot_ids, label_ids, context_length(model_path, trust_remote_code))

    def encode(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> Encoded:
        question = {"role": "user", "content": INSTRUCTION.format(problem=problem_text(messages))}
        answer: list[str | int] = []
        for i, segment in enumerate(segments):
            answer += [AFTER_SLOT + segment if i else segment, *self.slot_ids]
        ids, positions = self.dialogue.encode([question], answer, end_turn=False)
        width = len(self.slot_ids)
        return Encoded(ids, positions[width - 1 :: width])


def _slot_and_answers(dialogue: Dialogue, model_path: str) -> tuple[list[int], tuple[int, int]]:
    slot, *answered = dialogue.plain_ids([SLOT, *(SLOT + answer for answer in ANSWERS)])
    answers = [ids[-1] for ids in answered if ids[:-1] == slot]
    if len(answers) != len(ANSWERS) or len(set(answers)) != len(ANSWERS):
        raise PrmError(
            f"{' and '.join(map(repr, ANSWERS))} are not one distinct token each in the tokenizer of "
            f"reward.prm.model_path={model_path}, so the family zero_shot_judge cannot compare them; choose another "
            "instruct model"
        )
    return slot, (answers[0], answers[1])
