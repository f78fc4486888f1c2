# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What doctor says of the policy's thoughts with `reward.prm.thinking=hide`."""

from pathlib import Path

import pytest
from thinking_templates import DEEPSEEK_R1, HYBRID, PICKY, QWEN3, QWEN25
from tiny_models import CHAT_TEMPLATE, qwen_tokenizer
from transformers import AddedToken, Qwen2Config
from verl_configs import prpo

from verl_prpo.console.findings import Finding, State
from verl_prpo.doctor.thought_checks import thoughts


def found(folder: Path, template: str | None, *overrides: str, tags: str = "") -> Finding:
    tokenizer = qwen_tokenizer()
    tokenizer.chat_template = template
    if tags:
        added = [AddedToken(tag, special=tags == "special", normalized=False) for tag in ("<think>", "</think>")]
        tokenizer.add_tokens(added, special_tokens=tags == "special")
    tokenizer.save_pretrained(folder)
    Qwen2Config().save_pretrained(folder)
    return thoughts(prpo(f"actor_rollout_ref.model.path={folder}", *overrides))


OFF = "+data.apply_chat_template_kwargs.enable_thinking=false"


@pytest.mark.parametrize(
    ("template", "overrides", "state", "said"),
    [
        (CHAT_TEMPLATE, [], State.WARNING, "has a tag of thoughts"),
        (QWEN25, [], State.WARNING, "has a tag of thoughts"),
        (DEEPSEEK_R1, [], State.OK, "opens a thought (<think>), so a response begins inside it"),
        (HYBRID, [], State.OK, "opens a thought (<think>)"),
        (HYBRID, [OFF], State.WARNING, "closes an empty thought (</think>)"),
        (QWEN3, [], State.OK, "knows <think>, and a response opens its own thoughts"),
        (QWEN3, [OFF], State.WARNING, "closes an empty thought (</think>)"),
        (PICKY, ["+data.apply_chat_template_kwargs.enable_thinking=maybe"], State.SKIPPED, "enable_thinking must be"),
        (None, [], State.SKIPPED, "gives no prompt"),
    ],
)
def test_the_prompt_the_template_and_the_tokenizer_are_looked_at(
    template: str | None, overrides: list[str], state: State, said: str, tmp_path: Path
) -> None:
    finding = found(tmp_path, template, *overrides)
    assert finding.state is state and said in finding.found
    if state is State.WARNING:
        assert "++reward.prm.thinking=score" in finding.advice
        assert ("enable_thinking" in finding.advice) is bool(overrides)


@pytest.mark.parametrize("tags", ["special", "plain"])
def test_tags_of_the_tokenizer_count_and_special_ones_are_said_to_be_lost_in_text(tags: str, tmp_path: Path) -> None:
    finding = found(tmp_path, CHAT_TEMPLATE, tags=tags)
    assert finding.state is State.OK and finding.details["tags"] == ["<think>"]
    assert ("<think> and </think> are special tokens" in finding.found) is (tags == "special")


def test_a_policy_that_is_not_here_is_not_checked() -> None:
    assert thoughts(prpo("actor_rollout_ref.model.path=/nowhere/policy")).state is State.SKIPPED
