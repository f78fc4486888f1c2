# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Read what was said between two turns of a policy from its tokens, in the roles of the policy's chat template.

An agent loop appends a tool's answer as the template writes it: the end of the policy's turn, the head of the tool's,
its words, and the head of the policy's next turn. How a template writes these is learnt from the template itself, by
rendering short conversations whose contents are marked.
"""

import functools
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from verl_prpo.text.thinking import without_tags

POLICY = "assistant"
ROLES = ("tool", "user", "system", "developer", "function", "observation", "environment", "ipython")
"""The roles of those who may speak between two turns of the policy."""

_WINDOW = 96
"""The number of tokens after the end of a turn in which the head of the next one is looked for."""


@dataclass(frozen=True)
class Stretch:
    """What a stretch of foreign tokens says.

    Attributes:
        messages: role and text of each message in it. There is none where the stretch says nothing, such as the end of
            a turn alone.
        recognised: whether all of the stretch is as the chat template writes it. Where it is not, its plain text is the
            message of a tool.
    """

    messages: list[tuple[str, str]] = field(default_factory=list)
    recognised: bool = True


class TurnReader:
    """Reads the messages of foreign tokens by a tokenizer's chat template. One thread at a time may use it."""

    def __init__(self, tokenizer: Any, template_kwargs: Mapping[str, Any] | None = None):
        """Make a reader of the turns that a tokenizer's chat template writes.

        Args:
            tokenizer: the policy's Hugging Face tokenizer.
            template_kwargs: arguments of its chat template (`data.apply_chat_template_kwargs`).
        """
        self._tokenizer = tokenizer
        self._kwargs = dict(template_kwargs or {})
        special = sorted(tokenizer.all_special_tokens, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, special))) if special else None

    def read(self, ids: Sequence[int]) -> Stretch:
        """Read the messages of a stretch of foreign tokens.

        Args:
            ids: token ids of all of it, from the policy's last own token to its next.
        """
        plain = self._tokenizer.decode(list(ids), skip_special_tokens=True).strip()
        if not plain or plain == POLICY:
            return Stretch()
        messages = self._parsed(self._decoded(ids))
        return Stretch([("tool", plain)], recognised=False) if messages is None else Stretch(messages)

    def foreign_turn(self, ids: Sequence[int], end_ids: frozenset[int]) -> tuple[int, str] | None:
        """Find where tokens that pass for the policy's own hold the turn of somebody else.

        No sampling gives such tokens: the policy ended its turn there, and the head of another turn follows.

        Args:
            ids: token ids of a stretch under mask 1.
            end_ids: tokens at which the rollout ends the policy's turn.

        Returns:
            Position of the end of the policy's turn, and the role that speaks then. None where nobody else speaks.
        """
        for at, token in enumerate(ids[:-1]):
            if token in end_ids:
                behind = self._decoded(ids[at : at + _WINDOW])
                for role in ROLES:
                    head = self._begins.get(role)
                    end = self._decoded([token])
                    if head is not None and (behind.startswith(head) or behind[len(end) :].startswith(head)):
                        return at, role
        return None

    def _parsed(self, text: str) -> list[tuple[str, str]] | None:
        """Return role and text of each message, or None for a text that begins as no turn of the template does."""
        begun = [(self._overlap(self._begins.get(role, ""), text), role) for role in ROLES]
        length, role = max(begun, key=lambda found: found[0])  # the first of equals
        if not length:
            return None
        rest = text[length:]
        messages: list[tuple[str, str]] = []
        while True:
            ends = [(rest.find(head), -len(head), n) for n, (head, _) in enumerate(self._between[role])]
            at, _, n = min((found for found in ends if found[0] >= 0), default=(-1, 0, -1))
            if at < 0:
                content = rest[: len(rest) - self._cut_short(role, rest)]
                messages.append((role, content))
                break
            messages.append((role, rest[:at]))
            head, role = self._between[role][n]
            rest = rest[at + len(head) :]
            if role == POLICY and not without_tags(rest).strip():
                break  # the policy takes over, perhaps after tags that the template writes for it
        said = [(role, self._without_special(content)) for role, content in messages]
        return [(role, content) for role, content in said if content.strip()]

    def _overlap(self, head: str, text: str) -> int:
        """Return how much of a text is the end of a head, for the policy may have said the head's beginning itself."""
        for begin in range(len(head)):
            if text.startswith(head[begin:]):
                return len(head) - begin if head[begin:].strip() else 0
        return 0

    def _cut_short(self, role: str, text: str) -> int:
        """Return the length of the beginning of a head at the end of a text that was cut off within the head."""
        heads = [head for head, _ in self._between[role]]
        longest = max(map(len, heads), default=0)
        return next(
            (n for n in range(min(longest, len(text)), 0, -1) if any(head.startswith(text[-n:]) for head in heads)), 0
        )

    @functools.cached_property
    def _begins(self) -> dict[str, str]:
        """Return what the template writes between the policy's content and that of a message, by the message's role."""
        begins = {role: self._heads([role], call) for role, call in self._calls.items()}
        return {role: heads[0] for role, heads in begins.items() if heads is not None}

    @functools.cached_property
    def _between(self) -> dict[str, list[tuple[str, str]]]:
        """Return what the template writes between the content of a message and that of the next, with the next one's
        role.

        The result is by the role of the first message. The policy's own entry is the head under which the policy goes
        on.
        """
        found: dict[str, list[tuple[str, str]]] = {POLICY: [(head, role) for role, head in self._begins.items()]}
        for role, call in self._calls.items():
            found[role] = []
            goes_on = self._heads([role], call, add_generation_prompt=True)
            if goes_on is not None:
                found[role].append((goes_on[1], POLICY))
            for after in (*ROLES, POLICY):
                heads = self._heads([role, after], call)
                if heads is not None:
                    found[role].append((heads[1], after))
        return found

    @functools.cached_property
    def _calls(self) -> dict[str, bool]:
        """Return the roles that the template can write, and whether it wants a tool to be called before."""
        tried = [(role, call) for call in (True, False) for role in ROLES if self._heads([role], call) is not None]
        known = dict(tried)  # without a call where that works too
        return {role: known[role] for role in ROLES if role in known}

    def _heads(self, roles: Sequence[str], called: bool, add_generation_prompt: bool = False) -> list[str] | None:
        """Return what the template writes before the content of each of some messages, and after the last one.

        The messages follow an answer of the policy. The result is None where the template refuses them or does not
        write each once.
        """
        marks = [uuid.uuid4().hex for _ in range(len(roles) + 2)]
        call = {"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": {}}}
        asked: list[dict[str, Any]] = [
            {"role": "user", "content": marks[0]},
            {"role": POLICY, "content": marks[1], **({"tool_calls": [call]} if called else {})},
        ]
        named = {"tool_call_id": call["id"], "name": "f"} if called else {}
        said = [
            {"role": role, "content": mark, **(named if role == "tool" else {})}
            for role, mark in zip(roles, marks[2:], strict=True)
        ]
        try:
            text = self._tokenizer.apply_chat_template(
                [*asked, *said], tokenize=False, add_generation_prompt=add_generation_prompt, **self._kwargs
            )
        except Exception:  # templates raise whatever their author chose
            return None
        if not isinstance(text, str) or [text.count(mark) for mark in marks] != [1] * len(marks):
            return None
        pieces = re.split("|".join(marks), text)
        if sorted(marks, key=text.index) != marks or not all(piece.strip() for piece in pieces[2:-1]):
            return None
        return pieces[2:]

    def _decoded(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def _without_special(self, text: str) -> str:
        return text if self._special is None else self._special.sub("", text)
