# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Naive restatement of the segmentation and advantage rules in plain Python, one token at a time.

Every function takes and returns nested lists of Python numbers (float64 arithmetic) and follows the written rules by
the letter; nothing is shared with ``verl_prpo``. Positions and distances are columns of the row, so that tool tokens
(mask 0) between two policy tokens count as distance.
"""

import math
import statistics
from collections.abc import Hashable, Sequence

Rows = list[list[float]]


def valid_columns(mask_row: Sequence[float]) -> list[int]:
    """Columns of the row's valid tokens, left to right."""
    return [column for column, value in enumerate(mask_row) if value]


def entropy_segments(
    entropy: Rows, mask: Rows, max_anchors: int = 5, min_gap: int = 10, rule: str = "paper"
) -> list[list[bool]]:
    """Segment starts by entropy, by the paper's algorithm 1 or by greedy non-maximum suppression."""
    starts = [[False] * len(row) for row in mask]
    for i, mask_row in enumerate(mask):
        columns = valid_columns(mask_row)
        if not columns:
            continue
        first = columns[0]
        by_entropy = sorted(columns, key=lambda c: (-entropy[i][c], c))
        kept: list[int] = []
        if rule == "paper":
            if len(columns) > max_anchors:
                for c in sorted(by_entropy[:max_anchors]):
                    if not kept or c - kept[-1] >= min_gap:
                        kept.append(c)
            kept = [c for c in kept if c - first >= min_gap]
        else:
            for c in by_entropy:
                if len(kept) < max_anchors and all(abs(c - other) >= min_gap for other in [first, *kept]):
                    kept.append(c)
        for c in [first, *kept]:
            starts[i][c] = True
    return starts


def segments(starts_row: Sequence[bool], mask_row: Sequence[float]) -> list[list[int]]:
    """The row's segments, each as the list of its valid columns."""
    found: list[list[int]] = []
    for column in valid_columns(mask_row):
        if starts_row[column] or not found:
            found.append([])
        found[-1].append(column)
    return found


def groups(index: Sequence[Hashable]) -> list[list[int]]:
    """Rows of equal uid."""
    members: dict[Hashable, list[int]] = {}
    for row, uid in enumerate(index):
        members.setdefault(uid, []).append(row)
    return list(members.values())


def centred(values: Sequence[float], index: Sequence[Hashable]) -> list[float]:
    """R minus the group's mean."""
    out = [0.0] * len(values)
    for rows in groups(index):
        mean = statistics.fmean(values[r] for r in rows)
        for r in rows:
            out[r] = values[r] - mean
    return out


def standardised(values: Sequence[float], index: Sequence[Hashable], epsilon: float = 1e-6) -> list[float]:
    """verl's GRPO: (R - mean) / (std + epsilon) with the n - 1 std; a group of one has mean 0 and std 1."""
    out = [0.0] * len(values)
    for rows in groups(index):
        if len(rows) == 1:
            out[rows[0]] = values[rows[0]] / (1.0 + epsilon)
            continue
        group = [values[r] for r in rows]
        mean, std = statistics.fmean(group), statistics.stdev(group)
        for r in rows:
            out[r] = (values[r] - mean) / (std + epsilon)
    return out


def process_prior(scores: Rows, mask: Rows, prior_mean: float, prior_std: float) -> Rows:
    """z = (r - mu) / sigma on valid tokens."""
    return [
        [(score - prior_mean) / prior_std if m else 0.0 for score, m in zip(s_row, m_row, strict=True)]
        for s_row, m_row in zip(scores, mask, strict=True)
    ]


def process_group(
    scores: Rows, mask: Rows, index: Sequence[Hashable], epsilon: float = 1e-6, given_std: float | None = None
) -> Rows:
    """z from the mean and the n - 1 std (or one that is given) over the group's valid tokens; of one token it is 0."""
    out = [[0.0] * len(row) for row in mask]
    for rows in groups(index):
        tokens = [scores[r][c] for r in rows for c in valid_columns(mask[r])]
        if not tokens:
            continue
        mean = statistics.fmean(tokens)
        std = statistics.stdev(tokens) if len(tokens) > 1 else 0.0
        for r in rows:
            for c in valid_columns(mask[r]):
                out[r][c] = (scores[r][c] - mean) / (std + epsilon if given_std is None else given_std)
    return out


def segment_scores(scores: Rows, starts: list[list[bool]], mask: Rows) -> Rows:
    """r_1 ... r_k of every row, read at the first token of each segment."""
    return [
        [s_row[tokens[0]] for tokens in segments(b_row, m_row)]
        for s_row, b_row, m_row in zip(scores, starts, mask, strict=True)
    ]


def mean_segment_scores(scores: Rows, starts: list[list[bool]], mask: Rows, index: Sequence[Hashable]) -> list[float]:
    """Mean of r over the row's segments; a row without one takes the mean of its group's rows, 0 if none has any."""
    per_row = segment_scores(scores, starts, mask)
    means = [statistics.fmean(s) if s else 0.0 for s in per_row]
    for rows in groups(index):
        known = [means[r] for r in rows if per_row[r]]
        for r in rows:
            if not per_row[r] and known:
                means[r] = statistics.fmean(known)
    return means


def pure(
    scores: Rows,
    starts: list[list[bool]],
    outcome: Sequence[float],
    mask: Rows,
    index: Sequence[Hashable],
    temperature: float = 0.1,
) -> Rows:
    """Min-form credit: softmin-weighted segment rewards, return-to-go, leave-one-out baseline."""
    returns: list[dict[int, float]] = []
    for i, mask_row in enumerate(mask):
        columns = valid_columns(mask_row)
        reward = dict.fromkeys(columns, 0.0)
        tokens_of = segments(starts[i], mask_row)
        if columns:
            signed = [2 * scores[i][tokens[0]] - 1 for tokens in tokens_of]
            lowest = min(signed)
            weights = [math.exp(-(s - lowest) / temperature) for s in signed]
            total = sum(weights)
            for s, w, tokens in zip(signed, weights, tokens_of, strict=True):
                reward[tokens[-1]] += w / total * s
            reward[columns[-1]] += outcome[i]
        returns.append({c: sum(reward[later] for later in columns if later >= c) for c in columns})
    out = [[0.0] * len(row) for row in mask]
    for rows in groups(index):
        for r in rows:
            others = [g for other in rows if other != r for g in returns[other].values()]
            baseline = statistics.fmean(others) if others else 0.0
            for c, g in returns[r].items():
                out[r][c] = g - baseline
    return out


def trust(scores: Rows, outcome: Sequence[float], mask: Rows, index: Sequence[Hashable], weight: float) -> Rows:
    """GRPO, and in groups of one outcome also the score less the group's mean over the batch's std inside groups."""
    beta = standardised(outcome, index)
    deviation = [[0.0] * len(row) for row in mask]
    for rows in groups(index):
        tokens = [scores[r][c] for r in rows for c in valid_columns(mask[r])]
        mean = statistics.fmean(tokens) if tokens else 0.0
        for r in rows:
            for c in valid_columns(mask[r]):
                deviation[r][c] = scores[r][c] - mean
    squares = [deviation[r][c] ** 2 for r, row in enumerate(mask) for c in valid_columns(row)]
    std = math.sqrt(statistics.fmean(squares)) if squares else 0.0
    out = [[beta[r] if m else 0.0 for m in row] for r, row in enumerate(mask)]
    for rows in groups(index):
        if len({outcome[r] for r in rows}) == 1:
            for r in rows:
                for c in valid_columns(mask[r]):
                    out[r][c] += weight * deviation[r][c] / (std + 1e-6)
    return out


def prpo_advantage(
    scores: Rows,
    starts: list[list[bool]],
    outcome: Sequence[float],
    mask: Rows,
    index: Sequence[Hashable],
    *,
    credit: str = "prpo",
    process_norm: str = "prior",
    prior_mean: float = 0.5,
    prior_std: float = 12**-0.5,
    outcome_norm: str = "mean",
    process_weight: float = 1.0,
) -> Rows:
    """Token-level advantages of every named variant."""
    if credit == "trust":
        return trust(scores, outcome, mask, index, process_weight)
    if credit == "pure":
        return pure(scores, starts, outcome, mask, index)
    if process_norm == "prior":
        z = process_prior(scores, mask, prior_mean, prior_std)
    else:
        z = process_group(scores, mask, index, given_std=prior_std if process_norm == "group_mean" else None)
    if credit in ("prm_avg", "prm_avg_prpo"):
        outcome = [r + s for r, s in zip(outcome, mean_segment_scores(scores, starts, mask, index), strict=True)]
    if credit == "prm_avg" or outcome_norm == "mean_std":
        beta = standardised(outcome, index)
    else:
        beta = centred(outcome, index)
    with_z = credit in ("prpo", "process", "prm_avg_prpo")
    with_beta = credit != "process"
    return [
        [(with_z * z[i][c] + with_beta * beta[i]) if m else 0.0 for c, m in enumerate(mask_row)]
        for i, mask_row in enumerate(mask)
    ]
