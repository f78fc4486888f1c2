# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo eval` through verl's own validation with a real vLLM: two checkpoints, evaluated and compared."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tiny_task
import torch
from guarded_run import guarded_run
from transformers import AutoModelForCausalLM, AutoTokenizer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2400)]

PROBLEMS, SAMPLES, MAX_TOKENS = 12, 4, 24
TIMEOUT = 1100.0
SMALL = "actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes=32"
ENVIRONMENT = {**os.environ, "VERL_PLATFORM": "cpu", "HF_HUB_OFFLINE": "1"}


@dataclass
class Evaluations:
    """The folder with `base`, of a Hugging Face model, and `lora`, of a LoRA checkpoint of it."""

    folder: Path

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "verl_prpo", "eval", *words]

    def records(self, name: str) -> list[dict[str, Any]]:
        """The kept problems of the set."""
        return [json.loads(line) for line in (self.folder / name / "digits.jsonl").read_text().splitlines()]

    def words(self, name: str) -> list[str]:
        """What evaluates one of the two."""
        data = ["--data", str(self.folder / "digits.parquet"), "--out", str(self.folder / name)]
        common = [*data, "--max-tokens", str(MAX_TOKENS), SMALL]
        if name == "lora":
            return [str(self.folder / "run"), *common, "--against", str(self.folder / "base")]
        function = f"reward.custom_reward_function.path={self.folder / 'reward.py'}"
        return [str(self.folder / "policy"), "--samples", str(SAMPLES), *common, function]


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory: pytest.TempPathFactory) -> Evaluations:
    peft = pytest.importorskip("peft")
    folder = tmp_path_factory.mktemp("evaluation")
    tiny_task.write(folder)
    actor = folder / "run" / "global_step_3" / "actor"
    (actor / "huggingface").mkdir(parents=True)
    for name in ("config.json", "generation_config.json"):
        (actor / "huggingface" / name).write_text((folder / "policy" / name).read_text())
    tokenizer = AutoTokenizer.from_pretrained(folder / "policy")
    tokenizer.save_pretrained(actor / "huggingface")
    (actor / "fsdp_config.json").write_text(json.dumps({"FSDP_version": 2, "world_size": 1}))
    torch.manual_seed(0)
    config = peft.LoraConfig(
        r=4, lora_alpha=64, target_modules=["q_proj", "v_proj", "up_proj"], init_lora_weights=False
    )
    adapted = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(folder / "policy"), config)
    torch.save(adapted.state_dict(), actor / "model_world_size_1_rank_0.pt")
    (actor / "lora_train_meta.json").write_text(json.dumps({"r": 4, "lora_alpha": 64, "task_type": "CAUSAL_LM"}))
    adapted.merge_and_unload().save_pretrained(folder / "adapted")
    rows = [
        {
            "data_source": "digits",
            "prompt": [{"role": "user", "content": f"{i} digits"}],
            "reward_model": {"style": "rule", "ground_truth": str(i)},
            "extra_info": {"index": i, "level": i % 2},
        }
        for i in range(PROBLEMS)
    ]
    pd.DataFrame(rows).to_parquet(folder / "digits.parquet")
    (folder / "reward.py").write_text(
        "def compute_score(data_source, solution_str, ground_truth, extra_info=None):\n"
        "    odd = len(solution_str) % 2\n"
        "    return {'score': float(odd), 'acc': float(odd), 'pred': str(extra_info['level'])}\n"
    )
    made = Evaluations(folder)
    for name in ("base", "lora"):
        guarded_run(made.command(*made.words(name)), folder / f"{name}.log", TIMEOUT, ENVIRONMENT)
    return made


def test_every_problem_gets_its_samples_and_its_own_extra_info(evaluations: Evaluations) -> None:
    records = evaluations.records("base")
    assert [record["index"] for record in records] == list(range(PROBLEMS))
    for record in records:
        assert len(record["samples"]) == SAMPLES
        assert len({sample["text"] for sample in record["samples"]}) > 1
        for sample in record["samples"]:
            assert sample["answer"] == str(record["index"] % 2)
            assert sample["correct"] == (len(sample["text"]) % 2 == 1)
            assert 1 <= sample["tokens"] <= MAX_TOKENS
            assert sample["finish_reason"] == "stop" or sample["tokens"] == MAX_TOKENS


def test_the_figures_are_those_of_the_records(evaluations: Evaluations) -> None:
    summary = json.loads((evaluations.folder / "base" / "summary.json").read_text())
    digits = summary["sets"]["digits"]
    shares = [sum(s["correct"] for s in record["samples"]) / SAMPLES for record in evaluations.records("base")]
    assert set(digits["metrics"]) == {"mean@4", "pass@2", "pass@4", "maj@4"}
    assert digits["metrics"]["mean@4"]["value"] == pytest.approx(sum(shares) / PROBLEMS)
    assert {level: part["problems"] for level, part in digits["by_level"].items()} == {"0": 6, "1": 6}
    assert digits["truncated"] > 0 and summary["versions"]["verl"]


def test_greedy_responses_of_a_lora_checkpoint_are_those_of_its_merged_weights(evaluations: Evaluations) -> None:
    """Most of them to the last token: verl and its merger round the weights to bfloat16. None is the base model's."""
    folder = evaluations.folder
    tokenizer = AutoTokenizer.from_pretrained(folder / "policy")
    same = {}
    for name in ("adapted", "policy"):
        model = AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float32)
        same[name] = 0
        for record in evaluations.records("lora"):
            messages = [{"role": "user", "content": record["question"]}]
            prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")
            output = model.generate(**prompt, max_new_tokens=MAX_TOKENS, do_sample=False)[0]
            text = tokenizer.decode(output[prompt["input_ids"].shape[1] :], skip_special_tokens=True)
            same[name] += text == record["samples"][0]["text"]
    assert same["adapted"] >= PROBLEMS / 3 and same["policy"] == 0


def test_the_two_are_compared_and_what_differs_is_named(evaluations: Evaluations) -> None:
    log = (evaluations.folder / "lora.log").read_text()
    assert "global_step_3" in log and "merged by verl" in log
    assert "sign flip" in log and "A and B were evaluated differently" in log and "samples: 1 and 4" in log


def test_the_same_command_reads_and_another_one_is_refused_without_a_run(evaluations: Evaluations) -> None:
    results = {}
    for more in ((), ("--top-p", "0.5")):
        command = evaluations.command(*evaluations.words("base"), *more)
        found = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
        results[more] = (found.returncode, found.stderr)
    assert results[()][0] == 0 and "evaluated before" in results[()][1]
    status, said = results["--top-p", "0.5"]
    assert status == 2 and "digits, top_p: 0.9 there, 0.5 now" in said
