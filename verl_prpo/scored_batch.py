# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The rows of a batch and the PRM's results for them, put on segments and tokens."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from verl_prpo.config import PrmConfig
from verl_prpo.prm.family import PrmError
from verl_prpo.reward_manager import ProcessResult


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
        truncated: whether a response was cut off by a length limit of the rollout.
    """

    keys: list[str]
    real: list[bool]
    messages: list[Sequence[dict[str, Any]]]
    response_ids: list[list[int]]
    response_mask: Tensor
    signal: Tensor | None
    truncated: list[bool]

    def select(self, indices: Sequence[int]) -> "Rows":
        """Some of the rows, in the order given."""
        return Rows(
            keys=[self.keys[i] for i in indices],
            real=[self.real[i] for i in indices],
            messages=[self.messages[i] for i in indices],
            response_ids=[self.response_ids[i] for i in indices],
            response_mask=self.response_mask[list(indices)],
            signal=None if self.signal is None else self.signal[list(indices)],
            truncated=[self.truncated[i] for i in indices],
        )


@dataclass
class ScoredBatch:
    """Results of the process pass, row for row.

    Attributes:
        rows: as launched.
        segment_starts: bool `[bs, L]`.
        results: one per row; None for rows that were not sent (padding, no valid token).
        wait_seconds: for how long the PRM held up the step. Of responses scored after the rollout: how long `collect`
            blocked. Of streamed ones besides: from the arrival of a node's last response at its reward manager to the
            PRM's last answer there, on the node where that took longest; at most for as long as the trainer waited for
            responses.
        busy_seconds: for how long the PRM had responses of this batch, exposed or not: the length of the union of the
            intervals from question to answer, on the node where it is longest.
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
                f"{len(failed)} failures among {len(asked)} responses. Fix the cause, or set "
                "++reward.prm.on_error=outcome_only to train such responses on their outcome alone."
            )
        if len(failed) > settings.max_failed_fraction * len(asked):
            raise PrmError(
                f"{len(failed)} of {len(asked)} responses have no process scores, more than "
                f"reward.prm.max_failed_fraction={settings.max_failed_fraction:g} allows. The first is {key}: "
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
        unread = {key: r.unread for key, r in overlong.items()}
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
        """Each token's segment score, float32 `[bs, L]`; NaN in segments that the PRM did not judge, 0 in rows without
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
        """Tokens of the segments that the PRM judged, bool `[bs, L]`; elsewhere z is 0."""
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
                rows.truncated[row] = False
                rows.response_mask[row] = 0
                starts[row] = False
        rows.keys = list(keys)
        return ScoredBatch(rows, starts, results, self.wait_seconds, self.busy_seconds)

    def _asked(self) -> dict[str, ProcessResult]:
        """Results of the responses that the PRM was asked about, by key."""
        results = zip(self.rows.keys, self.results, strict=True)
        return {key: r for key, r in results if r is not None and r.asked_about}
