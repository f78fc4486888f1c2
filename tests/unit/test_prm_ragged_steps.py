# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Steps with blank lines and tags of thoughts around their words, as `shown_steps` hands them to every family."""

import pytest
import torch
from thinking_templates import TAGS
from tiny_causal_prms import label_token_prm, math_shepherd, rlhflow_prm
from tiny_head_prms import skywork_prm, token_classification_prm
from tiny_models import SEPARATOR, instruct_model, qwen_math_prm
from transformers import AutoTokenizer

from verl_prpo.prm.encoding.shown import shown_steps
from verl_prpo.prm.families import resolve_family
from verl_prpo.prm.families.judge import AFTER_SLOT, SLOT
from verl_prpo.settings.prm import prm_config

PROBLEM = "What is 17 + 60?"
QUESTION = [{"role": "user", "content": PROBLEM}]
RESPONSES = {
    "blank lines first": ["\n\n", "First we add.\n\n", "It is 77."],
    "a thought opens": ["<think>\n", "First we add.\n\n", "It is 77."],
    "a thought closes": ["First we add.", "\n\n</think>\n\n", "It is 77."],
    "a thought in blank lines": ["\n\n", "<think>\n\n", "First we add.\n", "\n</think>\n", "\n\n", "It is 77.\n", "\n"],
    "a step begins with a line break": ["First we add.", "\n\nIt is 77.\n"],
}
WORDS = ["First we add.", "It is 77."]


def load(name: str, tmp_path):
    """A family, and the options that write its dialogue in the way that its other tests compare with references."""
    made = {
        "qwen_math_prm": (qwen_math_prm, {}),
        "skywork_prm": (skywork_prm, {}),
        "token_classification": (token_classification_prm, {"separator": "\\n\\n"}),  # as a shell hands it over
        "token_classification in a template": (token_classification_prm, {"chat_template": True}),
        "label_token": (label_token_prm, {"tag": "\\n\\n\\n\\n", "step": "{step} {tag}"}),
        "math_shepherd": (math_shepherd, {}),
        "rlhflow_prm": (rlhflow_prm, {}),
        "implicit_prm": (instruct_model, {}),
        "implicit_prm with numbers": (instruct_model, {"step_prefix": "Step {k}: "}),
        "zero_shot_judge": (lambda path: instruct_model(path, added=TAGS), {}),
    }
    make, options = made[name]
    folder = make(tmp_path / "prm")
    family = name.split(" ")[0]
    if family == "implicit_prm":
        options = options | {"reference_model_path": str(instruct_model(tmp_path / "reference", seed=2))}
    config = prm_config({"prm": {"model_path": str(folder), "family": family, "family_options": options}})
    prm = resolve_family(config).load(
        str(folder), device=torch.device("cpu"), dtype=torch.float32, **config.family_options
    )
    return prm, AutoTokenizer.from_pretrained(folder)


def written(name: str, steps: list[str]) -> list[str]:
    """How each family writes the steps, up to and with what a step's score is read at."""
    lines = [step.strip("\n") for step in steps]
    words = [step.strip() for step in steps]
    ways = {
        "qwen_math_prm": [line + SEPARATOR for line in lines],
        "skywork_prm": [step if step.endswith("\n") else step + "\n" for step in steps],
        "token_classification": [line + "\n\n" for line in lines],
        "token_classification in a template": [line + "\n" for line in lines],
        "label_token": [word + " \n\n\n\n" for word in words],
        "math_shepherd": [f"{' ' if k == 1 else chr(10)}Step {k}: {word} ки" for k, word in enumerate(words, 1)],
        "rlhflow_prm": [
            ("" if k else PROBLEM + " ") + word + "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
            for k, word in enumerate(words)
        ],
        "implicit_prm": steps,
        "implicit_prm with numbers": [
            f"Step {k}: {word}" + ("\n\n" if k < len(words) else "") for k, word in enumerate(words, 1)
        ],
        "zero_shot_judge": [(AFTER_SLOT if k else "") + step + SLOT for k, step in enumerate(steps)],
    }
    return ways[name]


FAMILIES = [
    "qwen_math_prm",
    "skywork_prm",
    "token_classification",
    "token_classification in a template",
    "label_token",
    "math_shepherd",
    "rlhflow_prm",
    "implicit_prm",
    "implicit_prm with numbers",
    "zero_shot_judge",
]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_is_written_and_read_whole(name, tmp_path):
    prm, tokenizer = load(name, tmp_path)
    for response in RESPONSES.values():
        steps = shown_steps(response).steps
        assert "".join(steps) == "".join(response)
        assert len(steps) == 2
        encoded = prm.encode(QUESTION, steps)
        assert len(encoded.reads) == 2
        for read, way, word in zip(encoded.reads, written(name, steps), WORDS, strict=True):
            end = read[1] if isinstance(read, tuple) else read + 1
            text = tokenizer.decode(encoded.input_ids[:end], clean_up_tokenization_spaces=False)
            assert text.endswith(way) and word in way
        scores = prm.forward([encoded])[0]
        alone = prm.forward([prm.encode(QUESTION, steps[:1])])[0]
        if name != "implicit_prm with numbers":  # whose last step has no line break behind it
            assert alone == pytest.approx(scores[:1], abs=1e-5)


@pytest.mark.parametrize("name", ["math_shepherd", "implicit_prm with numbers"])
def test_a_step_behind_a_tag_keeps_its_own_number(name, tmp_path):
    prm, tokenizer = load(name, tmp_path)
    steps = shown_steps(["<think>\n", "Step 1: First we add.\n", "Step 2: It is 77.\n</think>"]).steps
    text = tokenizer.decode(prm.encode(QUESTION, steps).input_ids)
    assert text.count("Step 1:") == 1 and text.count("Step 2:") == 1
    assert "<think>\nStep 1: First we add." in text
