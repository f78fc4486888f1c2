# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Process reward models: families (how a PRM reads a dialogue and how its scores come out) and the engine that hosts
them."""
