# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo report DUMP --prm MODEL`: the responses of a dump, scored to see what PRPO would pay.

A dump of GRPO is cut first. One with records keeps its segments (`verl_prpo.viewer.report.cuts`).
"""

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from verl_prpo.console.findings import say

if TYPE_CHECKING:
    from verl_prpo.calibration.response_rows import PromptReader
    from verl_prpo.prm.encoding.shown import Shown
    from verl_prpo.prm.open_prm import OpenPrm
    from verl_prpo.prm.results import PrmResult
    from verl_prpo.settings.prpo import PrpoConfig
    from verl_prpo.viewer.report.sample import Dump
    from verl_prpo.viewer.report.would import Plain


class ScoringError(Exception):
    """The PRM gives no scores. The message says why."""


def scored_dump(arguments: argparse.Namespace, limit: int) -> "Dump":
    """Score a dump with a PRM, and work out what PRPO would pay.

    Args:
        arguments: of `verl-prpo report`.
        limit: most responses that are scored, where `--limit` is not given.

    Raises:
        ReportError: arguments, a dump or settings that cannot be used.
        ScoringError: the PRM cannot be used, or gives no scores at all.
    """
    from verl_prpo.calibration.scoring import chosen_settings, failure_seen, open_prm, score_all
    from verl_prpo.prm.families.base import PrmError
    from verl_prpo.settings.prpo import ConfigError, judge_of
    from verl_prpo.viewer.report.cuts import Plan, cut_responses, names_cuts, said_of_cuts, unseen_thoughts
    from verl_prpo.viewer.report.facts import Surveyor
    from verl_prpo.viewer.report.sample import Dump, ReportError
    from verl_prpo.viewer.report.summary import by_step, summary
    from verl_prpo.viewer.report.would import paid

    try:
        prm_settings, prpo = chosen_settings(arguments)
        hides = prm_settings.thinking == "hide"
        tokenizer = None if arguments.tokenizer is None else loaded_tokenizer(arguments.tokenizer)
        plan = Plan(prpo, tokenizer, hides, names_cuts(arguments.overrides))
    except ConfigError as error:
        raise ReportError(str(error)) from error
    prompts = _prompts(arguments)
    found, recorded = _read(arguments)
    plain = _drawn(found, arguments.limit or limit, arguments.seed)
    cuts = cut_responses(plain, plan)
    unseen = unseen_thoughts(plain, cuts, plan)
    if unseen is not None:
        say(f"warning: {unseen}")
    messages = _messages(plain, prompts)
    shown = [cut.shown for cut in cuts]
    sent = [row for row, steps in enumerate(shown) if steps.steps]
    if not sent:
        outside = " outside its thoughts (reward.prm.thinking=hide)" if hides else ""
        raise ReportError(f"{arguments.dump} holds no response with words{outside}")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            prm = open_prm(prm_settings, arguments.device)
            scored = score_all(
                prm,
                [(messages[row], shown[row].steps) for row in sent],
                heard=[shown[row].heard for row in sent],
                rows=[
                    {"data_source": plain[row].data_source or None, "ground_truth": plain[row].truth, "extra_info": {}}
                    for row in sent
                ],
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
    rollouts = paid(plain, cuts, messages, results, prpo, (family.prior_mean, family.prior_std))
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
            *_words(prm, judge_of(prm_settings), len(plain), len(found), recorded),
            *said_of_cuts(plain, cuts, plan),
            *([] if unseen is None else [f"Warning: {unseen}."]),
            *([_weight(prpo, rollouts[0].process_weight or 0.0)] if prpo.credit == "trust" else []),
            *prompts.notes(),
        ),
    )


def _on_segments(result: "PrmResult", shown: "Shown") -> "PrmResult":
    """Return the result with a score per segment in place of one per step.

    A segment without words has the score of its step.
    """
    known = result.scores
    if known is None:
        return result
    scores = [None if place is None else known[place] for place in shown.places]
    if result.seen_from is None:
        return replace(result, scores=scores)
    first = {place: segment for segment, place in reversed(list(enumerate(shown.places)))}
    begins = [None if place is None else result.seen_from[place] for place in shown.places]
    return replace(result, scores=scores, seen_from=[None if begin is None else first[begin] for begin in begins])


def _words(prm: "OpenPrm", model: str, scored: int, read: int, recorded: bool) -> tuple[str, ...]:
    drawn = f"{scored} of {read} responses, whole groups drawn at random," if scored < read else f"{read} responses"
    first = "What PRPO would pay: this run was not trained with these numbers."
    if recorded:
        first = "What PRPO would pay with this PRM: the dump's own scores and advantages are not used."
    return (
        first,
        f"{drawn} were scored by {model} ({prm.family.name}, {prm.where}).",
    )


def _weight(prpo: "PrpoConfig", weight: float) -> str:
    if prpo.process_weight == "auto":
        return f"algorithm.prpo.credit=trust: on these responses the PRM earns a weight of {weight:.2f}."
    return f"algorithm.prpo.credit=trust: the weight is set to {weight:g} (algorithm.prpo.process_weight)."


def loaded_tokenizer(name: str) -> Any:
    """Load the tokenizer that `--tokenizer` names.

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
    """Read the responses, and find out whether some have a record of PRPO."""
    from verl_prpo.telemetry.rollouts.read import RolloutError, read_rows, step_files
    from verl_prpo.viewer.report.cuts import with_segments
    from verl_prpo.viewer.report.sample import ReportError, wanted_steps
    from verl_prpo.viewer.report.would import plain_response

    steps = wanted_steps(arguments.dump, arguments.steps)
    found, recorded = [], False
    try:
        for file in step_files(arguments.dump, steps):
            for row in read_rows(file):
                record = row.rollout()
                recorded |= record is not None
                try:
                    one = replace(plain_response(row.columns, row.line), place=f"{row.file.name}, line {row.line}")
                    if record is not None:
                        source = record.data_source or one.data_source
                        one = replace(one, record=record, text=record.response, data_source=source)
                    found.append(one)
                except KeyError as error:
                    raise ReportError(
                        f"{row.file}, line {row.line}: {error} is missing. A dump of trainer.rollout_data_dir has "
                        "input, output and score in each line"
                    ) from error
                except (ValueError, TypeError) as error:
                    raise ReportError(f"{row.file}, line {row.line}: {error}") from error
    except (OSError, RolloutError) as error:
        raise ReportError(str(error)) from error
    if not found:
        raise ReportError(f"{arguments.dump} has no complete line: it is empty or still being written")
    return with_segments(found), recorded


def _drawn(found: Sequence["Plain"], limit: int, seed: int) -> list["Plain"]:
    """Draw whole groups with at most so many responses, in the order of the dump."""
    from verl_prpo.viewer.report.sample import draw_groups

    groups: dict[tuple[int, str], list[Plain]] = {}
    for one in found:
        groups.setdefault((one.step, one.uid), []).append(one)
    drawn = draw_groups(list(groups.values()), [step for step, _ in groups], limit, seed)
    kept = {id(one) for group in drawn for one in group}
    return [one for one in found if id(one) in kept]


def _prompts(arguments: argparse.Namespace) -> "PromptReader":
    from verl_prpo.calibration.response import InputError
    from verl_prpo.calibration.response_rows import PromptReader
    from verl_prpo.viewer.report.sample import ReportError

    try:
        return PromptReader(arguments.messages_from)
    except InputError as error:
        raise ReportError(str(error)) from error


def _messages(plain: Sequence["Plain"], prompts: "PromptReader") -> list[Sequence[Mapping[str, Any]]]:
    """Return the prompts as chat messages: as recorded, else found as `verl-prpo calibrate` finds them."""
    from verl_prpo.viewer.report.sample import ReportError

    found: list[Sequence[Mapping[str, Any]]] = []
    for one in plain:
        said = [] if one.record is None else one.record.messages
        if said and all(message["content"] is not None for message in said):
            found.append(said)
            continue
        try:
            found.append(prompts.messages(one.prompt, one.place))
        except ValueError as error:
            raise ReportError(f"{one.place}: {error}") from error
    return found
