# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Turn what a score function returned into plain numbers, or into words on what it returned instead."""

import reprlib
from collections.abc import Sequence
from typing import Any

Plain = list[float | None] | str
"""Scores as they came, unchecked, or words on what was returned in their place."""


def plain_scores(returned: Any) -> Plain:
    """Read the scores of one response from what a function returned for it.

    It may be a list, a tuple, or an array or tensor of one dimension, with numbers, truth values or None in it.
    """
    listed = _listed(returned)
    if listed is None:
        return f"{_shown(returned)} where a list of scores belongs"
    scores: list[float | None] = []
    for place, score in enumerate(listed):
        if score is None:
            scores.append(None)
            continue
        try:
            if isinstance(score, str | bytes | bytearray):
                raise TypeError
            scores.append(float(score))
        except Exception:  # whatever a value raises that is no number
            return f"{_shown(score)} as the score of segment {place + 1}, where a number or None belongs"
    return scores


def plain_batch(returned: Any, responses: int) -> list[Plain]:
    """Read the scores of each response from what a batched function returned.

    Args:
        returned: what the function returned.
        responses: number of responses that it was given.
    """
    listed = _listed(returned)
    if listed is None:
        return [f"{_shown(returned)} where a list with a list of scores for each response belongs"] * responses
    if len(listed) != responses:
        return [f"scores of {len(listed)} responses for a batch of {responses}"] * responses
    return [plain_scores(one) for one in listed]


def _listed(value: Any) -> list[Any] | None:
    """Turn a sequence, an array or a tensor into a list. The result is None for anything else."""
    if isinstance(value, str | bytes | bytearray):
        return None
    if isinstance(value, Sequence):
        return list(value)
    try:
        listed = value.tolist()
    except Exception:
        return None
    return listed if isinstance(listed, list) else None


def _shown(value: Any) -> str:
    try:
        return "None" if value is None else f"{type(value).__name__} {reprlib.repr(value)}"
    except Exception:
        return type(value).__name__
