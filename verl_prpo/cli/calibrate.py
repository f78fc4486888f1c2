# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo calibrate`: what a PRM's scores are like on your responses, and the prior that suits them."""

import argparse
import contextlib
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from verl_prpo.cli.calibration_table import print_calibration
from verl_prpo.cli.probe import MARGIN, PROBED, run_probe
from verl_prpo.cli.report import say
from verl_prpo.cli.training_config import add_arguments

if TYPE_CHECKING:
    from verl_prpo.cli.calibration import Calibration
    from verl_prpo.cli.responses import Response
    from verl_prpo.prm.results import PrmResult

SUMMARY = "measure a PRM on your responses and suggest its prior"

LIMIT = 256
"""Responses scored."""

WIDE = 12
"""Prior standard deviations from which on a family's range is no axis for a histogram."""


def parser(prog: str) -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Scores a sample of responses with a PRM. INPUT is a folder or file that trainer.rollout_data_dir "
        "wrote, or JSON lines with prompt (or messages) and response, steps or segments, and optionally outcome and "
        "step_labels. With --probe it perturbs the responses as a policy would drift, and reports what the PRM pays "
        "for it. Exit status: 0 done, 1 the PRM gives no scores or the probe flags a hole in it, 2 arguments or input "
        "that cannot be read.",
    )
    made.add_argument("input", type=Path, metavar="INPUT")
    made.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="such as reward.prm.model_path=Qwen/...")
    add_arguments(made)
    made.add_argument("--prm", help="short for reward.prm.model_path")
    made.add_argument("--recorded", action="store_true", help="use the scores in the dump instead of a PRM")
    made.add_argument("--probe", action="store_true", help="look for holes: what does the PRM pay for drifting?")
    made.add_argument(
        "--limit", type=int, help=f"most responses used, drawn at random (default {LIMIT}, with --probe {PROBED})"
    )
    made.add_argument("--seed", type=int, default=0, help="of the draw and of the bootstrap (default 0)")
    made.add_argument("--delimiter", default="\\n\\n", help="ends a step of a plain response (default a blank line)")
    made.add_argument("--outcome-threshold", type=float, default=0.5, help="least outcome that is right (default 0.5)")
    made.add_argument("--device", help="cpu or cuda, for a PRM in process (default cuda where there is one)")
    made.add_argument("--histogram", type=Path, default=Path("prm_scores.png"), help="PNG (default prm_scores.png)")
    made.add_argument("--margin", type=float, default=MARGIN, help=f"for --probe, in units of z (default {MARGIN})")
    made.add_argument("--tokenizer", help="for --probe: the policy's, to count tokens with (default an estimate)")
    made.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return made


def run(arguments: argparse.Namespace) -> int:
    """Run the command and print what it found."""
    from verl_prpo.cli.calibration import calibrate
    from verl_prpo.cli.responses import InputError, read_responses
    from verl_prpo.cli.scoring import chosen_settings, failure_seen, open_prm, score_all
    from verl_prpo.config import ConfigError
    from verl_prpo.prm.family import PrmError

    if arguments.limit is None:
        arguments.limit = PROBED if arguments.probe else LIMIT
    if arguments.seed < 0:
        say(f"--seed {arguments.seed} must be at least 0")
        return 2
    if arguments.limit < 1:
        say(f"--limit {arguments.limit} must be at least 1")
        return 2
    if arguments.probe:
        return run_probe(arguments)
    delimiter = arguments.delimiter.replace("\\n", "\n").replace("\\t", "\t")
    try:
        found = read_responses(arguments.input, delimiter)
        responses = random.Random(arguments.seed).sample(found, min(arguments.limit, len(found)))
        settings = None if arguments.recorded else chosen_settings(arguments)[0]
    except (InputError, ConfigError) as error:
        say(str(error))
        return 2
    try:
        with contextlib.redirect_stdout(sys.stderr):
            prm = None if settings is None else open_prm(settings, arguments.device)
            results = (
                _recorded(responses) if prm is None else score_all(prm, [(r.messages, r.segments) for r in responses])
            )
        low, high = (0.0, 1.0) if prm is None else prm.family.score_range
        calibration = calibrate(responses, results, arguments.outcome_threshold, (low + high) / 2, arguments.seed)
    except (PrmError, InputError) as error:
        say(str(error))
        return 1
    except ValueError as error:
        say(f"{error}: {failure_seen(results)}")
        return 1
    # A range that no score comes near, such as that of implicit_prm, would hide the scores in a corner.
    wide = prm is not None and high - low > WIDE * prm.family.prior_std
    picture = _picture(arguments, calibration, responses, results, None if wide else (low, high))
    if arguments.json:
        print(json.dumps({**calibration.as_dict(), "histogram": picture}, indent=2))
    else:
        print_calibration(calibration, prm, (low + high) / 2, len(found), picture)
    return 0


def _recorded(responses: Sequence["Response"]) -> list["PrmResult"]:
    from verl_prpo.cli.responses import InputError
    from verl_prpo.prm.results import PrmResult

    if all(response.recorded is None for response in responses):
        raise InputError("--recorded: no response has a `prpo` record with scores; give a PRM instead")
    return [PrmResult(list(r.recorded) if r.recorded is not None else None) for r in responses]


def _picture(
    arguments: argparse.Namespace,
    calibration: "Calibration",
    responses: Sequence["Response"],
    results: Sequence["PrmResult"],
    axis: tuple[float, float] | None,
) -> str | None:
    """Draw the histogram; its path, or None when that is not possible."""
    from verl_prpo.cli.calibration import is_right
    from verl_prpo.cli.histogram import draw

    drawn = [
        (score, is_right(response.outcome, arguments.outcome_threshold))
        for response, result in zip(responses, results, strict=True)
        for score in result.scores or ()
        if score is not None
    ]
    scores = [score for score, _ in drawn]
    edges = [*scores, *(axis or ())]
    title = f"{calibration.segments} segments of {calibration.responses} responses"
    try:
        prior = (calibration.mean, calibration.std)
        draw(arguments.histogram, scores, [right for _, right in drawn], (min(edges), max(edges)), prior, title)
    except ModuleNotFoundError as error:
        say(f"no histogram: {error}; pip install matplotlib")
        return None
    except OSError as error:
        say(f"no histogram: {error}; give another file with --histogram")
        return None
    return str(arguments.histogram)
