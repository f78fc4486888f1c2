# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The holes of a PRM: what it pays for the ways in which a policy would drift, found before training."""
