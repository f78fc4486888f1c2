# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""verl's v1 trainer modes, made aware of process rewards. Plumbing only: the mathematics is in `verl_prpo.advantage`.

Each mode's registry entry becomes a subclass that does nothing at all unless `algorithm.adv_estimator=prpo`. Then it
wires the reward manager, starts the PRM's copies and collects process scores when the advantage is due: those that came
with the responses (`verl_prpo.streaming`), or those of a process pass launched when entropy is there, so that the PRM
works while the reference policy does.
"""

import math
import time
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import ray
import torch
import transfer_queue as tq
from omegaconf import DictConfig
from torch import Tensor
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.reward import resolve_reward_manager_cls
from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY, PPOTrainer

from verl_prpo import process_pass
from verl_prpo.config import PrmConfig, PrpoConfig, engine_of, needs_prm, prm_config, prpo_config, uses_prpo
from verl_prpo.config_check import check_config
from verl_prpo.estimator import ProcessRewards, handed_over
from verl_prpo.managed_reward_model import awake, router_url, shares_gpus, uses_reward_model
from verl_prpo.prm.family import PrmError
from verl_prpo.prm.replicas import PrmDescription, start_replicas
from verl_prpo.prm.served import require_servers
from verl_prpo.reward_manager import PROCESS_RESULT, StreamedResult, outcome_config, wire
from verl_prpo.schedule import fingerprint, keeps_log_probs, segmenter_of, start_streaming
from verl_prpo.step_report import StepReport

DESCRIBE_TIMEOUT = 60.0
"""Seconds a loaded copy of the PRM may take to say what it is."""

COUNTS, RATIOS = "prpo/prm/", ("prpo/prm/cache_hit",)
"""Metrics that add up over the updates of a step, and those among them that do not."""


class ProcessAware:
    """Mixin for `verl.trainer.ppo.v1.PPOTrainer`: brings process rewards to the estimator `prpo`."""

    config: DictConfig
    global_steps: int
    reward_loop_manager: Any

    tokenizer: Any
    _prpo: PrpoConfig | None = None
    _prm: PrmConfig
    _streams: bool = False
    _sampling_since: float = -math.inf

    def __init__(self, config: DictConfig):
        self._began = time.time()
        if uses_prpo(config):
            check_config(config)
            self._prpo = prpo_config(config.algorithm)
            if needs_prm(self._prpo):
                print(f"[verl-prpo] {wire(config)}; segments by {segmenter_of(config)}, credit {self._prpo.credit}")
                self._streams = start_streaming(config)
            self._prm = prm_config(config.reward)
        self._passes: dict[frozenset[str], process_pass.PendingScores] = {}
        self._passes_step: int | None = None
        self._counts: dict[frozenset[str], dict[str, float]] = {}
        self._reports: dict[str, dict[str, Any]] = {}
        super().__init__(config)  # type: ignore[call-arg]

    def _setup(self) -> None:
        if self._asks_prm():
            require_gpus(self.config, self._prm)
            if self._prm.server_urls:
                require_servers(self._prm)
        super()._setup()  # type: ignore[misc]
        if self._asks_prm():
            # verl assembles the scores of a colocated reward model by a class method of the manager the user chose.
            self.reward_loop_manager.reward_manager_cls = resolve_reward_manager_cls(outcome_config(self.config))
            urls = [router_url(self.reward_loop_manager)] if uses_reward_model(self._prm) else None
            with self._prm_awake():
                self._prm_replicas = start_replicas(self._prm, self.config.trainer.device, urls)
            self._prm_description = ray.get(self._prm_replicas[0].describe.remote(), timeout=DESCRIBE_TIMEOUT)
            require_score_range(self._prm_description, prpo_config(self.config.algorithm))
            print(f"[verl-prpo] PRM ready: {self._prm_description}")

    def get_reward_handles(self) -> Any:
        """Who gives outcome rewards as responses finish. A reward model on the trainer's GPUs could not; but one that
        is the PRM has no part in the outcome."""
        if self._prpo is not None and shares_gpus(self.config):
            return self.reward_loop_manager.reward_loop_workers
        return super().get_reward_handles()  # type: ignore[misc]

    def _compute_reward_colocate(self, batch: KVBatchMeta, metrics: dict | None = None) -> KVBatchMeta:
        if self._prpo is not None and shares_gpus(self.config):
            return batch  # its outcome rewards came with it
        return super()._compute_reward_colocate(batch, metrics)  # type: ignore[misc]

    def _prm_awake(self) -> AbstractContextManager[None]:
        return awake(self.reward_loop_manager, self._prm.timeout) if shares_gpus(self.config) else nullcontext()

    def on_sample_begin(self) -> None:
        self._sampling_since = time.time()
        super().on_sample_begin()  # type: ignore[misc]

    def step(self, metrics: dict, timing_raw: dict) -> KVBatchMeta:
        """A step of `parameter_sync_step` updates: verl takes the mean of their metrics, counts are to be sums."""
        self._counts = {}
        batch = super().step(metrics, timing_raw)  # type: ignore[misc]
        total: Counter[str] = Counter()
        for counts in self._counts.values():
            total.update(counts)
        metrics.update(total)
        return batch

    def _compute_old_log_prob(self, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta:
        batch = super()._compute_old_log_prob(batch, metrics)  # type: ignore[misc]
        if self._asks_prm():
            began = time.monotonic()
            if self._passes_step != self.global_steps:
                self._passes, self._counts, self._passes_step = {}, {}, self.global_steps
            # A batch that comes again, in whatever order, keeps its segments and scores.
            if _rollouts(batch) not in self._passes:
                with self._prm_awake():
                    self._passes[_rollouts(batch)] = pending = self._launch(batch)
                    if shares_gpus(self.config):  # it sleeps again before other work on the GPUs
                        process_pass.collect(pending, self._prm.timeout)
            metrics["timing_s/prm_submit"] = time.monotonic() - began
        return batch

    def _launch(self, batch: KVBatchMeta) -> process_pass.PendingScores:
        """Cut and send out what was not scored as it finished."""
        assert self._prpo is not None
        rows = self._fetch_rows(batch)
        workers = self.reward_loop_manager.reward_loop_workers
        if not self._streams:
            return process_pass.launch(rows, process_pass.segment(rows, self._prpo, self.tokenizer), workers)
        settings = fingerprint(self._prpo, self._prm)
        starts, streamed, lacking = process_pass.take_streamed(rows, self._fetch_streamed(batch), settings, self._began)
        if lacking:
            print(
                f"[verl-prpo] step {self.global_steps}: {len(lacking)} of {sum(rows.real)} responses, the first "
                f"{rows.keys[lacking[0]]}, brought no process scores that this run can use and are scored now"
            )
            starts[lacking] = process_pass.segment(rows.select(lacking), self._prpo, self.tokenizer)
        pending = process_pass.launch(rows, starts, workers, streamed)
        pending.awaited_since = self._sampling_since
        return pending

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta:
        if self._prpo is None:
            return super()._compute_advantage(batch, metrics)  # type: ignore[misc]
        _require_one_output_per_session(batch)
        if not self._asks_prm():
            return super()._compute_advantage(batch, metrics)  # type: ignore[misc]
        pending = self._passes.get(_rollouts(batch))
        if pending is None:
            raise PrmError("the batch whose advantage is due is not one whose process scores were asked for")
        scored = process_pass.collect(pending, self._prm.timeout)
        if scored.rows.keys != list(batch.keys):
            scored = scored.arranged(batch.keys)
        scored.require(self._prm)
        for summary in (scored.failure_summary(), scored.overlong_summary()):
            if summary:
                print(f"[verl-prpo] step {self.global_steps}: {summary}")
        metrics["timing_s/prm_wait"] = scored.wait_seconds
        metrics["timing_s/prm_busy"] = scored.busy_seconds
        if self._streams:
            metrics["prpo/prm/not_streamed"] = sum(map(len, pending.positions))
        rewards = ProcessRewards(
            scored.token_scores(),
            scored.segment_starts,
            scored.read_tokens(),
            self._prm_description.prior_mean,
            self._prm_description.prior_std,
        )
        with handed_over(rewards):
            batch = super()._compute_advantage(batch, metrics)  # type: ignore[misc]
        self._report(batch, scored, rewards, metrics)
        counts = {name: count for name, count in metrics.items() if name.startswith(COUNTS) and name not in RATIOS}
        self._counts[_rollouts(batch)] = counts
        return batch

    def _report(
        self,
        batch: KVBatchMeta,
        scored: process_pass.ScoredBatch,
        rewards: ProcessRewards,
        metrics: dict,
    ) -> None:
        """Metrics of the step and, with `trainer.rollout_data_dir`, a record per response."""
        assert self._prpo is not None
        fields = ["uid", "advantages", "response_mask", "rm_scores"]
        if self.config.algorithm.use_kl_in_reward:
            fields.append("token_level_rewards")
        data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
        width = scored.segment_starts.shape[1]
        outcome = _padded(data["token_level_rewards" if "token_level_rewards" in fields else "rm_scores"], width).sum(1)
        report = StepReport(
            scored,
            rewards,
            self._prpo,
            outcome_rewards=self._prpo.outcome_weight * outcome.float(),
            advantages=_padded(data["advantages"], width),
            response_mask=_padded(data["response_mask"], width),
            index=np.array(list(data["uid"]), dtype=object),
        )
        metrics.update(report.metrics())
        if self.config.trainer.get("rollout_data_dir"):
            self._reports.update(report.records())

    def _dump_generations(
        self,
        inputs: list,
        outputs: list,
        gts: list,
        scores: list,
        reward_extra_infos_dict: dict,
        dump_path: str,
    ) -> None:
        """verl's own dump, with a column `prpo` in the dump of training rollouts."""
        keys = reward_extra_infos_dict.get("uid", [])
        if self._reports and any(key in self._reports for key in keys):
            records = [self._reports.get(key) for key in keys]
            reward_extra_infos_dict = {**reward_extra_infos_dict, "prpo": records}
            self._reports = {}
        super()._dump_generations(  # type: ignore[misc]
            inputs, outputs, gts, scores, reward_extra_infos_dict, dump_path
        )

    def _fetch_rows(self, batch: KVBatchMeta) -> process_pass.Rows:
        signal = self._signal()
        fields = ["response_mask", "responses", "raw_prompt", *([signal] if signal else [])]
        data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
        values = None
        if signal:
            values = _padded(data[signal]).float()
            values = values if signal == "entropy" else -values
        return process_pass.Rows(
            keys=list(batch.keys),
            real=[not tag.get("is_padding", False) for tag in batch.tags],
            messages=[list(messages) for messages in data["raw_prompt"]],
            response_ids=[ids.tolist() for ids in data["responses"].unbind()],
            response_mask=_padded(data["response_mask"]),
            signal=values,
        )

    def _fetch_streamed(self, batch: KVBatchMeta) -> list[StreamedResult | None]:
        data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=["extra_fields"])
        extra_fields = [getattr(extra, "data", extra) for extra in data["extra_fields"]]
        brought = [extra.get(PROCESS_RESULT) if isinstance(extra, dict) else None for extra in extra_fields]
        return [StreamedResult.from_dict(result) if result is not None else None for result in brought]

    def _signal(self) -> str | None:
        """The field that holds what the segmenter cuts at. The rollout's log-probs go before those of old_log_prob, so
        that surprisal is the same whenever a response is cut."""
        segmenter = segmenter_of(self.config)
        if segmenter == "surprisal":
            return "rollout_log_probs" if keeps_log_probs(self.config) else "old_log_probs"
        return "entropy" if segmenter == "entropy" else None

    def _asks_prm(self) -> bool:
        if self._prpo is None or self.config.trainer.get("val_only", False):
            return False
        return needs_prm(self._prpo)


def make_process_aware(registry: dict[str, type[PPOTrainer]]) -> None:
    """Replace every trainer mode in verl's registry by its process-aware subclass; idempotent."""
    for mode, trainer in list(registry.items()):
        if not issubclass(trainer, ProcessAware):
            registry[mode] = type(f"ProcessAware{trainer.__name__}", (ProcessAware, trainer), {"__module__": __name__})


def require_gpus(config: DictConfig, prm: PrmConfig) -> None:
    """Stop before the long start-up when Ray can never place the PRM beside the trainer.

    Raises:
        PrmError: how many GPUs are there, who asks for how many, and the settings to change.
    """
    on_gpus = config.trainer.device != "cpu" and engine_of(prm) == "in_process"
    wanted = prm.num_replicas * prm.num_gpus_per_replica if on_gpus else 0.0
    if not wanted:
        return
    trainer = config.trainer.nnodes * config.trainer.n_gpus_per_node
    rollout = 0
    if config.trainer.v1.trainer_mode == "separate_async":
        rollout = config.actor_rollout_ref.rollout.nnodes * config.actor_rollout_ref.rollout.n_gpus_per_node
    reward_model = config.reward.reward_model
    pool = reward_model.nnodes * reward_model.n_gpus_per_node if reward_model.enable_resource_pool else 0
    distillation = config.get("distillation") or {}
    if distillation.get("enabled", False):
        pool += distillation.get("nnodes", 0) * distillation.get("n_gpus_per_node", 0)
    from verl.plugin.platform import get_platform

    resource = get_platform().ray_resource_name()
    there = ray.cluster_resources().get(resource, 0)
    if trainer + rollout + pool + wanted > there:
        raise PrmError(
            f"the PRM cannot be placed: Ray has {there:g} {resource}, of which the trainer takes {trainer}, standalone "
            f"rollout {rollout} and reward model or teacher {pool}; reward.prm asks for {wanted:g} more "
            f"({prm.num_replicas} x {prm.num_gpus_per_replica:g}). Lower trainer.n_gpus_per_node or "
            "reward.prm.num_gpus_per_replica, or add GPUs."
        )


def require_score_range(description: PrmDescription, prpo: PrpoConfig) -> None:
    """Stop when the credit reads scores on another scale than the PRM gives.

    Raises:
        PrmError: the PRM's range and the setting to change.
    """
    if prpo.credit == "pure" and tuple(description.score_range) != (0.0, 1.0):
        raise PrmError(
            f"algorithm.prpo.credit=pure reads scores on [0, 1], but the PRM family {description.family} gives "
            f"{list(description.score_range)}. Set algorithm.prpo.credit=prpo, or give the family scores on [0, 1]."
        )


def _rollouts(batch: KVBatchMeta) -> frozenset[str]:
    """Which rollouts a batch holds, whatever their order and padding."""
    tags = zip(batch.keys, batch.tags, strict=True)
    return frozenset(key for key, tag in tags if not tag.get("is_padding", False))


def _require_one_output_per_session(batch: KVBatchMeta) -> None:
    sessions = [key.rsplit("_", 1)[0] for key in batch.keys]
    if len(set(sessions)) != len(sessions):
        twice = next(s for s in sessions if sessions.count(s) > 1)
        raise NotImplementedError(
            f"the agent loop returned several outputs for session {twice}; PRPO handles one output per session. Use an "
            "agent loop that returns one (actor_rollout_ref.rollout.agent.default_agent_loop=single_turn_agent), or "
            "algorithm.adv_estimator=grpo."
        )


def _padded(nested: Tensor, width: int | None = None) -> Tensor:
    """Right-padded `[bs, L]` of a jagged `[bs, j]`, with 0 for padding."""
    padded = nested.to_padded_tensor(0)
    if width is not None and padded.shape[1] < width:
        padded = torch.nn.functional.pad(padded, (0, width - padded.shape[1]))
    return padded


make_process_aware(TRAINER_REGISTRY)
