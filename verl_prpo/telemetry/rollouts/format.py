# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The record of one response in a rollout dump: the compact form of a `Rollout` in the column `prpo`.

The record leans on verl's own columns of the row (the prompt, the response, the verifier's score) and repeats none of
them. Values that stay the same over many tokens are written as runs `[value, tokens]`, others as the base64 of
little-endian float32. Keys at their default are left out. docs/rollouts.md describes every key. Runs keep what differs
within a segment (a token of a tool, a skipped response) in the same form, and dumps of format 2 stay readable.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from itertools import accumulate, groupby, pairwise
from typing import Any

import numpy as np

from verl_prpo.step.conversation import Interlude
from verl_prpo.telemetry.rollouts.rollout import Rollout, Segment

COLUMN = "prpo"
FORMAT = 2

_PLAIN: dict[str, Any] = {
    "failure": str,
    "failure_detail": str,
    "overlong": bool,
    "cached": bool,
    "truncated": bool,
    "unfinished": bool,
    "windows": int,
    "all_equal": bool,
    "data_source": str,
}
"""Fields of a rollout that are written as they are, or left out where they say nothing, each with its kind."""


def record_of(rollout: Rollout) -> dict[str, Any]:
    """Make the record of a response, ready for JSON. It does not repeat what verl's own columns hold."""
    ends = list(accumulate((len(segment.text) for segment in rollout.segments), initial=0))[1:]
    record: dict[str, Any] = {
        "format": FORMAT,
        "uid": rollout.uid,
        "messages": rollout.messages,
        "outcome_reward": _short(rollout.outcome_reward),
        "segments": [
            [segment.end, end, None if segment.score is None else _short(segment.score)]
            for segment, end in zip(rollout.segments, ends, strict=True)
        ],
        "token_chars": _differences(rollout.token_offsets, len(rollout.response)),
        "response_mask": _runs(rollout.response_mask),
        "process_advantage": _runs(map(_short, rollout.process_advantage)),
        "outcome_advantage": _runs(map(_short, rollout.outcome_advantage)),
        "advantages": _runs(map(_short, rollout.advantages)),
        "grpo_advantage": _short(rollout.grpo_advantage),
    }
    optional = {
        "outcome_parts": rollout.outcome_parts or None,
        "entropy": None if rollout.entropy is None else _packed(rollout.entropy),
        "surprisal": None if rollout.surprisal is None else _packed(rollout.surprisal),
        "prm_latency": None if rollout.prm_latency is None else round(rollout.prm_latency, 6),
        **{name: getattr(rollout, name) or None for name in _PLAIN},
        "prior_mean": rollout.prior_mean,
        "prior_std": rollout.prior_std,
        "hidden": list(rollout.hidden) or None,
        "thoughts": None if rollout.thoughts is None else [list(span) for span in rollout.thoughts],
        "seen_from": None if rollout.seen_from is None else list(rollout.seen_from),
        "interludes": [
            {"begin": one.begin, "end": one.end, "messages": one.message_dicts()}
            | ({} if one.recognised else {"recognised": False})
            for one in rollout.interludes
        ]
        or None,
        "process_weight": None if rollout.process_weight is None else _short(rollout.process_weight),
        "relative_scores": rollout.relative_scores
        and [None if score is None else _short(score) for score in rollout.relative_scores],
    }
    return record | {key: value for key, value in optional.items() if value is not None}


def rollout_of(row: Mapping[str, Any]) -> Rollout | None:
    """Read the response of a row of a dump.

    Args:
        row: verl's columns with the record in `prpo`.

    Returns:
        The response, None where the row carries no record.

    Raises:
        ValueError, TypeError, KeyError: a record of another format, or one that contradicts itself or its row.
    """
    record = row.get(COLUMN)
    if record is None:
        return None
    if not isinstance(record, Mapping):
        raise ValueError(f"{COLUMN} is not a record but {type(record).__name__}")
    if record.get("format") != FORMAT:
        found = record.get("format", 1)
        raise ValueError(
            f"its record has format {found}, and this version of verl-prpo reads format {FORMAT}. Read it with the "
            "version that wrote it, or dump the run's steps anew"
        )
    response = str(record.get("response", row["output"]))
    tokens = len(record["token_chars"])
    segments = _segments(record["segments"], response, tokens)
    if not all(isinstance(message, Mapping) for message in record["messages"]):
        raise ValueError("its messages are not chat messages with a role and a content")
    return Rollout(
        step=int(row["step"]),
        uid=str(record["uid"]),
        prompt=str(row["input"]),
        messages=list(record["messages"]),
        response=response,
        ground_truth=None if row.get("gts") is None else str(row["gts"]),
        verifier_score=float(row["score"]),
        outcome_reward=float(record["outcome_reward"]),
        outcome_parts=dict(record.get("outcome_parts") or {}),
        segments=segments,
        token_offsets=_offsets(record["token_chars"], response),
        response_mask=_spread("response_mask", record["response_mask"], tokens),
        entropy=_unpacked("entropy", record.get("entropy"), tokens),
        surprisal=_unpacked("surprisal", record.get("surprisal"), tokens),
        process_advantage=_spread("process_advantage", record["process_advantage"], tokens),
        outcome_advantage=_spread("outcome_advantage", record["outcome_advantage"], tokens),
        advantages=_spread("advantages", record["advantages"], tokens),
        grpo_advantage=float(record["grpo_advantage"]),
        prm_latency=_number(record.get("prm_latency")),
        hidden=tuple(_numbers_of_segments("hidden", record.get("hidden") or (), segments)),
        thoughts=_thoughts(record.get("thoughts"), tokens),
        seen_from=_seen_from(record.get("seen_from"), segments),
        prior_mean=_number(record.get("prior_mean")),
        prior_std=_number(record.get("prior_std")),
        interludes=_interludes(record.get("interludes") or (), tokens),
        key=str(row.get("uid", "")),
        process_weight=_number(record.get("process_weight")),
        relative_scores=_of_segments(record.get("relative_scores"), len(record["segments"])),
        **{name: kind(record[name]) for name, kind in _PLAIN.items() if record.get(name) is not None},
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _of_segments(values: Sequence[Any] | None, segments: int) -> list[float | None] | None:
    if values is None:
        return None
    _require_numbers("relative_scores", [value for value in values if value is not None], (int, float))
    if len(values) != segments:
        raise ValueError(f"relative_scores covers {len(values)} segments, but the response has {segments}")
    return list(values)


def _segments(written: Sequence[Sequence[Any]], response: str, tokens: int) -> list[Segment]:
    segments: list[Segment] = []
    token = character = 0
    for end, end_character, score in written:
        _require_numbers("segments", (end, end_character), int)
        _require_numbers("segments", () if score is None else (score,), (int, float))
        if not token <= end <= tokens or not character <= end_character <= len(response):
            raise ValueError(
                f"its segments end at token {end} and character {end_character}, after token {token} and character "
                f"{character} of a response of {tokens} tokens and {len(response)} characters"
            )
        segments.append(Segment(token, end, response[character:end_character], score))
        token, character = end, end_character
    if segments and (token, character) != (tokens, len(response)):
        raise ValueError(
            f"its segments reach token {token} and character {character}, but the response has {tokens} tokens and "
            f"{len(response)} characters"
        )
    return segments


def _interludes(written: Sequence[Mapping[str, Any]], tokens: int) -> list[Interlude]:
    found: list[Interlude] = []
    for one in written:
        interlude = Interlude.from_dict(one)
        if not (found[-1].end if found else 0) <= interlude.begin < interlude.end <= tokens:
            raise ValueError(
                f"interludes has one from token {interlude.begin} to {interlude.end} of a response of {tokens} tokens"
            )
        found.append(interlude)
    return found


def _numbers_of_segments(name: str, numbers: Sequence[Any], segments: Sequence[Segment]) -> list[int]:
    _require_numbers(name, numbers, int)
    if any(not 0 <= number < len(segments) for number in numbers):
        raise ValueError(f"{name} names segments {list(numbers)} of {len(segments)}")
    return list(numbers)


def _thoughts(written: Sequence[Sequence[Any]] | None, tokens: int) -> list[tuple[int, int]] | None:
    if written is None:
        return None
    spans = [(begin, end) for begin, end in written]
    _require_numbers("thoughts", [edge for span in spans for edge in span], int)
    edges = [0, *(edge for span in spans for edge in span), tokens]
    if any(left > right for left, right in pairwise(edges)):
        raise ValueError(f"thoughts has the spans {written} in a response of {tokens} tokens")
    return spans


def _seen_from(written: Sequence[Any] | None, segments: Sequence[Segment]) -> list[int | None] | None:
    if written is None:
        return None
    _numbers_of_segments("seen_from", [number for number in written if number is not None], segments)
    if len(written) != len(segments):
        raise ValueError(f"seen_from has {len(written)} entries for {len(segments)} segments")
    return list(written)


def _differences(offsets: Sequence[int], length: int) -> list[int]:
    ends = [*offsets[1:], length]
    return [end - begin for begin, end in zip(offsets, ends, strict=True)] if offsets else []


def _offsets(token_chars: Sequence[int], response: str) -> list[int]:
    _require_numbers("token_chars", token_chars, int)
    reach = list(accumulate(token_chars, initial=0))
    if token_chars and reach[-1] != len(response):
        raise ValueError(f"the texts of its tokens are {reach[-1]} characters, but the response has {len(response)}")
    return reach[:-1]


def _runs(values: Any) -> list[list[Any]]:
    return [[value, len(list(run))] for value, run in groupby(values)]


def _spread(name: str, runs: Sequence[Sequence[Any]], tokens: int) -> list[Any]:
    _require_numbers(name, [value for value, _ in runs], (int, float))
    covered = sum(count for _, count in runs)  # before the runs are spread: a broken count may be huge
    if covered != tokens:
        raise ValueError(f"{name} covers {covered} tokens, but the response has {tokens}")
    return [value for value, count in runs for _ in range(count)]


def _require_numbers(name: str, values: Sequence[Any], kinds: type | tuple[type, ...]) -> None:
    for value in values:
        if not isinstance(value, kinds):
            raise ValueError(f"{name} holds {str(value)[:40]!r}, which is no such number")


def _short(value: float) -> float:
    """Return the number with the fewest digits that is the same float32."""
    return float(str(np.float32(value)))


def _packed(values: Sequence[float]) -> str:
    return base64.b64encode(np.asarray(values, dtype="<f4").tobytes()).decode()


def _unpacked(name: str, packed: str | None, tokens: int) -> list[float] | None:
    if packed is None:
        return None
    try:
        values = np.frombuffer(base64.b64decode(packed, validate=True), dtype="<f4").tolist()
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{name} is not the base64 of float32 numbers: {error}") from error
    if len(values) != tokens:
        raise ValueError(f"{name} covers {len(values)} tokens, but the response has {tokens}")
    return values
