# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A PRM loaded in this process."""
