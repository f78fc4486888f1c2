# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo eval` on a checkpoint of verl with a real vLLM: interrupted, gone on with, refused, compared."""

import json
import os
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

pytestmark = pytest.mark.e2e

PROBLEMS = 24
MAX_TOKENS = 24
TIMEOUT = 900.0

DRIVER = """
import contextlib, json, os, signal, sys
from pathlib import Path

from verl_prpo.cli.main import main
from verl_prpo.evaluation import generation

folder = Path(sys.argv[1])
engines, VllmEngine = [], generation.VllmEngine
generate = VllmEngine.generate


def one_engine(model, arguments):  # one start-up for all calls
    engines or engines.append(VllmEngine(model, arguments))
    return engines[0]


def interrupting(generate):  # Ctrl-C once two problems are done, whatever the speed of the machine
    def generate_two(*arguments):
        done = 0
        for finished in generate(*arguments):
            yield finished
            done += len(finished)
            if done >= 2:
                os.kill(os.getpid(), signal.SIGINT)

    return generate_two


signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started the tests in the background
generation.VllmEngine = one_engine
closed, close = [], VllmEngine.close
VllmEngine.close = lambda engine: closed.append(engine)  # it serves all calls
files = [str(folder / "digits.parquet"), str(folder / "aime_tiny.parquet")]
common = ["--reward-function", str(folder / "reward.py"), "--max-tokens", sys.argv[2], "--vllm", "max_num_seqs=2"]
evaluate = ["eval", str(folder / "run"), "--data", *files, "--out", str(folder / "out"), *common]
calls = {
    "refused": evaluate,
    "interrupted": [*evaluate, "--skip-long-prompts"],
    "finished": [*evaluate, "--skip-long-prompts"],
    "changed": [*evaluate, "--skip-long-prompts", "--top-p", "0.5"],
    "again": ["eval", str(folder / "out"), "--json"],
    "compared": ["eval", str(folder / "out"), "--against", str(folder / "out")],
}
found = {}
for name, call in calls.items():
    if name == "interrupted":
        VllmEngine.generate = interrupting(generate)
    else:
        VllmEngine.generate = generate
    streams = [folder / f"{name}.{stream}" for stream in ("printed", "said")]
    with streams[0].open("w") as out, streams[1].open("w") as err:  # files, since vLLM asks for their numbers
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(call)
    printed, said = (stream.read_text() for stream in streams)
    kept = folder / "out/digits.jsonl"
    lines = kept.read_text().splitlines() if kept.exists() else []
    found[name] = {"status": status, "printed": printed, "said": said, "kept": lines, "closed": len(closed)}
(folder / "calls.json").write_text(json.dumps(found))
closed.clear()
close(engines.pop())
"""


@dataclass
class Calls:
    """What each call of the driver gave."""

    folder: Path
    calls: dict[str, dict[str, Any]]

    def records(self, name: str) -> dict[int, dict[str, Any]]:
        """The kept problems of a set."""
        lines = (self.folder / "out" / f"{name}.jsonl").read_text().splitlines()
        return {record["index"]: record for record in map(json.loads, lines)}


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Calls:
    folder = tmp_path_factory.mktemp("evaluation")
    tiny_task.write(folder)
    actor = folder / "run" / "global_step_3" / "actor"
    (actor / "huggingface").mkdir(parents=True)
    for name in ("config.json", "generation_config.json"):
        (actor / "huggingface" / name).write_text((folder / "policy" / name).read_text())
    AutoTokenizer.from_pretrained(folder / "policy").save_pretrained(actor / "huggingface")
    (actor / "fsdp_config.json").write_text(json.dumps({"FSDP_version": 2, "world_size": 1}))
    state = AutoModelForCausalLM.from_pretrained(folder / "policy").state_dict()
    torch.save(state, actor / "model_world_size_1_rank_0.pt")
    rows = [
        {
            "data_source": "digits",
            "prompt": [{"role": "user", "content": f"{i} digits" + (" please" * 60 if i == 5 else "")}],
            "reward_model": {"style": "rule", "ground_truth": str(i)},
            "extra_info": {"index": i, "level": i % 2},
        }
        for i in range(PROBLEMS)
    ]
    pd.DataFrame(rows).to_parquet(folder / "digits.parquet")
    pd.DataFrame(rows[:2]).to_parquet(folder / "aime_tiny.parquet")
    (folder / "reward.py").write_text(
        "def compute_score(data_source, solution_str, ground_truth, extra_info=None):\n"
        "    return {'score': float(len(solution_str) % 2), 'pred': solution_str[:1]}\n"
    )
    (folder / "driver.py").write_text(DRIVER)
    command = [sys.executable, str(folder / "driver.py"), str(folder), str(MAX_TOKENS)]
    guarded_run(command, folder / "driver.log", TIMEOUT, {**os.environ, "VERL_PLATFORM": "cpu", "HF_HUB_OFFLINE": "1"})
    return Calls(folder, json.loads((folder / "calls.json").read_text()))


def test_nothing_leaks_and_no_bar_is_drawn_where_there_is_no_terminal(calls: Calls) -> None:
    # By every call that generates, also by one that is interrupted.
    assert [calls.calls[name]["closed"] for name in ("refused", "interrupted", "finished")] == [0, 1, 2]
    assert "leaked" not in (calls.folder / "driver.log").read_text()
    assert "problems" not in calls.calls["finished"]["said"].replace("problems are in", "")


def test_a_prompt_without_room_is_refused_unless_it_may_be_skipped(calls: Calls) -> None:
    refused = calls.calls["refused"]
    assert refused["status"] == 2 and "digits/5" in refused["said"] and "--skip-long-prompts" in refused["said"]
    (sample,) = calls.records("digits")[5]["samples"]
    assert (sample["finish_reason"], sample["correct"]) == ("prompt_too_long", False)


def test_ctrl_c_keeps_finished_problems_and_the_same_command_goes_on(calls: Calls) -> None:
    interrupted, finished = calls.calls["interrupted"], calls.calls["finished"]
    assert interrupted["status"] == 130 and "the same command goes on from here" in interrupted["said"]
    kept = [json.loads(line) for line in interrupted["kept"]]
    assert 2 <= len(kept) < PROBLEMS
    assert finished["status"] == 0 and "problems are in" in finished["said"]
    assert finished["kept"][: len(kept)] == interrupted["kept"]
    assert sorted(calls.records("digits")) == list(range(PROBLEMS)) and len(finished["kept"]) == PROBLEMS


def test_the_checkpoint_is_merged_once_and_found_in_the_folder_of_the_run(calls: Calls) -> None:
    assert "global_step_3" in calls.calls["refused"]["said"] and "merged by verl" in calls.calls["refused"]["said"]
    assert "merged before" in calls.calls["finished"]["said"]


def test_greedy_responses_are_those_of_the_checkpoint(calls: Calls) -> None:
    (merged,) = (path for path in (calls.folder / "merged").iterdir() if path.is_dir())
    model = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(merged)
    for index in (0, 11):
        messages = [{"role": "user", "content": f"{index} digits"}]
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")["input_ids"]
        output = model.generate(prompt, max_new_tokens=MAX_TOKENS, do_sample=False)[0, prompt.shape[1] :]
        (sample,) = calls.records("digits")[index]["samples"]
        assert sample["text"] == tokenizer.decode(output, skip_special_tokens=True)
        assert sample["tokens"] == len(output)
        assert sample["correct"] == (len(sample["text"]) % 2 == 1)


def test_a_set_named_for_aime_gets_32_different_samples(calls: Calls) -> None:
    for record in calls.records("aime_tiny").values():
        assert len(record["samples"]) == 32
        assert len({sample["text"] for sample in record["samples"]}) > 16


def test_the_figures_are_those_of_the_records(calls: Calls) -> None:
    summary = json.loads(calls.calls["again"]["printed"])
    assert summary == json.loads((calls.folder / "out" / "summary.json").read_text())
    digits = summary["sets"]["digits"]
    right = [record["samples"][0]["correct"] for record in calls.records("digits").values()]
    assert digits["metrics"]["mean@1"]["value"] == pytest.approx(sum(right) / PROBLEMS)
    assert (digits["problems"], digits["too_long"]) == (PROBLEMS, 1)
    assert {level: part["problems"] for level, part in digits["by_level"].items()} == {"0": 12, "1": 12}
    aime = summary["sets"]["aime_tiny"]["metrics"]
    assert set(aime) == {"mean@32", "pass@2", "pass@4", "pass@8", "pass@16", "pass@32", "maj@32"}


def test_other_settings_are_not_mixed_in(calls: Calls) -> None:
    changed = calls.calls["changed"]
    assert changed["status"] == 2 and "aime_tiny, sampling" in changed["said"] and "'top_p': 0.5" in changed["said"]


def test_a_run_is_no_better_than_itself(calls: Calls) -> None:
    compared = calls.calls["compared"]
    assert compared["status"] == 0
    assert "McNemar, exact" in compared["printed"] and "sign flip" in compared["printed"]
    assert compared["printed"].count("1.000") == 2
