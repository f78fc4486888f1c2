# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Texts in the settings, as they will be matched."""

import json
from pathlib import Path

import pytest
from verl_configs import prpo

from verl_prpo.console.findings import CheckFailed, State
from verl_prpo.doctor.text_checks import texts
from verl_prpo.settings.prpo import prm_config

TEXT = "+algorithm.prpo.segmenter=text"


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    folder = tmp_path / "rollouts"
    folder.mkdir()
    outputs = ["one step", "a\n\nb", "c\n\nd\n\ne"]
    rows = [json.dumps({"input": "user\nq\nassistant\n", "output": output, "score": 1.0}) for output in outputs]
    (folder / "1.jsonl").write_text("\n".join(rows) + "\n")
    return folder


def test_they_are_shown_as_python_writes_them() -> None:
    config = prpo(TEXT, "+reward.prm.family_options={separator: ' ки', inner: {mark: 'a\tb'}, beta: 0.05}")
    assert texts(config, prm_config(config.reward), None).found.splitlines() == [
        r"algorithm.prpo.delimiters: '\n\n'",
        "reward.prm.family_options.separator: ' ки'",
        r"reward.prm.family_options.inner.mark: 'a\tb'",
    ]
    assert texts(prpo(), None, None).state is State.SKIPPED


def test_delimiters_are_counted_in_a_dump(dump: Path) -> None:
    found = texts(prpo(TEXT), None, dump)
    assert (found.state, found.details["with"]) == (State.OK, {"\n\n": 2})
    assert r"'\n\n' is in 2 of 3 responses" in found.found


def test_delimiters_in_hidden_thoughts_are_not_counted(dump: Path) -> None:
    outputs = ["a\n\nb</think>c", "d</think>e\n\nf", "g\n\nh"]
    rows = [json.dumps({"input": "user\nq\nassistant\n", "output": output, "score": 1.0}) for output in outputs]
    (dump / "1.jsonl").write_text("\n".join(rows) + "\n")
    prm = {name: prm_config({"prm": {"thinking": name}}) for name in ("score", "hide")}
    assert texts(prpo(TEXT), prm["score"], dump).details["with"] == {"\n\n": 3}
    found = texts(prpo(TEXT), prm["hide"], dump)
    assert found.details["with"] == {"\n\n": 2}
    assert "outside the thoughts that are hidden (reward.prm.thinking=hide)" in found.found


def test_one_that_never_occurs_is_a_warning_and_all_of_them_a_failure(dump: Path) -> None:
    one = texts(prpo(TEXT, "+algorithm.prpo.delimiters=['b','Step']"), None, dump)
    assert (one.state, one.details["with"]) == (State.WARNING, {"b": 1, "Step": 0})
    with pytest.raises(CheckFailed, match="'Step' is in 0 of 3 responses") as failed:
        texts(prpo(TEXT, "+algorithm.prpo.delimiters=['Step']"), None, dump)
    assert "each response would be one segment" in failed.value.advice


def test_a_dump_is_looked_at_whatever_cuts(dump: Path, tmp_path: Path) -> None:
    found = texts(prpo(), None, dump)
    assert found.state is State.OK
    assert "is not read: algorithm.prpo.segmenter=entropy cuts at no delimiter" in found.found
    with pytest.raises(CheckFailed, match=r"holds no \.jsonl file"):
        texts(prpo(), None, tmp_path)


@pytest.mark.parametrize(
    ("given", "command"),
    [
        (r"'\therefore'", r"\therefore"),
        (r"'$\rightarrow$'", r"\rightarrow"),
        (r"'\neq '", r"\neq"),
        ("'\b" + "egin{'", r"\begin"),  # as YAML reads it between double quotes
    ],
)
def test_an_escape_that_was_a_command_of_latex_is_hinted_at(given: str, command: str, dump: Path) -> None:
    found = texts(prpo(TEXT, f"+algorithm.prpo.delimiters=[{given}]"), None, None)
    assert found.state is State.WARNING
    assert rf"If the LaTeX command {command} is meant, write \{command} with two backslashes" in found.advice
    with pytest.raises(CheckFailed) as failed:
        texts(prpo(TEXT, f"+algorithm.prpo.delimiters=[{given}]"), None, dump)
    assert rf"write \{command}" in failed.value.advice


def test_what_is_advised_is_read_as_the_command() -> None:
    config = prpo(TEXT, r"+algorithm.prpo.delimiters=['\\therefore','\nStep','\n\n','\tx']")
    found = texts(config, None, None)
    assert (found.state, found.details["delimiters"]) == (State.OK, [r"\therefore", "\nStep", "\n\n", "\tx"])


def test_a_dump_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match=r"holds no \.jsonl file"):
        texts(prpo(TEXT), None, tmp_path)
    with pytest.raises(CheckFailed, match="--dump"):
        texts(prpo(TEXT), None, tmp_path / "none.jsonl")
    (tmp_path / "own.jsonl").write_text('{"text": "x"}\n')
    with pytest.raises(CheckFailed, match="holds no response"):
        texts(prpo(TEXT), None, tmp_path / "own.jsonl")
