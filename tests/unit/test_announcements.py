# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What the first step says of delimiters."""

from verl_prpo.telemetry.announcements import delimiter_lines, token_lines


def test_each_delimiter_is_counted_and_one_that_never_occurs_is_a_warning():
    lines = delimiter_lines(["\n\n", r"\n"], ["a\n\nb\n\nc", "d", "e\n\nf"])
    assert lines[0] == r"algorithm.prpo.delimiters: '\n\n' occurs 3 times, in 2 of 3 responses"
    assert lines[1].startswith(r"WARNING algorithm.prpo.delimiters: '\\n' occurs in none of 3 responses")


def test_token_ids_are_counted_the_same_way():
    first, second = token_lines([5, 6], [[1, 5, 5], [5], [2]])
    assert first == "algorithm.prpo.delimiter_token_ids: 5 occurs 3 times, in 2 of 3 responses"
    assert second.startswith("WARNING algorithm.prpo.delimiter_token_ids: 6 occurs in none of 3 responses")
