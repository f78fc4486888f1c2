# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Score with RLHFlow/Llama3.1-8B-PRM-Mistral-Data and -Deepseek-Data (github.com/RLHFlow/RLHF-Reward-Modeling).

Each is an instruct model trained to answer every step of a solution with "+" or "-". The dialogue has a turn per step:

    user: <problem> <segment 1>
    assistant: +
    user: <segment 2>
    assistant: +

The score of a segment is the probability of "+" against "-" where the assistant answers it. All answers are written as
"+", as in the published evaluation, so one forward pass reads them all. The last one is not written, for nothing
follows it. A segment is written without the white space around it.

Some templates write the last answer of a dialogue in another way than those before it (Qwen3's puts an empty thought
before it). Here every answer is read as if a further step followed it, so that a score does not depend on whether its
step is the last.

Nothing in the config sets the model apart from the instruct model it was trained from, so the family must be asked for
by name.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from transformers import AutoTokenizer

from verl_prpo.prm.encoding.dialogue import Dialogue, problem_text
from verl_prpo.prm.families.base import Encoded, PrmError
from verl_prpo.prm.families.causal_lm import refuse_known_prm
from verl_prpo.prm.families.checkpoints import context_length
from verl_prpo.prm.families.label_token import LabelTokenPrm, distinct_labels

LABELS = ("+", "-")
_OTHER_FAMILY = "Set reward.prm.model_path to a PRM of RLHFlow, or reward.prm.family to the family of this model."


class RlhflowPrm(LabelTokenPrm):
    """Scores in [0, 1], the probability that the assistant answers a step with "+" and not "-"."""

    name: ClassVar[str] = "rlhflow_prm"

    fix_model: ClassVar[str] = _OTHER_FAMILY

    def __init__(self, dialogue: Dialogue, label_ids: tuple[int, ...], max_context: int):
        self.dialogue = dialogue
        self.tokenizer = dialogue.tokenizer
        self.label_ids = label_ids
        self.max_context = max_context

    @classmethod
    def prepare(
        cls,
        model_path: str,
        *,
        trust_remote_code: bool = False,
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ) -> "RlhflowPrm":
        """See `PreparedFamily.prepare`.

        Args:
            chat_template_kwargs: variables of the chat template.
        """
        refuse_known_prm(model_path, cls.name)
        tokenizer = AutoTokenizer.from_pretrained(model_path, trust_remote_code=trust_remote_code)
        dialogue = Dialogue(tokenizer, model_path, chat_template_kwargs)
        found = [i for ids in dialogue.plain_ids(LABELS) for i in ids]
        label_ids = distinct_labels(found, LABELS, tokenizer, model_path, _OTHER_FAMILY)
        family = cls(dialogue, label_ids, context_length(model_path, trust_remote_code))
        try:
            _require_turns(family)
        except ValueError as error:
            raise PrmError(
                f"the chat template of reward.prm.model_path={model_path} cannot hold a turn per step: {error}. "
                f"{_OTHER_FAMILY}"
            ) from error
        return family

    def encode(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> Encoded:
        steps = [segment.strip() for segment in segments]
        steps[0] = f"{problem_text(messages)} {steps[0]}".strip()
        turns: list[tuple[str, list[str | int]]] = []
        for step in steps:
            turns += [("user", [step]), ("assistant", [self.label_ids[0]])]
        ids, answers = self.dialogue.encode_turns([*turns, ("user", [])])
        return Encoded(ids[: answers[-1]], [position - 1 for position in answers])


def _require_turns(family: RlhflowPrm) -> None:
    question = [{"role": "user", "content": "What is 1 + 1?"}]
    one, two = (family.encode(question, ["We add.", "It is 2."][:steps]).input_ids for steps in (1, 2))
    if two[: len(one)] != one:
        raise ValueError("it writes a step in another way when another step follows, so its score would change")
