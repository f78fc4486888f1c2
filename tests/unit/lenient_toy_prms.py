# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""PRMs of the toy task in pairs: one that judges every token, and one that passes over the tokens in which a policy
decides what to write next: newlines, the first token of a line, and the end of the response.

`ToyOracle` and `LenientToyOracle` have no weights and ask the exact checker of the task, examples/toy/task.py.
`LenientToyLikelihoodFamily` is the likelihood PRM of examples/toy/prm.py with those tokens left unjudged.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

TOY = Path(__file__).resolve().parents[2] / "examples" / "toy"
sys.path.insert(0, str(TOY))

from prm import ToyLikelihoodFamily  # noqa: E402
from task import Problem, faults  # noqa: E402

from verl_prpo.prm.families.base import Encoded, PrmFamily  # noqa: E402


class ToyOracle(PrmFamily):
    """Scores a segment 1 when the checker finds no fault in it, else 0; token ids are bytes of prompt and response."""

    name = "toy_oracle"
    max_context = 4096
    lenient = False

    @classmethod
    def load(
        cls, model_path: str, *, device: torch.device, dtype: torch.dtype, trust_remote_code: bool = False
    ) -> "ToyOracle":
        return cls()

    def encode(self, messages: Sequence[dict[str, Any]], segments: Sequence[str]) -> Encoded:
        question = messages[-1]["content"].encode()
        ends = [sum(map(len, segments[: i + 1])) for i in range(len(segments))]
        spans = list(zip([0, *ends[:-1]], ends, strict=True))
        return Encoded([*question, *"".join(segments).encode()], [(len(question), span) for span in spans])

    def forward(self, batch: Sequence[Encoded]) -> list[list[float]]:
        return [self._scores(row) for row in batch]

    def _scores(self, row: Encoded) -> list[float]:
        prompt = row.reads[0][0]
        question, response = bytes(row.input_ids[:prompt]).decode(), bytes(row.input_ids[prompt:]).decode()
        wrong = [fault for fault in faults(Problem.parse(question), response) if self._judges(response, fault)]
        spans = [span for _, span in row.reads]
        spans[-1] = (spans[-1][0], len(response) + 1)
        return [float(not any(begin <= fault < end for fault in wrong)) for begin, end in spans]

    def _judges(self, response: str, fault: int) -> bool:
        return True


class LenientToyOracle(ToyOracle):
    """The same but for newlines, the first character of a line, and the end."""

    name = "lenient_toy_oracle"

    def _judges(self, response: str, fault: int) -> bool:
        return 0 < fault < len(response) and "\n" not in response[fault - 1 : fault + 1]


class LenientToyLikelihoodFamily(ToyLikelihoodFamily):
    """The likelihood PRM with newlines, the first token of each line and the end left out of its evidence."""

    name = "lenient_toy_likelihood"

    def evidence(self, batch: Sequence[Encoded]) -> list[list[float]]:
        """The lowest log-probability among the tokens of each segment that are judged; 0 where none is."""
        responses = [range(row.reads[0][0], len(row.input_ids)) for row in batch]
        of_tokens = super().evidence(
            [Encoded(row.input_ids, [(i, i + 1) for i in own]) for row, own in zip(batch, responses, strict=True)]
        )
        return [
            [
                min([0.0, *(values[i - own.start] for i in range(begin, end) if self._judges(row.input_ids, own, i))])
                for begin, end in row.reads
            ]
            for row, own, values in zip(batch, responses, of_tokens, strict=True)
        ]

    def _judges(self, ids: Sequence[int], response: range, i: int) -> bool:
        newline = self.tokenizer("\n", add_special_tokens=False).input_ids[0]
        heads_line = i == response.start or ids[i - 1] == newline
        return not heads_line and ids[i] != newline and i != response.stop - 1
