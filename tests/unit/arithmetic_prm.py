# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A PRM without weights whose scores are known beforehand: it recomputes the equations of a step.

A step with a wrong equation scores 0.1, one with only right ones 0.9, one without any 0.5.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from verl_prpo.prm.families.base import Encoded, PrmFamily

EQUATION = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")
CONTEXT = 2000
"""Bytes."""


class ArithmeticPrm(PrmFamily):
    """Token ids are UTF-8 bytes; a read is the span of a step."""

    name = "arithmetic"
    max_context = CONTEXT

    @classmethod
    def load(
        cls, model_path: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool = False
    ) -> "ArithmeticPrm":
        return cls()

    def encode(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> Encoded:
        ids = list("".join(message["content"] for message in messages).encode())
        reads = []
        for segment in segments:
            reads.append((len(ids), len(ids) + len(segment.encode())))
            ids += list(segment.encode())
        return Encoded(ids, reads)

    def forward(self, batch: Sequence[Encoded]) -> list[list[float]]:
        return [[score(bytes(row.input_ids[begin:end]).decode()) for begin, end in row.reads] for row in batch]


def score(step: str) -> float:
    """The score of a step, whatever stands before it."""
    compute = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "/": int.__floordiv__}
    held = [compute[sign](int(a), int(b)) == int(c) for a, sign, b, c in EQUATION.findall(step)]
    return (0.9 if all(held) else 0.1) if held else 0.5


def model_folder(path: Path) -> Path:
    """A folder that passes for a model's."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps({"architectures": ["Arithmetic"], "model_type": "arithmetic"}))
    (path / "model.safetensors").write_bytes(b"")
    return path


def overrides(path: Path) -> list[str]:
    """Settings that choose this PRM."""
    return [
        f"++reward.prm.model_path={model_folder(path)}",
        f"++reward.prm.custom_family.path={__file__}",
        "++reward.prm.custom_family.name=ArithmeticPrm",
    ]
