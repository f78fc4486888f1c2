# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Score with peiyi9979/math-shepherd-mistral-7b-prm (Math-Shepherd, 2312.08935) and models trained in its format.

The model is a causal language model without a chat template. It reads the problem, a space, and the steps, one to a
line. Each step has its number before it and a tag after it:

    <problem> Step 1: <segment 1> ки
    Step 2: <segment 2> ки

The score of a segment is the probability of "+" against "-" after its tag. A segment is written without the white space
around it, and without a number of ours where it begins with one of its own ("Step 3: ...").

The tag is an ordinary word to the tokenizer, so the same token id may also occur in what a problem or a response says.
No score is read there. Nothing in the config sets the model apart from any other Mistral, so the family must be asked
for by name.

It is a preset of the family `label_token`, without that family's options.
"""

from typing import ClassVar

from verl_prpo.prm.encoding.tokens import plain_ids
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.families.label_format import LabelFormat
from verl_prpo.prm.families.tagged import TaggedLabelsPrm

FORMAT = LabelFormat(tag="ки", bos=True)
_OTHER_FAMILY = (
    "Set reward.prm.model_path to a PRM in the format of Math-Shepherd, or reward.prm.family to the family of this "
    "model: label_token has options for other tags and labels."
)


class MathShepherd(TaggedLabelsPrm):
    """Scores in [0, 1], the probability of "+" against "-" after the tag of a step."""

    name: ClassVar[str] = "math_shepherd"
    fix_tag: ClassVar[str] = _OTHER_FAMILY
    fix_labels: ClassVar[str] = _OTHER_FAMILY
    fix_model: ClassVar[str] = _OTHER_FAMILY

    @classmethod
    def prepare(cls, model_path: str, *, trust_remote_code: bool = False) -> TaggedLabelsPrm:  # type: ignore[override]
        family = cls._with(model_path, FORMAT, trust_remote_code)
        if plain_ids(family.tokenizer, [FORMAT.tag])[0] != [family.tag_id]:
            raise PrmError(
                f"the tokenizer of reward.prm.model_path={model_path} reads the tag {FORMAT.tag!r} in another way by "
                f"itself than after a step, unlike Math-Shepherd's. {_OTHER_FAMILY}"
            )
        return family
