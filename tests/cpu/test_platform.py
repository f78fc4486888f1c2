# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What verl asks of a platform, answered for the CPU."""

from __future__ import annotations

import pytest
import torch

from verl_prpo.cpu.device_module import CpuDeviceModule
from verl_prpo.cpu.platform import CpuPlatform

platform = CpuPlatform()
device = CpuDeviceModule()

MEMORY_CALLS = ["memory_allocated", "memory_reserved", "max_memory_allocated", "max_memory_reserved"]


def test_the_current_device_can_be_given_to_tensor_to():
    assert torch.zeros(1).to(platform.current_device()).device.type == "cpu"


@pytest.mark.skipif(torch.accelerator.is_available(), reason="an index names an accelerator here")
def test_an_index_could_not():
    """Once this fails, the platform can return an index as verl's interface says."""
    with pytest.raises((RuntimeError, AssertionError)):
        torch.zeros(1).to(0)


@pytest.mark.parametrize("name", [*MEMORY_CALLS, "mem_get_info", "empty_cache", "ipc_collect", "get_rng_state"])
def test_torch_cpu_lacks_what_verl_calls(name):
    """Once this fails, torch.cpu has the call and the device module can drop it."""
    assert not hasattr(torch.cpu, name)
    getattr(device, name)()


@pytest.mark.parametrize("name", MEMORY_CALLS)
def test_memory_is_this_processs_resident_set_in_bytes(name):
    assert 50e6 < getattr(device, name)() < device.get_device_properties().total_memory


def test_memory_of_the_machine_is_available_then_total():
    available, total = device.mem_get_info()
    assert 0 < available < total


def test_other_calls_go_to_torch_cpu():
    assert device.device_count() == 1
    device.synchronize()
    device.set_device(0)
    with pytest.raises(AttributeError):
        _ = device.no_such_call


def test_seeding_and_restoring_the_generator_repeats_it():
    platform.manual_seed_all(3)
    state = device.get_rng_state()
    first = torch.rand(2)
    device.set_rng_state(state)
    assert torch.equal(torch.rand(2), first)


def test_ray_slots_are_gpus_and_weights_travel_through_shared_memory():
    assert platform.ray_resource_options(1) == {"num_gpus": 1}
    assert not platform.is_ipc_supported()


def test_no_method_of_the_interface_is_missing():
    assert not CpuPlatform.__abstractmethods__
    assert platform.get_device_capability() == (None, None)
    assert platform.communication_backend_name() == "gloo"
