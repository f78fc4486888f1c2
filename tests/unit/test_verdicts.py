# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a response is right: acc, else the outcome before penalties, else a reward of two values, else unknown."""

import math

import numpy as np
import pytest
import torch

from verl_prpo.outcome.verdicts import VerdictReader


def right(rewards, parts=None):
    return VerdictReader().read(rewards, parts or [{}] * len(rewards)).right


def test_acc_goes_before_every_reward():
    assert right([0.3, 0.9], [{"acc": 1.0, "score": -1}, {"acc": 0.0, "score": 1}]) == [True, False]


@pytest.mark.parametrize("kind", [bool, int, float, np.bool_, np.float32, lambda value: torch.tensor(float(value))])
def test_acc_of_any_type_of_number(kind):
    assert right([0.0, 0.0], [{"acc": kind(1)}, {"acc": kind(0)}]) == [True, False]


def test_acc_of_minus_one_and_one():  # verl's managers put a plain reward function's number there
    assert right([0.0, 0.0], [{"acc": -1.0}, {"acc": 1.0}]) == [False, True]


def test_outcome_before_penalties_goes_before_the_reward():
    rewards = [-1.1, -1.4, -1.0, 0.5]
    parts = [{"outcome": value} for value in (-1.0, -1.0, -1.0, 1.0)]
    assert right(rewards, parts) == [False, False, False, True]


def test_the_score_of_a_reward_function_goes_before_the_reward():
    assert right([-0.7, 0.2], [{"score": 0.0}, {"score": 1.0}]) == [False, True]


@pytest.mark.parametrize("low, high", [(0.0, 1.0), (-1.0, 1.0), (0.0, 10.0), (-0.5, 0.5)])
def test_of_two_rewards_the_higher_is_right(low, high):
    assert right([low, high, low]) == [False, True, False]


def test_graded_rewards_say_nothing():
    assert right([0.0, 0.5, 1.0]) == [None, None, None]


def test_a_graded_acc_says_nothing_and_no_reward_takes_its_place():
    assert right([0.0, 1.0, 1.0], [{"acc": 0.2}, {"acc": 0.5}, {"acc": 0.9}]) == [None, None, None]


@pytest.mark.parametrize("value, verdict", [(0.0, False), (-1.0, False), (1.0, True), (0.3, None)])
def test_a_single_value_is_right_or_wrong_only_where_everybody_uses_it_so(value, verdict):
    assert right([value, value]) == [verdict, verdict]


def test_a_third_value_later_in_the_run_ends_the_certainty():
    reader = VerdictReader()
    assert reader.read([0.0, 1.0], [{}, {}]).right == [False, True]
    assert reader.certain
    assert reader.read([0.0, 0.5], [{}, {}]).right == [None, None]
    assert not reader.certain
    assert reader.read([0.0, 1.0], [{}, {}]).right == [None, None]


def test_a_value_that_is_no_number_has_no_verdict():
    assert right([math.nan, 0.0, 1.0]) == [None, False, True]
    assert right([0.0, 1.0], [{"acc": "yes"}, {"acc": [1, 0]}]) == [False, True]


def test_groups_agree_on_verdicts_not_on_rewards():
    rewards = [-1.0, -1.3, -1.0, 0.7]
    verdicts = VerdictReader().read(rewards, [{"acc": value} for value in (0, 0, 0, 1)])
    assert verdicts.agree(["a", "a", "b", "b"]) == [True, True, False, False]
    assert verdicts.agree(["a", "b", "c", "d"]) == [True] * 4


def test_sources_of_a_mixture_have_values_of_their_own():
    reader = VerdictReader()
    found = reader.read([0.0, 1.0, -1.0, 1.0], [{}] * 4, data_sources=["a", "a", "b", "b"])
    assert found.right == [False, True, False, True]
    assert "the reward (a) is 1" in reader.explain() and "the reward (b) is 1" in reader.explain()


def test_a_reward_that_could_not_be_computed_is_no_verdict():
    """verl's rate_limited manager reports an acc of 0 beside a timeout; a plain function's acc may be -1 and 1."""
    reader = VerdictReader()
    found = reader.read([0.0, -1.0, 1.0], [{"acc": 0.0, "timeout": True}, {"acc": -1.0}, {"acc": 1.0}])
    assert found.right == [None, False, True]
    assert "could not be computed" in reader.explain()


def test_rows_without_the_acc_of_the_others_are_said():
    reader = VerdictReader()
    reader.read([0.0, 1.0], [{"acc": 0}, {}])
    assert "1 responses come without the 'acc' that others" in reader.explain()


def test_what_decides_changes_with_a_new_value():
    reader = VerdictReader()
    reader.read([0.0], [{}])
    before = reader.rule
    reader.read([0.0], [{}])
    assert reader.rule == before
    reader.read([0.1], [{}])
    assert reader.rule != before


def test_groups_whose_acc_is_no_number_agree_among_themselves():
    assert VerdictReader().read([0.0, 0.0], [{"acc": math.nan}] * 2).agree(["a", "a"]) == [True, True]


def test_unknown_verdicts_agree_only_on_equal_rewards():
    verdicts = VerdictReader().read([0.2, 0.2, 0.5, 0.9], [{}] * 4)
    assert verdicts.agree(["a", "a", "b", "b"]) == [True, True, False, False]


@pytest.mark.parametrize(
    "rewards, parts, said",
    [
        ([0.0, 1.0], [{"acc": 0}, {"acc": 1}], "right where 'acc' of the reward manager is 1"),
        ([-1.0, 1.0], [{}, {}], "right where the reward is 1"),
        ([0.0, 0.0], [{}, {}], "the reward has said of no response yet that it is right"),
        ([0.1, 0.2, 0.3], [{}] * 3, "which responses are right is unknown: the reward has three values or more"),
    ],
)
def test_the_reader_explains_itself(rewards, parts, said):
    reader = VerdictReader()
    reader.read(rewards, parts)
    assert said in reader.explain()
