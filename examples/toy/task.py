# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The toy task: chained arithmetic modulo 10, with a worked solution of one line a step.

A problem is a start value and three to five operations, and its answer is the last value:

    Start from 7 and work mod 10: (1) +5 (2) *3 (3) -4

    So (1) 7+5=2
    Next (2) 2*3=6
    Then (3) 6-4=2
    The answer is \\boxed{2}

The word at the head of a line is a free choice of four, so a policy's entropy is high where a step begins; everything
else is determined. That makes the task small enough for a laptop and still one in which process supervision means
something: each character of a response can be checked exactly.

`check` judges a response line by line and *locally*: a line is compared with the text before it as it stands, so a
faithful step after a wrong one is right, and only the place of the slip is at fault. The rules for text that has
already gone wrong:

* the left operand of a step must be the result on the line before, right or wrong;
* after step (j), whichever it should have been, step (j + 1) is due, and after the last step nothing but the answer;
* the result must follow from the equation as written;
* stopping is right only after the answer line, and the answer line only once the last step has been written.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

MODULUS = 10
CONNECTIVES = ("So", "Now", "Then", "Next")
ANSWER = "The answer is "
MIN_STEPS, MAX_STEPS = 3, 5

_QUESTION = re.compile(r"Start from (\d) and work mod 10:((?: \(\d\) [+\-*]\d)+)")
_OPERATION = re.compile(r"\((\d)\) ([+\-*])(\d)")
_STEP = re.compile(rf"(?:{'|'.join(CONNECTIVES)}) \((\d)\) (\d)([+\-*])(\d)=(\d)")
_ANSWER = re.compile(rf"{ANSWER}\\boxed{{(\d)}}")

Operation = tuple[str, int]


@dataclass(frozen=True)
class Problem:
    """A start value in [0, 10) and the operations to apply to it, in order."""

    start: int
    operations: tuple[Operation, ...]

    @property
    def question(self) -> str:
        """The text of the user's message."""
        listed = " ".join(f"({i}) {op}{n}" for i, (op, n) in enumerate(self.operations, 1))
        return f"Start from {self.start} and work mod {MODULUS}: {listed}"

    @property
    def values(self) -> list[int]:
        """The start value and the value after each operation: `len(operations) + 1` digits."""
        values = [self.start]
        for operation in self.operations:
            values.append(apply(values[-1], operation))
        return values

    @property
    def answer(self) -> str:
        """The digit that belongs into the box."""
        return str(self.values[-1])

    @classmethod
    def parse(cls, question: str) -> "Problem":
        """The problem that a question states.

        Raises:
            ValueError: if the text is not a question of this task.
        """
        found = _QUESTION.fullmatch(question)
        if found is None:
            raise ValueError(f"not a question of the toy task: {question!r} (see Problem.question for the form)")
        operations = tuple((op, int(n)) for _, op, n in _OPERATION.findall(found[2]))
        return cls(int(found[1]), operations)


def apply(value: int, operation: Operation) -> int:
    """The value after one operation, modulo 10."""
    op, n = operation
    return {"+": value + n, "-": value - n, "*": value * n}[op] % MODULUS


def make_problem(rng: random.Random, exclude: frozenset[str] = frozenset()) -> Problem:
    """A random problem whose question is not in `exclude`: 3 to 5 operations, terms from 1 to 9, factors 2 and 3."""
    while True:
        operations = []
        for _ in range(rng.randint(MIN_STEPS, MAX_STEPS)):
            op = rng.choices("+-*", weights=(4, 4, 2))[0]
            operations.append((op, rng.choice((2, 3)) if op == "*" else rng.randint(1, 9)))
        problem = Problem(rng.randint(0, 9), tuple(operations))
        if problem.question not in exclude:
            return problem


def distinct_problems(rng: random.Random, exclude: frozenset[str] = frozenset()) -> Iterator[Problem]:
    """Endless problems whose questions differ from one another and from those in `exclude`."""
    seen: set[str] = set()
    while True:
        problem = make_problem(rng, exclude)
        if problem.question not in seen:
            seen.add(problem.question)
            yield problem


def solution(problem: Problem, rng: random.Random) -> str:
    """A right response; only the connectives are chosen by `rng`."""
    values = problem.values
    lines = [
        step_line(rng, i, values[i - 1], operation, values[i]) for i, operation in enumerate(problem.operations, 1)
    ]
    return "\n".join([*lines, answer_line(values[-1])])


def step_line(rng: random.Random, number: int, left: int, operation: Operation, result: int) -> str:
    """One line of a solution, headed by a connective that `rng` chooses."""
    op, n = operation
    return f"{rng.choice(CONNECTIVES)} ({number}) {left}{op}{n}={result}"


def answer_line(value: int) -> str:
    """The line that closes a solution."""
    return f"{ANSWER}\\boxed{{{value}}}"


@dataclass(frozen=True)
class Line:
    """A line of a response and its verdict.

    Attributes:
        text: the line, without its newline.
        start: offset of its first character in the response.
        faults: offsets *in the response* of the characters that are wrong, ascending. The offset of the line's end
            stands for what follows it: the newline, or on the last line the decision to stop.
    """

    text: str
    start: int
    faults: tuple[int, ...]

    @property
    def right(self) -> bool:
        """Whether nothing in the line, nor what ends it, is at fault."""
        return not self.faults


def check(problem: Problem, response: str) -> list[Line]:
    """Judge every line of a response by the rules in the module's docstring.

    A line in no known form is at fault from its first unexpected character and does no step: the next line is judged as
    if it were not there.
    """
    texts = response.split("\n")
    due, value, start, lines = 1, problem.start, 0, []
    for i, text in enumerate(texts):
        step, answered = _STEP.fullmatch(text), _ANSWER.fullmatch(text)
        all_done = due > len(problem.operations)
        faults: list[int] = []
        if step:
            faults, value, due = _check_step(problem, step, due, value)
        elif answered:
            faults = [] if all_done else [0]
            faults += [] if int(answered[1]) == value else [answered.start(1)]
        else:
            faults = [_first_difference(problem, text, due, value)]
        finished = bool(answered) and all_done
        if finished != (i == len(texts) - 1):
            faults.append(len(text))
        lines.append(Line(text, start, tuple(sorted({start + fault for fault in faults}))))
        start += len(text) + 1
    return lines


def faults(problem: Problem, response: str) -> list[int]:
    """Offsets of all wrong characters of a response, ascending; `len(response)` stands for stopping too early."""
    return [fault for line in check(problem, response) for fault in line.faults]


def _check_step(problem: Problem, step: re.Match[str], due: int, value: int) -> tuple[list[int], int, int]:
    """Faults within a well-formed step line, the value after it and the number of the step due next."""
    number, left, op, n, result = int(step[1]), int(step[2]), step[3], int(step[4]), int(step[5])
    count, at = len(problem.operations), step.start
    faults = [0] if due > count else []
    if not 1 <= number <= count:
        return faults + list(range(at(1), step.end())), value, due
    want_op, want_n = problem.operations[number - 1]
    verdicts = (
        (number == due, at(1)),
        (left == value, at(2)),
        (op == want_op, at(3)),
        (n == want_n, at(4)),
        (result == apply(left, (op, n)), at(5)),
    )
    return faults + [offset for right, offset in verdicts if not right], result, due if due > count else number + 1


def _first_difference(problem: Problem, text: str, due: int, value: int) -> int:
    """Offset at which a malformed line leaves the line that was due."""
    if due > len(problem.operations):
        expected = answer_line(value)
    else:
        word = next((word for word in CONNECTIVES if text.startswith(word)), CONNECTIVES[0])
        op, n = problem.operations[due - 1]
        expected = f"{word} ({due}) {value}{op}{n}={apply(value, (op, n))}"
    differing = (i for i, (a, b) in enumerate(zip(text, expected, strict=False)) if a != b)
    return next(differing, min(len(text), len(expected)))
