# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What vLLM loads in each of its processes (entry-point group `vllm.general_plugins`)."""

from __future__ import annotations

from verl_prpo.cpu import is_requested


def register() -> None:
    """Keep vLLM's weights loadable more than once. Without `VERL_PLATFORM=cpu` do nothing.

    vLLM calls this in its front end, its engine core and its workers, possibly several times in one process.
    """
    if not is_requested():
        return
    from verl_prpo.cpu import plain_weights

    plain_weights.install()
