# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Causal language models that judge a step by the token they would say next: the base of several families.

A read is the position of the last token before the verdict. The score is the probability of the good label against the
bad one, their logits alone under a softmax.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from verl_prpo.prm.families.base import Encoded, PrmFamily
from verl_prpo.prm.families.causal_lm import logits_at
from verl_prpo.prm.in_process.forward_passes import per_row, read_index

UNSURE = 1e-3
"""Greatest error of a score for which a label outside the server's top log-probabilities may count as 0."""


class LabelTokenPrm(PrmFamily):
    """Scores in [0, 1] from two label tokens; a family says how the dialogue is written."""

    serving: ClassVar[str | None] = "prompt_logprobs"

    model: Any
    """The causal language model, or None when a server holds it."""

    label_ids: tuple[int, int]
    """Token ids of the good and the bad label."""

    def forward(self, batch: Sequence[Encoded]) -> list[list[float]]:
        logits = logits_at(self.model, batch, read_index(batch, self.model.device), self.name)
        return per_row(logits[:, list(self.label_ids)].float().softmax(-1)[:, 0], batch)

    def served_ids(self, encoded: Encoded) -> list[int]:
        # The verdict after the last read is a prompt token only if a token follows; it changes nothing before it.
        return [*encoded.input_ids, self.label_ids[0]]

    def served_scores(self, encoded: Encoded, output: Sequence[Mapping[int, float] | None]) -> list[float]:
        if len(output) != len(encoded.input_ids) + 1:
            raise ValueError(f"log-probabilities of {len(output)} tokens for {len(encoded.input_ids) + 1}")
        return [label_score(output[read + 1], self.label_ids, read) for read in encoded.reads]


def label_score(logprobs: Mapping[int, float] | None, label_ids: tuple[int, int], read: int) -> float:
    """The good label's share from the log-probabilities that a server gave for one position.

    A server names the likeliest tokens only. A label that is not among them is no likelier than the last that is; where
    that settles the score to within `UNSURE`, it counts as 0.

    Args:
        logprobs: by token id, natural logarithms.
        label_ids: of the good and the bad label.
        read: the position, for the message.

    Raises:
        ValueError: neither label is there, or one is and the other could still matter.
    """
    found = [None if logprobs is None else logprobs.get(label) for label in label_ids]
    good, bad = found
    if good is not None and bad is not None:
        return 1 / (1 + math.exp(min(bad - good, 700.0)))
    if logprobs and (good is not None or bad is not None):
        # The prompt's own token is always named; it says nothing of what a label outside the list can have.
        least = sorted(logprobs.values())[1 if len(logprobs) > 1 else 0]
        known = good if good is not None else bad
        assert known is not None
        if math.exp(min(least - known, 0.0)) <= UNSURE:
            return 1.0 if good is not None else 0.0
    missing = " and ".join(str(label) for label, value in zip(label_ids, found, strict=True) if value is None)
    raise ValueError(
        f"after token {read} the server names no log-probability of label token {missing} among its "
        f"{len(logprobs or {})} likeliest; raise reward.prm.server.prompt_logprobs (and the server's --max-logprobs), "
        "or check that reward.prm.family is the family of the model it serves"
    )
