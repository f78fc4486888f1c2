# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Score with a token classifier of a wrong and a right class: from TRL's PRMTrainer, or PURE-PRM-7B (2504.15275).

The dialogue is the prompt and the steps, each followed by a separator and judged at the separator's last token. Prompt,
steps and separator are tokenised on their own, and the beginning-of-sequence token comes first where the tokenizer has
one, as in training. Newlines around a segment are replaced by the separator, for the steps of the training data have
none there. PURE-PRM-7B takes the same form with score="p1-p0". Its own reinforcement learning shows it the prompt in
the chat template, which is chat_template=true.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer

from verl_prpo.prm.conversation import Step
from verl_prpo.prm.encoding.dialogue import Dialogue, problem_text
from verl_prpo.prm.encoding.tensors import padded_ids, per_row, read_index
from verl_prpo.prm.encoding.tokens import plain_ids, require_embeddings
from verl_prpo.prm.families.base import Encoded, PreparedFamily, PrmError
from verl_prpo.prm.families.checkpoints import context_length, label_count, load_with_head, read_model_config
from verl_prpo.prm.families.options import OPTIONS, require_flag, require_one_of, require_text
from verl_prpo.prm.families.two_classes import served_probabilities

ARCHITECTURE_SUFFIX = "ForTokenClassification"
SCORES = {"p1": ((0.0, 1.0), 0.5, 12**-0.5), "p1-p0": ((-1.0, 1.0), 0.0, 3**-0.5)}
"""For each value of the option `score`: its range, and mean and standard deviation of the uniform prior on that."""

_OTHER_FAMILY = (
    "Set reward.prm.model_path to a token classifier of two classes (wrong, right), or reward.prm.family to the family "
    "of this model."
)


class TokenClassificationPrm(PreparedFamily):
    """Scores from the probabilities of the classes wrong (0) and right (1) at each separator."""

    name: ClassVar[str] = "token_classification"

    serving: ClassVar[str | None] = "pooling"

    model: Any = None

    def __init__(self, tokenizer: Any, dialogue: Dialogue | None, separator_ids: list[int], score: str, context: int):
        self.tokenizer = tokenizer
        self.dialogue = dialogue
        self.separator_ids = separator_ids
        self.score = score
        self.score_range, self.prior_mean, self.prior_std = SCORES[score]
        self.max_context = context

    @classmethod
    def detects(cls, model_config: dict[str, Any]) -> bool:
        architectures = model_config.get("architectures")
        return (
            isinstance(architectures, list)
            and len(architectures) == 1
            and str(architectures[0]).endswith(ARCHITECTURE_SUFFIX)
            and label_count(model_config) == 2
        )

    @classmethod
    def prepare(
        cls,
        model_path: str,
        *,
        trust_remote_code: bool = False,
        separator: str = "\n",
        score: str = "p1",
        chat_template: bool = False,
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ) -> "TokenClassificationPrm":
        """See `PreparedFamily.prepare`. No code that comes with the model is ever run.

        Args:
            separator: the text put after each step.
            score: "p1" is the probability of class 1, in [0, 1]. "p1-p0" is that minus the probability of class 0, in
                [-1, 1].
            chat_template: whether the prompt is written in the tokenizer's chat template.
            chat_template_kwargs: variables of that template.
        """
        require_one_of("score", score, SCORES)
        require_flag("chat_template", chat_template)
        require_text("separator", separator)
        if chat_template_kwargs and not chat_template:
            raise PrmError(
                f"{OPTIONS}.chat_template_kwargs is given, but the family {cls.name} writes no chat template unless "
                f"++{OPTIONS}.chat_template=true. Set that, or remove the former"
            )
        _require_classifier(model_path)
        tokenizer = AutoTokenizer.from_pretrained(model_path)
        context = context_length(model_path, trust_remote_code=False)
        separator_ids = _separator_ids(tokenizer, separator, model_path)
        dialogue = Dialogue(tokenizer, model_path, chat_template_kwargs) if chat_template else None
        return cls(tokenizer, dialogue, separator_ids, score, context)

    def load_weights(
        self, model_path: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool
    ) -> None:
        model = load_with_head(
            AutoModelForTokenClassification,
            model_path,
            dtype,
            head="score.",
            wanted="a token classifier of two classes",
            fix=_OTHER_FAMILY,
        )
        attention = [module.is_causal for module in model.modules() if hasattr(module, "is_causal")]
        if not attention or not all(attention):
            raise PrmError(
                f"reward.prm.model_path={model_path} ({type(model).__name__}) is not known to read from left to right, "
                f"so a step's score could come from the steps after it. {_OTHER_FAMILY}"
            )
        rows = model.get_input_embeddings().weight.shape[0]
        require_embeddings(self.tokenizer, model_path, rows, _OTHER_FAMILY, self.separator_ids)
        self.model = model.to(device)

    @property
    def bos_ids(self) -> list[int]:
        """The token ids before a plain prompt: the beginning-of-sequence token, or none."""
        return [] if self.tokenizer.bos_token_id is None else [self.tokenizer.bos_token_id]

    def encode(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> Encoded:
        steps = [segment.strip("\n") for segment in segments]
        if self.dialogue is not None:
            return self._in_template(self.dialogue, messages, [[step] for step in self.dialogue.continuing(steps)])
        prompt, *spoken = plain_ids(self.tokenizer, [problem_text(messages), *steps])
        ids = self.bos_ids + prompt
        reads = []
        for ids_of_step in spoken:
            ids += ids_of_step + self.separator_ids
            reads.append(len(ids) - 1)
        return Encoded(ids, reads)

    def encode_turns(self, messages: Sequence[dict[str, Any]], steps: Sequence[Step]) -> Encoded:
        if self.dialogue is None:
            return super().encode_turns(messages, steps)
        return self._in_template(self.dialogue, messages, self.dialogue.continuing_turns(steps))

    def _in_template(self, dialogue: Dialogue, messages: Sequence[dict[str, Any]], steps: Sequence[Step]) -> Encoded:
        answer: list[str | int | Mapping[str, Any]] = []
        for step in steps:
            answer += [part.strip("\n") if isinstance(part, str) else part for part in step]
            answer += self.separator_ids
        ids, positions = dialogue.encode(messages, answer, end_turn=False)
        width = len(self.separator_ids)
        return Encoded(ids, positions[width - 1 :: width])

    def forward(self, batch: Sequence[Encoded]) -> list[list[float]]:
        device = self.model.device
        logits = self.model(input_ids=padded_ids(batch, device), use_cache=False).logits  # [rows, longest, 2]
        return per_row(self.scores_from_logits(logits[read_index(batch, device)]), batch)

    def scores_from_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the probability of class 1, or that minus the one of class 0: from `[reads, 2]` to `[reads]`."""
        return self._scores_from_probabilities(logits.float().softmax(-1))

    def _scores_from_probabilities(self, probabilities: torch.Tensor) -> torch.Tensor:
        wrong, right = probabilities.unbind(-1)
        return right if self.score == "p1" else right - wrong

    def served_scores(self, encoded: Encoded, output: Any) -> list[float]:
        # vLLM gives the probabilities of both classes at every token of the dialogue.
        way_out = "Serve the PRM with --runner pooling and no --pooler-config"
        rows = served_probabilities(output, len(encoded.input_ids), "tokens", way_out)
        read = torch.tensor([rows[position] for position in encoded.reads], dtype=torch.float64).reshape(-1, 2)
        return self._scores_from_probabilities(read).tolist()


def _separator_ids(tokenizer: Any, separator: str, model_path: str) -> list[int]:
    """Return the token ids of the separator, once it is checked that the PRM can see it."""
    ids = tokenizer(separator, add_special_tokens=False).input_ids
    if not ids or (tokenizer.unk_token_id in ids and separator != tokenizer.unk_token):
        seen = f"reads it as {tokenizer.convert_ids_to_tokens(ids)}" if ids else "makes no token of it"
        raise PrmError(
            f"the tokenizer of reward.prm.model_path={model_path} {seen}, so the PRM would not see where a step ends. "
            f"Set {OPTIONS}.separator (now {separator!r}) to the one that it was trained with"
        )
    return ids


def _require_classifier(model_path: str) -> None:
    model_config = read_model_config(model_path)
    architectures = model_config.get("architectures") or []
    if not any(str(name).endswith(ARCHITECTURE_SUFFIX) for name in architectures):
        raise PrmError(
            f"reward.prm.model_path={model_path} (architectures={architectures}) is no token classifier, so it has no "
            f"process-reward head for the family {TokenClassificationPrm.name}. {_OTHER_FAMILY}"
        )
    labels = label_count(model_config)
    if labels != 2:
        raise PrmError(
            f"reward.prm.model_path={model_path} sorts tokens into {labels} classes. Which of them is right the family "
            f"{TokenClassificationPrm.name} knows of two only. {_OTHER_FAMILY} A family of your own goes under "
            "reward.prm.custom_family.path and .name."
        )
