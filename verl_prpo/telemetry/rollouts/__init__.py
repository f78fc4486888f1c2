# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The record of each response in the rollout dump: its format, written by the trainer, read by the report."""
