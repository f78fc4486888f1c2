# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Handle sessions that gave several outputs, such as those of an agent loop that compacts its context.

verl gives all outputs of a session the reward of its final one. In a group each session counts once, by that output.
All outputs of a session get its outcome advantage, as in verl's GRPO.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from verl_prpo.method.groups import Groups


@dataclass(frozen=True)
class Sessions:
    """Which session each row of a batch is an output of.

    Attributes:
        of_row: long `[bs]`, number of each row's session.
        final: bool `[bs]`, the last output of each session.
    """

    of_row: Tensor
    final: Tensor

    @classmethod
    def of(cls, keys: Sequence[str]) -> "Sessions":
        """Read the sessions from verl's keys, `{uid}_{session}_{index}`. Any other key is a session of its own."""
        split = [key.rpartition("_") for key in keys]
        places = [
            (name, int(index)) if index.isdigit() else (key, 0)
            for key, (name, _, index) in zip(keys, split, strict=True)
        ]
        numbers: dict[str, int] = {}
        of_row = [numbers.setdefault(name, len(numbers)) for name, _ in places]
        last: dict[str, int] = {}
        for name, index in places:
            last[name] = max(index, last.get(name, 0))
        final = [last[name] == index for name, index in places]
        return cls(torch.tensor(of_row, dtype=torch.long), torch.tensor(final, dtype=torch.bool))

    def spread(self, places: Sequence[int], batch_size: int) -> "Sessions":
        """Put the same into the rows of verl's batch. Each padding row is a session of its own."""
        of_row = torch.arange(batch_size) + (int(self.of_row.max()) + 1 if len(self.of_row) else 0)
        final = torch.ones(batch_size, dtype=torch.bool)
        of_row[list(places)], final[list(places)] = self.of_row, self.final
        return Sessions(of_row, final)

    @property
    def several(self) -> bool:
        """Say whether any session has more than one output."""
        return not bool(self.final.all())

    def outcome_advantage(
        self, rewards: Tensor, index: np.ndarray | Sequence, *, standardised: bool, as_verl: bool = False
    ) -> Tensor:
        """Compute outcome rewards relative to their group, in which each session counts once.

        Args:
            rewards: float `[bs]`. Of a session the reward of its final output counts.
            index: `[bs]`, group of each row.
            standardised: whether to divide also by the group's standard deviation, as GRPO does.
            as_verl: see `Groups.standardised`.

        Returns:
            Tensor `[bs]` in the dtype of `rewards`, the same for all outputs of a session.
        """
        final, of_row = self.final.to(rewards.device), self.of_row.to(rewards.device)
        groups = Groups.of(np.asarray(index, dtype=object)[self.final.numpy()], int(final.sum()), rewards.device)
        counted = rewards[final]
        beta = groups.standardised(counted, as_verl) if standardised else groups.centred(counted)
        by_session = beta.new_zeros(int(of_row.max()) + 1).index_put_((of_row[final],), beta)
        return by_session[of_row]
