# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Tables of what the package takes of verl, drawn into a page::

python -m verl_prpo.trainer.checks.verl_page docs/verl.md
"""

import sys
from pathlib import Path

from verl_prpo.settings import reference
from verl_prpo.trainer.checks.verl_symbols import PARTS, TAKEN, Taken

BEGIN = "<!-- Drawn from the list in verl_symbols.py by `python -m verl_prpo.trainer.checks.verl_page FILE`. -->"


def tables() -> str:
    """Write the part of the page that is drawn: a table for each part of the package."""
    lines = []
    for part, purpose in PARTS.items():
        lines += [f"### {part[0].upper()}{part[1:]}", "", f"{purpose[0].upper()}{purpose[1:]}.", ""]
        lines += ["| module | symbol | why |", "|---|---|---|"]
        lines += [_row(taken) for taken in TAKEN if taken.part == part]
        lines.append("")
    return "\n".join(lines).rstrip()


def drawn(page: str) -> str:
    """Return a page with the tables drawn anew."""
    return reference.drawn(page, BEGIN, tables)


def _row(taken: Taken) -> str:
    symbol = f"`{taken.symbol}`" if taken.symbol else "the module"
    also = [f"arguments {_listed(taken.takes)}"] if taken.takes else []
    also += [f"attributes {_listed(taken.sets)}"] if taken.sets else []
    beside = f" ({', '.join(also)})" if also else ""
    return f"| `{taken.module}` | {symbol} | {taken.why}{beside} |"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(drawn(path.read_text(encoding="utf-8")), encoding="utf-8")
