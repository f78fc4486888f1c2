# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The run of verl behind an evaluation: its settings, its reward manager, how it may end, and what its dump becomes."""

import copy
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from evaluations import GREEDY, RIGHT, WRONG, job, verl_dumps
from tiny_models import qwen_tokenizer
from verl import DataProto
from verl.trainer.ppo.reward import load_reward_manager
from verl.utils.ray_utils import get_event_loop
from verl_configs import compose, validate

from verl_prpo.evaluation import RunFailed, validation
from verl_prpo.evaluation.dump import read_dump
from verl_prpo.evaluation.manager import COLUMN
from verl_prpo.evaluation.process import run_guarded
from verl_prpo.evaluation.sampling import Sampling
from verl_prpo.evaluation.validation import run_settings

SAMPLED = Sampling(4, 0.7, 0.9, 64, 3)


def settings(*overrides: str, sampling: Sampling = GREEDY, context: int | None = 60, model: str = "some/model") -> Any:
    jobs = [job(0, tokens=5), job(1, tokens=7)]
    return compose(overrides=run_settings(jobs, sampling, model, context, overrides, Path("/o't = {}/run")))


class TestSettings:
    def test_verl_accepts_them_on_any_number_of_gpus(self) -> None:
        for gpus in ((), ("trainer.n_gpus_per_node=8", "trainer.nnodes=16")):
            validate(settings(*gpus))

    def test_say_how_responses_are_drawn(self) -> None:
        config = settings(sampling=SAMPLED)
        drawn, rollout = config.actor_rollout_ref.rollout.val_kwargs, config.actor_rollout_ref.rollout
        assert (drawn.n, drawn.temperature, drawn.top_p, drawn.do_sample) == (4, 0.7, 0.9, True)
        assert (rollout.seed, config.data.max_response_length) == (3, 64)
        assert settings().actor_rollout_ref.rollout.val_kwargs.do_sample is False

    def test_ask_for_no_more_context_than_prompts_and_responses_need_and_the_model_has(self) -> None:
        assert settings(context=None).actor_rollout_ref.rollout.max_model_len == 7 + 64
        assert settings(context=60).actor_rollout_ref.rollout.max_model_len == 60

    def test_let_the_user_have_the_last_word_and_keep_odd_paths(self) -> None:
        config = settings("actor_rollout_ref.rollout.tensor_model_parallel_size=4", "trainer.logger=[console,wandb]")
        assert config.actor_rollout_ref.rollout.tensor_model_parallel_size == 4
        assert list(config.trainer.logger) == ["console", "wandb"]
        assert config.trainer.validation_data_dir == "/o't = {}/run/dump"

    def test_of_a_cpu_are_those_of_the_laptop_recipes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VERL_PLATFORM", "cpu")
        config = settings("trainer.n_gpus_per_node=1")
        assert (config.trainer.device, config.actor_rollout_ref.rollout.enable_sleep_mode) == ("cpu", False)
        monkeypatch.delenv("VERL_PLATFORM")
        assert settings().actor_rollout_ref.actor.fsdp_config.param_offload is True

    @pytest.mark.parametrize(
        ("overrides", "inner"),
        [
            ((), "math_verifier"),
            (("reward.custom_reward_function.path=x.py",), "naive"),
            (("reward.custom_reward_function.path=x.py", "reward.reward_manager.name=dapo"), "dapo"),
        ],
    )
    def test_name_the_manager_whose_verdicts_count(self, overrides: tuple[str, ...], inner: str) -> None:
        config = settings(*overrides)
        assert config.reward.evaluation_manager == inner
        assert config.reward.reward_manager.name == "EvaluationRewardManager"

    def test_load_a_lora_adapter_that_the_merger_left(self, tmp_path: Path) -> None:
        (tmp_path / "lora_adapter").mkdir()
        (tmp_path / "model.safetensors").touch()
        (tmp_path / "lora_adapter" / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 8}))
        model = settings(model=str(tmp_path)).actor_rollout_ref.model
        assert (model.lora_rank, model.lora_alpha, model.lora.merge) == (4, 8, True)
        assert model.lora_adapter_path == str(tmp_path / "lora_adapter")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return qwen_tokenizer(separator=None)


def judged(tokenizer: Any, response: str, prompt: str = "assistant\n", end: bool = True, **overrides: Any) -> dict:
    """What the manager of an evaluation says of a response, from a row as verl hands it on."""
    named = {
        "reward.reward_manager.source": "importlib",
        "reward.reward_manager.module.path": "pkg://verl_prpo.evaluation.manager",
        "reward.reward_manager.name": "EvaluationRewardManager",
        "data.max_response_length": 40,
    }
    config = compose(overrides=[f"{key}={value}" for key, value in {**named, **overrides}.items()])
    ids = tokenizer.encode(response, add_special_tokens=False) + [tokenizer.eos_token_id] * end
    kept = {"problem": "gsm8k/7", "reward_model": {"ground_truth": "4"}, "extra_info": {"index": 7, "level": 2}}
    columns = {
        "data_source": "openai/gsm8k",
        "reward_model": {"ground_truth": "other"},
        "extra_info": {"index": 0},
        COLUMN: json.dumps(kept),
        "__num_turns__": 2,
    }
    arrays = {name: np.empty(1, dtype=object) for name in columns}
    for name, value in columns.items():
        arrays[name][0] = value
    prompts = tokenizer.encode(prompt, add_special_tokens=False)
    mask = torch.ones(1, len(prompts) + len(ids), dtype=torch.int64)
    tensors = {"prompts": torch.tensor([prompts]), "responses": torch.tensor([ids]), "attention_mask": mask}
    data = DataProto.from_dict(tensors=tensors, non_tensors=arrays)
    manager = load_reward_manager(config, tokenizer)
    return get_event_loop().run_until_complete(manager.run_single(copy.deepcopy(data)))["reward_extra_info"]


class TestManager:
    def test_names_the_problem_and_judges_with_its_own_ground_truth(self, tokenizer: Any) -> None:
        info = judged(tokenizer, RIGHT)
        assert (info["problem"], info["acc"], info["pred"], info["method"]) == ("gsm8k/7", 1.0, "4", "verl")
        assert info["tokens"] == len(tokenizer.encode(RIGHT)) + 1

    @pytest.mark.parametrize(
        ("prompt", "response", "right"),
        [
            ("assistant\n<think>\n", RIGHT, 0.0),  # cut off inside the thought that the template opened
            ("assistant\n<think>\n", f"so {WRONG}\n</think>\n\n{RIGHT}", 1.0),
            ("assistant\n", RIGHT, 1.0),
        ],
    )
    def test_takes_no_answer_inside_a_thought_that_the_prompt_opened(
        self, tokenizer: Any, prompt: str, response: str, right: float
    ) -> None:
        info = judged(tokenizer, response, prompt)
        assert (info["acc"], info["pred"]) == (right, "4" if right else "")

    def test_tells_a_truncated_response_from_one_that_ended_at_the_limit(self, tokenizer: Any) -> None:
        long = "x" * 40
        length = len(tokenizer.encode(long))
        limit = {"data.max_response_length": length}
        assert judged(tokenizer, long, end=False, **limit)["truncated"] == 1.0
        assert judged(tokenizer, long, end=True, **{"data.max_response_length": length + 1})["truncated"] == 0.0
        assert judged(tokenizer, RIGHT, **limit)["truncated"] == 0.0

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ("return float(ground_truth in solution_str)", {"acc": 1.0, "pred": "4"}),
            ("return {'score': 0.1, 'acc': 0.0, 'pred': 'four'}", {"acc": 0.0, "pred": "four"}),
            ("return {'score': float(extra_info['level'])}", {"score": 2.0, "pred": "4"}),
        ],
    )
    def test_asks_the_users_own_function(self, tokenizer: Any, tmp_path: Path, body: str, expected: dict) -> None:
        file = tmp_path / "reward.py"
        file.write_text(f"def compute_score(data_source, solution_str, ground_truth, extra_info=None):\n    {body}\n")
        overrides = {"reward.custom_reward_function.path": file, "++reward.evaluation_manager": "naive"}
        info = judged(tokenizer, RIGHT, **overrides)
        assert {key: info[key] for key in expected} == expected

    def test_without_box_there_is_no_answer(self, tokenizer: Any) -> None:
        assert judged(tokenizer, "4")["pred"] == ""


class TestDump:
    def test_rows_of_verls_writer_become_samples(self, tmp_path: Path) -> None:
        found = read_dump(verl_dumps(tmp_path, {"gsm8k/0": [RIGHT, WRONG], "math/a/1": ["none"]}, truncated=[0, 1, 0]))
        assert list(found) == ["gsm8k/0", "math/a/1"]
        right, wrong = found["gsm8k/0"]
        assert (right["correct"], right["answer"], right["finish_reason"]) == (True, "4", "stop")
        assert (wrong["correct"], wrong["answer"], wrong["finish_reason"]) == (False, "5", "length")
        assert right == {**right, "text": RIGHT, "tokens": len(RIGHT), "method": "verl"}
        assert [sample["answer"] for sample in found["math/a/1"]] == [None]

    def test_a_score_decides_where_there_is_no_acc(self, tmp_path: Path) -> None:
        found = read_dump(verl_dumps(tmp_path, {"x/0": [RIGHT, RIGHT]}, acc=[None, None], score=[0.4, 0.5]))
        assert [sample["correct"] for sample in found["x/0"]] == [False, True]

    def test_of_several_outputs_of_a_session_the_last_one_counts(self, tmp_path: Path) -> None:
        found = read_dump(verl_dumps(tmp_path, {"x/0": [WRONG, RIGHT]}, uid=["a_0_0", "a_0_1"]))
        assert [sample["correct"] for sample in found["x/0"]] == [True]

    def test_no_dump_and_lines_of_another_kind_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(RunFailed, match="left no dump in"):
            read_dump(tmp_path / "none")
        (tmp_path / "0.jsonl").write_text('{"input": "?", "output": "!"}\n')
        with pytest.raises(RunFailed, match=r"0.jsonl, line 1: no response of an evaluation \(KeyError: 'uid'\)"):
            read_dump(tmp_path)


class TestValidate:
    """What surrounds the run of verl; in its place stands a program that writes what verl's writer wrote before."""

    def run(self, monkeypatch: pytest.MonkeyPatch, folder: Path, dump: Path, jobs: list, sampling: Sampling) -> dict:
        program = f"import shutil; shutil.copytree({str(dump)!r}, {str(folder / 'dump')!r})"

        def instead(command: list[str], *rest: Any) -> None:
            run_guarded([sys.executable, "-c", program], *rest)

        monkeypatch.setattr(validation, "run_guarded", instead)
        return validation.validate(jobs, sampling, "some/model", 20, [], folder, 60)

    def test_records_are_of_the_problems_asked(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        jobs = [job(1, level=3, subject="Algebra", question="why?"), job(0, tokens=20)]
        dump = verl_dumps(tmp_path / "dump", {"gsm8k/1": [RIGHT, WRONG]})
        found = self.run(monkeypatch, tmp_path / "run", dump, jobs, Sampling(2, 0.7, 0.9, 64, 0))
        record, too_long = found["gsm8k"]
        assert {key: record[key] for key in ("index", "question", "ground_truth", "level", "subject")} == {
            **{"index": 1, "question": "why?", "ground_truth": "4", "level": "3", "subject": "Algebra"}
        }
        assert [sample["correct"] for sample in record["samples"]] == [True, False]
        assert [(s["correct"], s["finish_reason"]) for s in too_long["samples"]] == [(False, "prompt_too_long")] * 2
        (row,) = pd.read_parquet(tmp_path / "run" / "problems.parquet").to_dict(orient="records")
        assert row["prompt"].tolist() == [{"role": "user", "content": "question 1"}]
        assert json.loads(row[COLUMN])["extra_info"] == {"level": 3, "subject": "Algebra", "question": "why?"}

    def test_responses_that_are_missing_are_an_error(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        dump = verl_dumps(tmp_path / "dump", {"gsm8k/1": [RIGHT], "gsm8k/2": [RIGHT, RIGHT]})
        with pytest.raises(RunFailed, match=r"does not hold 2 responses .* 2 of 3 lack some, such as gsm8k/0, gsm8k/1"):
            jobs = [job(index) for index in range(3)]
            self.run(monkeypatch, tmp_path / "run", dump, jobs, Sampling(2, 0.7, 0.9, 64, 0))


class TestProcess:
    def guarded(self, tmp_path: Path, program: str, timeout: float = 60, fatal: bytes = b"") -> None:
        run_guarded([sys.executable, "-u", "-c", program], tmp_path / "log", timeout, "it failed", fatal, {"OWN": "1"})

    def test_what_fails_shows_the_end_of_its_log(self, tmp_path: Path) -> None:
        self.guarded(tmp_path, "import os; assert os.environ['OWN'] == '1'")
        with pytest.raises(RunFailed, match=r"(?s)it failed: it ended with status 1\. The end of .*KeyError: 3"):
            self.guarded(tmp_path, "{}[3]")

    @pytest.mark.parametrize("fatal", [b"", b"Error in _run_prompt"])
    def test_what_hangs_is_ended_with_all_that_it_started(self, tmp_path: Path, fatal: bytes) -> None:
        child = "import subprocess, sys; p = subprocess.Popen(['sleep', '60'], start_new_session=True); print(p.pid)"
        program = f"{child}; print('Error in ' + '_run_prompt for uid=3'); import time; time.sleep(60)"
        began = time.monotonic()
        with pytest.raises(RunFailed, match=r"it failed\. The end of" if fatal else "it did not end within 3 s"):
            self.guarded(tmp_path, program, 30 if fatal else 3, fatal)
        assert time.monotonic() - began < 25
        pid = int((tmp_path / "log").read_text().split()[0])
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

    @pytest.mark.parametrize("ask", [signal.SIGTERM, signal.SIGINT])
    def test_what_runs_is_ended_when_this_process_is_asked_to_end(self, tmp_path: Path, ask: int) -> None:
        program = (
            "import pathlib, signal, sys; from verl_prpo.evaluation.process import run_guarded\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "run_guarded(['sh', '-c', 'echo $$; sleep 60'], pathlib.Path(sys.argv[1]), 60, 'it failed')"
        )
        log = tmp_path / "log"
        command = [sys.executable, "-c", program, str(log)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            end = time.monotonic() + 40
            while not (log.is_file() and log.read_text().strip()):
                assert time.monotonic() < end and process.poll() is None
                time.sleep(0.1)
            process.send_signal(ask)
            assert process.wait(30) != 0
        assert not psutil.pid_exists(int(log.read_text()))


def test_what_verl_logs_of_a_failed_prompt_is_what_the_run_is_ended_for() -> None:
    import verl.trainer.ppo.v1.agent_loop_tq as loop

    assert validation.FATAL.decode() in Path(loop.__file__).read_text()
