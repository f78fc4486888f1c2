# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The comparison of runs: curves, a table, a page."""
