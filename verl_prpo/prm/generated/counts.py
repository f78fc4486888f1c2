# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Names of what asking a judge costs and of what went wrong. `PrmResult.counts` counts it, and a step sums it up."""

COSTS = ("requests", "prompt_tokens", "completion_tokens")
"""Requests sent, failed ones included, and the tokens that servers reported for them."""

SERVERS = ("retries", "rate_limited")
"""Requests that were sent again, and answers with status 429."""

ANSWERS = ("unreadable", "wrong_steps", "cut_off", "refused", "empty", "no_logprobs")
"""Answers that hold no verdicts, see `verl_prpo.prm.generated.answers`. One that is asked for again counts as well."""

NAMES = (*COSTS, *SERVERS, *ANSWERS)
"""Each is a metric `prpo/prm/judge/{name}`."""
