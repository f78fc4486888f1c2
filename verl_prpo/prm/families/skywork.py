# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Score with Skywork-o1-Open-PRM-Qwen-2.5-1.5B and -7B.

The model is a Qwen2 trunk under a value head of one number. The dialogue is the beginning-of-sequence token, the
problem and a newline, then the steps, each closed by a newline. The sigmoid of the value at that newline is the step's
score. As in the published code, every line is tokenised on its own, and the newline after it is one token put there. So
a response whose segments end at newlines becomes exactly the token ids of that code. A newline is added to a segment
that does not end in one.

The published checkpoints name the trunk's weights `model.*` and the head's `v_head.summary.*`, beside an `lm_head` that
is not read. Weights of the trunk under `pretrained_model.`, as TRL's wrapper saves them, are read too.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import AutoTokenizer, Qwen2Config, Qwen2Model
from transformers.models.qwen2.modeling_qwen2 import Qwen2PreTrainedModel

from verl_prpo.prm.encoding.dialogue import problem_text
from verl_prpo.prm.encoding.tensors import padded_ids, per_row, read_index
from verl_prpo.prm.encoding.tokens import plain_ids, require_embeddings
from verl_prpo.prm.families.base import Encoded, PrmError, PrmFamily
from verl_prpo.prm.families.checkpoints import load_with_head
from verl_prpo.prm.families.options import require_text

ARCHITECTURE = "Qwen2ForPrmModel"
NEWLINE = "\n"
_OTHER_FAMILY = "Set reward.prm.model_path to a Skywork-o1-Open-PRM, or reward.prm.family to the family of this model."


class ValueHead(nn.Module):
    """The value head: its layer `summary` turns a hidden state into one value."""

    def __init__(self, hidden: int):
        super().__init__()
        self.summary = nn.Linear(hidden, 1)


class PrmModel(Qwen2PreTrainedModel):
    """The checkpoint's modules under their names: `model` and `v_head`."""

    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [r"^(pretrained_model\.)?lm_head\."]

    def __init__(self, config: Qwen2Config):
        super().__init__(config)
        self.model = Qwen2Model(config)
        self.v_head = ValueHead(config.hidden_size)
        self.post_init()


class SkyworkPrm(PrmFamily):
    """Scores in [0, 1], the sigmoid of a step's value."""

    name: ClassVar[str] = "skywork_prm"

    def __init__(self, model: PrmModel, tokenizer: Any, bos_id: int, newline_id: int, max_context: int):
        self.model = model
        self.tokenizer = tokenizer
        self.bos_id = bos_id
        self.newline_id = newline_id
        self.max_context = max_context

    @classmethod
    def detects(cls, model_config: dict[str, Any]) -> bool:
        return model_config.get("architectures") == [ARCHITECTURE]

    @classmethod
    def load(
        cls,
        model_path: str,
        *,
        device: torch.device,
        dtype: torch.dtype,
        trust_remote_code: bool = False,
        bos_token: str | None = None,
    ) -> "SkyworkPrm":
        """See `PrmFamily.load`.

        Args:
            bos_token: a token that begins the dialogue. None stands for the tokenizer's own beginning-of-sequence
                token. The published code needs one, and so does this family.
        """
        config = Qwen2Config.from_pretrained(model_path)
        model = load_with_head(  # refuses a model of another family, so it comes first
            PrmModel,
            model_path,
            dtype,
            head="v_head.",
            wanted=f"{ARCHITECTURE} (a Qwen2 trunk and the value head v_head.summary)",
            fix=_OTHER_FAMILY,
            config=config,
            key_mapping={r"^pretrained_model\.": ""},
        )
        tokenizer = AutoTokenizer.from_pretrained(model_path, trust_remote_code=trust_remote_code)
        bos_id = _bos_id(tokenizer, bos_token, model_path)
        newline_id = plain_ids(tokenizer, [NEWLINE])[0][-1]
        rows = model.get_input_embeddings().weight.shape[0]
        require_embeddings(tokenizer, model_path, rows, _OTHER_FAMILY, [bos_id])
        return cls(model.to(device), tokenizer, bos_id, newline_id, config.max_position_embeddings)

    @classmethod
    def open(cls, model_path: str, *, trust_remote_code: bool = False, **_: Any) -> "SkyworkPrm":
        raise PrmError(
            f"vLLM knows no architecture {ARCHITECTURE}, so no server can give the scores of "
            f"reward.prm.model_path={model_path}. Unset reward.prm.server.urls and set ++reward.prm.engine=in_process"
        )

    def encode(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> Encoded:
        lines = [segment.removesuffix(NEWLINE).split(NEWLINE) for segment in segments]
        texts = [problem_text(messages) + NEWLINE, *(line for of_segment in lines for line in of_segment)]
        problem, *rest = plain_ids(self.tokenizer, texts)
        line_ids = iter(rest)
        ids = [self.bos_id, *problem]
        reads = []
        for of_segment in lines:
            for _ in of_segment:
                ids += [*next(line_ids), self.newline_id]
            reads.append(len(ids) - 1)
        return Encoded(ids, reads)

    def forward(self, batch: Sequence[Encoded]) -> list[list[float]]:
        device = self.model.device
        hidden = self.model.model(input_ids=padded_ids(batch, device), use_cache=False).last_hidden_state
        values = self.model.v_head.summary(hidden[read_index(batch, device)])
        return per_row(self.scores_from_logits(values), batch)

    def scores_from_logits(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sigmoid of each step's value: from `[reads, 1]` to `[reads]`."""
        return values.float().sigmoid()[:, 0]


def _bos_id(tokenizer: Any, bos_token: str | None, model_path: str) -> int:
    if bos_token is not None:
        require_text("bos_token", bos_token, "the text of a token")
    token = tokenizer.bos_token if bos_token is None else bos_token
    if token is None:
        raise PrmError(
            f"the tokenizer of reward.prm.model_path={model_path} has no beginning-of-sequence token, which the family "
            f"{SkyworkPrm.name} begins a dialogue with. Set reward.prm.family_options.bos_token to the one the PRM was "
            "trained with"
        )
    ids = tokenizer(token, add_special_tokens=False).input_ids
    if len(ids) != 1:
        raise PrmError(
            f"reward.prm.family_options.bos_token={token!r} is {len(ids)} tokens in the tokenizer of "
            f"reward.prm.model_path={model_path}, where one belongs. {_OTHER_FAMILY}"
        )
    return ids[0]
