# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The process pass over one batch: cut the responses, have the PRM score them, put the scores on the tokens.

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

from verl_prpo.config import PrmConfig, PrpoConfig
from verl_prpo.prm.family import PrmError
from verl_prpo.reward_manager import (
    PROCESS_RESULT,
    ProcessRequest,
    ProcessResult,
    StreamedResult,
    process_request_batch,
)
from verl_prpo.segmentation import segment_bounds
from verl_prpo.segmenters import cut

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

    def select(self, indices: Sequence[int]) -> "Rows":
        """Some of the rows, in the order given."""
        return Rows(
            keys=[self.keys[i] for i in indices],
            real=[self.real[i] for i in indices],
            messages=[self.messages[i] for i in indices],
            response_ids=[self.response_ids[i] for i in indices],
            response_mask=self.response_mask[list(indices)],
            signal=None if self.signal is None else self.signal[list(indices)],
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
        awaited_since: when the trainer began to wait for these responses, by `time.time`.
        collected: what `collect` gave, so that a second time asks nobody.
    """

    rows: Rows
    segment_starts: Tensor
    positions: list[list[int]]
    answers: list["ray.ObjectRef"]
    launched: float
    streamed: Mapping[int, ProcessResult] = field(default_factory=dict)
    awaited_since: float = -math.inf
    collected: "ScoredBatch | None" = None


@dataclass
class ScoredBatch:
    """Results of the process pass, row for row.

    Attributes:
        rows: as launched.
        segment_starts: bool `[bs, L]`.
        results: one per row; None for rows that were not sent (padding, no valid token).
        wait_seconds: for how long the PRM held up the step. Of responses scored after the rollout: how long `collect`
            blocked. Of streamed ones besides: from the arrival of the last response at its reward manager, or the
            moment the trainer began to wait for responses if that was later, to the last answer of the PRM.
        busy_seconds: for how long the PRM had responses of this batch, exposed or not: the length of the union of the
            intervals from question to answer.
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

    def require(self, settings: PrmConfig) -> None:
        """Stop when more responses failed than `reward.prm.on_error` and `max_failed_fraction` put up with.

        Raises:
            PrmError: how many responses have no scores, what the first one met, and the settings to change.
        """
        asked = self._asked()
        failed = {key: r for key, r in asked.items() if r.failure is not None}
        if not failed:
            return
        key, first = next(iter(failed.items()))
        if settings.on_error == "raise":
            raise PrmError(
                f"the PRM gave no process scores for response {key}: {first.failure}: {first.detail}. That is one of "
                f"{len(failed)} failures among {len(asked)} responses. Mend the cause, or set "
                "reward.prm.on_error=outcome_only to train such responses on their outcome alone."
            )
        if len(failed) > settings.max_failed_fraction * len(asked):
            raise PrmError(
                f"{len(failed)} of {len(asked)} responses have no process scores, more than "
                f"reward.prm.max_failed_fraction={settings.max_failed_fraction:g} allows; the first is {key}: "
                f"{first.failure}: {first.detail}"
            )

    def failure_summary(self) -> str | None:
        """A line for people on the responses whose scores failed, with the first one's cause; None when all went
        well."""
        asked = self._asked()
        failed = {key: r for key, r in asked.items() if r.failure is not None}
        if not failed:
            return None
        key, first = next(iter(failed.items()))
        return (
            f"{len(failed)} of {len(asked)} responses have no process scores and are trained on their outcome alone; "
            f"the first is {key}: {first.failure}: {first.detail}"
        )

    def overlong_summary(self) -> str | None:
        """A line for people on the scored responses that the PRM could not read whole; None when it read all."""
        overlong = {k: r for k, r in self._asked().items() if r.overlong and r.scores is not None}
        if not overlong:
            return None
        unread = {key: sum(score is None for score in r.scores or []) for key, r in overlong.items()}
        partly = [key for key, count in unread.items() if count]
        if partly:
            return (
                f"{sum(unread.values())} segments of {len(partly)} responses lie past the PRM's context and get the "
                f"prior mean; the first is {partly[0]}, with {unread[partly[0]]} of {len(overlong[partly[0]].texts)}"
            )
        return (
            f"{len(overlong)} responses are longer than the PRM's context; segments past it get the last score; the "
            f"first is {next(iter(overlong))}"
        )

    def token_scores(self) -> Tensor:
        """Each token's segment score, float32 `[bs, L]`; NaN in segments that the PRM did not read, 0 in rows without
        scores.

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
            scores = [math.nan if score is None else score for score in result.scores]
            table[row, 1 : counts[row] + 1] = torch.tensor(scores)
        return table.gather(1, segments)

    def read_tokens(self) -> Tensor:
        """Tokens of the segments that the PRM read, bool `[bs, L]`; elsewhere z is 0."""
        return self.scored[:, None] & ~self.token_scores().isnan()

    def arranged(self, keys: Sequence[str]) -> "ScoredBatch":
        """The same results in the order of `keys`, for a batch that was balanced anew; a key that is not of this batch
        (a padding row) gets a row without segments."""
        at = {key: row for row, key in enumerate(self.rows.keys)}
        rows = self.rows.select([at.get(key, -1) for key in keys])
        starts = self.segment_starts[[at.get(key, -1) for key in keys]]
        results = [self.results[at[key]] if key in at else None for key in keys]
        for row, key in enumerate(keys):
            if key not in at:
                rows.real[row], rows.response_ids[row], rows.messages[row] = False, [], []
                rows.response_mask[row] = 0
                starts[row] = False
        rows.keys = list(keys)
        return ScoredBatch(rows, starts, results, self.wait_seconds, self.busy_seconds)

    def _asked(self) -> dict[str, ProcessResult]:
        """Results of the responses that the PRM was asked about, by key."""
        results = zip(self.rows.keys, self.results, strict=True)
        return {key: r for key, r in results if r is not None and (r.scores is not None or r.failure is not None)}


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
        since: when this run began, by `time.time`; a failure from before, whose cause may be mended, is not used.

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
        if brought.result.failure is not None and brought.result.answered < since:
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
        blocked + _held_up(list(pending.streamed.values()), pending.awaited_since),
        _union([(r.asked, r.answered) for r in results if r is not None]),
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


def _held_up(streamed: Sequence[ProcessResult], since: float) -> float:
    """Seconds from the arrival of the last response, or from `since` if that was later, to the PRM's last answer."""
    if not streamed:
        return 0.0
    return max(0.0, max(r.answered for r in streamed) - max(since, *(r.arrived for r in streamed)))


def _union(intervals: Sequence[tuple[float, float]]) -> float:
    """Length of the union of intervals."""
    total, reach = 0.0, -math.inf
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reach))
        reach = max(reach, end)
    return total
