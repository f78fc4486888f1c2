# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo eval`: every mistake is answered by what is wrong and what mends it, before vLLM is started."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from tiny_models import instruct_model

from verl_prpo.cli.main import main


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sets variables for vLLM; none of them must outlive a test."""
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
        (["--vllm", "tensor_parallel_size"], "KEY=VALUE"),
        (["--reward-function", "nowhere.py"], "no file nowhere.py"),
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


def test_a_machine_without_vllm(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "vllm", None)
    words = ["eval", str(model), "--data", str(data), "--out", str(tmp_path / "out"), "--skip-long-prompts"]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "pip install vllm" in said and "the same command goes on from here" in said
    # What needs no vLLM is done, and shown as what it is.
    assert main(["eval", str(tmp_path / "out"), "--json"]) == 0
    printed = capsys.readouterr()
    assert "is unfinished (gsm8k_test: 1 of 2)" in printed.err
    assert json.loads(printed.out)["sets"]["gsm8k_test"]["too_long"] == 1


def test_chat_template_arguments_must_be_an_object(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    for given, fault in (("[1]", "is no JSON object"), ("{", "invalid")):
        with pytest.raises(SystemExit):
            main(["eval", str(model), "--chat-template-kwargs", given])
        assert fault in capsys.readouterr().err
