# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Stock verl and a real vLLM on a CPU, for laptops and continuous integration.

The platform is switched on by `VERL_PLATFORM=cpu` and does nothing otherwise. See docs/cpu.md for what each part
answers and where the limits are.
"""

from __future__ import annotations

import os

__all__ = ["activate", "is_requested"]

_active = False


def is_requested() -> bool:
    """Return whether this process runs under `VERL_PLATFORM=cpu` (read as verl reads it: any case, stripped)."""
    return os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu"


def activate() -> None:
    """Register the CPU platform with verl and install its workarounds in this process.

    Runs while `import verl` is still running, in the driver and in every Ray worker. It imports no trainer, worker or
    vLLM module: what has to change there is hung on post-import hooks. Calling it again changes nothing.
    """
    global _active
    if _active:
        return
    from verl_prpo.cpu import distribution, environment, offload, platform, process_group

    environment.set_defaults()
    platform.register()
    distribution.install()
    process_group.install()
    offload.install()
    _active = True
