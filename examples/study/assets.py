# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Starting policies and learned PRMs: made from a seed when first asked for, then read from a folder."""

import json
import os
import random
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from study.decoding import generate
from study.policy import accuracy, new_model, prompt_ids, starting_policy
from study.prms import EXACT, Learned, Prm, read, recall, train_learned
from study.source import asset_code
from study.tasks import TASKS, held_out_problems
from study.vocabulary import EOS, Vocabulary
from transformers import Qwen2ForCausalLM

SEED = 0
"""Of the starting policies and learned PRMs; one of each a task, shared by all runs."""
LEARNED = {"learned": 300, "learned_weak": 80}
"""Steps that learned PRMs are trained."""
CHECKED, CHECK_SEED = 256, 555_555


def path_of(task_name: str, what: str, folder: Path) -> Path:
    """Where the weights of a task's "policy" or PRM are; what is known of them is beside, with the suffix `.json`."""
    return folder / f"{task_name}_{what}-{asset_code(task_name)}.pt"


def facts_of(task_name: str, what: str, folder: Path) -> dict[str, Any] | None:
    """What was measured when a policy or PRM was made; None if it is not there."""
    facts = path_of(task_name, what, folder).with_suffix(".json")
    return json.loads(facts.read_text()) if facts.exists() else None


def policy_of(task_name: str, folder: Path) -> tuple[Qwen2ForCausalLM, Vocabulary]:
    """The starting policy of a task and its vocabulary."""
    task = TASKS[task_name]
    vocabulary = Vocabulary(task.WORDS)
    weights = path_of(task_name, "policy", folder)
    model = new_model(vocabulary)
    if not weights.exists():
        began = time.monotonic()
        model, _, steps = starting_policy(task, vocabulary, SEED, task.START)
        seconds = time.monotonic() - began
        problems = held_out_problems(task, CHECK_SEED, CHECKED)
        facts = {
            "steps": steps,
            "greedy": accuracy(model, vocabulary, task, problems, 0.0),
            "sampled": accuracy(model, vocabulary, task, problems, 1.0),
            "seconds": seconds,
        }
        _write(weights, model.state_dict(), facts)
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval(), vocabulary


def prm_of(prm_name: str, task_name: str, folder: Path) -> Prm:
    """A PRM by name, for a task; a learned one is compared with the labels of the starting policy's responses."""
    task = TASKS[task_name]
    if prm_name in EXACT:
        return EXACT[prm_name](task)
    policy, vocabulary = policy_of(task_name, folder)
    weights = path_of(task_name, prm_name, folder)
    prm = Learned(policy, vocabulary)
    if not weights.exists():
        began = time.monotonic()
        prm = train_learned(policy, task, vocabulary, SEED, LEARNED[prm_name])
        seconds = time.monotonic() - began
        problems = held_out_problems(task, CHECK_SEED, CHECKED)
        rng = random.Random(CHECK_SEED)
        flawed = [[*vocabulary.encode(task.flawed(problem, rng)), EOS] for problem in problems]
        torch.manual_seed(CHECK_SEED)
        sampled = generate(policy, [prompt_ids(vocabulary, p) for p in problems], task.MAX_NEW_TOKENS)
        facts = {
            kind: asdict(recall(prm, [read(task, vocabulary, p, r) for p, r in zip(problems, made, strict=True)]))
            for kind, made in (("flawed", flawed), ("sampled", sampled))
        }
        _write(weights, prm.state_dict(), facts | {"seconds": seconds})
    prm.load_state_dict(torch.load(weights, weights_only=True))
    return prm


def _write(weights: Path, state: dict[str, Any], facts: dict[str, Any]) -> None:
    """Weights, and beside them what is known of them; a half-written file never has the name of a whole one."""
    weights.parent.mkdir(parents=True, exist_ok=True)
    weights.with_suffix(".json").write_text(json.dumps(facts, indent=1))
    half = weights.with_suffix(f".{os.getpid()}")
    torch.save(state, half)
    half.replace(weights)
