# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Replicas of a PRM as Ray actors, and the client that asks them.

Reading order: `start` (start, find and stop them), `actor` (one replica), `client` (ask them), `routing` (which one).
"""
