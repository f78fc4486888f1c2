# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a policy on problem sets."""
