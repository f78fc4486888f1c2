# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Views of what the training signal did: reports of rollouts, and comparisons of runs."""
