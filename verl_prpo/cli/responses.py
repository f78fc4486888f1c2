# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Responses to calibrate on: from a rollout dump of verl, or from JSON lines of your own."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_prpo.rollout_dump import Rollout, RolloutError, Row, read_rows

DEFAULT_DELIMITER = "\n\n"

_CHATML = re.compile(r"\A(?:system\n(?P<system>.*?)\n)?user\n(?P<user>.*)\nassistant\n*\Z", re.DOTALL)
"""A prompt in ChatML as the dump holds it, decoded without its special tokens."""


class InputError(ValueError):
    """An input that cannot be used; the message names the file, the line and what is wrong."""


@dataclass(frozen=True)
class Response:
    """One response cut into segments.

    Attributes:
        messages: the prompt as chat messages.
        segments: texts whose concatenation is the response.
        group: what responses to the same prompt share.
        outcome: of the verifier, in its own units; None when unknown.
        step_labels: per segment True (right), False (wrong) or None (unknown); None when no segment has one.
        recorded: per segment the score that a dump already holds, None where there is none; None without a dump.
    """

    messages: Sequence[Mapping[str, Any]]
    segments: Sequence[str]
    group: str
    outcome: float | None = None
    step_labels: Sequence[bool | None] | None = None
    recorded: Sequence[float | None] | None = None


def read_responses(source: Path, delimiter: str = DEFAULT_DELIMITER) -> list[Response]:
    """All responses with text of a file, or of the `.jsonl` files of a folder.

    Where some responses of a dump carry a record (`algorithm.prpo.dump_responses`), those without one are left out:
    nobody knows how they were cut.

    Args:
        source: a file or folder.
        delimiter: ends a segment of responses that come without segments.

    Raises:
        InputError: nothing there, or a line that cannot be used.
    """
    files = sorted(source.glob("*.jsonl"), key=_step) if source.is_dir() else [source]
    if not files:
        raise InputError(f"{source} holds no .jsonl file; give the folder that trainer.rollout_data_dir names")
    found = [response for file in files for response in _read(file, delimiter) if "".join(response.segments).strip()]
    if not found:
        raise InputError(f"{source} holds no response with text")
    recorded = [response for response in found if response.recorded is not None]
    return recorded or found


def cut(text: str, delimiter: str) -> list[str]:
    """A text cut after each run of a delimiter; a piece of white space alone joins the one before it."""
    if not delimiter:
        return [text]
    pieces = re.findall(rf".*?(?:(?:{re.escape(delimiter)})+|\Z)", text, re.DOTALL)
    segments: list[str] = []
    for piece in filter(None, pieces):
        if segments and (not piece.strip() or not segments[-1].strip()):
            segments[-1] += piece
        else:
            segments.append(piece)
    return segments


def _step(file: Path) -> tuple[int, str]:
    return (int(file.stem) if file.stem.isdecimal() else 0, file.name)


def _read(file: Path, delimiter: str) -> Iterator[Response]:
    try:
        for row in read_rows(file):
            rollout = row.rollout()
            yield _response(row, delimiter) if rollout is None else _recorded(rollout)
    except RolloutError as error:
        raise InputError(str(error)) from error


def _recorded(rollout: Rollout) -> Response:
    messages: Sequence[Mapping[str, Any]] = rollout.messages
    # As the PRM was given them; the prompt's text holds what the template added.
    if not messages or any(message["content"] is None for message in messages):
        messages = _messages(rollout.prompt)
    segments = [segment.text for segment in rollout.segments]
    scores = [segment.score for segment in rollout.segments]
    return Response(messages, segments, rollout.prompt, rollout.verifier_score, recorded=scores)


def _response(row: Row, delimiter: str) -> Response:
    columns = row.columns
    try:
        return _dumped(columns, delimiter) if "input" in columns and "output" in columns else _own(columns, delimiter)
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{row.file}, line {row.line}: {reason}") from error


def _dumped(row: Mapping[str, Any], delimiter: str) -> Response:
    outcome = None if row.get("score") is None else float(row["score"])
    return Response(_messages(row["input"]), cut(row["output"], delimiter), row["input"], outcome)


def _own(row: Mapping[str, Any], delimiter: str) -> Response:
    messages = row.get("messages")
    if messages is None:
        messages = [{"role": "user", "content": _text(row["prompt"], "prompt")}]
    elif not _are_messages(messages):
        raise ValueError('messages must be a list of {"role": ..., "content": ...}, both texts')
    if row.get("segments") is not None:
        segments = _texts(row["segments"], "segments")
    elif row.get("steps") is not None:
        *before, last = _texts(row["steps"], "steps")
        segments = [*(step if step.endswith(delimiter) else step + delimiter for step in before), last]
    elif row.get("response") is not None:
        segments = cut(_text(row["response"], "response"), delimiter)
    else:
        raise ValueError("it has none of segments, steps and response")
    outcome = None if row.get("outcome") is None else float(row["outcome"])
    labels = None if row.get("step_labels") is None else [_label(label) for label in row["step_labels"]]
    if labels is not None and len(labels) != len(segments):
        raise ValueError(f"{len(labels)} step_labels for {len(segments)} segments")
    return Response(messages, segments, json.dumps(messages, sort_keys=True), outcome, labels)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text, not {value!r:.60}")
    return value


def _texts(value: Any, name: str) -> list[str]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name} must be a list of texts, not {value!r:.60}")
    return [_text(part, f"each of {name}") for part in value]


def _are_messages(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(message, dict) and all(isinstance(message.get(key), str) for key in ("role", "content"))
            for message in value
        )
    )


def _messages(prompt: str) -> list[dict[str, str]]:
    """The turns of a prompt whose template is known; else all of it as the user's turn."""
    turns = _CHATML.match(prompt)
    if turns is None:
        return [{"role": "user", "content": prompt}]
    return [{"role": role, "content": text} for role, text in turns.groupdict().items() if text is not None]


def _label(label: Any) -> bool | None:
    """True for 1, true and "+"; False for 0, -1, false and "-"; None for null."""
    if label is None:
        return None
    if label in (1, "+"):
        return True
    if label in (0, -1, "-"):
        return False
    raise ValueError(f"step label {label!r} is none of 1, 0, -1, true, false, '+', '-', null")
