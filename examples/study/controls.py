# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""PRMs that know nothing, or the reverse of the truth: what a rule must not believe."""

import hashlib
from collections.abc import Callable, Sequence

from study.prms import Oracle, Prm, Response, Spans
from study.tasks import Task


class Random:
    """A uniform score in [0, 1), the same whenever it sees the same text."""

    def scores(self, responses: Sequence[Response], spans: Sequence[Spans]) -> list[list[float]]:
        return [[_chance(r, b, e) for b, e in cut] for r, cut in zip(responses, spans, strict=True)]


class Reversed:
    """0 for a segment without fault, 1 for another."""

    def scores(self, responses: Sequence[Response], spans: Sequence[Spans]) -> list[list[float]]:
        return [[1.0 - score for score in row] for row in Oracle().scores(responses, spans)]


CONTROLS: dict[str, Callable[[Task], Prm]] = {"random": lambda task: Random(), "reversed": lambda task: Reversed()}
"""By name."""


def _chance(response: Response, begin: int, end: int) -> float:
    seen = (response.problem.question, response.text[: response.offsets[end]], begin)
    return int.from_bytes(hashlib.blake2b(repr(seen).encode(), digest_size=4).digest(), "big") / 2**32
