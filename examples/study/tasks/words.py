# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Task (c): word problems in English, three to five lines, in several phrasings.

    Mia has 4 apples. Ben has 7 apples. Mia buys 3 more. Then she gives 2 away. How many apples does Mia have?

    Mia starts with 4.
    Mia buys 3, so 4+3=7.
    Mia gives away 2, so 7-2=5.
    #### 5

What another person has does not matter. A line is right when it takes up the event that is due, its numbers are those
of the story and the line before, and its arithmetic holds; the last line when it repeats the last result and every
event has been taken up.
"""

import random
import re
from dataclasses import dataclass

NAME = "words"
NAMES = ("Mia", "Ben", "Eva", "Tom", "Zoe", "Sam")
ITEMS = ("apples", "coins", "books", "cards")
MOST = 40
GAINS = (("{who} buys {n} more.", "buys"), ("{who} finds {n}.", "finds"), ("A friend brings {n}.", "is brought"))
LOSSES = (("Then {who} gives {n} away.", "gives away"), ("{who} loses {n}.", "loses"), ("{n} get used.", "uses"))
DOUBLES = (("That number doubles.", "doubles"), ("{who} gets as many again.", "doubles"))
VERBS = {verb: sign for events, sign in ((GAINS, "+"), (LOSSES, "-"), (DOUBLES, "*")) for _, verb in events}
MIN_EVENTS, MAX_EVENTS = 1, 3
WORDS = (
    *NAMES,
    *(f" {item}" for item in ITEMS),
    *(f" {verb} " for verb in sorted(set(VERBS))),
    *(
        " has ",
        "How many",
        " does ",
        " have?",
        " starts with ",
        ", so ",
        "#### ",
        " more.",
        " finds ",
        "A friend brings ",
    ),
    *("Then ", " gives ", " away.", " loses ", " get used.", "That number doubles.", " gets as many again."),
    *(str(n) for n in range(10, MOST + 1)),
)
MAX_NEW_TOKENS = 46
START = 0.3
SLIP_RATE = 0.08
"""Share of lines in demonstrations with a wrong number."""
FLAW_RATE = 0.25

_START = re.compile(r"(\w+) starts with (\d+)\.")
_EVENT = re.compile(
    rf"(\w+) ({'|'.join(sorted(set(VERBS), key=len, reverse=True))}) (\d+), so (\d+)([+\-*])(\d+)=(\d+)\."
)
_ANSWER = re.compile(r"#### (\d+)")


@dataclass(frozen=True)
class Problem:
    """A story.

    Attributes:
        question: the text of the prompt.
        who: whose things are counted.
        start: how many there are first.
        events: verb and number of each event in order; a doubling has the number 2.
    """

    question: str
    who: str
    start: int
    events: tuple[tuple[str, int], ...]

    @property
    def values(self) -> list[int]:
        """The count at first and after each event."""
        values = [self.start]
        for verb, n in self.events:
            values.append(_apply(values[-1], VERBS[verb], n))
        return values


def problem(rng: random.Random) -> Problem:
    """One to three events, with a count between 0 and 40 all along; in half of them somebody else has things too."""
    who, other = rng.sample(NAMES, 2)
    item = rng.choice(ITEMS)
    start = value = rng.randint(2, 12)
    events, told = [], [f"{who} has {start} {item}."]
    if rng.random() < 0.5:
        told.insert(rng.randint(0, 1), f"{other} has {rng.randint(2, 12)} {item}.")
    for _ in range(rng.randint(MIN_EVENTS, MAX_EVENTS)):
        kinds = [GAINS] * (value <= MOST - 9) + [LOSSES] * (value >= 3) + [DOUBLES] * (0 < value <= MOST // 2)
        phrase, verb = rng.choice(rng.choice(kinds))
        sign = VERBS[verb]
        n = 2 if sign == "*" else rng.randint(2, 9) if sign == "+" else rng.randint(2, min(9, value))
        value = _apply(value, sign, n)
        events.append((verb, n))
        told.append(phrase.format(who=who, n=n))
    return Problem(" ".join([*told, f"How many {item} does {who} have?"]), who, start, tuple(events))


def demonstration(problem: Problem, rng: random.Random) -> str:
    """A worked solution in which a line in twelve has a wrong number."""
    return _worked(problem, rng, SLIP_RATE, skips=0.0)


def flawed(problem: Problem, rng: random.Random) -> str:
    """A worked solution with many slips, some lines skipped or missing at the end."""
    return _worked(problem, rng, FLAW_RATE, skips=0.08)


def faults(problem: Problem, response: str) -> list[int]:
    """Offsets of wrong names and numbers, of the verb of an event that is not due (the ones behind it are due next), of
    the first character of a line in no known form or after the answer; `len(response)` when it stops without one."""
    found: list[int] = []
    value, due, start, answered = problem.start, -1, 0, False
    for line in response.split("\n"):
        opening, event, answer = _START.fullmatch(line), _EVENT.fullmatch(line), _ANSWER.fullmatch(line)
        at: list[int] = []
        if answered:
            at = [0]
        elif opening and due == -1:
            at = [] if opening[1] == problem.who else [0]
            at += [] if int(opening[2]) == problem.start else [opening.start(2)]
            value, due = int(opening[2]), 0
        elif event and 0 <= due < len(problem.events):
            at = _faults_of_event(problem, event, value, due)
            value, due = int(event[7]), _taken_up(problem, event, due) + 1
        elif answer and due == len(problem.events):
            at = [] if int(answer[1]) == value else [answer.start(1)]
            answered = True
        else:
            at = [0]
            answered = bool(answer)
        found += [start + offset for offset in at]
        start += len(line) + 1
    return found if answered else [*found, len(response)]


def correct(problem: Problem, response: str) -> bool:
    """Whether the last line gives the count at the end."""
    return response.rpartition("\n")[2] == f"#### {problem.values[-1]}"


def ended_early(problem: Problem, response: str) -> bool:
    """Whether fewer lines were written than the story has events, its beginning and the answer."""
    return len(response.split("\n")) < len(problem.events) + 2


def _faults_of_event(problem: Problem, event: re.Match[str], value: int, due: int) -> list[int]:
    verb, n = problem.events[due]
    left, sign, term, result = int(event[4]), event[5], int(event[6]), int(event[7])
    verdicts = (
        (event[1] == problem.who, 1),
        (event[2] == verb, 2),
        (int(event[3]) == n, 3),
        (left == value, 4),
        (sign == VERBS[event[2]], 5),
        (term == int(event[3]), 6),
        (result == _apply(left, sign, term), 7),
    )
    return [event.start(group) for right, group in verdicts if not right]


def _taken_up(problem: Problem, event: re.Match[str], due: int) -> int:
    """Which event a line is about: the one due, or a later one that it fits in verb and number."""
    told = (event[2], int(event[3]))
    return next((i for i in range(due, len(problem.events)) if problem.events[i] == told), due)


def _worked(problem: Problem, rng: random.Random, slip_rate: float, skips: float) -> str:
    def maybe_wrong(number: int) -> int:
        return min(MOST, max(0, number + rng.choice((-3, -2, -1, 1, 2, 3)))) if rng.random() < slip_rate / 2 else number

    value = maybe_wrong(problem.start)
    lines = [f"{problem.who} starts with {value}."]
    for verb, true in problem.events:
        if rng.random() < skips:
            continue
        n = maybe_wrong(true)
        result = maybe_wrong(min(MOST, max(0, _apply(value, VERBS[verb], n))))
        lines.append(f"{problem.who} {verb} {n}, so {value}{VERBS[verb]}{n}={result}.")
        value = result
    if rng.random() < skips:
        return "\n".join(lines)
    return "\n".join([*lines, f"#### {value}"])


def _apply(value: int, sign: str, n: int) -> int:
    return value + n if sign == "+" else value - n if sign == "-" else value * n
