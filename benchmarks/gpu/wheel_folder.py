# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A folder of wheels: what is in it, and what in it cannot be installed here."""

import platform
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

from machine_pip import EnvironmentFault, packaging

SHOWN = 6
"""Names that a message lists."""
GATHER = "pip wheel --no-deps -w DIR -r benchmarks/gpu/wheels/{}.txt"


def found_wheels(folder: Path) -> dict[str, str]:
    """Names and versions of the wheels in a folder, each of which fits this interpreter.

    Raises:
        EnvironmentFault: there are none; two versions of one package; parts of a wheel that nobody joined; a wheel cut
            short, or for another Python or system; sources.
    """
    if not folder.is_dir():
        raise EnvironmentFault("no such folder")
    files = sorted(folder.rglob("*.whl"))
    _refuse_parts(folder, {file.name for file in files})
    sources = sorted(file.name for file in folder.rglob("*.tar.gz"))
    if sources:
        raise EnvironmentFault(
            f"{listed(sources)}: sources, which a machine without a network cannot build; make the folder with "
            "`pip wheel --no-deps -w DIR -r LIST` in place of pip download"
        )
    if not files:
        raise EnvironmentFault(f"no wheels in it; make it with `{GATHER.format('vllm')}` (docs/gpu.md)")
    cut = [f"{file.name} ({file.stat().st_size:,} bytes)" for file in files if not _opens(file)]
    if cut:
        raise EnvironmentFault(
            f"{listed(cut)}: not a whole wheel; copy it again, and compare its size with the original's"
        )
    return _fitting(folder, files)


def damaged(folder: Path) -> list[str]:
    """Wheels whose content differs from their own checksums. It reads all of them, so it is for when pip has failed."""
    found = []
    for file in sorted(folder.rglob("*.whl")):
        try:
            with zipfile.ZipFile(file) as wheel:
                wrong = wheel.testzip()
        except Exception as error:  # a damaged stream raises zlib's errors too
            wrong = f"{type(error).__name__}: {error}"
        if wrong is not None:
            found.append(f"{file.name} ({wrong})")
    return found


def pinned(file: Path) -> dict[str, str]:
    """Names and versions of a list, without those of the lists that it includes."""
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    pairs = (line.split("==") for line in lines if "==" in line)
    return {normal(name): version for name, version in pairs}


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def listed(names: Iterable[str]) -> str:
    """The first of many names, and how many follow."""
    first = list(names)
    more = len(first) - SHOWN
    return ", ".join(first[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _refuse_parts(folder: Path, whole: set[str]) -> None:
    """A wheel that was split to be carried is put together before."""
    parts: dict[str, list[str]] = {}
    for file in sorted(folder.rglob("*.whl[._-]*")):
        wheel = file.name.partition(".whl")[0] + ".whl"
        if wheel not in whole:
            parts.setdefault(wheel, []).append(str(file.relative_to(folder)))
    if parts:
        wheel, files = next(iter(parts.items()))
        others = f"; so are {len(parts) - 1} more wheels" if parts.keys() - {wheel} else ""
        raise EnvironmentFault(
            f"{wheel} is in parts ({listed(files)}){others}; join them, in this order, "
            f"as with `cat {wheel}* > whole && mv whole {wheel}`"
        )


def _opens(file: Path) -> bool:
    try:
        with zipfile.ZipFile(file):
            return True
    except (zipfile.BadZipFile, OSError):
        return False


def _fitting(folder: Path, files: list[Path]) -> dict[str, str]:
    """Name and version of each wheel. A package may have wheels for several Pythons, of which one fits."""
    utils = packaging(folder, "utils")
    here = set(packaging(folder, "tags").sys_tags())
    found: dict[str, str] = {}
    strangers: dict[str, str] = {}
    fits: set[str] = set()
    for file in files:
        try:
            name, parsed, _, tags = utils.parse_wheel_filename(file.name)
        except ValueError as error:
            raise EnvironmentFault(
                f"{file.name}: no name of a wheel ({error}); keep the name it was made with"
            ) from error
        version = str(parsed)
        if name == "pip":
            continue  # it installs the others
        if found.setdefault(name, version) != version:
            raise EnvironmentFault(f"two versions of {name}, {found[name]} and {version}; leave one")
        if here.isdisjoint(tags):
            strangers[file.name] = name
        else:
            fits.add(name)
    unfit = [file for file, name in strangers.items() if name not in fits]
    if unfit:
        python = f"{platform.python_implementation()} {platform.python_version()}"
        raise EnvironmentFault(
            f"{listed(unfit)}: made for another Python or system than this one ({python}, "
            f"{' '.join(platform.libc_ver())}, {platform.machine()}); gather them again with Python "
            f"{'.'.join(platform.python_version_tuple()[:2])}, on a system no newer than this"
        )
    return found
