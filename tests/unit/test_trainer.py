# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""verl's trainer made process-aware: its own methods on a real TransferQueue, with real reward-loop workers and a real
PRM. Only the model engines are left out: entropies and log-probs are given."""

import base64
import copy
import gzip
import json
import math
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import ray
import torch
import transfer_queue as tq
from omegaconf import open_dict
from plumbing import Parts, local_ray
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.experimental.reward_loop import RewardLoopManager
from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager
from verl.trainer.ppo.core_algos import FixedKLController
from verl.trainer.ppo.padding_utils import upsample_batch_to_divisible_size
from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils import hf_tokenizer
from verl.utils.ray_utils import get_event_loop
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from verl_prpo.cli.main import main
from verl_prpo.method.segmentation import entropy_segments, segment_bounds
from verl_prpo.outcome.verdicts import VerdictReader
from verl_prpo.prm.conversation import Heard
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.results import PrmRequest
from verl_prpo.settings.prpo import ConfigError, PrpoConfig
from verl_prpo.step.conversation import BadMask
from verl_prpo.step.messages import SCORES, ToScore
from verl_prpo.step.scored_batch import Rollouts
from verl_prpo.telemetry.alarms import Alarms
from verl_prpo.telemetry.announcements import Announcements
from verl_prpo.telemetry.rollouts.read import Rollout, read_rollouts
from verl_prpo.text.decoding import segment_texts
from verl_prpo.trainer.checks.config_check import TRAINER_MODES
from verl_prpo.trainer.checks.start_checks import require_gpus, require_score_range
from verl_prpo.trainer.length_limit import LengthLimit
from verl_prpo.trainer.mixin import ProcessAware, make_process_aware, process_pass
from verl_prpo.trainer.process_pass import PendingScores
from verl_prpo.trainer.reward_manager import PrmRewardManager
from verl_prpo.trainer.transfer_queue import fetch_rollouts

pytestmark = pytest.mark.ray

PROMPT_LENGTH = 3
QUESTION = [{"role": "user", "content": "1 + 1?"}]
SETTINGS = ("algorithm.prpo.segmenter=entropy", "algorithm.prpo.max_anchors=2", "algorithm.prpo.min_gap=3")
TEXTS = ["First we add the numbers, then we divide by two.", "So the answer is 42.", "Yes, the sum is 17.", "No 😀."]
OUTCOMES = [1.0, -1.0, 1.0, 1.0]
UIDS = ["a", "a", "b", "b"]


class Engines:
    """Stands in for verl's worker group: `compute_log_prob` writes entropies and log-probs as the actor does."""

    def __init__(self, entropy: dict[str, torch.Tensor]):
        self.entropy = entropy

    def compute_log_prob(self, batch: KVBatchMeta) -> KVBatchMeta:
        rows = []
        for key in batch.keys:
            signal = self.entropy.get(key, torch.zeros(1))
            prompt = SYNTHETIC if key.startswith("pad") else PROMPT_LENGTH
            # What the model says of token t stands at t - 1: the last prompt token speaks of the first of the response.
            rows.append(torch.cat([torch.zeros(prompt - 1), signal, torch.zeros(1)]))
        nested = torch.nested.as_nested_tensor(rows, layout=torch.jagged)
        fields = TensorDict({"entropy": nested, "log_probs": -nested}, batch_size=len(rows))
        return tq.kv_batch_put(keys=batch.keys, partition_id=batch.partition_id, fields=fields)


SYNTHETIC = 127
"""Prompt length of verl's padding rows."""


class WithoutEngines(PPOTrainerSync):
    """verl's synchronous trainer whose `_setup` starts the reward loop and nothing that needs a model."""

    def _setup(self) -> None:
        self.tokenizer = hf_tokenizer(self.config.actor_rollout_ref.model.path)
        self.reward_loop_manager = RewardLoopManager(self.config)
        self._init_dump_executor()
        self.global_steps = 1


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return Parts.build(tmp_path_factory.mktemp("parts"))


@pytest.fixture(scope="module")
def cluster():
    with local_ray("test_trainer"):
        tq.init()
        yield
        tq.close()


def aware(base: type = WithoutEngines) -> type:
    registry = {"sync": base}
    make_process_aware(registry)
    return registry["sync"]


@pytest.fixture(scope="module")
def trainer(cluster, parts, tmp_path_factory):
    """A process-aware trainer after `_setup`, with its PRM and reward-loop workers running."""
    dump = tmp_path_factory.mktemp("dump")
    config = parts.config(
        "reward.num_workers=2", f"trainer.rollout_data_dir={dump}", *(f"+{setting}" for setting in SETTINGS)
    )
    trainer = aware()(config)
    trainer._setup()
    return trainer


@pytest.fixture
def mode(trainer):
    """Changes settings of the running trainer for one test."""
    config, prpo, prm = copy.deepcopy(trainer.config), copy.copy(trainer._prpo), copy.copy(trainer._prm)
    trainer._announcements, trainer._verdicts = Announcements(prpo), VerdictReader()
    yield trainer
    trainer.config, trainer._prpo, trainer._prm = config, prpo, prm
    trainer._reports, trainer._records, trainer._passes, trainer._streams = {}, {}, {}, False


@pytest.fixture
def rollouts(trainer):
    """Puts responses into the TransferQueue as the agent loop does."""
    put: list[str] = []

    def _put(
        texts=TEXTS, outcomes=OUTCOMES, uids=UIDS, names=None, **fields
    ) -> tuple[KVBatchMeta, Engines, list[list[int]]]:
        source = torch.Generator().manual_seed(0)
        tokenizer = trainer.tokenizer
        ids = [[*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id] for text in texts]
        seen: dict[str, int] = {}
        keys, rows, entropy = [], [], {}
        for i, (response, outcome, uid) in enumerate(zip(ids, outcomes, uids, strict=True)):
            keys.append(names[i] if names else f"{uid}_{seen.setdefault(uid, 0)}_0")
            seen[uid] = seen.get(uid, 0) + 1
            scores = torch.zeros(len(response))
            scores[-1] = outcome
            entropy[keys[-1]] = torch.rand(len(response), generator=source)
            rows.append(
                {
                    "prompts": torch.arange(PROMPT_LENGTH),
                    "responses": torch.tensor(response),
                    "response_mask": torch.ones(len(response), dtype=torch.long),
                    "rm_scores": scores,
                    "rollout_log_probs": -entropy[keys[-1]],
                    "raw_prompt": QUESTION,
                    "uid": uid,
                    "reward_model": {"ground_truth": "42"},
                    **{name: whole_or_as_long(column[i], len(response)) for name, column in fields.items()},
                }
            )
        tags = [{"is_padding": False, "seq_len": PROMPT_LENGTH + len(response)} for response in ids]
        batch = tq.kv_batch_put(keys=keys, partition_id="train", fields=list_of_dict_to_tensordict(rows), tags=tags)
        put.extend(keys)
        return batch, Engines(entropy), ids

    yield _put
    tq.kv_clear(keys=put, partition_id="train")


def whole_or_as_long(value, length: int):
    return value[:length] if isinstance(value, torch.Tensor) else value


def step(trainer, batch: KVBatchMeta) -> tuple[KVBatchMeta, dict]:
    """The part of verl's `_step_once` from log-probs to advantages."""
    metrics: dict = {}
    batch = trainer._compute_old_log_prob(batch, metrics)
    return trainer._compute_advantage(batch, metrics), metrics


def read(batch: KVBatchMeta, field: str) -> list[list[float]]:
    data = tq.kv_batch_get(keys=batch.keys, partition_id="train", select_fields=[field])
    return [row.tolist() for row in data[field].unbind()]


def expected(parts, tokenizer, ids, signal) -> list[list[float]]:
    """PRPO's advantages of TEXTS, from the engine called in this process: z + R - group mean of R."""
    engine = parts.engine()
    betas = [1.0, -1.0, 0.0, 0.0]
    rows = []
    for response, entropy, beta in zip(ids, signal, betas, strict=True):
        starts = entropy_segments(entropy[None], torch.ones(1, len(entropy)), 2, 3)[0]
        bounds = segment_bounds(starts, len(response))
        (result,) = engine.score([PrmRequest(QUESTION, segment_texts(tokenizer, response, bounds))])
        z = [(score - 0.5) * math.sqrt(12) for score in result.scores]
        rows.append([z[i] + beta for i, (begin, end) in enumerate(bounds) for _ in range(begin, end)])
    return rows


class TestRegistry:
    def test_the_plugin_makes_every_mode_process_aware(self):
        assert set(TRAINER_MODES) <= set(TRAINER_REGISTRY)
        assert all(issubclass(trainer, ProcessAware) for trainer in TRAINER_REGISTRY.values())

    def test_a_second_time_changes_nothing(self):
        registry = {"sync": PPOTrainerSync}
        make_process_aware(registry)
        once = dict(registry)
        make_process_aware(registry)
        assert registry == once
        assert once["sync"].__mro__[1:3] == (ProcessAware, PPOTrainerSync)
        assert once["sync"].__name__ == "ProcessAwarePPOTrainerSync"


class TestSetup:
    def test_verl_assembles_scores_by_the_manager_the_user_chose(self, mode):
        assert mode.reward_loop_manager.reward_manager_cls is NaiveRewardManager

    def test_pure_asks_for_scores_between_0_and_1(self, mode):
        signed = replace(mode._prm_description, score_range=(-1.0, 1.0))
        require_score_range(signed, PrpoConfig(credit="prpo"))
        require_score_range(mode._prm_description, PrpoConfig(credit="pure"))
        with pytest.raises(PrmError, match=r"credit=pure reads scores on \[0, 1\].*gives \[-1\.0, 1\.0\]"):
            require_score_range(signed, PrpoConfig(credit="pure"))

    def test_a_validation_run_asks_no_prm(self, mode):
        assert mode._asks_prm()
        mode.config.trainer.val_only = True
        assert not mode._asks_prm()


class TestOneStep:
    def test_advantages_are_z_of_the_segments_plus_the_relative_outcome(self, mode, rollouts, parts):
        batch, mode.actor_rollout_wg, ids = rollouts()
        entropy = [mode.actor_rollout_wg.entropy[key] for key in batch.keys]
        batch, metrics = step(mode, batch)
        for found, wanted in zip(read(batch, "advantages"), expected(parts, mode.tokenizer, ids, entropy), strict=True):
            assert found == pytest.approx(wanted, abs=1e-4)
        assert metrics["prpo/prm/requests"] == 4 and metrics["prpo/group/all_equal"] == 0.5
        assert {"timing_s/prm_submit", "timing_s/prm_wait", "timing_s/prm_busy", "actor/entropy"} <= set(metrics)

    def test_a_reward_that_is_no_number_stops_the_step_with_the_responses_key(self, mode, rollouts):
        batch, mode.actor_rollout_wg, _ = rollouts(outcomes=[1.0, float("nan"), *OUTCOMES[2:]])
        with pytest.raises(ValueError, match=r"response a_1_0 got the reward nan.*reward\.custom_reward_function"):
            step(mode, batch)

    def test_row_order_and_verls_padding_rows_change_nothing(self, mode, rollouts, parts):
        batch, mode.actor_rollout_wg, _ = rollouts()
        plain, plain_metrics = step(mode, batch)
        wanted = dict(zip(plain.keys, read(plain, "advantages"), strict=True))
        parts.forget()
        mode._passes = {}  # as if the batch had never been there
        padded = upsample_batch_to_divisible_size(batch, 7, mode.tokenizer.eos_token_id)
        padded.reorder([6, 3, 0, 5, 2, 1, 4])
        padded, metrics = step(mode, padded)
        assert [tag["is_padding"] for tag in padded.tags] == [True, False, False, True, False, False, True]
        assert len(parts.asked()) == 4
        for key, found in zip(padded.keys, read(padded, "advantages"), strict=True):
            assert found == pytest.approx(wanted.get(key, [0.0]), abs=1e-4)
        assert metrics.pop("prpo/prm/cache_hit") == 1
        plain_metrics.pop("prpo/prm/cache_hit")
        ours = {name: value for name, value in plain_metrics.items() if name.startswith("prpo/")}
        assert {name: metrics[name] for name in ours} == pytest.approx(ours, abs=1e-4)
        assert {name for name in metrics if name.startswith("prpo/")} == set(ours)
        tq.kv_clear(keys=[key for key in padded.keys if key.startswith("pad")], partition_id="train")

    def test_bypass_mode_cuts_at_surprisal_from_the_rollout(self, mode, rollouts, parts):
        surprisal = [torch.rand(80, generator=torch.Generator().manual_seed(i)) for i in range(4)]
        batch, mode.actor_rollout_wg, ids = rollouts(rollout_log_probs=[-row for row in surprisal])
        mode.config.algorithm.rollout_correction.bypass_mode = True
        batch, _ = step(mode, batch)
        signal = [row[: len(response)] for row, response in zip(surprisal, ids, strict=True)]
        for found, wanted in zip(read(batch, "advantages"), expected(parts, mode.tokenizer, ids, signal), strict=True):
            assert found == pytest.approx(wanted, abs=1e-4)

    def test_surprisal_is_read_from_the_rollouts_log_probs_where_it_keeps_them(self, mode):
        mode.config.algorithm.prpo.segmenter = "surprisal"
        assert mode._signal() == "rollout_log_probs"
        mode.config.actor_rollout_ref.rollout.calculate_log_probs = False
        assert mode._signal() == "old_log_probs"

    @pytest.mark.parametrize("segmenter", ["uniform", "random", "single", "text"])
    def test_bypass_mode_leaves_segmenters_that_need_no_signal(self, mode, segmenter):
        mode.config.algorithm.rollout_correction.bypass_mode = True
        mode.config.algorithm.prpo.segmenter = segmenter
        assert mode._signal() is None

    def test_rejected_tokens_have_no_advantage_and_the_rest_keep_theirs(self, mode, rollouts, parts):
        batch, mode.actor_rollout_wg, ids = rollouts()
        entropy = [mode.actor_rollout_wg.entropy[key] for key in batch.keys]
        far = [-row.clone() for row in entropy]
        far[0][0] -= 5
        far[1][:] -= 5
        batch, mode.actor_rollout_wg, ids = rollouts(rollout_log_probs=far)
        correction = mode.config.algorithm.rollout_correction
        correction.rollout_rs, correction.rollout_rs_threshold = "token_k1", "0.5_2.0"
        batch, metrics = step(mode, batch)
        wanted = expected(parts, mode.tokenizer, ids, entropy)
        wanted[0][0] = 0.0
        wanted[1] = [0.0] * len(wanted[1])
        for found, row in zip(read(batch, "advantages"), wanted, strict=True):
            assert found == pytest.approx(row, abs=1e-4)
        assert metrics["prpo/segments/min"] >= 1  # as the PRM was asked

    def test_kl_in_reward_is_part_of_the_reported_outcome(self, mode, rollouts):
        reference = [torch.full((80,), -3.0)] * 4
        batch, mode.actor_rollout_wg, _ = rollouts(ref_log_prob=reference)
        mode.config.algorithm.use_kl_in_reward = True
        mode.kl_ctrl_in_reward = FixedKLController(0.1)
        batch, metrics = step(mode, batch)
        outcome = [sum(row) for row in read(batch, "token_level_rewards")]
        assert outcome != pytest.approx(OUTCOMES)
        tokens = [len(row) for row in read(batch, "token_level_rewards")]
        means = [np.mean(outcome[:2])] * 2 + [np.mean(outcome[2:])] * 2
        betas = np.repeat(np.array(outcome) - means, tokens)
        assert metrics["prpo/outcome_advantage/mean"] == pytest.approx(betas.mean(), abs=1e-5)
        assert metrics["prpo/outcome_advantage/std"] == pytest.approx(betas.std(), abs=1e-5)


class TestFailures:
    UNREADABLE = "an unreadable text"
    LONG = "We add the numbers and divide. " * 40

    def test_outcome_only_says_who_failed_and_why(self, mode, rollouts, capsys):
        mode._prm.on_error = "outcome_only"
        batch, mode.actor_rollout_wg, _ = rollouts(texts=[*TEXTS[:3], self.UNREADABLE])
        batch, metrics = step(mode, batch)
        assert (metrics["prpo/prm/failed"], metrics["prpo/prm/bad_input"]) == (1, 1)
        assert set(read(batch, "advantages")[3]) == {0.0}  # beta alone, in a group that agrees
        (said,) = [line for line in capsys.readouterr().out.splitlines() if "no process scores" in line]
        assert "step 1: 1 of 4 responses" in said and "b_1_0: bad_input: " in said

    def test_outcome_only_puts_up_with_a_share_of_failures_and_no_more(self, mode, rollouts):
        mode._prm.on_error, mode._prm.max_failed_fraction = "outcome_only", 0.2
        batch, mode.actor_rollout_wg, _ = rollouts(texts=[*TEXTS[:3], self.UNREADABLE])
        with pytest.raises(PrmError, match=r"1 of 4 responses.*max_failed_fraction=0\.2.*b_1_0: bad_input"):
            step(mode, batch)

    def test_raise_stops_the_step_with_the_row(self, mode, rollouts):
        batch, mode.actor_rollout_wg, _ = rollouts(texts=[*TEXTS[:3], self.UNREADABLE])
        with pytest.raises(PrmError, match=r"response b_1_0: bad_input.*reward\.prm\.on_error=outcome_only"):
            step(mode, batch)

    def test_segments_past_the_context_get_z_0_and_are_counted(self, mode, rollouts, capsys):
        batch, mode.actor_rollout_wg, _ = rollouts(texts=[*TEXTS[:3], self.LONG])
        entropy = mode.actor_rollout_wg.entropy["b_1_0"]
        entropy[20], entropy[-4] = 2.0, 3.0  # where it is cut; only the first segment fits into 256 tokens
        batch, metrics = step(mode, batch)
        counted = {name: metrics[f"prpo/prm/{name}"] for name in ("requests", "failed", "overlong", "unread")}
        assert counted == {"requests": 4, "failed": 0, "overlong": 1, "unread": 2}
        advantages = read(batch, "advantages")[3]
        assert advantages[0] != 0 and set(advantages[-4:]) == {0.0}  # beta is 0 in a group that agrees
        said = capsys.readouterr().out
        assert said.count("2 segments of 1 responses lie past the PRM's context") == 1
        assert "Set ++reward.prm.overlong=windows to have the PRM read long responses in windows" in said

    def test_the_prm_gives_up_in_time_and_the_step_with_it(self, mode):
        """Every wait of the step has a bound of `reward.prm.timeout`."""
        pending = PendingScores(mode_rows(), torch.ones(1, 1).bool(), [[0]], [never.remote()], time.monotonic())
        began = time.monotonic()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(process_pass, "COLLECT_GRACE", 0.5)
            with pytest.raises(PrmError, match=r"within 1 s.*reward\.prm\.timeout"):
                process_pass.collect(pending, 1.0)
        assert time.monotonic() - began < 30

    def test_each_output_of_a_session_is_scored_alone_and_its_session_counts_once(self, mode, rollouts, parts):
        names, uids = ["a_0_0", "a_0_1", "a_1_0", "b_0_0"], ["a", "a", "a", "b"]
        batch, mode.actor_rollout_wg, ids = rollouts(outcomes=[1.0, 1.0, -1.0, 1.0], uids=uids, names=names)
        entropy = [mode.actor_rollout_wg.entropy[key] for key in names]
        batch, metrics = step(mode, batch)
        later = [{"role": "user", "content": mode.tokenizer.decode(range(PROMPT_LENGTH))}]
        for row, (beta, messages) in enumerate(
            zip([1.0, 1.0, -1.0, 0.0], [QUESTION, later, QUESTION, QUESTION], strict=True)
        ):
            starts = entropy_segments(entropy[row][None], torch.ones(1, len(ids[row])), 2, 3)[0]
            bounds = segment_bounds(starts, len(ids[row]))
            texts = segment_texts(mode.tokenizer, ids[row], bounds)
            (result,) = parts.engine().score([PrmRequest(messages, texts)])
            z = [(result.scores[k] - 0.5) * math.sqrt(12) for k, (a, b) in enumerate(bounds) for _ in range(a, b)]
            assert read(batch, "advantages")[row] == pytest.approx([value + beta for value in z], abs=1e-4)
        assert metrics["prpo/prm/requests"] == 4

    TURN = "I ask. <|im_end|>\n<|im_start|>tool\n12<|im_end|>\n<|im_start|>assistant\nSo the answer is 12."

    def test_a_mask_that_claims_a_tools_turn_fails_its_response_and_is_counted(self, mode, rollouts):
        batch, mode.actor_rollout_wg, _ = rollouts(texts=[*TEXTS[:3], self.TURN])
        mode._prm.on_error = "outcome_only"
        batch, metrics = step(mode, batch)
        assert metrics["prpo/prm/bad_mask"] == metrics["prpo/prm/failed"] == 1
        assert set(read(batch, "advantages")[3]) == {0.0}  # beta of a group that agrees
        mode._prm.on_error = "raise"
        mode._passes = {}
        with pytest.raises(PrmError, match=r"response b_1_0: bad_mask: response_mask is 1 on.*default_agent_loop"):
            step(mode, batch)

    def test_turns_are_cut_shown_counted_and_dumped(self, mode, rollouts, parts):
        tokenizer = mode.tokenizer
        ids = [*tokenizer.encode(self.TURN, add_special_tokens=False), tokenizer.eos_token_id]
        text = self.TURN.index("So the")
        own = tokenizer(self.TURN, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
        mask = torch.tensor([int(not 7 <= begin < text) for begin, _ in own] + [1])
        mask[ids.index(tokenizer.eos_token_id)] = 1  # the policy ended its turn itself
        masks = [*(torch.ones(200, dtype=torch.long) for _ in range(3)), mask]
        mode._prpo.segmenter = "turns"
        mode.config.algorithm.prpo.segmenter = "turns"
        batch, mode.actor_rollout_wg, _ = rollouts(texts=[*TEXTS[:3], self.TURN], response_mask=masks)
        batch, metrics = step(mode, batch)
        heard = [Heard(1, 0, "tool", "12")]
        (wanted,) = parts.engine().score([PrmRequest(QUESTION, ["I ask. ", "So the answer is 12."], heard=heard)])
        z = [(score - 0.5) * math.sqrt(12) for score in wanted.scores]
        advantages = read(batch, "advantages")[3]
        begin = len(mask) - int(mask.flip(0).cumprod(0).sum())
        assert advantages == pytest.approx(
            [0.0 if not mine else z[token >= begin] for token, mine in enumerate(mask.tolist())], abs=1e-4
        )
        assert metrics["prpo/segments/turns/max"] == metrics["prpo/segments/max"] == 2
        assert metrics["prpo/segments/turns/mean"] == metrics["prpo/segments/mean"] == 1.25
        dumped = {one.key: one for one in TestDump().dumped(mode, batch)[0]}["b_1_0"]
        assert [(one.end, one.messages) for one in dumped.interludes] == [(begin, [("tool", "12")])]
        assert [segment.begin for segment in dumped.segments] == [0, begin] and len(dumped.turns) == 2

    def test_a_mask_of_another_length_stops_the_step_whatever_becomes_of_failures(self, mode, rollouts):
        masks = [torch.ones(200, dtype=torch.long)] * 3 + [torch.ones(3, dtype=torch.long)]
        batch, _, _ = rollouts(response_mask=masks)
        with pytest.raises(BadMask, match=r"response b_1_0: response_mask has 3 entries.*default_agent_loop"):
            fetch_rollouts(batch, mode._limit)

    def test_scores_of_another_batch_are_never_used(self, mode, rollouts):
        batch, mode.actor_rollout_wg, _ = rollouts()
        batch = mode._compute_old_log_prob(batch, {})
        other = KVBatchMeta(keys=["a_0_0", "a_1_0", "b_0_0", "b_7_0"], tags=batch.tags, partition_id="train")
        with pytest.raises(PrmError, match="not one whose process scores were asked for"):
            mode._compute_advantage(other, {})


class TestRetry:
    """A trainer that does a batch again asks the PRM nothing again."""

    def test_the_same_batch_in_another_order_keeps_segments_and_scores(self, mode, rollouts, parts):
        batch, mode.actor_rollout_wg, _ = rollouts()
        first, metrics = step(mode, batch)
        wanted = dict(zip(first.keys, read(first, "advantages"), strict=True))
        parts.forget()
        again, once_more = step(mode, first)
        assert read(again, "advantages") == list(wanted.values())
        assert {name: value for name, value in once_more.items() if "prpo" in name} == {
            name: value for name, value in metrics.items() if "prpo" in name
        }
        padded = upsample_batch_to_divisible_size(again, 5, mode.tokenizer.eos_token_id)
        padded.reorder([4, 2, 0, 3, 1])
        padded, _ = step(mode, padded)
        for key, found in zip(padded.keys, read(padded, "advantages"), strict=True):
            assert found == pytest.approx(wanted.get(key, [0.0]), abs=1e-6)
        assert parts.asked() == []
        tq.kv_clear(keys=[key for key in padded.keys if key.startswith("pad")], partition_id="train")

    def test_a_retry_after_a_failed_advantage_asks_nothing_again(self, mode, rollouts, parts):
        batch, mode.actor_rollout_wg, _ = rollouts(texts=[*TEXTS[:3], TestFailures.UNREADABLE])
        batch = mode._compute_old_log_prob(batch, {})
        for _ in range(2):
            with pytest.raises(PrmError, match="b_1_0: bad_input"):
                mode._compute_advantage(batch, {})
        assert len(parts.asked()) >= 4
        parts.forget()
        mode._prm.on_error = "outcome_only"
        batch, metrics = step(mode, batch)
        assert metrics["prpo/prm/failed"] == 1 and parts.asked() == []

    def test_the_updates_of_one_step_are_kept_and_no_more(self, mode, rollouts, parts):
        updates = [rollouts(uids=[f"{name}{uid}" for uid in UIDS]) for name in ("x", "y")]
        for batch, mode.actor_rollout_wg, _ in updates:
            step(mode, batch)
        assert len(mode._passes) == 2
        parts.forget()
        batch, mode.actor_rollout_wg, _ = updates[0]
        step(mode, batch)
        assert parts.asked() == []
        mode.global_steps += 1
        try:
            batch, mode.actor_rollout_wg, _ = rollouts()
            step(mode, batch)
            assert len(mode._passes) == 1
        finally:
            mode.global_steps -= 1

    def test_counts_of_the_updates_of_one_step_add_up(self, mode, rollouts, monkeypatch):
        texts = [*TEXTS[:3], TestFailures.UNREADABLE]
        mode._prm.on_error = "outcome_only"
        updates = [rollouts(uids=[f"p{uid}" for uid in UIDS]), rollouts(texts, uids=[f"q{uid}" for uid in UIDS])]

        def update(metrics, timing_raw, sample_batch_size):
            batch, mode.actor_rollout_wg, _ = updates.pop()
            batch = mode._compute_old_log_prob(batch, metrics)
            return mode._compute_advantage(batch, metrics)

        monkeypatch.setattr(mode, "parameter_sync_step", 2)
        monkeypatch.setattr(mode, "prepare_step", dict)
        monkeypatch.setattr(mode, "_step_once", update)
        metrics: dict = {}
        mode.step(metrics, {})
        counts = ("requests", "failed", "bad_input", "empty", "timeout")
        assert [metrics[f"prpo/prm/{name}"] for name in counts] == [8, 1, 1, 0, 0]
        assert 0 <= metrics["prpo/prm/cache_hit"] <= 1


class TestStreamed:
    """Scores that came with the responses, as `verl_prpo.trainer.agent_loop` puts them into the TransferQueue."""

    @pytest.fixture
    def streaming(self, mode):
        mode._streams = True
        mode._prpo.segmenter, mode._prpo.num_segments = "uniform", 3
        mode.config.algorithm.prpo.segmenter = "uniform"
        return mode

    def brought(self, trainer, texts, keys) -> list[dict]:
        """What the reward manager makes of these responses."""
        config = copy.deepcopy(trainer.config)
        with open_dict(config.algorithm.prpo):
            config.algorithm.prpo.num_segments = 3
        manager = PrmRewardManager(config, trainer.tokenizer)
        ids = [[*trainer.tokenizer.encode(t, add_special_tokens=False), trainer.tokenizer.eos_token_id] for t in texts]
        loop = get_event_loop()
        done = [
            loop.run_until_complete(manager._scores(ToScore(key, QUESTION, row, response_mask=[1] * len(row))))
            for key, row in zip(keys, ids, strict=True)
        ]
        return [{"reward_extra_info": {}, SCORES: streamed.as_dict()} for streamed in done]

    KEYS = ("a_0_0", "a_1_0", "b_0_0", "b_1_0")

    def test_advantages_are_those_of_the_batch_schedule_and_nobody_is_asked_again(self, streaming, rollouts, parts):
        extra = self.brought(streaming, TEXTS, self.KEYS)
        parts.forget()
        batch, streaming.actor_rollout_wg, _ = rollouts(extra_fields=extra)
        batch = upsample_batch_to_divisible_size(batch, 5, streaming.tokenizer.eos_token_id)
        batch, metrics = step(streaming, batch)
        assert parts.asked() == []
        streamed = dict(zip(batch.keys, read(batch, "advantages"), strict=True))
        assert metrics["prpo/prm/not_streamed"] == 0 and metrics["prpo/prm/requests"] == 4
        assert metrics["timing_s/prm_busy"] > 0 and metrics["timing_s/prm_wait"] >= 0
        tq.kv_clear(keys=batch.keys[4:], partition_id="train")
        streaming._streams, streaming._passes = False, {}
        batch, streaming.actor_rollout_wg, _ = rollouts()
        batch, metrics = step(streaming, batch)
        assert "prpo/prm/not_streamed" not in metrics
        for key, found in zip(batch.keys, read(batch, "advantages"), strict=True):
            assert found == pytest.approx(streamed[key], abs=1e-5)

    def test_rows_that_lack_scores_are_scored_now_counted_and_told(self, streaming, rollouts, parts, capsys):
        extra = self.brought(streaming, TEXTS, self.KEYS)
        del extra[1][SCORES]  # as a resumed queue may hold
        extra[2][SCORES]["fingerprint"] = "other settings"
        parts.forget()
        batch, streaming.actor_rollout_wg, _ = rollouts(extra_fields=extra)
        batch, metrics = step(streaming, batch)
        assert sorted(parts.asked()) == sorted(TEXTS[1:3])
        assert (metrics["prpo/prm/not_streamed"], metrics["prpo/prm/requests"]) == (2, 4)
        assert "2 of 4 responses, the first a_1_0, brought no process scores" in capsys.readouterr().out

    def test_a_failure_in_a_worker_stops_the_step_here(self, streaming, rollouts):
        extra = self.brought(streaming, [*TEXTS[:3], TestFailures.UNREADABLE], self.KEYS)
        batch, streaming.actor_rollout_wg, _ = rollouts(texts=[*TEXTS[:3], TestFailures.UNREADABLE], extra_fields=extra)
        with pytest.raises(PrmError, match=r"response b_1_0: bad_input.*reward\.prm\.on_error=outcome_only"):
            step(streaming, batch)


@ray.remote(num_cpus=0)
def never():
    time.sleep(60)


def mode_rows() -> Rollouts:
    return Rollouts(["a_0_0"], [0], 1, [QUESTION], [[1]], torch.ones(1, 1).long(), None, [False])


class TestDump:
    def dumped(self, trainer, batch: KVBatchMeta) -> tuple[list[Rollout], int]:
        """verl's own dump of the step, read back, and the rows without a record."""
        folder = trainer.config.trainer.rollout_data_dir
        trainer._log_rollout_data(batch, {}, folder)
        trainer._shutdown_dump_executor()
        trainer._init_dump_executor()
        found = read_rollouts(Path(folder), [trainer.global_steps])
        return list(found), found.skipped

    def test_each_response_has_a_record_and_padding_has_none(self, mode, rollouts):
        extra = [{"reward_extra_info": {"acc": outcome}} for outcome in OUTCOMES]
        batch, mode.actor_rollout_wg, ids = rollouts(extra_fields=extra)
        entropy = mode.actor_rollout_wg.entropy
        batch = upsample_batch_to_divisible_size(batch, 5, mode.tokenizer.eos_token_id)
        batch, _ = step(mode, batch)
        advantages = read(batch, "advantages")
        found, skipped = self.dumped(mode, batch)
        assert skipped == 1 and [rollout.key for rollout in found] == batch.keys[:4]
        for rollout, response, text, given in zip(found, ids, TEXTS, advantages, strict=False):
            assert rollout.response == text == "".join(segment.text for segment in rollout.segments)
            assert torch.equal(torch.tensor(rollout.advantages), torch.tensor(given))
            assert torch.equal(torch.tensor(rollout.entropy), entropy[rollout.key])
            assert rollout.surprisal == rollout.entropy  # as `Engines` makes log-probs
            assert len(rollout.token_offsets) == len(response)
            assert rollout.outcome_reward == OUTCOMES[batch.keys.index(rollout.key)] == rollout.verifier_score
            assert rollout.outcome_parts == {"acc": rollout.outcome_reward}
            assert rollout.ground_truth == "42" and rollout.messages == QUESTION and rollout.prm_latency > 0
            assert rollout.thoughts == []  # the prompts say that none is opened
        assert mode._reports == {} and mode._records == {}
        tq.kv_clear(keys=batch.keys[4:], partition_id="train")

    def test_validation_rows_have_none_even_while_records_wait(self, mode, rollouts):
        batch, mode.actor_rollout_wg, _ = rollouts()
        batch, _ = step(mode, batch)
        folder = f"{mode.config.trainer.rollout_data_dir}/val"
        mode._dump_generations(["q"], ["a"], ["42"], [1.0], {"uid": ["val_0_0"], "reward": [1.0]}, folder)
        assert len(self.dumped(mode, batch)[0]) == 4
        (validation,) = [json.loads(line) for line in open(f"{folder}/1.jsonl")]
        assert "prpo" not in validation

    @pytest.mark.parametrize(("limit", "recorded"), [(0, 0), (3, 2), (4, 4), (None, 4)])
    def test_as_many_records_as_are_wanted_in_whole_groups(self, mode, rollouts, limit, recorded):
        batch, mode.actor_rollout_wg, _ = rollouts()
        mode._prpo.dump_responses = limit
        batch, _ = step(mode, batch)
        found, skipped = self.dumped(mode, batch)
        assert (len(found), skipped) == (recorded, 4 - recorded)
        assert len({rollout.uid for rollout in found}) == recorded // 2

    def test_both_updates_of_a_step_are_in_its_dump(self, mode, rollouts):
        updates = [rollouts(uids=[f"{name}{uid}" for uid in UIDS]) for name in ("r", "s")]
        keys, tags = [], []
        for batch, mode.actor_rollout_wg, _ in updates:
            batch, _ = step(mode, batch)
            keys, tags = keys + batch.keys, tags + batch.tags
        found, _ = self.dumped(mode, KVBatchMeta(partition_id="train", keys=keys, tags=tags))
        assert sorted(rollout.key for rollout in found) == sorted(keys)

    def test_a_credit_without_a_prm_has_records_without_scores(self, mode, parts, rollouts):
        outcome = aware()(parts.config("+algorithm.prpo.credit=outcome", "+algorithm.prpo.outcome_norm=mean_std"))
        outcome._init_dump_executor()
        outcome.config.trainer.rollout_data_dir = f"{mode.config.trainer.rollout_data_dir}/outcome"
        outcome.tokenizer, outcome.global_steps = mode.tokenizer, 1
        batch, outcome.actor_rollout_wg, _ = rollouts()
        batch, metrics = step(outcome, batch)
        assert metrics["prpo/group/all_equal"] == 0.5 and metrics["prpo/sign_flip"] == 0
        assert not [name for name in metrics if name.startswith(("prpo/prm", "prpo/segments", "prpo/process"))]
        found, _ = self.dumped(outcome, batch)
        for rollout, text in zip(found, TEXTS, strict=True):
            assert [(s.begin, s.end, s.text, s.score) for s in rollout.segments] == [
                (0, len(rollout.token_offsets), text, None)
            ]
            assert set(rollout.advantages) == {rollout.grpo_advantage} and set(rollout.process_advantage) == {0.0}
            assert rollout.entropy is not None


class TestOneLife:
    def test_a_response_goes_from_the_rollout_to_the_actor_and_to_the_page(self, mode, rollouts, parts, tmp_path):
        """The tokens that verl's queue holds, the text that the PRM was asked about, the advantage that the actor gets,
        the record in verl's dump and the data of the page are those of one response."""
        row = 1
        parts.forget()
        batch, mode.actor_rollout_wg, ids = rollouts()
        entropy = mode.actor_rollout_wg.entropy[batch.keys[row]]
        signals = [mode.actor_rollout_wg.entropy[key] for key in batch.keys]
        batch, _ = step(mode, upsample_batch_to_divisible_size(batch, 5, mode.tokenizer.eos_token_id))
        key, actor = batch.keys[row], read(batch, "advantages")[row]
        assert TEXTS[row] in parts.asked()
        assert actor == pytest.approx(expected(parts, mode.tokenizer, ids, signals)[row], abs=1e-4)

        folder = Path(mode.config.trainer.rollout_data_dir)
        mode._log_rollout_data(batch, {}, str(folder))
        mode._shutdown_dump_executor()
        mode._init_dump_executor()
        (record,) = [found for found in read_rollouts(folder, [mode.global_steps]) if found.key == key]
        assert record.response == TEXTS[row] and torch.equal(torch.tensor(record.advantages), torch.tensor(actor))
        assert torch.equal(torch.tensor(record.entropy), entropy)

        assert main(["report", str(folder), "--steps", str(mode.global_steps), "-o", str(tmp_path / "page.html")]) == 0
        packed = re.search(r'id="data">([^<]+)<', (tmp_path / "page.html").read_text())
        payload = json.loads(gzip.decompress(base64.b64decode(packed[1])))
        (shown,) = [found for found in payload["responses"] if found["text"] == TEXTS[row]]
        drawn = [value for run in shown["A"] for value in ([run[0]] * run[1] if isinstance(run, list) else [run])]
        assert drawn == pytest.approx(actor, abs=1e-3)
        assert [segment[:2] for segment in shown["segments"]] == [[s.begin, s.end] for s in record.segments]
        tq.kv_clear(keys=batch.keys[4:], partition_id="train")


class TestAlarms:
    def test_they_are_told_on_the_console_and_counted_in_verls_metrics(self, mode, monkeypatch, capsys):
        monkeypatch.setattr(PPOTrainerSync, "_compute_metrics", lambda self, batch, metrics, *_, **__: None)
        monkeypatch.setattr(mode, "_alarms", Alarms(PrpoConfig(alarm_window=8)))
        counted = []
        for _ in range(8):
            metrics = {"prpo/group/all_equal": 1.0}
            mode._compute_metrics(None, metrics, {}, global_steps=1, epoch=0)
            counted.append(metrics["prpo/alarms"])
        assert counted == [0] * 7 + [1]
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "ALARM" in line]
        assert line.startswith("[verl-prpo] ALARM all_equal_groups, steps 1 to 1: in 100% of the groups")

    def test_a_window_of_0_and_other_estimators_have_none(self, parts):
        assert aware()(parts.config("+algorithm.prpo.alarm_window=0"))._alarms is None
        assert aware()(parts.config("algorithm.adv_estimator=grpo"))._alarms is None
        assert aware()(parts.config())._alarms is not None


class TestOtherEstimators:
    def test_grpo_is_verls_own_down_to_the_configuration(self, parts, mode, rollouts):
        config = parts.config("algorithm.adv_estimator=grpo")
        before = copy.deepcopy(config)
        ours, verls = aware()(config), WithoutEngines(copy.deepcopy(config))
        assert config == before  # nothing wired
        found = []
        ours.tokenizer, ours.global_steps = mode.tokenizer, 1
        for trainer in (ours, verls):
            batch, trainer.actor_rollout_wg, _ = rollouts()
            batch, metrics = step(trainer, batch)
            found.append((read(batch, "advantages"), metrics))
        assert found[0] == found[1]
        assert not [name for name in found[0][1] if "prpo" in name or "prm" in name]

    def test_credit_outcome_is_grpo_and_starts_no_prm(self, parts, mode, rollouts):
        config = parts.config("+algorithm.prpo.credit=outcome", "+algorithm.prpo.outcome_norm=mean_std")
        before = copy.deepcopy(config.reward)
        ours = aware()(config)
        assert config.reward == before and not ours._asks_prm()
        verls = WithoutEngines(parts.config("algorithm.adv_estimator=grpo"))
        parts.forget()
        found = []
        ours.tokenizer, ours.global_steps = mode.tokenizer, 1
        for trainer in (ours, verls):
            batch, trainer.actor_rollout_wg, _ = rollouts()
            batch, _ = step(trainer, batch)
            found.append(torch.tensor([value for row in read(batch, "advantages") for value in row]))
        torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=0)
        assert parts.asked() == []

    def test_a_mistyped_key_stops_before_anything_starts(self, parts):
        with pytest.raises(ConfigError, match=r"algorithm\.prpo\.max_anchor is not a setting"):
            aware()(parts.config("+algorithm.prpo.max_anchor=3"))


class TestOutcomes:
    """What decides which responses are right, and what penalties do."""

    PENALISED = (-1.0, -1.2, -1.4, -1.0)  # four wrong answers of different length
    SAID = tuple({"reward_extra_info": {"acc": 0.0}} for _ in PENALISED)

    def test_wrong_answers_that_a_length_penalty_spreads_are_skipped_as_one_group(self, mode, rollouts):
        mode._prpo.skip_all_equal_groups = True
        with open_dict(mode.config):
            mode.config.algorithm.prpo.skip_all_equal_groups = True
        batch, mode.actor_rollout_wg, _ = rollouts(outcomes=self.PENALISED, uids=["a"] * 4, extra_fields=self.SAID)
        batch, metrics = step(mode, batch)
        assert metrics["prpo/group/all_equal"] == 1.0
        assert not any(value for row in read(batch, "advantages") for value in row)

    def test_without_skipping_they_are_trained_as_ever(self, mode, rollouts):
        batch, mode.actor_rollout_wg, _ = rollouts(outcomes=self.PENALISED, uids=["a"] * 4, extra_fields=self.SAID)
        batch, metrics = step(mode, batch)
        assert metrics["prpo/group/all_equal"] == 1.0 and metrics["prpo/verdict/right"] == 0.0
        assert all(value for row in read(batch, "advantages") for value in row)

    @pytest.mark.parametrize("weight", [1.0, 2.0, 0.5])
    def test_a_kl_penalty_counts_as_configured_whatever_weighs_the_outcome(self, mode, rollouts, weight):
        coefficient = 0.3
        mode._prpo.outcome_weight = weight
        with open_dict(mode.config):
            mode.config.algorithm.use_kl_in_reward = True
            mode.config.algorithm.prpo.outcome_weight = weight
        mode.kl_ctrl_in_reward = FixedKLController(kl_coef=coefficient)
        lengths = [len(mode.tokenizer.encode(text, add_special_tokens=False)) + 1 for text in TEXTS]
        drift = [0.0, 0.1, 0.0, 0.2]  # of the log-prob of every token from the reference's
        batch, mode.actor_rollout_wg, _ = rollouts()
        metrics: dict = {}
        batch = mode._compute_old_log_prob(batch, metrics)
        old = read(batch, "old_log_probs")
        reference = [torch.tensor([x - d for x in row]) for row, d in zip(old, drift, strict=True)]
        nested = torch.nested.as_nested_tensor(reference, layout=torch.jagged)
        fields = TensorDict({"ref_log_prob": nested}, batch_size=len(reference))
        batch = tq.kv_batch_put(keys=batch.keys, partition_id="train", fields=fields)
        batch = mode._compute_advantage(batch, metrics)
        reward = [
            weight * outcome - coefficient * d * length
            for outcome, d, length in zip(OUTCOMES, drift, lengths, strict=True)
        ]
        centred = [reward[i] - (reward[i // 2 * 2] + reward[i // 2 * 2 + 1]) / 2 for i in range(4)]
        (report, _), *_ = mode._reports.values()
        assert report.outcome_advantage[:, 0].tolist() == pytest.approx(centred, abs=1e-4)

    def test_the_first_step_says_what_decides_and_says_it_once(self, mode, rollouts, capsys):
        for _ in range(2):
            batch, mode.actor_rollout_wg, _ = rollouts()
            step(mode, batch)
            mode._passes = {}
        said = capsys.readouterr().out
        assert said.count("a response is right where the reward is 1 (values seen: -1, 1)") == 1

    def test_a_graded_reward_says_that_nothing_decides(self, mode, rollouts, capsys):
        batch, mode.actor_rollout_wg, _ = rollouts(outcomes=[0.1, 0.2, 0.3, 0.4])
        _, metrics = step(mode, batch)
        assert "which responses are right is unknown: the reward has three values or more" in capsys.readouterr().out
        assert metrics["prpo/verdict/known"] == 0.0


class TestTruncated:
    """Responses that were cut off at `data.max_response_length`, which here do not end with EOS."""

    @pytest.fixture
    def cut(self, mode):
        """Makes the limit that of the first response without its EOS."""
        length = len(mode.tokenizer.encode(TEXTS[0], add_special_tokens=False)) + 1
        mode._limit = LengthLimit(length, None, frozenset([-1]))
        yield mode
        del mode._limit

    def test_the_unfinished_last_segment_is_not_judged(self, parts, cut, rollouts):
        parts.forget()
        batch, cut.actor_rollout_wg, ids = rollouts()
        _, metrics = step(cut, batch)
        (report, row) = cut._reports["a_0_0"]
        result = report.scored.scores[row]
        assert result.scores[-1] is None and all(score is not None for score in result.scores[:-1])
        assert "".join(result.texts[:-1]) in parts.asked() and TEXTS[0] not in parts.asked()
        last = segment_bounds(report.scored.segment_starts[row], len(ids[0]))[-1]
        assert not report.process_advantage[row, last[0] : last[1]].any()
        assert (metrics["prpo/truncated"], metrics["prpo/prm/unfinished"], metrics["prpo/prm/unread"]) == (0.25, 1, 0)

    def test_they_get_advantage_0_where_that_is_asked_for_and_count_in_their_group(self, cut, rollouts):
        cut._prpo.skip_truncated_responses = True
        with open_dict(cut.config):
            cut.config.algorithm.prpo.skip_truncated_responses = True
        batch, cut.actor_rollout_wg, _ = rollouts()
        batch, _ = step(cut, batch)
        first, second, *_ = read(batch, "advantages")
        assert not any(first) and all(second)
        (report, row) = cut._reports["a_1_0"]
        assert report.outcome_advantage[row, 0].item() == pytest.approx(-1.0)


class TestRequireGpus:
    """On a local Ray with one logical GPU."""

    def config(self, parts, *overrides, **settings):
        base = ("trainer.nnodes=1", "trainer.n_gpus_per_node=1", "trainer.device=cuda")
        return parts.config(*base, *overrides, **settings)

    def test_no_room_is_told_at_once_with_the_counts_and_the_keys(self, cluster, parts):
        began = time.monotonic()
        with pytest.raises(PrmError) as caught:
            require_gpus(self.config(parts, num_replicas=2, num_gpus_per_replica=0.5))
        assert time.monotonic() - began < 20
        message = str(caught.value)
        assert "Ray has 1 GPU (1 node of 1), of which the trainer takes 1" in message
        assert "asks for 1 more (2 x 0.5)" in message
        assert "trainer.n_gpus_per_node" in message

    def test_the_gpus_of_a_standalone_rollout_are_counted(self, cluster, parts):
        overrides = (
            "trainer.n_gpus_per_node=0",
            "trainer.v1.trainer_mode=separate_async",
            "actor_rollout_ref.rollout.nnodes=1",
            "actor_rollout_ref.rollout.n_gpus_per_node=1",
        )
        with pytest.raises(PrmError, match="standalone rollout takes 1"):
            require_gpus(self.config(parts, *overrides))

    def test_what_fits_passes(self, cluster, parts):
        require_gpus(self.config(parts, "trainer.n_gpus_per_node=0"))
        require_gpus(self.config(parts, num_gpus_per_replica=0))
        require_gpus(self.config(parts, "trainer.device=cpu", num_replicas=8))
