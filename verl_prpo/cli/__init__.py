# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The command `verl-prpo`: one module for each of its commands."""
