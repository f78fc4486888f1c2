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
one
forward pass reads them all: a verdict written into a slot would have to be generated before the next segment could be
judged, and one written beforehand would lead the judge. What follows sees the empty slots before it, the same for every
segment, and never a verdict.

The scores are only as good as the model is as a judge, and not calibrated; the family must be asked for by name.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from verl_prpo.prm.chat import Dialogue, message_text
from verl_prpo.prm.families import register_built_in_families
from verl_prpo.prm.families.labels import LabelTokenPrm
from verl_prpo.prm.family import Encoded, PrmError, claiming_families, read_model_config

ANSWERS = (" Yes", " No")
SLOT = "\n[Is this step right? Answer:"
AFTER_SLOT = "]\n"
INSTRUCTION = (
    "You are checking a solution step by step. The problem:\n\n{problem}\n\n"
    "Go through the solution. After each step answer Yes if the step is right given the problem and the steps before "
    "it, and No if it holds a mistake."
)

_HEADS = ("score.", "v_head.", "value_head.", "reward_head.", "classifier")
"""Of reward models, in the names of weights; a causal language model loads without them."""


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
        model, loading = AutoModelForCausalLM.from_pretrained(
            model_path, dtype=dtype, trust_remote_code=trust_remote_code, output_loading_info=True
        )
        if loading["missing_keys"]:
            raise PrmError(
                f"reward.prm.model_path={model_path} lacks weights of a causal language model "
                f"({', '.join(sorted(loading['missing_keys'])[:4])}), so it cannot answer as a judge; choose an "
                "instruct model, or set reward.prm.family to the family of this model"
            )
        heads = sorted(key for key in loading["unexpected_keys"] if key.startswith(_HEADS))
        if heads:
            raise PrmError(
                f"reward.prm.model_path={model_path} is a reward model or classifier: it has a head ({heads[0]}) which "
                "the family zero_shot_judge would not read; set reward.prm.family or reward.prm.custom_family to the "
                "family of this model, or choose an instruct model"
            )
        family.dialogue.require_embeddings(
            model.get_input_embeddings().weight.shape[0], "Choose an instruct model with the tokenizer it came with."
        )
        family.model = model.to(device).eval()
        return family

    @classmethod
    def open(cls, model_path: str, *, trust_remote_code: bool = False) -> "ZeroShotJudge":
        cls._refuse_known_prm(model_path)
        tokenizer = AutoTokenizer.from_pretrained(model_path, trust_remote_code=trust_remote_code)
        dialogue = Dialogue(tokenizer, model_path)
        slot_ids, label_ids = _slot_and_answers(dialogue, model_path)
        config = AutoConfig.from_pretrained(model_path, trust_remote_code=trust_remote_code)
        context = config.get_text_config().to_dict().get("max_position_embeddings")
        if context is None:
            raise PrmError(
                f"the config.json of reward.prm.model_path={model_path} has no max_position_embeddings, so the longest "
                "dialogue it can read is unknown; choose another judge, or set reward.prm.custom_family"
            )
        return cls(None, dialogue, slot_ids, label_ids, context)

    @classmethod
    def _refuse_known_prm(cls, model_path: str) -> None:
        register_built_in_families()
        others = [name for name in claiming_families(read_model_config(model_path)) if name != cls.name]
        if others:
            raise PrmError(
                f"reward.prm.model_path={model_path} is a process reward model ({', '.join(others)}), not a language "
                "model that could answer as a judge; leave reward.prm.family unset"
            )

    def encode(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> Encoded:
        question = {"role": "user", "content": INSTRUCTION.format(problem=_problem(messages))}
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


def _problem(messages: Sequence[Mapping[str, Any]]) -> str:
    """What was asked: the one user message, or the turns with their roles. System messages concern the solver."""
    turns = [message for message in messages if message["role"] != "system"] or list(messages)
    if len(turns) == 1:
        return message_text(turns[0])
    return "\n\n".join(f"{message['role']}: {message_text(message)}" for message in turns)
