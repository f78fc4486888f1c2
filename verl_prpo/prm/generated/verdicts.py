# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Read the verdicts on all steps of a response from a judge's JSON, strictly: one for each step, or none at all."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from verl_prpo.prm.families.options import OPTIONS
from verl_prpo.prm.generated.answers import AnswerFault, shown
from verl_prpo.prm.results import PrmFailure

_TRIED = 1000
"""Most braces that are tried as the beginning of the JSON object. An answer with more is not read as one."""


def verdict_schema(count: int, labels: Sequence[str], explain: bool) -> dict[str, Any]:
    """Build the JSON schema of an answer: an object with a key for each step.

    A server that keeps to it can leave no step out and name none twice.

    Args:
        count: number of steps.
        labels: the verdicts.
        explain: whether a check is written before each verdict.
    """
    verdict = {"verdict": {"type": "string", "enum": list(labels)}}
    fields = {"check": {"type": "string"}, **verdict} if explain else verdict
    step = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    names = [str(number) for number in range(1, count + 1)]
    return {
        "type": "object",
        "properties": dict.fromkeys(names, step),
        "required": names,
        "additionalProperties": False,
    }


def read_verdicts(text: str, count: int, worth: Mapping[str, float]) -> list[float]:
    """Read the score of each step.

    The answer must end with a JSON object, in a code fence or not. What stands before it is the judge's own writing.

    Args:
        text: the answer.
        count: number of steps.
        worth: the score of each verdict.

    Raises:
        AnswerFault: there is no such object, or it does not have exactly one known verdict for each step.
    """
    found = _last_object(text)
    if found is None or not any(key.isdigit() for key, _ in found):
        raise AnswerFault(
            "unreadable",
            f"the judge's answer does not end with a JSON object of verdicts: {shown(text)}. Have the server keep to "
            f"the form ({OPTIONS}.structured=json_schema, where it can), or say it more plainly in the prompt "
            f"({OPTIONS}.prompt_path)",
        )
    keys = [key for key, _ in found]
    _require_steps(keys, count)
    verdicts = dict(found)
    return [_worth(verdicts[str(number)], number, worth) for number in range(1, count + 1)]


def _require_steps(keys: Sequence[str], count: int) -> None:
    wanted = [str(number) for number in range(1, count + 1)]
    faults = {
        "no verdict for step": [key for key in wanted if key not in keys],
        "several for step": sorted({key for key in keys if keys.count(key) > 1}),
        "one that nobody asked for": [key for key in dict.fromkeys(keys) if key not in wanted],
    }
    told = [f"{what} {', '.join(map(_short, which[:8]))}" for what, which in faults.items() if which]
    if told:
        raise AnswerFault(
            "wrong_steps",
            f"the judge was asked for verdicts on {count} steps, and there is {'; '.join(told)}. Have the server keep "
            f"to the form ({OPTIONS}.structured=json_schema), or ask for each step by itself ({OPTIONS}.ask=step)",
            PrmFailure.WRONG_COUNT,
        )


def _worth(given: Any, number: int, worth: Mapping[str, float]) -> float:
    verdicts = [value for key, value in given if key == "verdict"] if isinstance(given, _Object) else [given]
    if len(verdicts) != 1 or not isinstance(verdicts[0], str) or verdicts[0].strip().casefold() not in worth:
        value = verdicts[0] if len(verdicts) == 1 else given
        raise AnswerFault(
            "unreadable",
            f"the verdict on step {number} is {_short(json.dumps(value, ensure_ascii=False, default=str))}, not one of "
            f"{', '.join(worth)} ({OPTIONS}.verdicts)",
        )
    return worth[verdicts[0].strip().casefold()]


class _Object(list[tuple[str, Any]]):
    """A JSON object with all its keys, also those that stand in it twice."""


_DECODER = json.JSONDecoder(object_pairs_hook=_Object)


def _last_object(text: str) -> _Object | None:
    """Find the JSON object with which a text ends, or return None."""
    body = text.rstrip()
    if body.endswith("```"):
        body = body[:-3].rstrip()
    at = body.find("{")
    for _ in range(_TRIED):
        if at < 0:
            break
        try:
            value, end = _DECODER.raw_decode(body, at)
        except (ValueError, RecursionError):
            end = at
        if end == len(body):
            return value
        at = body.find("{", max(end, at + 1))
    return None


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."
