# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The lengths of the prompts of an evaluation, and whether they leave room for a response."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_prpo.evaluation import EvaluationError
from verl_prpo.evaluation.problems import EvaluationProblem

_SHOWN = 5


@dataclass(frozen=True)
class Job:
    """A problem of a set, and the tokens of its prompt."""

    set_name: str
    problem: EvaluationProblem
    prompt_tokens: int

    @property
    def name(self) -> str:
        """The name of the problem, unique among all sets."""
        return f"{self.set_name}/{self.problem.index}"


def prompt_counter(
    model: str, template_arguments: dict[str, Any], trust_remote_code: bool
) -> tuple[Callable[[EvaluationProblem], int], int | None, str | None]:
    """Return a function that counts the tokens of a problem's prompt, the model's own context, and its revision on the
    hub.

    Raises:
        EvaluationError: the tokenizer or the configuration cannot be loaded, or there is no chat template.
    """
    from transformers import AutoConfig, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(model, trust_remote_code=trust_remote_code)
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=trust_remote_code)
    except Exception as error:  # of transformers or the hub, on files that cannot be had or read
        reason = f"({type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]})"
        if Path(model).is_dir():
            raise EvaluationError(f"MODEL {model}: config or tokenizer cannot be loaded {reason}") from error
        raise EvaluationError(
            f"MODEL {model}: neither a folder here nor a model that the Hugging Face hub gives {reason}"
        ) from error
    if not tokenizer.chat_template:
        raise EvaluationError(
            f"MODEL {model}: the tokenizer has no chat template, which verl needs. Add one to the model's folder as "
            "chat_template.jinja"
        )

    def tokens(problem: EvaluationProblem) -> int:
        made = tokenizer.apply_chat_template(
            problem.messages, add_generation_prompt=True, return_dict=False, **template_arguments
        )
        return len(made)

    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    return tokens, context, getattr(config, "_commit_hash", None)


def check_lengths(jobs: Sequence[Job], max_tokens: int, context: int | None, skip: bool) -> list[str]:
    """Check that prompts and responses fit the context, and return what people have to know about it.

    Args:
        jobs: all problems of the evaluation.
        max_tokens: most tokens of a response.
        context: most tokens of prompt and response, None for no limit.
        skip: whether prompts that leave no room may count as wrong.

    Raises:
        EvaluationError: prompts leave no room for a response, and may not be skipped.
    """
    if context is None:
        return []
    notices = []
    long = [f"{job.name} ({job.prompt_tokens} tokens)" for job in jobs if job.prompt_tokens >= context]
    if long:
        listed = ", ".join(long[:_SHOWN]) + (f" and {len(long) - _SHOWN} more" if len(long) > _SHOWN else "")
        message = f"{len(long)} prompts leave no room for a response in the context of {context}: {listed}"
        if not skip:
            raise EvaluationError(f"{message}. --skip-long-prompts counts them as wrong")
        notices.append(f"{message}. They count as wrong")
    cut = sum(job.prompt_tokens + max_tokens > context for job in jobs) - len(long)
    if cut:
        notices.append(f"for {cut} prompts --max-tokens cannot be had: they share the context of {context} with it")
    return notices
