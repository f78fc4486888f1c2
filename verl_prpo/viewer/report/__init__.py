# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The report of rollouts: one page or the terminal."""
