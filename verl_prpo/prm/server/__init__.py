# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A PRM behind one or more vLLM servers."""
