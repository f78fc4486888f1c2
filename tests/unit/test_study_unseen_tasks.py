# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The study's unseen tasks: exact labels, checked by hand, and verifiers, compared with solvers of another kind."""

import itertools
import random

import pytest
from study import source
from study.plan import Plan
from study.source import asset_code
from study.tasks import (
    TASKS,
    UNSEEN,
    carry,
    circuit,
    idle,
    piles,
    seen,
    stack,
    swaps,
)
from study.vocabulary import Vocabulary

CARRY = carry.Problem(((1, 3), (2, 0), (3, 3), (0, 0), (1, 2), (3, 1), (0, 2), (1, 1), (3, 0), (2, 1)))
ADDED = (
    "a:1+3+0=10 put 0 carry 1\nb:2+0+1=03 put 3 carry 0\nc:3+3+0=12 put 2 carry 1\nd:0+0+1=01 put 1 carry 0\n"
    "e:1+2+0=03 put 3 carry 0\nf:3+1+0=10 put 0 carry 1\ng:0+2+1=03 put 3 carry 0\nh:1+1+0=02 put 2 carry 0\n"
    "i:3+0+0=03 put 3 carry 0\nj:2+1+0=03 put 3 carry 0\ndone"
)
CIRCUIT = circuit.Problem((1, 0, 1), (("a", "+", "b"), ("d", "*", "c"), ("", "-", "b"), ("e", "+", "d")))
RIGHT = {
    "swaps": (swaps.Problem("3819"), "2:3189\n1:1389\ndone"),
    "piles": (piles.Problem((5, 2, 1), (3, 1, 4)), "A to C 422\nB to C 413\nA to C 314\ndone"),
    "idle": (idle.Problem((7, 3, 9, 1)), "7-3=4\nkeep 4\n4-9=5\n5-1=4\nAnswer 4"),
    "carry": (CARRY, ADDED),
    "stack": (stack.Problem("345+-"), "3:3\n4:34\n5:345\n+:32\n-:1\nAnswer 1"),
    "circuit": (CIRCUIT, "a1+b0=d1\nd1*c1=e1\n-b0=f1\ne1+d1=g1\nAnswer 11"),
}


def test_the_unseen_tasks_are_found_by_name_and_do_not_come_up_unasked():
    assert Plan().tasks == tuple(TASKS) == ("chained", "early", "words", "walk")
    assert len(UNSEEN) == 6
    for name, task in UNSEEN.items():
        assert TASKS[name] is task
        assert task.NAME == name
        assert name not in seen.TASKS
    with pytest.raises(KeyError, match="no_such_task"):
        TASKS["no_such_task"]


def test_each_task_has_a_code_of_its_own_that_the_register_of_the_unseen_is_no_part_of():
    assert len({asset_code(name) for name in (*TASKS, *UNSEEN)}) == 10
    assert not {"tasks/__init__.py", "tasks/unseen.py"} & {*source.ASSETS}


@pytest.mark.parametrize("name", UNSEEN)
def test_a_right_full_solution_has_no_fault_and_is_correct(name):
    problem, response = RIGHT[name]
    assert UNSEEN[name].faults(problem, response) == []
    assert UNSEEN[name].correct(problem, response)
    assert not UNSEEN[name].ended_early(problem, response)


CASES = [
    # (task, response, what begins at each fault ("" is the end), solved, ended early)
    ("swaps", "1:8319\n1:3819\n2:3189\n1:1389\ndone", ["1:8"], True, False),  # a detour, made good
    ("swaps", "2:3129\n1:1329\n2:1239\ndone", ["29\n1"], False, True),  # the true digits are 1839 then
    (
        "swaps",
        "2:3189\n1:1398\n3:1389\ndone",
        ["98", "8\n3"],
        False,
        True,
    ),  # what the text holds was sorted, the digits not
    ("swaps", "2:3189\ndone", ["done"], False, True),
    ("swaps", "2:3189\n1:1389", [""], False, True),
    ("swaps", "2: 3189\n4:3189\n0:3189\ndone", ["2: ", "4:", "0:", "done"], False, True),  # no such lines
    ("swaps", "2:3189\n1:1389\ndone\ndone", ["done"], False, True),
    ("swaps", "", ["", ""], False, True),
    ("swaps", "\n".join(["2:3189", "1:1389", *["1:3189", "1:1389"] * 4, "done"]), ["1:3"] * 4, True, False),
    ("swaps", "\n".join(["2:3189", "1:1389", *["1:3189", "1:1389"] * 5, "done"]), ["1:3"] * 5, False, False),  # 12
    ("piles", "A to B 431\nB to C 422\nB to C 413\nA to C 314\ndone", ["A to B"], True, False),
    ("piles", "A to C 412\nA to C 313\nB to C 304\ndone", ["12\nA", "B to C 3", "done"], True, False),  # true all along
    ("piles", "A to C 412\nA to C 313\ndone", ["12", "done"], False, True),
    ("piles", "C to A 620\nC to A 71\ndone", ["C to A 620", "C to A 71", "done"], False, True),
    ("piles", "A to A 521\nA to C 422", ["A to A", ""], False, True),
    ("piles", "done\nA to C 422", ["done", "A to C"], False, True),
    ("idle", "7-3=4\n4-9=5\n5-1=4\nAnswer 4", [], True, False),
    ("idle", "keep 7\n7-3=4\n4-9=5\nkeep 5\n5-1=4\nAnswer 4", [], True, False),
    ("idle", "keep 7\nkeep 7\n7-3=4\n4-9=5\nkeep 5\n5-1=4\nAnswer 4", [], False, False),  # only the verifier minds
    ("idle", "keep 12\n12-3=9\n9-9=0\n0-1=1\nAnswer 1", ["12\n12"], False, False),
    ("idle", "keep 8\n8-3=5\n5-9=4\n4-1=3\nAnswer 3", ["8\n8"], False, False),
    ("idle", "7-3=5\n4-9=5\n5-1=4\nAnswer 4", ["5\n4", "4-9"], True, False),
    ("idle", "7-9=2\n2-1=1\nAnswer 1", ["9=", "1=1\nA", "Answer"], False, True),
    ("idle", "7-3=4\n4-9=5\n5-1=4\n4-1=3\nAnswer 4", ["4-1=3"], True, False),  # no such number; it counts for nothing
    ("idle", "7-3=4\n4-9=5\n5-1=4\nAnswer 5", ["5"], False, False),
    ("idle", "7-3=4\n4-9=5\n5-1=4\nAnswer 4\nkeep 4", ["keep"], False, False),
    ("idle", "7-3=4\n4-9=5\n5-1=4", [""], False, False),
    ("idle", "7-3= 4", ["7", ""], False, True),
    ("stack", "3:3\n4:34\n5:345\n-:36\n-:4\nAnswer 4", ["-:36"], False, False),  # plus read as minus, and run so
    ("stack", "3:3\n4:34\n5:345\n-:36\n+:2\nAnswer 2", ["-:36", "+:2"], False, False),
    ("stack", "3:3\n4:34\n5:345\n+:33\n-:1\nAnswer 1", ["3\n-", "1\nA"], True, False),  # two slips make it good
    ("stack", "3:3\n4:34\n5:35\n+:1\nAnswer 1", [":35", "Answer"], True, True),
    ("stack", "3:3\n+:3\n5:35\n+:1\n-:1\nAnswer 1", ["+:3", ":3\n5", ":1\nA"], True, False),
    ("stack", "3:3\n4:34\n5:345\n+:32\n-:1\n-:1\nAnswer 1", ["-:1\nA"], True, False),
    ("stack", "3:3\n4:34\n5:345\n+:32\n-:1\nAnswer 6\nAnswer 1", ["6", "Answer 1"], True, False),
    ("stack", "3:3\n4:34\n5:345\n+:31\n-:2", ["1\n-", ""], False, True),
    ("stack", "3 3\n34:34\n8:8", ["3 3", "34:", "8:8", ""], False, True),
    ("circuit", "-b0=f1\na1+b0=d1\nd1*c1=e1\ne1+d1=g1\nAnswer 11", [], True, False),  # in any order
    ("circuit", "a1+b0=d0\nd0*c1=e0\n-b0=f1\ne0+d0=g0\nAnswer 10", ["0\nd"], False, False),
    ("circuit", "a1+b0=d1\n-b0=f1\ne0+d1=g1\nAnswer 11", ["e0+d"], True, True),  # e has no value
    ("circuit", "a1+b1=d1\nd0*c1=e0\n-b0=f1\ne0+d1=g1\nAnswer 11", ["1=d", "0*"], True, False),
    ("circuit", "a1*b0=d0\na1+b0=d1\nAnswer 11", ["a1*", "d1", "Answer"], True, True),
    ("circuit", "b0+a1=d1\nb0=f1\na1-b0=f1\n-b0=h1\n-c1=f1", ["b0+", "b0=", "a1-", "h", "-", "1", ""], False, True),
    ("circuit", "Answer 11\na1+b0=d1", ["Answer", "a"], False, True),
    ("circuit", "a1+b0=d1\nd1*c1=e1\n-b0=f1\ne1+d1=g1\nAnswer 01", ["01"], False, False),
    ("circuit", "a1+b0=d1\nd1*c1=e1\n-b0=f1\ne1+d1=g1", [""], False, False),
    ("circuit", "a1+b0=d1\nd1*c1=e1\ne1+d1=g1\nAnswer 11", ["Answer"], True, True),  # f was asked for
]


@pytest.mark.parametrize("name, response, marked, solved, ends_early", CASES)
def test_faults_lie_where_the_response_goes_wrong(name, response, marked, solved, ends_early):
    task, problem = UNSEEN[name], RIGHT[name][0]
    found = task.faults(problem, response)
    assert [response[at : at + len(text)] for at, text in zip(found, marked, strict=True)] == marked
    assert all(at == len(response) for at, text in zip(found, marked, strict=True) if not text)
    assert task.correct(problem, response) is solved
    assert task.ended_early(problem, response) is ends_early


@pytest.mark.parametrize(
    "line, instead, marked, solved",
    [
        (1, "b:2+0+0=02 put 2 carry 0", ["0=02"], False),  # the carry forgotten
        (0, "a:1+3+0=11 put 1 carry 1", ["1 put"], False),
        (0, "a:1+3+0=00 put 0 carry 0", ["00 put", "1=03"], True),  # and the next line takes up a carry that is none
        (0, "a:1+3+0=10 put 1 carry 1", ["1 carry"], False),
        (0, "a:1+3+0=10 put 0 carry 0", ["0\nb", "1=03"], True),  # what is put down is right
        (0, "a:3+1+0=10 put 0 carry 1", ["3+1", "1+0"], True),
        (0, "b:1+3+0=10 put 0 carry 1", ["b"], True),
        (9, "j:2+1+0=13 put 3 carry 1", ["13"], False),  # the last carry counts
        (9, "j:2+1+0=03 put 3", ["j:", "done"], False),
        (9, "done", ["done", "done"], False),
        (10, "done.", ["done.", ""], False),
        (10, "done\nk:0+0+0=00 put 0 carry 0", ["k"], False),
    ],
)
def test_faults_of_long_addition(line, instead, marked, solved):
    lines = ADDED.split("\n")
    lines[line] = instead
    response = "\n".join(lines)
    found = carry.faults(CARRY, response)
    assert [response[at : at + len(text)] for at, text in zip(found, marked, strict=True)] == marked
    assert carry.correct(CARRY, response) is solved


def test_the_longest_task_has_ten_steps_and_150_tokens():
    ids = Vocabulary(carry.WORDS).encode(ADDED)
    assert len(ADDED.split("\n")) > 10
    assert 150 <= len(ids) < carry.MAX_NEW_TOKENS


@pytest.mark.parametrize("name", UNSEEN)
def test_every_text_has_tokens_and_fits_the_limit(name):
    task, rng = UNSEEN[name], random.Random(1)
    vocabulary = Vocabulary(task.WORDS)
    for _ in range(300):
        problem = task.problem(rng)
        prompt = vocabulary.encode(problem.question)
        for text in (task.demonstration(problem, rng), task.flawed(problem, rng)):
            assert vocabulary.decode(vocabulary.encode(text)) == text
            assert len(prompt) + len(vocabulary.encode(text)) < 254
        assert len(vocabulary.encode(task.demonstration(problem, rng))) < task.MAX_NEW_TOKENS


@pytest.mark.parametrize(
    "name, least, most",
    [
        ("swaps", 0.9, 1.0),
        ("piles", 0.8, 0.95),
        ("idle", 0.4, 0.55),
        ("carry", 0.4, 0.55),
        ("stack", 0.45, 0.6),
        ("circuit", 0.65, 0.8),
    ],
)
def test_demonstrations_are_right_in_part(name, least, most):
    task, rng = UNSEEN[name], random.Random(2)
    problems = [task.problem(rng) for _ in range(1000)]
    share = sum(task.correct(problem, task.demonstration(problem, rng)) for problem in problems) / len(problems)
    assert least < share < most
    assert task.START < share


def _shortest(start, ends, neighbours, most):
    """Moves of a shortest way, by breadth first."""
    ways = {start: []}
    for _ in range(most):
        for state in list(ways):
            for move, other in neighbours(state):
                ways.setdefault(other, [*ways[state], (move, other)])
    return next(way for state, way in ways.items() if ends(state))


def test_swaps_that_bring_nearer_are_those_of_shortest_ways():
    def neighbours(digits):
        for i in range(3):
            other = list(digits)
            other[i], other[i + 1] = other[i + 1], other[i]
            yield i + 1, "".join(other)

    def in_order(digits):
        return digits == "".join(sorted(digits))

    rng = random.Random(4)
    for _ in range(60):
        problem = swaps.problem(rng)
        way = _shortest(problem.digits, in_order, neighbours, 6)
        response = "\n".join([*(f"{move}:{digits}" for move, digits in way), "done"])
        assert swaps.faults(problem, response) == []
        assert swaps.correct(problem, response)
        for move, digits in neighbours(problem.digits):
            nearer = len(_shortest(digits, in_order, neighbours, 6)) < len(way)
            assert (swaps.faults(problem, f"{move}:{digits}")[0] == 0) is not nearer


def test_moves_of_piles_that_bring_nearer_are_those_of_shortest_ways():
    def neighbours(heights):
        for giver, taker in itertools.permutations(range(3), 2):
            if heights[giver]:
                other = list(heights)
                other[giver] -= 1
                other[taker] += 1
                yield f"{'ABC'[giver]} to {'ABC'[taker]} ", tuple(other)

    rng = random.Random(5)
    for _ in range(40):
        problem = piles.problem(rng)
        at_aim = problem.aim.__eq__
        way = _shortest(problem.start, at_aim, neighbours, 5)
        response = "\n".join([*(move + "".join(map(str, heights)) for move, heights in way), "done"])
        assert piles.faults(problem, response) == []
        assert piles.correct(problem, response)
        for move, heights in neighbours(problem.start):
            nearer = len(_shortest(heights, at_aim, neighbours, 6)) < len(way)
            assert (piles.faults(problem, move + "".join(map(str, heights)))[0] == 0) is not nearer


def test_no_counter_comes_from_an_empty_pile():
    problem = piles.Problem((0, 4, 4), (2, 3, 3))
    assert piles.correct(problem, "B to A 134\nC to A 233\ndone")
    response = "A to B 153\nB to A 143\ndone"
    assert piles.faults(problem, response)[0] == 0
    assert not piles.correct(piles.Problem((0, 4, 4), (0, 4, 4)), response)


def _evaluated(program):
    """Value of a program in postfix order, by way of Python's own arithmetic."""
    parts = []
    for symbol in program:
        if symbol.isdigit():
            parts.append(symbol)
        else:
            right_part, left_part = parts.pop(), parts.pop()
            parts.append(f"({left_part}{symbol}{right_part})")
    return eval(parts[0]) % 7


def test_answers_are_those_of_another_way_to_compute_them():
    rng = random.Random(6)
    for _ in range(300):
        program = stack.problem(rng)
        assert program.answer == _evaluated(program.program)
        assert stack.correct(program, f"Answer {_evaluated(program.program)}")
        addition = carry.problem(rng)
        first = int("".join(str(a) for a, _ in reversed(addition.pairs)), 4)
        second = int("".join(str(b) for _, b in reversed(addition.pairs)), 4)
        digits, last = addition.sum
        assert sum(digit * 4**i for i, digit in enumerate([*digits, last])) == first + second
        gates = circuit.problem(rng)
        assert gates.answer == "".join(str(_by_truth(gates, name)) for name in "defgh"[: len(gates.gates)][-2:])
        digits_of = idle.problem(rng)
        value = digits_of.terms[0]
        for term in digits_of.terms[1:]:
            value = max(value, term) - min(value, term)
        assert digits_of.answer == value


def _by_truth(problem, name):
    """Value of a gate from its inputs' down, by comparison of truth values."""
    if name in "abc":
        return problem.inputs["abc".index(name)]
    left, sign, right_input = problem.gates["defgh".index(name)]
    values = [_by_truth(problem, part) for part in (left, right_input) if part]
    return int(any(values)) if sign == "+" else int(all(values)) if sign == "*" else int(values[0] == 0)
