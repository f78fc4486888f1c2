# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Verdicts on responses: the scorer of training, or the user's own reward function."""

import hashlib
import importlib.util
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from verl_prpo.evaluation import EvaluationError
from verl_prpo.evaluation.problems import EvaluationProblem
from verl_prpo.outcome.extract import final_answer
from verl_prpo.outcome.scorer import Verdict

RIGHT_FROM = 0.5
"""Least reward of a user's function that counts as right."""


class Scorer(Protocol):
    """Judges responses."""

    @property
    def name(self) -> str:
        """What an evaluation notes, so that verdicts of different scorers are not mixed."""

    def check(self, problem: EvaluationProblem) -> None:
        """Refuse a problem that it cannot score.

        Raises:
            EvaluationError: says why.
        """

    def __call__(self, pairs: Sequence[tuple[EvaluationProblem, str]]) -> list[Verdict]:
        """A verdict for each problem and response."""


@dataclass(frozen=True)
class TrainingScorer:
    """The outcome scorer that training rewards with."""

    name: str = "verl_prpo.outcome"

    def check(self, problem: EvaluationProblem) -> None:
        """Its ground truths are text."""
        if not isinstance(problem.ground_truth, str):
            raise EvaluationError(
                f"problem {problem.index} of {problem.data_source}: its ground truth is no text but "
                f"{problem.ground_truth!r}; score it with your own --reward-function"
            )

    def __call__(self, pairs: Sequence[tuple[EvaluationProblem, str]]) -> list[Verdict]:
        """A verdict for each problem and response."""
        from verl_prpo.outcome.scorer import score_answers

        return score_answers([(problem.data_source, text, problem.ground_truth) for problem, text in pairs])


@dataclass(frozen=True)
class FunctionScorer:
    """A function of verl's custom_reward_function, called with data_source, solution_str, ground_truth, extra_info.

    It gives a number or a dict with `score`. Right is an `acc`, else a `score`, of at least `RIGHT_FROM`. The answer is
    its `pred`, else what the response's last box holds.
    """

    name: str
    function: Callable[..., Any]

    def check(self, problem: EvaluationProblem) -> None:
        """It may take any."""

    def __call__(self, pairs: Sequence[tuple[EvaluationProblem, str]]) -> list[Verdict]:
        """A verdict for each problem and response.

        Raises:
            EvaluationError: the function raises, or gives neither a number nor a dict with one.
        """
        return [self._verdict(problem, text) for problem, text in pairs]

    def _verdict(self, problem: EvaluationProblem, text: str) -> Verdict:
        arguments = {
            "data_source": problem.data_source,
            "solution_str": text,
            "ground_truth": problem.ground_truth,
            "extra_info": problem.extra_info,
        }
        where = f"--reward-function {self.name}, problem {problem.index} of {problem.data_source}"
        try:
            given = self.function(**arguments)
        except Exception as error:
            raise EvaluationError(f"{where}: {type(error).__name__}: {error}") from error
        parts = given if isinstance(given, dict) else {"score": given}
        value = parts.get("acc", parts.get("score"))
        try:
            right = float(value) >= RIGHT_FROM  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise EvaluationError(f"{where}: gives {given!r} where a number or a dict with score belongs") from error
        answer = parts.get("pred")
        return Verdict(
            right, final_answer(problem.data_source, text) if answer is None else str(answer), "reward_function"
        )


def load_function(named: str) -> FunctionScorer:
    """Load PATH:NAME, or PATH alone for its compute_score.

    Raises:
        EvaluationError: no such file or function, or a file that fails when it runs.
    """
    path, _, name = named.rpartition(":") if ":" in named else (named, "", "compute_score")
    file = Path(path).expanduser()
    if not file.is_file():
        raise EvaluationError(f"--reward-function {named}: no file {file}")
    spec = importlib.util.spec_from_file_location(f"verl_prpo_reward_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise EvaluationError(f"--reward-function {named}: {file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise EvaluationError(f"--reward-function {named}: {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        there = ", ".join(n for n, f in vars(module).items() if inspect.isfunction(f) and not n.startswith("_"))
        raise EvaluationError(f"--reward-function {named}: no function {name} in {file}; it has {there or 'none'}")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:10]
    return FunctionScorer(f"{file.name}:{name} ({digest})", function)
