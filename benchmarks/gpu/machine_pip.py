# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The pip that installs the wheels: the machine's, else one that a wheel in the folder brings."""

import importlib
import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

OLDEST = (22, 3)
"""The first pip that installs into another interpreter's environment (`--python`)."""


class EnvironmentFault(RuntimeError):
    """The wheels cannot be installed. The message says what to change."""


def pip_command(wheels: Path) -> list[str]:
    """How pip is started.

    Args:
        wheels: folder of wheels, where one of pip may lie.

    Returns:
        The first words of a command line.

    Raises:
        EnvironmentFault: the machine has no pip, or an old one, and the folder has none.
    """
    carried = _carried(wheels)
    if carried is not None:
        return [sys.executable, str(carried / "pip")]
    if importlib.util.find_spec("pip") is None:
        raise EnvironmentFault(f"{sys.executable} has no pip; put a wheel of pip into the folder")
    version = importlib.import_module("pip").__version__
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
        least = ".".join(map(str, OLDEST))
        raise EnvironmentFault(
            f"pip {version} of {sys.executable} is older than {least}; put a wheel of a newer one in"
        )
    return [sys.executable, "-m", "pip"]


def packaging(wheels: Path, module: str) -> ModuleType:
    """A module of the library `packaging` inside pip, so that the checks here read names, versions and tags as it does.

    Args:
        wheels: folder of wheels, where one of pip may lie.
        module: such as `tags`.

    Raises:
        EnvironmentFault: as `pip_command`.
    """
    pip_command(wheels)
    carried = _carried(wheels)
    if carried is not None and str(carried) not in sys.path and "pip" not in sys.modules:
        sys.path.insert(0, str(carried))
    return importlib.import_module(f"pip._vendor.packaging.{module}")


def _carried(wheels: Path) -> Path | None:
    found = sorted(wheels.rglob("pip-*.whl"))
    return found[-1].resolve() if found else None
