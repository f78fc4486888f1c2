# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Outcome rewards: is the answer of a response right."""
