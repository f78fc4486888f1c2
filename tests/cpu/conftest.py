# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Fresh interpreters for the CPU platform's tests: what they check happens while `import verl` runs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from interpreters import clean_environment

RunPython = Callable[..., subprocess.CompletedProcess[str]]

collect_ignore = [] if importlib.util.find_spec("verl") else [p.name for p in Path(__file__).parent.glob("test_*.py")]


@pytest.fixture(scope="session")
def run_python() -> RunPython:
    """Run code in a new interpreter: `run_python(code, VERL_PLATFORM="cpu")`, with a timeout of 120 s."""

    def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code],
            env=clean_environment(**environment),
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run
