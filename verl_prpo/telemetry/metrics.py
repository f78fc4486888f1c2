# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The `prpo/*` metrics of a step, as pure functions: what was cut, the PRM's scores, and their effect on advantages."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from verl_prpo.method.groups import all_equal_groups
from verl_prpo.method.trust import Agreement
from verl_prpo.prm.results import PrmFailure
from verl_prpo.step.messages import Scores


def segment_metrics(
    segment_starts: Tensor,
    response_mask: Tensor,
    min_gap: int | None = None,
    hidden_starts: Tensor | None = None,
) -> dict[str, float]:
    """Measure number and length of segments, and the share of cuts that are as near to the one before as is allowed.

    Thoughts that are hidden from the PRM are segments that nobody judges, so they are counted by themselves, under
    `prpo/segments/hidden` and `prpo/segment_length/hidden`. The other metrics leave them out.

    Args:
        segment_starts: bool `[n, L]`.
        response_mask: int `[n, L]`.
        min_gap: least distance between two starts, in columns. None for a segmenter that has no such distance.
        hidden_starts: bool `[n, L]`, those of hidden thoughts among the starts. None where nothing is to be hidden.
    """
    starts, mask = segment_starts, response_mask.bool()
    thoughts = torch.zeros_like(starts) if hidden_starts is None else hidden_starts
    row, column = starts.nonzero(as_tuple=True)
    is_hidden = thoughts[row, column]
    # Every valid token adds one to the length of its segment; segments are numbered through the whole batch.
    number = starts.flatten().long().cumsum(0) - 1
    lengths = torch.bincount(number[mask.flatten()], minlength=len(row)).float()
    metrics = {
        **_spread("prpo/segments", (starts & ~thoughts).sum(1).float()),
        **_spread("prpo/segment_length", lengths[~is_hidden]),
    }
    if hidden_starts is not None:
        metrics |= _spread("prpo/segments/hidden", thoughts.sum(1).float())
        metrics |= _spread("prpo/segment_length/hidden", lengths[is_hidden])
    cuts = (row.diff() == 0) & ~is_hidden[1:] & ~is_hidden[:-1]  # the edges of a thought are no choice of the segmenter
    distances = column.diff()[cuts]
    if min_gap is not None and min_gap > 1 and len(distances):
        metrics["prpo/segments/at_min_gap"] = _mean((distances == min_gap).float())
    return metrics


def score_metrics(scores: Sequence[Sequence[float]]) -> dict[str, float]:
    """Take mean, std, min and max of the segment scores of all scored responses, in the PRM family's units."""
    flat = torch.tensor([s for row in scores for s in row])
    if not len(flat):
        return {}
    return {"prpo/process_score/std": flat.std(correction=0).item(), **_spread("prpo/process_score", flat)}


def prm_metrics(results: Sequence[Scores], unjudged: int, unfinished: int, hidden: int = 0) -> dict[str, float]:
    """Count what the PRM was asked and what came of it.

    Every request is either scored or failed, and `requests` counts both. `requests` and `empty` add up to the rollouts
    of the batch. The kinds of failure add up to `failed`, but for `overlong`, which counts every dialogue longer than
    the PRM's context, whatever was done about it. `unread` counts segments that did not fit into that context, and
    `abstained` those to which a score function gave None. `cache_hit` is the share of requests whose scores were
    remembered. `windows` counts the windows of the responses that were read in windows. `context` says how much of what
    comes before a segment the PRM had seen when it judged the segment.

    Args:
        results: one per request.
        unjudged: rollouts in which nothing can be judged, which are not sent.
        unfinished: rollouts whose last segment was not judged because they were cut off within it.
        hidden: segments that are thoughts hidden from the PRM.
    """
    failures = Counter(r.failure for r in results if r.failure is not None)
    kinds = {f"prpo/prm/{kind.value}": failures.get(kind, 0) for kind in PrmFailure}
    metrics: dict[str, float] = {
        **kinds,
        "prpo/prm/requests": len(results),
        "prpo/prm/tokens": sum(r.tokens for r in results),
        "prpo/prm/failed": sum(failures.values()),
        "prpo/prm/overlong": sum(r.overlong for r in results),
        "prpo/prm/unread": sum(r.unread for r in results),
        "prpo/prm/abstained": sum(r.abstained for r in results),
        "prpo/prm/empty": unjudged,
        "prpo/prm/unfinished": unfinished,
        "prpo/prm/hidden": hidden,
        "prpo/prm/windows": sum(r.windows for r in results),
    }
    shares = torch.tensor([share for r in results for share in r.context_shares])
    if len(shares):
        metrics |= {"prpo/prm/context/mean": _mean(shares), "prpo/prm/context/min": shares.min().item()}
    if results:
        metrics["prpo/prm/cache_hit"] = sum(r.cached for r in results) / len(results)
    return metrics


def advantage_metrics(
    *,
    advantages: Tensor,
    process_advantage: Tensor,
    outcome_advantage: Tensor,
    grpo_advantage: Tensor,
    mean_scores: Tensor,
    token_rewards: Tensor,
    right: Tensor,
    agree: Tensor,
    response_mask: Tensor,
    index: np.ndarray,
    scored: Tensor,
    read: Tensor,
    truncated: Tensor,
) -> dict[str, float]:
    """Measure how the process advantage and the outcome advantage came together.

    Args:
        advantages: float `[n, L]`, the advantages that the actor gets.
        process_advantage: float `[n, L]`, z.
        outcome_advantage: float `[n, L]`, the outcome advantage on every valid token.
        grpo_advantage: float `[n, L]`, the advantages that GRPO would have given.
        mean_scores: float `[n]`, mean segment score of each response.
        token_rewards: float `[n]`, the rewards that GRPO would see.
        right: float `[n]`, 1 for a right response, 0 for a wrong one, NaN where nothing says it.
        agree: bool `[n]`, rows whose group has one verdict.
        response_mask: int `[n, L]`.
        index: `[n]`, uids.
        scored: bool `[n]`, rows of which the PRM read at least one segment.
        read: bool `[n, L]`, tokens of the segments that the PRM judged.
        truncated: bool `[n]`, rows that were cut off by a length limit.
    """
    mask = response_mask.bool()
    judged = mask & read
    names = np.asarray(index).tolist()
    equal = all_equal_groups(token_rewards, names).tolist()
    size = Counter(names)
    # Where all rewards of a group are equal, GRPO's advantage is 0 but for rounding, whose sign says nothing.
    flat = torch.tensor([e and size[name] > 1 for name, e in zip(names, equal, strict=True)], dtype=torch.bool)
    flips = (advantages * grpo_advantage < 0) & ~flat[:, None]
    metrics = {
        "prpo/outcome_advantage/mean": _mean(outcome_advantage[mask]),
        "prpo/outcome_advantage/std": _std(outcome_advantage[mask]),
        "prpo/sign_flip": _mean(flips[mask].float()),
        "prpo/truncated": _mean(truncated.float()),
    }
    if judged.any():
        metrics["prpo/process_advantage/mean"] = _mean(process_advantage[judged])
        metrics["prpo/process_advantage/std"] = _std(process_advantage[judged])
    known = ~right.isnan()
    if len(known):
        metrics["prpo/verdict/known"] = _mean(known.float())
    if known.any():
        metrics["prpo/verdict/right"] = _mean(right[known])
    both = scored & known if known.any() else scored
    if both.sum() > 1:
        pair = torch.stack([mean_scores[both], (right if known.any() else token_rewards)[both]]).double()
        if (pair.std(1) > 0).all():
            metrics["prpo/process_outcome_corr"] = torch.corrcoef(pair)[0, 1].item()
    groups = dict(zip(names, agree.tolist(), strict=True))
    if groups:
        metrics["prpo/group/all_equal"] = sum(groups.values()) / len(groups)
    return metrics


def trust_metrics(
    trust: Mapping[str, Agreement], data_sources: Sequence[str], used: Tensor | None = None
) -> dict[str, float]:
    """Report the weight that the PRM has earned, over the steps so far.

    Args:
        trust: by data source.
        data_sources: `[n]`, of the responses of this batch.
        used: float `[n]`, the weight that each response's process advantage had. None for a credit without one.
    """
    if not len(data_sources):
        return {}
    names = [str(source) for source in data_sources]
    of = {name: trust.get(name, Agreement()) for name in dict.fromkeys(names)}
    together = sum(of.values(), Agreement())
    metrics = {
        "prpo/trust/earned": sum(of[name].weight for name in names) / len(names),
        "prpo/trust/correlation": together.correlation,
        "prpo/trust/mixed_groups": together.groups,
    }
    if math.isfinite(together.standard_error):
        metrics["prpo/trust/standard_error"] = together.standard_error
    if used is not None:
        metrics["prpo/trust/weight"] = _mean(used)
    if len(of) > 1:
        metrics |= {f"prpo/trust/earned/{name}": sums.weight for name, sums in of.items()}
    return metrics


def _spread(name: str, values: Tensor) -> dict[str, float]:
    if not len(values):
        return {}
    return {f"{name}/mean": _mean(values), f"{name}/min": values.min().item(), f"{name}/max": values.max().item()}


def _mean(values: Tensor) -> float:
    return values.mean().item() if len(values) else 0.0


def _std(values: Tensor) -> float:
    return values.std(correction=0).item() if len(values) else 0.0
