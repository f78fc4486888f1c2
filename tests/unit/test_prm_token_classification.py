# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The family `token_classification`, compared with TRL's way of writing a dialogue and a plain classifier's output."""

import json

import pytest
import torch
from safetensors.torch import load_file
from tiny_head_prms import bert_tagger, llama_token_classification_prm, token_classification_prm
from tiny_models import SEPARATOR, instruct_model, qwen_math_prm
from transformers import AutoModel, AutoModelForTokenClassification, AutoTokenizer, BertTokenizer

from verl_prpo.prm.families import checked_family
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.families.token_classification import TokenClassificationPrm

PROBLEM = "What is (17 + 60) / 7?"
QUESTION = [{"role": "user", "content": PROBLEM}]
STEPS = ["First we add: 77.", "Then\nwe divide by 7.", "So the answer is \\boxed{11}. 首先😀"]


def load(path, **options) -> TokenClassificationPrm:
    return TokenClassificationPrm.load(str(path), device=torch.device("cpu"), dtype=torch.float32, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return token_classification_prm(tmp_path_factory.mktemp("prm"))


@pytest.fixture(scope="module")
def prm(folder):
    return load(folder)


def written(folder, separator: str) -> tuple[list[int], list[int]]:
    """Token ids and label positions as TRL makes them of prompt and completions."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(PROBLEM, add_special_tokens=False)["input_ids"]
    ids = ids if tokenizer.bos_token_id is None else [tokenizer.bos_token_id, *ids]
    ends = []
    for step in STEPS:
        ids = ids + tokenizer(step, add_special_tokens=False)["input_ids"]
        ids = ids + tokenizer.encode(separator, add_special_tokens=False)
        ends.append(len(ids) - 1)
    return ids, ends


def classified(folder, ids: list[int], positions: list[int]) -> list[tuple[float, float]]:
    """Probabilities of both classes at some positions of one dialogue, from the trunk and the linear layer on it."""
    weights = load_file(folder / "model.safetensors")
    trunk = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        hidden = trunk(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids))).last_hidden_state[0]
    odds = (hidden @ weights["score.weight"].T + weights["score.bias"]).exp()
    return [(float(odds[i, 0] / odds[i].sum()), float(odds[i, 1] / odds[i].sum())) for i in positions]


@pytest.mark.parametrize("separator", ["\n", "\n\n", " then ", SEPARATOR])
def test_tokens_positions_and_scores_are_those_of_trl(folder, separator):
    ids, ends = written(folder, separator)
    probabilities = classified(folder, ids, ends)
    prm = load(folder, separator=separator)
    encoded = prm.encode(QUESTION, STEPS)
    assert (encoded.input_ids, encoded.reads) == (ids, ends)
    assert prm.forward([encoded])[0] == pytest.approx([right for _, right in probabilities], abs=1e-5)
    assert max(probabilities)[0] - min(probabilities)[0] > 0.01  # the comparison would notice a mix-up


def test_a_tokenizers_beginning_of_sequence_comes_first(tmp_path):
    path = llama_token_classification_prm(tmp_path)
    ids, ends = written(path, "\n")
    prm = load(path)
    encoded = prm.encode(QUESTION, STEPS)
    assert (encoded.input_ids, encoded.reads) == (ids, ends)
    assert ids[0] == prm.tokenizer.bos_token_id
    assert prm.forward([encoded])[0] == pytest.approx([right for _, right in classified(path, ids, ends)], abs=1e-5)


def test_pures_score_is_the_difference_of_the_classes(folder, prm):
    pure = load(folder, score="p1-p0")
    encoded = pure.encode(QUESTION, STEPS)
    expected = [right - wrong for wrong, right in classified(folder, encoded.input_ids, encoded.reads)]
    assert pure.forward([encoded])[0] == pytest.approx(expected, abs=1e-5)
    assert (pure.score_range, pure.prior_mean, pure.prior_std) == ((-1.0, 1.0), 0.0, 3**-0.5)
    assert (prm.score_range, prm.prior_mean, prm.prior_std) == ((0.0, 1.0), 0.5, 12**-0.5)
    assert checked_family(pure, "reward.prm.family") is pure


def test_the_prompt_in_the_chat_template(folder):
    prm = load(folder, chat_template=True)
    encoded = prm.encode([{"role": "system", "content": "Be brief."}, *QUESTION], STEPS)
    text = (
        f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{PROBLEM}<|im_end|>\n<|im_start|>assistant\n"
        + "".join(step + "\n" for step in STEPS)
    )
    assert prm.tokenizer.decode(encoded.input_ids) == text
    ends = [prm.tokenizer.decode(encoded.input_ids[: read + 1]) for read in encoded.reads]
    assert ends == [text[: text.index(step) + len(step) + 1] for step in STEPS]
    expected = [right for _, right in classified(folder, encoded.input_ids, encoded.reads)]
    assert prm.forward([encoded])[0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("chat_template", [False, True])
def test_newlines_around_a_segment_give_way_to_the_separator(folder, chat_template):
    prm = load(folder, chat_template=chat_template)
    assert prm.encode(QUESTION, [STEPS[0] + "\n\n", "\n\n" + STEPS[1] + "\n"]) == prm.encode(QUESTION, STEPS[:2])
    assert len(prm.encode(QUESTION, ["\n", STEPS[0]]).reads) == 2


@pytest.mark.parametrize("chat_template", [False, True])
def test_a_separator_in_a_text_is_text(folder, chat_template):
    prm = load(folder, separator=SEPARATOR, chat_template=chat_template)
    separator = prm.separator_ids[0]
    encoded = prm.encode(QUESTION, [f"a {SEPARATOR} b", "c"])
    assert [i for i, token in enumerate(encoded.input_ids) if token == separator] == encoded.reads
    assert f"a {SEPARATOR} b{SEPARATOR}c{SEPARATOR}" in prm.tokenizer.decode(encoded.input_ids)


def test_only_classifiers_of_two_classes_are_told_by_their_config(folder):
    config = json.loads((folder / "config.json").read_text())
    assert TokenClassificationPrm.detects(config)
    assert TokenClassificationPrm.detects(config | {"id2label": {"0": "bad", "1": "good"}})
    assert not TokenClassificationPrm.detects(config | {"id2label": {"0": "-", "1": "0", "2": "+"}})
    assert not TokenClassificationPrm.detects(config | {"num_labels": 3})
    assert not TokenClassificationPrm.detects(config | {"architectures": ["Qwen2ForSequenceClassification"]})
    assert not TokenClassificationPrm.detects({"model_type": "qwen2"})


def test_three_classes_are_refused(tmp_path):
    with pytest.raises(PrmError, match=r"sorts tokens into 3 classes.*reward\.prm\.custom_family"):
        load(token_classification_prm(tmp_path, labels=3))


def test_a_model_that_reads_both_ways_is_refused(tmp_path):
    with pytest.raises(PrmError, match=r"BertForTokenClassification.*from left to right"):
        load(bert_tagger(tmp_path))


@pytest.mark.parametrize("other", [instruct_model, qwen_math_prm])
def test_another_kind_of_model_is_refused(tmp_path, other):
    with pytest.raises(PrmError, match=r"reward\.prm\.model_path.*no process-reward head.*reward\.prm\.family"):
        load(other(tmp_path))


def test_weights_without_the_head_are_refused(tmp_path):
    config = instruct_model(tmp_path) / "config.json"
    claim = json.loads(config.read_text()) | {"architectures": ["Qwen2ForTokenClassification"]}
    config.write_text(json.dumps(claim))
    with pytest.raises(PrmError, match=r"no process-reward head.*score\.weight"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score": "p0"}, r"family_options\.score='p0' is not known\. .*It takes p1 or p1-p0"),
        ({"score": "p1_p0"}, r"family_options\.score='p1_p0' is not known\. Did you mean p1-p0\?"),
        ({"score": ["p1"]}, r"family_options\.score=\['p1'\] is not known"),
        ({"separator": ""}, r"family_options\.separator='' must be"),
        ({"separator": 3}, r"family_options\.separator=3 must be a text"),
        ({"chat_template": "yes"}, r"family_options\.chat_template='yes' must be true or false"),
    ],
)
def test_an_option_that_cannot_be_is_named(folder, options, message):
    with pytest.raises(PrmError, match=message):
        load(folder, **options)


@pytest.mark.parametrize(
    ("separator", "seen"),
    [("\n\n", "makes no token of it"), (" ки", r"reads it as \['\[UNK\]'\]")],
    ids=["nothing", "unknown"],
)
def test_a_separator_that_the_tokenizer_does_not_see_is_refused(tmp_path, separator, seen):
    path = bert_tagger(tmp_path)
    words = {word: i for i, word in enumerate(["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "step"])}
    BertTokenizer(vocab=words).save_pretrained(path)
    with pytest.raises(PrmError, match=rf"{seen}, so the PRM would not see where a step ends\. Set .*\.separator "):
        TokenClassificationPrm.open(str(path), separator=separator)
    assert TokenClassificationPrm.open(str(path), separator=" step ").separator_ids == [5]


class TestFromAServer:
    """vLLM pools this architecture at every token and applies the softmax."""

    @pytest.fixture
    def rows(self, folder, prm):
        model = AutoModelForTokenClassification.from_pretrained(folder, dtype=torch.float32).eval()
        encoded = prm.encode(QUESTION, STEPS)
        with torch.no_grad():
            return model(torch.tensor([encoded.input_ids])).logits[0].softmax(-1).tolist()

    @pytest.mark.parametrize("score", ["p1", "p1-p0"])
    def test_scores_are_those_in_process(self, folder, prm, rows, score):
        opened = TokenClassificationPrm.open(str(folder), score=score)
        encoded = opened.encode(QUESTION, STEPS)
        expected = load(folder, score=score).forward([encoded])[0]
        assert opened.serving == "pooling"
        assert opened.served_ids(encoded) == encoded.input_ids
        assert opened.served_scores(encoded, rows) == pytest.approx(expected, abs=1e-5)

    def test_an_answer_for_the_separators_alone_is_refused(self, prm, rows):
        encoded = prm.encode(QUESTION, STEPS)
        with pytest.raises(ValueError, match=r"3 rows of \[2\] numbers for \d+ tokens.*--pooler-config"):
            prm.served_scores(encoded, [rows[read] for read in encoded.reads])

    def test_numbers_that_are_no_probabilities_are_refused(self, prm, rows):
        with pytest.raises(ValueError, match="do not add up to 1"):
            prm.served_scores(prm.encode(QUESTION, STEPS), [[2 * number for number in row] for row in rows])
