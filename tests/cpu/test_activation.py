# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""VERL_PLATFORM=cpu, and nothing else, switches the platform on."""

from __future__ import annotations

import os

import pytest

from verl_prpo import cpu
from verl_prpo.cpu import environment, vllm_plugin

STATE = """
import os, sys
before = dict(os.environ)
import verl
from verl.plugin.platform import PlatformRegistry
print(PlatformRegistry.get("cpu"), "verl_prpo.cpu.platform" in sys.modules, "vllm" in sys.modules,
      any(type(f).__module__.startswith("verl_prpo") for f in sys.meta_path),
      sorted(set(os.environ) - set(before) - {"RAY_ENABLE_UV_RUN_RUNTIME_ENV"}))
"""


def test_without_the_variable_importing_verl_changes_nothing(run_python):
    result = run_python(STATE, VERL_PLATFORM="nvidia")
    assert result.stdout.splitlines()[-1].startswith("None False False False"), result.stderr
    assert "VERL_ENGINE_DEVICE" not in result.stdout


def test_with_the_variable_importing_verl_registers_the_platform_and_no_engine(run_python):
    result = run_python(STATE, VERL_PLATFORM=" CPU ")
    assert "CpuPlatform'> True False True" in result.stdout, result.stderr
    assert "'VERL_ENGINE_DEVICE', 'VLLM_CPU_KVCACHE_SPACE'" in result.stdout


def test_stock_verl_knows_no_platform_named_cpu(run_python):
    """Once this fails, verl has a CPU platform of its own and this package's can be compared with it."""
    result = run_python(
        "import verl; from verl.plugin.platform import get_platform; get_platform()",
        VERL_PLATFORM="cpu",
        VERL_USE_EXTERNAL_PLUGINS="none",
    )
    assert "Unknown platform 'cpu'" in result.stderr


def test_a_variable_the_user_has_set_wins(monkeypatch):
    for name in environment.DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    environment.set_defaults()
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert os.environ["VERL_ENGINE_DEVICE"] == "cuda"


@pytest.mark.parametrize("value", ["", "nvidia", "amd", "huawei"])
def test_the_vllm_plugin_leaves_accelerators_alone(monkeypatch, value):
    monkeypatch.setenv("VERL_PLATFORM", value)
    monkeypatch.setattr("verl_prpo.cpu.plain_weights.install", lambda: pytest.fail("weights were touched"))
    assert not cpu.is_requested()
    vllm_plugin.register()


def test_both_entry_points_are_installed():
    from importlib.metadata import entry_points

    (verl_entry,) = [entry for entry in entry_points(group="verl.plugins") if entry.name == "prpo"]
    (vllm_entry,) = [entry for entry in entry_points(group="vllm.general_plugins") if entry.name == "verl_prpo_cpu"]
    assert (verl_entry.value, vllm_entry.value) == ("verl_prpo.plugin", "verl_prpo.cpu.vllm_plugin:register")
