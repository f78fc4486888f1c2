# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A check of whether the policy writes thoughts that `reward.prm.thinking=hide` can find."""

from typing import Any

from omegaconf import DictConfig, OmegaConf
from transformers import AutoTokenizer

from verl_prpo.console.findings import Finding, State
from verl_prpo.text.thinking import closing_tag, special_thought_tags, thought_tags

_ASKED = [{"role": "user", "content": "What is 1 + 1?"}]
_KWARGS = "data.apply_chat_template_kwargs"
_JUDGE = "set ++reward.prm.thinking=score"


def thoughts(config: DictConfig) -> Finding:
    """Look for the tags of thoughts in a prompt as the policy gets it, in the chat template and in the tokenizer.

    Args:
        config: the whole verl configuration, with `reward.prm.thinking=hide`.
    """
    policy = str(config.actor_rollout_ref.model.path)
    given = config.data.get("apply_chat_template_kwargs")
    kwargs: Any = OmegaConf.to_container(given, resolve=True) if given else {}
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            policy, trust_remote_code=bool(config.actor_rollout_ref.model.get("trust_remote_code", False))
        )
        prompt = tokenizer.apply_chat_template(_ASKED, tokenize=False, add_generation_prompt=True, **kwargs)
    except Exception as error:  # of the hub, the files, or whatever a template's author chose
        found = f"not checked: {policy} gives no prompt ({type(error).__name__}: {str(error).splitlines()[0][:120]})"
        return Finding(found, State.SKIPPED)
    special = special_thought_tags(tokenizer)
    known = list(dict.fromkeys(tag for tag, opens in thought_tags(_sources(tokenizer)) if opens))
    note = ""
    if special:
        note = (
            f"\n{' and '.join(special)} are special tokens, which the text of a rollout dump does not show; the record "
            "of a response does (thoughts)"
        )
    details = {"tags": known, "special": special}
    if closing_tag(prompt, _ASKED) is not None:
        opened = thought_tags(prompt)[-1][0]
        found = f"the chat template opens a thought ({opened}), so a response begins inside it"
        return Finding(f"{found}{note}", details=details, value=True)
    tags = thought_tags(prompt)
    if tags and not tags[-1][1]:
        return Finding(
            f"the chat template closes an empty thought ({tags[-1][0]}) before the response, so the policy is not to "
            f"think. With reward.prm.thinking=hide nothing is hidden then{note}",
            State.WARNING,
            f"remove what turns thoughts off ({_KWARGS}={kwargs}), or {_JUDGE}",
            details,
            value=True,
        )
    if known:
        found = f"the policy knows {', '.join(known)}, and a response opens its own thoughts"
        return Finding(f"{found}{note}", details=details, value=True)
    return Finding(
        f"neither the chat template nor the tokenizer of {policy} has a tag of thoughts, such as <think>. Unless the "
        "policy writes one as plain text, reward.prm.thinking=hide hides nothing and the PRM reads all",
        State.WARNING,
        f"{_JUDGE}, or train a policy that thinks; all right where the problems ask for <think> and </think>",
        details,
        value=True,
    )


def _sources(tokenizer: Any) -> str:
    """Join the chat templates and the added tokens of a tokenizer into one text."""
    template = tokenizer.chat_template or ""
    templates = list(template.values()) if isinstance(template, dict) else [template]
    return "\n".join([*map(str, templates), *(token.content for token in tokenizer.added_tokens_decoder.values())])
