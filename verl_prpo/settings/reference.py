# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Every setting and every wait as tables, drawn from the fields and their docstrings into a page::

python -m verl_prpo.settings.reference docs/settings.md
"""

import ast
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from verl_prpo.settings import timeouts
from verl_prpo.settings.outcome import MathVerifierConfig
from verl_prpo.settings.prpo import PrmConfig, PrpoConfig
from verl_prpo.settings.typed import bare, choices, words

SECTIONS: dict[str, Any] = {
    "algorithm.prpo": PrpoConfig,
    "reward.prm": PrmConfig,
    "reward.math_verifier": MathVerifierConfig,
}
"""The sections of this package. verl's YAML does not have them."""

BEGIN = "<!-- Drawn from the fields of verl_prpo/settings by `python -m verl_prpo.settings.reference FILE`. -->"
END = "<!-- End of what is drawn. -->"


@dataclass(frozen=True)
class Setting:
    """One key.

    Attributes:
        key: its full name.
        values: what it may be, in Markdown.
        default: as YAML and Hydra write it, or None for a section.
        meaning: the field's docstring, in one line.
    """

    key: str
    values: str
    default: str | None
    meaning: str


def settings() -> dict[str, list[Setting]]:
    """List the keys of each section in the order of its fields. The keys of an inner section follow it."""
    return {section: list(_settings(section, cls, asdict(cls()))) for section, cls in SECTIONS.items()}


def _settings(section: str, cls: Any, defaults: dict[str, Any]) -> Iterator[Setting]:
    described = cls.__pydantic_fields__
    for name, kind in get_type_hints(cls, include_extras=True).items():
        plain, _, nullable = bare(kind)
        values = ", ".join(f"`{choice}`" for choice in choices(kind)) or words(kind).removeprefix("a ")
        meaning = " ".join((described[name].description or "").split())
        if is_dataclass(plain):
            yield Setting(f"{section}.{name}", "section", None, meaning)
            yield from _settings(f"{section}.{name}", plain, defaults[name])
        else:
            default = defaults[name] if isinstance(defaults[name], str) else json.dumps(defaults[name])
            yield Setting(f"{section}.{name}", f"{values}{' or null' if nullable else ''}", default, meaning)


def waits() -> list[tuple[str, str, str]]:
    """List name, value and meaning of each wait in `verl_prpo.settings.timeouts`."""
    body = ast.parse(Path(timeouts.__file__).read_text(encoding="utf-8")).body
    found = []
    for node, after in itertools.pairwise(body):
        if isinstance(node, ast.Assign) and isinstance(after, ast.Expr):
            name, meaning = ast.unparse(node.targets[0]), " ".join(ast.literal_eval(after.value).split())
            found.append((name, f"{getattr(timeouts, name):g}", meaning))
    return found


def tables() -> str:
    """Write the part of the page that is made from the fields."""
    parts = []
    for section, rows in settings().items():
        parts.append(f"### `{section}`\n\n| key | values | default | meaning |\n|---|---|---|---|")
        for row in rows:
            default = "" if row.default is None else f"`{row.default}`"
            parts.append(f"| `{row.key.removeprefix(section + '.')}` | {row.values} | {default} | {row.meaning} |")
        parts.append("")
    parts.append("### Every wait\n\nSeconds, unless a line says otherwise. Those without a key are constants.\n")
    parts.append("| `verl_prpo.settings.timeouts` | | who waits, for what, and what happens then |\n|---|---|---|")
    parts += [f"| `{name}` | {value} | {meaning} |" for name, value, meaning in waits()]
    return "\n".join(parts)


def drawn(page: str, mark: str = BEGIN, tables: Callable[[], str] = tables) -> str:
    """Return a page whose part from a mark to `END` is made anew.

    Raises:
        ValueError: the page lacks one of them.
    """
    before, begin, rest = page.partition(mark)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page needs the lines {mark} and {END}")
    return f"{before}{mark}\n\n{tables()}\n\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(drawn(path.read_text(encoding="utf-8")), encoding="utf-8")
