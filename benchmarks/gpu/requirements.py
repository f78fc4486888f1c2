# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Whether what is installed has what it asks for, over the environment and the machine behind it.

`pip check` looks at every package of the machine, and not at extras such as `fastapi[standard]`. Here it is the wheels
that were carried and this package, with all that they lead to.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from wheel_folder import normal


@dataclass(frozen=True)
class Package:
    """An installed package.

    Attributes:
        version: as its metadata has it.
        requires: its requirements, as its metadata has them.
        folder: where it lies.
    """

    version: str
    requires: tuple[str, ...] = ()
    folder: str = ""


def unmet(installed: Mapping[str, Package], roots: Iterable[str], requirements: ModuleType) -> list[str]:
    """Requirements that no installed package meets, as sentences.

    Args:
        installed: by normal name, what an import would find.
        roots: normal names, from which requirements are followed.
        requirements: the module `packaging.requirements`.

    Returns:
        One line each, sorted. A root that is not installed gives none.
    """
    pending = [(root, "") for root in roots]
    seen: set[tuple[str, str]] = set()
    lines: set[str] = set()
    while pending:
        name, extra = pending.pop()
        if (name, extra) in seen or name not in installed:
            continue
        seen.add((name, extra))
        package = installed[name]
        who = f"{name}{f'[{extra}]' if extra else ''} {package.version}"
        for text in package.requires:
            try:
                asked = requirements.Requirement(text)
            except ValueError as error:
                lines.add(f"{who} has a requirement that cannot be read: {error}")
                continue
            if not _applies(asked, extra):
                continue
            other = normal(asked.name)
            extras = f"[{','.join(sorted(asked.extras))}]" if asked.extras else ""
            bare = f"{asked.name}{extras}{asked.specifier}"
            if other not in installed:
                lines.add(f"{who} needs {bare}: not there")
            elif not asked.specifier.contains(installed[other].version, prereleases=True):
                lines.add(f"{who} needs {bare}: {installed[other].version} is there, in {installed[other].folder}")
            pending += [(other, wanted) for wanted in ("", *map(normal, asked.extras))]
    return sorted(lines)


def _applies(asked: Any, extra: str) -> bool:
    """Whether a requirement holds here, and for an extra, whether it holds for that alone."""
    if not asked.marker:
        return not extra
    if extra and asked.marker.evaluate({"extra": ""}):
        return False
    return asked.marker.evaluate({"extra": extra})
