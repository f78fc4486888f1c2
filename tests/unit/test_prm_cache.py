# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Remembered scores: bounded, and under keys that only equal dialogues share."""

import threading
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_prpo.prm.cache import ScoreCache, dialogue_key
from verl_prpo.prm.families.base import Encoded

IDS = st.lists(st.integers(0, 2**40), max_size=5)
READS = st.lists(st.integers(0, 9) | st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=3)


@dataclass(frozen=True)
class Span:
    begin: int
    end: int


def key(number: int) -> bytes:
    return dialogue_key(Encoded([number], [0]))


def test_the_least_recently_used_dialogue_goes_first():
    cache = ScoreCache(2)
    cache.put(key(1), [0.1])
    cache.put(key(2), [0.2])
    assert cache.get(key(1)) == [0.1]
    cache.put(key(3), [0.3])
    assert [cache.get(key(n)) for n in (1, 2, 3)] == [[0.1], None, [0.3]]
    assert len(cache) == 2


def test_a_cache_of_size_0_remembers_nothing():
    cache = ScoreCache(0)
    cache.put(key(1), [0.1])
    assert (cache.get(key(1)), len(cache)) == (None, 0)


def test_a_list_that_was_given_out_is_the_callers():
    cache = ScoreCache(1)
    given_in = [0.1]
    cache.put(key(1), given_in)
    given_in[0] = 7.0
    cache.get(key(1))[0] = 7.0
    assert cache.get(key(1)) == [0.1]


def test_threads_share_a_cache():
    cache, faults = ScoreCache(20), []

    def work(start: int) -> None:
        try:
            for n in range(start, start + 3000):
                cache.put(key(n % 50), [float(n % 50)])
                assert cache.get(key(n % 37)) in (None, [float(n % 37)])
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert faults == [] and len(cache) <= 20


@given(one=st.tuples(IDS, READS), other=st.tuples(IDS, READS))
def test_keys_are_equal_exactly_when_token_ids_and_reads_are(one, other):
    assert (dialogue_key(Encoded(*one)) == dialogue_key(Encoded(*other))) == (one == other)


@pytest.mark.parametrize("reads", [[1, 2], [(1, 2), (3, 4)], [Span(1, 2)], [None], [np.int64(3)], ["a"]], ids=repr)
def test_equal_token_ids_with_other_reads_are_another_dialogue(reads):
    assert dialogue_key(Encoded([1, 2, 3], reads)) == dialogue_key(Encoded([1, 2, 3], list(reads)))
    assert dialogue_key(Encoded([1, 2, 3], reads)) != dialogue_key(Encoded([1, 2, 3], [*reads, 5]))
    assert dialogue_key(Encoded([1, 2, 3], reads)) != dialogue_key(Encoded([1, 2, 4], reads))


def test_reads_that_are_written_alike_but_differ_are_told_apart():
    one, other = np.zeros(5000, dtype=int), np.zeros(5000, dtype=int)
    other[2500] = 1
    assert repr(one) == repr(other)
    assert dialogue_key(Encoded([1], [one])) != dialogue_key(Encoded([1], [other]))


def test_reads_that_cannot_be_compared_equal_nothing():
    reads = [lambda: 0]
    assert dialogue_key(Encoded([1], reads)) != dialogue_key(Encoded([1], reads))
