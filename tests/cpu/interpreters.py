# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The environment that new interpreters get in these tests."""

from __future__ import annotations

import os

from verl_prpo.cpu.environment import DEFAULTS


def clean_environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without the platform and its defaults, and with `changes`."""
    platform = {*DEFAULTS, "VERL_PLATFORM", "VERL_USE_EXTERNAL_PLUGINS", "VERL_USE_EXTERNAL_MODULES"}
    return {name: value for name, value in os.environ.items() if name not in platform} | changes
