# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Turn dialogues into token ids in which only the chat template speaks in special tokens.

What messages and responses say is tokenised as plain text: a literal `<|im_end|>` in a response ends no turn, and a
literal separator is no separator. The positions of the tokens that are put into the response are known from putting
them there, and never searched for.
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from verl_prpo.prm.conversation import Step, message_text, written
from verl_prpo.prm.encoding.chat_template import ChatTemplate
from verl_prpo.prm.encoding.tokens import continuation_ids, plain_ids, require_embeddings
from verl_prpo.prm.families.base import PrmError
from verl_prpo.text.thinking import without_tags

_NUMBERED = re.compile(r"Step \d+:")
_OPENS = re.compile(r"\A\s*<think>\s*")


class Dialogue:
    """A tokenizer's chat template with plain-text contents.

    Token ids equal those of the rendered template as long as no content holds a special token's text and the template
    takes contents as they are (some trim them).
    """

    def __init__(self, tokenizer: Any, model_path: str, chat_template_kwargs: Mapping[str, Any] | None = None):
        """Args:
            tokenizer: the PRM's Hugging Face tokenizer.
            model_path: where it comes from, for messages.
            chat_template_kwargs: variables of the chat template, as the option of that name in
                `reward.prm.family_options`.

        Raises:
            PrmError: the tokenizer has no chat template, or the template does not know an option, or it cannot show a
                question and its answer.
        """
        self.template = ChatTemplate(tokenizer, model_path, chat_template_kwargs)
        self.tokenizer = tokenizer
        self.model_path = model_path
        special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
        longest_first = sorted(special, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest_first))) if special else None
        self._strips = {token.content: token for token in tokenizer.added_tokens_decoder.values() if token.special}
        # Whether text after a special token continues what is there, or begins anew (with sentencepiece's space).
        behind = tokenizer(special[0] + "a", add_special_tokens=False).input_ids[1:] if special else []
        self._continues = bool(special) and behind != self.plain_ids(["a"])[0]
        self._marker = uuid.uuid4().hex  # stands for contents while the template is rendered, which see none of it
        self._slots = re.compile(f"({self._marker}-[0-9]+-)")
        self._known_roles: dict[str, bool] = {}
        try:
            self._render([{"role": "user"}], [["1 + 1?"], ["2"]], add_generation_prompt=True)
        except ValueError as error:
            raise PrmError(
                f"reward.prm.model_path={model_path}: {error}. Its family needs a template that writes each message's "
                "text once. Choose another model, or set reward.prm.custom_family to a family that formats dialogues "
                "itself"
            ) from error

    def encode(
        self, messages: Sequence[Mapping[str, Any]], answer: Sequence[str | int | Mapping[str, Any]], *, end_turn: bool
    ) -> tuple[list[int], list[int]]:
        """Return the token ids of `messages` followed by an assistant's `answer`.

        Args:
            messages: chat messages whose content is a string or a list of text parts.
            answer: strings are plain text, integers are token ids taken as they are. A chat message ends the
                assistant's turn, and what follows it begins another. The message keeps its role where the template
                knows that role. Otherwise it is shown as the user's, under a heading that says who spoke.
            end_turn: whether the template closes the assistant's turn after the answer.

        Returns:
            The token ids, and the position in them of each integer of `answer`, in order.

        Raises:
            ValueError: a content is not text, or the template refuses or drops a message.
        """
        turns: list[Mapping[str, Any]] = list(messages)
        contents: list[Sequence[str | int]] = [[message_text(message)] for message in messages]
        said: list[str | int] = []
        heard: list[tuple[str, str]] = []
        for piece in answer:
            if not isinstance(piece, Mapping):
                if heard:
                    self._hear(heard, turns, contents)
                said.append(piece)
            elif piece["role"] == "assistant":  # what the policy is taken to have said, though it is not judged
                said.append(message_text(piece))
            else:
                if said:
                    turns.append({"role": "assistant"})
                    contents.append(said)
                    said = []
                heard.append((piece["role"], message_text(piece)))
        if heard:
            self._hear(heard, turns, contents)
        turns = [*turns, {"role": "assistant"}] if end_turn else turns
        return self._ids(self._render(turns, [*contents, said], add_generation_prompt=not end_turn))

    def _hear(
        self, heard: list[tuple[str, str]], turns: list[Mapping[str, Any]], contents: list[Sequence[str | int]]
    ) -> None:
        """Add what was heard between two turns of the assistant to the turns, and empty `heard`.

        Neighbouring messages whose roles the template does not know become one turn of the user, for many templates
        want turns to alternate.
        """
        joined = ""
        for role, text in [*heard, ("", "")]:
            if role and not self._knows(role):
                joined += ("\n\n" if joined else "") + written({"role": role, "content": text})
                continue
            if joined:
                turns.append({"role": "user"})
                contents.append([joined])
                joined = ""
            if role:
                turns.append({"role": role})
                contents.append([text])
        heard.clear()

    def _knows(self, role: str) -> bool:
        """Return whether the template can write a turn of a role between two of the assistant."""
        if role not in self._known_roles:
            turns = [{"role": name} for name in ("user", "assistant", role, "assistant")]
            try:
                self._render(turns, [["1 + 1?"], ["I ask."], ["2"], ["2."]], add_generation_prompt=False)
                self._known_roles[role] = True
            except ValueError:
                self._known_roles[role] = False
        return self._known_roles[role]

    def continuing(self, segments: Sequence[str]) -> list[str]:
        """Return a response as it goes on after the generation prompt, without a `<think>` that the prompt holds.

        Args:
            segments: of the response, at least one.
        """
        said = self.template.opens_thought()
        first = _OPENS.sub("", segments[0]) if said else segments[0]
        return [first or segments[0], *segments[1:]]

    def continuing_turns(self, steps: Sequence[Step]) -> list[Step]:
        """Do what `continuing` does for a response with turns: the last turn stands after the generation prompt.

        Args:
            steps: texts and the messages between them, at least one step.
        """
        if not self.template.opens_thought():
            return [list(step) for step in steps]
        numbers = [(k, n) for k, step in enumerate(steps) for n, part in enumerate(step) if not isinstance(part, str)]
        k, n = (numbers[-1][0], numbers[-1][1] + 1) if numbers else (0, 0)
        shown = [list(step) for step in steps]
        text = str(shown[k][n])
        shown[k][n] = _OPENS.sub("", text) or text
        return shown

    def encode_turns(self, turns: Sequence[tuple[str, Sequence[str | int]]]) -> tuple[list[int], list[int]]:
        """Return the token ids of turns that the template closes.

        Args:
            turns: role and content of each. In a content, strings are plain text, and integers are token ids taken as
                they are.

        Returns:
            The token ids, and the position in them of each integer, in order.

        Raises:
            ValueError: the template refuses, drops or reorders turns.
        """
        roles = [{"role": role} for role, _ in turns]
        return self._ids(self._render(roles, [content for _, content in turns], add_generation_prompt=False))

    def _ids(self, rendered: Sequence[tuple[str | int, bool]]) -> tuple[list[int], list[int]]:
        pieces: list[tuple[str | int, bool]] = []  # adjacent texts joined, for they are tokenised as one
        for piece, counted in rendered:
            if isinstance(piece, str) and pieces and isinstance(pieces[-1][0], str):
                pieces[-1] = (pieces[-1][0] + piece, False)
            elif piece != "":
                pieces.append((piece, counted))
        texts = [piece for piece, _ in pieces if isinstance(piece, str)]
        first = [texts.pop(0)] if self._continues and pieces and isinstance(pieces[0][0], str) else []
        rest = self.continuation_ids(texts) if self._continues else self.plain_ids(texts)
        text_ids = iter([*self.plain_ids(first), *rest])
        ids: list[int] = []
        positions: list[int] = []
        for piece, counted in pieces:
            if isinstance(piece, str):
                ids += next(text_ids)
            else:
                positions += [len(ids)] if counted else []
                ids.append(piece)
        return ids, positions

    def plain_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, in which the text of a special token is text."""
        return plain_ids(self.tokenizer, texts)

    def continuation_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Call `verl_prpo.prm.encoding.tokens.continuation_ids` with this tokenizer."""
        return continuation_ids(self.tokenizer, texts)

    def require_embeddings(self, rows: int, fix: str, also: Sequence[int] = ()) -> None:
        """Call `verl_prpo.prm.encoding.tokens.require_embeddings` with this tokenizer."""
        require_embeddings(self.tokenizer, self.model_path, rows, fix, also)

    def _render(
        self,
        messages: Sequence[Mapping[str, Any]],
        contents: Sequence[Sequence[str | int]],
        *,
        add_generation_prompt: bool,
    ) -> list[tuple[str | int, bool]]:
        """Render the template with `contents` in it, one for each message and one more after a generation prompt.

        Returns:
            Pieces, plain text or token ids, and for each whether it is of a content.
        """
        slots = [f"{self._marker}-{i}-" for i in range(len(contents))]
        turns = [{**message, "content": slot} for message, slot in zip(messages, slots, strict=False)]
        rendered = self.template.render(turns, add_generation_prompt=add_generation_prompt)
        if add_generation_prompt:
            rendered += slots[-1]
        parts = self._slots.split(rendered)
        number = {slot: i for i, slot in enumerate(slots)}
        found = [number[part] for part in parts if part in number]
        lost = sorted({*number.values()} - {*found})
        # What holds token ids must stand where it was put: their positions follow from their order.
        fixed = [i for i, content in enumerate(contents) if not all(isinstance(piece, str) for piece in content)]
        held = {*fixed}
        ordered = [i for i in found if i in held] == fixed
        if lost or not ordered or found.count(len(slots) - 1) != 1:
            what = f"drops, repeats or reorders messages (lost: {lost}, of {len(slots)})"
            raise ValueError(f"the PRM's chat template {what}")
        pieces: list[tuple[str | int, bool]] = []
        for part in parts:
            if part in number:
                pieces += [(piece, True) for piece in contents[number[part]]]
            else:
                pieces += [(piece, False) for piece in self._split_special(part)]
        return pieces

    def _split_special(self, text: str) -> list[str | int]:
        if self._special is None:
            return [text]
        pieces: list[str | int] = []
        at = 0
        for match in self._special.finditer(text):
            token = self._strips[match.group()]
            before = text[at : match.start()]
            pieces.append(before.rstrip() if token.lstrip else before)
            pieces.append(self.tokenizer.convert_tokens_to_ids(match.group()))
            at = match.end()
            if token.rstrip:
                at += len(text) - at - len(text[at:].lstrip())
        pieces.append(text[at:])
        return pieces


def numbered_step(segment: str, number: int, prefix: str = "Step {k}: ") -> str:
    """Strip a segment of the white space around it, and write its number before it unless it begins with its own.

    A number of its own may stand after tags such as `<think>`.
    """
    step = segment.strip()
    return step if _NUMBERED.match(without_tags(step).lstrip()) else prefix.replace("{k}", str(number)) + step


def problem_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return what was asked: the one user message, or the turns with their roles.

    System messages are left out, for they are meant for the solver, unless there is nothing else.
    """
    turns = [message for message in messages if message["role"] != "system"] or list(messages)
    if len(turns) == 1:
        return message_text(turns[0])
    return "\n\n".join(f"{message['role']}: {message_text(message)}" for message in turns)


def replaced_system(messages: Sequence[dict[str, Any]], text: str | None) -> list[dict[str, Any]]:
    """Return the messages with this text as the one system message, or with none when it is None."""
    turns = [message for message in messages if message["role"] != "system"]
    return turns if text is None else [{"role": "system", "content": text}, *turns]
