# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Outcome rewards: they say whether the answer of a response is right."""
