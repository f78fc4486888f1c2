# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo eval` of a LoRA checkpoint through verl's own validation with a real vLLM."""

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
LORA_RANK, LORA_ALPHA = 4, 64
TIMEOUT = 1100.0
SMALL = "actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes=32"
ENVIRONMENT = {**os.environ, "VERL_PLATFORM": "cpu", "HF_HUB_OFFLINE": "1"}


@dataclass
class Evaluation:
    """The folder with `run`, a LoRA checkpoint of `policy`, and `out`, its evaluation."""

    folder: Path

    @property
    def command(self) -> list[str]:
        words = ["eval", str(self.folder / "run"), "--data", str(self.folder / "digits.parquet")]
        words += ["--samples", str(SAMPLES), "--max-tokens", str(MAX_TOKENS), "--temperature", "0.01", SMALL]
        words += ["--out", str(self.folder / "out"), f"reward.custom_reward_function.path={self.folder / 'reward.py'}"]
        return [sys.executable, "-m", "verl_prpo", *words]

    def records(self) -> list[dict[str, Any]]:
        """The kept problems of the set."""
        return [json.loads(line) for line in (self.folder / "out" / "digits.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
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
        r=LORA_RANK, lora_alpha=LORA_ALPHA, target_modules=["q_proj", "v_proj", "up_proj"], init_lora_weights=False
    )
    adapted = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(folder / "policy"), config)
    torch.save(adapted.state_dict(), actor / "model_world_size_1_rank_0.pt")
    (actor / "lora_train_meta.json").write_text(
        json.dumps({"r": LORA_RANK, "lora_alpha": LORA_ALPHA, "task_type": "CAUSAL_LM"})
    )
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
    made = Evaluation(folder)
    guarded_run(made.command, folder / "eval.log", TIMEOUT, ENVIRONMENT)
    return made


def test_every_problem_gets_its_samples_and_its_own_extra_info(evaluation: Evaluation) -> None:
    records = evaluation.records()
    assert [record["index"] for record in records] == list(range(PROBLEMS))
    assert max(len({sample["text"] for sample in record["samples"]}) for record in records) > 1
    for record in records:
        assert len(record["samples"]) == SAMPLES
        for sample in record["samples"]:
            assert sample["answer"] == str(record["index"] % 2)
            assert sample["correct"] == (len(sample["text"]) % 2 == 1)
            assert 1 <= sample["tokens"] <= MAX_TOKENS
            assert sample["finish_reason"] == "stop" or sample["tokens"] == MAX_TOKENS


def test_the_figures_are_those_of_the_records(evaluation: Evaluation) -> None:
    summary = json.loads((evaluation.folder / "out" / "summary.json").read_text())
    digits = summary["sets"]["digits"]
    shares = [sum(s["correct"] for s in record["samples"]) / SAMPLES for record in evaluation.records()]
    assert set(digits["metrics"]) == {"mean@4", "pass@2", "pass@4", "maj@4"}
    assert digits["metrics"]["mean@4"]["value"] == pytest.approx(sum(shares) / PROBLEMS)
    assert {level: part["problems"] for level, part in digits["by_level"].items()} == {"0": 6, "1": 6}
    assert digits["truncated"] > 0 and summary["versions"]["verl"]


def test_cold_samples_of_a_lora_checkpoint_are_those_of_its_merged_weights(evaluation: Evaluation) -> None:
    """Some are greedy to the last token, though verl's merger rounds the weights to bfloat16. None is that of
    the base model."""
    log = (evaluation.folder / "eval.log").read_text()
    assert "global_step_3" in log and "merged by verl" in log
    folder = evaluation.folder
    tokenizer = AutoTokenizer.from_pretrained(folder / "policy")
    same = {}
    for name in ("adapted", "policy"):
        model = AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float32)
        same[name] = 0
        for record in evaluation.records():
            messages = [{"role": "user", "content": record["question"]}]
            prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")
            output = model.generate(**prompt, max_new_tokens=MAX_TOKENS, do_sample=False)[0]
            text = tokenizer.decode(output[prompt["input_ids"].shape[1] :], skip_special_tokens=True)
            same[name] += sum(text == sample["text"] for sample in record["samples"])
    assert same["adapted"] >= 4 and same["policy"] == 0, same


def test_the_same_command_reads_and_another_one_is_refused_without_a_run(evaluation: Evaluation) -> None:
    results = {}
    for more in ((), ("--top-p", "0.5")):
        command = [*evaluation.command, *more]
        found = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
        results[more] = (found.returncode, found.stderr)
    assert results[()][0] == 0 and "evaluated before" in results[()][1]
    status, said = results["--top-p", "0.5"]
    assert status == 2 and "digits, top_p: 0.9 there, 0.5 now" in said
