# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""One backend for a process group on a device that is the host itself.

verl/utils/distributed.py (initialize_global_process_group_ray) builds the backend string
`cpu:gloo,<device>:<backend>`. On a CPU that reads `cpu:gloo,cpu:gloo`, and torch.distributed refuses a device named
twice. The function takes a `backend` argument, so the wrapper passes the one that is meant.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import wrapt

from verl_prpo.cpu.versions import VERL_SERIES, release_matches

BACKEND = "cpu:gloo"


def _with_backend(
    wrapped: Callable[..., None], instance: object, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> None:
    def call(timeout_second: float | None = None, backend: str | None = None) -> None:
        wrapped(timeout_second=timeout_second, backend=backend or BACKEND)

    call(*args, **kwargs)


def _patch(module: ModuleType) -> None:
    if isinstance(module.initialize_global_process_group_ray, wrapt.FunctionWrapper):
        return
    if release_matches("verl", importlib.metadata.version("verl"), VERL_SERIES, "the process-group backend for CPUs"):
        wrapt.wrap_function_wrapper(module, "initialize_global_process_group_ray", _with_backend)


def install() -> None:
    """Wrap verl's process-group initialisation once verl imports it."""
    wrapt.register_post_import_hook(_patch, "verl.utils.distributed")
