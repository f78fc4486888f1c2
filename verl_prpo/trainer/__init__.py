# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""All that touches verl's trainer: the estimator, the reward manager, the agent loop and the trainer modes."""
