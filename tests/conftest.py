# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Shared by all tests: the helpers under tests/unit, tests/cpu and examples are importable by name."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if "PYTEST_XDIST_WORKER" in os.environ:
    # The process that starts the workers has read a terminal's size, which is none of the tests'.
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
for folder in (ROOT / "tests" / "unit", ROOT / "tests" / "cpu", ROOT / "examples"):
    sys.path.insert(0, str(folder))
sys.path.append(str(ROOT / "examples" / "toy"))  # its modules know each other by plain names, as when run
