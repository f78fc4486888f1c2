# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What the commands share on the terminal: findings, tables, progress, suggestions for mistyped names."""
