# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The CPU platform without the rest of verl-prpo: what VERL_USE_EXTERNAL_MODULES loads for a run without the plugin."""

from verl_prpo.cpu import activate

activate()
