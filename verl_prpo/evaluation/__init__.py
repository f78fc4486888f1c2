# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a policy on problem sets."""


class EvaluationError(Exception):
    """Something that stops an evaluation; the message says what was found, where, and what mends it."""
