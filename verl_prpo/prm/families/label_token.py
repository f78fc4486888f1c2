# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Score a step by the token that a causal language model would say next: the base of several families.

A read is the position of the last token before the verdict. The score is the probability of the good label against the
bad one: the softmax over their two logits alone.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from verl_prpo.prm.encoding.tensors import per_row, read_index
from verl_prpo.prm.encoding.tokens import plain_ids, require_embeddings
from verl_prpo.prm.families.base import Encoded, PreparedFamily, PrmError
from verl_prpo.prm.families.causal_lm import load_causal_lm, logits_at

UNSURE = 1e-3
"""Greatest error of a score for which a label outside the server's top log-probabilities may count as 0."""


class LabelTokenPrm(PreparedFamily):
    """Scores in [0, 1] from two label tokens. A family says how the dialogue is written."""

    serving: ClassVar[str | None] = "prompt_logprobs"

    fix_model: ClassVar[str]
    """The setting to change where the weights do not fit, for messages."""

    model: Any = None
    """The causal language model, or None when a server holds it."""

    tokenizer: Any

    label_ids: tuple[int, ...]
    """Token ids of the good and the bad label."""

    @property
    def written_ids(self) -> Sequence[int]:
        """The tokens that the family puts into dialogues or reads itself."""
        return self.label_ids

    def load_weights(
        self, model_path: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool
    ) -> None:
        self.model = load_causal_lm(
            model_path, self.name, device=device, dtype=dtype, trust_remote_code=trust_remote_code
        )
        rows = self.model.get_input_embeddings().weight.shape[0]
        require_embeddings(self.tokenizer, model_path, rows, self.fix_model, self.written_ids)

    def forward(self, batch: Sequence[Encoded]) -> list[list[float]]:
        logits = logits_at(self.model, batch, read_index(batch, self.model.device), self.name)
        return per_row(self.scores_from_logits(logits), batch)

    def scores_from_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the good label's share of the two: from `[reads, vocabulary]` to `[reads]`."""
        return logits[:, list(self.label_ids)].float().softmax(-1)[:, 0]

    def served_ids(self, encoded: Encoded) -> list[int]:
        # The verdict after the last read is a prompt token only if a token follows. It changes nothing before it.
        return [*encoded.input_ids, self.label_ids[0]]

    def served_scores(self, encoded: Encoded, output: Sequence[Mapping[int, float] | None]) -> list[float]:
        if len(output) != len(encoded.input_ids) + 1:
            raise ValueError(f"log-probabilities of {len(output)} tokens for {len(encoded.input_ids) + 1}")
        return [self.served_score(output[read + 1], read) for read in encoded.reads]

    def served_score(self, logprobs: Mapping[int, float] | None, read: int) -> float:
        """Return the score of one segment from the log-probabilities a server gave for the token after a read.

        Raises:
            ValueError: the server does not name the labels that the score needs.
        """
        good, bad = self.label_ids
        return label_score(logprobs, (good, bad), read)


def distinct_labels(
    ids: Sequence[int], labels: Sequence[str], tokenizer: Any, model_path: str, fix: str
) -> tuple[int, ...]:
    """Return the token ids of the labels, the good one first, once they were checked.

    Args:
        ids: the token ids that the tokenizer gives for the labels.
        labels: their texts, for the message.
        tokenizer: the PRM's.
        model_path: where it comes from, for the message.
        fix: the setting to change, for the message.

    Raises:
        PrmError: a label is not one token or is not known, or both are the same token.
    """
    if len(ids) != len(labels) or len({*ids}) != len(ids) or tokenizer.unk_token_id in ids:
        are = "are not one distinct token each" if len(labels) > 1 else "is not one token"
        read_as = " and ".join(str(tokenizer.convert_ids_to_tokens(one)) for one in plain_ids(tokenizer, labels))
        raise PrmError(
            f"{' and '.join(map(repr, labels))} {are} in the tokenizer of reward.prm.model_path={model_path}, which "
            f"by {'themselves' if len(labels) > 1 else 'itself'} reads {'them' if len(labels) > 1 else 'it'} as "
            f"{read_as}. {fix}"
        )
    return tuple(ids)


def label_score(logprobs: Mapping[int, float] | None, label_ids: tuple[int, int], read: int) -> float:
    """Return the good label's share from the log-probabilities that a server gave for one position.

    A server names the likeliest tokens only. A label that is not among them is no likelier than the last one named.
    Where that settles the score to within `UNSURE`, the label counts as 0.

    Args:
        logprobs: by token id, natural logarithms.
        label_ids: of the good and the bad label.
        read: the position, for the message.

    Raises:
        ValueError: neither label is named, or only one is and the other could still change the score.
    """
    found = [None if logprobs is None else logprobs.get(label) for label in label_ids]
    good, bad = found
    if good is not None and bad is not None:
        return 1 / (1 + math.exp(min(bad - good, 700.0)))
    if logprobs and (good is not None or bad is not None):
        # The prompt's own token is always named. It says nothing of what a label outside the list can have.
        least = sorted(logprobs.values())[1 if len(logprobs) > 1 else 0]
        known = good if good is not None else bad
        assert known is not None
        if math.exp(min(least - known, 0.0)) <= UNSURE:
            return 1.0 if good is not None else 0.0
    missing = " and ".join(str(label) for label, value in zip(label_ids, found, strict=True) if value is None)
    raise ValueError(_not_named(read, missing, logprobs))


def label_probability(logprobs: Mapping[int, float] | None, label: int, read: int) -> float:
    """Return a label's probability among all tokens, from the log-probabilities a server gave for one position.

    Args:
        logprobs: by token id, natural logarithms. A label that is not among them counts as 0 where the least of them
            is below `UNSURE`.
        label: its token id.
        read: the position, for the message.

    Raises:
        ValueError: the label is not named, and its probability could still be above `UNSURE`.
    """
    if logprobs and label in logprobs:
        return math.exp(min(logprobs[label], 0.0))
    if logprobs and len(logprobs) > 1 and math.exp(sorted(logprobs.values())[1]) <= UNSURE:
        return 0.0
    raise ValueError(_not_named(read, str(label), logprobs))


def _not_named(read: int, missing: str, logprobs: Mapping[int, float] | None) -> str:
    return (
        f"after token {read} the server names no log-probability of label token {missing} among its "
        f"{len(logprobs or {})} likeliest. Raise reward.prm.server.prompt_logprobs (and the server's --max-logprobs), "
        "or check that reward.prm.family is the family of the model it serves"
    )
