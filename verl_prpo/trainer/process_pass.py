# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The process pass over one batch: cut the responses and have the PRM score them.

`launch` returns as soon as the requests to the reward-loop workers are out; `collect` waits for them, as late as the
caller can afford. Responses that were scored as they finished (`take_streamed`) are not asked about again.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
import torch
from torch import Tensor

from verl_prpo.method.segmentation import segment_bounds
from verl_prpo.prm.families.base import PrmError
from verl_prpo.settings.prpo import PrpoConfig
from verl_prpo.settings.timeouts import COLLECT_GRACE
from verl_prpo.step.clock import covered_seconds
from verl_prpo.step.cutting import cut
from verl_prpo.step.scored_batch import Rows, ScoredBatch
from verl_prpo.trainer.reward_manager import (
    PROCESS_RESULT,
    ProcessRequest,
    ProcessResult,
    StreamedResult,
    process_request_batch,
)


@dataclass
class PendingScores:
    """Requests on their way: which row each result belongs to, and the Ray references of the workers' answers.

    Attributes:
        rows, segment_starts: the batch as cut, bool `[bs, L]`.
        positions: rows that each answer is about.
        answers: of the workers.
        launched: when they were asked, by `time.monotonic`.
        streamed: results that were there before, by row.
        longest_wait: for how long the trainer waited for these responses, in seconds.
        collected: what `collect` gave, so that a second time asks nobody.
    """

    rows: Rows
    segment_starts: Tensor
    positions: list[list[int]]
    answers: list["ray.ObjectRef"]
    launched: float
    streamed: Mapping[int, ProcessResult] = field(default_factory=dict)
    longest_wait: float = math.inf
    collected: ScoredBatch | None = None


def segment(rows: Rows, settings: PrpoConfig, tokenizer: Any = None) -> Tensor:
    """Segment starts of a batch, bool `[bs, L]`; `tokenizer` is the policy's, for the segmenter text."""
    return cut(
        settings,
        keys=rows.keys,
        response_ids=rows.response_ids,
        response_mask=rows.response_mask,
        signal=rows.signal,
        tokenizer=tokenizer,
    )


def take_streamed(
    rows: Rows, streamed: Sequence[StreamedResult | None], fingerprint: str, since: float = -math.inf
) -> tuple[Tensor, dict[int, ProcessResult], list[int]]:
    """What responses brought along that were cut and scored as they finished.

    Args:
        rows: the batch.
        streamed: what each row brought, if anything.
        fingerprint: of the present settings; a result of others (a rollout of an earlier run) is not used.
        since: when this run began, by `time.time`; a failure from before, whose cause may be fixed, is not used.

    Returns:
        Segment starts, bool `[bs, L]`; results by row; the rollouts that brought none and have to be cut and scored
        now.
    """
    starts = torch.zeros_like(rows.response_mask, dtype=torch.bool)
    results: dict[int, ProcessResult] = {}
    lacking: list[int] = []
    for row, brought in enumerate(streamed):
        if not rows.real[row]:
            continue  # verl copies padding rows from rollouts, with all that those brought
        if brought is None or brought.starts is None or brought.fingerprint != fingerprint:
            lacking.append(row)
            continue
        if brought.result.failure is not None and brought.result.answered_at < since:
            lacking.append(row)
            continue
        starts[row, brought.starts] = True
        results[row] = brought.result
    return starts, results, lacking


def launch(
    rows: Rows,
    segment_starts: Tensor,
    workers: Sequence[Any],
    streamed: Mapping[int, ProcessResult] | None = None,
) -> PendingScores:
    """Send every response that has segments to the reward-loop workers, long and short ones dealt out evenly.

    Args:
        rows: the batch.
        segment_starts: bool `[bs, L]`.
        workers: verl's reward-loop workers.
        streamed: results by row that are there already; those rows are not sent.
    """
    streamed = streamed or {}
    positions = [i for i, real in enumerate(rows.real) if real and i not in streamed and bool(segment_starts[i].any())]
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
                rows.truncated[i],
            )
            for i in hand
        ]
        answers.append(worker.compute_score_batch.remote(process_request_batch(requests)))
    return PendingScores(rows, segment_starts, dealt, answers, time.monotonic(), streamed)


def collect(pending: PendingScores, timeout: float) -> ScoredBatch:
    """Wait for the scores of a launched batch; a second time gives the same, without waiting.

    Args:
        pending: what `launch` returned.
        timeout: `reward.prm.timeout`, in seconds from the launch.

    Raises:
        PrmError: no answer in time, or a worker died.
    """
    if pending.collected is not None:
        return pending.collected
    began = time.monotonic()
    answers = _answers(pending, timeout, began) if pending.answers else []
    blocked = time.monotonic() - began
    results: list[ProcessResult | None] = [pending.streamed.get(row) for row in range(len(pending.rows.keys))]
    for positions, outputs in zip(pending.positions, answers, strict=True):
        for row, output in zip(positions, outputs, strict=True):
            results[row] = output[PROCESS_RESULT]
    pending.collected = ScoredBatch(
        pending.rows,
        pending.segment_starts,
        results,
        blocked + min(_held_up(list(pending.streamed.values())), pending.longest_wait),
        covered_seconds((r.clock, r.asked, r.answered) for r in results if r is not None),
    )
    return pending.collected


def _answers(pending: PendingScores, timeout: float, began: float) -> list[list[dict[str, Any]]]:
    # Workers bound their own waits; what they have answered may still have to come from another node.
    left = max(COLLECT_GRACE, pending.launched + timeout + COLLECT_GRACE - began)
    try:
        return ray.get(pending.answers, timeout=left)
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


def _held_up(streamed: Sequence[ProcessResult]) -> float:
    """Seconds from the arrival of a node's last response to the PRM's last answer there, where that took longest."""
    by_clock: dict[str, list[ProcessResult]] = {}
    for result in streamed:
        by_clock.setdefault(result.clock, []).append(result)
    waits = (max(r.answered for r in there) - max(r.arrived for r in there) for there in by_clock.values())
    return max(waits, default=0.0)
