# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The family `label_token` against the code of the PRMs that it reads by options, and what it refuses."""

import logging
import re

import pytest
import torch
from tiny_causal_prms import label_token_prm, least_top, math_shepherd, served_output
from transformers import AddedToken, AutoModelForCausalLM, AutoTokenizer

from verl_prpo.prm.conversation import Heard, steps_with
from verl_prpo.prm.families import resolve_family
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.families.math_shepherd import MathShepherd
from verl_prpo.prm.families.tagged import TaggedLabelsPrm
from verl_prpo.prm.load import load_prm
from verl_prpo.settings.prm import prm_config

PROBLEM = "What is 17 + 60 - 7?"
QUESTION = [{"role": "system", "content": "Answer in verse."}, {"role": "user", "content": PROBLEM}]
STEPS = ["First we add.", "The sum is 77.", "So the answer is \\boxed{70}."]
RESPONSES = {
    "one": STEPS[:1],
    "three": STEPS,
    "many": STEPS * 4,
    "chinese": ["首先我们把两个数相加。", "所以答案是七十。"],
    "lines": ["We add:\n17 + 60\n\n= 77", "done"],
}
VERSA = {"tag": " \n\n\n\n", "problem": "{problem} \n\n", "step": "{step}{tag}"}
PSA = {"tag": "\n\n\n\n\n", "good": " +", "bad": " -", "step": "Step {k}: {step} {tag} "}
MEDICAL = {
    "tag": " ки",
    "good": " +",
    "bad": " -",
    "layout": "user",
    "system": "You judge steps.",
    "problem": "Question: {problem}\n\nExplanation: ",
    "step": "{step}{tag}\n\n",
}


def load(path, **options) -> TaggedLabelsPrm:
    """A family as a configuration loads it."""
    config = prm_config({"prm": {"model_path": str(path), "family": "label_token", "family_options": options}})
    return resolve_family(config).load(
        str(path), device=torch.device("cpu"), dtype=torch.float32, **config.family_options
    )


def scored(folder, text: str, tag: str, labels: tuple[str, str], **how) -> tuple[list[int], list[int], list[float]]:
    """Token ids of a text tokenised whole, positions of the tag in them, and the share of the first label there."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    (tag_id,) = tokenizer(tag, add_special_tokens=False).input_ids
    label_ids = [tokenizer(label, add_special_tokens=False).input_ids[0] for label in labels]
    ids = torch.tensor([tokenizer(text, **how).input_ids])
    with torch.no_grad():
        scores = model(ids).logits[:, :, label_ids].softmax(-1)[:, :, 0]
    return ids[0].tolist(), (ids[0] == tag_id).nonzero()[:, 0].tolist(), scores[ids == tag_id].tolist()


def same(prm, steps, ids, tags, scores) -> None:
    encoded = prm.encode(QUESTION, steps)
    assert encoded.input_ids == ids[: tags[-1] + 1]
    assert encoded.reads == tags and len(tags) == len(steps)
    assert prm.forward([encoded])[0] == pytest.approx(scores, abs=1e-5)
    assert len(steps) == 1 or max(scores) - min(scores) > 1e-3


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return label_token_prm(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    return label_token_prm(tmp_path_factory.mktemp("qwen"), begins=False)


@pytest.fixture(scope="module")
def mistral(tmp_path_factory):
    return math_shepherd(tmp_path_factory.mktemp("mistral"))


@pytest.fixture(scope="module")
def versa(llama):
    return load(llama, **VERSA)


class TestTheCodeOf:
    @pytest.mark.parametrize("steps", RESPONSES.values(), ids=RESPONSES)
    def test_versaprm(self, llama, versa, steps):
        text = f"{PROBLEM} \n\n" + "".join(f"{step} \n\n\n\n" for step in steps)
        same(versa, steps, *scored(llama, text, " \n\n\n\n", ("+", "-")))

    @pytest.mark.parametrize("steps", RESPONSES.values(), ids=RESPONSES)
    def test_math_psa(self, qwen, steps):
        text = f"{PROBLEM} " + "".join(f"Step {k}: {step} \n\n\n\n\n " for k, step in enumerate(steps, 1))
        same(load(qwen, **PSA), steps, *scored(qwen, text, " \n\n\n\n\n", (" +", " -")))

    @pytest.mark.parametrize("steps", RESPONSES.values(), ids=RESPONSES)
    def test_openrlhf(self, mistral, steps):
        text = f"{PROBLEM} " + "\n".join(f"Step {k}: {step} ки" for k, step in enumerate(steps, 1))
        same(
            load(mistral, tag="ки", bos=False),
            steps,
            *scored(mistral, text, "ки", ("+", "-"), add_special_tokens=False),
        )

    @pytest.mark.parametrize("steps", RESPONSES.values(), ids=RESPONSES)
    def test_med_prm(self, qwen, steps):
        content = f"Question: {PROBLEM}\n\nExplanation: " + "\n\n".join(f"{step} ки" for step in steps)
        turns = [{"role": "system", "content": "You judge steps."}, {"role": "user", "content": content}]
        text = AutoTokenizer.from_pretrained(qwen).apply_chat_template(turns, tokenize=False)
        same(load(qwen, **MEDICAL), steps, *scored(qwen, text, " ки", (" +", " -"), add_special_tokens=False))

    def test_math_shepherd_is_a_preset(self, mistral):
        preset = MathShepherd.load(str(mistral), device=torch.device("cpu"), dtype=torch.float32)
        by_options = load(mistral, tag="ки")  # whose tokenizer begins a text by itself
        assert (preset.tag_id, preset.label_ids, preset.bos_ids) == (
            by_options.tag_id,
            by_options.label_ids,
            by_options.bos_ids,
        )
        for steps in [*RESPONSES.values(), ["Step 4: ки ки", "\n - ки + \n"]]:
            assert preset.encode(QUESTION, steps) == by_options.encode(QUESTION, steps)


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("layout", ["text", "assistant", "user"])
def test_an_added_token_is_a_tag_and_its_text_stays_text(tmp_path, layout, special):
    folder = label_token_prm(tmp_path, added=[AddedToken("<step>", special=special, normalized=False), "<good>"])
    prm = load(folder, tag="<step>", good="<good>", bad="-", step="{step} {tag}\n", layout=layout)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert prm.tag_id == tokenizer.convert_tokens_to_ids("<step>") and prm.label_ids[0] == len(tokenizer) - 1
    steps = ["We add.<step>", "So 77 <step> - <good>"]
    encoded = prm.encode([{"role": "user", "content": "What is <step>?"}], steps)
    assert encoded.input_ids.count(prm.tag_id) == 2 and encoded.input_ids[-1] == prm.tag_id
    assert [encoded.input_ids[read] for read in encoded.reads] == [prm.tag_id] * 2
    assert tokenizer.decode(encoded.input_ids).endswith("We add.<step> <step>\nSo 77 <step> - <good> <step>")


@pytest.mark.parametrize("layout", ["text", "assistant", "user"])
def test_what_a_tool_said_is_text_of_the_next_step_with_any_layout(tmp_path, layout):
    folder = label_token_prm(tmp_path, added=[AddedToken("<step>", normalized=False)])
    prm = load(folder, tag="<step>", step="Step {k}: {step}{tag}\n", layout=layout)
    steps = steps_with(["I ask.", "So 12."], [Heard(1, 0, "tool", "12")])
    encoded = prm.encode_turns([{"role": "user", "content": PROBLEM}], steps)
    said = prm.tokenizer.decode(encoded.input_ids)
    assert said.endswith("Step 1: I ask.<step>\nStep 2: Tool output:\n12\n\nSo 12.<step>")
    assert [encoded.input_ids[read] for read in encoded.reads] == [prm.tag_id] * 2
    roles = re.findall(r"<\|start_header_id\|>(\w+)", said)  # the template writes a system turn; the tool has none
    assert roles == {"text": [], "assistant": ["system", "user", "assistant"], "user": ["system", "user"]}[layout]


@pytest.mark.parametrize(("bos", "begins"), [(None, True), (True, True), (False, False)])
def test_the_token_that_begins_a_sequence_is_the_tokenizers_matter_unless_set(llama, bos, begins):
    prm = load(llama, **VERSA, bos=bos)
    first = prm.encode(QUESTION, STEPS).input_ids[0]
    assert (first == prm.tokenizer.bos_token_id) == begins


def test_none_begins_where_the_tokenizer_puts_none(qwen):
    assert load(qwen, **PSA).bos_ids == [] and load(qwen, **PSA, bos=True).bos_ids == [400]


class TestTheScore:
    @pytest.fixture(scope="class")
    def logits(self, llama, versa):
        encoded = versa.encode(QUESTION, STEPS)
        model = AutoModelForCausalLM.from_pretrained(llama).eval()
        with torch.no_grad():
            return model(torch.tensor([encoded.input_ids])).logits[0, encoded.reads]

    @pytest.mark.parametrize(
        ("score", "value"),
        [
            ("pair", lambda all_, good, bad: 1 / (1 + (all_[:, bad] - all_[:, good]).exp())),
            ("vocabulary", lambda all_, good, bad: all_[:, good].exp() / all_.exp().sum(-1)),
            ("sigmoid", lambda all_, good, bad: 1 / (1 + (-all_[:, good]).exp())),
        ],
    )
    def test_is_of_the_pair_or_of_all_tokens_or_a_sigmoid(self, llama, versa, logits, score, value):
        prm = load(llama, **VERSA, score=score)
        expected = value(logits.double(), *versa.label_ids).tolist()
        scores = prm.forward([prm.encode(QUESTION, STEPS)])[0]
        assert scores == pytest.approx(expected, abs=1e-5) and max(scores) - min(scores) > 1e-3

    @pytest.mark.parametrize("score", ["pair", "vocabulary"])
    def test_is_the_same_from_a_server(self, llama, score):
        prm = load(llama, **VERSA, score=score)
        client = TaggedLabelsPrm.open(str(llama), **VERSA, score=score)
        assert client.serving == "prompt_logprobs"
        for steps in RESPONSES.values():
            encoded = client.encode(QUESTION, steps)
            here = prm.forward([encoded])[0]
            complete = served_output(prm.model, client.served_ids(encoded), len(prm.tokenizer))
            assert client.served_scores(encoded, complete) == pytest.approx(here, abs=1e-5)
            top = least_top(complete, encoded.reads, client.label_ids)
            named = served_output(prm.model, client.served_ids(encoded), top)
            assert client.served_scores(encoded, named) == pytest.approx(here, abs=1e-5)

    @pytest.mark.parametrize("score", ["pair", "vocabulary"])
    def test_a_server_that_does_not_name_the_labels_gives_no_scores(self, llama, score):
        prm = load(llama, **VERSA, score=score)
        encoded = prm.encode(QUESTION, STEPS)
        blind = [None, *({300: -0.1, 301: -2.5} for _ in encoded.input_ids)]
        with pytest.raises(ValueError, match=r"names no log-probability.*reward\.prm\.server\.prompt_logprobs"):
            prm.served_scores(encoded, blind)

    def test_a_label_far_below_the_likeliest_counts_as_none(self, llama):
        prm = load(llama, **VERSA, score="vocabulary")
        encoded = prm.encode(QUESTION, STEPS[:1])
        output = [None, *({300: -0.0001, 301: -9.0, 302: -9.5} for _ in encoded.input_ids)]
        assert prm.served_scores(encoded, output) == [0.0]

    def test_of_a_sigmoid_needs_the_weights(self, llama):
        with pytest.raises(PrmError, match=r"family_options\.score=sigmoid.*engine=in_process"):
            TaggedLabelsPrm.open(str(llama), **VERSA, score="sigmoid")


class TestTheSystemMessage:
    @pytest.mark.parametrize(
        ("system", "shown"),
        [(None, "Answer in verse."), ("none", ""), ("Judge this.", "Judge this.")],
    )
    def test_is_the_dialogues_or_as_set(self, llama, system, shown):
        prm = load(llama, tag=" ки", step="{step}{tag}\n", layout="assistant", system=system)
        text = prm.tokenizer.decode(prm.encode(QUESTION, STEPS).input_ids)
        assert text.split("26 Jul 2024\n\n")[1].split("<|eot_id|>")[0] == shown
        assert text.endswith("assistant<|end_header_id|>\n\n" + "\n".join(f"{step} ки" for step in STEPS))

    def test_takes_options_of_the_template(self, tmp_path):
        template = "{{ mood | default('calm') }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
        folder = label_token_prm(tmp_path, template=template)
        for options, begins in (({}, "calm"), ({"chat_template_kwargs": {"mood": "merry"}}, "merry")):
            prm = load(folder, tag=" ки", step="{step}{tag}\n", layout="user", **options)
            assert prm.tokenizer.decode(prm.encode(QUESTION, STEPS).input_ids).startswith(begins + PROBLEM)
        with pytest.raises(PrmError, match=r"chat_template_kwargs\.mod is no option.*Did you mean mood\?"):
            load(folder, tag=" ки", step="{step}{tag}", layout="user", chat_template_kwargs={"mod": "merry"})


def test_numbers_are_written_where_asked_and_a_steps_own_is_kept(qwen, versa):
    psa = load(qwen, **PSA)
    text = psa.tokenizer.decode(psa.encode(QUESTION, ["\n add. \n\n", "Step 7: The sum\n"]).input_ids)
    assert text == f"{PROBLEM} Step 1: add. \n\n\n\n\n Step 7: The sum \n\n\n\n\n"
    assert "Step 2: The sum" in versa.tokenizer.decode(versa.encode(QUESTION, ["add", "Step 2: The sum"]).input_ids)


def test_words_may_stand_between_a_step_and_its_tag(llama):
    prm = load(llama, tag=" ки", step="{step}\n= Right?{tag}\n")
    text = prm.tokenizer.decode(prm.encode(QUESTION, STEPS[:2]).input_ids[1:])
    assert text == f"{PROBLEM} First we add.\n= Right? ки\nThe sum is 77.\n= Right? ки"


def test_options_are_as_a_shell_hands_them_over(llama, versa):
    escaped = load(llama, tag=" \\n\\n\\n\\n", problem="{problem} \\n\\n", step="{step}{tag}")
    assert escaped.encode(QUESTION, STEPS) == versa.encode(QUESTION, STEPS)
    here = load_prm(str(llama), family="label_token", family_options=VERSA, device="cpu")
    assert here.score(QUESTION, STEPS) == pytest.approx(versa.forward([versa.encode(QUESTION, STEPS)])[0], abs=1e-5)


def test_a_tag_that_the_tokenizer_joins_with_a_full_stop_is_warned_of(llama, caplog):
    with caplog.at_level(logging.WARNING):
        load(llama, **VERSA)
        assert not caplog.records
        load(llama, tag="\n", step="{step}{tag}")
    assert [r for r in caplog.records if "joins the tag '\\n' with ." in r.getMessage()]


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({}, r"family_options\.tag is not set, and the family label_token needs it"),
            ({"tag": 3}, r"family_options\.tag=3 must be a text"),
            ({"tag": "  "}, r"family_options\.tag='  ' consists of spaces"),
            ({"tag": "<step>"}, r"no one token for the tag '<step>'.*is \d tokens, \[.*'<'.*family_options\.tag"),
            ({"tag": "\n\n\n\n\n\n\n"}, r"tag '\\n\\n\\n\\n\\n\\n\\n'.*tokens, \[.*White space counts"),
            ({"tag": "ки", "step": "{step}{tag}"}, r"tag 'ки'.*written as 'ки' it is \d tokens"),
            ({"tag": "ки", "good": "splendid"}, r"'splendid' and '-' are not one.*\[.*\] and \['-'\].*options\.good"),
            ({"tag": " ки", "good": "-"}, r"good and .*bad are both '-'"),
            ({"tag": " ки", "good": " ки"}, r"family_options\.good=' ки' is the tag itself"),
            ({"tag": " +", "step": "{step}{tag}"}, r"family_options\.good='\+' is the tag itself"),
            ({"tag": " ки", "score": "pairs"}, r"family_options\.score='pairs' is not known\. Did you mean pair\?"),
            ({"tag": " ки", "score": "sigmoid", "bad": "-"}, r"family_options\.bad='-' is given, but .*score=sigmoid"),
            (
                {"tag": " ки", "layout": "chat"},
                r"family_options\.layout='chat' is not known.*text or assistant or user",
            ),
            ({"tag": " ки", "system": "Judge."}, r"system is given, but .*layout=text writes no chat template"),
            ({"tag": " ки", "chat_template_kwargs": {"a": 1}}, r"chat_template_kwargs is given, but .*layout=text"),
            ({"tag": " ки", "layout": "user", "bos": True}, r"bos is given, but .*layout=user the chat template"),
            (
                {"tag": " ки", "layout": "assistant", "problem": "{problem}"},
                r"problem is given, but .*layout=assistant",
            ),
            ({"tag": " ки", "bos": "yes"}, r"bos='yes' must be true, false or null"),
            ({"tag": " ки"}, r"tag ' ки'.*written as '  ки' it is 2 tokens, \['Ġ', 'ĠÐºÐ¸'\]"),
            ({"tag": " ки", "step": "Step {n}: {step}{tag}"}, r"has \{n\}, which is not known\. It takes \{k\}"),
            ({"tag": " ки", "step": "{step}"}, r"step='\{step\}' has \{tag\} 0 times, where once belongs"),
            ({"tag": " ки", "step": "{tag}{step}"}, r"has \{tag\} before \{step\}"),
            ({"tag": " ки", "step": "{step} {k}{tag}"}, r"has \{k\} after \{step\}"),
            ({"tag": " ки", "problem": "Solve: "}, r"problem='Solve: ' has \{problem\} 0 times"),
            (
                {"tag": " ки", "separator": "\n"},
                r"separator is no option of the family label_token\. It takes tag, good",
            ),
        ],
    )
    def test_options_that_cannot_be_used_say_what_was_found(self, llama, options, message):
        with pytest.raises(PrmError, match=message):
            load(llama, **options)

    def test_a_tag_joined_with_the_next_step(self, llama):
        with pytest.raises(PrmError, match=r"cannot be shown a solution.*joins its tag with.*family_options\.step"):
            load(llama, tag=" \n\n\n\n", step="{step}{tag}\n")

    def test_a_beginning_that_the_tokenizer_has_not(self, tmp_path):
        folder = label_token_prm(tmp_path, begins=False)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.bos_token = None
        tokenizer.save_pretrained(folder)
        with pytest.raises(PrmError, match=r"begins a sequence.*family_options\.bos=false"):
            load(folder, **PSA, bos=True)
        assert load(folder, **PSA).bos_ids == []

    def test_a_tag_past_the_embeddings(self, tmp_path):
        folder = label_token_prm(tmp_path)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens([AddedToken("<step>", special=True)], special_tokens=True)
        tokenizer.save_pretrained(folder)
        with pytest.raises(PrmError, match=r"embeddings: the two are not of one model"):
            load(folder, tag="<step>")

    def test_a_chat_layout_without_a_template(self, tmp_path):
        with pytest.raises(PrmError, match="no chat template"):
            load(label_token_prm(tmp_path, template=None), tag=" ки", step="{step}{tag}", layout="user")
