# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Do tiny models of all families give on the device the scores that they give on the CPU in float32?"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from record import Record
from tiny_causal_prms import implicit_pair, label_token_prm, math_shepherd, rlhflow_prm
from tiny_head_prms import skywork_prm, token_classification_prm
from tiny_models import instruct_model, qwen_math_prm

from verl_prpo.prm.families import BUILT_IN, register_built_in_families
from verl_prpo.prm.families.registry import FAMILIES

TINY: dict[str, Callable[[Path], Path]] = {
    "qwen_math_prm": qwen_math_prm,
    "skywork_prm": skywork_prm,
    "token_classification": token_classification_prm,
    "label_token": label_token_prm,
    "math_shepherd": math_shepherd,
    "rlhflow_prm": rlhflow_prm,
    "implicit_prm": lambda path: implicit_pair(path)[0],
    "zero_shot_judge": instruct_model,
}
"""What makes a tiny model of each family: the tests' own."""
OPTIONS = {"label_token": {"tag": " \n\n\n\n", "step": "{step}{tag}"}}
"""What a family cannot do without, as in the tests."""
WITHOUT_WEIGHTS = "generated_verdicts"
"""The family of judges at a server: it reads no weights here."""
QUESTION = ({"role": "user", "content": "What is (17 + 60) / 7?"},)
STEPS = ("First we add: 77.\n", "Then we divide by 7.\n", "It is 首先 11 😀.\n", "So the answer is 11.")

BOUNDS = {torch.float32: 0.001, torch.bfloat16: 0.2}
"""Most by which a score may differ, in standard deviations of the family's prior. The weights of the tiny models are
large, so bfloat16 moves their scores more than those of trained models."""


def measure(record: Record) -> None:
    """For each family and dtype the largest difference, in standard deviations of the family's prior."""
    register_built_in_families()
    for name in sorted(BUILT_IN):
        if name == WITHOUT_WEIGHTS:
            record.skip(name, "a judge at a server, which reads no weights here")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            folder = TINY[name](Path(scratch) / name)
            options = dict(OPTIONS.get(name, {}))
            if name == "implicit_prm":
                options = {"reference_model_path": str(folder.parent / "reference")}
            on_cpu, spread = _scores(name, folder, torch.device("cpu"), torch.float32, options)
            for dtype, bound in BOUNDS.items():
                here, _ = _scores(name, folder, record.device, dtype, options)
                worst = max(abs(a - b) for a, b in zip(here, on_cpu, strict=True)) / spread
                record.row(f"{name} in {str(dtype).removeprefix('torch.')}", worst, "prior deviations", most=bound)


def _scores(
    name: str, folder: Path, device: torch.device, dtype: torch.dtype, options: dict[str, Any]
) -> tuple[list[float], float]:
    family = FAMILIES[name].load(str(folder), device=device, dtype=dtype, **options)
    rows = [family.encode(QUESTION, STEPS[:count]) for count in range(1, len(STEPS) + 1)]  # of several lengths
    with torch.inference_mode():
        return [score for row in family.forward(rows) for score in row], family.prior_std
