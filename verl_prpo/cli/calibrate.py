# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo calibrate`: whether a PRM is fit to train on, judged by your responses, and the prior that suits them."""

import argparse
import contextlib
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verl_prpo.calibration.fitness import STATUS, fitness, too_few
from verl_prpo.calibration.table import print_calibration
from verl_prpo.cli.probe import MARGIN, PROBED, run_probe, shown_responses
from verl_prpo.console.findings import say
from verl_prpo.settings.training_config import add_arguments
from verl_prpo.settings.typed import lost_backslash, read_escapes

if TYPE_CHECKING:
    from verl_prpo.calibration.measured import Calibration
    from verl_prpo.calibration.responses import Response
    from verl_prpo.prm.results import PrmResult

SUMMARY = "judge a PRM by your responses and suggest its prior"

LIMIT = 256
"""Most responses scored by default."""

WIDE = 12
"""A range of scores that is this many prior standard deviations wide, or wider, is no axis for a histogram."""


def parser(prog: str) -> argparse.ArgumentParser:
    """Make the parser of the command's arguments."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Scores a sample of responses with a PRM and says whether it is fit to train on. INPUT is a folder "
        "or file that trainer.rollout_data_dir wrote, or JSON lines with prompt (or messages) and response, steps or "
        "segments, and optionally outcome, acc and step_labels. With --probe it perturbs the responses as a policy "
        "would drift, and reports what the PRM pays for it. Exit status: 0 fit to train on (with --probe: nothing is "
        "flagged), 1 the PRM gives no scores or the probe flags a hole in it, 2 arguments or input that cannot be "
        "used, 3 in doubt, 4 do not train on it.",
    )
    made.add_argument("input", type=Path, metavar="INPUT")
    made.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="such as ++reward.prm.model_path=Qwen/...")
    add_arguments(made)
    made.add_argument("--prm", help="short for reward.prm.model_path")
    made.add_argument("--recorded", action="store_true", help="use the scores in the dump instead of a PRM")
    made.add_argument("--probe", action="store_true", help="look for holes: what does the PRM pay for drifting?")
    made.add_argument(
        "--limit", type=int, help=f"most responses used, drawn at random (default {LIMIT}, with --probe {PROBED})"
    )
    made.add_argument("--seed", type=int, default=0, help="of the draw and of the bootstrap (default 0)")
    made.add_argument(
        "--delimiter",
        action="append",
        metavar="TEXT",
        help="ends a step of a plain response, with escapes such as '\\n'; may be given several times (default a blank "
        "line)",
    )
    made.add_argument(
        "--outcome-threshold",
        type=float,
        help="least outcome that is right (default: what acc or a two-valued outcome says)",
    )
    made.add_argument(
        "--messages-from", type=Path, metavar="FILE", help="verl's data file with the chat messages of a dump's prompts"
    )
    made.add_argument("--device", help="cpu or cuda, for a PRM in process (default cuda where there is one)")
    made.add_argument("--histogram", type=Path, metavar="FILE", help="draw the scores into this PNG")
    made.add_argument("--margin", type=float, default=MARGIN, help=f"for --probe, in units of z (default {MARGIN})")
    made.add_argument(
        "--tokenizer",
        help="the policy's: for --probe to count tokens with (default an estimate), with reward.prm.thinking=hide to "
        "know whether the text of a dump has lost the tags of thoughts",
    )
    made.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return made


def run(arguments: argparse.Namespace) -> int:
    """Run the command and print what it found."""
    from verl_prpo.calibration.measured import calibrate
    from verl_prpo.calibration.responses import (
        DEFAULT_DELIMITER,
        InputError,
        nothing_cut,
        read_responses,
        recorded_alone,
    )
    from verl_prpo.calibration.scoring import chosen_settings, failure_seen, open_prm, score_all
    from verl_prpo.prm.families.base import PrmError
    from verl_prpo.settings.advice import can_read_windows
    from verl_prpo.settings.prpo import ConfigError

    if arguments.limit is None:
        arguments.limit = PROBED if arguments.probe else LIMIT
    for name, least in (("seed", 0), ("limit", 1)):
        if getattr(arguments, name) < least:
            say(f"--{name} {getattr(arguments, name)} must be at least {least}")
            return 2
    if arguments.histogram is not None:
        from verl_prpo.calibration.histogram import obstacle

        reason = "--probe draws none" if arguments.probe else obstacle(arguments.histogram)
        if reason:
            say(f"no histogram: {reason} (--histogram)")
            return 2
    delimiters = arguments.delimiter = [read_escapes(text) for text in arguments.delimiter or [DEFAULT_DELIMITER]]
    try:
        found = read_responses(arguments.input, delimiters, arguments.outcome_threshold, arguments.messages_from)
        found.notes += filter(None, map(lost_backslash, delimiters))
        for note in found.notes:
            say(f"note: {note}")
        if arguments.probe:
            return run_probe(arguments, found)
        responses = draw(found, arguments.limit, arguments.seed)
        uncut = nothing_cut(responses, delimiters)
        if uncut is not None:
            say(f"warning: {uncut}")
        settings = None if arguments.recorded else chosen_settings(arguments)[0]
        if settings is not None and settings.thinking == "hide":
            responses = shown_responses(responses, arguments.tokenizer, found.notes)
        if settings is None:
            responses, hid = recorded_alone(responses)
            if hid is not None:
                say(f"note: {hid}")
        if settings is None and all(response.recorded is None for response in responses):
            raise InputError("--recorded: no response has a `prpo` record with scores. Give a PRM instead")
        few = too_few(len(responses), len({response.group for response in responses}))
        if few is not None:
            more = "raise --limit" if len(found) > arguments.limit else "give more"
            raise InputError(f"{arguments.input}: {few}; {more}")
    except (InputError, ConfigError) as error:
        say(str(error))
        return 2
    try:
        with contextlib.redirect_stdout(sys.stderr):
            prm = None if settings is None else open_prm(settings, arguments.device)
            if prm is None:
                results = _recorded(responses)
            else:
                dialogues = [(r.messages, r.segments) for r in responses]
                unfinished, heard = [r.unfinished for r in responses], [r.heard for r in responses]
                results = score_all(prm, dialogues, unfinished, heard, [r.row for r in responses])
        low, high = (0.0, 1.0) if prm is None else prm.family.score_range
        windows = any(r.windows for r in responses) if settings is None else settings.overlong == "windows"
        calibration = calibrate(responses, results, (low + high) / 2, arguments.seed, windows)
    except PrmError as error:
        say(str(error))
        return 1
    except ValueError as error:
        say(f"{error}: {failure_seen(results)}")
        return 1
    said = fitness(calibration, uncut, settings is None or can_read_windows(settings))
    # A range that no score comes near, such as that of implicit_prm, would hide the scores in a corner.
    wide = prm is not None and high - low > WIDE * prm.family.prior_std
    picture = None
    if arguments.histogram is not None:
        picture = _picture(arguments.histogram, calibration, responses, results, None if wide else (low, high))
    if arguments.json:
        prior = {"prior_mean": calibration.prior_mean, "prior_std": calibration.prior_std} if said.prior else None
        about: dict[str, Any] = {**asdict(said), "verdict": said.verdict.value, "suggested": prior}
        about |= {"notes": found.notes, "verdict_source": found.verdict_source, "histogram": picture}
        print(json.dumps({**calibration.as_dict(), **about}, indent=2))
    else:
        print_calibration(calibration, said, prm, (low + high) / 2, found, picture)
    return 2 if arguments.histogram is not None and picture is None else STATUS[said.verdict]


def draw(found: Sequence["Response"], limit: int, seed: int) -> list["Response"]:
    """Draw at most so many responses at random.

    All responses to a prompt are drawn together as far as they fit, since responses are compared only within a prompt.
    """
    groups: dict[str, list[Response]] = {}
    for response in found:
        groups.setdefault(response.group, []).append(response)
    order = list(groups.values())
    random.Random(seed).shuffle(order)
    return [response for group in order for response in group][:limit]


def _recorded(responses: Sequence["Response"]) -> list["PrmResult"]:
    from verl_prpo.prm.results import PrmResult

    return [
        PrmResult(None if r.recorded is None else list(r.recorded), overlong=r.overlong, windows=r.windows)
        for r in responses
    ]


def _picture(
    file: Path,
    calibration: "Calibration",
    responses: Sequence["Response"],
    results: Sequence["PrmResult"],
    axis: tuple[float, float] | None,
) -> str | None:
    """Draw the histogram and return its path, or None where that failed though the file could be written before."""
    from verl_prpo.calibration.histogram import draw as draw_histogram

    drawn = [
        (score, response.right)
        for response, result in zip(responses, results, strict=True)
        for score in result.scores or ()
        if score is not None
    ]
    scores = [score for score, _ in drawn]
    edges = [*scores, *(axis or ())]
    title = f"{calibration.segments} segments of {calibration.responses} responses"
    try:
        prior = (calibration.mean, calibration.std)
        draw_histogram(file, scores, [right for _, right in drawn], (min(edges), max(edges)), prior, title)
    except (OSError, ValueError) as error:  # of a disk that is full by now, or of scores that are no numbers
        say(f"no histogram: {error}. Give another file with --histogram")
        return None
    return str(file)
