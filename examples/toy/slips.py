# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Solutions with errors put in at chosen places, to train the toy PRM and to measure it.

After a slip the text goes on faithfully from what is written, so that only the slip itself is at fault. What exactly is
at fault in a slipped solution is not noted here: `task.check` says it of any text.
"""

import random

from task import MODULUS, Problem, answer_line, apply, step_line

STEP_SLIPS = ("wrong_result", "wrong_operand", "wrong_operation", "skipped_step", "repeated_step", "early_answer")
LAST_SLIPS = ("stopped_early", "jumped_to_answer", "extra_step", "wrong_box", "ran_on")
SLIPS = STEP_SLIPS + LAST_SLIPS


def random_plan(problem: Problem, rng: random.Random, rate: float) -> dict[int, str]:
    """Slips for some lines of a solution, each line drawn with probability `rate`.

    Returns:
        The kind of slip by the index of its line, as `slipped_solution` takes it.
    """
    count = len(problem.operations)
    plan = {line: rng.choice(STEP_SLIPS) for line in range(count) if rng.random() < rate}
    if rng.random() < rate:
        kind = rng.choice(LAST_SLIPS)
        plan[rng.randrange(count) if kind in ("stopped_early", "jumped_to_answer") else count] = kind
    return plan


def single_slip(problem: Problem, rng: random.Random, kind: str) -> dict[int, str]:
    """A plan with one slip of the given kind at a random line where it can be made."""
    count = len(problem.operations)
    if kind == "skipped_step":
        return {rng.randrange(count - 1): kind}
    if kind == "repeated_step":
        return {rng.randrange(1, count): kind}
    if kind in ("extra_step", "wrong_box", "ran_on"):
        return {count: kind}
    return {rng.randrange(count): kind}


def slipped_solution(problem: Problem, rng: random.Random, plan: dict[int, str]) -> str:
    """A solution that slips as planned and is otherwise faithful to its own text.

    Args:
        problem: what to solve.
        rng: chooses the connectives and how each slip comes out.
        plan: kind of slip (one of `SLIPS`) by index of its line. `extra_step`, `wrong_box` and `ran_on` concern the
            answer and have an index of `len(problem.operations)`, wherever the answer comes to stand.
    """
    count = len(problem.operations)
    due, value = 1, problem.start
    lines: list[str] = []
    while due <= count:
        slip = plan.get(len(lines))
        if slip == "stopped_early":
            return "\n".join(lines)
        if slip == "jumped_to_answer":
            return "\n".join([*lines, answer_line(value)])
        if slip == "early_answer":
            lines.append(answer_line(value))
        number = _slip_number(rng, slip, due, count)
        left = _other_digit(rng, value) if slip == "wrong_operand" else value
        op, n = problem.operations[number - 1]
        if slip == "wrong_operation":
            op, n = (op, _other_digit(rng, n)) if rng.random() < 0.5 else (rng.choice("+-*".replace(op, "")), n)
        result = apply(left, (op, n))
        if slip == "wrong_result":
            result = _other_digit(rng, result)
        lines.append(step_line(rng, number, left, (op, n), result))
        due, value = number + 1, result
    return "\n".join(lines + _ending(problem, rng, next((plan[i] for i in plan if i >= count), None), value))


def _slip_number(rng: random.Random, slip: str | None, due: int, count: int) -> int:
    """The number of the step written where step `due` belongs."""
    if slip == "skipped_step" and due < count:
        return rng.randint(due + 1, count)
    if slip == "repeated_step" and due > 1:
        return rng.randint(1, due - 1) if rng.random() < 0.5 else due - 1
    return due


def _ending(problem: Problem, rng: random.Random, slip: str | None, value: int) -> list[str]:
    """The lines after the last step."""
    count = len(problem.operations)
    number = rng.randint(1, count)
    operation = problem.operations[number - 1]
    extra = step_line(rng, number, value, operation, apply(value, operation))
    if slip == "extra_step":
        return [extra, answer_line(apply(value, operation))]
    if slip == "wrong_box":
        return [answer_line(_other_digit(rng, value))]
    if slip == "ran_on":
        return [answer_line(value), rng.choice((extra, answer_line(value)))]
    return [answer_line(value)]


def _other_digit(rng: random.Random, digit: int) -> int:
    return (digit + rng.randint(1, MODULUS - 1)) % MODULUS
