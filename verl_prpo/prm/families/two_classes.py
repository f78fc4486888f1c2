# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Check the class probabilities (wrong, right) that a vLLM server gave, for the families that it pools."""

from typing import Any


def served_probabilities(output: Any, count: int, each: str, way_out: str) -> list[list[float]]:
    """Return the server's rows, once there are as many as asked for and they are probabilities of two classes.

    Args:
        output: `data` of the answer for one dialogue, lists of numbers.
        count: how many rows there must be.
        each: what each row belongs to, in the plural, for the message.
        way_out: how the server must be started instead, for the message.

    Raises:
        ValueError: another number of rows or classes, or numbers that are no probabilities.
    """
    if len(output) != count or any(len(row) != 2 for row in output):
        widths = sorted({len(row) for row in output})
        raise ValueError(
            f"{len(output)} rows of {widths} numbers for {count} {each}, where one row of 2 each belongs. {way_out}"
        )
    if any(abs(sum(row) - 1) > 1e-2 for row in output):
        raise ValueError(
            "the two classes' numbers do not add up to 1, so they are no probabilities. Remove problem_type from the "
            "config.json that is served, and use_activation from --pooler-config"
        )
    return output
