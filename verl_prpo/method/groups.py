# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Compute statistics over the groups of a batch. A group is the responses to one prompt, given by verl's uid."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

EPSILON = 1e-6
"""What is added to every standard deviation that is measured on data, as verl's GRPO does."""


@dataclass
class Groups:
    """Which group each row of a batch belongs to. The order of rows changes nothing.

    Attributes:
        of_row: long `[bs]`, number of each row's group.
        count: how many groups there are.
    """

    of_row: Tensor
    count: int

    @classmethod
    def of(cls, index: np.ndarray | Sequence, bs: int, device: torch.device) -> "Groups":
        """Read the groups from one group id per row, of any type.

        Raises:
            ValueError: there is not one id per row.
        """
        names = np.asarray(index.cpu() if isinstance(index, Tensor) else index)
        if names.shape != (bs,):
            raise ValueError(f"index has shape {names.shape}, expected ({bs},): one group id per row")
        unique, group = np.unique(names.astype(str) if names.dtype == object else names, return_inverse=True)
        return cls(torch.from_numpy(group.reshape(-1)).to(device), len(unique))

    def sums(self, values: Tensor) -> Tensor:
        """Give each row the sum of `values` `[bs]` over its group, `[bs]`."""
        return values.new_zeros(self.count).index_add_(0, self.of_row, values)[self.of_row]

    def centred(self, values: Tensor) -> Tensor:
        """Subtract from `values` their group's mean, `[bs]`. The result is 0 in a group of one."""
        exact = values.double()  # only [bs]. It keeps the digits that a large common part costs in fp32
        mean = self.sums(exact) / self.sums(torch.ones_like(exact))
        return (exact - mean).to(values.dtype)

    def standardised(self, values: Tensor, as_verl: bool = False) -> Tensor:
        """Do GRPO as in verl: (R - mean) / (std + epsilon) per group, with mean 0 and std 1 in a group of one.

        Where all values of a group nearly agree, the last digit of its mean shows. So the mean is torch's own fp32 mean
        of the group's values, as in verl. The deviations from it are squared in fp64, as `torch.std` does.
        """
        order = self.of_row.argsort(stable=True)
        size = torch.bincount(self.of_row, minlength=self.count)
        first = size.cumsum(0) - size
        mean, std = values.new_zeros(self.count), values.new_ones(self.count)
        for n in size.unique().tolist():  # usually a single size, rollout.n
            if n > 1:
                groups = (size == n).nonzero()[:, 0]
                members = values[order[first[groups][:, None] + torch.arange(n, device=order.device)]]
                mean[groups] = members.mean(1)
                if not as_verl:  # equal values have no deviation. That of verl's fp32 mean is up to half a unit of A
                    mean[groups] = torch.where((members == members[:, :1]).all(1), members[:, 0], mean[groups])
                deviation = members.double() - mean[groups].double()[:, None]
                std[groups] = (deviation.square_().sum(1) / (n - 1)).sqrt().to(std.dtype)
        return (values - mean[self.of_row]) / (std[self.of_row] + EPSILON)


def all_equal_groups(outcome_rewards: Tensor, index: np.ndarray | Sequence) -> Tensor:
    """Find rows whose group agrees on the outcome. There PRPO's outcome advantage is 0, and the PRM decides alone.

    Args:
        outcome_rewards: float `[bs]`.
        index: `[bs]`, group of each row (verl's uid array).

    Returns:
        BoolTensor `[bs]`, True in the rows of groups with a single value of R, groups of one included.
    """
    groups = Groups.of(index, len(outcome_rewards), outcome_rewards.device)
    values = outcome_rewards.float()
    bounds = values.new_full((groups.count,), float("inf"))
    low = bounds.scatter_reduce(0, groups.of_row, values, "amin")
    high = bounds.neg().scatter_reduce(0, groups.of_row, values, "amax")
    return (low == high)[groups.of_row]
