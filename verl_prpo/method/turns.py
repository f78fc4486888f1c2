# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Find the turns of responses with tools. A turn is a stretch of the policy's own tokens between what others said.

verl's agent loops put what a tool says into the response, under mask 0. A turn begins wherever the policy takes over.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from verl_prpo.method.validate import checked_mask


def turn_segments(response_mask: Tensor) -> Tensor:
    """Cut each response wherever the policy takes over: at its first own token, and at each one after a foreign token.

    Args:
        response_mask: bool, int or float `[bs, L]`, 1 on the policy's own tokens.

    Returns:
        BoolTensor `[bs, L]`, True at the first token of each turn.

    Raises:
        ValueError: the mask is not `[bs, L]`.

    Example:
        >>> import torch
        >>> from verl_prpo import turn_segments
        >>> turn_segments(torch.tensor([[1, 1, 0, 0, 1, 1, 0, 1, 0]])).int()
        tensor([[1, 0, 0, 0, 1, 0, 0, 1, 0]], dtype=torch.int32)
    """
    mask = checked_mask(response_mask)
    before = torch.nn.functional.pad(mask[:, :-1], (1, 0))
    return mask & ~before if mask.numel() else torch.zeros_like(mask)


@dataclass(frozen=True)
class Turns:
    """The turns of a batch as rows of their own, so that a segmenter cuts each as if it were a response.

    Attributes:
        row: long `[turns]`, the row of the batch that each turn belongs to, in order.
        begin: long `[turns]`, the column of its first token.
        mask: bool `[turns, W]`, True on its tokens, aligned to the left. W is the length of the longest turn.
    """

    row: Tensor
    begin: Tensor
    mask: Tensor

    @classmethod
    def of(cls, response_mask: Tensor) -> "Turns":
        """Find the turns of a mask `[bs, L]`."""
        mask = checked_mask(response_mask)
        row, begin = turn_segments(mask).nonzero(as_tuple=True)
        after = torch.nn.functional.pad(mask[:, 1:], (0, 1))
        end = (mask & ~after).nonzero(as_tuple=True)[1] + 1 if mask.numel() else begin
        length = end - begin
        width = int(length.max()) if len(length) else 0
        return cls(row, begin, torch.arange(width, device=mask.device) < length[:, None])

    def rows(self, values: Tensor) -> Tensor:
        """Give values of the batch `[bs, L]` by turn, `[turns, W]`. Past a turn's end they mean nothing."""
        columns = self.begin[:, None] + torch.arange(self.mask.shape[1], device=values.device)
        return values[self.row[:, None], columns.clamp(max=values.shape[1] - 1)]

    def spans(self) -> list[tuple[int, int, int]]:
        """List the row, the first column and the column after the last one of each turn."""
        ends = self.begin + self.mask.sum(1)
        return list(zip(self.row.tolist(), self.begin.tolist(), ends.tolist(), strict=True))

    def back(self, starts: Tensor, like: Tensor) -> Tensor:
        """Put segment starts by turn, bool `[turns, W]`, back into the batch: bool, in the shape of `like`."""
        found = torch.zeros(like.shape, dtype=torch.bool, device=like.device)
        turn, column = starts.nonzero(as_tuple=True)
        found[self.row[turn], self.begin[turn] + column] = True
        return found
