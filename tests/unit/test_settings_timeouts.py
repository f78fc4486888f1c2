# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Every wait of the package stands in one table, with a sentence on what happens when it ends."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import verl_prpo
from verl_prpo.settings import timeouts

PACKAGE = Path(verl_prpo.__file__).parent
TABLE = PACKAGE / "settings" / "timeouts.py"
NAMED_SO = re.compile(r"timeout|grace|backoff|pause|keep_alive|deadline", re.IGNORECASE)
WAITING = {"sleep": 0, "join": 0, "wait": 0, "wait_for": 1}
"""Functions that wait, and which of their arguments says for how long."""


def _is_number(node: ast.AST | None) -> bool:
    if isinstance(node, ast.BinOp):
        return _is_number(node.left) and _is_number(node.right)
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)


def _strays(source: str) -> Iterator[int]:
    """Lines that say in figures how long something waits."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef):
            for here, following in zip(node.body, [*node.body[1:], None], strict=True):
                if isinstance(here, ast.Assign | ast.AnnAssign) and _is_number(here.value):
                    names = here.targets if isinstance(here, ast.Assign) else [here.target]
                    described = following.value if isinstance(following, ast.Expr) else None
                    text = str(described.value) if isinstance(described, ast.Constant) else ""
                    if NAMED_SO.search(ast.unparse(names[0])) or re.search(r"\bseconds\b", text, re.IGNORECASE):
                        yield here.lineno
        elif isinstance(node, ast.Call):
            if any(NAMED_SO.search(word.arg or "") and _is_number(word.value) for word in node.keywords):
                yield node.lineno
            place = WAITING.get(node.func.attr if isinstance(node.func, ast.Attribute) else "")
            if place is not None and len(node.args) > place and _is_number(node.args[place]):
                yield node.lineno
        elif isinstance(node, ast.arguments):
            positional = [*node.posonlyargs, *node.args]
            defaults = [*zip(reversed(positional), reversed(node.defaults), strict=False)]
            for argument, default in [*defaults, *zip(node.kwonlyargs, node.kw_defaults, strict=True)]:
                if NAMED_SO.search(argument.arg) and _is_number(default):
                    yield argument.lineno


def test_no_other_module_says_how_long_something_waits() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != TABLE
        for line in _strays(path.read_text(encoding="utf-8"))
    ]
    assert not found, "move these to verl_prpo/settings/timeouts.py"


@pytest.mark.parametrize(
    "line",
    [
        "ASK_TIMEOUT = 5.0",
        "_GRACE: float = 60 * 2",
        'LONGEST = 3\n"""Of a look at the hub, in seconds."""',
        "class Settings:\n    timeout: float = 600.0",
        "subprocess.run(command, timeout=30)",
        "asyncio.wait_for(answer, 5)",
        "time.sleep(0.1)",
        "def ask(url, timeout=3.0): ...",
        "def ask(url, *, connect_timeout=3.0): ...",
    ],
)
def test_such_a_line_is_noticed(line: str) -> None:
    assert list(_strays(line))


@pytest.mark.parametrize("line", ["run(command, timeout=ASK_TIMEOUT)", "asyncio.wait_for(answer, left)", "K = 5"])
def test_other_lines_are_left_alone(line: str) -> None:
    assert not list(_strays(line))


def test_each_wait_of_the_table_is_described_and_used() -> None:
    body = ast.parse(TABLE.read_text(encoding="utf-8")).body
    waits = [node for node in body if isinstance(node, ast.Assign)]
    assert len(waits) == len([name for name in vars(timeouts) if name.isupper()])
    package = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py") if path != TABLE)
    for node, described in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.Assign):
            name = ast.unparse(node.targets[0])
            assert isinstance(described, ast.Expr) and str(ast.literal_eval(described.value)).endswith("."), name
            assert len(re.findall(rf"\b{name}\b", package)) >= 2, f"{name} is imported and read nowhere"
