# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Choose which tokens of a response are cuts: by the anchors of algorithm 1, or by non-maximum suppression instead.

Both functions take `spikes` `[bs, L]` (the entropy, and minus infinity outside the mask), the column `[bs, 1]` of each
row's first valid token, the number of anchors `[bs, 1]` of each row, and the least gap. They return columns `[bs, k]`,
and which of them are cuts.
"""

import torch
from torch import Tensor

from verl_prpo.method.validate import require_finite_entropy

STRIPE = 64
"""How many columns a stripe has, see `_highest`."""


def paper_anchors(spikes: Tensor, first: Tensor, anchors: Tensor, min_gap: int) -> tuple[Tensor, Tensor]:
    """Return columns `[bs, k]` and which of them are cuts. `anchors` `[bs, 1]` is the k of each row."""
    width, most = spikes.shape[1], int(anchors.max())
    # One value more than needed shows rows of as many valid tokens or fewer, and ties across the last place.
    values, columns = _highest(spikes, min(most + 1, width))
    require_finite_entropy(values)
    if most == 0:
        return columns[:, :0], columns[:, :0].bool()
    values = torch.nn.functional.pad(values, (0, most + 1 - values.shape[1]), value=float("-inf"))
    last, after = values.gather(1, (anchors - 1).clamp(min=0)), values.gather(1, anchors)
    cuts = columns[:, :most]
    tied = ((last == after) & (after > float("-inf")))[:, 0]
    if tied.any():
        cuts[tied] = _highest_earlier_first(spikes[tied], last[tied], anchors[tied], most)
    chosen = torch.arange(most, device=spikes.device) < anchors
    cuts = torch.where(chosen, cuts, width).sort(1).values  # columns of no anchor stand last
    keep = torch.zeros_like(cuts, dtype=torch.bool)
    at = torch.full_like(first[:, 0], -min_gap)
    for i in range(most):
        keep[:, i] = cuts[:, i] - at >= min_gap
        at = torch.where(keep[:, i], cuts[:, i], at)
    keep &= chosen & (cuts - first >= min_gap) & (after > float("-inf"))
    return cuts.clamp(max=width - 1), keep


def greedy_anchors(spikes: Tensor, first: Tensor, anchors: Tensor, min_gap: int) -> tuple[Tensor, Tensor]:
    width, most = spikes.shape[1], int(anchors.max())
    require_finite_entropy(spikes.amax(1, keepdim=True))
    gap = max(min_gap, 1)
    near = torch.arange(1 - gap, gap, device=spikes.device)
    left = spikes.clone().scatter_(1, (first + near.clamp(min=0)).clamp(max=width - 1), float("-inf"))
    cuts = torch.zeros(len(spikes), most, dtype=torch.long, device=spikes.device)
    keep = torch.zeros_like(cuts, dtype=torch.bool)
    for i in range(most):
        value, cuts[:, i] = left.max(1)
        keep[:, i] = (value > float("-inf")) & (i < anchors[:, 0])
        left.scatter_(1, (cuts[:, i : i + 1] + near).clamp(0, width - 1), float("-inf"))
    return cuts, keep


def _highest(spikes: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Do what `spikes.topk(k, dim=1)` does, but cheaper in long rows. The order of equal values is open, as in `topk`.

    A stripe is a set of STRIPE evenly spaced columns. The k stripes with the highest maxima hold the k highest values
    of a row, so only these stripes are searched.
    """
    width = spikes.shape[1]
    if width % STRIPE or width < 4 * STRIPE * k:
        return spikes.topk(k, dim=1)
    striped = spikes.unflatten(1, (STRIPE, -1))
    stripes = striped.amax(1).topk(k, dim=1).indices
    values, found = striped.gather(2, stripes[:, None].expand(-1, STRIPE, -1)).flatten(1).topk(k, dim=1)
    return values, found // k * striped.shape[2] + stripes.gather(1, found % k)


def _highest_earlier_first(spikes: Tensor, kth: Tensor, anchors: Tensor, most: int) -> Tensor:
    """Find the positions `[bs, most]` of the highest values of each row, the earlier of equal values first.

    `topk` leaves this order open. `anchors` `[bs, 1]` is how many values a row has, and `kth` `[bs, 1]` is the least of
    them. Places that are left over hold the width.
    """
    higher = spikes > kth
    equal = spikes == kth
    wanted = anchors - higher.sum(1, keepdim=True)
    chosen = higher | (equal & (equal.cumsum(1, dtype=torch.int32) <= wanted))
    found = torch.full((len(spikes), most), spikes.shape[1], dtype=torch.long, device=spikes.device)
    row, column = chosen.nonzero(as_tuple=True)
    found[row, chosen.cumsum(1, dtype=torch.int32)[row, column].long() - 1] = column
    return found
