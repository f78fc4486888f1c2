# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""verl's v1 trainer modes, made aware of process rewards. Plumbing only.

Each mode's registry entry becomes a subclass that does nothing at all unless `algorithm.adv_estimator=prpo`. Then it
wires the reward manager, starts the PRM's replicas and collects process scores when the advantage is due. The scores
came with the responses (`verl_prpo.trainer.agent_loop`), or from a process pass that was launched when the entropy was
there, so that the PRM works while the reference policy does. The mathematics is in `verl_prpo.method.advantage`.
"""

import copy
import functools
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
import transfer_queue as tq
from omegaconf import DictConfig
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.reward import resolve_reward_manager_cls
from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY, PPOTrainer

from verl_prpo.method.segmentation import uniform_segments
from verl_prpo.method.sessions import Sessions
from verl_prpo.outcome.verdicts import VerdictReader
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.replicas.start import start_replicas
from verl_prpo.prm.served import require_servers
from verl_prpo.settings.prm import SCORE_FUNCTION
from verl_prpo.settings.prpo import PrmConfig, PrpoConfig, engine_of, needs_prm, prm_config, prpo_config, uses_prpo
from verl_prpo.settings.timeouts import DESCRIBE_TIMEOUT
from verl_prpo.step.credit import ProcessRewards, without_process_rewards
from verl_prpo.step.scored_batch import Rollouts, ScoredBatch
from verl_prpo.step.trust import Judged, RunTrust
from verl_prpo.telemetry.alarms import Alarms
from verl_prpo.telemetry.announcements import Announcements, credit_line
from verl_prpo.telemetry.metrics import trust_metrics
from verl_prpo.telemetry.rollouts.format import COLUMN
from verl_prpo.telemetry.rollouts.write import PendingRecord, choose
from verl_prpo.telemetry.step_report import StepReport
from verl_prpo.trainer import process_pass
from verl_prpo.trainer.checks.config_check import check_config
from verl_prpo.trainer.checks.start_checks import require_gpus, require_score_range
from verl_prpo.trainer.estimator import handed_over
from verl_prpo.trainer.length_limit import LengthLimit, length_limit
from verl_prpo.trainer.padding import rollouts_of
from verl_prpo.trainer.reward_manager import outcome_config, wire
from verl_prpo.trainer.reward_model import awake, router_url, shares_gpus, uses_reward_model
from verl_prpo.trainer.schedule import fingerprint, keeps_log_probs, segmenter_of, signal_of, start_streaming
from verl_prpo.trainer.transfer_queue import (
    BatchOutcomes,
    fetch_outcomes,
    fetch_rollouts,
    fetch_streamed,
    padded,
    pending_records,
)

COUNTS, RATIOS = "prpo/prm/", ("prpo/prm/cache_hit", "prpo/prm/context/mean", "prpo/prm/context/min")
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
    _sampling_seconds: float = math.inf

    def __init__(self, config: DictConfig):
        self._began = time.time()
        if uses_prpo(config):
            check_config(config)
            self._prpo = prpo_config(config.algorithm)
            self._announcements = Announcements(self._prpo)
            if needs_prm(self._prpo):
                print(f"[verl-prpo] {wire(config)}; segments by {segmenter_of(config)}, {credit_line(self._prpo)}")
                self._streams = start_streaming(config)
            self._prm = prm_config(config.reward)
        self._passes: dict[frozenset[str], process_pass.PendingScores] = {}
        self._passes_step: int | None = None
        self._counts: dict[frozenset[str], dict[str, float]] = {}
        self._alarms = Alarms(self._prpo) if self._prpo is not None and self._prpo.alarm_window else None
        self._reports: dict[str, tuple[StepReport, int]] = {}
        self._records: dict[str, PendingRecord] = {}
        self._verdicts = VerdictReader()
        if self._prpo is not None:
            self._trust = RunTrust(self._prpo)
        self._writers_tokenizer: Any = None
        super().__init__(config)  # type: ignore[call-arg]

    def _setup(self) -> None:
        if self._asks_prm():
            require_gpus(self.config)
            if self._prm.server.urls:
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
        self._sampling_since = time.monotonic()
        super().on_sample_begin()  # type: ignore[misc]

    def on_sample_end(self) -> None:
        self._sampling_seconds = time.monotonic() - self._sampling_since
        super().on_sample_end()  # type: ignore[misc]

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
            began, waited = time.monotonic(), 0.0
            if self._passes_step != self.global_steps:
                self._passes, self._counts, self._passes_step = {}, {}, self.global_steps
            # A batch that comes again, in whatever order, keeps its segments and scores.
            if rollouts_of(batch) not in self._passes:
                with self._prm_awake():
                    self._passes[rollouts_of(batch)] = pending = self._launch(batch)
                    if shares_gpus(self.config):  # it sleeps again before other work on the GPUs
                        waited = process_pass.collect(pending, self._prm.timeout).wait_seconds
            metrics["timing_s/prm_submit"] = time.monotonic() - began - waited  # which counts as prm_wait
        return batch

    def _launch(self, batch: KVBatchMeta) -> process_pass.PendingScores:
        """Cut and send out what was not scored as it finished."""
        assert self._prpo is not None
        hides, rows = self._prm.thinking == "hide", engine_of(self._prm) == SCORE_FUNCTION
        rollouts = fetch_rollouts(
            batch, self._limit, self._signal(), self.tokenizer, with_rows=rows, with_prompts=hides
        )
        workers = self.reward_loop_manager.reward_loop_workers
        if not self._streams:
            if hides:
                rollouts = process_pass.with_thoughts(rollouts, self.tokenizer)
            return process_pass.launch(rollouts, process_pass.segment(rollouts, self._prpo, self.tokenizer), workers)
        settings = fingerprint(self._prpo, self._prm)
        brought = fetch_streamed(batch, rollouts)
        starts, streamed, lacking = process_pass.take_streamed(rollouts, brought, settings, self._began)
        if lacking:
            print(
                f"[verl-prpo] step {self.global_steps}: {len(lacking)} of {len(rollouts)} responses, the first "
                f"{rollouts.keys[lacking[0]]}, brought no process scores that this run can use and are scored now"
            )
            late = rollouts.select(lacking)
            if hides:
                late = process_pass.with_thoughts(late, self.tokenizer)
                rollouts.thoughts = torch.zeros_like(starts)
                rollouts.thoughts[lacking] = late.thoughts  # type: ignore[assignment]
            starts[lacking] = process_pass.segment(late, self._prpo, self.tokenizer)
        pending = process_pass.launch(rollouts, starts, workers, streamed)
        pending.longest_wait = self._sampling_seconds
        return pending

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta:
        if self._prpo is None:
            return super()._compute_advantage(batch, metrics)  # type: ignore[misc]
        if not self._asks_prm():
            return self._compute_unscored_advantage(batch, metrics)
        pending = self._passes.get(rollouts_of(batch))
        if pending is None:
            raise PrmError("the batch whose advantage is due is not one whose process scores were asked for")
        scored = process_pass.collect(pending, self._prm.timeout)
        scored = scored.arranged(batch.keys)
        scored.require(self._prm)
        unread = scored.overlong_summary(self._prm, self._prpo)
        self._say([scored.failure_summary(), unread, *self._announcements.on_responses(scored)])
        metrics["timing_s/prm_wait"] = scored.wait_seconds
        metrics["timing_s/prm_busy"] = scored.busy_seconds
        if self._streams:
            metrics["prpo/prm/not_streamed"] = sum(map(len, pending.positions))
        outcomes = self._outcomes(batch, scored.rollouts)
        rewards = ProcessRewards(
            scored.token_scores(),
            scored.segment_starts,
            scored.read_tokens(),
            self._prm_description.prior_mean,
            self._prm_description.prior_std,
            outcomes.rewards,
            Sessions.of(scored.rollouts.keys),
        )
        judged = Judged(outcomes.verdicts.right, outcomes.uids, outcomes.data_sources)
        rewards.weights = self._trust.weights(
            self.global_steps, rollouts_of(batch), rewards, scored.rollouts.response_mask, judged
        )
        self._say(self._trust.lines(self.global_steps))
        used = rewards.weights if self._prpo.credit == "trust" else None
        metrics.update(trust_metrics(self._trust.of, outcomes.data_sources, used))
        with handed_over(rewards.spread(scored.rollouts)):
            batch = super()._compute_advantage(batch, metrics)  # type: ignore[misc]
        self._report(batch, scored, rewards, outcomes, metrics)
        counts = {name: count for name, count in metrics.items() if name.startswith(COUNTS) and name not in RATIOS}
        self._counts[rollouts_of(batch)] = counts
        return batch

    def _compute_unscored_advantage(self, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta:
        """For a credit that asks no PRM: each response is one segment, without a score."""
        rollouts = fetch_rollouts(batch, self._limit, tokenizer=self.tokenizer)
        outcomes = self._outcomes(batch, rollouts)
        rewards = without_process_rewards(rollouts.response_mask, outcomes.rewards, Sessions.of(rollouts.keys))
        with handed_over(rewards.spread(rollouts)):
            batch = super()._compute_advantage(batch, metrics)  # type: ignore[misc]
        one_segment = uniform_segments(rollouts.response_mask, 1)
        scored = ScoredBatch(rollouts, one_segment, [None] * len(rollouts), 0.0, 0.0)
        self._report(batch, scored, rewards, outcomes, metrics)
        return batch

    def _outcomes(self, batch: KVBatchMeta, rollouts: Rollouts) -> BatchOutcomes:
        """Which responses are right, and what else the estimator has to know of the outcomes."""
        outcomes = fetch_outcomes(batch, rollouts, self._verdicts)
        self._say(self._announcements.on_verdicts(self._verdicts))
        return outcomes

    def _say(self, lines: Iterable[str | None]) -> None:
        for line in filter(None, lines):
            print(f"[verl-prpo] step {self.global_steps}: {line}")

    def _report(
        self,
        batch: KVBatchMeta,
        scored: ScoredBatch,
        rewards: ProcessRewards,
        outcomes: BatchOutcomes,
        metrics: dict,
    ) -> None:
        """Metrics of the update; with `trainer.rollout_data_dir` kept for the step's dump."""
        assert self._prpo is not None
        fields = ["uid", "advantages", "response_mask", "rm_scores"]
        if self.config.algorithm.use_kl_in_reward:
            fields.append("token_level_rewards")
        data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
        rollouts, width = scored.rollouts, scored.segment_starts.shape[1]
        uids = list(data["uid"])
        reward = data["token_level_rewards" if "token_level_rewards" in fields else "rm_scores"]
        report = StepReport(
            scored,
            rewards,
            self._prpo,
            token_rewards=padded(reward, width)[rollouts.places].sum(1).float(),
            advantages=padded(data["advantages"], width)[rollouts.places],
            response_mask=padded(data["response_mask"], width)[rollouts.places],
            index=np.array([uids[row] for row in rollouts.places], dtype=object),
            verdicts=outcomes.verdicts,
            data_sources=outcomes.data_sources,
        )
        metrics.update(report.metrics())
        if self.config.trainer.get("rollout_data_dir"):
            self._reports.update({key: (report, row) for row, key in enumerate(rollouts.keys)})

    def _save_checkpoint(self) -> None:
        if self._asks_prm():  # before verl's own files, so that a checkpoint that counts as whole has it
            self._trust.save(self._checkpoint_folder())
        super()._save_checkpoint()  # type: ignore[misc]

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()  # type: ignore[misc]
        if self._asks_prm() and self.global_steps:
            self._say([self._trust.load(self._checkpoint_folder(resumed=True))])

    def _checkpoint_folder(self, resumed: bool = False) -> Path:
        trainer = self.config.trainer
        if resumed and trainer.resume_mode == "resume_path":
            return Path(trainer.resume_from_path)
        return Path(trainer.default_local_dir, f"global_step_{self.global_steps}")

    def _compute_metrics(self, batch: KVBatchMeta, metrics: dict, *args: Any, **kwargs: Any) -> None:
        super()._compute_metrics(batch, metrics, *args, **kwargs)  # type: ignore[misc]
        if self._alarms is not None:
            for line in self._alarms.observe(self.global_steps, metrics):
                print(f"[verl-prpo] {line}")
            metrics["prpo/alarms"] = len(self._alarms.sounding)

    def _log_rollout_data(self, batch: KVBatchMeta, timing_raw: dict, rollout_data_dir: str) -> None:
        """verl's own dump of a step, with a column `prpo` of what became of each response chosen."""
        if self._prpo is not None and self._reports:
            if self._writers_tokenizer is None:
                self._writers_tokenizer = copy.deepcopy(self.tokenizer)
            chosen = choose(self._reports, self._prpo.dump_responses)
            self._records = pending_records(
                chosen, batch.partition_id, self._reports, self._log_probs(), self._writers_tokenizer
            )
        super()._log_rollout_data(batch, timing_raw, rollout_data_dir)  # type: ignore[misc]
        self._reports, self._records = {}, {}

    def _dump_generations(
        self,
        inputs: list,
        outputs: list,
        gts: list,
        scores: list,
        reward_extra_infos_dict: Mapping[str, list],
        dump_path: str,
    ) -> None:
        if self._records:
            keys = reward_extra_infos_dict["uid"]
            column: list[PendingRecord | None] = [self._records.get(key) for key in keys]
            for record, *row in zip(column, keys, inputs, outputs, gts, scores, strict=True):
                if record is not None:
                    names = ("uid", "input", "output", "gts", "score")
                    record.columns = {"step": self.global_steps, **dict(zip(names, row, strict=True))}
            reward_extra_infos_dict = {**reward_extra_infos_dict, COLUMN: column}
        super()._dump_generations(  # type: ignore[misc]
            inputs, outputs, gts, scores, reward_extra_infos_dict, dump_path
        )

    @functools.cached_property
    def _limit(self) -> LengthLimit:
        return length_limit(self.config, self.tokenizer)

    def _signal(self) -> str | None:
        """The field that holds what the segmenter cuts at. The rollout's log-probs go before those of old_log_prob, so
        that surprisal is the same whenever a response is cut."""
        signal = signal_of(self.config)
        return self._log_probs() if signal == "surprisal" else signal

    def _log_probs(self) -> str:
        return "rollout_log_probs" if keeps_log_probs(self.config) else "old_log_probs"

    def _asks_prm(self) -> bool:
        if self._prpo is None or self.config.trainer.get("val_only", False):
            return False
        return needs_prm(self._prpo)


def make_process_aware(registry: dict[str, type[PPOTrainer]]) -> None:
    """Replace every trainer mode in verl's registry by its process-aware subclass; idempotent."""
    for mode, trainer in list(registry.items()):
        if not issubclass(trainer, ProcessAware):
            registry[mode] = type(f"ProcessAware{trainer.__name__}", (ProcessAware, trainer), {"__module__": __name__})


make_process_aware(TRAINER_REGISTRY)
