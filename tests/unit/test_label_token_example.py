# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""examples/label_token: a PRM that is trained in seconds, and the look at it that finds the options of a checkpoint."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from label_token import look, tiny_prm
from verl_configs import compose

from verl_prpo import load_prm
from verl_prpo.prm.families.base import PrmError
from verl_prpo.settings.prm import prm_config

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "prm.md").read_text(encoding="utf-8")
OPTIONS = {"tag": "\n\n\n\n", "problem": "{problem} \n\n", "step": "{step} {tag}"}
QUESTION = [{"role": "user", "content": look.PROBLEM}]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("label_token")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the command does
    try:
        return str(folder), tiny_prm.train(folder)
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(trained):
    return trained[0]


def test_the_prm_learns_its_task(trained):
    assert trained[1] > 0.95


def test_with_the_options_of_its_training_it_tells_a_wrong_step_from_a_right_one(folder):
    dialogue, verdicts = look.look(folder, OPTIONS, look.PROBLEM, look.STEPS)
    text = "What is 2 + 2 + 1? \n\n2 + 2 = 4. \n\n\n\n4 + 1 = 3. \n\n\n\n"
    assert dialogue == text
    assert [verdict.score > 0.5 for verdict in verdicts] == [True, False]
    assert verdicts[0].score > 0.95 and verdicts[1].score < 0.05
    for verdict, label in zip(verdicts, "+-", strict=True):
        assert sum(verdict.labels.values()) > 0.95 and verdict.likeliest[0][0] == label
    assert look.shown(dialogue, look.STEPS, verdicts).endswith(look.SAYS)
    loaded = load_prm(folder, family="label_token", family_options=OPTIONS, device="cpu")
    assert loaded.score(QUESTION, look.STEPS) == pytest.approx([v.score for v in verdicts], abs=1e-5)


def test_labels_that_it_was_not_trained_on_show_those_that_it_says(folder):
    dialogue, verdicts = look.look(folder, OPTIONS | {"good": " +", "bad": " ="}, look.PROBLEM, look.STEPS)
    assert all(sum(verdict.labels.values()) < 0.1 for verdict in verdicts)
    assert [verdict.likeliest[0][0] for verdict in verdicts] == ["+", "-"]
    assert look.shown(dialogue, look.STEPS, verdicts).endswith(look.SAYS_OTHERS)


def test_a_tag_that_is_several_tokens_is_refused_with_what_it_became(folder):
    with pytest.raises(PrmError, match=r"no one token for the tag 'ки'.*family_options\.tag"):
        look.look(folder, OPTIONS | {"tag": "ки"}, look.PROBLEM, look.STEPS)


def test_the_lines_for_a_training_command_bring_the_same_options(folder):
    lines = shlex.split(" ".join(look.overrides(folder, OPTIONS | {"bos": False})))
    prm = prm_config(compose("ppo_trainer", lines, None).reward)
    assert (prm.model_path, prm.family) == (folder, "label_token")
    loaded = load_prm(folder, family=prm.family, family_options=prm.family_options, device="cpu")
    here = load_prm(folder, family="label_token", family_options=OPTIONS, device="cpu")
    assert loaded.score(QUESTION, look.STEPS) == here.score(QUESTION, look.STEPS)


@pytest.mark.parametrize(
    ("options", "status", "found"),
    [
        (json.dumps(OPTIONS), 0, "load_prm("),
        ("{}", 1, "family_options.tag is not set"),
        ('{"tga": "+"}', 1, "tga is no option of the family label_token. Did you mean tag?"),
        ("[1]", 2, "must be a JSON object"),
        ("tag=+", 2, "invalid loads value"),
    ],
    ids=["right", "no tag", "a mistyped option", "a list", "no JSON"],
)
def test_the_command_prints_what_the_page_shows(folder, options, status, found, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["look.py", folder, options])
    try:
        ended = look.main()
    except SystemExit as stop:
        ended = stop.code
    printed = capsys.readouterr()
    assert ended == status and found in printed.out + printed.err
    if status == 0:
        (command,) = re.findall(r"^python (\S+/look\.py \.label_token .*)$", PAGE, re.MULTILINE)
        assert json.loads(shlex.split(command)[-1]) == OPTIONS
        (page,) = re.findall(r"look\.py \.label_token.*?```\n\n.*?```text\n(.*?)```", PAGE, re.DOTALL)
        assert _rounded(printed.out.replace(folder, ".label_token")) == _rounded(page)


def _rounded(text: str) -> str:
    """Without the probabilities of tokens that hardly ever come, and the last digit of the others."""
    text = re.sub(r"; likeliest ('.') ([\d.]+).*", r"; likeliest \1 \2", text)
    return re.sub(r"\b[01]\.\d\d\b", lambda number: str(round(float(number.group()))), text)
