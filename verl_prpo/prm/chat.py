# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Dialogues to token ids in which only the chat template speaks in special tokens.

What messages and responses say is tokenised as plain text: a literal `<|im_end|>` in a response ends no turn, and a
literal separator is no separator. Positions of tokens put into the answer are known because they are put there, never
searched for.
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from verl_prpo.prm.family import PrmError


class Dialogue:
    """A tokenizer's chat template with plain-text contents.

    Token ids equal those of the rendered template as long as no content holds a special token's text.
    """

    def __init__(self, tokenizer: Any, model_path: str):
        """Args:
            tokenizer: the PRM's Hugging Face tokenizer.
            model_path: where it comes from, for messages.

        Raises:
            PrmError: the tokenizer has no chat template.
        """
        if not tokenizer.chat_template:
            raise PrmError(
                f"the tokenizer of reward.prm.model_path={model_path} has no chat template, which its family needs; "
                "choose an instruct model, or set reward.prm.custom_family to a family that formats dialogues itself"
            )
        self.tokenizer = tokenizer
        self.model_path = model_path
        special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
        longest_first = sorted(special, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest_first))) if special else None

    def encode(
        self, messages: Sequence[Mapping[str, Any]], answer: Sequence[str | int], *, end_turn: bool
    ) -> tuple[list[int], list[int]]:
        """Token ids of `messages` followed by an assistant's `answer`.

        Args:
            messages: chat messages whose content is a string or a list of text parts.
            answer: strings are plain text, integers are token ids taken as they are.
            end_turn: whether the template closes the assistant's turn after the answer.

        Returns:
            The token ids, and the position in them of each integer of `answer`, in order.

        Raises:
            ValueError: a content that is not text, or a template that refuses or drops a message.
        """
        before, after = self._render(messages, end_turn)
        spoken = [(piece, False) for piece in before] + [(piece, True) for piece in answer]
        pieces: list[tuple[str | int, bool]] = []  # adjacent texts joined, for they are tokenised as one
        for piece, of_answer in spoken + [(piece, False) for piece in after]:
            if isinstance(piece, str) and pieces and isinstance(pieces[-1][0], str):
                pieces[-1] = (pieces[-1][0] + piece, False)
            elif piece != "":
                pieces.append((piece, of_answer))
        text_ids = iter(self.plain_ids([piece for piece, _ in pieces if isinstance(piece, str)]))
        ids: list[int] = []
        positions: list[int] = []
        for piece, of_answer in pieces:
            if isinstance(piece, str):
                ids += next(text_ids)
            else:
                positions += [len(ids)] if of_answer else []
                ids.append(piece)
        return ids, positions

    def plain_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, in which the text of a special token is text."""
        if not texts:
            return []
        return self.tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True).input_ids

    def require_embeddings(self, rows: int, mend: str, also: Sequence[int] = ()) -> None:
        """Check that every token a dialogue can hold has an embedding.

        Special tokens count when the template or `also` names them: text never becomes one, and some sound models
        have others (for images, say) past their embeddings.

        Args:
            rows: of the model's input embeddings.
            mend: the setting to change, for the message.
            also: ids of tokens that the family puts into answers itself.

        Raises:
            PrmError: tokenizer and weights are not of one model.
        """
        tokenizer = self.tokenizer
        template = str(tokenizer.chat_template)
        unused = {
            i
            for i, token in tokenizer.added_tokens_decoder.items()
            if token.special and token.content not in template and i not in (tokenizer.bos_token_id, *also)
        }
        largest = max({*tokenizer.get_vocab().values(), *also} - unused)
        if largest >= rows:
            raise PrmError(
                f"the tokenizer of reward.prm.model_path={self.model_path} has token ids up to {largest}, but the "
                f"weights have {rows} embeddings: the two are not of one model. {mend}"
            )

    def _render(self, messages: Sequence[Mapping[str, Any]], end_turn: bool) -> tuple[list[str | int], list[str | int]]:
        """The template before and after the answer: strings of plain text (contents included) and special token ids."""
        contents = [message_text(message) for message in messages]
        marker = uuid.uuid4().hex
        slots = [f"{marker}-{i}-" for i in range(len(contents) + 1)]
        turns = [{**message, "content": slot} for message, slot in zip(messages, slots, strict=False)]
        if end_turn:
            turns.append({"role": "assistant", "content": slots[-1]})
        try:
            rendered = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=not end_turn)
        except Exception as error:  # templates raise whatever their author chose
            raise ValueError(f"the PRM's chat template refuses the messages: {error}") from error
        if not end_turn:
            rendered += slots[-1]
        lost = [i for i, slot in enumerate(slots) if slot not in rendered]
        if lost or rendered.count(slots[-1]) != 1:
            raise ValueError(f"the PRM's chat template drops or repeats messages (lost: {lost}, of {len(slots)})")
        before: list[str | int] = []
        after: list[str | int] = []
        side = before
        for part in re.split(f"({marker}-[0-9]+-)", rendered):
            if not part.startswith(marker):
                side.extend(self._split_special(part))
            elif part == slots[-1]:
                side = after
            else:
                side.append(contents[slots.index(part)])
        return before, after

    def _split_special(self, text: str) -> list[str | int]:
        if self._special is None:
            return [text]
        pieces: list[str | int] = []
        at = 0
        for match in self._special.finditer(text):
            pieces.append(text[at : match.start()])
            pieces.append(self.tokenizer.convert_tokens_to_ids(match.group()))
            at = match.end()
        pieces.append(text[at:])
        return pieces


def message_text(message: Mapping[str, Any]) -> str:
    """The text of one chat message, whose content is a string or a list of text parts.

    Raises:
        ValueError: a content, or a part of it, that is not text.
    """
    content = message.get("content")
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if not isinstance(content, Sequence):
        raise ValueError(f"a {message.get('role')} message has a content of type {type(content).__name__}, not text")
    texts = []
    for part in content:
        text = part if isinstance(part, str) else part.get("text") if isinstance(part, Mapping) else None
        if text is None:
            kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            raise ValueError(f"a {message.get('role')} message has a part of type {kind!r}; the PRM reads text only")
        texts.append(text)
    return "".join(texts)
