# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Score with peiyi9979/math-shepherd-mistral-7b-prm (Math-Shepherd, 2312.08935) and models trained in its format.

A causal language model without a chat template. The problem, a space, and the steps, each with its number before it
and a tag after it, one to a line:

    <problem> Step 1: <segment 1> ки
    Step 2: <segment 2> ки

The score of a segment is the probability of "+" against "-" after its tag. A segment is written without the white space
around it, and without a number of ours where it begins with one of its own ("Step 3: ...").

The tag is an ordinary word to the tokenizer, so the same token id may also occur in what a problem or a response says;
no score is read there. Nothing in the config sets the model apart from any other Mistral: it must be asked for by name.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from transformers import AutoTokenizer

from verl_prpo.prm.encoding.dialogue import numbered_step, plain_ids, problem_text
from verl_prpo.prm.families.base import Encoded, PrmError
from verl_prpo.prm.families.causal_lm import refuse_known_prm
from verl_prpo.prm.families.checkpoints import context_length
from verl_prpo.prm.families.label_token import LabelTokenPrm, distinct_labels

TAG = "ки"
LABELS = ("+", "-")
_OTHER_FAMILY = (
    "Set reward.prm.model_path to a PRM in the format of Math-Shepherd, or reward.prm.family to the family of this "
    "model."
)


class MathShepherd(LabelTokenPrm):
    """Scores in [0, 1], the probability of "+" against "-" after the tag of a step."""

    name: ClassVar[str] = "math_shepherd"

    def __init__(self, model: Any, tokenizer: Any, tag_id: int, label_ids: tuple[int, int], max_context: int):
        self.model = model
        self.tokenizer = tokenizer
        self.tag_id = tag_id
        self.label_ids = label_ids
        self.max_context = max_context

    @classmethod
    def load(
        cls, model_path: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool = False
    ) -> "MathShepherd":
        family = cls.open(model_path, trust_remote_code=trust_remote_code)
        family.load_weights(
            family.tokenizer, model_path, _OTHER_FAMILY, device=device, dtype=dtype, trust_remote_code=trust_remote_code
        )
        return family

    @classmethod
    def open(cls, model_path: str, *, trust_remote_code: bool = False) -> "MathShepherd":
        refuse_known_prm(model_path, cls.name)
        tokenizer = AutoTokenizer.from_pretrained(model_path, trust_remote_code=trust_remote_code)
        if tokenizer.bos_token_id is None:
            raise PrmError(
                f"the tokenizer of reward.prm.model_path={model_path} has no token that begins a sequence, with which "
                f"the family {cls.name} opens every dialogue. {_OTHER_FAMILY}"
            )
        tag_id = _tag_id(tokenizer, model_path)
        found = plain_ids(tokenizer, [" ".join(LABELS)])[0]
        label_ids = distinct_labels(found, LABELS, tokenizer, model_path, _OTHER_FAMILY)
        return cls(None, tokenizer, tag_id, label_ids, context_length(model_path, trust_remote_code))

    def encode(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> Encoded:
        steps = [numbered_step(segment, k) for k, segment in enumerate(segments, 1)]
        # Every text but the first is tokenised behind the tag that it follows, which so is its first token.
        texts = [f"{problem_text(messages)} {steps[0]}", *(f"{TAG}\n{step}" for step in steps[1:])]
        ids = [self.tokenizer.bos_token_id]
        reads: list[int] = []
        for k, text_ids in enumerate(plain_ids(self.tokenizer, texts)):
            if k:
                reads.append(len(ids))
            ids += text_ids
        return Encoded([*ids, self.tag_id], [*reads, len(ids)])


def _tag_id(tokenizer: Any, model_path: str) -> int:
    alone, before_a_step, after_one = plain_ids(tokenizer, [TAG, f"{TAG}\nStep 2: so", f"so {TAG}"])
    if len(alone) != 1 or alone[0] == tokenizer.unk_token_id or {before_a_step[0], after_one[-1]} != {alone[0]}:
        raise PrmError(
            f"the tokenizer of reward.prm.model_path={model_path} has no one token for the tag {TAG!r} that ends a "
            f"step (it reads it as {len(alone)} tokens). {_OTHER_FAMILY}"
        )
    return alone[0]
