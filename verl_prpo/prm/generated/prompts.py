# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Read the prompts of a judge, and check them before the first request.

They are Jinja templates in files, the package's own or a user's.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, TemplateError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.families.options import OPTIONS

SETTING = f"{OPTIONS}.prompt_path"

PLACEHOLDERS = {
    "response": ("problem", "steps", "count", "labels", "explain"),
    "step": ("problem", "before", "step", "number", "if_right", "if_wrong"),
}
"""The placeholders that a prompt may use, by `family_options.ask`."""

_MUST_SHOW = {"response": ("problem", "steps"), "step": ("problem", "step")}


@dataclass(frozen=True)
class Prompt:
    """A template that is ready to be filled. `load_prompt` makes one."""

    _template: Any
    _fixed: Mapping[str, Any]

    def for_response(self, problem: str, steps: Sequence[str]) -> str:
        """Write the question for verdicts on all steps of a response."""
        return self._template.render(problem=problem, steps=list(steps), count=len(steps), **self._fixed)

    def for_step(self, problem: str, steps: Sequence[str]) -> str:
        """Write the question for the verdict on the last of these steps."""
        *before, step = steps
        return self._template.render(problem=problem, before=before, step=step, number=len(steps), **self._fixed)


def load_prompt(ask: str, path: str | None, fixed: Mapping[str, Any]) -> Prompt:
    """Read a prompt and check that it shows the judge what it has to judge.

    Args:
        ask: response or step.
        path: a file with a Jinja template. None stands for the package's own.
        fixed: placeholders whose values are those of the settings.

    Raises:
        PrmError: the file cannot be read, is no Jinja template, uses a placeholder that is not known, or does not show
            some text of the dialogue.
    """
    where = "the package's own prompt" if path is None else f"{SETTING}={path}"
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    known = PLACEHOLDERS[ask]
    try:
        text = _text(ask, path)
        used = meta.find_undeclared_variables(environment.parse(text))
        template = environment.from_string(text)
    except (OSError, UnicodeDecodeError) as error:
        raise PrmError(
            f"{where} cannot be read: {error}. Give the absolute path of a UTF-8 text that every node can read"
        ) from error
    except TemplateError as error:
        raise PrmError(f"{where} is no Jinja template: {error}") from error
    for name in sorted(used - set(known)):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"Did you mean {{{{ {near[0]} }}}}? It knows" if near else "It knows"
        raise PrmError(
            f"{where} uses the placeholder {{{{ {name} }}}}, which {OPTIONS}.ask={ask} does not fill. {hint} "
            f"{', '.join(known)}"
        )
    prompt = Prompt(template, {name: value for name, value in fixed.items() if name in known})
    _require_shown(prompt, ask, where)
    return prompt


def _text(ask: str, path: str | None) -> str:
    if path is not None:
        return Path(path).expanduser().read_text(encoding="utf-8")
    return (resources.files(__package__) / "prompts" / f"{ask}.jinja").read_text(encoding="utf-8")


def _require_shown(prompt: Prompt, ask: str, where: str) -> None:
    """Fill the template once with known texts, and look for them."""
    problem, steps = "the problem 7919", ["the first step 6091", "the second step 5557"]
    try:
        shown = (prompt.for_response if ask == "response" else prompt.for_step)(problem, steps)
    except Exception as error:  # whatever the expressions of a template raise
        raise PrmError(f"{where} cannot be filled: {type(error).__name__}: {error}") from error
    wanted = {"problem": [problem], "steps": steps, "step": steps[1:]}
    for name in _MUST_SHOW[ask]:
        if not all(text in shown for text in wanted[name]):
            raise PrmError(f"{where} does not show the judge {{{{ {name} }}}}. Put it where the judge is to read it")
