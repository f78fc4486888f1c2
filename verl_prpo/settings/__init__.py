# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Every setting: its type, its range and what it means. Nothing else reads OmegaConf by hand."""
