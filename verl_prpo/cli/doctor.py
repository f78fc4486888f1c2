# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo doctor`: what a training command would meet, before any GPU is spent on it. It starts no Ray."""

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verl_prpo.console.findings import Finding, Report, say, terminal, within
from verl_prpo.doctor import installation
from verl_prpo.settings.timeouts import END_GRACE, NETWORK_TIMEOUT
from verl_prpo.settings.training_config import TrainingArguments, add_arguments, training_arguments

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from verl_prpo.doctor.target import Target
    from verl_prpo.doctor.worked_example import WorkedExample
    from verl_prpo.prm.families.base import PrmFamily
    from verl_prpo.prm.open_prm import OpenPrm
    from verl_prpo.settings.prpo import PrmConfig, PrpoConfig

SUMMARY = "look a training command over before it spends a GPU"


def parser(prog: str) -> argparse.ArgumentParser:
    """Make the parser of the command's arguments."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Takes the arguments of `python -m verl.trainer.main_ppo` and says what would fail. Exit status: "
        "0 nothing would, 1 something would, 2 arguments that cannot be read.",
    )
    add_arguments(made)
    made.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="such as algorithm.adv_estimator=prpo")
    made.add_argument("--gpus", type=float, metavar="N", help="GPUs of a node of the target (default: as found)")
    made.add_argument("--nodes", type=int, metavar="N", help="nodes of the target, with --gpus (default 1)")
    made.add_argument("--dump", type=Path, metavar="DIR", help="responses, in which the delimiters are counted")
    made.add_argument("--load", action="store_true", help="load the PRM on the CPU, however large it is")
    made.add_argument(
        "--example", type=Path, help="JSON with problem, good, bad, wrong_step (and row), for the PRM to score"
    )
    made.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return made


def run(arguments: argparse.Namespace) -> int:
    """Run the command and print what it found."""
    from verl_prpo.console.check_table import CheckTable
    from verl_prpo.doctor.worked_example import BUILT_IN, read_example

    try:
        example = read_example(arguments.example) if arguments.example else BUILT_IN
        target = _stated_target(arguments)
        if arguments.dump is not None and not arguments.dump.exists():
            raise ValueError(f"--dump {arguments.dump}: no such folder or file (looked for from {Path.cwd()})")
    except (OSError, ValueError) as error:
        say(str(error))
        return 2
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    table = None if arguments.json else CheckTable(terminal(sys.stdout))
    report = Report(table)
    with contextlib.redirect_stdout(sys.stderr):  # what libraries print is no part of the result
        command = training_arguments(arguments, arguments.overrides)
        diagnose(report, command, example, arguments.load, target, arguments.dump)
    if table is None:
        print(report.as_json())
    else:
        table.close(report)
    return 1 if report.failed else 0


def _stated_target(arguments: argparse.Namespace) -> "Target | None":
    from verl_prpo.doctor.target import Target

    if arguments.gpus is None:
        if arguments.nodes is not None:
            raise ValueError("--nodes needs --gpus, the GPUs of each of them")
        return None
    nodes = 1 if arguments.nodes is None else arguments.nodes
    if arguments.gpus < 1 or nodes < 1:
        raise ValueError("--gpus and --nodes must be at least 1")
    return Target((arguments.gpus,) * nodes, "as --gpus and --nodes say")


def diagnose(
    report: Report,
    arguments: TrainingArguments,
    example: "WorkedExample",
    load: bool,
    target: "Target | None",
    dump: Path | None,
) -> None:
    """Run every check into a report, in the order in which training would meet them.

    Args:
        report: takes the findings.
        arguments: of the training command.
        example: for the PRM to score.
        load: whether to load the PRM here, whatever its size.
        target: GPUs to count on. None stands for those of Ray or of this machine.
        dump: responses in which the delimiters are counted, if any.
    """
    for package in installation.PACKAGES:
        report.run(package, lambda package=package: installation.version(package))  # type: ignore[misc]
    report.run("plugin", installation.plugin)  # imports verl, which takes seconds
    from verl_prpo.console import folder_checks
    from verl_prpo.doctor import hub, key_checks, run_checks, text_checks, thought_checks, wiring
    from verl_prpo.doctor import target as targets
    from verl_prpo.doctor.shared_memory import shared_memory
    from verl_prpo.doctor.source_checks import scorer
    from verl_prpo.settings.prpo import uses_prpo
    from verl_prpo.trainer.reward_model import shares_gpus

    composed = report.run("configuration", lambda: wiring.composed(arguments))
    if composed is None:
        return report.skip("all that follows", "there is no configuration to look at")
    config, hydra_folder = composed
    report.run("keys", lambda: key_checks.keys(config))
    if report.run("names", lambda: wiring.names(config)) is None:
        report.skip("settings", "the names come first")
    elif report.run("settings", lambda: wiring.settings(config)) is None:
        return report.skip("all that follows", "the settings come first")
    if report.run("wiring", lambda: wiring.wiring(config)) is None:
        return None
    report.run("platform", lambda: targets.platform(config))
    report.run("sizes", lambda: run_checks.sizes(config))
    with hub.quiet_hub():
        prm = _prm_of(config)
        report.run("hub", lambda: hub.hub(hub.names_of(config, prm)))
        report.run("GPUs", lambda: targets.gpus(config, target))
        if shares_gpus(config):
            report.run("shared memory", lambda: shared_memory(config))
        report.run(
            "problems", lambda: within(NETWORK_TIMEOUT, "reading the problems", lambda: run_checks.problems(config))
        )
        report.run("scorer", lambda: within(NETWORK_TIMEOUT, "reading the problems", lambda: scorer(config)))
        report.run("policy", lambda: run_checks.policy(config))
        report.run("folders", lambda: folder_checks.folders(config, hydra_folder))
        if uses_prpo(config):
            report.run("texts", lambda: text_checks.texts(config, prm, dump))
        if prm is not None and prm.thinking == "hide":
            report.run(
                "thoughts",
                lambda: within(NETWORK_TIMEOUT, "the policy's tokenizer", lambda: thought_checks.thoughts(config)),
            )
        if prm is None:
            reason = "this credit uses none" if uses_prpo(config) else "only PRPO asks one"
            return report.skip("PRM", reason)
        _diagnose_prm(report, config, prm, example, load)


def _prm_of(config: "DictConfig") -> "PrmConfig | None":
    """Return the settings of the PRM that training would ask, None where it asks none."""
    from verl_prpo.prm.open_prm import with_model_path
    from verl_prpo.settings.prpo import needs_prm, prm_config, prpo_config, uses_prpo

    if not uses_prpo(config) or not needs_prm(prpo_config(config.algorithm)):
        return None
    return with_model_path(prm_config(config.reward), config.reward)


def _diagnose_prm(report: Report, config: "DictConfig", prm: "PrmConfig", example: "WorkedExample", load: bool) -> None:
    from verl_prpo.doctor import prm_checks
    from verl_prpo.settings.prm import SCORE_FUNCTION
    from verl_prpo.settings.prpo import engine_of, prpo_config

    if engine_of(prm) == SCORE_FUNCTION:
        return _diagnose_function(report, prm, prpo_config(config.algorithm), example)
    _quiet_transformers()
    if report.run("PRM files", lambda: within(NETWORK_TIMEOUT, "the hub", lambda: prm_checks.model(prm))) is None:
        return report.skip("all that follows", "there is no PRM to look at")
    found: Any = report.run(
        "PRM family", lambda: within(NETWORK_TIMEOUT, "its tokenizer", lambda: prm_checks.family_of(prm))
    )
    if found is None:
        return report.skip("all that follows", "the PRM cannot be read")
    family: PrmFamily | None = None if isinstance(found, type) else found
    opened = _open_engine(report, engine_of(prm), prm, load)
    family = opened.family if opened is not None else family
    if family is None:
        for check in ("reading", "overlong"):
            report.skip(check, f"{found.name} shows these only with its weights", "add --load")
    else:
        readable: PrmFamily = family
        prpo, data, policy = prpo_config(config.algorithm), config.data, str(config.actor_rollout_ref.model.path)
        lengths = (int(data.max_prompt_length), int(data.max_response_length))
        for check, look in (
            ("reading", lambda: prm_checks.reading(prm, prpo, readable, example)),
            ("overlong", lambda: prm_checks.overlong(prm, prpo, lengths, policy, readable, example)),
        ):
            report.run(check, lambda look=look: within(NETWORK_TIMEOUT, "a tokenizer", look))  # type: ignore[misc]
    if opened is None:
        return report.skip("scores", "no engine to score with")
    answering: OpenPrm = opened
    report.run("scores", lambda: within(prm.timeout, "scoring two solutions", lambda: _scored(answering, example)))


def _diagnose_function(report: Report, prm: "PrmConfig", prpo: "PrpoConfig", example: "WorkedExample") -> None:
    from verl_prpo.doctor import prm_checks
    from verl_prpo.prm.open_prm import open_function

    limit = prm.startup_timeout + END_GRACE  # it has that time limit itself, and says more
    opened: Any = report.run(
        "score function", lambda: within(limit, "importing it", lambda: _ready(open_function(prm), "loaded as"))
    )
    if opened is None:
        return report.skip("scores", "no function to score with")
    report.run("reading", lambda: prm_checks.scale(opened.family, prpo))
    report.run("scores", lambda: within(prm.timeout, "scoring two solutions", lambda: _scored(opened, example)))


def _open_engine(report: Report, engine: str, prm: "PrmConfig", load: bool) -> Any:
    from verl_prpo.doctor import prm_checks
    from verl_prpo.prm import open_prm

    if engine == "server":
        return report.run(
            "PRM servers", lambda: within(NETWORK_TIMEOUT, "a trial", lambda: _ready(open_prm.open_at_servers(prm)))
        )
    where = "verl launches its servers when training starts; loaded" if engine == "reward_model" else "loaded"
    size = open_prm.weight_bytes(prm)
    if not load and (size is None or size > prm_checks.SMALL):
        much = "unknown size" if size is None else prm_checks.shown_bytes(size)
        report.skip("PRM weights", f"not loaded: weights of {much}", "add --load to load them on this CPU")
        return None
    return report.run(
        "PRM weights", lambda: within(prm.startup_timeout, "loading", lambda: _ready(open_prm.load_here(prm), where))
    )


def _ready(opened: "OpenPrm", how: str = "") -> Finding:
    return Finding(f"{how} {opened.where}".strip(), details={"where": opened.where}, value=opened)


def _scored(opened: "OpenPrm", example: "WorkedExample") -> Finding:
    from verl_prpo.doctor import prm_checks

    try:
        return prm_checks.scores(opened, example)
    finally:
        opened.close()


def _quiet_transformers() -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()
