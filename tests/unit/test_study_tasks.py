# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The study's tasks: exact labels, checked by hand."""

import random

import pytest
import task as toy
from study.prms import line_spans, read, right
from study.tasks import TASKS, UNSEEN, chained, early, held_out, held_out_problems, training_problem, walk, words
from study.vocabulary import ASK, EOS, PAD, Vocabulary

EARLY = early.Problem((3, 8, 5, 2))
WORDS = words.Problem("unused", "Mia", 4, (("buys", 3), ("gives away", 2), ("doubles", 2)))
WALK = walk.Problem(3, 16)
CHAINED = toy.Problem(7, (("+", 5), ("*", 3), ("-", 4), ("+", 1)))

RIGHT = {
    "early": (EARLY, "3+8=1\n1+5=6\n6+2=8\nAnswer 8"),
    "words": (
        WORDS,
        "Mia starts with 4.\nMia buys 3, so 4+3=7.\nMia gives away 2, so 7-2=5.\nMia doubles 2, so 5*2=10.\n#### 10",
    ),
    "walk": (WALK, "3+7=10\n10+7=17\n17-1=16\ndone"),
    "chained": (
        CHAINED,
        "So (1) 7+5=2\nNow (2) 2*3=6\nThen (3) 6-4=2\nNext (4) 2+1=3\nThe answer is \\boxed{3}",
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_a_right_full_solution_has_no_fault_and_is_correct(name):
    problem, response = RIGHT[name]
    assert TASKS[name].faults(problem, response) == []
    assert TASKS[name].correct(problem, response)
    assert not TASKS[name].ended_early(problem, response)


@pytest.mark.parametrize(
    "name, response, marked, solved, ends_early",
    [
        ("early", "3+8=2\n2+5=7\n7+2=9\nAnswer 9", ["2", "9"], False, False),  # the slip, and what it comes to
        ("early", "3+8=1\nAnswer 8", [], True, True),  # a lucky guess is no fault
        ("early", "3+8=1\nAnswer 4", ["4"], False, True),
        ("early", "3+8=1\n1+5=6", [], False, True),  # stopping is no fault
        ("early", "", [""], False, True),
        ("early", "3+8=1\n6+2=8\nAnswer 8", ["6", "2"], True, True),  # 5 left out: operand and term
        ("early", "3+8=1\n1+5=6\n6+2=8\nAnswer 8\nAnswer 8", ["A"], True, False),
        ("early", "3+8=1\n1+5=6\n6+2=8\n8+1=9\nAnswer 8", ["8"], True, False),
        ("words", "Mia starts with 5.\nMia buys 3, so 5+3=8.\n#### 8", ["5", "#"], False, True),
        ("words", "Mia starts with 4.\nBen buys 3, so 4+3=7.\nMia gives away 2, so 7-2=5.", ["B", ""], False, True),
        (  # an event left out: what follows is judged on its own
            "words",
            "Mia starts with 4.\nMia gives away 2, so 4-2=2.\nMia doubles 2, so 2*2=4.\n#### 4",
            ["g", "2"],
            False,
            True,
        ),
        ("words", "Mia buys 3, so 4+3=7.\n#### 10", ["M", "#"], True, True),
        ("walk", "3+1=4\n4-1=3\n3+7=10\n10+7=17\n17-1=16\ndone", ["+"], True, False),  # a detour, made good
        ("walk", "3+7=11\n11+7=18\n18-1=17\n17-1=16\ndone", ["11"], False, True),  # the moves end at 15
        ("walk", "3+7=10\ndone", ["d"], False, True),
        ("walk", "3+7=10\n10+7=17\n17-1=16", [""], False, True),
        ("walk", "3+7=10\n11+7=18\n18-1=17\n17-1=16\ndone", ["11"], False, True),
        ("walk", "3+2=5\n5+7=12\n12+3=15\n15+1=16\ndone", ["+"], False, True),  # no such stride
        (
            "chained",
            "So (1) 7+5=3\nNow (2) 3*3=9\nThen (3) 9-4=5\nNext (4) 5+1=6\nThe answer is \\boxed{6}",
            ["3"],
            False,
            False,
        ),
        ("chained", "So (1) 7+5=2\nThe answer is \\boxed{2}", ["T", ""], False, True),
        ("chained", "3}", ["3", ""], False, True),  # no box
    ],
)
def test_faults_lie_where_the_response_goes_wrong(name, response, marked, solved, ends_early):
    task, problem = TASKS[name], RIGHT[name][0]
    found = task.faults(problem, response)
    assert [response[at : at + len(text)] for at, text in zip(found, marked, strict=True)] == marked
    assert all(at == len(response) for at, text in zip(found, marked, strict=True) if not text)
    assert task.correct(problem, response) is solved
    assert task.ended_early(problem, response) is ends_early


def test_moves_are_counted_along_places_that_exist():
    assert walk.moves_left(3, 3) == 0
    assert walk.moves_left(0, 7) == 1
    assert walk.moves_left(0, 6) == 2  # 7 - 1
    assert walk.moves_left(29, 29 - 13) == 3  # 7, 7 and back 1
    assert walk.moves_left(30, 29) == float("inf")
    assert walk.faults(walk.Problem(27, 2), "27+7=34\ndone") == [2, 8]


@pytest.mark.parametrize("name", TASKS)
def test_every_text_has_tokens_and_fits_the_limit(name):
    task, rng = TASKS[name], random.Random(1)
    vocabulary = Vocabulary(task.WORDS)
    for _ in range(300):
        problem = task.problem(rng)
        vocabulary.encode(problem.question)
        for text in (task.demonstration(problem, rng), task.flawed(problem, rng)):
            ids = vocabulary.encode(text)
            assert vocabulary.decode(ids) == text
        assert len(vocabulary.encode(task.demonstration(problem, rng))) < task.MAX_NEW_TOKENS


@pytest.mark.parametrize("name", [*TASKS, *UNSEEN])
def test_flawed_texts_hold_right_and_wrong_lines(name):
    task, rng = TASKS[name], random.Random(2)
    vocabulary = Vocabulary(task.WORDS)
    verdicts = []
    for _ in range(200):
        problem = task.problem(rng)
        response = read(task, vocabulary, problem, [*vocabulary.encode(task.flawed(problem, rng)), EOS])
        verdicts += [right(response, *span) for span in line_spans(response)]
    assert 0.05 < verdicts.count(False) / len(verdicts) < 0.6


@pytest.mark.parametrize("name", [*TASKS, *UNSEEN])
def test_nothing_is_trained_on_what_is_held_out(name):
    task, rng = TASKS[name], random.Random(3)
    kept = {problem.question for problem in held_out_problems(task, 0, 100)}
    assert len(kept) == 100
    assert not any(training_problem(task, rng).question in kept for _ in range(1000))
    assert held_out_problems(task, 0, 100) == held_out_problems(task, 0, 100)
    assert not held_out(training_problem(task, rng))


def test_lines_are_spans_of_tokens_and_the_end_belongs_to_the_last():
    vocabulary = Vocabulary(early.WORDS)
    ids = [*vocabulary.encode("3+8=1\nAnswer 4"), EOS]
    response = read(early, vocabulary, EARLY, ids)
    assert line_spans(response) == [(0, 6), (6, 9)]
    assert response.faulty == [False] * 7 + [True, False]


def test_the_decision_to_stop_is_judged_at_the_end_token():
    vocabulary = Vocabulary(walk.WORDS)
    response = read(walk, vocabulary, WALK, [*vocabulary.encode("3+7=10"), EOS])
    assert response.faulty == [False] * 5 + [True]


def test_tokens_that_are_no_text_spoil_a_response():
    vocabulary = Vocabulary(early.WORDS)
    problem, text = RIGHT["early"]
    for stray in (PAD, ASK):
        response = read(early, vocabulary, problem, [stray, *vocabulary.encode(text), EOS])
        assert response.faulty[0]


def test_the_starting_task_is_of_one_length():
    rng = random.Random(4)
    assert {len(chained.problem(rng).operations) for _ in range(50)} == {chained.STEPS} == {3}
