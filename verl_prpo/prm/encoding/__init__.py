# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""From a prompt and the segments of a response to the token ids that a PRM reads."""
