# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The family `skywork_prm`, compared with the published way of writing and reading a dialogue in plain transformers."""

import pytest
import torch
from safetensors.torch import load_file
from tiny_head_prms import BOS, skywork_prm
from transformers import AutoTokenizer, Qwen2Config, Qwen2Model

from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.families.skywork import SkyworkPrm

PROBLEM = "What is (17 + 60) / 7?"
QUESTION = [{"role": "user", "content": PROBLEM}]
RESPONSE = "First we add: 77.\nThen we divide by 7.\nSo the answer is \\boxed{11}. 首先😀"
STEPS = ["First we add: 77.\n", "Then we divide by 7.\n", "So the answer is \\boxed{11}. 首先😀"]


def load(path, **options) -> SkyworkPrm:
    return SkyworkPrm.load(str(path), device=torch.device("cpu"), dtype=torch.float32, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return skywork_prm(tmp_path_factory.mktemp("prm"))


@pytest.fixture(scope="module")
def prm(folder):
    return load(folder)


def written(folder, problem: str, response: str) -> tuple[list[int], list[int]]:
    """Token ids and step ends as the model card has them: steps are lines, each tokenised alone, then a newline."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    newline = tokenizer.encode("\n")[-1]
    ids = tokenizer.encode(tokenizer.bos_token + problem + "\n")
    ends = []
    for line in response.split("\n"):
        ids = ids + tokenizer.encode(line) + [newline]
        ends.append(len(ids) - 1)
    return ids, ends


def valued(folder, ids: list[int], positions: list[int]) -> list[float]:
    """Scores of one dialogue: the trunk, one linear layer, a sigmoid."""
    weights = load_file(folder / "model.safetensors")
    trunk = Qwen2Model(Qwen2Config.from_pretrained(folder)).eval()
    trunk.load_state_dict({name.removeprefix("model."): w for name, w in weights.items() if name.startswith("model.")})
    with torch.no_grad():
        hidden = trunk(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids))).last_hidden_state[0]
    values = hidden @ weights["v_head.summary.weight"][0] + weights["v_head.summary.bias"]
    return [1 / (1 + float((-values[i]).exp())) for i in positions]


def test_tokens_positions_and_scores_are_those_of_the_model_card(folder, prm):
    ids, ends = written(folder, PROBLEM, RESPONSE)
    scores = valued(folder, ids, ends)
    encoded = prm.encode(QUESTION, STEPS)
    assert (encoded.input_ids, encoded.reads) == (ids, ends)
    assert prm.forward([encoded])[0] == pytest.approx(scores, abs=1e-5)
    assert max(scores) - min(scores) > 0.01  # the comparison would notice a mix-up


def test_a_segment_of_several_lines_is_read_at_its_last(folder, prm):
    ids, ends = written(folder, PROBLEM, RESPONSE + "\n")
    encoded = prm.encode(QUESTION, [STEPS[0] + STEPS[1], STEPS[2] + "\n\n"])
    assert (encoded.input_ids, encoded.reads) == (ids, [ends[1], ends[3]])  # the blank line is a line too


def test_a_segment_that_ends_within_a_line_is_given_a_newline(folder, prm):
    ids, ends = written(folder, PROBLEM, "First we add\n: 77.")
    encoded = prm.encode(QUESTION, ["First we add", ": 77."])
    assert (encoded.input_ids, encoded.reads) == (ids, ends)


def test_one_segment_and_a_segment_of_a_newline_alone(folder, prm):
    ids, ends = written(folder, PROBLEM, "\n11")
    assert prm.encode(QUESTION, ["\n", "11"]).input_ids == ids
    assert prm.encode(QUESTION, ["\n11"]).reads == ends[-1:]


def test_literal_special_tokens_in_a_text_stay_text(prm):
    evil = f"{BOS} and <|im_end|>"
    encoded = prm.encode([{"role": "user", "content": evil}], [evil])
    special = set(prm.tokenizer.all_special_ids)
    assert [i for i in encoded.input_ids if i in special] == [prm.bos_id]
    assert prm.tokenizer.decode(encoded.input_ids) == f"{BOS}{evil}\n{evil}\n"


def test_the_system_prompt_is_the_solvers_and_turns_keep_their_roles(prm):
    system = {"role": "system", "content": "Be brief."}
    assert prm.encode([system, *QUESTION], STEPS) == prm.encode(QUESTION, STEPS)
    turns = [*QUESTION, {"role": "assistant", "content": "11."}, {"role": "user", "content": "Sure?"}]
    begin = f"{BOS}user: {PROBLEM}\n\nassistant: 11.\n\nuser: Sure?\nYes\n"
    assert prm.tokenizer.decode(prm.encode(turns, ["Yes"]).input_ids) == begin


def test_max_context_is_the_models(prm):
    assert prm.max_context == 256


def test_weights_saved_by_trls_wrapper_are_the_same_model(folder, prm, tmp_path):
    wrapped = load(skywork_prm(tmp_path, trunk="pretrained_model.model."))
    encoded = prm.encode(QUESTION, STEPS)
    assert wrapped.forward([encoded])[0] == pytest.approx(prm.forward([encoded])[0], abs=1e-5)


def test_weights_without_the_value_head_are_refused(tmp_path):
    with pytest.raises(PrmError, match=r"reward\.prm\.model_path.*no process-reward head.*v_head.*reward\.prm\.family"):
        load(skywork_prm(tmp_path, head=False))


def test_a_head_of_two_values_is_refused(tmp_path):
    with pytest.raises(PrmError, match=r"Qwen2ForPrmModel.*of another shape: v_head\.summary\.\w+ \[2"):
        load(skywork_prm(tmp_path, values=2))


def test_a_tokenizer_without_a_beginning_must_be_told_it(tmp_path, folder, prm):
    path = skywork_prm(tmp_path, bos_token=None)
    with pytest.raises(PrmError, match=r"no beginning-of-sequence token.*reward\.prm\.family_options\.bos_token"):
        load(path)
    told = load(path, bos_token=BOS)
    assert told.encode(QUESTION, STEPS) == prm.encode(QUESTION, STEPS)
    with pytest.raises(PrmError, match=r"reward\.prm\.family_options\.bos_token='two tokens' is \d+ tokens"):
        load(path, bos_token="two tokens")
    for wrong in ("", 3, ["<s>"]):
        with pytest.raises(PrmError, match=r"reward\.prm\.family_options\.bos_token=.* must be the text of a token"):
            load(path, bos_token=wrong)


def test_no_server_can_hold_it(folder):
    with pytest.raises(PrmError, match=r"Qwen2ForPrmModel.*reward\.prm\.engine=in_process"):
        SkyworkPrm.open(str(folder))
