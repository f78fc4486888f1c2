# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Build everything the toy task needs, from a seed and nothing else:

    python examples/toy/build.py --out DIR

writes

    DIR/policy/        a tiny Qwen2 policy and its tokenizer, right on about a quarter of the problems at temperature 1
    DIR/prm/           its process reward model, a likelihood PRM (prm.py)
    DIR/train.parquet  problems to train on, in verl's format
    DIR/val.parquet    held-out problems; no model here has been trained on them
    DIR/summary.json   what was measured, printed at the end

in four to five minutes on one CPU core. A second call finds all of it and does nothing. A part is built again when the
settings or the code it is made with change; `stamps/` in DIR tells. A part that was interrupted leaves nothing behind.
"""

import argparse
import hashlib
import json
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from policy import accuracy, outcomes, sample, train_policy
from prm import ToyLikelihoodFamily
from prm_training import train_prm
from task import Problem, distinct_problems, solution
from tokenizer import check_reload, make_tokenizer, prompt_text
from transformers import AutoModelForCausalLM
from transformers.utils import logging

DATA_SOURCE = "toy_chained_arithmetic"
_POLICY_MODULES = ("task", "tokenizer", "reward", "policy")
MODULES = {
    "train.parquet": ("task",),
    "val.parquet": ("task",),
    "policy": _POLICY_MODULES,
    "prm": (*_POLICY_MODULES, "slips", "prm", "prm_training"),
}
"""The modules that each part is made with."""


@dataclass(frozen=True)
class Settings:
    """What the build depends on in addition to its code."""

    seed: int = 1
    """Of everything random."""
    train_problems: int = 4096
    """Rows of train.parquet."""
    val_problems: int = 320
    """Rows of val.parquet."""
    target: float = 0.23
    """Accuracy at temperature 1 at which the policy's training stops."""
    max_policy_steps: int = 1200
    """Steps after which the policy's training gives up on the target."""
    prm_steps: int = 400
    """Steps by which the PRM's trunk is trained beyond the policy."""
    prm_responses: int = 600
    """Responses of each kind (sampled, slipped) to fit the PRM's link to, and again to measure it on."""


def main() -> None:
    """Build what is missing or out of date, then print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument("--seed", type=int, default=Settings.seed, help="of everything random (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    print(json.dumps(build(arguments.out, Settings(seed=arguments.seed)), indent=2))


def build(out: Path, settings: Settings) -> dict:
    """Build what is missing or out of date in `out`; returns the summary."""
    rng = random.Random(settings.seed)
    problems = distinct_problems(rng)
    val = list(islice(problems, settings.val_problems))
    train = list(islice(problems, settings.train_problems))
    held_out = frozenset(problem.question for problem in val)

    def build_policy(path: Path) -> dict:
        tokenizer = make_tokenizer()
        policy = train_policy(tokenizer, settings.seed, settings.target, settings.max_policy_steps, held_out)
        policy.save_pretrained(path)
        tokenizer.save_pretrained(path)
        check_reload(path, tokenizer, [prompt_text(tokenizer, p.question) + solution(p, rng) for p in val])
        return _policy_summary(policy, tokenizer, val)

    def build_prm(path: Path) -> dict:
        tokenizer = make_tokenizer()
        policy = AutoModelForCausalLM.from_pretrained(out / "policy", dtype=torch.float32)
        family, report = train_prm(
            policy, tokenizer, settings.seed + 1, settings.prm_steps, settings.prm_responses, held_out
        )
        family.model.save_pretrained(path)
        tokenizer.save_pretrained(path)
        ToyLikelihoodFamily.load(str(path), device=torch.device("cpu"), dtype=torch.float32)
        return _rounded(asdict(report))

    summary = {
        "train.parquet": _part(out, "train.parquet", settings, lambda path: write_parquet(path, train, "train")),
        "val.parquet": _part(out, "val.parquet", settings, lambda path: write_parquet(path, val, "val")),
        "policy": _part(out, "policy", settings, build_policy),
        "prm": _part(out, "prm", settings, build_prm),
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def write_parquet(path: Path, problems: list[Problem], split: str) -> dict:
    """Write problems as a data set for verl; returns its number of rows."""
    rows = [
        {
            "data_source": DATA_SOURCE,
            "prompt": [{"role": "user", "content": problem.question}],
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": problem.answer},
            "extra_info": {"split": split, "index": index},
        }
        for index, problem in enumerate(problems)
    ]
    pd.DataFrame(rows).to_parquet(path)
    return {"rows": len(rows)}


def _part(out: Path, name: str, settings: Settings, make: Callable[[Path], dict]) -> dict:
    """Make `out/name` unless it is there, made with these settings and this code; returns the part's summary."""
    stamp = out / "stamps" / f"{name}.json"
    made_with = _digest(settings, MODULES[name])
    target = out / name
    if target.exists() and stamp.exists():
        known = json.loads(stamp.read_text())
        if known["made_with"] == made_with:
            print(f"{target} is up to date")
            return known["summary"]
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    unfinished = out / f"unfinished-{name}"
    _remove(unfinished)
    started = time.monotonic()
    summary = make(unfinished) | {"seconds": round(time.monotonic() - started)}
    _remove(target)
    unfinished.rename(target)
    stamp.write_text(json.dumps({"made_with": made_with, "summary": summary}))
    return summary


def _digest(settings: Settings, modules: Sequence[str]) -> str:
    """A hash of the settings and of the code of modules beside this file."""
    code = [(Path(__file__).parent / f"{module}.py").read_bytes() for module in modules]
    return hashlib.sha256(b"\0".join([json.dumps(asdict(settings)).encode(), *code])).hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _policy_summary(policy, tokenizer, problems: list[Problem]) -> dict:
    """Accuracy on the held-out problems, and the share of groups of 8 that hold both right and wrong answers."""
    torch.manual_seed(0)
    groups = outcomes(problems, sample(policy, tokenizer, problems, n=8))
    return _rounded(
        {
            "parameters": policy.num_parameters(),
            "accuracy_at_temperature_1": sum(map(sum, groups)) / (8 * len(groups)),
            "accuracy_greedy": accuracy(policy, tokenizer, problems, temperature=0.0),
            "mixed_groups_of_8": sum(0 < sum(group) < 8 for group in groups) / len(groups),
        }
    )


def _rounded(figures: Any) -> Any:
    if isinstance(figures, dict):
        return {name: _rounded(figure) for name, figure in figures.items()}
    return round(figures, 3) if isinstance(figures, float) else figures


if __name__ == "__main__":
    main()
