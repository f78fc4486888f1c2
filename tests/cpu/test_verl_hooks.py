# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""verl's process group, offload policy and engine registry on a machine without an accelerator.

Each test first shows that stock verl still fails, then that the platform fixes it.
"""

from __future__ import annotations

import pytest

RANK_0 = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}

PROCESS_GROUP = """
import torch
from verl.utils import distributed
try:
    distributed.initialize_global_process_group_ray.__wrapped__()
except ValueError as error:
    print("stock:", " ".join(str(error).split()))
distributed.initialize_global_process_group_ray(timeout_second=30)
total = torch.ones(1)
torch.distributed.all_reduce(total)
print("platform:", torch.distributed.get_backend(), total.item())
"""

OFFLOAD = """
import torch
from torch.distributed.fsdp import CPUOffloadPolicy, fully_shard
from verl.utils.distributed import initialize_global_process_group_ray
from verl.workers.engine.fsdp import transformer_impl
initialize_global_process_group_ray(timeout_second=30)
mesh = torch.distributed.init_device_mesh("cpu", (1,))
def forward(policy):
    model = torch.nn.Linear(4, 4)
    fully_shard(model, mesh=mesh, offload_policy=policy)
    return tuple(model(torch.ones(2, 4)).shape)
try:
    print("stock:", forward(CPUOffloadPolicy(pin_memory=True)))
except Exception as error:
    print("stock:", type(error).__name__)
print("platform:", forward(transformer_impl.CPUOffloadPolicy(pin_memory=True)))
"""

ENGINE = """
import os
from verl.workers.engine import EngineRegistry
chosen = EngineRegistry.get_engine_cls("language_model", "fsdp2").__name__
del os.environ["VERL_ENGINE_DEVICE"]
try:
    print("stock:", EngineRegistry.get_engine_cls("language_model", "fsdp2"))
except Exception as error:
    print("stock:", type(error).__name__)
print("platform:", chosen)
"""


def lines(result) -> dict[str, str]:
    found = dict(line.split(": ", 1) for line in result.stdout.splitlines() if line.startswith(("stock:", "platform:")))
    assert set(found) == {"stock", "platform"}, result.stdout + result.stderr
    return found


def test_a_process_group_names_the_cpu_once(run_python):
    found = lines(run_python(PROCESS_GROUP, VERL_PLATFORM="cpu", **RANK_0))
    assert "Duplicate device type cpu" in found["stock"]
    assert found["platform"].endswith("1.0")


def test_a_reference_policy_is_offloaded_without_pinned_memory(run_python):
    found = lines(run_python(OFFLOAD, VERL_PLATFORM="cpu", **RANK_0))
    assert found["stock"] == "RuntimeError"
    assert found["platform"] == "(2, 4)"


def test_the_fsdp_engine_is_found(run_python):
    found = lines(run_python(ENGINE, VERL_PLATFORM="cpu"))
    assert found == {"stock": "ValueError", "platform": "FSDPEngineWithLMHead"}


def test_another_verl_series_is_left_alone_and_named(caplog):
    from verl_prpo.cpu.versions import VERL_SERIES, release_matches

    assert release_matches("verl", "0.9.1", VERL_SERIES, "x")
    assert release_matches("verl", "0.10.0.dev0", VERL_SERIES, "x")
    assert not release_matches("verl", "0.11.0", VERL_SERIES, "the process-group backend")
    assert "verl 0.11.0 is installed, but the process-group backend was written for 0.9.* or 0.10.*" in caplog.text


RAY = """
import ray
ray.init(num_cpus=1, num_gpus=1, include_dashboard=False)
import verl
from verl.single_controller.ray.base import ResourcePoolManager

@ray.remote
def device():
    import os
    import verl
    from verl.utils.device import get_device_name
    return get_device_name(), os.environ["VERL_ENGINE_DEVICE"]

print("platform:", *ray.get(device.remote(), timeout=60))
ResourcePoolManager({"slots": [1]}, {})._check_resource_available()
try:
    ResourcePoolManager({"slots": [2]}, {})._check_resource_available()
except ValueError as error:
    print("stock:", error)
"""


@pytest.mark.ray
def test_ray_workers_get_the_platform_and_pools_count_gpu_slots(run_python):
    found = lines(run_python(RAY, VERL_PLATFORM="cpu", RAY_USAGE_STATS_ENABLED="0"))
    assert found["platform"] == "cpu cuda"
    assert "available GPUs 1" in found["stock"]
