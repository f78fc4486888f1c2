# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Check that the outcome scorers accept right answers: verl's own, and this package's (`math_verifier`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from verl_prpo.data.problems import Problem
from verl_prpo.data.templates import answer_in_form

Row = tuple[str, str, str]
"""The data source, the response and the ground truth."""


@dataclass(frozen=True)
class Acceptance:
    """What one scorer makes of responses that are right.

    Attributes:
        scorer: "verl" or "math_verifier".
        total: number of the responses.
        rejected: index of the problem, ground truth, and what the scorer read (None where it does not say).
    """

    scorer: str
    total: int
    rejected: list[tuple[int, str, str | None]]

    @property
    def share(self) -> float:
        """Share of the responses that score as correct, 1 when there are none."""
        return 1.0 - len(self.rejected) / self.total if self.total else 1.0


def of_solutions(problems: Sequence[Problem], data_source: str) -> list[Acceptance]:
    """Score the reference solutions, where there are any, with each scorer."""
    at = [index for index, problem in enumerate(problems) if problem.solution]
    return _judged(at, [(data_source, problems[i].solution, problems[i].answer) for i in at])


def of_answers(problems: Sequence[Problem], data_source: str, template: str) -> list[Acceptance]:
    """Score the ground truths, written as the template asks for them, with each scorer."""
    at = list(range(len(problems)))
    return _judged(at, [(data_source, answer_in_form(template, p.answer), p.answer) for p in problems])


def _judged(at: Sequence[int], rows: Sequence[Row]) -> list[Acceptance]:
    scorers: dict[str, Callable[[Sequence[Row]], list[tuple[bool, str | None]]]] = {
        "verl": _by_verl,
        "math_verifier": _by_math_verifier,
    }
    found = []
    for scorer, judge in scorers.items():
        verdicts = zip(at, rows, judge(rows), strict=True)
        rejected = [(index, truth, read) for index, (_, _, truth), (correct, read) in verdicts if not correct]
        found.append(Acceptance(scorer, len(rows), rejected))
    return found


def _by_verl(rows: Sequence[Row]) -> list[tuple[bool, str | None]]:
    """Score by the function that verl's reward managers call. It gives a number, or a dict with one as "score"."""
    from verl.utils.reward_score import default_compute_score

    verdicts: list[tuple[bool, str | None]] = []
    for row in rows:
        score = default_compute_score(*row)
        read = score.get("pred") if isinstance(score, dict) else None
        verdicts.append((float(score["score"] if isinstance(score, dict) else score) == 1.0, read))
    return verdicts


def _by_math_verifier(rows: Sequence[Row]) -> list[tuple[bool, str | None]]:
    from verl_prpo.outcome.scorer import score_answers

    return [(verdict.correct, verdict.answer) for verdict in score_answers(list(rows))]
