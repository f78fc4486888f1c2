# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The kinds of process reward models: how each writes a dialogue and where its scores are read.

Reading order: `base` (what a family is), one module per family, `label_token` and `causal_lm` (what several families
share), `checkpoints` (a model's files), `registry` and `choose` (which family a model belongs to).
"""

from verl_prpo.prm.families.choose import checked_family, family_setting, resolve_family
from verl_prpo.prm.families.registry import (
    BUILT_IN,
    ENTRY_POINTS,
    FAMILIES,
    detect_family,
    family_names,
    register_built_in_families,
    register_family,
)

__all__ = [
    "BUILT_IN",
    "ENTRY_POINTS",
    "FAMILIES",
    "checked_family",
    "detect_family",
    "family_names",
    "family_setting",
    "register_built_in_families",
    "register_family",
    "resolve_family",
]
