# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Which weights a folder stands for, and verl's own merger making a model of its checkpoints."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import instruct_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from verl_prpo.evaluation import EvaluationError, RunFailed, checkpoint
from verl_prpo.evaluation.checkpoint import adapter_overrides, find_model, merged_model


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")


def shards(step: Path, world_size: int = 1, without: int | None = None) -> Path:
    """The files of a checkpoint of verl, empty."""
    actor = step / "actor"
    ranks = [rank for rank in range(world_size) if rank != without]
    touch(actor / "huggingface" / "config.json")
    touch(*(actor / f"model_world_size_{world_size}_rank_{rank}.pt" for rank in ranks))
    (actor / "fsdp_config.json").write_text(json.dumps({"FSDP_version": 2, "world_size": world_size}))
    return actor


class TestFinding:
    def test_a_hugging_face_folder(self, tmp_path: Path) -> None:
        touch(tmp_path / "config.json", tmp_path / "model.safetensors")
        found = find_model(str(tmp_path))
        assert (found.where, found.backend) == (str(tmp_path), None)

    def test_a_name_of_the_hub(self) -> None:
        found = find_model("Qwen/Qwen2.5-Math-1.5B")
        assert (found.where, found.backend, found.files) == ("Qwen/Qwen2.5-Math-1.5B", None, ())

    @pytest.mark.parametrize("given", ["", "actor"])
    def test_a_checkpoint_and_the_actor_in_it(self, tmp_path: Path, given: str) -> None:
        actor = shards(tmp_path / "global_step_7", world_size=2)
        found = find_model(str(tmp_path / "global_step_7" / given))
        assert (found.where, found.backend) == (str(actor), "fsdp")
        assert [file.name for file in found.files] == [
            "fsdp_config.json",
            "model_world_size_2_rank_0.pt",
            "model_world_size_2_rank_1.pt",
        ]

    def test_the_newest_checkpoint_of_a_run(self, tmp_path: Path) -> None:
        for step in (9, 10):
            shards(tmp_path / f"global_step_{step}")
        found = find_model(str(tmp_path))
        assert found.where.endswith("global_step_10/actor") and "the newest of 2" in found.said

    @pytest.mark.parametrize(("latest", "step"), [("9", 9), ("11", 10)])
    def test_the_one_that_verl_names_as_its_latest_where_it_is_there(
        self, tmp_path: Path, latest: str, step: int
    ) -> None:
        for number in (9, 10):
            shards(tmp_path / f"global_step_{number}")
        (tmp_path / "latest_checkpointed_iteration.txt").write_text(latest)
        assert find_model(str(tmp_path)).where.endswith(f"global_step_{step}/actor")

    def test_a_model_that_verl_saved_whole_needs_no_merging(self, tmp_path: Path) -> None:
        actor = shards(tmp_path / "global_step_7")
        touch(actor / "huggingface" / "model.safetensors")
        found = find_model(str(tmp_path))
        assert (found.where, found.backend) == (str(actor / "huggingface"), None)

    def test_a_megatron_checkpoint(self, tmp_path: Path) -> None:
        touch(tmp_path / "global_step_7" / "actor" / "model" / "dist_ckpt" / "common.pt")
        assert find_model(str(tmp_path)).backend == "megatron"

    def test_a_changed_file_is_another_model(self, tmp_path: Path) -> None:
        touch(tmp_path / "config.json", tmp_path / "model.safetensors")
        before = find_model(str(tmp_path)).identity()
        assert find_model(str(tmp_path)).identity() == before == json.loads(json.dumps(before))
        (tmp_path / "model.safetensors").write_text("other")
        assert find_model(str(tmp_path)).identity() != before

    def test_what_is_no_model_is_named(self, tmp_path: Path) -> None:
        touch(tmp_path / "only_config" / "config.json", tmp_path / "other" / "notes.txt", tmp_path / "file")
        (tmp_path / "global_step_3").mkdir()
        shards(tmp_path / "half" / "global_step_7", world_size=4, without=2)
        (shards(tmp_path / "no_weights" / "global_step_7") / "model_world_size_1_rank_0.pt").unlink()
        for given, fault in (
            ("nowhere/at/all", "no such folder"),
            ("file", "is a file"),
            ("only_config", "config.json but no weights"),
            ("other", r"neither a model nor a checkpoint \(there: notes.txt\)"),
            ("global_step_3", "no folder actor in it"),
            ("half", "1 of 4 shards are missing, such as model_world_size_4_rank_2.pt"),
            ("no_weights", "no model_world_size_N_rank_M.pt in it"),
        ):
            with pytest.raises(EvaluationError, match=fault):
                find_model(str(tmp_path / given))


def written(step: Path, state: dict[str, torch.Tensor], policy: Path) -> Path:
    """A checkpoint of one rank as verl's FSDP engine writes it."""
    actor = shards(step)
    AutoTokenizer.from_pretrained(policy).save_pretrained(actor / "huggingface")
    for name in ("config.json", "generation_config.json"):
        (actor / "huggingface" / name).write_text((policy / name).read_text())
    torch.save(state, actor / "model_world_size_1_rank_0.pt")
    return actor


def same(model: Any, merged: Path) -> None:
    """The merged weights are those of the model, as far as bfloat16 tells."""
    loaded = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.bfloat16).state_dict()
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(loaded[name].float(), weight.float(), rtol=2**-7, atol=2**-7)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return instruct_model(tmp_path_factory.mktemp("policy"))


class TestMerging:
    def test_a_checkpoint_is_merged_once(self, tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        model = AutoModelForCausalLM.from_pretrained(policy)
        written(tmp_path / "run" / "global_step_7", model.state_dict(), policy)
        found = find_model(str(tmp_path / "run"))
        merged, known = merged_model(found, tmp_path / "merged")
        assert not known and merged.name.startswith("run-global_step_7-")
        same(model, merged)
        assert AutoTokenizer.from_pretrained(merged).chat_template
        monkeypatch.setattr(checkpoint, "run_guarded", lambda *_: pytest.fail("merged again"))
        assert merged_model(found, tmp_path / "merged") == (merged, True)

    def test_a_lora_adapter_is_left_to_verl_beside_the_weights_it_was_trained_on(
        self, tmp_path: Path, policy: Path
    ) -> None:
        peft = pytest.importorskip("peft")
        torch.manual_seed(0)
        config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        base = AutoModelForCausalLM.from_pretrained(policy)
        model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(policy), config)
        actor = written(tmp_path / "run" / "global_step_7", model.state_dict(), policy)
        (actor / "lora_train_meta.json").write_text(json.dumps({"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM"}))
        merged, _ = merged_model(find_model(str(tmp_path / "run")), tmp_path / "merged")
        same(base, merged)
        whole = model.merge_and_unload().state_dict()["model.layers.0.self_attn.q_proj.weight"]
        before = base.state_dict()["model.layers.0.self_attn.q_proj.weight"].clone()
        adapted = peft.PeftModel.from_pretrained(base, merged / "lora_adapter").merge_and_unload().state_dict()
        after = adapted["model.layers.0.self_attn.q_proj.weight"]
        assert (after - whole).norm() < 0.01 * (whole - before).norm()  # the merger rounds to bfloat16
        assert adapter_overrides(merged)[1:] == [
            "actor_rollout_ref.model.lora_rank=4",
            "actor_rollout_ref.model.lora_alpha=8",
            "++actor_rollout_ref.model.lora.merge=True",
        ]

    def test_an_adapter_alone_or_of_unknown_scale_is_refused(self, tmp_path: Path) -> None:
        touch(tmp_path / "lora_adapter" / "adapter_config.json")
        with pytest.raises(EvaluationError, match="without the weights it was trained on"):
            adapter_overrides(tmp_path)
        touch(tmp_path / "model.safetensors")
        with pytest.raises(EvaluationError, match="the adapter's scale is unknown"):
            adapter_overrides(tmp_path)
        assert adapter_overrides(tmp_path / "lora_adapter") == []

    def test_a_merger_that_fails_shows_the_end_of_its_log(self, tmp_path: Path, policy: Path) -> None:
        actor = written(tmp_path / "run" / "global_step_7", {}, policy)
        (actor / "model_world_size_1_rank_0.pt").write_text("no weights")
        with pytest.raises(RunFailed, match=r"(?s)cannot be merged: .* status 1\. The end of .*Error"):
            merged_model(find_model(str(tmp_path / "run")), tmp_path / "merged")
        assert [path.suffix for path in (tmp_path / "merged").iterdir() if path.suffix != ".log"] == []

    def test_a_merger_that_hangs_is_ended(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shards(tmp_path / "run" / "global_step_7")
        monkeypatch.setattr(checkpoint, "MERGE_TIMEOUT", 0.2)
        with pytest.raises(RunFailed, match=r"did not end within 0\.2 s"):
            merged_model(find_model(str(tmp_path / "run")), tmp_path / "merged")
