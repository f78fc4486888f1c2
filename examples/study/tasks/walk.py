# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Task (d): walks along numbered places, in which a wrong step can be made good later.

    Places 0 to 29: from 3 to 16 by 1, 3 or 7

    3+7=10
    10+7=17
    17-1=16
    done

A line is right when it starts where the last one ended, its arithmetic holds and it brings the walk nearer: fewer moves
are left than before. "done" is right at the target only. The verifier follows the moves alone, so a detour costs
nothing but length, up to eight moves.
"""

import random
import re
from dataclasses import dataclass
from functools import cache

NAME = "walk"
PLACES = 30
STRIDES = (1, 3, 7)
MOST_MOVES = 8
DONE = "done"
WORDS = (DONE, f"Places 0 to {PLACES - 1}: from ", " to ", " by 1, 3 or 7", *(str(n) for n in range(10, PLACES)))
MAX_NEW_TOKENS = 58
START = 0.25

GOOD_MOVE = 0.75
"""Share of moves in demonstrations that are chosen well; the others are drawn at random."""
FLAW_RATE = 0.2

_STEPS = tuple(sign * stride for sign in (1, -1) for stride in STRIDES)
_MOVE = re.compile(r"(\d+)([+-])(\d+)=(\d+)")


@dataclass(frozen=True)
class Problem:
    """Two places, in [0, 30)."""

    start: int
    target: int

    @property
    def question(self) -> str:
        """The text of the prompt."""
        return f"Places 0 to {PLACES - 1}: from {self.start} to {self.target} by 1, 3 or 7"


@cache
def moves_left(place: int, target: int) -> float:
    """Least number of moves between two places; infinite from where there is no place."""
    if not 0 <= place < PLACES:
        return float("inf")
    reached, rounds = {target}, 0
    while place not in reached:
        reached |= {at + step for at in reached for step in _STEPS if 0 <= at + step < PLACES}
        rounds += 1
    return rounds


def problem(rng: random.Random) -> Problem:
    """Two places that are at least two moves apart."""
    while True:
        start, target = rng.randrange(PLACES), rng.randrange(PLACES)
        if moves_left(start, target) >= 2:
            return Problem(start, target)


def demonstration(problem: Problem, rng: random.Random) -> str:
    """A walk of which a quarter of the moves is drawn at random; done at the target or after eight moves."""
    return _walk(problem, rng, 0.0)


def flawed(problem: Problem, rng: random.Random) -> str:
    """A walk in which a fifth of the lines also start in the wrong place or end in one, or which stops early."""
    return _walk(problem, rng, FLAW_RATE)


def faults(problem: Problem, response: str) -> list[int]:
    """Offsets of the wrong start of a line, the sign of a move that does not bring nearer, the wrong result, a "done"
    away from the target; `len(response)` when the walk stops without "done"."""
    found: list[int] = []
    place, start, done = problem.start, 0, False
    for line in response.split("\n"):
        move = _MOVE.fullmatch(line)
        if done or not (move or line == DONE):
            found.append(start)
        elif move:
            left, sign, stride, result = int(move[1]), move[2], int(move[3]), int(move[4])
            after = _after(left, sign, stride)
            nearer = moves_left(after, problem.target) < moves_left(left, problem.target)
            verdicts = ((left == place, 1), (nearer and stride in STRIDES, 2), (result == after, 4))
            found += [start + move.start(group) for right, group in verdicts if not right]
            place = result
        else:
            done = True
            if place != problem.target:
                found.append(start)
        start += len(line) + 1
    return found if done else [*found, len(response)]


def correct(problem: Problem, response: str) -> bool:
    """Whether at most eight moves of the allowed strides, along places there are, lead to the target, whatever results
    were written, and the walk is declared done."""
    lines = response.split("\n")
    moves = [_MOVE.fullmatch(line) for line in lines[:-1]]
    place = problem.start
    for move in moves:
        if move is None or int(move[3]) not in STRIDES:
            return False
        place = _after(place, move[2], int(move[3]))
        if not 0 <= place < PLACES:
            return False
    return lines[-1] == DONE and len(moves) <= MOST_MOVES and place == problem.target


def ended_early(problem: Problem, response: str) -> bool:
    """Whether "done" was said away from the target, or not at all."""
    return not correct(problem, response) and len(response.split("\n")) <= MOST_MOVES


def _walk(problem: Problem, rng: random.Random, flaw_rate: float) -> str:
    lines: list[str] = []
    place = problem.start
    while place != problem.target and len(lines) < MOST_MOVES:
        if flaw_rate and rng.random() < flaw_rate / 4:
            return "\n".join([*lines, DONE] if rng.random() < 0.7 else lines)
        left = rng.randrange(PLACES) if rng.random() < flaw_rate / 2 else place
        moves = [(sign, n) for sign in "+-" for n in STRIDES if 0 <= _after(left, sign, n) < PLACES]
        here = moves_left(left, problem.target)
        good = [move for move in moves if moves_left(_after(left, *move), problem.target) < here]
        sign, stride = rng.choice(good if good and rng.random() < GOOD_MOVE else moves)
        place = rng.randrange(PLACES) if rng.random() < flaw_rate / 2 else _after(left, sign, stride)
        lines.append(f"{left}{sign}{stride}={place}")
    return "\n".join([*lines, DONE])


def _after(place: int, sign: str, stride: int) -> int:
    return place + stride if sign == "+" else place - stride
