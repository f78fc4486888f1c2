# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The checks of `verl-prpo doctor`: one module for each part of a set-up."""
