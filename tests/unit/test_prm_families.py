# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Which family a configuration asks for."""

import subprocess
import sys

import pytest
from tiny_models import instruct_model, qwen_math_prm

from verl_prpo.config import CustomFamily, PrmConfig
from verl_prpo.prm.families import resolve_family
from verl_prpo.prm.families.judge import ZeroShotJudge
from verl_prpo.prm.families.qwen_math import QwenMathPrm
from verl_prpo.prm.family import PrmError

CUSTOM = """
from verl_prpo.prm.family import Encoded, PrmFamily

class Constant(PrmFamily):
    name = "constant"
    max_context = 100

    @classmethod
    def load(cls, model_path, *, device, dtype, trust_remote_code=False):
        return cls()

    def encode(self, messages, segments):
        return Encoded([0] * len(segments), list(range(len(segments))))

    def forward(self, batch):
        return [[0.5] * len(row.reads) for row in batch]
"""


def test_a_model_is_told_by_its_config(tmp_path):
    assert resolve_family(PrmConfig(model_path=str(qwen_math_prm(tmp_path)))) is QwenMathPrm


def test_a_name_overrides_what_the_config_tells(tmp_path):
    config = PrmConfig(model_path=str(qwen_math_prm(tmp_path)), family="zero_shot_judge")
    assert resolve_family(config) is ZeroShotJudge


def test_an_instruct_model_is_no_prm_unless_asked_for(tmp_path):
    with pytest.raises(PrmError, match=r"no PRM family is known.*reward\.prm\.family.*zero_shot_judge"):
        resolve_family(PrmConfig(model_path=str(instruct_model(tmp_path))))


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(PrmError, match=r"reward\.prm\.family=qwen_prm.*did you mean qwen_math_prm\?"):
        resolve_family(PrmConfig(model_path="x", family="qwen_prm"))


def test_a_custom_family_comes_first(tmp_path):
    (tmp_path / "mine.py").write_text(CUSTOM)
    config = PrmConfig(family="qwen_math_prm", custom_family=CustomFamily(str(tmp_path / "mine.py"), "Constant"))
    assert resolve_family(config).name == "constant"


@pytest.mark.parametrize(
    ("code", "name", "message"),
    [
        (None, "Mine", "no such file"),
        ("Mine = 3", "Mine", "not a subclass"),
        (CUSTOM, "Mine", "defines no Mine"),
        ("import no_such_module_anywhere", "Mine", "ModuleNotFoundError"),
    ],
)
def test_a_custom_family_that_cannot_be_used_says_why(tmp_path, code, name, message):
    if code is not None:
        (tmp_path / "mine.py").write_text(code)
    config = PrmConfig(custom_family=CustomFamily(str(tmp_path / "mine.py"), name))
    with pytest.raises(PrmError, match=f"reward.prm.custom_family.*{message}"):
        resolve_family(config)


def test_a_model_path_that_leads_nowhere_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(PrmError, match=r"reward\.prm\.model_path"):
        resolve_family(PrmConfig(model_path=str(tmp_path / "nowhere")))


def test_the_interface_is_light():
    code = "import sys, verl_prpo.prm.families; print([m for m in ('transformers', 'verl', 'ray') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert printed.stdout.strip() == "[]"
