# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Which family a configuration asks for, and what holds for every family that comes with the package."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_causal_prms import implicit_pair, label_token_prm, least_top, math_shepherd, rlhflow_prm, served_output
from tiny_head_prms import qwen3_token_classification_prm, skywork_prm, token_classification_prm
from tiny_models import instruct_model, qwen_math_prm
from transformers import AutoModelForTokenClassification, AutoTokenizer

from verl_prpo.prm.families import (
    BUILT_IN,
    ENTRY_POINTS,
    FAMILIES,
    checked_family,
    detect_family,
    family_names,
    register_built_in_families,
    resolve_family,
)
from verl_prpo.prm.families.base import PrmError, PrmFamily
from verl_prpo.prm.families.judge import ZeroShotJudge
from verl_prpo.prm.families.qwen_math import QwenMathPrm
from verl_prpo.prm.in_process.engine import InProcessEngine
from verl_prpo.prm.load import load_prm
from verl_prpo.prm.results import PrmRequest
from verl_prpo.settings.prpo import CustomFamily, PrmConfig

DOCS = Path(__file__).parents[2] / "docs"

TINY = {
    "qwen_math_prm": qwen_math_prm,
    "skywork_prm": skywork_prm,
    "token_classification": token_classification_prm,
    "label_token": lambda path: label_token_prm(path, template=None),
    "math_shepherd": math_shepherd,
    "rlhflow_prm": rlhflow_prm,
    "implicit_prm": lambda path: implicit_pair(path)[0],
    "zero_shot_judge": instruct_model,
}
"""A tiny model of each family, by its name."""

WRITE = {"generated_verdicts"}
"""Families whose judge writes at a server and has no model here, see test_prm_generated.py."""

MARKED = {"qwen_math_prm", "skywork_prm", "token_classification"}
"""Families whose models say so in their config."""

TALKERS = {"rlhflow_prm", "implicit_prm", "zero_shot_judge"}
"""Families that read an ordinary chat model in different ways; nothing in the model tells which is meant."""

OPTIONS = {"label_token": {"tag": " \n\n\n\n", "step": "{step}{tag}"}}
"""What a family cannot do without, by its name."""

CUSTOM = """
from verl_prpo.prm.families.base import Encoded, PrmFamily

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


def loaded(name: str, path: Path, options: dict) -> PrmFamily:
    family = resolve_family(PrmConfig(model_path=str(path), family=name))
    return family.load(str(path), device=torch.device("cpu"), dtype=torch.float32, **options)


def test_a_model_is_told_by_its_config(tmp_path):
    assert resolve_family(PrmConfig(model_path=str(qwen_math_prm(tmp_path)))) is QwenMathPrm


def test_a_name_overrides_what_the_config_tells(tmp_path):
    config = PrmConfig(model_path=str(qwen_math_prm(tmp_path)), family="zero_shot_judge")
    assert resolve_family(config) is ZeroShotJudge


def test_an_instruct_model_is_no_prm_unless_asked_for(tmp_path):
    with pytest.raises(PrmError, match=r"no PRM family is known.*reward\.prm\.family.*zero_shot_judge"):
        resolve_family(PrmConfig(model_path=str(instruct_model(tmp_path))))


@pytest.mark.parametrize(
    ("config", "found", "hint"),
    [
        (
            {"architectures": ["LlamaForCausalLM"], "model_type": "llama"},
            r"architectures=\['LlamaForCausalLM'\], model_type='llama', num_labels=2\)",
            r"label_token reads a label at a tag.*family_options\.tag.*rlhflow_prm",
        ),
        (
            {"architectures": ["Qwen3ForSequenceClassification"], "model_type": "qwen3", "id2label": {"0": "LABEL_0"}},
            r"architectures=\['Qwen3ForSequenceClassification'\], model_type='qwen3', num_labels=1, id2label=\{'0': 'L",
            r"one verdict on a whole text.*reward\.reward_model.*ForTokenClassification \(family token_class",
        ),
        (
            {"architectures": ["Qwen3ForTokenClassification"], "model_type": "qwen3", "num_labels": 3},
            r"num_labels=3",
            r"token_classification reads two classes.*For 3 a family of your own.*docs/prm\.md",
        ),
        (
            {"architectures": ["Qwen3ForProcessRewardModel"], "auto_map": {"AutoModel": "modeling.Qwen3PRM"}},
            r"architectures=\['Qwen3ForProcessRewardModel'\], model_type=None.*auto_map=\{'AutoModel': 'modeling\.Q",
            r"a head of its own.*qwen_math_prm reads a head of two classes on a Qwen2 trunk",
        ),
        ({"model_type": "qwen3"}, r"architectures=None, model_type='qwen3'", r"names no architecture"),
    ],
    ids=["language_model", "sequence_classifier", "three_classes", "own_head", "no_architecture"],
)
def test_a_model_of_no_family_is_named_with_what_to_try(tmp_path, config, found, hint):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        PrmError,
        match=rf"the family of .*{found}.* cannot be detected: no PRM family.*{hint}.*Set reward\.prm\.family to",
    ):
        resolve_family(PrmConfig(model_path=str(tmp_path)))
    with pytest.raises(PrmError, match=rf"{found}.*{hint}.*Here reward\.prm\.model_path is load_prm's path"):
        load_prm(tmp_path, device="cpu")


def test_a_sequence_classifier_is_refused_by_the_family_for_tokens(tmp_path):
    config = {"architectures": ["Qwen3ForSequenceClassification"], "model_type": "qwen3"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(PrmError, match=r"Qwen3ForSequenceClassification.*is no token classifier.*reward\.prm\.family"):
        load_prm(tmp_path, family="token_classification", device="cpu")


def test_a_qwen3_token_classifier_is_read_unasked(tmp_path):
    qwen3_token_classification_prm(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    model = AutoModelForTokenClassification.from_pretrained(tmp_path).eval()
    prm = load_prm(tmp_path, device="cpu")
    assert prm.family == "token_classification"
    steps = ["First we add.", "So it is 77."]
    pieces = ["What is 17 + 60?", steps[0], "\n", steps[1], "\n"]
    ids: list[int] = []
    ends = []
    for piece in pieces:
        ids += tokenizer(piece, add_special_tokens=False).input_ids
        ends.append(len(ids) - 1)
    with torch.no_grad():
        right = model(torch.tensor([ids])).logits[0, [ends[2], ends[4]]].softmax(-1)[:, 1].tolist()
    assert prm.score([{"role": "user", "content": pieces[0]}], steps) == pytest.approx(right, abs=1e-5)


def test_a_folder_of_an_adapter_says_what_to_merge(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "Qwen/Qwen2.5-Math-7B-Instruct"}')
    with pytest.raises(PrmError, match=r"LoRA adapter of Qwen/Qwen2\.5-Math-7B-Instruct: merge it"):
        detect_family(str(tmp_path))


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(PrmError, match=r"reward\.prm\.family=qwen_prm.*Did you mean qwen_math_prm\?"):
        resolve_family(PrmConfig(model_path="x", family="qwen_prm"))


def test_a_custom_family_comes_first(tmp_path):
    (tmp_path / "mine.py").write_text(CUSTOM)
    config = PrmConfig(family="qwen_math_prm", custom_family=CustomFamily(str(tmp_path / "mine.py"), "Constant"))
    assert resolve_family(config).name == "constant"


@pytest.mark.parametrize(
    ("family", "option", "message"),
    [
        ("token_classification", "seperator", r"Did you mean separator\? It takes separator, score, chat_template"),
        ("implicit_prm", "temperature", r"It takes reference_model_path, beta"),
        ("math_shepherd", "chat_template_kwargs", "It takes none"),
        ("zero_shot_judge", "chat_template_kwarg", r"Did you mean chat_template_kwargs\? It takes"),
        ("qwen_math_prm", "separator", r"It takes system, chat_template_kwargs\."),
        ("rlhflow_prm", "enable_thinking", r"It takes chat_template_kwargs\."),
    ],
)
def test_an_option_that_the_family_does_not_take_is_named(family, option, message):
    with pytest.raises(PrmError, match=rf"reward\.prm\.family_options\.{option} is no option.*{family}\. {message}"):
        resolve_family(PrmConfig(model_path="x", family=family, family_options={option: "\n"}))


@pytest.mark.parametrize(
    ("option", "setting"),
    [
        ("dtype", r"reward\.prm\.dtype"),
        ("device", r"trainer\.device"),
        ("model_path", r"reward\.prm\.model_path"),
        ("trust_remote_code", r"reward\.prm\.trust_remote_code"),
    ],
)
def test_what_is_a_setting_of_its_own_is_no_option_of_any_family(tmp_path, option, setting):
    (tmp_path / "mine.py").write_text(CUSTOM.replace("trust_remote_code=False", "trust_remote_code=False, **more"))
    custom = CustomFamily(str(tmp_path / "mine.py"), "Constant")
    for config in (PrmConfig(model_path="x", family="skywork_prm"), PrmConfig(custom_family=custom)):
        config.family_options = {option: "x"}
        advice = rf"family_options\.{option} is no option of a family\. The setting for it is {setting}"
        with pytest.raises(PrmError, match=advice):
            resolve_family(config)


def test_an_option_that_a_custom_family_needs_is_asked_for(tmp_path):
    needs = CUSTOM.replace("model_path, *, device", "path, *, weight, device")
    (tmp_path / "mine.py").write_text(needs)
    custom = CustomFamily(str(tmp_path / "mine.py"), "Constant")
    with pytest.raises(PrmError, match=r"family_options\.weight is not set, and the family constant needs it"):
        resolve_family(PrmConfig(custom_family=custom))
    assert resolve_family(PrmConfig(custom_family=custom, family_options={"weight": 1})).name == "constant"


def test_a_family_that_no_server_can_hold_says_so_whatever_its_options(tmp_path):
    (tmp_path / "mine.py").write_text(CUSTOM)
    family = resolve_family(PrmConfig(custom_family=CustomFamily(str(tmp_path / "mine.py"), "Constant")))
    with pytest.raises(PrmError, match=r"constant cannot be read from a server\. Unset reward\.prm\.server\.urls"):
        family.open("x", trust_remote_code=False, weight=2.0)


def test_options_go_to_a_custom_family_that_takes_them(tmp_path):
    taking = "def load(cls, model_path, *, device, dtype, trust_remote_code=False"
    for code, option, refused in (
        (CUSTOM.replace(taking, f"{taking}, weight=1.0"), "weight", False),
        (CUSTOM.replace(taking, f"{taking}, **options"), "anything", False),
        (CUSTOM, "weight", True),
    ):
        (tmp_path / "mine.py").write_text(code)
        custom = CustomFamily(str(tmp_path / "mine.py"), "Constant")
        config = PrmConfig(custom_family=custom, family_options={option: 2.0})
        if refused:
            with pytest.raises(PrmError, match=r"family_options\.weight is no option"):
                resolve_family(config)
        else:
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
    with pytest.raises(PrmError, match=r"is a file\. Give the folder"):
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


class TestEveryFamily:
    QUESTION = ({"role": "user", "content": "What is (17 + 60) / 7?"},)
    STEPS = ("First we add: 77.\n", "Then we divide by 7.\n", "It is 首先 11 😀.\n", "So the answer is 11.")

    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory):
        made = {}

        def folder(name):
            if name not in made:
                made[name] = TINY[name](tmp_path_factory.mktemp(name))
            return made[name]

        return folder

    @pytest.fixture(scope="class")
    def load(self, folder):
        made = {}

        def load(name, model=None) -> PrmFamily:
            path = folder(model or name)
            if (name, path) not in made:
                reference = {"reference_model_path": str(folder("implicit_prm").parent / "reference")}
                made[name, path] = loaded(name, path, reference if name == "implicit_prm" else OPTIONS.get(name, {}))
            return made[name, path]

        return load

    def test_has_a_tiny_model_here(self):
        assert set(TINY) == set(BUILT_IN) - WRITE

    @pytest.mark.parametrize("name", sorted(TINY))
    def test_declares_what_makes_sense_and_scores_within_it(self, load, name):
        family = checked_family(load(name), "reward.prm.family")
        assert family.name == name
        low, high = family.score_range
        scores = family.forward([family.encode(self.QUESTION, self.STEPS)])[0]
        assert len(scores) == len(self.STEPS)
        assert all(low <= score <= high for score in scores)

    @pytest.mark.parametrize("name", sorted(TINY))
    def test_scores_a_step_by_what_it_says_and_what_came_before(self, load, name):
        family = load(name)
        scores = family.forward([family.encode(self.QUESTION, self.STEPS)])[0]
        for k in range(len(self.STEPS)):
            corrupted = list(self.STEPS)
            corrupted[k] = "Therefore it is right and the product is 42.\n"
            moved = family.forward([family.encode(self.QUESTION, corrupted)])[0]
            assert moved[:k] == pytest.approx(scores[:k], abs=1e-5)
            assert abs(moved[k] - scores[k]) > 1e-4

    @pytest.mark.parametrize("name", sorted(TINY))
    def test_gives_scores_that_do_not_depend_on_the_batch_and_its_padding(self, load, name):
        family = load(name)
        rows = [family.encode(self.QUESTION, [*self.STEPS[:n], *["We add. "] * m]) for n, m in ((1, 0), (3, 9), (2, 4))]
        for row, scores in zip(rows, family.forward(rows), strict=True):
            assert scores == pytest.approx(family.forward([row])[0], abs=1e-5)

    @pytest.mark.parametrize("name", sorted(TINY))
    def test_scores_a_segment_of_white_space(self, load, name):
        family = load(name)
        assert len(family.forward([family.encode(self.QUESTION, ["  ", "\n", "add"])])[0]) == 3

    @pytest.mark.parametrize("name", ["label_token", "math_shepherd", "rlhflow_prm", "zero_shot_judge"])
    def test_reads_the_same_from_log_probabilities_of_a_server(self, load, folder, name):
        family = load(name)
        assert family.serving == "prompt_logprobs"
        client = type(family).open(str(folder(name)), **OPTIONS.get(name, {}))
        encoded = client.encode(self.QUESTION, self.STEPS)
        ids, scores = client.served_ids(encoded), family.forward([encoded])[0]
        complete = served_output(family.model, ids, len(family.tokenizer))
        assert ids[:-1] == encoded.input_ids
        assert client.served_scores(encoded, complete) == pytest.approx(scores, abs=1e-5)
        named = served_output(family.model, ids, least_top(complete, encoded.reads, client.label_ids))
        assert client.served_scores(encoded, named) == pytest.approx(scores, abs=1e-5)

    @pytest.mark.parametrize("name", sorted(set(TINY) - {"implicit_prm"}))  # which compares two tokenizers first
    def test_refuses_a_tokenizer_of_another_model(self, folder, tmp_path, name):
        path = shutil.copytree(folder(name), tmp_path / "model")
        tokenizer = AutoTokenizer.from_pretrained(path)
        tokenizer.add_tokens(["first", "second"])
        tokenizer.save_pretrained(path)
        with pytest.raises(PrmError, match=r"token ids up to \d+, but the weights have \d+ embeddings.*model_path"):
            loaded(name, path, OPTIONS.get(name, {}))

    @pytest.mark.parametrize("name", sorted(TINY))
    def test_scores_steps_out_of_order_otherwise(self, load, name):
        family = load(name)
        first, second, third, last = self.STEPS
        scores = family.forward([family.encode(self.QUESTION, self.STEPS)])[0]
        shuffled = family.forward([family.encode(self.QUESTION, [first, third, second, last])])[0]
        assert shuffled[0] == pytest.approx(scores[0], abs=1e-5)
        for k in range(1, 4):
            assert abs(shuffled[k] - scores[k]) > 1e-4

    @pytest.mark.parametrize("name", sorted(TINY))
    def test_is_told_by_the_config_of_its_models_where_that_is_certain(self, folder, name):
        if name in MARKED:
            assert detect_family(str(folder(name))) == name
        else:
            with pytest.raises(PrmError, match=r"no PRM family is known for it.*reward\.prm\.family"):
                detect_family(str(folder(name)))

    @pytest.mark.parametrize(
        ("name", "model"), [(a, b) for a in sorted(TINY) for b in sorted(TINY) if a != b and not {a, b} <= TALKERS]
    )
    def test_refuses_the_models_of_every_other(self, load, name, model):
        claimed = rf"model_path=.*\({model}\).*Leave reward\.prm\.family unset"
        with pytest.raises(PrmError, match=claimed if model in MARKED and name not in MARKED else r"reward\.prm\."):
            load(name, model)


class TestTheFamilyInTheDocumentation:
    @pytest.fixture
    def example(self, tmp_path):
        (code,) = re.findall(r"^```python\n(.*?)^```$", (DOCS / "prm.md").read_text(), re.DOTALL | re.MULTILINE)
        file = tmp_path / "three_class_prm.py"
        file.write_text(code)
        model = token_classification_prm(tmp_path / "model", labels=3)
        config = PrmConfig(model_path=str(model), custom_family=CustomFamily(str(file), "ThreeClassPrm"))
        return resolve_family(config), model

    def test_scores_as_it_says(self, example):
        family, path = example
        prm = family.load(str(path), device=torch.device("cpu"), dtype=torch.float32, neutral=0.8)
        assert checked_family(prm, "reward.prm.custom_family").name == "three_class_prm"
        segments = ["First we add: 77.", " So it is 首先 11 😀."]
        request = PrmRequest([{"role": "user", "content": "What is (17 + 60) / 7?"}], segments)
        (result,) = InProcessEngine(prm, max_tokens_per_forward=1024).score([request])

        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModelForTokenClassification.from_pretrained(path, dtype=torch.float32).eval()
        newline = tokenizer("\n").input_ids
        problem, *steps = [tokenizer(text).input_ids + newline for text in ("What is (17 + 60) / 7?", *segments)]
        ends = [len(problem + steps[0]) - 1, len(problem + steps[0] + steps[1]) - 1]
        with torch.no_grad():
            logits = model(torch.tensor([problem + steps[0] + steps[1]])).logits[0, ends]
        wrong, neutral, right = logits.exp().unbind(-1)
        assert result.scores == pytest.approx(((0.8 * neutral + right) / (wrong + neutral + right)).tolist(), abs=1e-5)

    def test_refuses_a_classifier_of_two_classes(self, example, tmp_path):
        path = token_classification_prm(tmp_path / "two")
        with pytest.raises(PrmError, match="has 2 classes, not 3"):
            example[0].load(str(path), device=torch.device("cpu"), dtype=torch.float32)

    def test_stands_beside_every_family_of_the_package_in_the_table(self):
        table = (DOCS / "prm.md").read_text().split("## The table")[1].split("##")[0]
        assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(BUILT_IN)


class TestAnotherPackage:
    @pytest.fixture
    def install(self, tmp_path, monkeypatch):
        def install(code: str, entry_point: str) -> None:
            (tmp_path / "their_prms.py").write_text(code)
            metadata = tmp_path / "their_prms-1.0.dist-info"
            metadata.mkdir()
            (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-prms\nVersion: 1.0\n")
            (metadata / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\n{entry_point}\n")
            monkeypatch.syspath_prepend(tmp_path)

        before = dict(FAMILIES)
        yield install
        FAMILIES.clear()
        FAMILIES.update(before)
        sys.modules.pop("their_prms", None)

    def test_offers_a_family_by_an_entry_point(self, install):
        install(CUSTOM, "constant = their_prms:Constant")
        assert "constant" in family_names()
        assert "their_prms" not in sys.modules  # a list of names imports nothing
        assert resolve_family(PrmConfig(model_path="x", family="constant")).name == "constant"

    def test_offers_one_that_is_told_by_a_config(self, install, tmp_path):
        claim = "    @classmethod\n    def detects(cls, config):\n        return config.get('model_type') == 'theirs'\n"
        install(CUSTOM + "\n" + claim, "constant = their_prms:Constant")
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "theirs"}))
        assert resolve_family(PrmConfig(model_path=str(tmp_path))).name == "constant"

    @pytest.mark.parametrize(
        ("code", "entry_point", "message"),
        [
            ("import no_such_module_anywhere", "constant = their_prms:Constant", "ModuleNotFoundError"),
            (CUSTOM, "constant = their_prms:Missing", "AttributeError"),
            ("Constant = 3", "constant = their_prms:Constant", "not a subclass of"),
            (CUSTOM, "other = their_prms:Constant", "calls itself 'constant'"),
            (CUSTOM.replace('"constant"', '"skywork_prm"'), "skywork_prm = their_prms:Constant", "already registered"),
        ],
    )
    def test_that_offers_what_cannot_be_used_is_named(self, install, code, entry_point, message):
        install(code, entry_point)
        with pytest.raises(PrmError, match=f"that their-prms offers .*{message}"):
            register_built_in_families()


def test_the_interface_is_light():
    code = "import sys, verl_prpo.prm.families; print([m for m in ('transformers', 'verl', 'ray') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert printed.stdout.strip() == "[]"
