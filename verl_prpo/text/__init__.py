# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""From token ids to text, and the tags that open and close a thought."""
