# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A PRM whose weights are in this process: `engine` scores dialogues, `forward_passes` packs them into passes."""
