# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""An environment for a machine without a network: what it has, and over that the wheels of a folder.

It is a virtual environment of its own, which also sees the packages of the interpreter that made it. So torch and what
belongs to a driver stay the machine's, and nothing of the machine is changed. The lists in wheels/ say which wheels a
machine with torch and nothing else lacks.
"""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from machine_pip import EnvironmentFault, packaging, pip_command
from requirements import Package, unmet
from wheel_folder import GATHER, damaged, found_wheels, listed, normal, pinned

LISTS = Path(__file__).resolve().parent / "wheels"
PLUGIN = "verl-prpo"
INSTALL_TIMEOUT = 1800.0
"""Seconds in which pip must have installed the wheels."""
OTHERS = "_packages_of_the_machine.pth"
"""The file that lets the environment see the interpreter's own packages, after its own."""
UNFINISHED = "unfinished"
"""A file that lies in the environment while pip installs. Where it is found, the environment is made anew."""
INSTALLED = """
import importlib.metadata, json
found = {}
for one in importlib.metadata.distributions():
    name = one.metadata["Name"]
    if name and name not in found:
        found[name] = {"version": one.version, "requires": one.requires or [], "folder": str(one.locate_file(""))}
print("INSTALLED" + json.dumps(found))
"""


def prepare(wheels: Path, into: Path, root: Path) -> tuple[str, dict[str, Any]]:
    """Make the environment, or bring it up to date.

    Args:
        wheels: folder of wheels.
        into: folder of the environment.
        root: the checkout, which is installed too, so that verl finds the plugin.

    Returns:
        Its interpreter; and which wheels were installed, how many of them were there, which of the lists are missing,
        and which requirements are not met. The last two are printed, and stop nothing.

    Raises:
        EnvironmentFault: wheels that cannot be installed here, no pip, or what pip says.
    """
    offered = found_wheels(wheels)
    pip = pip_command(wheels)
    into = into.resolve()
    python = into / "bin" / "python"
    _make(into)
    _see_the_machine(python)
    there = _installed(python)
    version = packaging(wheels, "version").Version
    to_install = {k: v for k, v in offered.items() if k not in there or not _same(there[k].version, v, version)}
    command = [*pip, "--python", str(python), "install", "--quiet", "--no-index", "--no-deps"]
    unfinished = into / UNFINISHED
    if to_install:
        unfinished.touch()
        print(f"installing {len(to_install)} wheels of {wheels} into {into}", flush=True)
        pins = [f"{name}=={number}" for name, number in sorted(to_install.items())]
        try:
            _run([*command, "--no-compile", "--find-links", str(wheels.resolve()), *pins], "pip install")
        except EnvironmentFault as error:
            broken = damaged(wheels)
            if broken:
                raise EnvironmentFault(f"{listed(broken)}: damaged; copy it again") from error
            raise
        _compile(python)
    unfinished.unlink(missing_ok=True)
    if PLUGIN not in there:
        _run([*command, "--no-build-isolation", "--editable", str(root)], "pip install --editable")
    there = _installed(python)
    missing = {name: _missing(name, there) for name in ("verl", "vllm")}
    faults = unmet(there, [*offered, PLUGIN], packaging(wheels, "requirements"))
    for line in faults:
        print(f"not met: {line}", flush=True)
    report = {"installed": to_install, "there": len(offered) - len(to_install), "missing": missing, "unmet": faults}
    return str(python), report


def _make(into: Path) -> None:
    """A virtual environment of this interpreter, anew where the one there was not finished or is of another Python."""
    unfinished = into / UNFINISHED
    made = (into / "pyvenv.cfg").is_file()
    same = (into / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}").is_dir()
    if made and same and not unfinished.exists():
        return
    if made:
        if not unfinished.exists() and not any(into.glob(f"lib/python*/site-packages/{OTHERS}")):
            raise EnvironmentFault(
                f"{into} is an environment of another Python, which this command did not make; name another folder "
                "with --environment"
            )
        print(f"making {into} anew: it was not finished, or is of another Python", flush=True)
    _run([sys.executable, "-m", "venv", "--without-pip", *(["--clear"] if made else []), str(into)], "python -m venv")
    unfinished.touch()


def _compile(python: Path) -> None:
    """Write the bytecode on all cores. Else each process of Ray and vLLM does so by itself when it first imports, and
    again each time where PYTHONDONTWRITEBYTECODE is set, as in many containers: longer than the 30 s that Ray waits."""
    (site,) = python.parent.parent.glob("lib/python*/site-packages")
    command = [str(python), "-m", "compileall", "-q", "-j", "0", "-x", "/tests/", str(site)]
    try:
        _run(command, "compileall")
    except EnvironmentFault:
        pass  # templates that are no Python, as some packages have; what was compiled counts


def _missing(name: str, there: Mapping[str, Package]) -> list[str]:
    """What a list names and nothing has, printed with the command that gathers it."""
    lacks = sorted(f"{k}=={v}" for k, v in pinned(LISTS / f"{name}.txt").items() if k not in there)
    if lacks:
        print(
            f"neither the folder nor the machine has {len(lacks)} of wheels/{name}.txt: {listed(lacks)}; "
            f"`{GATHER.format(name)}` gathers them, and the stages that need them are skipped",
            flush=True,
        )
    return lacks


def _same(one: str, other: str, version: Any) -> bool:
    """Whether two spellings are one version."""
    try:
        return version(one) == version(other)
    except ValueError:
        return one == other


def _see_the_machine(python: Path) -> None:
    """Put this interpreter's packages behind the environment's own. `--system-site-packages` would not do: made from
    another virtual environment it shows that one's base."""
    own = {Path(path).resolve() for path in sys.path if path}
    folders = [path for path in own if path.name in ("site-packages", "dist-packages")]
    folders += [Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")]
    listed = sorted({str(path) for path in folders if path.is_dir()})
    (site,) = python.parent.parent.glob("lib/python*/site-packages")
    (site / OTHERS).write_text("".join(f"{path}\n" for path in listed))


def _installed(python: Path) -> dict[str, Package]:
    """What an interpreter finds, the first of each name."""
    said = _run([str(python), "-c", INSTALLED], "the environment").splitlines()
    line = next(line for line in said if line.startswith("INSTALLED"))
    found: dict[str, Package] = {}
    for name, one in json.loads(line.removeprefix("INSTALLED")).items():
        found.setdefault(normal(name), Package(one["version"], tuple(one["requires"]), one["folder"]))
    return found


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
