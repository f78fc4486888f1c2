# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Parameter offload without pinned memory.

verl/workers/engine/fsdp/transformer_impl.py (FSDPEngine._build_fsdp_module) offloads every forward-only model, such as
the KL reference policy, with `CPUOffloadPolicy(pin_memory=True)`. Pinning page-locks memory for an accelerator and
fails where there is none. No verl setting turns it off.
"""

from __future__ import annotations

import importlib.metadata
from types import ModuleType
from typing import Any

import wrapt

from verl_prpo.cpu.versions import VERL_SERIES, release_matches


def _patch(module: ModuleType) -> None:
    from torch.distributed.fsdp import CPUOffloadPolicy

    def unpinned_offload_policy(*args: Any, **kwargs: Any) -> CPUOffloadPolicy:
        """Return the offload policy verl asks for, with `pin_memory=False`."""
        return CPUOffloadPolicy(pin_memory=False)

    if module.CPUOffloadPolicy is CPUOffloadPolicy and release_matches(
        "verl", importlib.metadata.version("verl"), VERL_SERIES, "offload without pinned memory"
    ):
        module.CPUOffloadPolicy = unpinned_offload_policy  # type: ignore[attr-defined]


def install() -> None:
    """Replace the policy class in verl's FSDP engine once verl imports that engine."""
    wrapt.register_post_import_hook(_patch, "verl.workers.engine.fsdp.transformer_impl")
