# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Unseen task: a circuit of named gates, whose answer is two bits and so right now and then for no good reason.

    Circuit: a1 b0 c1 a+b=d d*c=e -b=f e+d=g

    a1+b0=d1
    d1*c1=e1
    -b0=f1
    e1+d1=g1
    Answer 11

The signs are those of Boolean algebra: + or, * and, - not. A line gives the value of a gate. Gates may come in any
order in which their inputs are known, and what the last two gates do not need may be left out. A line is right when its
gate is there and has no value yet, its inputs have the values that the text gives them, and its result holds; the
answer when it holds the values of the last two gates. The verifier reads the answer alone.
"""

import random
import re
from dataclasses import dataclass

NAME = "circuit"
INPUTS, GATES = "abc", "defgh"
MIN_GATES, MAX_GATES = 4, 5
ANSWER = "Answer "
WORDS = (ANSWER, "Circuit:")
MAX_NEW_TOKENS = 56
START = 0.45

MISTAKES = 0.6
"""How often demonstrations take 1+1 for 0."""
LEAVES_OUT = 0.3
"""How often demonstrations leave out a gate that is not needed."""
FLAW_RATE = 0.25

_NAMES = INPUTS + GATES
_LINE = re.compile(rf"(?:([{_NAMES}])([01])([+*])|(-))([{_NAMES}])([01])=([{GATES}])([01])")
_ANSWER = re.compile(rf"{ANSWER}([01])([01])")
Gate = tuple[str, str, str]
"""Left input, sign, right input; a not has no left one."""


@dataclass(frozen=True)
class Problem:
    """Values of the inputs, and gates that have names in order."""

    inputs: tuple[int, ...]
    gates: tuple[Gate, ...]

    @property
    def question(self) -> str:
        """The text of the prompt."""
        given = [f"{name}{value}" for name, value in zip(INPUTS, self.inputs, strict=True)]
        return " ".join(["Circuit:", *given, *(f"{''.join(gate)}={name}" for name, gate in self.named.items())])

    @property
    def named(self) -> dict[str, Gate]:
        """Gates by name."""
        return dict(zip(GATES, self.gates, strict=False))

    @property
    def known(self) -> dict[str, int]:
        """Values of the inputs by name."""
        return dict(zip(INPUTS, self.inputs, strict=True))

    @property
    def asked(self) -> str:
        """Names of the two gates that are asked for."""
        return GATES[len(self.gates) - 2 : len(self.gates)]

    @property
    def answer(self) -> str:
        """Values of the gates that are asked for."""
        values = self.known
        for name, (left, sign, right) in self.named.items():
            values[name] = result(values.get(left), sign, values[right])
        return "".join(str(values[name]) for name in self.asked)

    @property
    def needed(self) -> set[str]:
        """Names of the gates that those asked for depend on, themselves included."""
        found, new = set(), set(self.asked)
        while new:
            found |= new
            new = {name for gate in new for name in self.named[gate][::2] if name in self.named} - found
        return found


def result(left: int | None, sign: str, right: int) -> int:
    """Value of a gate of the values of its inputs."""
    if left is None:
        return 1 - right
    return left | right if sign == "+" else left & right


def problem(rng: random.Random) -> Problem:
    """Three inputs, and four to six gates, each of which takes up one of the last two values before it."""
    count = rng.randint(MIN_GATES, MAX_GATES)
    names = INPUTS + GATES[:count]
    gates = []
    for at in range(len(INPUTS), len(names)):
        recent = rng.randint(at - 2, at - 1)
        other = rng.choice([i for i in range(at) if i != recent])
        sign = rng.choice("++++**-")
        pair = [names[recent], names[other]]
        rng.shuffle(pair)
        gates.append(("", sign, names[recent]) if sign == "-" else (pair[0], sign, pair[1]))
    return Problem(tuple(rng.randint(0, 1) for _ in INPUTS), tuple(gates))


def demonstration(problem: Problem, rng: random.Random) -> str:
    """Gates in order, some of those that are not needed left out; 1+1 is often taken for 0."""
    return _evaluated(problem, rng, 0.0)


def flawed(problem: Problem, rng: random.Random) -> str:
    """A demonstration in which a quarter of the lines have another slip, and which may answer early or not at all."""
    return _evaluated(problem, rng, FLAW_RATE)


def faults(problem: Problem, response: str) -> list[int]:
    """Offsets of wrong values and results; of a gate's name where it is not there or has a value; of the first
    character of a line whose inputs or sign are not the gate's or have no value, of an answer before its gates, of
    lines in no known form or after the answer; `len(response)` when there is no answer."""
    found: list[int] = []
    values, start, answered = problem.known, 0, False
    for line in response.split("\n"):
        gate, answer = _LINE.fullmatch(line), _ANSWER.fullmatch(line)
        if answered or not (gate or answer):
            found.append(start)
        elif gate:
            found += [start + offset for offset in _faults_of_gate(problem, gate, values)]
            values[gate[7]] = int(gate[8])
        elif answer:
            answered = True
            asked = [values.get(name) for name in problem.asked]
            if None in asked:
                found.append(start)
            else:
                found += [start + answer.start(1 + i) for i in range(2) if int(answer[1 + i]) != asked[i]]
        start += len(line) + 1
    return found if answered else [*found, len(response)]


def correct(problem: Problem, response: str) -> bool:
    """Whether the last line gives the answer."""
    return response.rpartition("\n")[2] == f"{ANSWER}{problem.answer}"


def ended_early(problem: Problem, response: str) -> bool:
    """Whether a gate that is needed has no line."""
    return not problem.needed <= {line[-2] for line in response.split("\n") if _LINE.fullmatch(line)}


def _faults_of_gate(problem: Problem, gate: re.Match[str], values: dict[str, int]) -> list[int]:
    found = []
    left, sign, right, name = gate[1] or "", gate[3] or gate[4], gate[5], gate[7]
    if name in problem.named and ((left, sign, right) != problem.named[name] or not {left, right} <= {"", *values}):
        found.append(0)
    else:
        inputs = ((2, left), (6, right))
        found += [gate.start(group) for group, of in inputs if of in values and int(gate[group]) != values[of]]
    found += [gate.start(7)] if name not in problem.named or name in values else []
    holds = int(gate[8]) == result(int(gate[2]) if left else None, sign, int(gate[6]))
    return found if holds else [*found, gate.start(8)]


def _evaluated(problem: Problem, rng: random.Random, flaw_rate: float) -> str:
    lines: list[str] = []
    values = problem.known
    needed = problem.needed
    for name, (left, sign, right) in problem.named.items():
        if rng.random() < flaw_rate / 10:
            break
        if not {left, right} <= {"", *values} or (name not in needed and rng.random() < LEAVES_OUT):
            continue
        slip = rng.randrange(3) if rng.random() < flaw_rate else None
        left_value, right_value = values.get(left), values[right]
        if slip == 0:
            right_value = 1 - right_value
        elif slip == 1 and left_value is not None:
            left_value = 1 - left_value
        value = result(left_value, sign, right_value)
        if sign == "+" and left_value == right_value == 1 and rng.random() < MISTAKES:
            value = 0
        value = 1 - value if slip == 2 else value
        shown = "" if left_value is None else f"{left}{left_value}"
        lines.append(f"{shown}{sign}{right}{right_value}={name}{value}")
        values[name] = value
    if rng.random() < flaw_rate / 4:
        return "\n".join(lines)
    answer = [values[name] if name in values else rng.randint(0, 1) for name in problem.asked]
    if rng.random() < flaw_rate / 4:
        answer[rng.randrange(2)] ^= 1
    return "\n".join([*lines, f"{ANSWER}{answer[0]}{answer[1]}"])
