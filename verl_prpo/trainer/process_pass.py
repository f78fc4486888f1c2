# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The process pass over one batch: cut the responses and have the PRM score them.

`launch` returns as soon as the requests to the reward-loop workers are out. `collect` waits for them, as late as the
caller can afford. Responses that were scored as they finished (`take_streamed`) are not asked about again.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import ray
import torch
from torch import Tensor

from verl_prpo.method.segmentation import segment_bounds
from verl_prpo.prm.families.base import PrmError
from verl_prpo.settings.prpo import PrpoConfig
from verl_prpo.settings.timeouts import COLLECT_GRACE
from verl_prpo.step.clock import covered_seconds
from verl_prpo.step.cutting import cut, hidden_segments, thought_mask
from verl_prpo.step.messages import SCORES, Scores, ToScore
from verl_prpo.step.scored_batch import Rollouts, ScoredBatch
from verl_prpo.trainer.reward_manager import score_request


@dataclass
class PendingScores:
    """Requests on their way: the Ray references of the workers' results, and the rollouts that each result is about.

    Attributes:
        rollouts, segment_starts: the batch as cut, bool `[n, L]`.
        positions: the rollouts that each result is about.
        answers: the Ray references of the workers' results.
        launched: when they were asked, by `time.monotonic`.
        streamed: scores that were there before, by rollout.
        longest_wait: for how long the trainer waited for these responses, in seconds.
        collected: what `collect` returned, so that a second call asks nobody.
    """

    rollouts: Rollouts
    segment_starts: Tensor
    positions: list[list[int]]
    answers: list["ray.ObjectRef"]
    launched: float
    streamed: Mapping[int, Scores] = field(default_factory=dict)
    longest_wait: float = math.inf
    collected: ScoredBatch | None = None


def with_thoughts(rollouts: Rollouts, tokenizer: Any) -> Rollouts:
    """Add to rollouts their thoughts, which are to be hidden from the PRM. `tokenizer` is the policy's."""
    assert rollouts.prompt_ids is not None, "fetched without prompts"
    found = thought_mask(
        tokenizer, rollouts.response_ids, rollouts.response_mask, rollouts.prompt_ids, rollouts.messages
    )
    return replace(rollouts, thoughts=found)


def segment(rollouts: Rollouts, settings: PrpoConfig, tokenizer: Any = None) -> Tensor:
    """Return the segment starts of a batch, bool `[n, L]`. `tokenizer` is the policy's, for the segmenter text."""
    return cut(
        settings,
        keys=rollouts.keys,
        response_ids=rollouts.response_ids,
        response_mask=rollouts.response_mask,
        signal=rollouts.signal,
        tokenizer=tokenizer,
        thoughts=rollouts.thoughts,
    )


def take_streamed(
    rollouts: Rollouts, streamed: Sequence[Scores | None], fingerprint: str, since: float = -math.inf
) -> tuple[Tensor, dict[int, Scores], list[int]]:
    """Collect the scores of responses that were scored during the rollout, and list those that still have to be scored.

    Args:
        rollouts: the batch.
        streamed: the scores that each rollout brought, if any.
        fingerprint: the hash of the present settings. Scores under others (a rollout of an earlier run) are not used.
        since: when this run began, by `time.time`. A failure from before, whose cause may be fixed, is not used.

    Returns:
        Segment starts, bool `[n, L]`, then scores by rollout, then the rollouts that have to be cut and scored now.
    """
    starts = torch.zeros_like(rollouts.response_mask, dtype=torch.bool)
    scores: dict[int, Scores] = {}
    lacking: list[int] = []
    for row, brought in enumerate(streamed):
        if (
            brought is None
            or brought.starts is None
            or brought.fingerprint != fingerprint
            or (brought.failure is not None and brought.answered_at < since)
        ):
            lacking.append(row)
            continue
        starts[row, brought.starts] = True
        scores[row] = brought
    return starts, scores, lacking


def launch(
    rollouts: Rollouts,
    segment_starts: Tensor,
    workers: Sequence[Any],
    streamed: Mapping[int, Scores] | None = None,
) -> PendingScores:
    """Send every response that has segments to the reward-loop workers. Long and short ones are dealt out evenly.

    Args:
        rollouts: the batch.
        segment_starts: bool `[n, L]`.
        workers: verl's reward-loop workers.
        streamed: scores by rollout that are there already. Those are not sent.
    """
    if not workers:
        raise PrmError("there is no reward-loop worker to score responses. Set reward.num_workers to 1 or more")
    streamed = streamed or {}
    positions = [i for i in range(len(rollouts)) if i not in streamed and bool(segment_starts[i].any())]
    positions.sort(key=lambda i: -len(rollouts.response_ids[i]))
    dealt = [hand for hand in (positions[w :: len(workers)] for w in range(len(workers))) if hand]
    answers = []
    thoughts = rollouts.thoughts
    for worker, hand in zip(workers, dealt, strict=False):
        responses = [
            ToScore(
                rollouts.keys[i],
                rollouts.messages[i],
                rollouts.response_ids[i],
                segment_bounds(segment_starts[i], len(rollouts.response_ids[i])),
                rollouts.truncated[i],
                rollouts.response_mask[i, : len(rollouts.response_ids[i])].int().tolist(),
                row=rollouts.rows[i],
                hidden=hidden_segments(segment_starts[i], None if thoughts is None else thoughts[i]),
            )
            for i in hand
        ]
        answers.append(worker.compute_score_batch.remote(score_request(responses)))
    return PendingScores(rollouts, segment_starts, dealt, answers, time.monotonic(), streamed)


def collect(pending: PendingScores, timeout: float) -> ScoredBatch:
    """Wait for the scores of a launched batch. A second time gives the same, without waiting.

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
    scores: list[Scores | None] = [pending.streamed.get(row) for row in range(len(pending.rollouts))]
    for positions, outputs in zip(pending.positions, answers, strict=True):
        for row, output in zip(positions, outputs, strict=True):
            scores[row] = output[SCORES]
    pending.collected = ScoredBatch(
        pending.rollouts,
        pending.segment_starts,
        scores,
        blocked + min(_held_up(list(pending.streamed.values())), pending.longest_wait),
        covered_seconds((s.clock, s.asked, s.answered) for s in scores if s is not None),
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
            "more time (reward.prm.timeout) or more replicas (reward.prm.num_replicas)."
        ) from error
    except ray.exceptions.RayActorError as error:
        raise PrmError(
            "a reward-loop worker died while process scores were due. Did its node run out of memory? Fewer of them "
            f"(reward.num_workers) need less: {error}"
        ) from error


def _held_up(streamed: Sequence[Scores]) -> float:
    """Measure the seconds from the arrival of a node's last response to the PRM's last result there.

    The node where this took longest counts.
    """
    by_clock: dict[str, list[Scores]] = {}
    for result in streamed:
        by_clock.setdefault(result.clock, []).append(result)
    waits = (max(r.answered for r in there) - max(r.arrived for r in there) for there in by_clock.values())
    return max(waits, default=0.0)
