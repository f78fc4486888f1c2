# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`load_prm`, the way to a PRM from a notebook: scores of the engine, or an error that says what to do."""

import doctest
import json
import pickle
import re
from pathlib import Path

import arithmetic_prm
import pytest
import torch
from tiny_causal_prms import implicit_pair
from tiny_head_prms import token_classification_prm
from tiny_models import instruct_model, qwen_math_prm

import verl_prpo
from verl_prpo.prm.families import BUILT_IN, FAMILIES, register_family
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.load import load_prm
from verl_prpo.prm.results import PrmFailure

DOCS = Path(__file__).parents[2] / "docs"
QUESTION = [{"role": "user", "content": "1 + 1?"}]
STEPS = ["We add.\n\n", "So 2."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(qwen_math_prm(tmp_path_factory.mktemp("prm")))


@pytest.fixture(scope="module")
def prm(folder):
    return load_prm(folder, device="cpu")


@pytest.fixture
def arithmetic(tmp_path):
    before = dict(FAMILIES)
    register_family(arithmetic_prm.ArithmeticPrm)
    yield load_prm(str(arithmetic_prm.model_folder(tmp_path)), family="arithmetic", device="cpu")
    FAMILIES.clear()
    FAMILIES.update(before)


def test_the_example_of_the_docstring_runs(folder):
    example = doctest.DocTestParser().get_doctest(
        load_prm.__doc__, {"load_prm": lambda path: load_prm(folder, device="cpu")}, "load_prm", None, 0
    )
    assert len(example.examples) == 5
    assert doctest.DocTestRunner(optionflags=doctest.FAIL_FAST).run(example).failed == 0


def test_the_example_of_the_documentation_runs(folder, monkeypatch):
    (code,) = re.findall(r"^```pycon\n(.*?)^```$", (DOCS / "prm.md").read_text(), re.DOTALL | re.MULTILINE)
    monkeypatch.setattr(verl_prpo, "load_prm", lambda path: load_prm(folder, device="cpu"))
    example = doctest.DocTestParser().get_doctest(code, {}, "prm.md", None, 0)
    assert len(example.examples) == 8
    assert doctest.DocTestRunner(optionflags=doctest.FAIL_FAST).run(example).failed == 0


def test_scores_are_those_that_the_steps_deserve(arithmetic):
    right, wrong = ["1 + 1 = 2. ", "So it is 2 * 3 = 6."], ["Well. ", "1 + 1 = 3."]
    assert arithmetic.score(QUESTION, right) == [0.9, 0.9]
    assert arithmetic.score_batch([(QUESTION, right), (QUESTION, wrong)]) == [[0.9, 0.9], [0.5, 0.1]]
    assert arithmetic.score(QUESTION, ["1 + 1 = 2.", "\n\n", "1 + 1 = 3."]) == [0.9, 0.9, 0.1]
    assert arithmetic.score_batch([]) == []
    assert arithmetic.score(tuple(QUESTION), tuple(right)) == [0.9, 0.9]


def test_it_says_what_it_is(prm, tmp_path):
    assert (prm.family, prm.score_range, prm.max_model_len) == ("qwen_math_prm", (0.0, 1.0), 256)
    assert (prm.prior_mean, prm.prior_std) == (0.5, pytest.approx(12**-0.5))
    assert repr(prm) == "LoadedPrm(family=qwen_math_prm, scores in [0, 1], max_model_len=256)"
    pure = load_prm(str(token_classification_prm(tmp_path)), device="cpu", family_options={"score": "p1-p0"})
    assert (pure.family, pure.score_range, pure.prior_mean) == ("token_classification", (-1.0, 1.0), 0.0)


def test_dtype_and_budget_are_as_asked(folder):
    prm = load_prm(folder, device="cpu", dtype=torch.bfloat16, max_tokens_per_forward=100)
    assert prm._engine.family.model.dtype is torch.bfloat16
    assert prm._engine.score.__self__.max_tokens_per_forward == 100
    assert load_prm(folder, device=torch.device("cpu"), dtype="float16")._engine.family.model.dtype is torch.float16


class TestNoScores:
    def test_a_response_too_long_is_an_error_with_the_numbers_and_the_way_out(self, prm):
        with pytest.raises(PrmError, match=r'no scores \(overlong\): .* at most 256\. .*overlong="neutral"') as caught:
            prm.score(QUESTION, ["We add. " * 300])
        assert caught.value.kind is PrmFailure.OVERLONG
        assert "data." not in str(caught.value)

    def test_neutral_gives_none_to_what_was_not_read(self, folder, prm):
        neutral = load_prm(folder, device="cpu", overlong="neutral")
        first, rest = neutral.score(QUESTION, ["We add.", "So 2. " * 300])
        assert rest is None and first == pytest.approx(prm.score(QUESTION, ["We add."])[0], abs=1e-5)

    def test_a_shorter_limit_is_kept(self, folder):
        short = load_prm(folder, device="cpu", max_model_len=100)
        assert short.max_model_len == 100 and len(short.score(QUESTION, STEPS)) == 2
        with pytest.raises(PrmError, match="reads at most 100"):
            short.score(QUESTION, ["We add. " * 30])

    @pytest.mark.parametrize(
        ("messages", "segments", "found"),
        [
            (QUESTION, [], "none of the 0 segments has words"),
            (QUESTION, [" ", "<think>"], "none of the 2 segments has words"),
            (QUESTION, "So 2.", r"segments must be a list of texts, and it is 'So 2\.'"),
            (QUESTION, ["So", 2], "segments must be a list of texts"),
            ("1 + 1?", STEPS, "messages must be a list of dicts with role and content, and it is '1"),
            ([], STEPS, "messages must be a list of dicts with role and content"),
            ([{"role": "user", "content": None}], STEPS, "messages must be a list of dicts with role and content"),
            ([{"content": "1 + 1?"}], STEPS, "messages must be a list of dicts with role and content"),
            ([{"role": "user", "content": [{"type": "image"}]}], STEPS, "'image'"),
        ],
    )
    def test_what_cannot_be_scored_is_named(self, prm, messages, segments, found):
        with pytest.raises(PrmError, match=rf"no scores \(bad_input\): .*{found}") as caught:
            prm.score(messages, segments)
        assert caught.value.kind is PrmFailure.BAD_INPUT

    def test_damaged_weights_give_no_score(self, tmp_path):
        damaged = load_prm(str(qwen_math_prm(tmp_path, damaged=True)), device="cpu")
        with pytest.raises(PrmError, match=r"no scores \(non_finite\).*dtype.*reward\.prm\.KEY its argument KEY"):
            damaged.score(QUESTION, STEPS)

    def test_one_of_many_is_named_and_can_be_left_out(self, prm):
        batch = [(QUESTION, STEPS), (QUESTION, ["We add. " * 300]), (QUESTION, [" "]), (QUESTION, STEPS[:1])]
        with pytest.raises(PrmError, match=r"^response 1: no scores \(overlong\).*\(2 of 4 responses have no scores"):
            prm.score_batch(batch)
        first, long, empty, last = prm.score_batch(batch, return_exceptions=True)
        assert (len(first), len(last)) == (2, 1)
        assert [type(long), type(empty)] == [PrmError, PrmError]
        assert (long.kind, empty.kind) == (PrmFailure.OVERLONG, PrmFailure.BAD_INPUT)

    def test_the_error_travels_between_processes(self, prm):
        (error,) = prm.score_batch([(QUESTION, [" "])], return_exceptions=True)
        again = pickle.loads(pickle.dumps(error))
        assert (str(again), again.kind) == (str(error), PrmFailure.BAD_INPUT)


class TestWhatCannotBeLoaded:
    def test_a_folder_that_is_no_known_prm_says_what_it_is_and_lists_the_families(self, tmp_path):
        content = {"architectures": ["BertForSequenceClassification"], "num_labels": 5, "model_type": "bert"}
        (tmp_path / "config.json").write_text(json.dumps(content))
        with pytest.raises(PrmError) as caught:
            load_prm(str(tmp_path), device="cpu")
        message = str(caught.value)
        assert "architectures=['BertForSequenceClassification'], model_type='bert', num_labels=5" in message
        assert all(name in message for name in BUILT_IN) and "its argument KEY" in message

    def test_an_instruct_model_is_no_prm_unless_asked_for(self, tmp_path):
        path = str(instruct_model(tmp_path))
        with pytest.raises(PrmError, match="no PRM family is known for it"):
            load_prm(path, device="cpu")
        assert load_prm(path, family="zero_shot_judge", device="cpu").family == "zero_shot_judge"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"family": "qwen_prm"}, r"reward\.prm\.family=qwen_prm is not known\. Did you mean qwen_math_prm"),
            ({"dtype": "float8"}, r"reward\.prm\.dtype=float8 is not known"),
            ({"overlong": "truncate"}, r"reward\.prm\.overlong=truncate is no longer a choice.*overlong=windows"),
            ({"max_model_len": 257}, "max_model_len=257 must be from 1 to 256"),
            ({"max_model_len": 0}, "max_model_len=0 must be from 1 to 256"),
            ({"max_tokens_per_forward": 0}, r"reward\.prm\.max_tokens_per_forward=0"),
            ({"family_options": {"separator": "\n"}}, r"family_options\.separator is no option"),
            ({"family": "skywork_prm"}, r"Skywork"),
        ],
    )
    def test_what_it_cannot_do_is_named(self, folder, arguments, message):
        with pytest.raises(PrmError, match=message):
            load_prm(folder, device="cpu", **arguments)

    def test_a_path_that_leads_nowhere_and_a_folder_without_weights_are_named(self, tmp_path, folder):
        with pytest.raises(PrmError, match=re.escape(f"{tmp_path / 'nowhere'}: there is no such folder")):
            load_prm(str(tmp_path / "nowhere"), device="cpu")
        (tmp_path / "config.json").write_text(json.dumps({"architectures": ["Qwen2ForProcessRewardModel"]}))
        with pytest.raises(PrmError, match=re.escape(f"{tmp_path} cannot be loaded: ")):
            load_prm(str(tmp_path), device="cpu")

    def test_a_family_of_two_models_takes_its_reference(self, tmp_path):
        model, reference = implicit_pair(tmp_path)
        with pytest.raises(PrmError, match="reference_model_path"):
            load_prm(str(model), family="implicit_prm", device="cpu")
        options = {"reference_model_path": str(reference)}
        prm = load_prm(str(model), family="implicit_prm", device="cpu", family_options=options)
        assert prm.prior_mean == 0 and len(prm.score(QUESTION, STEPS)) == 2
