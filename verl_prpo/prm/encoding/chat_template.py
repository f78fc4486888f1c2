# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Render dialogues in a PRM's chat template, and check template and options when the PRM is loaded.

A template ignores a variable that it does not know, and a PRM with the wrong prompt still gives scores. So an option
that the template never looks at is an error here and not a warning: nobody reads a warning while training goes on.
"""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, meta, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser

from verl_prpo.prm.families.base import PrmError
from verl_prpo.text.thinking import closing_tag, opens_thought

SETTING = "reward.prm.family_options.chat_template_kwargs"

_OURS = frozenset(
    "conversation messages tools documents add_generation_prompt continue_final_message tokenize padding truncation "
    "max_length tokenizer_kwargs".split()
)
"""Names that the package passes to `apply_chat_template` itself, or that would change the form of what it returns."""

_NAME = "chat_template"
_QUESTION = ({"role": "user", "content": "What is 1 + 1?"},)


class ChatTemplate:
    """The one template that a PRM's dialogues are written in, with its options."""

    def __init__(self, tokenizer: Any, model_path: str, kwargs: Mapping[str, Any] | None = None):
        """Choose the template, check its options, and render a question with them.

        Args:
            tokenizer: the PRM's Hugging Face tokenizer.
            model_path: where it comes from, for messages.
            kwargs: `reward.prm.family_options.chat_template_kwargs`, variables of the template. `chat_template` in it
                names one of several templates.

        Raises:
            PrmError: there is no template, it does not know an option, an option is not the user's to set, or the
                template refuses a plain question.
        """
        self._tokenizer = tokenizer
        self.where = f"reward.prm.model_path={model_path}"
        options = _checked(kwargs, _OURS | {*tokenizer.special_tokens_map})
        name = options.pop(_NAME, None)
        self._text = _chosen(getattr(tokenizer, "chat_template", None), name, model_path)
        self._options = options
        self._closing = ""
        self._require_rendering()
        self.variables = _variables(self._text) - _OURS - {*tokenizer.special_tokens_map}
        self._require_known()

    def render(self, turns: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool) -> str:
        """Render the text of a dialogue.

        Args:
            turns: chat messages.
            add_generation_prompt: whether the text ends where an assistant's answer begins.

        Raises:
            ValueError: the template refuses the turns. The message holds the template's own words.
        """
        text = self._rendered(turns, add_generation_prompt, self._options)
        return text + self._closing if add_generation_prompt else text

    def prompt(self, **more: Any) -> str:
        """Render what comes before the answer to a question. Variables in `more` override the configured options.

        Raises:
            ValueError: the template refuses `more`.
        """
        return self._rendered(_QUESTION, True, {**self._options, **more}) + self._closing

    def opens_thought(self, **more: Any) -> bool:
        """Return whether the answer to a question begins inside a thought. Variables in `more` override the options.

        Raises:
            ValueError: the template refuses `more`.
        """
        return opens_thought(self.prompt(**more), _QUESTION)

    def close_thought(self) -> None:
        """Close the thought that the prompt opens, from now on, in the form in which templates write an empty one."""
        prompt = self.prompt()
        tag = closing_tag(prompt, _QUESTION)
        assert tag is not None, "the prompt opens no thought"
        closed = f"\n\n{tag}\n\n"
        begun = prompt[len(prompt.rstrip()) :]
        self._closing = closed.removeprefix(begun) if closed.startswith(begun) else closed.lstrip("\n")

    def _rendered(self, turns: Sequence[Mapping[str, Any]], prompt: bool, options: Mapping[str, Any]) -> str:
        try:
            return self._tokenizer.apply_chat_template(
                list(turns), chat_template=self._text, tokenize=False, add_generation_prompt=prompt, **options
            )
        except Exception as error:  # templates raise whatever their author chose
            given = f" (rendered with {SETTING}={dict(options)})" if options else ""
            raise ValueError(f"the PRM's chat template refuses the messages: {error}{given}") from error

    def _require_rendering(self) -> None:
        try:
            self.prompt()
        except ValueError as error:
            if self._options and self._takes_a_question_without_options():
                way_out = f"It takes a question without these options: change or remove {SETTING}."
            else:
                way_out = (
                    f"If it asks for an option, set it in {SETTING}. Otherwise choose another model for "
                    "reward.prm.model_path, or set reward.prm.custom_family to a family that formats dialogues itself."
                )
            raise PrmError(f"{self.where} cannot be shown a question: {error}. {way_out}") from error

    def _takes_a_question_without_options(self) -> bool:
        try:
            self._rendered(_QUESTION, True, {})
        except ValueError:
            return False
        return True

    def _require_known(self) -> None:
        for key in self._options:
            if key in self.variables:
                continue
            known = sorted(self.variables)
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]}? " if near else ""
            takes = f"It looks at {', '.join(known)}." if known else "It has no options."
            raise PrmError(
                f"{SETTING}.{key} is no option of the chat template of {self.where}, which would ignore it. "
                f"{hint}{takes} Correct or remove the option."
            )


def _checked(kwargs: Mapping[str, Any] | None, reserved: frozenset[str]) -> dict[str, Any]:
    if kwargs is None:
        return {}
    if not isinstance(kwargs, Mapping):
        raise PrmError(f"{SETTING}={kwargs!r} must be a mapping, such as ++{SETTING}.enable_thinking=false")
    for key, value in kwargs.items():
        if not isinstance(key, str):
            raise PrmError(f"{SETTING} has the key {key!r} where the name of a template's variable belongs")
        if key in reserved or key.startswith("return_"):
            raise PrmError(
                f"{SETTING}.{key} cannot be set: the package decides it, so that it knows where each score is read. "
                "Only variables of the chat template belong here, such as enable_thinking. Remove it."
            )
        if isinstance(value, str) and value.strip().lower() in ("true", "false"):
            raise PrmError(
                f"{SETTING}.{key}={value!r} is a text, which a template takes for neither true nor false. Write "
                f"{value.strip().lower()} without quotes"
            )
    return dict(kwargs)


def _chosen(template: Any, name: Any, model_path: str) -> str:
    """Return the text of the template: the only one, the one that is named, or the default one."""
    where = f"reward.prm.model_path={model_path}"
    if not template:
        unread = [
            file for file in ("chat_template.json", "chat_template.jinja2") if (Path(model_path) / file).is_file()
        ]
        hint = f" (it does not read {unread[0]})" if unread else ""
        raise PrmError(
            f"the tokenizer of {where} has no chat template{hint}, which its family needs. Choose an instruct model, "
            "put the template the PRM was trained with into the folder as chat_template.jinja, or set "
            "reward.prm.custom_family to a family that formats dialogues itself"
        )
    if isinstance(template, str):
        if name is not None:
            raise PrmError(
                f"{SETTING}.{_NAME}={name!r} chooses among several chat templates, but the tokenizer of {where} has "
                "one. Remove it. A template of your own goes into the folder as chat_template.jinja."
            )
        return template
    names = ", ".join(sorted(template))
    if name is None and "default" not in template:
        raise PrmError(
            f"the tokenizer of {where} has several chat templates ({names}) and no default. Set {SETTING}.{_NAME} to "
            "the name of the one the PRM was trained with"
        )
    if name is not None and (not isinstance(name, str) or name not in template):
        near = difflib.get_close_matches(str(name), list(template), n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise PrmError(f"{SETTING}.{_NAME}={name!r} is no chat template of {where}. {hint}It has {names}.")
    return template[name or "default"]


class _Generation(Extension):
    """The block `generation`, by which templates for training mark an assistant's words."""

    tags = {"generation"}  # noqa: RUF012 (an attribute of jinja2's)

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _variables(text: str) -> set[str]:
    """Return the names that a template looks up and does not define itself."""
    environment = Environment(extensions=[_Generation, "jinja2.ext.loopcontrols"])  # only parses: nothing is run
    environment.globals.update(raise_exception=None, strftime_now=None)
    return meta.find_undeclared_variables(environment.parse(text))
