# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""How a PRM with a tag after each step writes a solution: the options of the family `label_token`, checked.

A template of a step holds `{step}` and `{tag}`, and may hold `{k}`, the number of the step:

    Step {k}: {step} {tag}\n

What stands after `{tag}` joins a step to the next one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from verl_prpo.prm.encoding.dialogue import numbered_step
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.families.options import OPTIONS, require_one_of, require_text

LAYOUTS = ("text", "assistant", "user")
SCORES = ("pair", "vocabulary", "sigmoid")
PROBLEM = "{problem} "
STEP = "Step {k}: {step} {tag}\n"

_SLOT = re.compile(r"\{([A-Za-z_]+)\}")
_ALLOWED = {"step": ("k", "step", "tag"), "problem": ("problem",)}


@dataclass(frozen=True)
class LabelFormat:
    """How a solution is written and judged. `checked_format` makes one from options.

    Attributes:
        tag: the text after each step, at whose one token the step is judged.
        good, bad: the labels. `bad` is None where `score` reads the good one alone.
        problem: template of what comes before the first step, with `{problem}` in it.
        step: template of a step, with `{step}` and `{tag}` in it, and perhaps `{k}`.
        bos: whether the token that begins a sequence comes first. None leaves that to the tokenizer.
        layout: "text" without a chat template, "assistant" with the steps in the assistant's turn, "user" with problem
            and steps in the user's turn.
        score: what the score of a step is. "pair" is the good label's share of the two, "vocabulary" its probability
            among all tokens, and "sigmoid" the sigmoid of its logit.
        system: the system message of a chat template. "none" shows none, and None keeps that of the dialogue.
    """

    tag: str
    good: str = "+"
    bad: str | None = "-"
    problem: str = PROBLEM
    step: str = STEP
    bos: bool | None = None
    layout: str = "text"
    score: str = "pair"
    system: str | None = None

    NONE: ClassVar[str] = "none"

    @property
    def head(self) -> str:
        """The text before the words of a step, with `{k}` in it where steps are numbered."""
        return self.step.partition("{step}")[0]

    @property
    def behind(self) -> str:
        """The text between the words of a step and its tag."""
        return self.step.partition("{step}")[2].partition("{tag}")[0]

    @property
    def join(self) -> str:
        """The text between a tag and the next step."""
        return self.step.partition("{tag}")[2]

    def texts(self, problem: str, segments: Sequence[str]) -> list[str]:
        """Write, for each tag, the text between the tag before it (or the beginning) and this tag.

        Spaces right before a tag are left out.

        Args:
            problem: its text, or "" where it stands in a turn of its own.
            segments: of the response, at least one.
        """
        steps = [self._written(segment, k) for k, segment in enumerate(segments, 1)]
        first = self.problem.replace("{problem}", problem) + steps[0]
        return [first, *(self.join + step for step in steps[1:])]

    def _written(self, segment: str, k: int) -> str:
        head, words = self.head, segment.strip()
        return (numbered_step(segment, k, head) if "{k}" in head else head + words) + self.behind.rstrip(" ")


def checked_format(
    tag: Any,
    good: Any = "+",
    bad: Any = None,
    problem: Any = None,
    step: Any = STEP,
    bos: Any = None,
    layout: Any = "text",
    score: Any = "pair",
    system: Any = None,
) -> LabelFormat:
    """Check options and return the format that they ask for.

    Args:
        tag, good, step, bos, layout, score, system: as in `LabelFormat`.
        bad: "-" when None, where `score` reads it.
        problem: `PROBLEM` when None, where the layout has no turn for it.

    Raises:
        PrmError: an option has the wrong type, a template lacks its slots, or options contradict each other.
    """
    if tag is None:
        raise PrmError(
            f"{OPTIONS}.tag is not set, and the family label_token needs it: the text after each step, such as 'ки', "
            "at which the PRM says its label"
        )
    require_one_of("layout", layout, LAYOUTS)
    require_one_of("score", score, SCORES)
    for name, text in (("tag", tag), ("good", good), ("step", step)):
        require_text(name, text)
    for name, text in (("bad", bad), ("problem", problem), ("system", system)):
        if text is not None:
            require_text(name, text)
    if bos is not None and not isinstance(bos, bool):
        raise PrmError(f"{OPTIONS}.bos={bos!r} must be true, false or null, which leaves it to the tokenizer")
    if not tag.strip(" "):
        raise PrmError(
            f"{OPTIONS}.tag={tag!r} consists of spaces, so the end of a step cannot be detected. Set it to the PRM's"
        )
    _require_slots("step", step, ("step", "tag"))
    if step.index("{step}") > step.index("{tag}"):
        raise PrmError(f"{OPTIONS}.step={step!r} has {{tag}} before {{step}}, but the tag is read after its step")
    if "{k}" in step[step.index("{step}") :]:
        raise PrmError(f"{OPTIONS}.step={step!r} has {{k}} after {{step}}, but a number is written before its step")
    if problem is not None:
        _require_slots("problem", problem, ("problem",))
    _require_no_contradiction(layout, score, bad, problem, bos, system)
    if score == "pair" and bad is None:
        bad = "-"
    if bad is not None and good == bad:
        raise PrmError(f"{OPTIONS}.good and {OPTIONS}.bad are both {good!r}, so every step would get 0.5. Set one")
    for name, label in (("good", good), ("bad", bad)):
        if label is not None and label.strip() and label.strip() == tag.strip():
            raise PrmError(
                f"{OPTIONS}.{name}={label!r} is the tag itself ({OPTIONS}.tag={tag!r}). A label is the token that the "
                "PRM says after the tag. Set the one of the two that is wrong"
            )
    if problem is None:
        problem = "" if layout == "assistant" else PROBLEM
    return LabelFormat(tag, good, bad, problem, step, bos, layout, score, system)


def _require_slots(option: str, template: str, needed: Sequence[str]) -> None:
    found = _SLOT.findall(template)
    allowed = _ALLOWED[option]
    unknown = [name for name in found if name not in allowed]
    takes = " and ".join(f"{{{name}}}" for name in allowed)
    if unknown:
        raise PrmError(f"{OPTIONS}.{option}={template!r} has {{{unknown[0]}}}, which is not known. It takes {takes}")
    for name in needed:
        if found.count(name) != 1:
            raise PrmError(
                f"{OPTIONS}.{option}={template!r} has {{{name}}} {found.count(name)} times, where once belongs"
            )


def _require_no_contradiction(layout: str, score: str, bad: Any, problem: Any, bos: Any, system: Any) -> None:
    if score != "pair" and bad is not None:
        raise PrmError(
            f"{OPTIONS}.bad={bad!r} is given, but {OPTIONS}.score={score} reads the good label alone. Remove one"
        )
    if layout == "text" and system is not None:
        raise PrmError(
            f"{OPTIONS}.system is given, but {OPTIONS}.layout=text writes no chat template. Set layout=assistant or "
            "layout=user, or put the text into problem"
        )
    if layout == "assistant" and problem is not None:
        raise PrmError(
            f"{OPTIONS}.problem is given, but with {OPTIONS}.layout=assistant the problem is a turn of its own. Remove "
            "it, or set layout=user"
        )
    if layout != "text" and bos is not None:
        raise PrmError(
            f"{OPTIONS}.bos is given, but with {OPTIONS}.layout={layout} the chat template decides it. Remove it"
        )
