# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo report DUMP --prm MODEL`: a dump without scores, as of GRPO, cut and scored to see what PRPO would pay."""

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verl_prpo.calibration.response_rows import PromptReader
    from verl_prpo.prm.encoding.shown import Shown
    from verl_prpo.prm.open_prm import OpenPrm
    from verl_prpo.prm.results import PrmResult
    from verl_prpo.settings.prpo import PrpoConfig
    from verl_prpo.viewer.report.sample import Dump
    from verl_prpo.viewer.report.would import Cut, Plain

BY_SIGNAL = ("entropy", "surprisal")
"""Segmenters that need what a dump without records does not hold."""

BY_COUNT = ("uniform", "random", "tokens")
"""Segmenters that count or know the policy's tokens."""


class ScoringError(Exception):
    """The PRM gives no scores. The message says why."""


@dataclass(frozen=True)
class Plan:
    """How responses are cut.

    Attributes:
        settings: `algorithm.prpo`, with a segmenter that works on text alone.
        tokenizer: the policy's; None where words stand for tokens.
        words: the same for people.
    """

    settings: "PrpoConfig"
    tokenizer: Any
    words: tuple[str, ...]


def scored_dump(arguments: argparse.Namespace, limit: int) -> "Dump":
    """The dump with a PRM's scores and what PRPO would pay.

    Args:
        arguments: of `verl-prpo report`.
        limit: responses scored where `--limit` does not say it.

    Raises:
        ReportError: arguments, a dump or settings that cannot be used.
        ScoringError: the PRM cannot be used, or gives no scores at all.
    """
    from verl_prpo.calibration.scoring import chosen_settings, failure_seen, open_prm, score_all
    from verl_prpo.prm.encoding.shown import shown_steps
    from verl_prpo.prm.families.base import PrmError
    from verl_prpo.settings.prpo import ConfigError, judge_of
    from verl_prpo.viewer.report.facts import Surveyor
    from verl_prpo.viewer.report.sample import Dump, ReportError
    from verl_prpo.viewer.report.summary import by_step, summary
    from verl_prpo.viewer.report.would import paid

    try:
        prm_settings, prpo = chosen_settings(arguments)
        plan = _plan(prpo, arguments.tokenizer)
    except ConfigError as error:
        raise ReportError(str(error)) from error
    prompts = _prompts(arguments)
    found, recorded = _read(arguments)
    plain = _drawn(found, arguments.limit or limit, arguments.seed)
    cuts = _cut(plain, plan, hides=prm_settings.thinking == "hide")
    messages = _messages(plain, prompts)
    shown = [shown_steps(cut.segments(), hidden=cut.hidden) for cut in cuts]
    sent = [row for row, steps in enumerate(shown) if steps.steps]
    if not sent:
        outside = " outside its thoughts (reward.prm.thinking=hide)" if prm_settings.thinking == "hide" else ""
        raise ReportError(f"{arguments.dump} holds no response with words{outside}")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            prm = open_prm(prm_settings, arguments.device)
            scored = score_all(
                prm,
                [(messages[row], shown[row].steps) for row in sent],
                rows=[{"data_source": None, "ground_truth": plain[row].truth, "extra_info": {}} for row in sent],
            )
    except PrmError as error:
        raise ScoringError(str(error)) from error
    if all(result.scores is None for result in scored):
        raise ScoringError(f"not one response has scores: {failure_seen(scored)}")
    results: list[PrmResult | None] = [None] * len(plain)
    for row, result in zip(sent, scored, strict=True):
        results[row] = _on_segments(result, shown[row])
    family = prm.family
    mean = family.prior_mean if prpo.prior_mean is None else prpo.prior_mean
    std = family.prior_std if prpo.prior_std is None else prpo.prior_std
    rollouts = paid(plain, cuts, messages, results, plan.settings, (family.prior_mean, family.prior_std))
    one_prior = prpo.process_norm == "prior" and prpo.credit != "trust"
    surveyor = Surveyor(prior=(mean, std) if one_prior else None)
    for rollout in rollouts:
        surveyor.add(rollout)
    survey = surveyor.survey(arguments.outcome_threshold)
    points = [(step, summary(facts)) for step, facts in sorted(by_step(survey.facts).items())]
    return Dump(
        survey,
        points,
        lambda indexes: [rollouts[index] for index in sorted(indexes)],
        (
            *_words(prm, judge_of(prm_settings), plan, len(plain), len(found), recorded),
            *([_weight(prpo, rollouts[0].process_weight or 0.0)] if prpo.credit == "trust" else []),
            *prompts.notes(),
        ),
    )


def _on_segments(result: "PrmResult", shown: "Shown") -> "PrmResult":
    """The result with a score per segment in place of one per step: a segment without words has that of its step."""
    known = result.scores
    if known is None:
        return result
    scores = [None if place is None else known[place] for place in shown.places]
    if result.seen_from is None:
        return replace(result, scores=scores)
    first = {place: segment for segment, place in reversed(list(enumerate(shown.places)))}
    begins = [None if place is None else result.seen_from[place] for place in shown.places]
    return replace(result, scores=scores, seen_from=[None if begin is None else first[begin] for begin in begins])


def _words(prm: "OpenPrm", model: str, plan: Plan, scored: int, read: int, recorded: bool) -> tuple[str, ...]:
    drawn = f"{scored} of {read} responses, whole groups drawn at random," if scored < read else f"{read} responses"
    first = "What PRPO would pay: this run was not trained with these numbers."
    if recorded:
        first = "What PRPO would pay with this PRM: the dump's own segments, scores and advantages are not used."
    return (
        first,
        f"{drawn} were scored by {model} ({prm.family.name}, {prm.where}).",
        *plan.words,
    )


def _weight(prpo: "PrpoConfig", weight: float) -> str:
    if prpo.process_weight == "auto":
        return f"algorithm.prpo.credit=trust: on these responses the PRM earns a weight of {weight:.2f}."
    return f"algorithm.prpo.credit=trust: the weight is set to {weight:g} (algorithm.prpo.process_weight)."


def _plan(prpo: "PrpoConfig", tokenizer: str | None) -> Plan:
    from verl_prpo.settings.prpo import ConfigError

    settings, said = prpo, []
    if prpo.cuts_by in BY_SIGNAL:
        settings = replace(prpo, segmenter="text")
        said.append(
            f"Responses are cut at {' or '.join(map(repr, settings.delimiters))}: cuts by {prpo.segmenter} need the "
            f"policy's {prpo.cuts_by} at each token, which such a dump does not hold."
        )
    elif prpo.cuts_by in BY_COUNT and tokenizer is None:
        raise ConfigError(
            f"algorithm.prpo.segmenter={prpo.segmenter} cuts by the policy's tokens, and the dump holds text alone: "
            "give the policy's tokenizer with --tokenizer, or set ++algorithm.prpo.segmenter=text"
        )
    elif prpo.cuts_by == "text":
        said.append(f"Responses are cut at {' or '.join(map(repr, settings.delimiters))}.")
    else:
        said.append(f"Responses are cut by algorithm.prpo.segmenter={prpo.segmenter}.")
    if tokenizer is None:
        said.append("Tokens are words here: --tokenizer POLICY counts and shows the policy's own.")
        return Plan(settings, None, tuple(said))
    return Plan(settings, loaded_tokenizer(tokenizer), tuple(said))


def loaded_tokenizer(name: str) -> Any:
    """The tokenizer that `--tokenizer` names.

    Raises:
        ConfigError: it cannot be loaded.
    """
    from transformers import AutoTokenizer

    from verl_prpo.settings.prpo import ConfigError

    try:
        return AutoTokenizer.from_pretrained(name)
    except Exception as error:  # of the file system, the hub's client, or the network beneath it
        raise ConfigError(f"--tokenizer {name} cannot be loaded: {type(error).__name__}: {error}") from error


def _read(arguments: argparse.Namespace) -> tuple[list["Plain"], bool]:
    """The responses, and whether some have a record of PRPO."""
    from verl_prpo.telemetry.rollouts.format import COLUMN
    from verl_prpo.telemetry.rollouts.read import RolloutError, read_rows, step_files
    from verl_prpo.viewer.report.sample import ReportError, wanted_steps
    from verl_prpo.viewer.report.would import plain_response

    steps = wanted_steps(arguments.dump, arguments.steps)
    found, recorded = [], False
    try:
        for file in step_files(arguments.dump, steps):
            for row in read_rows(file):
                recorded |= row.columns.get(COLUMN) is not None
                try:
                    place = f"{row.file.name}, line {row.line}"
                    found.append(replace(plain_response(row.columns, row.line), place=place))
                except KeyError as error:
                    raise ReportError(
                        f"{row.file}, line {row.line}: {error} is missing; a dump of trainer.rollout_data_dir has "
                        "input, output and score in each line"
                    ) from error
                except (ValueError, TypeError) as error:
                    raise ReportError(f"{row.file}, line {row.line}: {error}") from error
    except (OSError, RolloutError) as error:
        raise ReportError(str(error)) from error
    if not found:
        raise ReportError(f"{arguments.dump} has no complete line: it is empty or still being written")
    return found, recorded


def _drawn(found: Sequence["Plain"], limit: int, seed: int) -> list["Plain"]:
    """Whole groups with at most so many responses, in the order of the dump."""
    from verl_prpo.viewer.report.sample import draw_groups

    groups: dict[tuple[int, str], list[Plain]] = {}
    for one in found:
        groups.setdefault((one.step, one.uid), []).append(one)
    drawn = draw_groups(list(groups.values()), [step for step, _ in groups], limit, seed)
    kept = {id(one) for group in drawn for one in group}
    return [one for one in found if id(one) in kept]


def _cut(plain: Sequence["Plain"], plan: Plan, hides: bool) -> list["Cut"]:
    import torch

    from verl_prpo.calibration.response import begins_in_thought
    from verl_prpo.method.segmentation import text_segments
    from verl_prpo.step.cutting import cut, hidden_segments, thought_edges
    from verl_prpo.text.decoding import shown_texts, thought_texts, token_texts
    from verl_prpo.viewer.report.sample import ReportError
    from verl_prpo.viewer.report.would import Cut, words

    cuts = []
    for one in plain:
        ids = [] if plan.tokenizer is None else plan.tokenizer(one.text, add_special_tokens=False).input_ids
        tokens = token_texts(plan.tokenizer, ids) if ids else words(one.text)
        if "".join(tokens) != one.text:  # a tokenizer that does not give the text back
            if plan.settings.cuts_by == "tokens":
                raise ReportError(
                    f"--tokenizer does not give the text of response {one.key} back, so its token ids are not known: "
                    "is it the policy's? Otherwise set ++algorithm.prpo.segmenter=text"
                )
            tokens, ids = words(one.text), []
        mask = torch.ones(1, len(tokens), dtype=torch.long)
        thoughts = torch.zeros(1, len(tokens), dtype=torch.bool)
        if hides and tokens:
            thoughts[0] = torch.tensor(thought_texts(tokens, begins_in_thought(one.prompt, one.text)))
        shown = mask * ~thoughts
        if plan.settings.cuts_by == "text":
            said = shown_texts(tokens, thoughts[0].tolist())
            starts = text_segments([said], shown, plan.settings.delimiters) if tokens else mask.bool()
        else:
            given = ids or list(range(len(tokens)))  # no segmenter that is left reads them
            starts = cut(plan.settings, keys=[one.key], response_ids=[given], response_mask=shown)
        starts |= thought_edges(mask.bool(), thoughts)
        hidden_ones = hidden_segments(starts[0], thoughts[0]) if hides else []
        cuts.append(Cut(tokens, starts[0].nonzero()[:, 0].tolist(), hidden_ones))
    return cuts


def _prompts(arguments: argparse.Namespace) -> "PromptReader":
    from verl_prpo.calibration.response import InputError
    from verl_prpo.calibration.response_rows import PromptReader
    from verl_prpo.viewer.report.sample import ReportError

    try:
        return PromptReader(arguments.messages_from)
    except InputError as error:
        raise ReportError(str(error)) from error


def _messages(plain: Sequence["Plain"], prompts: "PromptReader") -> list[Sequence[Mapping[str, Any]]]:
    """The prompts as chat messages, found as `verl-prpo calibrate` finds them."""
    from verl_prpo.viewer.report.sample import ReportError

    found = []
    for one in plain:
        try:
            found.append(prompts.messages(one.prompt, one.place))
        except ValueError as error:
            raise ReportError(f"{one.place}: {error}") from error
    return found
