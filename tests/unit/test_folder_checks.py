# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The folders that a run writes."""

from pathlib import Path

import pytest
from verl_configs import grpo

from verl_prpo.console.findings import CheckFailed, State
from verl_prpo.console.folder_checks import folders, unwritable
from verl_prpo.settings.training_config import TrainingArguments, compose_with_folder


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["trainer.save_freq=10", "trainer.default_local_dir=/proc/checkpoints"], "trainer.default_local_dir"),
        (["trainer.rollout_data_dir=/proc/rollouts"], "trainer.rollout_data_dir"),
        (["trainer.validation_data_dir=/proc/validation"], "trainer.validation_data_dir"),
    ],
)
def test_one_that_cannot_be_written_fails(overrides: list[str], key: str) -> None:
    with pytest.raises(CheckFailed, match=rf"{key}=/proc/\w+: nothing can be written in /proc") as failed:
        folders(grpo(*overrides), None)
    assert failed.value.advice.startswith(f"set {key}")


def test_hydras_own_folder_is_tried() -> None:
    _, asked = compose_with_folder(TrainingArguments(("hydra.run.dir=/proc/outputs",)))
    assert asked == "/proc/outputs"
    with pytest.raises(CheckFailed, match=r"hydra\.run\.dir=/proc/outputs"):
        folders(grpo(), asked)
    _, default = compose_with_folder(TrainingArguments(()))
    assert default is not None and default.startswith("outputs/")


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = grpo("trainer.save_freq=1", f"trainer.rollout_data_dir={tmp_path}/a/b/c")
    found = folders(config, "outputs/now")
    assert found.state is State.OK
    assert "trainer.default_local_dir=checkpoints/" in found.found
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_that_are_never_written_need_no_folder() -> None:
    assert "default_local_dir" not in folders(grpo("trainer.default_local_dir=/proc/x"), None).found


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    assert unwritable(tmp_path / "taken" / "deeper") == f"{tmp_path / 'taken'} is a file"


def test_a_tilde_that_verl_takes_as_it_stands_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = folders(grpo("trainer.rollout_data_dir='~/rollouts'"), None)
    assert found.state is State.WARNING
    assert f"trainer.rollout_data_dir={Path.home()}/rollouts" in found.advice
