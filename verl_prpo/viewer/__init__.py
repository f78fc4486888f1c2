# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What the training signal did, to look at: reports of rollouts, comparisons of runs."""
