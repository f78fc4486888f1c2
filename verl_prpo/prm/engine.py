# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Scores a batch of responses with a PRM in this process: one forward pass per response, packed by length."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from verl_prpo.prm.cache import ScoreCache
from verl_prpo.prm.family import Encoded, PrmError, PrmFamily
from verl_prpo.prm.reading import shown_value, take
from verl_prpo.prm.results import PrmFailure, PrmRequest, PrmResult


class InProcessEngine:
    """A loaded family and the packing of requests into forward passes."""

    def __init__(self, family: PrmFamily, max_tokens_per_forward: int, overlong: str = "raise", cache_size: int = 0):
        """Args:
        family: the PRM.
        max_tokens_per_forward: most tokens, padding included, of one forward pass; a single dialogue may exceed it.
        overlong: neutral, truncate or raise, see `verl_prpo.prm.reading.take`.
        cache_size: most dialogues whose scores are remembered.
        """
        self.family = family
        self.max_tokens_per_forward = max_tokens_per_forward
        self.overlong = overlong
        self.cache = ScoreCache(cache_size)

    def score(self, requests: Sequence[PrmRequest]) -> list[PrmResult]:
        """One result per request, in their order.

        Raises:
            PrmError: the device ran out of memory, or the family raises one.
        """
        batch = take(self.family, self.cache, requests, self.overlong)
        outputs: list[Any] = [None] * len(batch.todo)
        for indices in self._micro_batches(batch.todo):
            dialogues = [batch.todo[i] for i in indices]
            output = self._forward(dialogues)
            try:
                rows = list(output)
                fault = f"{len(rows)} rows of scores" if len(rows) != len(dialogues) else ""
            except TypeError:
                fault = shown_value(output)
            for n, i in enumerate(indices):
                if fault:
                    detail = f"{self.family.name} gave {fault} for {len(dialogues)} dialogues"
                    outputs[i] = PrmResult(None, PrmFailure.BAD_OUTPUT, detail)
                else:
                    outputs[i] = rows[n]
        return batch.results(outputs)

    def _micro_batches(self, dialogues: Sequence[Encoded]) -> Iterator[list[int]]:
        """Indices of dialogues of like length, with rows times the longest within the limit."""
        batch: list[int] = []
        for i in sorted(range(len(dialogues)), key=lambda i: len(dialogues[i].input_ids)):
            if batch and (len(batch) + 1) * len(dialogues[i].input_ids) > self.max_tokens_per_forward:
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    def _forward(self, batch: list[Encoded]) -> Any:
        try:
            with torch.inference_mode():
                return self.family.forward(batch)
        except torch.OutOfMemoryError as error:
            longest = max(len(row.input_ids) for row in batch)
            raise PrmError(
                f"the PRM ran out of memory on {len(batch)} dialogues of up to {longest} tokens; lower "
                f"reward.prm.max_tokens_per_forward (now {self.max_tokens_per_forward}) or give the PRM a device "
                f"of its own: {error}"
            ) from error
