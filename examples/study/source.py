# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Which code made a result: digests that change with the code, and not with comments and docstrings."""

import ast
import hashlib
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
ASSETS = ("policy.py", "decoding.py", "prms.py", "vocabulary.py", "assets.py", "tasks/seen.py")
TRAINING = ("trainer.py",)
TOY = ("task.py", "slips.py")


@cache
def asset_code(task: str) -> str:
    """Of the code that a task's starting policy and learned PRMs depend on."""
    ours = [HERE / name for name in (*ASSETS, f"tasks/{task}.py")]
    toy = [HERE.parent / "toy" / name for name in TOY] if task == "chained" else []
    return digest("\n".join(code_of(file) for file in (*ours, *toy)))


@cache
def run_code(task: str) -> str:
    """Of the code that a task's runs depend on, but for what an arm does, see `study.behaviour`."""
    return digest("\n".join([asset_code(task), *(code_of(HERE / name) for name in TRAINING)]))


def code_of(file: Path) -> str:
    """What a module says to the interpreter."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):  # strings that stand alone are docstrings
            node.body = [part for part in body if not _is_docstring(part)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_docstring(part: ast.AST) -> bool:
    return isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and isinstance(part.value.value, str)


def digest(text: str) -> str:
    """Twelve hexadecimal digits."""
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
