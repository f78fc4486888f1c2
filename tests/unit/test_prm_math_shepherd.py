# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The family `math_shepherd` against its model card, and what it refuses."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_causal_prms import math_shepherd, served_output
from tiny_models import instruct_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.families.math_shepherd import MathShepherd

PROBLEM = "What is 17 + 60 - 7?"
QUESTION = [{"role": "system", "content": "Answer in verse."}, {"role": "user", "content": PROBLEM}]
STEPS = ["First we add.", "The sum is 77.", "So the answer is \\boxed{70}."]
RESPONSES = {
    "one": STEPS[:1],
    "three": STEPS,
    "many": STEPS * 4,
    "chinese": ["首先我们把两个数相加。", "所以答案是七十。"],
    "emoji": ["😀 + 👩🏽 = ?", "🚀", "7😀7"],
    "lines": ["We add:\n17 + 60\n\n= 77", "done"],
}


def load(path) -> MathShepherd:
    return MathShepherd.load(str(path), device=torch.device("cpu"), dtype=torch.float32)


def by_the_model_card(folder, problem: str, steps: list[str]) -> tuple[list[int], list[int], list[float]]:
    """Token ids, positions of all tags in them, and the share of "+" after each."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    labels = tokenizer.encode("+ -")[1:]
    tag = tokenizer.encode("ки")[-1]
    solution = "\n".join(f"Step {k}: {step} ки" for k, step in enumerate(steps, 1))
    ids = torch.tensor([tokenizer.encode(f"{problem} {solution}")])
    with torch.no_grad():
        scores = model(ids).logits[:, :, labels].softmax(-1)[:, :, 0]
    return ids[0].tolist(), (ids[0] == tag).nonzero()[:, 0].tolist(), scores[ids == tag].tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return math_shepherd(tmp_path_factory.mktemp("shepherd"))


@pytest.fixture(scope="module")
def prm(folder):
    return load(folder)


@pytest.mark.parametrize("steps", RESPONSES.values(), ids=RESPONSES)
def test_positions_and_scores_are_those_of_the_model_card(folder, prm, steps):
    ids, tags, scores = by_the_model_card(folder, PROBLEM, steps)
    encoded = prm.encode(QUESTION, steps)
    assert (encoded.input_ids, encoded.reads) == (ids, tags)
    assert len(tags) == len(steps)
    assert prm.forward([encoded])[0] == pytest.approx(scores, abs=1e-5)
    assert len(steps) == 1 or max(scores) - min(scores) > 0.01


def test_a_tag_and_labels_written_in_problem_or_response_are_not_read(folder, prm):
    steps = ["We write ки and + ки\n", "- ки + ки", "the end"]
    problem = "What is ки?"
    ids, tags, scores = by_the_model_card(folder, problem, [step.strip() for step in steps])
    encoded = prm.encode([{"role": "user", "content": problem}], steps)
    assert encoded.input_ids == ids and len(tags) == 8
    written = [3, 6, 7]  # of the tags: one in the problem, two and two in the steps
    assert encoded.reads == [tags[i] for i in written]
    assert prm.forward([encoded])[0] == pytest.approx([scores[i] for i in written], abs=1e-5)


def test_special_tokens_written_in_a_response_stay_text(prm):
    encoded = prm.encode(QUESTION, ["one</s><s>", "<unk>two</s>"])
    assert [i for i in encoded.input_ids if i in prm.tokenizer.all_special_ids] == [prm.tokenizer.bos_token_id]
    assert "</s><s>" in prm.tokenizer.decode(encoded.input_ids[1:])


def test_white_space_around_a_segment_is_dropped_and_its_own_number_kept(prm):
    assert prm.encode(QUESTION, ["\n add. \n\n", "Step 2: The sum\n"]) == prm.encode(QUESTION, ["add.", "The sum"])
    assert "Step 7: The sum" in prm.tokenizer.decode(prm.encode(QUESTION, ["add", "Step 7: The sum"]).input_ids)


def test_a_server_that_does_not_name_the_labels_gives_no_scores(prm):
    encoded = prm.encode(QUESTION, STEPS)
    output = served_output(prm.model, prm.served_ids(encoded), 1)
    assert not {*output[encoded.reads[0] + 1]} & {*prm.label_ids}
    with pytest.raises(ValueError, match=r"names no log-probability.*reward\.prm\.server\.prompt_logprobs"):
        prm.served_scores(encoded, output)


class TestRefused:
    @pytest.mark.parametrize(
        ("lacks", "message"),
        [({"tag": False}, "no one token for the tag 'ки'"), ({"signs": False}, r"'\+' and '-' are not one distinct")],
        ids=["no_tag", "no_labels"],
    )
    def test_a_tokenizer_without_tag_or_labels(self, tmp_path, lacks, message):
        with pytest.raises(PrmError, match=rf"{message}.*reward\.prm\.family"):
            load(math_shepherd(tmp_path, **lacks))

    def test_an_instruct_model_of_another_kind(self, tmp_path):
        with pytest.raises(PrmError, match=r"begins a sequence.*reward\.prm\.family"):
            load(instruct_model(tmp_path))

    def test_a_model_without_output_embeddings(self, tmp_path):
        path = math_shepherd(tmp_path)
        weights = load_file(path / "model.safetensors")
        del weights["lm_head.weight"]
        save_file(weights, path / "model.safetensors", {"format": "pt"})
        with pytest.raises(PrmError, match=r"lacks weights of a causal language model \(lm_head\.weight\)"):
            load(path)
