# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Read a batch from verl's TransferQueue, rollout by rollout in the order of the batch, without its padding rows."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transfer_queue as tq
from torch import Tensor
from transfer_queue import KVBatchMeta

from verl_prpo.outcome.verdicts import VerdictReader, Verdicts
from verl_prpo.step.conversation import BadMask, require_fit
from verl_prpo.step.credit import OutcomeRewards
from verl_prpo.step.messages import SCORES, Scores, data_row
from verl_prpo.step.scored_batch import Rollouts
from verl_prpo.telemetry.rollouts.write import PendingRecord
from verl_prpo.telemetry.step_report import StepReport
from verl_prpo.trainer.length_limit import LengthLimit
from verl_prpo.trainer.padding import rows_without_padding
from verl_prpo.trainer.prompts import messages_of


def fetch_rollouts(
    batch: KVBatchMeta,
    limit: LengthLimit,
    signal: str | None = None,
    tokenizer: Any = None,
    *,
    with_rows: bool = False,
    with_prompts: bool = False,
) -> Rollouts:
    """Fetch what the process pass needs, without verl's padding rows.

    Args:
        batch: keys and tags of the rows.
        limit: of the rollout.
        signal: the field that the segmenter cuts at: entropy, or log-probabilities, whose negative is surprisal.
        tokenizer: the policy's, for the prompts of sessions with several outputs.
        with_rows: whether a score function reads the rows of the data.
        with_prompts: whether the token ids of the prompts are needed.

    Raises:
        BadMask: a response mask of another length than its response, which verl would train on.
    """
    columns = ["data_source", "reward_model", "extra_info"] if with_rows else []
    more = [*([signal] if signal else []), *(["prompts"] if with_prompts else []), *columns]
    fields = ["response_mask", "responses", "raw_prompt", *more]
    data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
    places = rows_without_padding(batch)
    values = None
    if signal:
        values = padded(data[signal]).float()[places]
        values = values if signal == "entropy" else -values
    responses, messages = data["responses"].unbind(), list(data["raw_prompt"])
    response_ids = [responses[row].tolist() for row in places]
    prompts = data["prompts"].unbind() if with_prompts else None
    masks = data["response_mask"].unbind()
    for row, ids in zip(places, response_ids, strict=True):
        if len(masks[row]) != len(ids):
            try:
                require_fit(len(ids), masks[row].tolist())
            except BadMask as error:
                raise BadMask(f"response {batch.keys[row]}: {error}") from None
    prompt_lengths = [int(batch.tags[row].get("prompt_len", 0)) for row in places]
    later = _later_prompts(batch, places) if tokenizer is not None else {}
    return Rollouts(
        keys=[batch.keys[row] for row in places],
        places=places,
        batch_size=len(batch.keys),
        messages=[messages_of(row in later, messages[row], later.get(row, ()), tokenizer) for row in places],
        response_ids=response_ids,
        response_mask=padded(data["response_mask"])[places],
        signal=values,
        truncated=[limit.truncates(ids, length) for ids, length in zip(response_ids, prompt_lengths, strict=True)],
        rows=_data_rows(data, columns, places),
        prompt_ids=None if prompts is None else [prompts[row].tolist() for row in places],
    )


def _later_prompts(batch: KVBatchMeta, places: Sequence[int]) -> dict[int, list[int]]:
    """Fetch the token ids of the prompt of each output that is not the first of its session, by row."""
    rows = [row for row in places if batch.keys[row].rpartition("_")[2] not in ("", "0")]
    if not rows:
        return {}
    keys = [batch.keys[row] for row in rows]
    prompts = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=["prompts"])["prompts"]
    return {row: prompt.tolist() for row, prompt in zip(rows, prompts.unbind(), strict=True)}


def _data_rows(data: Any, columns: Sequence[str], places: Sequence[int]) -> list[Mapping[str, Any]]:
    """Return the rows of the data as a score function gets them, none where no columns are asked for."""
    there = set(data.keys())
    listed = {name: [getattr(value, "data", value) for value in data[name]] for name in columns if name in there}
    return [data_row({name: values[row] for name, values in listed.items()}) for row in places if columns]


def fetch_extra_fields(batch: KVBatchMeta) -> list[dict[str, Any]]:
    """Fetch verl's `extra_fields` of each row, with what the reward manager said (`reward_extra_info`)."""
    data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=["extra_fields"])
    return plain(data["extra_fields"]) if "extra_fields" in set(data.keys()) else [{} for _ in batch.keys]


def fetch_streamed(batch: KVBatchMeta, rollouts: Rollouts) -> list[Scores | None]:
    """Fetch the process scores that each rollout brought along, None for one that brought none."""
    extra = fetch_extra_fields(batch)
    brought = [extra[row].get(SCORES) for row in rollouts.places]
    return [Scores.from_dict(scores) if scores is not None else None for scores in brought]


@dataclass(frozen=True)
class BatchOutcomes:
    """The outcomes of a batch, rollout by rollout.

    Attributes:
        verdicts: which responses are right.
        rewards: what the estimator has to know of the outcomes.
        uids: the group of each rollout.
        data_sources: verl's `data_source` of each, "" where the data have none.
    """

    verdicts: Verdicts
    rewards: OutcomeRewards
    uids: list[Any]
    data_sources: list[str]


def fetch_outcomes(batch: KVBatchMeta, rollouts: Rollouts, reader: VerdictReader) -> BatchOutcomes:
    """Fetch which responses of a batch are right, and what else the estimator has to know of the outcomes.

    Args:
        batch: keys and tags of the rows.
        rollouts: of the same batch.
        reader: of the run.
    """
    data = tq.kv_batch_get(
        keys=batch.keys, partition_id=batch.partition_id, select_fields=["uid", "rm_scores", "data_source"]
    )
    places = rollouts.places
    rewards = padded(data["rm_scores"]).sum(1).float()[places]
    for key, reward in zip(rollouts.keys, rewards.tolist(), strict=True):
        if not math.isfinite(reward):
            raise ValueError(
                f"response {key} got the reward {reward}. The reward manager (reward.reward_manager) and the reward "
                "function (reward.custom_reward_function) must give finite numbers"
            )
    extra, uids = fetch_extra_fields(batch), list(data["uid"])
    parts = [extra[row].get("reward_extra_info") or {} for row in places]
    column = list(data["data_source"]) if "data_source" in set(data.keys()) else None
    sources = None if column is None else [str(column[row]) for row in places]
    verdicts = reader.read(rewards.tolist(), parts, sources)
    groups = [uids[row] for row in places]
    agree = torch.tensor(verdicts.agree(groups), dtype=torch.bool)
    outcomes = OutcomeRewards(rewards, agree, torch.tensor(rollouts.truncated, dtype=torch.bool))
    return BatchOutcomes(verdicts, outcomes, groups, sources or [""] * len(groups))


def pending_records(
    keys: Sequence[str],
    partition_id: str,
    reports: Mapping[str, tuple[StepReport, int]],
    log_probs: str,
    tokenizer: Any,
) -> dict[str, PendingRecord]:
    """Return the records of a dump, by key, with what only the TransferQueue knows of the responses.

    Args:
        keys: of the responses chosen.
        partition_id: where they lie.
        reports: by key, the report that a response stands in, and its row there.
        log_probs: the field whose negative is surprisal.
        tokenizer: the policy's, for the writer alone.
    """
    if not keys:
        return {}
    fields = ["entropy", log_probs, "extra_fields", "prompts"]
    data = tq.kv_batch_get(keys=list(keys), partition_id=partition_id, select_fields=fields)
    there = set(data.keys())
    columns = {name: [row.float() for row in data[name].unbind()] for name in ("entropy", log_probs) if name in there}
    entropy, log_prob = columns.get("entropy"), columns.get(log_probs)
    extra = plain(data["extra_fields"]) if "extra_fields" in there else [{} for _ in keys]
    prompts = [ids.tolist() for ids in data["prompts"].unbind()] if "prompts" in there else None
    return {
        key: PendingRecord(
            *reports[key],
            tokenizer,
            entropy=entropy[i] if entropy is not None else None,
            surprisal=-log_prob[i] if log_prob is not None else None,
            outcome_parts=extra[i].get("reward_extra_info") or {},
            prompt_ids=None if prompts is None else prompts[i],
        )
        for i, key in enumerate(keys)
    }


def plain(extra_fields: Iterable[Any]) -> list[dict[str, Any]]:
    """Return verl's `extra_fields` column as dictionaries, {} where a row has none."""
    unwrapped = [getattr(extra, "data", extra) for extra in extra_fields]
    return [extra if isinstance(extra, dict) else {} for extra in unwrapped]


def padded(nested: Tensor, width: int | None = None) -> Tensor:
    """Return a jagged `[bs, j]` as `[bs, L]`, with 0 right of each row's end."""
    filled = nested.to_padded_tensor(0)
    if width is not None and filled.shape[1] < width:
        filled = torch.nn.functional.pad(filled, (0, width - filled.shape[1]))
    return filled
