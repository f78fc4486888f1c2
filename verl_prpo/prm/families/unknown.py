# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Say of a model that no family claims what its config.json holds, and what to try."""

from typing import Any

from verl_prpo.prm.families.checkpoints import label_count

_SHOWN = ("architectures", "model_type", "num_labels", "id2label", "problem_type", "auto_map")

_LANGUAGE_MODEL = (
    "It is a language model, and nothing in its config says whether it judges steps. Its card does: label_token reads "
    "a label at a tag after each step (reward.prm.family_options.tag, .good, .bad), math_shepherd is the preset for "
    "the tag 'ки', rlhflow_prm reads an answer to each step, implicit_prm a log-ratio of two models, and "
    "zero_shot_judge takes any instruct model."
)
_SEQUENCE_CLASSIFIER = (
    "A sequence classifier gives one verdict on a whole text and none on a step, so no family reads it. As an outcome "
    "reward model it goes under verl's reward.reward_model. If it was trained as a token classifier of two classes, "
    "its config.json should say ForTokenClassification (family token_classification). If it judges a text that ends "
    "in the step, it needs a pass for each step, and a family of your own."
)
_TOKEN_CLASSIFIER = (
    "token_classification reads two classes (wrong, right). For {labels} a family of your own says what each is worth. "
    "An example for three is in docs/prm.md."
)
_OWN_HEAD = (
    "It has a head of its own, whose code comes with the model. qwen_math_prm reads a head of two classes on a Qwen2 "
    "trunk, and skywork_prm a value head on one. For another a family of your own loads it."
)


def described(config: dict[str, Any]) -> str:
    """Say what a model's `config.json` shows of its kind, for a message."""
    found = {key: config.get(key) for key in ("architectures", "model_type")} | {"num_labels": label_count(config)}
    found |= {key: config[key] for key in _SHOWN if key not in found and config.get(key) is not None}
    return "config.json has " + ", ".join(f"{key}={_short(found[key])}" for key in _SHOWN if key in found)


def what_to_try(config: dict[str, Any]) -> str:
    """Say in a sentence or two which settings could fit a model of the kind that its `config.json` names."""
    names = config.get("architectures")
    name = str(names[0]) if isinstance(names, list) and names else ""
    if name.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")):
        return _LANGUAGE_MODEL
    if name.endswith("ForSequenceClassification"):
        return _SEQUENCE_CLASSIFIER
    if name.endswith("ForTokenClassification"):
        return _TOKEN_CLASSIFIER.format(labels=label_count(config))
    if name:
        return _OWN_HEAD
    return "Its config.json names no architecture: check that this is the folder of the PRM, config and weights."


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 160 else text[:157] + "..."
