# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The device module verl's platform hands out for the CPU: `torch.cpu` and the calls it lacks.

verl asks the device module for memory figures, random state and cache control as it would ask `torch.cuda`
(verl/utils/memory_utils.py, verl/workers/engine_workers.py, verl/utils/profiler/performance.py). `torch.cpu` has none
of these. Memory is reported as the resident set of the calling process, in bytes.
"""

from __future__ import annotations

import resource
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import torch


class CpuDeviceModule(ModuleType):
    """A module object that answers like `torch.cuda` does, for the CPU."""

    def __init__(self) -> None:
        super().__init__("verl_prpo.cpu.device", "torch.cpu with memory, random-state and cache calls")

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cpu, name)

    @staticmethod
    def get_device_name(device: object = None) -> str:
        """Return `"CPU"`, the key of verl's table of peak FLOPS (verl/utils/flops_counter.py)."""
        return "CPU"

    @staticmethod
    def get_device_properties(device: object = None) -> SimpleNamespace:
        """Return the machine's memory as `total_memory`, in bytes."""
        return SimpleNamespace(name="CPU", total_memory=psutil.virtual_memory().total)

    @staticmethod
    def memory_allocated(device: object = None) -> int:
        """Return the resident set of this process, in bytes."""
        return psutil.Process().memory_info().rss

    @staticmethod
    def memory_reserved(device: object = None) -> int:
        """Return the resident set of this process, in bytes: the CPU allocator reserves nothing beyond it."""
        return psutil.Process().memory_info().rss

    @staticmethod
    def max_memory_allocated(device: object = None) -> int:
        """Return the largest resident set this process has had, in bytes."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024

    max_memory_reserved = max_memory_allocated

    @staticmethod
    def mem_get_info(device: object = None) -> tuple[int, int]:
        """Return the machine's `(available, total)` memory, in bytes."""
        memory = psutil.virtual_memory()
        return memory.available, memory.total

    @staticmethod
    def get_rng_state(device: object = None) -> torch.Tensor:
        """Return the CPU generator's state, as `torch.get_rng_state` does."""
        return torch.get_rng_state()

    @staticmethod
    def set_rng_state(new_state: torch.Tensor, device: object = None) -> None:
        """Restore the CPU generator's state."""
        torch.set_rng_state(new_state)

    @staticmethod
    def empty_cache() -> None:
        """Return: the CPU allocator keeps no cache that could be released."""

    @staticmethod
    def ipc_collect() -> None:
        """Return: there are no inter-process device handles on a CPU."""

    @staticmethod
    def reset_peak_memory_stats(device: object = None) -> None:
        """Return: the operating system's peak cannot be reset."""

    @staticmethod
    def reset_accumulated_memory_stats(device: object = None) -> None:
        """Return: no accumulated figures are kept."""

    @staticmethod
    def set_per_process_memory_fraction(fraction: float, device: object = None) -> None:
        """Return: main memory is not divided between processes."""
