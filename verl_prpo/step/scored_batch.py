# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Hold the rollouts of a batch, and put the PRM's scores for them on segments and tokens.

verl pads a batch with copies of its rows. Padding is dropped when the rows are fetched, so this module knows rollouts
alone. `Rollouts.spread` puts results back into the rows of verl's batch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from verl_prpo.prm.families.base import PrmError
from verl_prpo.settings.advice import for_past_context, for_past_window
from verl_prpo.settings.prpo import PrmConfig, PrpoConfig
from verl_prpo.step.messages import Scores


@dataclass
class Rollouts:
    """What the process pass needs of a batch: its rollouts, in the batch's order, without verl's padding rows.

    Attributes:
        keys: TransferQueue keys, `{uid}_{session}_{index}`.
        places: the row of each in verl's batch.
        batch_size: rows of verl's batch, padding included.
        messages: prompts as chat messages.
        response_ids: token ids of each response, without padding.
        response_mask: int `[n, L]`, 1 on the policy's own tokens. L is the width of verl's batch.
        signal: float `[n, L]`, entropy or surprisal in nats. None for segmenters that need neither.
        truncated: whether each response was cut off by a length limit of the rollout.
        rows: data for a score function, see `verl_prpo.step.messages.data_row`. {} where nothing reads them.
        prompt_ids: token ids of the prompts, where thoughts are hidden from the PRM, else None.
        thoughts: bool `[n, L]`, True on tokens of thoughts that are hidden. None where none are, or not yet known.
    """

    keys: list[str]
    places: list[int]
    batch_size: int
    messages: list[Sequence[dict[str, Any]]]
    response_ids: list[list[int]]
    response_mask: Tensor
    signal: Tensor | None
    truncated: list[bool]
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    prompt_ids: list[list[int]] | None = None
    thoughts: Tensor | None = None

    def __post_init__(self) -> None:
        self.rows = self.rows or [{}] * len(self.keys)

    def __len__(self) -> int:
        return len(self.keys)

    def select(self, indices: Sequence[int]) -> "Rollouts":
        """Take some of the rollouts, in the order given."""

        def some(values: Any) -> Any:
            if values is None or isinstance(values, Tensor):
                return None if values is None else values[list(indices)]
            return [values[i] for i in indices]

        by_row = (entry.name for entry in fields(self) if entry.name != "batch_size")
        return replace(self, **{name: some(getattr(self, name)) for name in by_row})

    def spread(self, values: Tensor) -> Tensor:
        """Put values of the rollouts `[n, ...]` into the rows of verl's batch `[bs, ...]`, 0 in its padding rows."""
        rows = values.new_zeros(self.batch_size, *values.shape[1:])
        rows[self.places] = values
        return rows


@dataclass
class ScoredBatch:
    """Scores of the process pass, rollout by rollout.

    Attributes:
        rollouts: as launched.
        segment_starts: bool `[n, L]`.
        scores: one per rollout. None for one that was not sent (no valid token).
        wait_seconds: how long the PRM held up the step. For responses scored after the rollout, this is how long
            `collect` blocked. Streamed responses add the time from the arrival of a node's last response at its reward
            manager to the PRM's last answer there, on the node where that took longest. This added time is at most as
            long as the trainer waited for responses.
        busy_seconds: how long the PRM had responses of this batch, exposed or not. It is the length of the union of the
            intervals from question to answer, on the node where it is longest.
    """

    rollouts: Rollouts
    segment_starts: Tensor
    scores: list[Scores | None]
    wait_seconds: float
    busy_seconds: float

    @property
    def scored(self) -> Tensor:
        """The rollouts that have process scores, bool `[n]`."""
        return torch.tensor([s is not None and s.scores is not None for s in self.scores], dtype=torch.bool)

    def require(self, settings: PrmConfig) -> None:
        """Stop when more responses failed than `reward.prm.on_error` and `max_failed_fraction` allow.

        Raises:
            PrmError: how many responses have no scores, why the first one has none, and the settings to change.
        """
        asked, failed = self._asked(), self._failed()
        if not failed:
            return
        first = _first(failed)
        if settings.on_error == "raise":
            raise PrmError(
                f"the PRM gave no process scores for response {first}. That is one of "
                f"{len(failed)} failures among {len(asked)} responses. Fix the cause, or set "
                "++reward.prm.on_error=outcome_only to train such responses on their outcome alone."
            )
        if len(failed) > settings.max_failed_fraction * len(asked):
            raise PrmError(
                f"{len(failed)} of {len(asked)} responses have no process scores, more than "
                f"reward.prm.max_failed_fraction={settings.max_failed_fraction:g} allows. The first is {first}"
            )

    def failure_summary(self) -> str | None:
        """Write a line for people on the responses whose scores failed, with the first one's cause. None when all went
        well."""
        asked, failed = self._asked(), self._failed()
        if not failed:
            return None
        return (
            f"{len(failed)} of {len(asked)} responses have no process scores and are trained on their outcome alone. "
            f"The first is {_first(failed)}"
        )

    def overlong_summary(self, settings: PrmConfig, prpo: PrpoConfig) -> str | None:
        """Write a line for people on the scored responses that the PRM could not read whole. None when it read all.

        Args:
            settings: `reward.prm`, which says whether the PRM reads in windows.
            prpo: `algorithm.prpo`, which says where responses are cut.
        """
        unread = {key: scores for key, scores in self._asked().items() if scores.scores is not None and scores.unread}
        if not unread:
            return None
        key, first = next(iter(unread.items()))
        where, way_out = "lie past the PRM's context", for_past_context(settings)
        if settings.overlong == "windows":
            where = "do not fit into a window of the PRM (reward.prm.overlong=windows)"
            way_out = for_past_window(prpo)
        count = sum(scores.unread for scores in unread.values())
        return (
            f"{count} segments of {len(unread)} responses {where} and get no process score. "
            f"The first is {key}, with {first.unread} of {len(first.texts)}. {way_out}"
        )

    def hidden_starts(self) -> Tensor | None:
        """Pick the segment starts of thoughts hidden from the PRM, bool `[n, L]`. None where nothing is to be
        hidden."""
        if not any(result is not None and result.hidden for result in self.scores):
            return None
        starts = torch.zeros_like(self.segment_starts)
        for row, result in enumerate(self.scores):
            if result is not None and any(result.hidden):
                columns = self.segment_starts[row].nonzero()[:, 0].tolist()
                starts[row, [at for at, hidden in zip(columns, result.hidden, strict=True) if hidden]] = True
        return starts

    def shown_ids(self) -> list[list[int]]:
        """Give token ids of the responses, without the thoughts hidden from the PRM."""
        starts = self.hidden_starts()
        if starts is None:
            return self.rollouts.response_ids
        columns = torch.arange(starts.shape[1]).expand_as(starts)
        begun_at = torch.where(self.segment_starts, columns, 0).cummax(1).values
        hidden = starts.gather(1, begun_at).tolist()
        return [
            [token for token, is_hidden in zip(ids, row, strict=False) if not is_hidden]
            for ids, row in zip(self.rollouts.response_ids, hidden, strict=True)
        ]

    def token_scores(self) -> Tensor:
        """Give each token its segment score, float32 `[n, L]`. It is NaN in segments that the PRM did not judge, and 0
        in rollouts without scores.

        Raises:
            PrmError: a rollout has another number of scores than segments.
        """
        segments = self.segment_starts.long().cumsum(1)  # 1-based, and 0 before the first valid token
        table = torch.zeros(len(self.scores), int(segments.max()) + 1 if segments.numel() else 1)
        counts = self.segment_starts.sum(1).tolist()
        for row, result in enumerate(self.scores):
            if result is None or result.scores is None:
                continue
            if len(result.scores) != counts[row]:
                raise PrmError(
                    f"response {self.rollouts.keys[row]} (row {self.rollouts.places[row]}) has {counts[row]} segments "
                    f"but the PRM gave {len(result.scores)} scores"
                )
            scores = [math.nan if score is None else score for score in result.scores]
            table[row, 1 : counts[row] + 1] = torch.tensor(scores)
        return table.gather(1, segments)

    def read_tokens(self) -> Tensor:
        """Mark tokens of the segments that the PRM judged, bool `[n, L]`. Elsewhere z is 0."""
        return self.scored[:, None] & ~self.token_scores().isnan()

    def arranged(self, keys: Sequence[str]) -> "ScoredBatch":
        """Put the same scores in the order of a batch that was balanced again. Its padding rows may be others.

        Args:
            keys: keys of all rows of verl's batch.
        """
        row_of = {key: row for row, key in enumerate(keys)}
        lost = [key for key in self.rollouts.keys if key not in row_of]
        if lost:
            raise PrmError(f"the batch whose advantage is due lacks response {lost[0]}, which was scored")
        places = [row_of[key] for key in self.rollouts.keys]
        order = sorted(range(len(places)), key=places.__getitem__)
        rollouts = replace(self.rollouts, places=places, batch_size=len(keys)).select(order)
        scores = [self.scores[i] for i in order]
        return replace(self, rollouts=rollouts, segment_starts=self.segment_starts[order], scores=scores)

    def _asked(self) -> dict[str, Scores]:
        """Pick the scores of the responses that the PRM was asked about, by key."""
        scores = zip(self.rollouts.keys, self.scores, strict=True)
        return {key: r for key, r in scores if r is not None and r.asked_about}

    def _failed(self) -> dict[str, Scores]:
        return {key: r for key, r in self._asked().items() if r.failure is not None}


def _first(failed: Mapping[str, Scores]) -> str:
    key, scores = next(iter(failed.items()))
    return f"{key}: {scores.failure}: {scores.detail}"
