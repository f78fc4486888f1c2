# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Which family a configuration asks for."""

import subprocess
import sys

import numpy as np
import pytest
from tiny_models import instruct_model, qwen_math_prm

from verl_prpo.config import CustomFamily, PrmConfig
from verl_prpo.prm.families import resolve_family
from verl_prpo.prm.families.judge import ZeroShotJudge
from verl_prpo.prm.families.qwen_math import QwenMathPrm
from verl_prpo.prm.family import PrmError, checked_family, detect_family

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
        (CUSTOM.replace("def forward", "def forwards"), "Constant", "Constant does not define forward"),
        (CUSTOM.replace("def load", "def loads"), "Constant", "Constant does not define load"),
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


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "is a folder without a config.json"),
        (b'{"architectures": [', "cannot be read: JSONDecodeError"),
        (b"\xff\xfe\x00", "cannot be read: UnicodeDecodeError"),
        (b'["Qwen2ForProcessRewardModel"]', "holds a list where an object belongs"),
    ],
)
def test_a_folder_whose_config_cannot_be_used_says_why(tmp_path, config, message):
    if config is not None:
        (tmp_path / "config.json").write_bytes(config)
    with pytest.raises(PrmError, match=rf"reward\.prm\.model_path={tmp_path}.*{message}"):
        detect_family(str(tmp_path))


@pytest.mark.parametrize("path", ["/nowhere/prm", "./nowhere/prm", "../nowhere", "~/nowhere"])
def test_a_folder_that_is_not_there_is_no_name_on_the_hub(path):
    with pytest.raises(PrmError, match=rf"reward\.prm\.model_path={path}: there is no such folder on this node"):
        detect_family(path)


def test_a_file_of_weights_is_no_folder(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(PrmError, match="is a file; give the folder"):
        detect_family(str(tmp_path / "model.safetensors"))


class TestWhatAFamilyDeclares:
    @pytest.fixture
    def family(self, tmp_path):
        (tmp_path / "mine.py").write_text(CUSTOM)
        config = PrmConfig(custom_family=CustomFamily(str(tmp_path / "mine.py"), "Constant"))
        return resolve_family(config).load("x", device=None, dtype=None)

    def test_passes_as_it_is_when_it_makes_sense(self, family):
        family.score_range, family.prior_mean, family.prior_std = [-1, np.float32(1)], 0, np.float64(0.5)
        assert checked_family(family, "reward.prm.custom_family") is family

    @pytest.mark.parametrize(
        ("attribute", "value"),
        [
            ("name", None),
            ("name", 3),
            ("name", ""),
            ("max_context", None),
            ("max_context", 0),
            ("max_context", -1),
            ("max_context", 512.0),
            ("max_context", "512"),
            ("max_context", True),
            ("score_range", None),
            ("score_range", (1.0, 0.0)),
            ("score_range", (0.5, 0.5)),
            ("score_range", (0.0, float("inf"))),
            ("score_range", (float("nan"), 1.0)),
            ("score_range", (0.0, 0.5, 1.0)),
            ("score_range", "01"),
            ("prior_mean", float("nan")),
            ("prior_mean", None),
            ("prior_std", 0.0),
            ("prior_std", -1.0),
            ("prior_std", float("inf")),
            ("prior_std", "0.3"),
        ],
    )
    def test_is_refused_with_the_attribute_and_the_setting_when_it_does_not(self, family, attribute, value):
        setattr(family, attribute, value)
        with pytest.raises(PrmError, match=rf"^reward\.prm\.custom_family: Constant\.{attribute} must be .*, and is "):
            checked_family(family, "reward.prm.custom_family")

    def test_is_refused_when_it_is_missing(self, family):
        del type(family).name
        with pytest.raises(PrmError, match=r"Constant\.name must be"):
            checked_family(family, "reward.prm.custom_family")

    def test_counts_only_on_a_family(self, family):
        with pytest.raises(PrmError, match="load returned ABCMeta where a PrmFamily belongs"):
            checked_family(type(family), "reward.prm.custom_family")


def test_the_interface_is_light():
    code = "import sys, verl_prpo.prm.families; print([m for m in ('transformers', 'verl', 'ray') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert printed.stdout.strip() == "[]"
