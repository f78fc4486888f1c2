# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The chat messages of a data file, found again in prompts that a dump holds as text."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

KEY = 24
"""The number of characters of a message by which it is looked up in a prompt."""

Message = dict[str, str]


class MessageBook:
    """A book of data rows, in which the messages that a prompt was rendered from are found.

    A row fits a prompt that holds the texts of all its messages in their order. Of several rows the one with the most
    text is taken, since a question may be part of another one. What the template puts after the last message must be
    the same in all prompts, or else the right row is not in the file.
    """

    def __init__(self, rows: Iterable[Sequence[Message]]):
        """Take in rows.

        Args:
            rows: the messages of each row. Only rows whose last message has text can be found again.
        """
        self._by_key: dict[str, list[Sequence[Message]]] = {}
        self._short: list[Sequence[Message]] = []
        self._tail: str | None = None
        for messages in rows:
            last = messages[-1]["content"].strip()
            if len(last) < KEY:
                self._short.append(messages)
            else:
                middle = (len(last) - KEY) // 2  # data sets open or close all questions with the same words
                self._by_key.setdefault(last[middle : middle + KEY], []).append(messages)

    @classmethod
    def read(cls, path: Path, column: str = "prompt") -> "MessageBook":
        """Read the book of a .parquet or .jsonl file of verl.

        Args:
            path: the file, such as one of `data.train_files`.
            column: the column that holds the messages.

        Raises:
            ValueError: the file cannot be read, or has no row with messages in that column.
        """
        from verl_prpo.data.prepare import read_source

        rows = [messages for row in read_source(path) if (messages := _messages(row.get(column))) is not None]
        if not rows:
            raise ValueError(f"{path}: no row has chat messages in a column {column!r}. Give verl's data file")
        return cls(rows)

    def find(self, prompt: str) -> list[Message]:
        """Find the messages that a prompt was rendered from.

        Raises:
            ValueError: no row fits it, or several do.
        """
        near = [row for at in range(len(prompt)) for row in self._by_key.get(prompt[at : at + KEY], ())]
        fitting = [(row, end) for row in [*near, *self._short] if (end := _end(row, prompt)) is not None]
        if not fitting:
            raise ValueError(f"no row has the messages of this prompt, which ends {prompt[-80:]!r}")
        most = max(_length(row) for row, _ in fitting)
        best = [(row, end) for row, end in fitting if _length(row) == most]
        row, end = best[0]
        if any(list(other) != list(row) for other, _ in best):
            raise ValueError(f"several rows have the messages of this prompt, which ends {prompt[-80:]!r}")
        tail = prompt[end:].strip()
        if self._tail is None:
            self._tail = tail
        if tail != self._tail:
            raise ValueError(
                f"after the last message of the row found stands {tail[:80]!r}, in other prompts {self._tail[:80]!r}: "
                "the row is another one's"
            )
        return list(row)


def _messages(value: Any) -> list[Message] | None:
    """Return chat messages with text as plain data, or None for anything else."""
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return None
    messages = [message for message in value if isinstance(message, Mapping)]
    texts = [(message.get("role"), message.get("content")) for message in messages]
    if not texts or not all(isinstance(role, str) and isinstance(text, str) for role, text in texts):
        return None
    return [{"role": str(role), "content": str(text)} for role, text in texts] if str(texts[-1][1]).strip() else None


def _end(row: Sequence[Message], prompt: str) -> int | None:
    """Find where the last message's text ends in a prompt that holds all texts in their order, or None for another
    prompt.
    """
    at = 0
    for message in row:
        text = message["content"].strip()
        found = prompt.find(text, at)
        if found < 0:
            return None
        at = found + len(text)
    return at


def _length(row: Sequence[Message]) -> int:
    return sum(len(message["content"].strip()) for message in row)
