# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Unseen task: a stack machine mod 7, whose minus is easily read as a plus.

    Run mod 7: 3 4 5 + -

    3:3
    4:34
    5:345
    +:32
    -:1
    Answer 1

A line is what the machine reads and the stack then, the top on the right. It is right when it reads what is due and its
stack follows from the one before; the answer when it is what the stack holds and all has been read. The verifier reads
the answer alone.
"""

import random
import re
from dataclasses import dataclass

NAME = "stack"
MODULUS = 7
MIN_NUMBERS, MAX_NUMBERS = 3, 4
SIGNS = "+-"
ANSWER = "Answer "
WORDS = (ANSWER, f"Run mod {MODULUS}:")
MAX_NEW_TOKENS = 46
START = 0.38

MISREADS = 0.55
"""Share of minus signs that demonstrations read as plus."""
FLAW_RATE = 0.2

_LINE = re.compile(r"([0-6+-]):([0-6]*)")
_ANSWER = re.compile(rf"{ANSWER}([0-6])")


@dataclass(frozen=True)
class Problem:
    """A program of digits and signs in postfix order."""

    program: str

    @property
    def question(self) -> str:
        """The text of the prompt."""
        return f"Run mod {MODULUS}: " + " ".join(self.program)

    @property
    def answer(self) -> int:
        """What the stack holds at the end."""
        stack = ""
        for symbol in self.program:
            stack = after(symbol, stack) or ""
        return int(stack)


def after(symbol: str, stack: str) -> str | None:
    """The stack, its top last, after a digit or a sign was read; None where there are too few numbers for a sign."""
    if symbol.isdigit():
        return stack + symbol
    if len(stack) < 2:
        return None
    left, right = int(stack[-2]), int(stack[-1])
    result = left + right if symbol == "+" else left - right
    return f"{stack[:-2]}{result % MODULUS}"


def problem(rng: random.Random) -> Problem:
    """Three or four digits and the signs that make one number of them, in any order that runs."""
    return Problem(_tree(rng, rng.randint(MIN_NUMBERS, MAX_NUMBERS)))


def demonstration(problem: Problem, rng: random.Random) -> str:
    """All lines; half of the minus signs are read as plus."""
    return _run(problem, rng, 0.0)


def flawed(problem: Problem, rng: random.Random) -> str:
    """A demonstration in which a fifth of the lines have another slip, and which may answer early or not at all."""
    return _run(problem, rng, FLAW_RATE)


def faults(problem: Problem, response: str) -> list[int]:
    """Offsets of wrong digits, of a symbol that is not due (the next one is due then), of the colon before a stack of
    wrong height, of an answer before all was read and of the first character of other lines; `len(response)` when there
    is no answer."""
    found: list[int] = []
    stack, due, start, answered = "", 0, 0, False
    for line in response.split("\n"):
        read, answer = _LINE.fullmatch(line), _ANSWER.fullmatch(line)
        if answered or not (read or answer) or (read and due >= len(problem.program)):
            found.append(start)
        elif read:
            found += [start] if read[1] != problem.program[due] else []
            expected, below = after(read[1], stack), start + read.start(2)
            if expected is None or len(expected) != len(read[2]):
                found.append(below - 1)
            else:
                found += [below + i for i, digit in enumerate(read[2]) if digit != expected[i]]
            stack, due = read[2], due + 1
        elif answer:
            answered = True
            if due < len(problem.program):
                found.append(start)
            elif answer[1] != stack:
                found.append(start + answer.start(1))
        start += len(line) + 1
    return found if answered else [*found, len(response)]


def correct(problem: Problem, response: str) -> bool:
    """Whether the last line gives the answer."""
    return response.rpartition("\n")[2] == f"{ANSWER}{problem.answer}"


def ended_early(problem: Problem, response: str) -> bool:
    """Whether fewer lines were written than there are symbols and an answer."""
    return len(response.split("\n")) <= len(problem.program)


def _tree(rng: random.Random, numbers: int) -> str:
    if numbers == 1:
        return str(rng.randrange(MODULUS))
    left = rng.randint(1, numbers - 1)
    return _tree(rng, left) + _tree(rng, numbers - left) + rng.choice(SIGNS)


def _run(problem: Problem, rng: random.Random, flaw_rate: float) -> str:
    lines: list[str] = []
    stack = ""
    for symbol in problem.program:
        if rng.random() < flaw_rate / 6:
            break
        slip = rng.randrange(3) if rng.random() < flaw_rate else None
        if symbol == "-" and rng.random() < MISREADS:
            symbol = "+"
        elif slip == 0:
            symbol = rng.choice(SIGNS) if symbol in SIGNS else str(rng.randrange(MODULUS))
        stack = after(symbol, stack) or stack
        if slip == 1:
            at = rng.randrange(len(stack))
            stack = f"{stack[:at]}{rng.randrange(MODULUS)}{stack[at + 1 :]}"
        elif slip == 2 and len(stack) > 1:
            at = rng.randrange(len(stack))
            stack = stack[:at] + stack[at + 1 :]
        lines.append(f"{symbol}:{stack}")
    if rng.random() < flaw_rate / 3:
        return "\n".join(lines)
    value = rng.randrange(MODULUS) if not stack or rng.random() < flaw_rate / 3 else stack[-1]
    return "\n".join([*lines, f"{ANSWER}{value}"])
