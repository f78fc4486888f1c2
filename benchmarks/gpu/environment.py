# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""An environment for a machine without a network: what it has, and over that the wheels of a folder.

It is a virtual environment of its own, which also sees the packages of the interpreter that made it. So torch and what
belongs to a driver stay the machine's, and nothing of the machine is changed. The lists in wheels/ say which wheels a
machine with torch and nothing else lacks.
"""

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LISTS = Path(__file__).resolve().parent / "wheels"
INSTALL_TIMEOUT = 1800.0
"""Seconds in which pip must have installed the wheels."""
OTHERS = "_packages_of_the_machine.pth"
"""The file that lets the environment see the interpreter's own packages, after its own."""


class EnvironmentFault(RuntimeError):
    """The wheels cannot be installed. The message says what to change."""


def prepare(wheels: Path, into: Path, root: Path) -> tuple[str, dict[str, Any]]:
    """Make the environment, or bring it up to date.

    Args:
        wheels: folder of wheels.
        into: folder of the environment.
        root: the checkout, which is installed too, so that verl finds the plugin.

    Returns:
        Its interpreter; and which wheels were installed, which of them were there, and which of the lists are missing.

    Raises:
        EnvironmentFault: no wheels, no pip, two versions of one package, or what pip says.
    """
    offered = found_wheels(wheels)
    into = into.resolve()
    python = into / "bin" / "python"
    if not python.is_file():
        _run([sys.executable, "-m", "venv", "--without-pip", str(into)], "python -m venv")
    _see_the_machine(python)
    there = _versions(python)
    to_install = {name: version for name, version in offered.items() if there.get(name) != version}
    pip = _pip(wheels)
    command = [*pip, "--python", str(python), "install", "--quiet", "--no-index", "--no-deps"]
    if to_install:
        print(f"installing {len(to_install)} wheels of {wheels} into {into}", flush=True)
        pins = [f"{name}=={version}" for name, version in sorted(to_install.items())]
        _run([*command, "--no-compile", "--find-links", str(wheels.resolve()), *pins], "pip install")
    if "verl-prpo" not in there:
        _run([*command, "--no-build-isolation", "--editable", str(root)], "pip install --editable")
    there = _versions(python)
    lists = {name: pinned(LISTS / f"{name}.txt") for name in ("verl", "vllm")}
    missing = {name: sorted(f"{k}=={v}" for k, v in pins.items() if k not in there) for name, pins in lists.items()}
    for name, lacks in missing.items():
        if lacks:
            print(
                f"of wheels/{name}.txt {len(lacks)} are missing: {', '.join(lacks[:6])}{', ...' if lacks[6:] else ''}"
            )
    return str(python), {"installed": to_install, "there": len(offered) - len(to_install), "missing": missing}


def found_wheels(folder: Path) -> dict[str, str]:
    """Names and versions of the wheels in a folder.

    Raises:
        EnvironmentFault: there are none, or two versions of one package.
    """
    if not folder.is_dir():
        raise EnvironmentFault("no such folder")
    found: dict[str, str] = {}
    for file in sorted(folder.rglob("*.whl")):
        name, version = normal(file.name.split("-")[0]), file.name.split("-")[1].replace("_", "-")
        if name == "pip":
            continue  # it installs the others where the machine has none
        if found.get(name, version) != version:
            raise EnvironmentFault(f"two versions of {name}, {found[name]} and {version}; leave one")
        found[name] = version
    sources = sorted(file.name for file in folder.rglob("*.tar.gz"))
    if sources:
        raise EnvironmentFault(
            f"{', '.join(sources)}: sources, which a machine without a network cannot build; make the folder with "
            "`pip wheel --no-deps -w DIR -r LIST` in place of pip download"
        )
    if not found:
        raise EnvironmentFault("no wheels in it; make it with `pip wheel --no-deps -w DIR -r LIST` (docs/gpu.md)")
    return found


def pinned(file: Path) -> dict[str, str]:
    """Names and versions of a list, without those of the lists that it includes."""
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    pairs = (line.split("==") for line in lines if "==" in line)
    return {normal(name): version for name, version in pairs}


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _see_the_machine(python: Path) -> None:
    """Put this interpreter's packages behind the environment's own. `--system-site-packages` would not do: made from
    another virtual environment it shows that one's base."""
    own = {Path(path).resolve() for path in sys.path if path}
    folders = [path for path in own if path.name in ("site-packages", "dist-packages")]
    folders += [Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")]
    listed = sorted({str(path) for path in folders if path.is_dir()})
    (site,) = python.parent.parent.glob("lib/python*/site-packages")
    (site / OTHERS).write_text("".join(f"{path}\n" for path in listed))


def _versions(python: Path) -> dict[str, str]:
    """What an interpreter finds, the first of each name."""
    code = "import importlib.metadata as m\nfor d in m.distributions(): print(d.metadata['Name'], d.version)"
    found: dict[str, str] = {}
    for line in _run([str(python), "-c", code], "the environment").splitlines():
        name, _, version = line.partition(" ")
        found.setdefault(normal(name), version)
    return found


def _pip(wheels: Path) -> list[str]:
    """The machine's pip, else that of a wheel."""
    have = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, env=_quiet(), check=False)
    if have.returncode == 0:
        return [sys.executable, "-m", "pip"]
    carried = sorted(wheels.rglob("pip-*.whl"))
    if not carried:
        raise EnvironmentFault(f"{sys.executable} has no pip; put a wheel of pip into the folder")
    return [sys.executable, str(carried[-1] / "pip")]


def _run(command: list[str], what: str) -> str:
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT, env=_quiet(), check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFault(f"{what} took more than {INSTALL_TIMEOUT:.0f} s") from error
    if ended.returncode != 0:
        said = [line for line in ended.stderr.splitlines() if line.strip()][-8:]
        raise EnvironmentFault("\n".join([f"{what} failed:", *said]))
    return ended.stdout


def _quiet() -> Mapping[str, str]:
    """This process's variables without those that send pip elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHONPATH"))}
    return kept | {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
