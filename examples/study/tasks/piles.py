# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Unseen task: three piles to be levelled to given heights, in which a wrong move can be made good later.

    Piles to 314 from 521

    A to C 422
    B to C 413
    A to C 314
    done

A line moves one counter from a pile to another and tells the heights then. It is right when all heights follow from the
line before and the move brings the aim nearer: from a pile too high to one too low. "done" is right at the aim. The
verifier follows the moves alone, up to eight of them, and passes no move from an empty pile.
"""

import random
import re
from dataclasses import dataclass
from itertools import permutations

NAME = "piles"
PILES, COUNTERS = "ABC", 8
DONE = "done"
MOVES = tuple(f"{giver} to {taker} " for giver, taker in permutations(PILES, 2))
FEWEST, FARTHEST = 2, 5
"""Moves that a problem needs."""
MOST_MOVES = 8
WORDS = (*MOVES, DONE, "Piles to ", " from ")
MAX_NEW_TOKENS = 46
START = 0.3

GOOD_MOVE = 0.7
"""Share of moves in demonstrations that are chosen well; the others are drawn at random."""
FLAW_RATE = 0.2

_MOVE = re.compile(rf"({'|'.join(MOVES)})(\d)(\d)(\d)")
Heights = tuple[int, ...]


@dataclass(frozen=True)
class Problem:
    """Heights of three piles at first, and what they are to be."""

    start: Heights
    aim: Heights

    @property
    def question(self) -> str:
        """The text of the prompt."""
        return f"Piles to {_text(self.aim)} from {_text(self.start)}"


def after(move: str, heights: Heights) -> Heights:
    """Heights after a move; less than 0 where nothing was left to move."""
    giver, taker = PILES.index(move[0]), PILES.index(move[-2])
    return tuple(height - (i == giver) + (i == taker) for i, height in enumerate(heights))


def apart(heights: Heights, aim: Heights) -> int:
    """Sum of what the piles lack of the aim and of what they have too much."""
    return sum(abs(height - wanted) for height, wanted in zip(heights, aim, strict=True))


def problem(rng: random.Random) -> Problem:
    """Eight counters, two to five moves from the aim."""
    while True:
        made = Problem(_heights(rng), _heights(rng))
        if 2 * FEWEST <= apart(made.start, made.aim) <= 2 * FARTHEST:
            return made


def demonstration(problem: Problem, rng: random.Random) -> str:
    """Moves of which a third is drawn at random; done at the aim or after eight moves."""
    return _moves(problem, rng, 0.0)


def flawed(problem: Problem, rng: random.Random) -> str:
    """Moves in which a fifth of the lines also tell a wrong height, or that stop early."""
    return _moves(problem, rng, FLAW_RATE)


def faults(problem: Problem, response: str) -> list[int]:
    """Offsets of moves that do not bring the aim nearer, of wrong heights, of a "done" away from the aim and of the
    first character of other lines; `len(response)` when the moves stop without "done"."""
    found: list[int] = []
    heights, start, done = problem.start, 0, False
    for line in response.split("\n"):
        move = _MOVE.fullmatch(line)
        if done or not (move or line == DONE):
            found.append(start)
        elif move:
            written, expected = tuple(map(int, move.groups()[1:])), after(move[1], heights)
            if min(expected) < 0 or apart(expected, problem.aim) != apart(heights, problem.aim) - 2:
                found.append(start)
            found += [start + move.start(2 + i) for i in range(len(PILES)) if written[i] != expected[i]]
            heights = written
        else:
            done = True
            found += [] if heights == problem.aim else [start]
        start += len(line) + 1
    return found if done else [*found, len(response)]


def correct(problem: Problem, response: str) -> bool:
    """Whether at most eight moves of counters that are there lead to the aim, whatever heights were written, and it is
    declared done."""
    lines = response.split("\n")
    heights = problem.start
    for line in lines[:-1]:
        move = _MOVE.fullmatch(line)
        if move is None:
            return False
        heights = after(move[1], heights)
        if min(heights) < 0:
            return False
    return lines[-1] == DONE and len(lines) - 1 <= MOST_MOVES and heights == problem.aim


def ended_early(problem: Problem, response: str) -> bool:
    """Whether "done" was said away from the aim, or not at all."""
    return not correct(problem, response) and len(response.split("\n")) <= MOST_MOVES


def _heights(rng: random.Random) -> Heights:
    while True:
        first, second = rng.randint(0, COUNTERS), rng.randint(0, COUNTERS)
        if first + second <= COUNTERS:
            return first, second, COUNTERS - first - second


def _moves(problem: Problem, rng: random.Random, flaw_rate: float) -> str:
    lines: list[str] = []
    heights = problem.start
    while heights != problem.aim and len(lines) < MOST_MOVES:
        if flaw_rate and rng.random() < flaw_rate / 4:
            return "\n".join([*lines, DONE] if rng.random() < 0.7 else lines)
        # A wrong height in a text may leave counters out; what can be moved is the same.
        possible = [move for move in MOVES if min(after(move, heights)) >= 0 and max(after(move, heights)) <= 9]
        if not possible:
            break
        here = apart(heights, problem.aim)
        good = [move for move in possible if apart(after(move, heights), problem.aim) < here]
        move = rng.choice(good if good and rng.random() < GOOD_MOVE else possible)
        heights = after(move, heights)
        if rng.random() < flaw_rate:
            at, other = rng.randrange(len(PILES)), rng.randint(0, COUNTERS)
            heights = tuple(other if i == at else height for i, height in enumerate(heights))
        lines.append(f"{move}{_text(heights)}")
    return "\n".join([*lines, DONE])


def _text(heights: Heights) -> str:
    return "".join(map(str, heights))
