# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""How a GPU's memory divides between a policy and a PRM that take turns on it."""

import json
import re
from pathlib import Path

import pytest
from eight_gpus import GRPO, SWITCH
from omegaconf import DictConfig
from verl_configs import compose

from verl_prpo.console.findings import State
from verl_prpo.doctor.shared_memory import shared_memory
from verl_prpo.trainer.checks import memory
from verl_prpo.trainer.checks.layouts import layouts
from verl_prpo.trainer.checks.memory import Shape, resident, shape_at, split

ROOT = Path(__file__).parents[2]
RECIPE = "prpo_colocated_qwen2.5_math_1.5b"
GB = 1e9

POLICY = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}
"""Of Qwen2.5-Math-1.5B, as far as its size goes."""
PRM = {
    "architectures": ["Qwen2ForProcessRewardModel"],
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "tie_word_embeddings": False,
}
"""Of Qwen2.5-Math-PRM-7B."""
LARGE_PRM = PRM | {
    "hidden_size": 8192,
    "intermediate_size": 29568,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
}
"""Of Qwen2.5-Math-PRM-72B."""


def shape(config: dict) -> Shape:
    found = Shape.of(config)
    assert found is not None
    return found


@pytest.fixture(autouse=True)
def eighty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine has."""
    monkeypatch.setattr(memory, "gpu_bytes", lambda: 80e9)
    monkeypatch.setattr("verl_prpo.doctor.shared_memory.gpu_bytes", lambda: 80e9)


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Folders with the config.json of the policy and of two PRMs."""
    folders = []
    for name, config in (("policy", POLICY), ("prm", PRM), ("large", LARGE_PRM)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
        folders.append(folder)
    return folders[0], folders[1], folders[2]


def colocated(policy: Path, prm: Path, *overrides: str) -> DictConfig:
    own = [f"actor_rollout_ref.model.path={policy}", f"reward.reward_model.model_path={prm}"]
    return compose(RECIPE, [*own, *overrides], config_dir=ROOT / "recipes")


class TestShape:
    def test_parameters_are_those_of_the_published_models(self) -> None:
        assert shape(POLICY).parameters == pytest.approx(1.54e9, rel=0.005)
        assert shape(PRM).parameters == pytest.approx(7.08e9, rel=0.005)
        assert shape(PRM | {"architectures": ["Qwen2ForCausalLM"]}).parameters == pytest.approx(7.62e9, rel=0.005)
        assert shape(LARGE_PRM).parameters == pytest.approx(71.5e9, rel=0.01)

    def test_the_cache_of_a_token_has_a_key_and_a_value_in_every_layer(self) -> None:
        assert shape(PRM).cache == 2 * 28 * 4 * 128 * 2
        assert shape(POLICY).cache == 2 * 28 * 2 * 128 * 2

    def test_a_mixture_of_experts_or_no_decoder_says_nothing(self) -> None:
        assert Shape.of(PRM | {"num_experts": 128}) is None
        assert Shape.of({"model_type": "bert"}) is None
        assert Shape.of(PRM | {"hidden_size": None}) is None
        assert Shape.of(PRM | {"num_attention_heads": 0}) is None


class TestSplit:
    def test_by_hand(self) -> None:
        config = compose(RECIPE, config_dir=ROOT / "recipes")
        found = split(config, shape(POLICY), shape(PRM), 80e9, 1)
        # 8192 tokens of a batch: twice the inner width and four times the hidden one, 2 bytes each, and the cache.
        reading = 8192 * (2 * (2 * 18944 + 4 * 3584) + 57344)
        assert found.needs == pytest.approx(2 * 7.083e9 + reading + 4e9, rel=1e-3)
        # 12 bytes a parameter of the policy and 2 of the reference, over 8 GPUs.
        assert resident(config, shape(POLICY)) == pytest.approx(1.544e9 * 14 / 8, rel=1e-3)
        assert found.room == pytest.approx(80e9 - 1.544e9 * 14 / 8 - 3e9 - 2e9, rel=1e-3)
        assert found.host == pytest.approx(8 * 2 * 7.083e9, rel=1e-3)
        assert (found.fits, found.share) == (True, 0.4)

    def test_what_is_offloaded_stays_in_no_gpu(self) -> None:
        offload = [
            "actor_rollout_ref.actor.fsdp_config.param_offload=true",
            "actor_rollout_ref.actor.fsdp_config.optimizer_offload=true",
            "actor_rollout_ref.ref.fsdp_config.param_offload=true",
        ]
        for count, each in ((1, 10), (2, 2), (3, 0)):
            config = compose(RECIPE, offload[:count], config_dir=ROOT / "recipes")
            assert resident(config, shape(POLICY)) == pytest.approx(1.544e9 * each / 8, rel=1e-3), offload[:count]

    def test_a_server_of_several_gpus_holds_a_part_in_each(self) -> None:
        config = compose(RECIPE, config_dir=ROOT / "recipes")
        assert not split(config, shape(POLICY), shape(LARGE_PRM), 80e9, 1).fits
        four = split(config, shape(POLICY), shape(LARGE_PRM), 80e9, 4)
        assert four.fits and four.needs == pytest.approx(41.6e9, rel=0.02)
        assert four.host == pytest.approx(2 * 71.5e9 * 8 / 4, rel=0.01)
        assert four.share * 80e9 <= four.room

    def test_a_small_gpu_gets_a_share_that_its_room_allows(self) -> None:
        config = compose(RECIPE, config_dir=ROOT / "recipes")
        found = split(config, shape(POLICY), shape(PRM), 30e9, 1)
        assert found.needs <= found.share * 30e9 <= found.room


class TestThePageAndTheRecipe:
    def test_the_shares_of_the_recipe_lie_between_need_and_room(self) -> None:
        config = compose(RECIPE, config_dir=ROOT / "recipes")
        found = split(config, shape(POLICY), shape(PRM), 80e9, 1)
        server, rollout = config.reward.reward_model.rollout, config.actor_rollout_ref.rollout
        assert server.gpu_memory_utilization == found.share
        assert found.needs <= server.gpu_memory_utilization * 80e9 <= found.room
        assert rollout.gpu_memory_utilization * 80e9 <= found.room

    def test_the_page_shows_the_numbers_of_the_formula(self) -> None:
        page = (ROOT / "docs" / "one_node.md").read_text(encoding="utf-8")
        config = compose(RECIPE, config_dir=ROOT / "recipes")
        found = split(config, shape(POLICY), shape(PRM), 80e9, 1)
        shown = dict(re.findall(r"^\| `(\w+)` \|.*\| ([\d.]+)(?: GB)? \|$", page, re.MULTILINE))
        assert {name: float(value) for name, value in shown.items()} == {
            "weights": pytest.approx(2 * shape(PRM).parameters / GB, abs=0.05),
            "reading": pytest.approx(8192 * (shape(PRM).activations + shape(PRM).cache) / GB, abs=0.05),
            "outside": memory.OUTSIDE_BYTES / GB,
            "needs": pytest.approx(found.needs / GB, abs=0.05),
            "resident": pytest.approx(
                resident(compose(RECIPE, config_dir=ROOT / "recipes"), shape(POLICY)) / GB, abs=0.05
            ),
            "trainer": memory.TRAINER_BYTES / GB,
            "asleep": memory.ASLEEP_BYTES / GB,
            "room": pytest.approx(found.room / GB, abs=0.05),
            "share": found.share,
            "host": pytest.approx(found.host / GB, abs=0.5),
        }


class TestDoctor:
    def test_the_recipe_is_ok(self, models: tuple[Path, Path, Path]) -> None:
        found = shared_memory(colocated(*models[:2]))
        assert found.state is State.OK
        assert "the PRM gets 32.0 GB" in found.found and "it needs 19.5 GB" in found.found

    def test_too_small_a_share_names_the_one_to_set(self, models: tuple[Path, Path, Path]) -> None:
        low = colocated(*models[:2], "reward.reward_model.rollout.gpu_memory_utilization=0.1")
        found = shared_memory(low)
        assert found.state is State.WARNING
        assert "set reward.reward_model.rollout.gpu_memory_utilization=0.4" in found.advice

    def test_too_large_a_share_of_the_policy_is_named(self, models: tuple[Path, Path, Path]) -> None:
        found = shared_memory(colocated(*models[:2], "actor_rollout_ref.rollout.gpu_memory_utilization=0.95"))
        assert found.state is State.WARNING
        assert "lower actor_rollout_ref.rollout.gpu_memory_utilization=0.95 to 0.9" in found.advice

    def test_a_prm_that_no_gpu_holds_is_to_be_split(self, models: tuple[Path, Path, Path]) -> None:
        found = shared_memory(colocated(models[0], models[2]))
        assert found.state is State.WARNING
        assert "raise reward.reward_model.rollout.tensor_model_parallel_size=1" in found.advice

    def test_what_is_not_here_is_skipped(self, models: tuple[Path, Path, Path], tmp_path: Path) -> None:
        found = shared_memory(colocated(models[0], tmp_path / "absent"))
        assert (found.state, str(tmp_path / "absent") in found.found) == (State.SKIPPED, True)
        assert shape_at("no/such/model/name") is None and shape_at(None) is None


class TestLayoutThatDoctorProposes:
    @pytest.mark.parametrize(("which", "servers", "share"), [(1, 1, 0.4), (2, 4, 0.8)])
    def test_has_the_share_of_the_formula(
        self, which: int, servers: int, share: float, models: tuple[Path, Path, Path]
    ) -> None:
        own = [f"actor_rollout_ref.model.path={models[0]}", f"++reward.prm.model_path={models[which]}"]
        config = compose(overrides=[*GRPO[1:], *SWITCH[:-1], *own])
        first = layouts(config, [8])[0]
        rollout = "reward.reward_model.rollout"
        assert first.settings.get(f"{rollout}.tensor_model_parallel_size") == servers
        assert first.settings[f"{rollout}.gpu_memory_utilization"] == share
        assert "asleep it takes" in first.what and "docs/one_node.md" in first.what
