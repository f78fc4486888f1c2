# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Score with Qwen2.5-Math-PRM-7B and -72B and Qwen2.5-Math-7B-PRM800K ("The Lessons of Developing Process Reward
Models", 2501.07301).

The model is a Qwen2 trunk under a two-layer head with two classes. Each step of the response is followed by
`<extra_0>`, and the probability of class 1 at that token is the step's score. Line breaks around a segment are replaced
by the separator. The weights are loaded into transformers' own `Qwen2Model`. The model's remote code, which current
transformers releases cannot run, is never needed.

The option `system` says which system message the PRM is shown: "published" (the one of the published models, unless the
dialogue has its own), "none", or a text. With "none" the chat template may still write one of its own, as it did in the
training of models that were shown none, such as ReasonFlux-PRM-7B.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import AddedToken, AutoTokenizer, Qwen2Config, Qwen2Model
from transformers.models.qwen2.modeling_qwen2 import Qwen2PreTrainedModel

from verl_prpo.prm.conversation import Step
from verl_prpo.prm.encoding.dialogue import Dialogue, replaced_system
from verl_prpo.prm.encoding.tensors import padded_ids, per_row, read_index
from verl_prpo.prm.families.base import Encoded, PreparedFamily, PrmError
from verl_prpo.prm.families.checkpoints import load_with_head
from verl_prpo.prm.families.options import OPTIONS, require_text
from verl_prpo.prm.families.two_classes import served_probabilities

ARCHITECTURE = "Qwen2ForProcessRewardModel"
SEPARATOR = "<extra_0>"
SYSTEM = r"Please reason step by step, and put your final answer within \boxed{}."
PUBLISHED, NONE = "published", "none"
_OTHER_FAMILY = "Set reward.prm.model_path to a Qwen2.5-Math PRM, or reward.prm.family to the family of this model."


class ProcessRewardModel(Qwen2PreTrainedModel):
    """The checkpoint's modules under their names: `model`, and `score` as Linear, ReLU, Linear to two classes."""

    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [r"^lm_head\."]

    def __init__(self, config: Qwen2Config):
        super().__init__(config)
        self.model = Qwen2Model(config)
        hidden = config.hidden_size
        self.score = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2))
        self.post_init()


class QwenMathPrm(PreparedFamily):
    """Scores in [0, 1], the probability that a step is right."""

    name: ClassVar[str] = "qwen_math_prm"

    serving: ClassVar[str | None] = "pooling"

    model: ProcessRewardModel | None = None

    def __init__(self, dialogue: Dialogue, separator_id: int, max_context: int, system: str = PUBLISHED):
        self.system = system
        self.dialogue = dialogue
        self.separator_id = separator_id
        self.max_context = max_context

    @classmethod
    def detects(cls, model_config: dict[str, Any]) -> bool:
        return model_config.get("architectures") == [ARCHITECTURE]

    @classmethod
    def prepare(
        cls,
        model_path: str,
        *,
        trust_remote_code: bool = False,
        system: str = PUBLISHED,
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ) -> "QwenMathPrm":
        """See `PreparedFamily.prepare`.

        Args:
            system: "published" for the published system message, unless the dialogue has its own, "none" for none, or
                the text of one. The last two replace the dialogue's own system message.
            chat_template_kwargs: variables of the chat template.
        """
        _require_system(system)
        tokenizer = AutoTokenizer.from_pretrained(model_path, trust_remote_code=trust_remote_code)
        separator_id = _separator_id(tokenizer, model_path)
        config = Qwen2Config.from_pretrained(model_path)
        dialogue = Dialogue(tokenizer, model_path, chat_template_kwargs)
        family = cls(dialogue, separator_id, config.max_position_embeddings, system)
        try:
            family.encode([{"role": "user", "content": "What is 1 + 1?"}], ["It is 2."])
        except ValueError as error:
            shown = "the published system prompt" if system == PUBLISHED else f"{OPTIONS}.system={system}"
            raise PrmError(
                f"the chat template of reward.prm.model_path={model_path} cannot hold {shown}, a "
                f"question and an answer: {error}. {_OTHER_FAMILY}"
            ) from error
        return family

    def load_weights(
        self, model_path: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool
    ) -> None:
        wanted = f"{ARCHITECTURE} (a Qwen2 trunk and a head with two classes)"
        config = Qwen2Config.from_pretrained(model_path)
        self.model = load_with_head(
            ProcessRewardModel, model_path, dtype, head="score.", wanted=wanted, fix=_OTHER_FAMILY, config=config
        ).to(device)
        rows = self.model.get_input_embeddings().weight.shape[0]
        self.dialogue.require_embeddings(rows, _OTHER_FAMILY, [self.separator_id])

    def encode(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> Encoded:
        return self.encode_turns(messages, [[segment] for segment in segments])

    def encode_turns(self, messages: Sequence[dict[str, Any]], steps: Sequence[Step]) -> Encoded:
        if self.system != PUBLISHED:
            messages = replaced_system(messages, None if self.system == NONE else self.system)
        elif not any(message["role"] == "system" for message in messages):
            messages = replaced_system(messages, SYSTEM)
        answer: list[str | int | Mapping[str, Any]] = []
        for step in steps:
            # The published steps are lines of an answer without their line breaks, which the separator stands for.
            answer += [part.strip("\n") if isinstance(part, str) else part for part in step]
            answer.append(self.separator_id)
        return Encoded(*self.dialogue.encode(messages, answer, end_turn=True))

    def forward(self, batch: Sequence[Encoded]) -> list[list[float]]:
        assert self.model is not None, "opened without weights"
        device = self.model.device
        hidden = self.model.model(input_ids=padded_ids(batch, device), use_cache=False).last_hidden_state
        logits = self.model.score(hidden[read_index(batch, device)])
        return per_row(self.scores_from_logits(logits), batch)

    def scores_from_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the probability of class 1: from `[reads, 2]` to `[reads]`."""
        return logits.float().softmax(-1)[:, 1]

    def served_scores(self, encoded: Encoded, output: Any) -> list[float]:
        # vLLM pools this architecture at the separators ("STEP") and applies the softmax.
        config = f'{{"tok_pooling_type": "STEP", "step_tag_id": {self.separator_id}}}'
        way_out = f"The server must read at {SEPARATOR}: --pooler-config '{config}'"
        rows = served_probabilities(output, len(encoded.reads), "separators", way_out)
        return [float(right) for _, right in rows]


def _require_system(system: Any) -> None:
    wanted = f"{PUBLISHED}, {NONE} or a text"
    require_text("system", system, wanted)
    near = difflib.get_close_matches(system.strip().lower(), (PUBLISHED, NONE), n=1, cutoff=0.75)
    if near and system not in (PUBLISHED, NONE):
        raise PrmError(f"{OPTIONS}.system={system!r} is not known. Did you mean {near[0]}? It takes {wanted}")


def _separator_id(tokenizer: Any, model_path: str) -> int:
    ids = tokenizer(SEPARATOR, add_special_tokens=False).input_ids
    if len(ids) != 1 or tokenizer.convert_ids_to_tokens(ids[0]) != SEPARATOR:
        raise PrmError(
            f"the tokenizer of reward.prm.model_path={model_path} has no {SEPARATOR} token (it reads it as {len(ids)} "
            f"tokens), so the PRM would not see where a step ends. {_OTHER_FAMILY}"
        )
    # Marked as special, a literal separator in a text can be told from the real one. That changes no id.
    tokenizer.add_tokens([AddedToken(SEPARATOR, special=True, normalized=False)], special_tokens=True)
    return ids[0]
