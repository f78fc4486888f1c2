# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The layout of the package: which part may import which, as docs/architecture.md draws it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "verl_prpo"

FLOORS = """
    method text settings outcome prm step telemetry cpu trainer data console calibration probe viewer evaluation doctor
    cli
""".split()
"""Bottom to top: a part imports from the parts before it alone."""

NO_VERL = ("method", "text", "settings", "prm", "step", "telemetry", "calibration", "probe", "viewer", "console")
"""Parts that work without verl."""


def parts_of(module: Path) -> set[str]:
    """The parts of the package that a module imports, wherever in its text."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if "." in node.module else [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("verl_prpo.")}
    return found


def test_every_part_stands_on_a_floor_and_the_top_level_is_no_drawer():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(FLOORS)
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py", "plugin.py"}


def test_no_import_leads_upward():
    upward = [
        f"{module.relative_to(ROOT)} -> {part}"
        for floor, name in enumerate(FLOORS)
        for module in (PACKAGE / name).rglob("*.py")
        for part in parts_of(module)
        if part in FLOORS and FLOORS.index(part) > floor
    ]
    assert upward == []


def test_these_parts_work_without_verl():
    modules = [module for name in NO_VERL for module in (PACKAGE / name).rglob("*.py")]
    knowing = [
        str(module.relative_to(ROOT))
        for module in modules
        if re.search(r"^\s*(?:import|from) verl\b(?!_)", module.read_text(), re.MULTILINE)
    ]
    assert len(modules) > 50 and knowing == []
