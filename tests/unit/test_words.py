# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Docstrings of the package are sentences, see CONTRIBUTING.md: no semicolons, and no function without a verb."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "verl_prpo"
FRAGMENT = re.compile(r"(What|Whether|Which|How|Where|As|Of|By|For|With|From|To) ")
"""How a docstring begins that has no verb, or is the end of a sentence whose beginning is the function's name."""


def docstrings(file: Path) -> Iterator[tuple[int, str, bool]]:
    """Yield line and text of each docstring, also of attributes, and whether it is a function's."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        body = getattr(node, "body", None)
        for i, part in enumerate(body if isinstance(body, list) else ()):
            text = part.value.value if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) else None
            if isinstance(text, str):
                function = i == 0 and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                yield part.lineno, text.strip(), function


FOLDERS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists())


@pytest.mark.parametrize("folder", [".", *FOLDERS])
def test_docstrings_are_sentences(folder: str) -> None:
    found = [
        f"{file.relative_to(PACKAGE)}:{line}: {text.splitlines()[0]}"
        for file in sorted(PACKAGE.glob("*.py") if folder == "." else (PACKAGE / folder).rglob("*.py"))
        for line, text, function in docstrings(file)
        if ";" in re.sub(r"`[^`]*`", "", text) or (function and FRAGMENT.match(text))
    ]
    assert not found, "\n".join(found)
