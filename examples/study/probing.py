# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What `verl-prpo calibrate --probe` says of the learned PRMs, on responses of the starting policies."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from study.assets import CHECK_SEED, path_of, policy_of, prm_of
from study.decoding import generate
from study.full_stack.export import write_models
from study.jobs import AGAIN, StudyError
from study.policy import prompt_ids
from study.prms import Learned
from study.source import code_of, digest
from study.tasks import TASKS, held_out_problems

import verl_prpo

PROBLEMS, ROLLOUTS = 128, 4
"""Responses to choose from: the probe takes right ones."""
TIME_LIMIT = 600.0
"""Seconds."""
FAMILY = Path(__file__).parent / "full_stack" / "learned_family.py"


def probe_path(task_name: str, prm_name: str, assets: Path) -> Path:
    """Where the probe of a learned PRM is, or will be: PRM and code give its name."""
    package = Path(verl_prpo.__file__).resolve().parent / "probe"
    code = digest("\n".join(map(code_of, (Path(__file__), *sorted(package.glob("*.py"))))))
    return path_of(task_name, prm_name, assets).with_suffix(f".probe-{code}.json")


def probe(task_name: str, prm_name: str, assets: Path) -> None:
    """Probe a learned PRM by the package's own command and keep what it printed beside the PRM.

    Raises:
        ValueError: a PRM that is no model.
        StudyError: the command fails, or takes too long.
    """
    written = probe_path(task_name, prm_name, assets)
    if written.exists():
        return
    policy, vocabulary = policy_of(task_name, assets)
    prm = prm_of(prm_name, task_name, assets)
    if not isinstance(prm, Learned):
        raise ValueError(f"{prm_name} knows the exact labels and is no model to probe")
    task = TASKS[task_name]
    problems = held_out_problems(task, CHECK_SEED, PROBLEMS) * ROLLOUTS
    torch.manual_seed(CHECK_SEED)
    sampled = generate(policy, [prompt_ids(vocabulary, p) for p in problems], task.MAX_NEW_TOKENS)
    with tempfile.TemporaryDirectory() as folder:
        write_models(task_name, policy, prm, vocabulary, Path(folder))
        responses = Path(folder) / "responses.jsonl"
        texts = [vocabulary.decode(ids) for ids in sampled]
        lines = [
            {"prompt": p.question, "response": text, "outcome": float(task.correct(p, text))}
            for p, text in zip(problems, texts, strict=True)
        ]
        responses.write_text("".join(json.dumps(line) + "\n" for line in lines))
        said = _calibrate(responses, Path(folder) / "prm")
    half = written.with_suffix(f".{os.getpid()}")
    half.write_text(json.dumps(said, indent=1))
    half.replace(written)


def probe_of(task_name: str, prm_name: str, assets: Path) -> dict[str, Any] | None:
    """By perturbation: z at the change with its interval, the share for which it is free, the verdict."""
    written = probe_path(task_name, prm_name, assets)
    if not written.exists():
        return None
    findings = json.loads(written.read_text())["findings"]
    return {f["perturbation"]: {name: f[name] for name in ("at_change", "free", "verdict")} for f in findings}


def _calibrate(responses: Path, prm: Path) -> dict[str, Any]:
    """The JSON that the command prints: it exits with 1 where it flags something."""
    command = [sys.executable, "-m", "verl_prpo.cli.main", "calibrate", str(responses), "--probe", "--json"]
    command += ["--device", "cpu", "--delimiter", "\\n", "--prm", str(prm)]
    command += [f"++reward.prm.custom_family.path={FAMILY}", "++reward.prm.custom_family.name=LearnedFamily"]
    examples = FAMILY.parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(examples), str(examples / "toy")])}
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT, env=environment)
    except subprocess.TimeoutExpired as error:
        raise StudyError(f"the probe of {prm} took more than {TIME_LIMIT:.0f} s; {AGAIN}") from error
    if ended.returncode not in (0, 1) or not ended.stdout.lstrip().startswith("{"):
        raise StudyError(f"the probe of {prm} ended with status {ended.returncode}:\n{ended.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(ended.stdout)
    return found
