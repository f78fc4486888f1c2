# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Responses to calibrate on: from a rollout dump of verl, or from JSON lines of your own."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from verl_prpo.calibration.response import InputError, Response, as_recorded, cut, nothing_cut, without_thoughts
from verl_prpo.calibration.response_rows import RowReader
from verl_prpo.outcome.verdicts import VerdictReader

__all__ = [
    "DEFAULT_DELIMITER",
    "InputError",
    "Response",
    "Responses",
    "cut",
    "nothing_cut",
    "read_responses",
    "recorded_alone",
    "shown_alone",
]

DEFAULT_DELIMITER = "\n\n"

_CUT_OFF = "\ufffd"
"""What decoding makes of the first bytes of a character whose last bytes are missing."""


class Responses(list[Response]):
    """Responses of an input.

    Attributes:
        notes: what people have to know about the input, each in a sentence or two.
        verdict_source: what decides which responses are right, or why nothing does.
    """

    def __init__(self, responses: Sequence[Response], notes: list[str], verdict_source: str):
        super().__init__(responses)
        self.notes = notes
        self.verdict_source = verdict_source


def shown_alone(responses: Sequence[Response]) -> tuple[list[Response], str]:
    """Return the responses as a PRM reads them with `reward.prm.thinking=hide`, and a sentence that says so.

    Responses of which nothing is left are dropped.

    Raises:
        InputError: nothing is left of any response.
    """
    left = [shown for shown in map(without_thoughts, responses) if shown is not None]
    if not left:
        raise InputError("reward.prm.thinking=hide: no response says anything outside its thoughts")
    lost = len(responses) - len(left)
    dropped = f". {lost} of {len(responses)} responses say nothing outside them and are left out" if lost else ""
    return left, f"thoughts are hidden from the PRM (reward.prm.thinking=hide){dropped}"


def recorded_alone(responses: Sequence[Response]) -> tuple[list[Response], str | None]:
    """Return the responses as the PRM of their run read them.

    A sentence about what the PRM did not read comes with them, or None if it read everything.

    Raises:
        InputError: the PRM read nothing of any response.
    """
    left = [read for read in map(as_recorded, responses) if read is not None]
    if responses and not left:
        raise InputError("--recorded: the run hid all responses from its PRM (reward.prm.thinking=hide)")
    count = sum(sum(response.hidden) for response in responses)
    if not count:
        return left, None
    return left, f"{count} segments are thoughts that the run hid from its PRM (reward.prm.thinking=hide): left out"


def read_responses(
    source: Path,
    delimiters: str | Sequence[str] = DEFAULT_DELIMITER,
    outcome_threshold: float | None = None,
    messages_from: Path | None = None,
) -> Responses:
    """Read all responses with words of a file, or of the `.jsonl` files of a folder.

    Where some responses of a dump carry a record (`algorithm.prpo.dump_responses`), those without one are left out, for
    nobody knows how they were cut.

    Args:
        source: a file or folder.
        delimiters: any of them ends a segment of responses that come without segments.
        outcome_threshold: least outcome that is right. With None `verl_prpo.outcome.verdicts` decides.
        messages_from: a data file of verl that holds the messages of a dump's prompts.

    Raises:
        InputError: there are no responses, or a line cannot be used.
    """
    files = sorted(source.glob("*.jsonl"), key=_step) if source.is_dir() else [source]
    if not files:
        raise InputError(f"{source} holds no .jsonl file. Give the folder that trainer.rollout_data_dir names")
    reader = RowReader([delimiters] if isinstance(delimiters, str) else list(delimiters), messages_from)
    found = [response for file in files for response in reader.read(file)]
    worded = [response for response in found if response.segments]
    if not worded:
        raise InputError(f"{source} holds no response with words")
    recorded = [response for response in worded if response.recorded is not None]
    kept = recorded or worded
    notes = [*reader.notes(), *_notes(found, kept, len(worded) - len(kept))]
    judged, said = _judged(kept, outcome_threshold)
    return Responses(judged, notes, said)


def _step(file: Path) -> tuple[int, str]:
    return (int(file.stem) if file.stem.isdecimal() else 0, file.name)


def _judged(responses: Sequence[Response], threshold: float | None) -> tuple[list[Response], str]:
    """Return the responses with their verdicts, and what decides the verdicts."""
    if threshold is not None:
        right = [None if r.outcome is None or math.isnan(r.outcome) else r.outcome >= threshold for r in responses]
        said = f"a response is right where its outcome is at least {threshold:g} (--outcome-threshold)"
    elif all(response.outcome is None and not response.parts for response in responses):
        right, said = [None] * len(responses), "which responses are right is unknown: none has an outcome"
    else:
        reader = VerdictReader()
        rewards = [math.nan if response.outcome is None else response.outcome for response in responses]
        sources = [response.data_source for response in responses]
        right = reader.read(rewards, [response.parts for response in responses], sources).right
        said = reader.explain()
        if not reader.certain:
            said = f"{said}, or set --outcome-threshold"
    return [replace(response, right=one) for response, one in zip(responses, right, strict=True)], said


def _notes(found: Sequence[Response], kept: Sequence[Response], without_record: int) -> list[str]:
    """Return notes on responses that are left out or damaged."""
    said = []
    wordless = sum(not response.segments for response in found)
    if wordless:
        said.append(
            f"{wordless} of {len(found)} responses hold no words (nothing but white space, tags or Markdown) and are "
            "left out"
        )
    if without_record:
        said.append(
            f"{without_record} responses have no record, so nobody knows how they were cut, and are left out "
            "(algorithm.prpo.dump_responses)"
        )
    broken = sum(response.segments[-1].rstrip("\n").endswith(_CUT_OFF) for response in kept)
    if broken:
        said.append(
            f"{broken} responses were cut off within a character (U+FFFD at the end), so their last step is unfinished"
        )
    return said
