# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A judge that writes before it decides, asked through any server that speaks OpenAI's chat completions.

Reading order: `engine` (from responses to scores), `prompts` (what the judge is asked), `verdicts` and `labels` (how
its answers are read), `chat` (one question to a server), `answers` (what an answer is, and what can be wrong with it).
"""
