# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The process pass over one batch: cut the responses, ask the reward-loop workers for scores, put the scores on the
tokens.

`launch` returns as soon as the requests are out; `collect` waits for them, as late as the caller can afford.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import ray
import torch
from torch import Tensor

from verl_prpo.config import PrpoConfig
from verl_prpo.prm.family import PrmError
from verl_prpo.prm.results import PrmFailure
from verl_prpo.reward_manager import PROCESS_RESULT, ProcessRequest, ProcessResult, process_request_batch
from verl_prpo.segmentation import AnchorRule, entropy_segments, random_segments, segment_bounds, uniform_segments

COLLECT_GRACE = 30.0
"""Seconds on top of `reward.prm.timeout`, so that a worker's own timeout, which names the row, is heard first."""


@dataclass
class Rows:
    """What the process pass needs of a batch, row for row in the batch's order.

    Attributes:
        keys: TransferQueue keys, `{uid}_{session}_{index}`.
        real: whether the row is a rollout; padding rows are never sent to the PRM.
        messages: prompts as chat messages.
        response_ids: token ids of each response, without padding.
        response_mask: int `[bs, L]`, 1 on the policy's own tokens.
        signal: float `[bs, L]`, entropy or surprisal in nats; None for segmenters that need neither.
    """

    keys: list[str]
    real: list[bool]
    messages: list[Sequence[dict[str, Any]]]
    response_ids: list[list[int]]
    response_mask: Tensor
    signal: Tensor | None


@dataclass
class PendingScores:
    """Requests on their way: which row each result belongs to, and the Ray references of the workers' answers."""

    rows: Rows
    segment_starts: Tensor
    positions: list[list[int]]
    answers: list["ray.ObjectRef"]
    launched: float


@dataclass
class ScoredBatch:
    """Results of the process pass, row for row.

    Attributes:
        rows: as launched.
        segment_starts: bool `[bs, L]`.
        results: one per row; None for rows that were not sent (padding, no valid token).
        wait_seconds: how long `collect` blocked (exposed to the step).
        busy_seconds: longest time from request to result in a worker (total).
    """

    rows: Rows
    segment_starts: Tensor
    results: list[ProcessResult | None]
    wait_seconds: float
    busy_seconds: float

    @property
    def scored(self) -> Tensor:
        """Rows that have process scores, bool `[bs]`."""
        return torch.tensor([r is not None and r.scores is not None for r in self.results], dtype=torch.bool)

    def require_a_living_prm(self) -> None:
        """Stop when nobody answered for any response: `outcome_only` forgives single responses, not a PRM that is gone.

        Raises:
            PrmError: how many responses, and what the first one met.
        """
        asked = [r for r in self.results if r is not None and (r.scores is not None or r.failure is not None)]
        gone = (PrmFailure.TIMEOUT.value, PrmFailure.REPLICA_DIED.value)
        if asked and all(r.failure in gone for r in asked):
            raise PrmError(f"the PRM is gone: {self.failure_summary()}")

    def failure_summary(self) -> str | None:
        """A line for people on the responses whose scores failed, with the first one's cause; None when all went
        well."""
        asked = {key: r for key, r in zip(self.rows.keys, self.results, strict=True) if r is not None}
        failed = {key: r for key, r in asked.items() if r.failure is not None}
        if not failed:
            return None
        key, first = next(iter(failed.items()))
        return (
            f"{len(failed)} of {len(asked)} responses have no process scores and are trained on their outcome alone; "
            f"the first is {key}: {first.failure}: {first.detail}"
        )

    def token_scores(self, unread: float = math.nan) -> Tensor:
        """Each token's segment score, float32 `[bs, L]`; 0 in rows without scores.

        Args:
            unread: what stands for the score of a segment that the PRM did not read: the prior mean, so that z is 0.

        Raises:
            PrmError: a row with another number of scores than segments.
        """
        segments = self.segment_starts.long().cumsum(1)  # 1-based; 0 before the first valid token
        table = torch.zeros(len(self.results), int(segments.max()) + 1 if segments.numel() else 1)
        counts = self.segment_starts.sum(1).tolist()
        for row, result in enumerate(self.results):
            if result is None or result.scores is None:
                continue
            if len(result.scores) != counts[row]:
                raise PrmError(
                    f"response {self.rows.keys[row]} (row {row}) has {counts[row]} segments but the PRM gave "
                    f"{len(result.scores)} scores"
                )
            scores = [unread if score is None else score for score in result.scores]
            table[row, 1 : counts[row] + 1] = torch.tensor(scores)
        return table.gather(1, segments)


def segment(rows: Rows, settings: PrpoConfig, seed: int) -> Tensor:
    """Segment starts of a batch, bool `[bs, L]`; `seed` makes the random segmenter repeatable."""
    mask = rows.response_mask
    if settings.segmenter in ("entropy", "surprisal"):
        assert rows.signal is not None
        rule = cast(AnchorRule, settings.anchor_rule)
        return entropy_segments(rows.signal, mask, settings.max_anchors, settings.min_gap, rule)
    if settings.segmenter == "uniform":
        return uniform_segments(mask, settings.num_segments)
    if settings.segmenter == "random":
        return random_segments(mask, settings.num_segments, torch.Generator().manual_seed(seed))
    return uniform_segments(mask, 1)


def launch(rows: Rows, segment_starts: Tensor, workers: Sequence[Any]) -> PendingScores:
    """Send every response that has segments to the reward-loop workers, long and short ones dealt out evenly."""
    positions = [i for i, real in enumerate(rows.real) if real and bool(segment_starts[i].any())]
    positions.sort(key=lambda i: -len(rows.response_ids[i]))
    dealt = [hand for hand in (positions[w :: len(workers)] for w in range(len(workers))) if hand]
    answers = []
    for worker, hand in zip(workers, dealt, strict=False):
        requests = [
            ProcessRequest(
                rows.keys[i],
                rows.messages[i],
                rows.response_ids[i],
                segment_bounds(segment_starts[i], len(rows.response_ids[i])),
            )
            for i in hand
        ]
        answers.append(worker.compute_score_batch.remote(process_request_batch(requests)))
    return PendingScores(rows, segment_starts, dealt, answers, time.monotonic())


def collect(pending: PendingScores, timeout: float) -> ScoredBatch:
    """Wait for the scores of a launched batch.

    Args:
        pending: what `launch` returned.
        timeout: `reward.prm.timeout`, in seconds from the launch.

    Raises:
        PrmError: the PRM failed under `reward.prm.on_error=raise` or did not answer in time, or a worker died.
    """
    began = time.monotonic()
    # Workers bound their own waits; what they have answered may still have to come from another node.
    left = max(COLLECT_GRACE, pending.launched + timeout + COLLECT_GRACE - began)
    try:
        answers = ray.get(pending.answers, timeout=left)
    except ray.exceptions.GetTimeoutError as error:
        raise PrmError(
            f"no process scores for {sum(map(len, pending.positions))} responses within {timeout:g} s. Give the PRM "
            "more time (reward.prm.timeout) or more copies (reward.prm.num_replicas)."
        ) from error
    except ray.exceptions.RayActorError as error:
        raise PrmError(
            "a reward-loop worker died while process scores were due; did its node run out of memory? Fewer of them "
            f"(reward.num_workers) need less: {error}"
        ) from error
    except ray.exceptions.RayTaskError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, PrmError):
            raise PrmError(str(cause)) from None
        raise
    results: list[ProcessResult | None] = [None] * len(pending.rows.keys)
    for positions, outputs in zip(pending.positions, answers, strict=True):
        for row, output in zip(positions, outputs, strict=True):
            results[row] = output[PROCESS_RESULT]
    busy = max((r.seconds for r in results if r is not None), default=0.0)
    return ScoredBatch(pending.rows, pending.segment_starts, results, time.monotonic() - began, busy)
