# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that a whole verl configuration must pass before a run takes its GPUs."""
