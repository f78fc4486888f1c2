# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What is read of a batch's rows in verl's TransferQueue; each row in the order of the batch."""

from collections.abc import Iterable
from typing import Any

import torch
import transfer_queue as tq
from torch import Tensor
from transfer_queue import KVBatchMeta

from verl_prpo.outcome.verdicts import VerdictReader, Verdicts
from verl_prpo.step.scored_batch import Rows
from verl_prpo.trainer.estimator import OutcomeRewards
from verl_prpo.trainer.length_limit import LengthLimit
from verl_prpo.trainer.reward_manager import PROCESS_RESULT, StreamedResult


def fetch_rows(batch: KVBatchMeta, limit: LengthLimit, signal: str | None = None) -> Rows:
    """What the process pass needs.

    Args:
        batch: keys and tags of the rows.
        limit: of the rollout.
        signal: the field that the segmenter cuts at: entropy, or log-probabilities, whose negative is surprisal.
    """
    fields = ["response_mask", "responses", "raw_prompt", *([signal] if signal else [])]
    data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
    values = None
    if signal:
        values = padded(data[signal]).float()
        values = values if signal == "entropy" else -values
    response_ids = [ids.tolist() for ids in data["responses"].unbind()]
    prompts = [int(tag.get("prompt_len", 0)) for tag in batch.tags]
    return Rows(
        keys=list(batch.keys),
        real=[not tag.get("is_padding", False) for tag in batch.tags],
        messages=[list(messages) for messages in data["raw_prompt"]],
        response_ids=response_ids,
        response_mask=padded(data["response_mask"]),
        signal=values,
        truncated=[limit.truncates(ids, prompt) for ids, prompt in zip(response_ids, prompts, strict=True)],
    )


def fetch_extra_fields(batch: KVBatchMeta) -> list[dict[str, Any]]:
    """verl's `extra_fields` of each row; among them is `reward_extra_info`, what the reward manager said besides."""
    data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=["extra_fields"])
    return plain(data["extra_fields"]) if "extra_fields" in set(data.keys()) else [{} for _ in batch.keys]


def fetch_streamed(batch: KVBatchMeta) -> list[StreamedResult | None]:
    """The process scores that each response brought along; None for one that brought none."""
    brought = [extra.get(PROCESS_RESULT) for extra in fetch_extra_fields(batch)]
    return [StreamedResult.from_dict(result) if result is not None else None for result in brought]


def fetch_outcomes(batch: KVBatchMeta, rows: Rows, reader: VerdictReader) -> tuple[Verdicts, OutcomeRewards]:
    """Which responses of a batch are right, and what else the estimator has to know of the outcomes.

    Args:
        batch: keys and tags of the rows.
        rows: the same rows.
        reader: of the run.
    """
    data = tq.kv_batch_get(
        keys=batch.keys, partition_id=batch.partition_id, select_fields=["uid", "rm_scores", "data_source"]
    )
    rewards = padded(data["rm_scores"]).sum(1).float()
    parts = [extra.get("reward_extra_info") or {} for extra in fetch_extra_fields(batch)]
    data_sources = [str(name) for name in data["data_source"]] if "data_source" in set(data.keys()) else None
    verdicts = reader.read(rewards.tolist(), parts, rows.real, data_sources)
    agree = torch.tensor(verdicts.agree(list(data["uid"])), dtype=torch.bool)
    return verdicts, OutcomeRewards(rewards, agree, torch.tensor(rows.truncated, dtype=torch.bool))


def plain(extra_fields: Iterable[Any]) -> list[dict[str, Any]]:
    """verl's `extra_fields` column as dictionaries; {} where a row has none."""
    unwrapped = [getattr(extra, "data", extra) for extra in extra_fields]
    return [extra if isinstance(extra, dict) else {} for extra in unwrapped]


def rollouts_of(batch: KVBatchMeta) -> frozenset[str]:
    """Which rollouts a batch holds, whatever their order and padding."""
    tags = zip(batch.keys, batch.tags, strict=True)
    return frozenset(key for key, tag in tags if not tag.get("is_padding", False))


def require_one_output_per_session(batch: KVBatchMeta) -> None:
    """Stop at what an agent loop gives that this package has no way to score.

    Raises:
        NotImplementedError: the session with several outputs, and what to set.
    """
    sessions = [key.rsplit("_", 1)[0] for key in batch.keys]
    if len(set(sessions)) != len(sessions):
        twice = next(s for s in sessions if sessions.count(s) > 1)
        raise NotImplementedError(
            f"the agent loop returned several outputs for session {twice}; PRPO handles one output per session. Use an "
            "agent loop that returns one (actor_rollout_ref.rollout.agent.default_agent_loop=single_turn_agent), or "
            "algorithm.adv_estimator=grpo."
        )


def padded(nested: Tensor, width: int | None = None) -> Tensor:
    """Right-padded `[bs, L]` of a jagged `[bs, j]`, with 0 for padding."""
    filled = nested.to_padded_tensor(0)
    if width is not None and filled.shape[1] < width:
        filled = torch.nn.functional.pad(filled, (0, width - filled.shape[1]))
    return filled
