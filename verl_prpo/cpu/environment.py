# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Environment variables the CPU platform sets where the user has not.

They are defaults: a variable that is already set wins. The driver sets them before `ray.init` starts a local cluster,
so Ray's workers and vLLM's processes inherit them. On a cluster that is already up, set `VERL_PLATFORM=cpu` where the
cluster is started. Each worker then sets the rest for itself and its children.
"""

from __future__ import annotations

import os

DEFAULTS: dict[str, str] = {
    # verl/workers/engine/base.py (EngineRegistry.get_engine_cls) knows the FSDP engine for cuda and npu only; the
    # engine itself asks the platform for its device.
    "VERL_ENGINE_DEVICE": "cuda",
    # vllm/platforms/__init__.py: with this set vLLM takes its CPU platform without probing for accelerators.
    "VLLM_TARGET_DEVICE": "cpu",
    # vllm/platforms/cpu.py: GiB of KV cache. Without it vLLM reserves gpu_memory_utilization of the machine's memory.
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # Policy and rollout take turns on the same cores: threads that spin while they wait (OpenMP's default) or that
    # outnumber the cores slow the other side down.
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    # vllm/utils/ompmultiprocessing.py pins vLLM's threads to one core each unless told not to.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # vllm/platforms/cpu.py: without this the executor `uni` becomes `mp`, one more process with all of vLLM's imports.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # vllm/v1/sample/ops/logprobs.py and topk_topp_sampler.py compile their helpers with a C++ compiler during the
    # first generation, which costs more than it ever saves at this scale.
    "TORCHDYNAMO_DISABLE": "1",
}


def set_defaults() -> None:
    """Set every variable of `DEFAULTS` that is not set yet."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
