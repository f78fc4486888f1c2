# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a policy on problem sets: verl's own validation, and the statistics that verl does not give."""


class EvaluationError(Exception):
    """Something that stops an evaluation. Its message says what was found, where, and what fixes it."""


class RunFailed(EvaluationError):
    """A process of verl failed or did not end in time. The message shows the end of its log."""
