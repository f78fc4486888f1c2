# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Check the tensors that a caller hands in. The messages name the argument, and the row where it is at fault."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def checked_mask(response_mask: Tensor) -> Tensor:
    """Return the mask as bool `[bs, L]`.

    Raises:
        TypeError, ValueError: it is no tensor, or has another shape.
    """
    _require_tensor("response_mask", response_mask)
    if response_mask.dim() != 2:
        raise ValueError(f"response_mask must be [bs, L], got shape {tuple(response_mask.shape)}")
    return response_mask.bool()


def require_finite_entropy(highest: Tensor) -> None:
    """Refuse NaN and +inf. They sort above every number, so the highest values of each row `[bs, k]` show them."""
    bad = highest.isnan() | highest.isposinf()
    if bad.any():
        row = int(bad.any(1).nonzero()[0, 0])
        raise ValueError(f"entropy is {highest[row, 0].item()} at a valid token of row {row}; it must be finite there")


def require_above_minus_infinity(entropy: Tensor, mask: Tensor) -> None:
    if entropy.amin() > float("-inf"):  # one pass. The rest runs only where -inf was found, under the mask or not
        return
    bad = (mask & (entropy == float("-inf"))).any(1)
    if bad.any():
        row = int(bad.nonzero()[0, 0])
        raise ValueError(f"entropy is -inf at a valid token of row {row}; it must be finite there")


def require_anchor_bounds(tokens_per_anchor: int, anchor_bounds: tuple[int, int]) -> None:
    if type(tokens_per_anchor) is not int or tokens_per_anchor < 1:
        raise ValueError(f"tokens_per_anchor must be a whole number of at least 1, got {tokens_per_anchor!r}")
    bounds = tuple(anchor_bounds) if isinstance(anchor_bounds, Sequence) else ()
    if [type(bound) for bound in bounds] != [int, int] or not 0 <= bounds[0] <= bounds[1]:
        raise ValueError(f"anchor_bounds must be two whole numbers, 0 <= least <= most, got {anchor_bounds!r}")


def require_segments(num_segments: int) -> None:
    if type(num_segments) is not int:
        raise TypeError(f"num_segments must be an int, got {num_segments!r}")
    if num_segments < 1:
        raise ValueError(f"num_segments must be at least 1, got {num_segments}")


def checked_batch(
    scores: Tensor, starts: Tensor, rewards: Tensor, response_mask: Tensor, scored: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """Return scores and rewards in fp32 or more, starts and mask as bool, `scored` as bool `[bs, 1]` or `[bs, L]`.

    Raises:
        TypeError, ValueError: see `verl_prpo.method.advantage.prpo_advantage`.
    """
    mask = checked_mask(response_mask)
    bs = len(mask)
    _require_shape("process_scores", scores, mask.shape)
    _require_shape("segment_starts", starts, mask.shape)
    _require_shape("outcome_rewards", rewards, (bs,))
    if scored is not None:
        _require_shape("scored", scored, mask.shape if isinstance(scored, Tensor) and scored.dim() == 2 else (bs,))
        scored = scored.bool().view(bs, -1)
    if not scores.is_floating_point():
        raise ValueError(f"process_scores must be a floating-point tensor, got {scores.dtype}")
    dtype = torch.promote_types(scores.dtype, torch.float32)
    rewards = rewards.to(dtype)
    if not rewards.isfinite().all():
        row = int((~rewards.isfinite()).nonzero()[0])
        raise ValueError(f"the outcome reward of row {row} is {rewards[row].item()}; it must be finite")
    return scores.to(dtype), starts.bool(), rewards, mask, scored


def checked_weight(given: float | Tensor, rewards: Tensor) -> Tensor:
    """Return the process weight as one number a row, in the dtype and on the device of the rewards."""
    weight = torch.as_tensor(given, dtype=rewards.dtype, device=rewards.device)
    if weight.dim() > 1 or weight.numel() not in (1, len(rewards)):
        raise ValueError(f"process_weight has shape {tuple(weight.shape)}, expected a number or ({len(rewards)},)")
    if not (weight.isfinite() & (weight >= 0)).all():
        raise ValueError(f"process_weight must be finite and at least 0, got {given}")
    return weight.expand(len(rewards))


def require_prior(mean: float, std: float) -> None:
    if not 0 < std < math.inf:
        raise ValueError(f"prior_std must be positive and finite, got {std}")
    if not math.isfinite(mean):
        raise ValueError(f"prior_mean must be finite, got {mean}")


def require_finite_scores(scores: Tensor, judged: Tensor) -> None:
    if torch.where(judged, scores, 0.0).sum().isfinite():
        return
    bad = judged & ~scores.isfinite()
    if bad.any():
        row, column = bad.nonzero()[0].tolist()
        score = scores[row, column].item()
        raise ValueError(
            f"the process score of row {row}, token {column} is {score}; every valid token needs a finite score"
        )


def require_finite_advantage(advantage: Tensor, scores: Tensor, judged: Tensor) -> None:
    if advantage.sum().isfinite():  # one pass. The rest runs only to name the row
        return
    require_finite_scores(scores, judged)
    if not advantage.isfinite().all():
        raise ValueError(
            f"the advantages overflow {advantage.dtype}; check process scores, outcome rewards and prior_std"
        )


def require_opened_rows(starts: Tensor, judged: Tensor) -> None:
    """Require that a row's first token with a score opens a segment: some credits read scores at segment starts."""
    if not judged.numel():
        return
    first = judged.byte().argmax(1, keepdim=True)
    unopened = (judged.gather(1, first) & ~starts.gather(1, first))[:, 0]
    if unopened.any():
        row = int(unopened.nonzero()[0, 0])
        raise ValueError(
            f"segment_starts opens no segment at token {int(first[row, 0])}, the first valid token of row {row}; "
            "use a segmenter of verl_prpo.method.segmentation under the same response_mask"
        )


def require_known(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"unknown {name} {value!r}; choose one of {', '.join(allowed)}")


def _require_tensor(name: str, given: object) -> None:
    if not isinstance(given, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(given).__name__}; torch.as_tensor makes one")


def _require_shape(name: str, tensor: Tensor, shape: Sequence[int]) -> None:
    _require_tensor(name, tensor)
    if tensor.shape != tuple(shape):
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {tuple(shape)} to fit response_mask")
