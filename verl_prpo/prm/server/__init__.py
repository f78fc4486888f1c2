# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A PRM whose weights vLLM servers hold.

Reading order: `engine` (scores), `protocol` (what is sent and answered), `servers` (which server, and tries), and
`connection` (one HTTP exchange).
"""
