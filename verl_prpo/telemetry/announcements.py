# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Lines on the settings that the first step of a run prints, once there are responses to compare them with."""

from collections.abc import Sequence
from typing import Any

from verl_prpo.outcome.verdicts import VerdictReader
from verl_prpo.settings.prpo import PrpoConfig
from verl_prpo.settings.typed import lost_backslash
from verl_prpo.step.scored_batch import ScoredBatch
from verl_prpo.telemetry.turns import turn_lines


class Announcements:
    """Lines for people, each printed once, and again when what it says has changed."""

    def __init__(self, settings: PrpoConfig):
        self._settings = settings
        self._rule: tuple[Any, ...] | None = None
        self._counted = False

    def on_verdicts(self, reader: VerdictReader) -> list[str]:
        """Say which responses count as right, at the first step and when a new value of the reward changes it."""
        if reader.rule == self._rule:
            return []
        self._rule = reader.rule
        return [reader.explain()]

    def on_responses(self, scored: ScoredBatch) -> list[str]:
        """Say how often the segmenter's delimiters occur in the first step's responses, and which turns are not
        recognised.

        Thoughts that are hidden from the PRM are left out of the count.
        """
        if self._counted:
            return []
        self._counted = True
        lines = turn_lines(scored.rollouts.keys, scored.scores)
        if self._settings.cuts_by == "text":
            texts = [scores.shown_text for scores in scored.scores if scores is not None]
            return [*delimiter_lines(self._settings.delimiters, texts), *lines]
        if self._settings.cuts_by == "tokens":
            return [*token_lines(self._settings.delimiter_token_ids, scored.shown_ids()), *lines]
        return lines


def credit_line(settings: PrpoConfig) -> str:
    """Say in a few words by which rule tokens get their advantages, for the first line of a run."""
    if settings.credit != "trust":
        return f"credit {settings.credit}"
    if settings.process_weight == "auto":
        return "credit trust: GRPO, and in all-equal groups the process advantage with the weight that it earns"
    return f"credit trust: GRPO, and in all-equal groups {settings.process_weight:g} times the process advantage"


def delimiter_lines(delimiters: Sequence[str], responses: Sequence[str]) -> list[str]:
    """Say for each delimiter how often it occurs in responses, with a warning where it never does."""
    counts = [[response.count(delimiter) for response in responses] for delimiter in delimiters]
    key = "algorithm.prpo.delimiters"
    lines = [_line(f"{key}: {text!r}", found, key) for text, found in zip(delimiters, counts, strict=True)]
    hints = [lost_backslash(text) for text in delimiters]
    return [f"{line}. {hint}" if hint else line for line, hint in zip(lines, hints, strict=True)]


def token_lines(token_ids: Sequence[int], responses: Sequence[Sequence[int]]) -> list[str]:
    """Say the same of delimiters that are token ids."""
    counts = [[list(response).count(token) for response in responses] for token in token_ids]
    key = "algorithm.prpo.delimiter_token_ids"
    return [_line(f"{key}: {token}", found, key) for token, found in zip(token_ids, counts, strict=True)]


def _line(name: str, counts: Sequence[int], key: str) -> str:
    if any(counts):
        return f"{name} occurs {sum(counts)} times, in {sum(map(bool, counts))} of {len(counts)} responses"
    return (
        f"WARNING {name} occurs in none of {len(counts)} responses, so it cuts nothing. Look at what the policy writes "
        f"between its steps, and set {key} to that"
    )
