# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo calibrate --probe`: what a PRM pays for the ways in which a policy would drift."""

import argparse
import contextlib
import json
import math
import random
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from verl_prpo.console.findings import say
from verl_prpo.probe.table import print_probe

if TYPE_CHECKING:
    from verl_prpo.calibration.responses import Response, Responses
    from verl_prpo.prm.open_prm import OpenPrm
    from verl_prpo.probe.payment import TokenCount
    from verl_prpo.probe.report import Probe, Probed
    from verl_prpo.settings.prpo import PrpoConfig

PROBED = 64
"""Responses probed. Each is scored once as it is and once per perturbation."""

MARGIN = 0.25
"""Margin of a verdict, in units of z."""


def run_probe(arguments: argparse.Namespace, found: "Responses") -> int:
    """Run the command and print what it found.

    Args:
        arguments: of `verl-prpo calibrate`.
        found: the responses of the input.

    Returns:
        The exit status: 0 nothing flagged, 1 something flagged or no scores, 2 arguments or input that cannot be used.
    """
    from verl_prpo.calibration.responses import InputError
    from verl_prpo.calibration.scoring import chosen_settings, open_prm
    from verl_prpo.prm.families.base import PrmError
    from verl_prpo.settings.prpo import ConfigError

    if arguments.recorded:
        say("--probe scores texts that no dump holds: give a PRM and leave out --recorded")
        return 2
    if not 0 <= arguments.margin < math.inf:
        say(f"--margin {arguments.margin} must be a number of at least 0")
        return 2
    try:
        responses, chosen = _chosen(found, arguments)
        settings, prpo = chosen_settings(arguments)
        if settings.thinking == "hide":
            responses = shown_responses(responses, arguments.tokenizer, found.notes)
        tokens = _tokens(arguments.tokenizer)
        probed = _solutions(responses, arguments)
    except (InputError, ConfigError) as error:
        say(str(error))
        return 2
    try:
        with contextlib.redirect_stdout(sys.stderr):
            prm = open_prm(settings, arguments.device)
            probe = _probe(prm, probed, prpo, tokens, arguments)
    except PrmError as error:
        say(str(error))
        return 1
    if arguments.json:
        print(json.dumps({**probe.as_dict(), "responses_probed": chosen, "notes": found.notes}, indent=2))
    else:
        print_probe(
            probe, prm, f"{len(responses)} probed, {chosen}", arguments.tokenizer, prpo.process_norm, prpo.credit
        )
    return 1 if probe.flagged else 0


def shown_responses(responses: "Sequence[Response]", tokenizer: str | None, notes: list[str]) -> "list[Response]":
    """Return the responses as a PRM reads them with `reward.prm.thinking=hide`. Notes on them are printed.

    Args:
        responses: as read.
        tokenizer: the policy's, where `--tokenizer` names it.
        notes: the notes on the input, to which a warning is added.

    Raises:
        InputError: thoughts cannot be found, or nothing stands beside them.
        ConfigError: the tokenizer cannot be loaded.
    """
    from verl_prpo.calibration.responses import shown_alone
    from verl_prpo.calibration.thoughts import unseen_thoughts
    from verl_prpo.viewer.report.scoring import loaded_tokenizer

    unseen = unseen_thoughts(responses, None if tokenizer is None else loaded_tokenizer(tokenizer))
    if unseen is not None:
        notes.append(unseen)
        say(f"warning: {unseen}")
    shown, note = shown_alone(responses)
    say(f"note: {note}")
    return shown


def _chosen(found: "Responses", arguments: argparse.Namespace) -> tuple[list["Response"], str]:
    """Return the responses to probe, and a phrase that says which they are.

    Right ones are chosen where enough are known, since leaving a step out of a wrong one may be an improvement.
    """
    from verl_prpo.probe.verdict import LEAST_PROMPTS

    right = [response for response in found if response.right]
    enough = len({response.group for response in right}) >= LEAST_PROMPTS
    pool = right if enough else list(found)
    drawn = random.Random(arguments.seed).sample(pool, min(arguments.limit, len(pool)))
    if enough:
        return drawn, f"of {len(pool)} right ones in {len(found)} read"
    return drawn, f"of {len(found)} read, right or wrong: {found.verdict_source}"


def _tokens(tokenizer: str | None) -> "TokenCount":
    from verl_prpo.probe.payment import estimated_tokens

    if tokenizer is None:
        return estimated_tokens
    from verl_prpo.viewer.report.scoring import loaded_tokenizer

    loaded = loaded_tokenizer(tokenizer)
    return lambda text: len(loaded(text, add_special_tokens=False).input_ids)


def _solutions(responses: "Sequence[Response]", arguments: argparse.Namespace) -> list["Probed"]:
    """Cut the responses into steps. Raise an `InputError` where no verdict can come from them."""
    from verl_prpo.calibration.responses import InputError, Response, cut, nothing_cut
    from verl_prpo.probe.report import Probed
    from verl_prpo.probe.solution import Solution
    from verl_prpo.probe.verdict import LEAST_PROMPTS

    delimiters = arguments.delimiter
    probed = []
    for response in responses:
        # The segments of a dump are where the run cut, by entropy say; steps are told by their text.
        recorded = response.recorded is not None
        segments = cut("".join(response.segments), delimiters) if recorded else response.segments
        solution = Solution.of(segments, delimiters[0], response.thinking)
        probed.append(Probed(response.group, response.messages, solution, response.row))
    if max(len(one.solution) for one in probed) < 2:
        plain = [Response((), one.solution.segments, one.group, cut_here=True) for one in probed]
        raise InputError(f"{arguments.input}: no response has two steps; {nothing_cut(plain, delimiters)}")
    prompts = len({one.group for one in probed})
    if prompts < LEAST_PROMPTS:
        raise InputError(
            f"{arguments.input}: responses to {prompts} prompts; no verdict comes from fewer than "
            f"{LEAST_PROMPTS}: give more, or raise --limit {arguments.limit}"
        )
    return probed


def _probe(
    prm: "OpenPrm", probed: Sequence["Probed"], prpo: "PrpoConfig", tokens: "TokenCount", arguments: argparse.Namespace
) -> "Probe":
    from verl_prpo.calibration.scoring import failure_seen, score_all
    from verl_prpo.prm.families.base import PrmError
    from verl_prpo.probe.report import Prior, report, variants

    asked = variants(probed, arguments.seed)
    dialogues = [(probed[variant.response].messages, variant.segments) for variant in asked]
    results = score_all(prm, dialogues, rows=[probed[variant.response].row for variant in asked])
    if all(result.scores is None for result in results):
        raise PrmError(f"not one response has scores: {failure_seen(results)}")
    prior = Prior(
        prm.family.prior_mean if prpo.prior_mean is None else prpo.prior_mean,
        prm.family.prior_std if prpo.prior_std is None else prpo.prior_std,
    )
    return report(probed, asked, results, prior, tokens, arguments.margin, arguments.seed)
