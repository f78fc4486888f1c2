# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The cuts of a dump's responses before a PRM scores them anew.

A response with a record keeps the segments of its run, unless the command names how to cut. One without a record is cut
from its text alone. This module is imported only where a dump is scored, because it needs torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch

from verl_prpo.calibration.response import InputError, begins_in_thought
from verl_prpo.calibration.thoughts import nothing_hidden
from verl_prpo.method.turns import turn_segments
from verl_prpo.settings.prpo import PrpoConfig
from verl_prpo.step.conversation import Interlude
from verl_prpo.step.cutting import cut, hidden_segments, thought_edges
from verl_prpo.telemetry.rollouts.rollout import Rollout
from verl_prpo.text.decoding import thoughts_of_texts, token_texts
from verl_prpo.viewer.report.sample import ReportError
from verl_prpo.viewer.report.would import Cut, Plain, words

BY_SIGNAL = ("entropy", "surprisal")
"""Segmenters that need a signal which a dump without records does not hold."""

BY_COUNT = ("uniform", "random", "tokens")
"""Segmenters that count the policy's tokens or compare their ids."""

CUTTING = (
    "segmenter", "max_anchors", "tokens_per_anchor", "anchor_bounds", "min_gap", "anchor_rule", "num_segments",
    "delimiters", "delimiter_token_ids",
)  # fmt: skip
"""Settings of `algorithm.prpo` that say where to cut."""


@dataclass(frozen=True)
class Plan:
    """The way in which responses are cut.

    Attributes:
        settings: `algorithm.prpo`.
        tokenizer: the policy's. None where words stand for the tokens of responses without a record.
        hides: whether thoughts are hidden from the PRM.
        anew: whether responses with a record are cut by these settings too.
    """

    settings: PrpoConfig
    tokenizer: Any
    hides: bool = False
    anew: bool = False


def names_cuts(overrides: Sequence[str]) -> bool:
    """Return whether overrides of a command name a setting that says where to cut."""
    named = (override.lstrip("+~").partition("=")[0] for override in overrides)
    return any(name.startswith("algorithm.prpo.") and name.split(".")[2] in CUTTING for name in named)


def with_segments(plain: Sequence[Plain]) -> list[Plain]:
    """Mark the responses of a dump whose record holds a segmenter's cuts (`Plain.cut_by_run`).

    A run that asked no PRM cut nothing. The words of tools in its responses are then those under mask 0.
    """
    if any(one.record is not None and _asked(one.record) for one in plain):
        return [replace(one, cut_by_run=one.record is not None) for one in plain]
    return [one if one.record is None else replace(one, record=_with_turns(one.record)) for one in plain]


def _with_turns(record: Rollout) -> Rollout:
    found, at, texts = [], 0, record.token_texts
    for own, run in groupby(map(bool, record.response_mask)):
        end = at + len(list(run))
        if not own:
            said = "".join(texts[at:end]).strip()
            found.append(Interlude(at, end, [("tool", said)] if said else [], recognised=False))
        at = end
    return replace(record, interludes=found)


def cut_responses(plain: Sequence[Plain], plan: Plan) -> list[Cut]:
    """Cut each response into tokens and segments.

    Raises:
        ReportError: settings that cannot cut such a response.
    """
    return [_cut_one(one, plan) for one in plain]


def said_of_cuts(plain: Sequence[Plain], cuts: Sequence[Cut], plan: Plan) -> list[str]:
    """Write the notes on the cuts, each in a sentence or two."""
    prpo, said = plan.settings, []
    kept = sum(made.kept for made in cuts)
    if kept:
        said.append(
            f"{kept} of {len(cuts)} responses keep the segments that the dump records, and what tools said in them "
            "keeps its role. ++algorithm.prpo.segmenter=... on the command line cuts them anew."
        )
    if not plan.hides and any(one.record is not None and one.record.hidden for one in plain):
        said.append("The run hid thoughts from its PRM. Here they are judged (reward.prm.thinking=score).")
    rest = [one for one, made in zip(plain, cuts, strict=True) if not made.kept]
    bare = sum(one.record is None for one in rest)
    by_text = [one for one in rest if _settings(one, plan).cuts_by == "text"]
    marks = " or ".join(map(repr, prpo.delimiters))
    if by_text and prpo.cuts_by in BY_SIGNAL:
        said.append(
            f"Responses are cut at {marks}: cuts by {prpo.segmenter} need the policy's {prpo.cuts_by} at each token, "
            "which such a dump does not hold."
        )
    elif by_text:
        said.append(f"Responses are cut at {marks}.")
    if len(by_text) < len(rest):
        said.append(f"Responses are cut by algorithm.prpo.segmenter={prpo.segmenter}.")
    if bare and prpo.cuts_turns:
        said.append(
            f"algorithm.prpo.segmenter={prpo.segmenter}: without a record nobody knows who speaks in a response. So "
            f"{bare} of {len(cuts)} are one turn each, and the PRM is shown what tools said as the policy's words."
        )
    if bare and plan.tokenizer is None:
        said.append("Tokens are words here: --tokenizer POLICY counts and shows the policy's own.")
    return said


def unseen_thoughts(plain: Sequence[Plain], cuts: Sequence[Cut], plan: Plan) -> str | None:
    """Warn where thoughts are to be hidden and none is found. See `verl_prpo.calibration.thoughts`.

    Raises:
        ReportError: the policy's tags are special tokens, and the text has lost them.
    """
    if not plan.hides:
        return None
    known = [one.record is not None and one.record.thought_tokens() is not None for one in plain]
    found = [any(made.hidden) for made in cuts]
    by_text = [there for there, recorded in zip(found, known, strict=True) if not recorded]
    recorded = any(there and sure for there, sure in zip(found, known, strict=True))
    try:
        return nothing_hidden(sum(by_text), len(by_text), recorded, plan.tokenizer)
    except InputError as error:
        raise ReportError(str(error)) from error


def _asked(record: Rollout) -> bool:
    """Return whether a PRM was asked about the response."""
    return record.prm_latency is not None or bool(record.hidden) or any(s.score is not None for s in record.segments)


def _settings(one: Plain, plan: Plan) -> PrpoConfig:
    """Return the settings with a segmenter that can cut the response."""
    if plan.settings.cuts_by not in BY_SIGNAL or _signal(one, plan.settings.cuts_by) is not None:
        return plan.settings
    return replace(plan.settings, segmenter="turns+text" if plan.settings.cuts_turns else "text")


def _signal(one: Plain, cuts_by: str) -> list[float] | None:
    if one.record is None or cuts_by not in BY_SIGNAL:
        return None
    return one.record.entropy if cuts_by == "entropy" else one.record.surprisal


def _cut_one(one: Plain, plan: Plan) -> Cut:
    record = one.record
    tokens, ids = (record.token_texts, []) if record is not None else _tokens(one, plan)
    own = [True] * len(tokens) if record is None else record.own
    made = Cut(
        tokens,
        [],
        trained=own if record is None else list(map(bool, record.response_mask)),
        interludes=[] if record is None else record.interludes,
        truncated=record is not None and record.truncated,
        kept=one.cut_by_run and not plan.anew,
    )
    if not tokens:
        return made
    mask = torch.tensor([own])
    thoughts = torch.tensor([_thoughts(one, tokens, own)]) if plan.hides else None
    if made.kept and record is not None:
        starts = _recorded_starts(record, mask, thoughts)
    else:
        starts = _new_starts(one, plan, tokens, ids, mask, thoughts)
    hidden = hidden_segments(starts[0], None if thoughts is None else thoughts[0])
    return replace(made, starts=starts[0].nonzero()[:, 0].tolist(), hidden=hidden)


def _recorded_starts(record: Rollout, mask: torch.Tensor, thoughts: torch.Tensor | None) -> torch.Tensor:
    """Return the tokens at which the run cut, bool `[1, L]`.

    A thought that is hidden now is one segment, or one for each turn that the run cut it in.
    """
    starts = torch.zeros_like(mask)
    starts[0, [segment.begin for segment in record.segments if segment.end > segment.begin]] = True
    if thoughts is None:
        return starts
    return (starts & (~thoughts | turn_segments(mask))) | thought_edges(mask, thoughts)


def _new_starts(
    one: Plain,
    plan: Plan,
    tokens: Sequence[str],
    ids: Sequence[int],
    mask: torch.Tensor,
    thoughts: torch.Tensor | None,
) -> torch.Tensor:
    settings, signal = _settings(one, plan), _signal(one, plan.settings.cuts_by)
    if settings.cuts_by in BY_COUNT and plan.tokenizer is None and (one.record is None or settings.cuts_by == "tokens"):
        raise ReportError(
            f"algorithm.prpo.segmenter={settings.segmenter} cuts by the policy's tokens, and the dump holds text "
            "alone: give the policy's tokenizer with --tokenizer, or set ++algorithm.prpo.segmenter=text"
        )
    if settings.cuts_by == "tokens" and one.record is not None:
        ids = _ids_of_record(one, tokens, plan)
    try:
        return cut(
            settings,
            keys=[one.key],
            response_ids=[list(ids) or [0] * len(tokens)],  # no other segmenter reads them
            response_mask=mask.long(),
            signal=None if signal is None else torch.tensor([signal]),
            texts=[tokens],
            thoughts=thoughts,
        )
    except ValueError as error:
        raise ReportError(str(error)) from error


def _thoughts(one: Plain, tokens: Sequence[str], own: Sequence[bool]) -> list[bool]:
    recorded = None if one.record is None else one.record.thought_tokens()
    messages = () if one.record is None else one.record.messages
    if recorded is not None:
        return recorded
    return thoughts_of_texts(tokens, begins_in_thought(one.prompt, one.text, messages), own)


def _tokens(one: Plain, plan: Plan) -> tuple[list[str], list[int]]:
    """Return the text of each token, and the token ids.

    Where no tokenizer gives the text back, return words and no ids.
    """
    if plan.tokenizer is None:
        return words(one.text), []
    ids = plan.tokenizer(one.text, add_special_tokens=False).input_ids
    tokens = token_texts(plan.tokenizer, ids)
    if "".join(tokens) == one.text:
        return tokens, ids
    if plan.settings.cuts_by == "tokens":
        raise _unknown_ids(one)
    return words(one.text), []


def _ids_of_record(one: Plain, tokens: Sequence[str], plan: Plan) -> list[int]:
    """Return the token ids of a response whose record holds its tokens as text.

    The id is 0 for tokens at the end that the text does not show.
    """
    ids = plan.tokenizer(one.text, add_special_tokens=False).input_ids
    again = token_texts(plan.tokenizer, ids)
    if again != list(tokens[: len(again)]) or any(tokens[len(again) :]):
        raise _unknown_ids(one)
    return [*ids, *[0] * (len(tokens) - len(ids))]


def _unknown_ids(one: Plain) -> ReportError:
    return ReportError(
        f"--tokenizer does not give the text of response {one.key} back, so its token ids are not known: is it the "
        "policy's? Otherwise set ++algorithm.prpo.segmenter=text"
    )
