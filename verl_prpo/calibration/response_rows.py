# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of an input as responses: of a rollout dump, with or without a record, or JSON lines of your own."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from verl_prpo.calibration.message_book import MessageBook
from verl_prpo.calibration.response import InputError, Response, begins_in_thought, cut, with_words
from verl_prpo.prm.encoding.shown import has_words
from verl_prpo.telemetry.rollouts.read import Rollout, RolloutError, Row, read_rows
from verl_prpo.text.chat_turns import Turns, find_turns
from verl_prpo.text.thinking import thoughts_among

MESSAGES_FROM = "--messages-from FILE.parquet takes the messages from the training data"


class PromptReader:
    """Reads the chat messages of prompts that a dump holds as text, and remembers what is uncertain about them."""

    def __init__(self, messages_from: Path | None):
        """Read the data file, if there is one.

        Args:
            messages_from: a data file of verl that holds the messages of a dump's prompts.

        Raises:
            InputError: that file cannot be used.
        """
        self._messages_from = messages_from
        self._book: MessageBook | None = None
        self._turns: dict[str, Turns] = {}
        self._doubtful: list[tuple[str, Turns]] = []
        if messages_from is not None:
            try:
                self._book = MessageBook.read(messages_from)
            except (ValueError, OSError) as error:
                raise InputError(f"--messages-from {messages_from}: {error}") from error

    def messages(self, prompt: str, place: str) -> Sequence[Mapping[str, Any]]:
        """Return the turns of a prompt's text.

        Args:
            prompt: rendered by a chat template, with or without its special tokens.
            place: where the prompt stands, for `notes`.

        Raises:
            ValueError: the data file does not have the prompt.
        """
        if prompt not in self._turns:
            if self._book is None:
                self._turns[prompt] = find_turns(prompt)
            else:
                try:
                    self._turns[prompt] = Turns(self._book.find(prompt), "data")
                except ValueError as error:
                    raise ValueError(f"--messages-from {self._messages_from}: {error}") from error
            if self._turns[prompt].doubt:
                self._doubtful.append((place, self._turns[prompt]))
        return self._turns[prompt].messages

    def notes(self) -> list[str]:
        """Return the notes that people have to read about the prompts that were read."""
        said = []
        if self._doubtful:
            (place, turns), prompts = self._doubtful[0], len(self._turns)
            unknown = sum(turns.template is None for _, turns in self._doubtful)
            what = "all of its text is taken for the user's words" if turns.template is None else "it may be misread"
            others = f", {unknown} of them without a template" if 0 < unknown < len(self._doubtful) else ""
            said.append(
                f"the chat turns of {len(self._doubtful)} of {prompts} prompts are uncertain{others}. The first is in "
                f"{place}: {turns.doubt}, so {what}. {MESSAGES_FROM}. JSON lines can hold them"
            )
        if self._book is not None and not self._turns:
            said.append("--messages-from was not needed: the input has the chat messages of every response")
        return said


class RowReader:
    """Reads files of one input and remembers the notes that people have to read about them."""

    def __init__(self, delimiters: Sequence[str], messages_from: Path | None):
        """Read the data file, if there is one.

        Args:
            delimiters: any of them ends a segment of responses that come without segments.
            messages_from: a data file of verl that holds the messages of a dump's prompts.

        Raises:
            InputError: that file cannot be used.
        """
        self._delimiters = delimiters
        self._prompts = PromptReader(messages_from)
        self._seen: Counter[str] = Counter()
        self._cut = 0

    def read(self, file: Path) -> Iterator[Response]:
        """Read the responses of a file, those without words too.

        Raises:
            InputError: the file cannot be read, or a line cannot be used.
        """
        try:
            for row in read_rows(file):
                rollout = row.rollout()
                try:
                    yield self._response(row) if rollout is None else self._recorded(row, rollout)
                except (ValueError, KeyError, TypeError) as error:
                    reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
                    raise InputError(f"{row.file}, line {row.line}: {reason}") from error
        except RolloutError as error:
            raise InputError(str(error)) from error

    def notes(self) -> list[str]:
        """Return the notes on prompts and delimiters."""
        said = self._prompts.notes()
        absent = [mark for mark in self._delimiters if mark and not self._seen[mark]]
        if self._cut and absent and len(absent) < len(self._delimiters):
            said.append(f"the delimiter {' and '.join(map(repr, absent))} stands in none of the {self._cut} responses")
        return said

    def _recorded(self, row: Row, rollout: Rollout) -> Response:
        messages: Sequence[Mapping[str, Any]] = rollout.messages
        # As the PRM was given them. The prompt's text holds what the template added.
        if not messages or any(message["content"] is None for message in messages):
            messages = self._prompts.messages(rollout.prompt, _place(row))
        segments, heard = rollout.spoken()
        thoughts = rollout.thought_characters()
        thinking = begins_in_thought(rollout.prompt, rollout.response, rollout.messages)
        made = Response(
            messages,
            segments,
            rollout.prompt,
            rollout.verifier_score,
            recorded=[segment.score for segment in rollout.segments],
            thinking=thinking,
            parts=rollout.outcome_parts,
            unfinished=rollout.unfinished,
            heard=heard,
            row=_data_row(row.columns),
            truncated=rollout.truncated,
            data_source=rollout.data_source,
            hidden=[i in rollout.hidden for i in range(len(segments))] if rollout.hidden else (),
            thoughts=thoughts_among(rollout.stretches(), thinking)
            if thoughts is None and rollout.interludes
            else thoughts,
            thoughts_known=thoughts is not None,
            overlong=rollout.overlong,
            windows=rollout.windows,
        )
        return with_words(made)

    def _response(self, row: Row) -> Response:
        columns = row.columns
        return self._dumped(row) if "output" in columns and "response" not in columns else self._own(columns)

    def _dumped(self, row: Row) -> Response:
        columns = row.columns
        prompt, text = columns.get("input"), _text(columns["output"], "output")
        if isinstance(prompt, str):
            messages: Sequence[Mapping[str, Any]] = self._prompts.messages(prompt, _place(row))
        elif columns.get("messages") is not None:
            messages, prompt = _checked_messages(columns["messages"], "messages"), ""
        else:
            raise ValueError(
                "a dumped response (output) without its prompt: it needs input, the prompt's text, or messages, its "
                f"chat messages. Its keys are {', '.join(columns)}"
            )
        return Response(
            messages,
            self._cut_text(text),
            prompt or json.dumps(messages, sort_keys=True),
            _number(columns.get("score"), "score"),
            thinking=begins_in_thought(prompt, text),
            parts={name: columns[name] for name in ("acc", "outcome") if columns.get(name) is not None},
            cut_here=True,
            row=_data_row(columns),
            data_source=str(columns.get("data_source") or ""),
        )

    def _own(self, row: Mapping[str, Any]) -> Response:
        messages = row.get("messages")
        if messages is None and row.get("prompt") is None:
            raise ValueError(f"it has neither prompt, a text, nor messages, a chat. Its keys are {', '.join(row)}")
        if messages is not None:
            messages = _checked_messages(messages, "messages")
        elif isinstance(row["prompt"], list):
            messages = _checked_messages(row["prompt"], "prompt")
        else:
            messages = [{"role": "user", "content": _text(row["prompt"], "prompt")}]
        cut_here = False
        if row.get("segments") is not None:
            segments = _texts(row["segments"], "segments")
        elif row.get("steps") is not None:
            *before, last = _texts(row["steps"], "steps")
            first = next(iter(self._delimiters), "")
            ends = tuple(filter(None, self._delimiters))
            segments = [*(step if ends and step.endswith(ends) else step + first for step in before), last]
        elif row.get("response") is not None:
            segments, cut_here = self._cut_text(_text(row["response"], "response")), True
        else:
            raise ValueError(f"it has none of segments, steps and response. Its keys are {', '.join(row)}")
        labels = None if row.get("step_labels") is None else [_label(label) for label in row["step_labels"]]
        if labels is not None and len(labels) != len(segments):
            raise ValueError(f"{len(labels)} step_labels for {len(segments)} segments")
        parts = row.get("outcome_parts") or {}
        if not isinstance(parts, Mapping):
            raise ValueError(f"outcome_parts must be an object, not {parts!r:.60}")
        if row.get("acc") is not None:
            parts = {**parts, "acc": row["acc"]}
        ending = messages[-1]
        prompt = f"assistant\n{ending['content']}" if ending["role"] == "assistant" else ending["content"]
        made = Response(
            messages,
            segments,
            json.dumps(messages, sort_keys=True),
            _number(row["outcome"] if row.get("outcome") is not None else row.get("score"), "outcome"),
            labels,
            thinking=begins_in_thought(prompt, "".join(segments)),
            parts=parts,
            cut_here=cut_here,
            row=_data_row(row),
            truncated=_flag(row.get("truncated"), "truncated"),
            data_source=str(row.get("data_source") or ""),
        )
        return with_words(made)

    def _cut_text(self, text: str) -> list[str]:
        self._cut += 1
        self._seen.update(mark for mark in self._delimiters if mark and mark in text)
        return cut(text, self._delimiters) if has_words(text) else []


def _data_row(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a score function gets of a line.

    The ground truth is ground_truth, or else `gts`, as verl's dump calls it. Data source and extra_info come along
    where the line has them.
    """
    truth = columns.get("gts") if columns.get("ground_truth") is None else columns["ground_truth"]
    return {
        "data_source": columns.get("data_source"),
        "ground_truth": truth,
        "extra_info": columns.get("extra_info") or {},
    }


def _place(row: Row) -> str:
    return f"{row.file.name}, line {row.line}"


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text, not {value!r:.60}")
    return value


def _texts(value: Any, name: str) -> list[str]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name} must be a list of texts, not {value!r:.60}")
    return [_text(part, f"each of {name}") for part in value]


def _number(value: Any, name: str) -> float | None:
    if value is not None and not isinstance(value, (bool, int, float)):
        raise ValueError(f"{name} must be a number, not {value!r:.60}")
    return None if value is None else float(value)


def _flag(value: Any, name: str) -> bool:
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {value!r:.60}")
    return bool(value)


def _checked_messages(value: Any, name: str) -> list[dict[str, Any]]:
    if not (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(message, dict) and all(isinstance(message.get(key), str) for key in ("role", "content"))
            for message in value
        )
    ):
        raise ValueError(f'{name} must be a list of {{"role": ..., "content": ...}}, both texts')
    return value


def _label(label: Any) -> bool | None:
    """Read a label: True for 1, true and "+", False for 0, -1, false and "-", None for null."""
    if label is None:
        return None
    if label in (1, "+"):
        return True
    if label in (0, -1, "-"):
        return False
    raise ValueError(f"step label {label!r} is none of 1, 0, -1, true, false, '+', '-', null")
