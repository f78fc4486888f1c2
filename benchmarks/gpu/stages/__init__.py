# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The stages of the GPU benchmark: a module each, with a function `measure(record)`."""
