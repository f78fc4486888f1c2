# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The toy task with a calculator: one call a step, and the answer from the last result.

    user       Start from 7 and work mod 10: (1) +5 (2) *3
    assistant  So (1) <tool_call>{"name": "calculate", "arguments": {"expression": "7+5"}}</tool_call>
    tool       12
    assistant  Next (2) <tool_call>{"name": "calculate", "arguments": {"expression": "2*3"}}</tool_call>
    tool       6
    assistant  The answer is \\boxed{6}

The calculator knows nothing of mod 10: the policy has to carry the last digit on.
"""

import random
import re
from collections.abc import Sequence

from task import CONNECTIVES, MODULUS, Problem, answer_line, make_problem
from tool import evaluate

CALL, CLOSE = '<tool_call>{"name": "calculate", "arguments": {"expression": "', '"}}</tool_call>'
MIN_STEPS, MAX_STEPS = 2, 3

_STEP = re.compile(rf"(?:{'|'.join(CONNECTIVES)}) \((\d)\) {re.escape(CALL)}(-?\d+)([+\-*])(\d){re.escape(CLOSE)}")
_ANSWER = re.compile(r"The answer is \\boxed{(\d)}")


def short_problem(rng: random.Random) -> Problem:
    """A random problem of two or three operations."""
    problem = make_problem(rng)
    return Problem(problem.start, problem.operations[: rng.randint(MIN_STEPS, MAX_STEPS)])


def conversation(problem: Problem, rng: random.Random, slips: float = 0.0) -> list[dict[str, str]]:
    """The messages after the question: calls, the calculator's answers, and the answer.

    Args:
        problem: what was asked.
        rng: chooses the connectives and the slips.
        slips: how often a wrong digit is carried on, from 0 to 1.
    """
    messages, value = [], problem.start
    for number, (op, n) in enumerate(problem.operations, 1):
        value = _carried(value, rng, slips)
        expression = f"{value}{op}{n}"
        messages.append(_says(f"{rng.choice(CONNECTIVES)} ({number}) {CALL}{expression}{CLOSE}"))
        result = evaluate(expression)
        messages.append({"role": "tool", "content": result})
        value = int(result)
    messages.append(_says(answer_line(_carried(value, rng, slips))))
    return messages


def judge(problem: Problem, turns: Sequence[tuple[str | None, str]]) -> list[bool]:
    """Whether each turn of the policy is right, given what it read before: a wrong one spoils none that follow.

    Args:
        problem: what was asked.
        turns: what the calculator said before each turn (None before the first), and what the policy said.
    """
    verdicts, due, value = [], 1, problem.start
    for heard, said in turns:
        if heard is not None and re.fullmatch(r"-?\d+", heard.strip()):
            value = int(heard) % MODULUS
        step, answered = _STEP.fullmatch(said.strip()), _ANSWER.fullmatch(said.strip())
        count = len(problem.operations)
        if step is not None and due <= count:
            op, n = problem.operations[due - 1]
            verdicts.append((int(step[1]), step[2], step[3], int(step[4])) == (due, str(value), op, n))
            due += 1
        else:
            verdicts.append(answered is not None and due > count and int(answered[1]) == value)
    return verdicts


def _carried(value: int, rng: random.Random, slips: float) -> int:
    return rng.randrange(MODULUS) if rng.random() < slips else value % MODULUS


def _says(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}
