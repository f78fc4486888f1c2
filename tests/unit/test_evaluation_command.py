# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo eval`: every mistake is answered by what is wrong and what fixes it, before verl is started."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from tiny_models import instruct_model

from verl_prpo.cli.main import main
from verl_prpo.evaluation import RunFailed, validation


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name is looked up on the hub."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return instruct_model(tmp_path_factory.mktemp("model"), context=64)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [
        {
            "data_source": "openai/gsm8k",
            "prompt": [{"role": "user", "content": "What? " * (1 + 40 * i)}],
            "reward_model": {"style": "rule", "ground_truth": "4"},
            "extra_info": {"index": i},
        }
        for i in range(2)
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "gsm8k_test.parquet")
    return tmp_path / "gsm8k_test.parquet"


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """What the command says to arguments that cannot be used."""
    assert main(["eval", *map(str, words)]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--limit", "0"], "--limit 0 must be at least 1"),
        (["--samples", "4", "--temperature", "0"], "all samples would be the same"),
        (["--timeout", "0"], "--timeout 0 must be at least 1"),
        (["reward.custom_reward_function.path=nowhere.py"], "nowhere.py"),
        (["actor_rollout_ref.rollout.val_kwargs.n=3"], "--samples sets this"),
        (["actor_rollout_ref.rollout.tensor_parallel=4"], "tensor_parallel"),
        (["--against", "nowhere"], "has no evaluation.json"),
        ([], "gsm8k_test/1 ("),
    ],
)
def test_arguments_that_cannot_be_used(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path, data: Path, options: Sequence[str], fault: str
) -> None:
    assert fault in refused(capsys, model, "--data", data, "--out", tmp_path / "out", *options)
    assert not (tmp_path / "out" / "evaluation.json").exists()


def test_what_is_missing(capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path, data: Path) -> None:
    assert "give --data FILE and --out DIR" in refused(capsys, model)
    assert "no such folder" in refused(capsys, tmp_path / "none", "--data", data, "--out", tmp_path / "out")
    said = refused(capsys, "nobody/no-such-model", "--data", data, "--out", tmp_path / "out")
    assert "neither a folder here nor a model that the Hugging Face hub gives" in said


def test_a_model_without_chat_template(capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path) -> None:
    bare = instruct_model(tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    assert "has no chat template" in refused(capsys, bare, "--data", data, "--out", tmp_path / "out")


def test_an_output_folder_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path, data: Path
) -> None:
    (tmp_path / "file").touch()
    said = refused(capsys, model, "--data", data, "--out", tmp_path / "file" / "out")
    assert "cannot be written" in said and "file" in said


def test_a_ground_truth_that_the_verifier_cannot_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path, data: Path
) -> None:
    rows = pd.read_parquet(data)
    rows["reward_model"] = [{"style": "rule", "ground_truth": ["4", "four"]}] * 2
    rows.to_parquet(data)
    assert "is neither text nor a number but ['4', 'four']" in refused(
        capsys, model, "--data", data, "--out", tmp_path / "out"
    )


@pytest.mark.parametrize(
    ("option", "new"),
    [
        ("--vllm", "engine_kwargs.vllm.KEY=VALUE"),
        ("--reward-function", "reward.custom_reward_function.path=FILE"),
        ("--chat-template-kwargs", "++data.apply_chat_template_kwargs.KEY=VALUE"),
        ("--trust-remote-code", "actor_rollout_ref.model.trust_remote_code=True"),
    ],
)
def test_an_option_of_earlier_versions_names_the_setting(
    capsys: pytest.CaptureFixture[str], option: str, new: str
) -> None:
    with pytest.raises(SystemExit):
        main(["eval", "some/model", option, "x"])
    assert new in " ".join(capsys.readouterr().err.split())


class TestRuns:
    """The order of things around runs of verl; in their place stand records given here."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
        asked: list[tuple] = []

        def answer(jobs, sampling, model, context, overrides, folder, timeout):  # instead of minutes in verl
            asked.append((sorted({job.set_name for job in jobs}), sampling.samples, list(overrides), timeout))
            sample = {"text": "4", "tokens": 1, "finish_reason": "stop", "answer": "4", "correct": True, "method": "x"}
            found: dict[str, list] = {}
            for job in jobs:
                samples = [sample] * sampling.samples
                found.setdefault(job.set_name, []).append({**job.problem.about(), "samples": samples})
            return found

        monkeypatch.setattr(validation, "validate", answer)
        return asked

    def words(self, tmp_path: Path, model: Path, data: Path, *more: str) -> list[str]:
        return ["eval", str(model), "--data", str(data), "--out", str(tmp_path / "out"), "--skip-long-prompts", *more]

    def test_sets_that_are_drawn_alike_share_a_run(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path, data: Path, asked: list[tuple]
    ) -> None:
        for name in ("math500", "aime24"):
            pd.read_parquet(data).to_parquet(tmp_path / f"{name}.parquet")
        files = [str(tmp_path / f"{name}.parquet") for name in ("math500", "aime24")]
        words = self.words(tmp_path, model, data, "--timeout", "99", "--json")
        words[3:3] = [*files, "trainer.n_gpus_per_node=2"]
        assert main(words) == 0
        gpus = ["trainer.n_gpus_per_node=2"]
        assert asked == [(["gsm8k_test", "math500"], 1, gpus, 99.0), (["aime24"], 32, gpus, 99.0)]
        assert set(json.loads(capsys.readouterr().out)["sets"]) == {"math500", "aime24", "gsm8k_test"}

    def test_the_same_command_reads_what_is_there_and_another_setting_is_refused(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path, data: Path, asked: list[tuple]
    ) -> None:
        words = self.words(tmp_path, model, data)
        assert main(words) == 0 and main([*words, "actor_rollout_ref.rollout.gpu_memory_utilization=0.8"]) == 0
        assert "evaluated before" in capsys.readouterr().err and len(asked) == 1
        for more, fault in (
            (["--max-tokens", "9"], "gsm8k_test, max_tokens: 2048 there, 9 now"),
            (["--limit", "1"], "gsm8k_test, selected: 2 there, 1 now"),
            (["++data.apply_chat_template_kwargs.x=1"], "gsm8k_test, overrides: [] there, ['++data"),
        ):
            assert fault in refused(capsys, *words[1:], *more)
        assert main(["eval", str(tmp_path / "out"), "--against", str(tmp_path / "out")]) == 0
        assert "1.000" in capsys.readouterr().out and len(asked) == 1

    def test_a_run_that_fails_leaves_finished_sets_and_no_others(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path, data: Path, monkeypatch
    ) -> None:
        def fail(*_):
            raise RunFailed("verl's validation failed. The end of its log")

        monkeypatch.setattr(validation, "validate", fail)
        assert main(self.words(tmp_path, model, data)) == 1
        assert "verl's validation failed" in capsys.readouterr().err
        assert not (tmp_path / "out" / "gsm8k_test.jsonl").exists()
