# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Process reward models, which turn the messages and the segments of a response into one score per segment.

Reading order: `results` (what is asked and what comes back), `load` (the front door), `families/base` (what a family of
PRMs is), `encoding/` (from text to token ids), `in_process/` (weights here) or `server/` (weights at vLLM servers),
`replicas/` (several of either, for training). `cache` remembers scores.
"""
