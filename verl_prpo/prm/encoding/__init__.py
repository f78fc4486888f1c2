# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Turn a prompt and the segments of a response into the token ids that a PRM reads.

Reading order: `shown` (which segments are steps), `response` (one response), `batch` (many, and back to results),
`truncation` (what fits into the context), `dialogue`, `chat_template` and `tokens` (how families write text),
`tensors`.
"""
