# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The chat template of a PRM and `chat_template_kwargs`: what reaches it, and what is refused at load."""

import json

import pytest
import torch
from thinking_templates import DEEPSEEK_R1, HYBRID, PICKY, QWEN3, QWEN25, TAGS
from tiny_causal_prms import implicit_pair, label_token_prm, rlhflow_prm
from tiny_head_prms import token_classification_prm
from tiny_models import CHAT_TEMPLATE, instruct_model, qwen_math_prm, qwen_tokenizer
from transformers import AutoTokenizer

from verl_prpo.prm.encoding.chat_template import ChatTemplate
from verl_prpo.prm.encoding.dialogue import Dialogue
from verl_prpo.prm.families import resolve_family
from verl_prpo.prm.families.base import PrmError
from verl_prpo.settings.prm import prm_config
from verl_prpo.settings.prpo import CustomFamily, PrmConfig

KEY = r"reward\.prm\.family_options\.chat_template_kwargs"
QUESTION = [{"role": "user", "content": "What is 17 + 60?"}]
STEPS = ["First we add.\n\n", "So it is 77."]
MOODY = "{{ '<|im_start|>' + mood | default('calm') + '<|im_end|>' }}" + CHAT_TEMPLATE
"""Begins every dialogue with what its one option says."""


def tokenizer_with(template):
    tokenizer = qwen_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def folder_of(family: str, path, template):
    """A tiny PRM of a family with a chat template, and the options that it needs."""
    options = {
        "token_classification": {"chat_template": True},
        "label_token": {"tag": " ки", "step": "{step}{tag}\n", "layout": "assistant"},
    }.get(family, {})
    if family == "implicit_prm":
        folder, reference = implicit_pair(path)
        options = {"reference_model_path": str(reference)}
    else:
        make = {
            "qwen_math_prm": qwen_math_prm,
            "rlhflow_prm": instruct_model,
            "label_token": label_token_prm,
            "token_classification": token_classification_prm,
            "zero_shot_judge": instruct_model,
        }[family]
        folder = make(path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    (folder / "chat_template.jinja").unlink()
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder, options


def load(family: str, folder, **options):
    config = prm_config({"prm": {"model_path": str(folder), "family": family, "family_options": options}})
    cls = resolve_family(config)
    return cls.load(str(folder), device=torch.device("cpu"), dtype=torch.float32, **config.family_options)


WRITERS = ["qwen_math_prm", "label_token", "rlhflow_prm", "token_classification", "implicit_prm", "zero_shot_judge"]
"""Families that write a chat template."""


@pytest.mark.parametrize("family", WRITERS)
class TestEveryFamilyWithATemplate:
    def test_renders_with_the_options_and_names_what_it_cannot_use(self, family, tmp_path):
        folder, options = folder_of(family, tmp_path, MOODY)
        begins = {}
        for mood in (None, "merry"):
            kwargs = {} if mood is None else {"chat_template_kwargs": {"mood": mood}}
            prm = load(family, folder, **options, **kwargs)
            encoded = prm.encode(QUESTION, STEPS)
            tokenizer = AutoTokenizer.from_pretrained(folder)
            begins[mood] = tokenizer.decode(encoded.input_ids).split("<|im_end|>")[0]
            assert len(prm.forward([encoded])[0]) == len(STEPS)
        assert begins == {None: "<|im_start|>calm", "merry": "<|im_start|>merry"}
        with pytest.raises(PrmError, match=rf"{KEY}\.mod is no option.*Did you mean mood\? It looks at mood"):
            load(family, folder, **options, chat_template_kwargs={"mod": "merry"})

    def test_says_what_a_template_says_that_refuses_an_option(self, family, tmp_path):
        folder, options = folder_of(family, tmp_path, PICKY)
        words = r"enable_thinking must be true or false"
        with pytest.raises(PrmError, match=rf"{words} \(rendered with {KEY}=.*'of'.*without these options: change"):
            load(family, folder, **options, chat_template_kwargs={"enable_thinking": "of"})
        load(family, folder, **options, chat_template_kwargs={"enable_thinking": False})

    def test_asks_for_a_template_where_there_is_none(self, family, tmp_path):
        folder, options = folder_of(family, tmp_path, None)
        with pytest.raises(PrmError, match=r"model_path=.* has no chat template.*chat_template\.jinja.*custom_family"):
            load(family, folder, **options)
        (folder / "chat_template.json").write_text(json.dumps({"chat_template": CHAT_TEMPLATE}))
        with pytest.raises(PrmError, match=r"no chat template \(it does not read chat_template\.json\)"):
            load(family, folder, **options)
        (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
        assert load(family, folder, **options).name == family


class TestTheOptions:
    @pytest.mark.parametrize("key", ["tokenize", "add_generation_prompt", "continue_final_message", "return_dict"])
    def test_that_would_change_what_is_rendered_are_refused_by_name(self, key):
        with pytest.raises(PrmError, match=rf"{KEY}\.{key} cannot be set.*Remove it"):
            Dialogue(tokenizer_with(QWEN3), "some/prm", {key: True})

    @pytest.mark.parametrize("key", ["conversation", "messages", "return_tensors", "tools", "eos_token", "max_length"])
    def test_that_the_package_or_the_tokenizer_gives_are_refused_by_name(self, key):
        with pytest.raises(PrmError, match=rf"{KEY}\.{key} cannot be set"):
            Dialogue(tokenizer_with(QWEN3), "some/prm", {key: None})

    @pytest.mark.parametrize("given", ["enable_thinking=false", ["enable_thinking"], 3, True])
    def test_that_are_no_mapping_are_refused(self, given):
        with pytest.raises(PrmError, match=rf"{KEY}=.* must be a mapping, such as .*enable_thinking=false"):
            Dialogue(tokenizer_with(QWEN3), "some/prm", given)

    @pytest.mark.parametrize("value", ["false", "False", " true"])
    def test_that_are_true_or_false_as_texts_are_refused(self, value):
        # "is false" does not hold for the text "false": the template would open a thought.
        with pytest.raises(PrmError, match=rf"enable_thinking='{value}' is a text.*Write (true|false) without quotes"):
            Dialogue(tokenizer_with(QWEN3), "some/prm", {"enable_thinking": value})

    def test_that_are_mistyped_are_refused_with_the_nearest(self):
        with pytest.raises(PrmError, match=rf"{KEY}\.enable_thinkin is no option.*Did you mean enable_thinking\?"):
            Dialogue(tokenizer_with(QWEN3), "some/prm", {"enable_thinkin": False})
        with pytest.raises(PrmError, match=r"enable_thinking is no option.*It has no options"):
            Dialogue(tokenizer_with(QWEN25), "some/prm", {"enable_thinking": False})

    @pytest.mark.parametrize(
        "template",
        [
            "{% set mood = mood | default('calm') %}" + CHAT_TEMPLATE + "{{ mood }}",
            "{% macro said() %}{{ mood }}{% endmacro %}" + CHAT_TEMPLATE + "{{ said() }}",
            CHAT_TEMPLATE + "{% generation %}{{ mood }}{% endgeneration %}",
            CHAT_TEMPLATE + "{% for m in messages %}{% if mood is defined %}{% break %}{% endif %}{% endfor %}",
            CHAT_TEMPLATE + "{% if not add_generation_prompt %}{{ strftime_now('%Y') + mood }}{% endif %}",
        ],
        ids=["defaulted", "macro", "generation", "loop", "unreached"],
    )
    def test_are_known_wherever_a_template_looks_at_them(self, template):
        assert ChatTemplate(tokenizer_with(template), "some/prm", {"mood": "calm"}).variables == {"mood"}

    def test_reach_a_custom_family_that_gives_them_to_its_dialogue(self, tmp_path):
        (tmp_path / "mine.py").write_text(
            "from verl_prpo.prm.encoding.dialogue import Dialogue\n"
            "from verl_prpo.prm.families.base import Encoded, PrmFamily\n"
            "from transformers import AutoTokenizer\n\n\n"
            "class Mine(PrmFamily):\n"
            "    name, max_context = 'mine', 100\n\n"
            "    @classmethod\n"
            "    def load(cls, model_path, *, device, dtype, trust_remote_code=False, chat_template_kwargs=None):\n"
            "        family = cls()\n"
            "        tokenizer = AutoTokenizer.from_pretrained(model_path)\n"
            "        family.dialogue = Dialogue(tokenizer, model_path, chat_template_kwargs)\n"
            "        return family\n\n"
            "    def encode(self, messages, segments):\n"
            "        return Encoded(*self.dialogue.encode(messages, segments, end_turn=False))\n\n"
            "    def forward(self, batch):\n"
            "        raise NotImplementedError\n"
        )
        model = instruct_model(tmp_path / "model", template=QWEN3)
        config = PrmConfig(
            model_path=str(model),
            custom_family=CustomFamily(str(tmp_path / "mine.py"), "Mine"),
            family_options={"chat_template_kwargs": {"enable_thinking": False}},
        )
        family = resolve_family(config).load(str(model), device=None, dtype=None, **config.family_options)
        text = AutoTokenizer.from_pretrained(model).decode(family.encode(QUESTION, ["77"]).input_ids)
        assert text.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n77")

    def test_are_read_with_a_template_only(self, tmp_path):
        folder = token_classification_prm(tmp_path)
        with pytest.raises(PrmError, match=rf"{KEY} is given, but.*family_options\.chat_template=true"):
            load("token_classification", folder, chat_template_kwargs={"enable_thinking": False})


class TestTheTemplate:
    def test_of_several_is_the_default_one_or_the_one_that_is_named(self, tmp_path):
        named = {"default": CHAT_TEMPLATE, "moody": MOODY}
        folder = instruct_model(tmp_path, template=named)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert tokenizer.chat_template == named
        begins = [
            tokenizer.decode(Dialogue(tokenizer, str(folder), options).encode(QUESTION, ["7"], end_turn=False)[0])[:16]
            for options in (None, {"chat_template": "moody"}, {"chat_template": "moody", "mood": "merry"})
        ]
        assert begins == ["<|im_start|>user", "<|im_start|>calm", "<|im_start|>merr"]
        with pytest.raises(PrmError, match=rf"{KEY}\.chat_template='mody'.*Did you mean moody\? It has default, moody"):
            Dialogue(tokenizer, str(folder), {"chat_template": "mody"})
        with pytest.raises(PrmError, match=rf"{KEY}\.mood is no option"):  # of the default one
            Dialogue(tokenizer, str(folder), {"mood": "merry"})

    def test_of_several_without_a_default_must_be_named(self):
        tokenizer = tokenizer_with({"moody": MOODY, "plain": CHAT_TEMPLATE})
        with pytest.raises(PrmError, match=rf"several chat templates \(moody, plain\).*no default\. Set {KEY}\."):
            Dialogue(tokenizer, "some/prm")
        assert Dialogue(tokenizer, "some/prm", {"chat_template": "plain"}).template.variables == set()

    def test_is_not_chosen_where_there_is_one(self):
        with pytest.raises(PrmError, match=rf"{KEY}\.chat_template='moody' chooses among several"):
            Dialogue(tokenizer_with(MOODY), "some/prm", {"chat_template": "moody"})

    def test_that_asks_for_an_option_is_heard(self):
        asks = "{% if mood is not defined %}{{ raise_exception('tell me your mood') }}{% endif %}" + MOODY
        with pytest.raises(PrmError, match=rf"tell me your mood\. If it asks for an option, set it in {KEY}"):
            Dialogue(tokenizer_with(asks), "some/prm")
        Dialogue(tokenizer_with(asks), "some/prm", {"mood": "calm"})

    def test_that_is_no_jinja_is_refused(self):
        with pytest.raises(PrmError, match=r"model_path=some/prm cannot be shown a question.*refuses the messages"):
            Dialogue(tokenizer_with("{% for m in messages %}"), "some/prm")

    def test_that_loses_what_a_message_says_is_refused(self):
        parts = "{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}"
        with pytest.raises(PrmError, match=r"model_path=some/prm: .*drops, repeats or reorders messages"):
            Dialogue(tokenizer_with(parts), "some/prm")

    def test_that_refuses_the_published_system_prompt_is_no_template_of_qwen_math(self, tmp_path):
        gemma = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        folder, _ = folder_of("qwen_math_prm", tmp_path, gemma + CHAT_TEMPLATE)
        with pytest.raises(PrmError, match=r"cannot hold the published system prompt.*no system role.*prm\.family"):
            load("qwen_math_prm", folder)


class TestThoughts:
    """What a template writes of thoughts beside the contents."""

    @pytest.mark.parametrize(
        ("template", "options", "before"),
        [
            (QWEN25, {}, ""),
            (QWEN3, {}, ""),
            (QWEN3, {"enable_thinking": False}, "<think>\n\n</think>\n\n"),
            (HYBRID, {}, "<think>\n"),
            (HYBRID, {"enable_thinking": False}, "<think>\n\n</think>\n\n"),
            (DEEPSEEK_R1, {}, "<think>\n"),
        ],
    )
    def test_implicit_rewards_are_read_behind_the_prompt_that_a_policy_with_the_options_gets(
        self, tmp_path, template, options, before
    ):
        pair = [instruct_model(tmp_path / str(seed), seed=seed, template=template, added=TAGS) for seed in (1, 2)]
        prm = load("implicit_prm", pair[0], reference_model_path=str(pair[1]), chat_template_kwargs=options)
        tokenizer = AutoTokenizer.from_pretrained(pair[0])
        prompt = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, tokenize=False, **options)
        assert prompt.endswith("<|im_start|>assistant\n" + before)
        steps = ["<think>\nWe add.\n\n", "It is 77.\n</think>\n\n", "77"]
        encoded = prm.encode(QUESTION, steps)
        ids = tokenizer(prompt, add_special_tokens=False).input_ids
        expected = []
        says = [steps[0].removeprefix("<think>\n") if before == "<think>\n" else steps[0], *steps[1:]]
        for step in says:  # a thought that the prompt has opened is not opened again
            begin = len(ids)
            ids = ids + tokenizer(step, add_special_tokens=False).input_ids
            expected.append((begin, len(ids)))
        assert (encoded.input_ids, encoded.reads) == (ids, expected)
        assert ids.count(tokenizer.convert_tokens_to_ids("</think>")) == 1 + before.count("</think>")

    @pytest.mark.parametrize("template", [QWEN25, QWEN3, HYBRID, DEEPSEEK_R1])
    def test_of_an_answer_without_one_are_what_the_template_writes_before_separators(self, tmp_path, template):
        folder, _ = folder_of("qwen_math_prm", tmp_path, template)
        turns = [{"role": "system", "content": "Be brief."}, *QUESTION]
        answer = "First we add.<extra_0>So it is 77.<extra_0>"
        tokenizer = AutoTokenizer.from_pretrained(folder)
        rendered = tokenizer.apply_chat_template([*turns, {"role": "assistant", "content": answer}], tokenize=False)
        ids = tokenizer(rendered, add_special_tokens=False).input_ids
        separator = tokenizer.convert_tokens_to_ids("<extra_0>")
        encoded = load("qwen_math_prm", folder).encode(turns, STEPS)
        assert encoded.input_ids == ids
        assert encoded.reads == [i for i, token in enumerate(ids) if token == separator]

    def test_a_thought_that_the_prompt_has_opened_is_opened_once_before_a_classifier_too(self, tmp_path):
        folder, options = folder_of("token_classification", tmp_path, DEEPSEEK_R1)
        prm = load("token_classification", folder, **options)
        for first in ("<think>\nWe add.", "\n\n<think>\n\nWe add.\n", "We add."):
            text = prm.tokenizer.decode(prm.encode(QUESTION, [first, "<think> It is 77."]).input_ids)
            assert text.endswith("<|im_start|>assistant\n<think>\nWe add.\n<think> It is 77.\n")

    @pytest.mark.parametrize("template", [QWEN25, QWEN3, HYBRID, DEEPSEEK_R1])
    def test_answers_of_rlhflow_are_read_alike_whichever_step_is_the_last(self, tmp_path, template):
        prm = load("rlhflow_prm", instruct_model(tmp_path, template=template, added=TAGS))
        steps = ["\n\nFirst we add.", "<think>\nThen", "It is 77.\n\n</think>\n\n"]
        whole = prm.encode(QUESTION, steps)
        scores = prm.forward([whole])[0]
        text = prm.dialogue.tokenizer.decode(whole.input_ids)
        for k, step in enumerate(steps, 1):
            part = prm.encode(QUESTION, steps[:k])
            assert part.input_ids == whole.input_ids[: len(part.input_ids)]
            assert prm.forward([part])[0] == pytest.approx(scores[:k], abs=1e-5)
            assert step.strip() in text
            assert prm.dialogue.tokenizer.decode(part.input_ids).endswith("<|im_start|>assistant\n")

    def test_rlhflow_on_llama_3_still_is_what_its_template_renders(self, tmp_path):
        folder = rlhflow_prm(tmp_path)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        turns = [{"role": "user", "content": "What is 17 + 60? First"}, {"role": "assistant", "content": "+"}]
        rendered = tokenizer.apply_chat_template(turns).input_ids
        assert load("rlhflow_prm", folder).encode(QUESTION, ["First"]).input_ids == rendered[:-2]
