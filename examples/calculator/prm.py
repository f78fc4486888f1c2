# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A PRM of the calculator task without weights: the exact checker, one verdict a turn.

    reward.prm.custom_family.path=examples/calculator/prm.py reward.prm.custom_family.name=CalculatorChecker

It shows what a family of your own gets of a conversation: `encode_turns` with what the policy said and what it heard.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "toy")]

from talk import judge  # noqa: E402
from task import Problem  # noqa: E402

from verl_prpo.prm.conversation import Step  # noqa: E402
from verl_prpo.prm.families.base import Encoded, PrmFamily  # noqa: E402

RIGHT, WRONG = 0.95, 0.05


class CalculatorChecker(PrmFamily):
    """Scores a turn 0.95 when it is right given what came before it, else 0.05."""

    name: ClassVar[str] = "calculator_checker"
    max_context = 1 << 16

    @classmethod
    def load(
        cls, model_path: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool = False
    ) -> "CalculatorChecker":
        return cls()

    def encode(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> Encoded:
        return self.encode_turns(messages, [[segment] for segment in segments])

    def encode_turns(self, messages: Sequence[dict[str, Any]], steps: Sequence[Step]) -> Encoded:
        turns = [(_heard(step), "".join(part for part in step if isinstance(part, str))) for step in steps]
        verdicts = judge(Problem.parse(messages[-1]["content"]), turns)
        return Encoded(list(repr((messages, steps)).encode()), [RIGHT if right else WRONG for right in verdicts])

    def forward(self, batch: Sequence[Encoded]) -> list[list[float]]:
        return [list(encoded.reads) for encoded in batch]


def _heard(step: Step) -> str | None:
    heard = [part["content"] for part in step if isinstance(part, Mapping)]
    return heard[-1] if heard else None
