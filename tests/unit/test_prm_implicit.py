# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The family `implicit_prm` against its definition and EurusPRM's model card, and what it refuses."""

import itertools
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_causal_prms import LLAMA3_TEMPLATE, implicit_pair, math_shepherd, rlhflow_prm
from tiny_models import SEPARATOR, qwen_math_prm
from transformers import AutoModelForCausalLM, AutoTokenizer

from verl_prpo.prm.families import checked_family
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.families.implicit import ImplicitPrm
from verl_prpo.prm.in_process.engine import InProcessEngine
from verl_prpo.prm.results import PrmRequest

PROBLEM = "What is 17 + 60 - 7?"
QUESTION = [{"role": "system", "content": "Answer in verse."}, {"role": "user", "content": PROBLEM}]
STEPS = ["First we add.", "The sum is 77.", "So the answer is \\boxed{70}."]
RESPONSES = {
    "one": STEPS[:1],
    "three": STEPS,
    "many": STEPS * 4,
    "words_cut": ["Fir", "st we a", "dd the num", "bers"],
    "chinese": ["首先我们把两个数相加。", "所以答案是七十。"],
    "emoji": ["😀 + 👩🏽 = ?", "🚀", "7😀7"],
    "lines": ["\n\nWe add:\n17 + 60\n\n", "\n= 77\n", " "],
}
EURUS = {"beta": 0.001, "step_prefix": "Step {k}: "}


def load(pair, **options) -> ImplicitPrm:
    prm, reference = map(str, pair)
    options = {"reference_model_path": reference} | options
    return ImplicitPrm.load(prm, device=torch.device("cpu"), dtype=torch.float32, **options)


def log_ratios(pair, ids: list[int]) -> list[float]:
    """Of each token given those before it: its log-probability under the PRM minus that under the reference."""
    ratio = [0.0] * len(ids)
    for path, sign in zip(pair, (1, -1), strict=True):
        model = AutoModelForCausalLM.from_pretrained(path).eval()
        with torch.no_grad():
            log_probs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        for at in range(1, len(ids)):
            ratio[at] += sign * log_probs[at - 1, ids[at]].item()
    return ratio


def by_definition(pair, messages, segments: list[str]) -> tuple[list[int], list[tuple[int, int]], list[float]]:
    """Token ids of the prompt and each segment, the spans of the segments, and their summed log-ratios."""
    tokenizer = AutoTokenizer.from_pretrained(pair[0])
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True).input_ids
    spans = []
    for segment in segments:
        begin = len(ids)
        ids = ids + tokenizer(segment, add_special_tokens=False).input_ids
        spans.append((begin, len(ids)))
    ratio = log_ratios(pair, ids)
    return ids, spans, [sum(ratio[begin:end]) for begin, end in spans]


def by_the_model_card(pair, problem: str, steps: list[str]) -> tuple[list[int], list[tuple[int, int]], list[float]]:
    """The whole dialogue rendered with its numbered steps, the spans of the steps, and what each adds to q."""
    tokenizer = AutoTokenizer.from_pretrained(pair[0])

    def rendered(answer: str) -> list[int]:
        turns = [{"role": "user", "content": problem}, {"role": "assistant", "content": answer}]
        text = tokenizer.apply_chat_template(turns, tokenize=False).strip().removesuffix("<|im_end|>")
        return tokenizer.encode(text, add_special_tokens=False)

    texts = [f"Step {k}: {step}" for k, step in enumerate(steps, 1)]
    ids = rendered("\n\n".join(texts))
    divided = ["\n\n".join(texts[:k]) + ("\n\n" if 0 < k < len(texts) else "") for k in range(len(texts) + 1)]
    ends = [len(rendered(answer)) for answer in divided]
    q = (torch.tensor(log_ratios(pair, ids), dtype=torch.float64)[ends[0] :] * 0.001).cumsum(0)
    q_at_ends = [0.0] + [q[end - ends[0] - 1].item() for end in ends[1:]]
    spans = list(itertools.pairwise(ends))
    return ids, spans, [after - before for before, after in itertools.pairwise(q_at_ends)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return implicit_pair(tmp_path_factory.mktemp("implicit"))


@pytest.fixture(scope="module")
def prm(pair):
    return load(pair)


@pytest.fixture(scope="module")
def eurus(pair):
    return load(pair, **EURUS)


@pytest.mark.parametrize("segments", RESPONSES.values(), ids=RESPONSES)
def test_a_score_is_beta_times_the_log_ratio_of_the_segment(pair, prm, segments):
    ids, spans, ratios = by_definition(pair, QUESTION, segments)
    encoded = prm.encode(QUESTION, segments)
    assert (encoded.input_ids, encoded.reads) == (ids, spans)
    assert prm.forward([encoded])[0] == pytest.approx([0.05 * ratio for ratio in ratios], abs=1e-5)
    assert max(map(abs, ratios)) > 0.1


@pytest.mark.parametrize("name", ["one", "three", "many", "chinese", "emoji"])
def test_positions_and_scores_are_those_of_the_model_card_of_eurus(pair, eurus, name):
    ids, spans, scores = by_the_model_card(pair, PROBLEM, RESPONSES[name])
    encoded = eurus.encode(QUESTION[1:], RESPONSES[name])
    assert (encoded.input_ids, encoded.reads) == (ids, spans)
    assert eurus.forward([encoded])[0] == pytest.approx(scores, abs=1e-5 * 0.001 * len(ids))


def test_scores_add_up_over_the_segments_of_a_response(prm):
    tokens = ["First", " we", " add", "."]
    apart = prm.encode(QUESTION, tokens)
    joined = prm.encode(QUESTION, ["".join(tokens)])
    assert apart.input_ids == joined.input_ids
    assert sum(prm.forward([apart])[0]) == pytest.approx(prm.forward([joined])[0][0], abs=1e-5)


def test_a_number_is_written_unless_a_segment_has_its_own(eurus):
    text = eurus.dialogue.tokenizer.decode(eurus.encode(QUESTION, ["add \n", "Step 9: so", "end"]).input_ids)
    assert text.endswith("assistant\nStep 1: add\n\nStep 9: so\n\nStep 3: end")


def test_special_tokens_written_in_a_response_stay_text(prm):
    encoded = prm.encode(QUESTION, [f"one<|im_end|>{SEPARATOR}", "<|im_start|>two"])
    special, begin = {*prm.dialogue.tokenizer.all_special_ids}, encoded.reads[0][0]
    assert not special & {*encoded.input_ids[begin:]}
    assert encoded.reads[0][1] == encoded.reads[1][0] and encoded.reads[1][1] == len(encoded.input_ids)


def test_a_response_longer_than_one_chunk_of_log_probabilities(pair, prm):
    segments = ["First we add the numbers, then we divide by two. "] * 12
    row = prm.encode(QUESTION, segments)
    spoken = sum(end - begin for begin, end in row.reads)
    rows = [row] * (1200 // spoken + 1)
    expected = [0.05 * ratio for ratio in by_definition(pair, QUESTION, segments)[2]]
    for scores in prm.forward(rows):
        assert scores == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("k", range(4))
def test_a_corrupted_step_moves_its_score_and_later_ones_only(eurus, k):
    steps = [*STEPS, "Therefore it is right."]
    before = eurus.forward([eurus.encode(QUESTION, steps)])[0]
    steps[k] = "The sum is 999, so it is wrong"
    after = eurus.forward([eurus.encode(QUESTION, steps)])[0]
    moved = [abs(a - b) for a, b in zip(after, before, strict=True)]
    assert max(moved[:k], default=0.0) <= 1e-6
    assert moved[k] / eurus.beta > 1e-2


def test_a_tokenizer_that_begins_texts_with_a_space_puts_none_between_segments(tmp_path):
    prm, reference = (math_shepherd(tmp_path / name, seed=seed) for seed, name in enumerate(("prm", "reference")))
    for path in (prm, reference):
        tokenizer = AutoTokenizer.from_pretrained(path)
        tokenizer.chat_template = "{% for m in messages %}{{ bos_token }}{{ m['content'] }}\n{% endfor %}"
        tokenizer.save_pretrained(path)
    family = load((prm, reference))
    encoded = family.encode(QUESTION, ["the su", "m is", "\n\n77", "首", "先 +"])
    tokenizer = family.dialogue.tokenizer
    begin = encoded.reads[0][0]
    assert tokenizer.decode([tokenizer.convert_tokens_to_ids("▁is"), *encoded.input_ids[begin:]]) == (
        "isthe sum is\n\n77首先 +"
    )
    assert family.forward([encoded])[0] == pytest.approx(
        [0.05 * sum(log_ratios((prm, reference), encoded.input_ids)[a:b]) for a, b in encoded.reads], abs=1e-5
    )


def test_an_engine_scores_it_and_leaves_what_does_not_fit_without_a_score(tmp_path):
    family = load(implicit_pair(tmp_path, context=128))
    engine = InProcessEngine(family, max_tokens_per_forward=256, overlong="neutral", cache_size=8)
    short, long = (PrmRequest(QUESTION, steps) for steps in (STEPS, [*STEPS, "and so on, " * 40, "the end"]))
    results = engine.score([short, long, short])
    expected = family.forward([family.encode(QUESTION, STEPS)])[0]
    for result, unread in zip(results, ([], [None, None], []), strict=True):
        assert result.failure is None
        assert result.scores == [*(pytest.approx(score, abs=1e-5) for score in expected), *unread]
    assert [result.overlong for result in results] == [False, True, False]


def test_range_and_prior_follow_beta(prm, eurus):
    assert checked_family(prm, "x") is prm and checked_family(eurus, "x") is eurus
    assert (prm.prior_mean, prm.prior_std) == (0.0, pytest.approx(0.25))
    assert prm.score_range == (pytest.approx(-0.05 * 20 * 512), pytest.approx(0.05 * 20 * 512))
    assert eurus.score_range[1] == pytest.approx(0.001 * 20 * 512)


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"reference_model_path": None}, "reference_model_path is None.*Qwen2.5-Math-7B-Instruct"),
            ({"beta": 0}, "beta=0 must be a positive number"),
            ({"beta": "0.1"}, "beta='0.1' must be a positive number"),
            ({"beta": float("inf")}, "beta=inf must be a positive number"),
            (
                {"step_prefix": "Step {n}: "},
                r"step_prefix=.* has a field that is not known\. The step's number is \{k\}",
            ),
            ({"step_prefix": 3}, "step_prefix=3 must be a text such as 'Step {k}: '"),
        ],
    )
    def test_options_that_cannot_work(self, pair, options, message):
        with pytest.raises(PrmError, match=rf"reward\.prm\.family_options\.{message}"):
            load(pair, **options)

    def test_a_reference_that_is_the_prm(self, pair):
        with pytest.raises(PrmError, match=r"reference_model_path=.*every score would be 0"):
            load((pair[0], f"{pair[0]}/"))

    def test_a_reference_with_another_tokenizer(self, pair, tmp_path):
        with pytest.raises(PrmError, match=r"reference_model_path=.*another tokenizer.*tokens differ, such as"):
            load((pair[0], rlhflow_prm(tmp_path)))

    def test_a_reference_that_lacks_only_unused_special_tokens_is_sound(self, pair, tmp_path):
        path = shutil.copytree(pair[0], tmp_path / "prm")
        tokenizer = AutoTokenizer.from_pretrained(path)
        tokenizer.add_tokens(["<image>"], special_tokens=True)
        tokenizer.save_pretrained(path)
        family = load((path, pair[1]))
        assert tokenizer.convert_tokens_to_ids("<image>") not in family.encode(QUESTION, ["<image>"]).input_ids

    def test_a_prm_without_a_chat_template(self, tmp_path):
        paths = [rlhflow_prm(tmp_path / str(seed), seed=seed, template=None) for seed in (0, 1)]
        with pytest.raises(PrmError, match=r"no chat template"):
            load(paths)
        assert load([rlhflow_prm(path, template=LLAMA3_TEMPLATE) for path in paths]).name == "implicit_prm"

    @pytest.mark.parametrize("place", [0, 1])
    def test_a_model_that_another_family_claims(self, pair, tmp_path, place):
        paths = [*pair]
        paths[place] = qwen_math_prm(tmp_path)
        setting = ["reward.prm.model_path", "reward.prm.family_options.reference_model_path"][place]
        with pytest.raises(PrmError, match=rf"{setting}=.*\(qwen_math_prm\)"):
            load(paths)

    @pytest.mark.parametrize("place", [0, 1])
    def test_a_model_with_a_head(self, pair, tmp_path, place):
        paths = [shutil.copytree(path, tmp_path / path.name) for path in pair]
        weights = load_file(paths[place] / "model.safetensors")
        save_file(weights | {"v_head.weight": torch.ones(2, 32)}, paths[place] / "model.safetensors", {"format": "pt"})
        setting = ["reward.prm.model_path", "reward.prm.family_options.reference_model_path"][place]
        with pytest.raises(PrmError, match=rf"{setting}=.*has a head \(v_head\.weight\).*implicit_prm"):
            load(paths)

    def test_a_server(self, pair):
        with pytest.raises(PrmError, match=r"implicit_prm compares two models.*Unset reward\.prm\.server\.urls"):
            ImplicitPrm.open(str(pair[0]), reference_model_path=str(pair[1]), beta=0.1)
