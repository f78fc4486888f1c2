# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The reward model that verl itself launches gives the process scores, while the outcome stays verl's own."""

import statistics
from pathlib import Path

import pandas as pd
import pytest
import tiny_models
from dump_checks import check_dump, in_process, same_scores
from transformers import AutoTokenizer

pytestmark = pytest.mark.e2e

VERL_SCORES_A_WRONG_ANSWER = -1.0
"""What `verl.utils.reward_score.default_compute_score` gives for the data source math_dapo."""


@pytest.fixture
def own_outcome(assets, tmp_path: Path) -> list[str]:
    """Prompts of a data source that verl itself scores, and no reward function of the user's."""
    rows = pd.read_parquet(assets.train)
    rows["data_source"] = "math_dapo"
    rows.to_parquet(tmp_path / "train.parquet")
    return [
        f"data.train_files={tmp_path / 'train.parquet'}",
        "reward.custom_reward_function.path=null",
        "reward.custom_reward_function.name=compute_score",
    ]


def launched_by_verl(prm: Path) -> list[str]:
    """The overrides that make a PRM the reward model that verl launches."""
    rollout = "reward.reward_model.rollout"
    separator = AutoTokenizer.from_pretrained(prm).convert_tokens_to_ids(tiny_models.SEPARATOR)
    return [
        "+reward.prm.engine=reward_model",
        "reward.prm.model_path=null",
        "reward.prm.custom_family.path=null",
        "reward.prm.custom_family.name=null",
        "reward.reward_model.enable=True",
        f"reward.reward_model.model_path={prm}",
        f"{rollout}.name=vllm",
        f"{rollout}.dtype=float32",
        f"{rollout}.tensor_model_parallel_size=1",
        f"+{rollout}.engine_kwargs.vllm.distributed_executor_backend=uni",
        # Qwen2.5-Math-PRM's own separator is vLLM's default; a tiny vocabulary has it elsewhere.
        f"+{rollout}.engine_kwargs.vllm.pooler_config={{tok_pooling_type:STEP,step_tag_id:{separator}}}",
    ]


OWN_SLOT = [
    "trainer.v1.trainer_mode=colocate_async",
    "algorithm.rollout_correction.bypass_mode=True",
    "reward.reward_model.enable_resource_pool=True",
    "reward.reward_model.nnodes=1",
    "reward.reward_model.n_gpus_per_node=1",
    "ray_kwargs.ray_init.num_gpus=2",
]
ADAPTERS = [
    "actor_rollout_ref.model.lora_rank=8",
    "actor_rollout_ref.model.lora_alpha=8",
    "actor_rollout_ref.model.target_modules=all-linear",
    "actor_rollout_ref.rollout.load_format=safetensors",
    "actor_rollout_ref.actor.use_kl_loss=True",
]
TRAINERS_SLOT = [
    *ADAPTERS,
    "reward.reward_model.enable_resource_pool=False",
    # vLLM's sleep mode needs an accelerator: here the server is woken and put to sleep, but frees nothing.
    "reward.reward_model.rollout.free_cache_engine=False",
    "+reward.reward_model.rollout.enable_sleep_mode=False",
]


@pytest.mark.parametrize(
    ("place", "signal"),
    [(OWN_SLOT, "surprisal"), (TRAINERS_SLOT, "entropy")],
    ids=["standalone", "colocated"],
)
def test_its_scores_are_those_of_the_prm_in_process_and_the_outcome_is_verls_own(
    main_ppo, assets, served_prm, own_outcome, place, signal
):
    """On GPUs of its own in colocate_async mode, where responses are cut by the rollout's log-probabilities; on the
    trainer's in sync mode, where the policy has adapters and the reference policy is itself without them."""
    run = main_ppo(
        "prpo_laptop",
        *assets.overrides(),
        *own_outcome,
        *launched_by_verl(served_prm),
        *place,
        "data.train_batch_size=3",
        "actor_rollout_ref.actor.ppo_mini_batch_size=3",
        "actor_rollout_ref.rollout.n=4",
    )
    engine = in_process(served_prm)
    compared: list[float] = []
    for step in (1, 2):
        check_dump(run.dump(step), min_gap=6, outcome_of=lambda text: VERL_SCORES_A_WRONG_ANSWER, signal=signal)
    for rollout in [*run.dump(1), *run.dump(2)]:
        assert rollout.failure is None
        assert (rollout.entropy is None) == (signal == "surprisal")
        compared += same_scores(rollout, engine, 1e-3)
        assert rollout.verifier_score == VERL_SCORES_A_WRONG_ANSWER
    assert ("cut at surprisal" in run.log) == (signal == "surprisal")
    assert statistics.stdev(compared) > 0.05, "scores too much alike to tell one segment's from another's"
    for metrics in run.metrics():
        assert metrics["prpo/prm/failed"] == 0 and metrics["actor/grad_norm"] > 0
        assert metrics["prpo/prm/requests"] + metrics["prpo/prm/empty"] == 12
