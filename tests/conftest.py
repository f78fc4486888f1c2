# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Shared by all tests: helpers under tests/unit, tests/cpu and examples are importable by name, and `--fast` chooses
the tier of two minutes."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
if "PYTEST_XDIST_WORKER" in os.environ:
    # The process that starts the workers has read a terminal's size, which is none of the tests'.
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
for folder in (ROOT / "tests" / "unit", ROOT / "tests" / "cpu", ROOT / "examples"):
    sys.path.insert(0, str(folder))
sys.path.append(str(ROOT / "examples" / "toy"))  # its modules know each other by plain names, as when run

FAST = """
    advantage alarms announcements architecture config contracts dump_writer estimator front_door ignored_keys
    length_limit metrics outcome_scorer paper_defects prm_cache prm_chat prm_chat_template prm_engine prm_label_token
    prm_reading prm_shown prm_text prm_windows rollout_dump schedule segmentation segmenters sessions settings_page
    settings_timeouts thinking trust turns verdicts
""".split()
"""Files of tests/unit that need neither Ray nor a browser nor a run of `main_ppo`, and together take two minutes."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="only the tests that together take two minutes")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if not config.getoption("--fast") or not collection_path.name.startswith("test_"):
        return None
    return collection_path.stem.removeprefix("test_") not in FAST or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs of `main_ppo` come first: two workers that share files end together when the last files are short."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)
