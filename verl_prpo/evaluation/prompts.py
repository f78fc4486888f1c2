# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Prompts as tokens, with the chat template that training uses, and how they fit the model's context."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from verl_prpo.evaluation import EvaluationError
from verl_prpo.evaluation.generation import Request
from verl_prpo.evaluation.problems import EvaluationProblem

SHOWN = 5
"""Most prompts listed."""


@dataclass(frozen=True)
class Prompter:
    """A model's tokenizer and what it says of its context.

    Attributes:
        tokenizer: of transformers.
        context: most tokens of prompt and response, None where the model names no limit.
        revision: of a model of the hub.
        template_arguments: further arguments of the chat template, such as enable_thinking.
    """

    tokenizer: Any
    context: int | None
    revision: str | None
    template_arguments: dict[str, Any]

    def tokens(self, problem: EvaluationProblem) -> list[int]:
        """The prompt's token ids, up to where the response begins."""
        return list(
            self.tokenizer.apply_chat_template(
                list(problem.messages),
                add_generation_prompt=True,
                tokenize=True,
                return_dict=False,
                **self.template_arguments,
            )
        )

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of a response, as training scores it."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))


def load_prompter(
    model: str, context: int | None, template_arguments: dict[str, Any], trust_remote_code: bool
) -> Prompter:
    """Load tokenizer and configuration of a model.

    Args:
        model: folder or hub name.
        context: of the user, instead of the model's own.
        template_arguments: see `Prompter`.
        trust_remote_code: whether the model's own code may run.

    Raises:
        EvaluationError: they cannot be had, or there is no chat template.
    """
    from transformers import AutoConfig, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(model, trust_remote_code=trust_remote_code)
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=trust_remote_code)
    except Exception as error:  # of transformers or the hub, on files that cannot be had or read
        first = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise EvaluationError(
            f"MODEL {model}: neither a folder here nor a model that the Hugging Face hub gives "
            f"({type(error).__name__}: {first})"
            if not model.startswith("/")
            else f"MODEL {model}: config or tokenizer cannot be loaded ({type(error).__name__}: {first})"
        ) from error
    if not tokenizer.chat_template:
        raise EvaluationError(
            f"MODEL {model}: the tokenizer has no chat template, which verl's training needs as well; add one to the "
            "model's folder as chat_template.jinja"
        )
    text = config.get_text_config()
    own = getattr(text, "max_position_embeddings", None)
    return Prompter(tokenizer, context or own, getattr(config, "_commit_hash", None), template_arguments)


def leaves_no_room(request: Request, context: int | None) -> bool:
    """Whether the prompt fills the model's context."""
    return context is not None and len(request.tokens) >= context


def check_lengths(requests: Sequence[Request], context: int | None, skip: bool) -> list[str]:
    """How prompts and responses fit the model's context.

    Args:
        requests: all.
        context: tokens of prompt and response; None for no limit.
        skip: whether prompts that leave no room may count as wrong.

    Returns:
        What people should know.

    Raises:
        EvaluationError: prompts that leave no room, unless they may be skipped.
    """
    if context is None:
        return []
    notices = []
    long = [f"{r.name} ({len(r.tokens)} tokens)" for r in requests if leaves_no_room(r, context)]
    if long:
        listed = ", ".join(long[:SHOWN]) + (f" and {len(long) - SHOWN} more" if len(long) > SHOWN else "")
        message = f"{len(long)} prompts leave no room for a response in the model's context of {context}: {listed}"
        if not skip:
            raise EvaluationError(f"{message}; --skip-long-prompts counts them as wrong")
        notices.append(f"{message}; they count as wrong")
    cut = sum(len(r.tokens) + r.sampling.max_tokens > context for r in requests) - len(long)
    if cut:
        notices.append(
            f"for {cut} prompts --max-tokens cannot be had: prompt and response share the model's context of {context}"
        )
    return notices
