# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The study's assets in the form that verl, vLLM and the plugin read: policy, learned PRM and problems."""

import random
from dataclasses import dataclass
from pathlib import Path

from study.assets import policy_of, prm_of
from study.full_stack.learned_family import write_prm
from study.full_stack.problems import problems, write_problems
from study.full_stack.tokenizer import check_tokenizer, make_tokenizer
from study.plan import Run
from study.policy import prompt_ids
from study.prms import Learned
from study.tasks import TASKS
from study.trainer import HELD_OUT, HELD_OUT_SEED
from study.vocabulary import Vocabulary
from transformers import Qwen2ForCausalLM


@dataclass(frozen=True)
class Exported:
    """What a run on the full stack reads.

    Attributes:
        policy, prm: folders in Hugging Face format.
        train, held_out: parquet files.
        longest_prompt: in tokens.
    """

    policy: Path
    prm: Path
    train: Path
    held_out: Path
    longest_prompt: int


def export(run: Run, assets: Path, folder: Path) -> Exported:
    """Write what a run reads; starting policy and PRM are made first if they are not among the assets.

    Raises:
        ValueError: a PRM that is no model.
        RuntimeError: a tokenizer that does not come back as it was written.
    """
    policy, vocabulary = policy_of(run.task, assets)
    prm = prm_of(run.prm, run.task, assets)
    if not isinstance(prm, Learned):
        raise ValueError(f"--prm {run.prm} knows the exact labels and is no model that verl could load: choose learned")
    folder = (folder / f"{run.task}-{run.prm}").resolve()
    write_models(run.task, policy, prm, vocabulary, folder)
    seed, count = run.settings.seed, run.settings.prompts * run.settings.steps
    drawn = {f"train-seed{seed}-{count}": ("train", seed, count), "held_out": ("held_out", HELD_OUT_SEED, HELD_OUT)}
    for name, draw in drawn.items():
        write_problems(run.task, *draw, folder / f"{name}.parquet")
    asked = [problem for draw in drawn.values() for problem in problems(run.task, *draw)]
    longest = max(len(prompt_ids(vocabulary, problem)) for problem in asked)
    train, held_out = (folder / f"{name}.parquet" for name in drawn)
    return Exported(folder / "policy", folder / "prm", train, held_out, longest)


def write_models(task_name: str, policy: Qwen2ForCausalLM, prm: Learned, vocabulary: Vocabulary, folder: Path) -> None:
    """Write policy and PRM into folders of these names, and make sure that their tokenizers read as the vocabulary."""
    task = TASKS[task_name]
    tokenizer = make_tokenizer(vocabulary, policy.config.max_position_embeddings)
    policy.save_pretrained(folder / "policy")
    tokenizer.save_pretrained(folder / "policy")
    write_prm(prm, tokenizer, task.MAX_NEW_TOKENS, folder / "prm")
    rng = random.Random(0)
    made = [task.problem(rng) for _ in range(200)]
    texts = [text for p in made for text in (p.question, task.demonstration(p, rng), task.flawed(p, rng))]
    for name in ("policy", "prm"):
        check_tokenizer(folder / name, vocabulary, texts)
