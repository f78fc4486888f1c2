# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What the package takes of verl: the list is that of the code, verl has it all, and what is gone is named."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from verl_prpo.trainer.checks import verl_symbols
from verl_prpo.trainer.checks.verl_page import BEGIN, drawn
from verl_prpo.trainer.checks.verl_symbols import PARTS, TAKEN, TRAINER, Taken, VerlLacks, lacking, require

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "verl.md"
PACKAGE = ROOT / "verl_prpo"
LIST = PACKAGE / "trainer" / "checks" / "verl_symbols.py"
HOOKS = [*PARTS][:5]

ENTRY_POINTS = "verl.plugins"
"""A group of entry points, which is no module."""


def dotted(node: ast.AST) -> str | None:
    """`a.b.c` of an attribute, with the module in the place of `import_module("verl.x")`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return None if inner is None else f"{inner}.{node.attr}"
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module" and node.args:
        name = node.args[0]
        return name.value if isinstance(name, ast.Constant) and str(name.value).startswith("verl") else None
    return None


def used(source: str) -> Iterator[str]:
    """Modules and symbols of verl's that a file names: in imports, as `import_module`, in texts that are a module."""
    tree = ast.parse(source)
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            module = dotted(node.value)
            if module is not None and re.match(r"verl\.", module):
                modules[node.targets[0].id] = module
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and re.match(r"verl(\.|$)", node.module or ""):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and re.fullmatch(r"(?:pkg://)?verl(?:\.\w+)+", str(node.value)):
            yield str(node.value).removeprefix("pkg://")
        elif isinstance(node, ast.Attribute):
            name = dotted(node) or ""
            first, _, rest = name.partition(".")
            root: ast.AST = node
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Call) and name.startswith("verl."):
                yield name
            elif first in modules:
                yield f"{modules[first]}.{rest}"


def files() -> list[Path]:
    return [file for file in PACKAGE.rglob("*.py") if file.parent != LIST.parent or file.name[:5] != "verl_p"]


def test_every_module_and_symbol_of_verl_that_the_code_names_is_listed() -> None:
    names = {taken.name for taken in TAKEN}
    modules = {taken.module for taken in TAKEN}
    # A longer name is of something that a listed symbol holds, a shorter one the way to a listed symbol.
    missing = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in files()
        if file != LIST
        for name in used(file.read_text(encoding="utf-8"))
        if name != ENTRY_POINTS
        and name not in modules
        and not any(name == one or name.startswith(f"{one}.") or one.startswith(f"{name}.") for one in names)
    }
    assert missing == set()


def test_the_search_finds_what_it_is_made_for() -> None:
    source = """
from verl.a import b
def f():
    c = importlib.import_module("verl.c")
    c.d.e()
    importlib.import_module("verl.f").g
    hook(one, "verl.h")
"""
    assert {"verl.a.b", "verl.c.d.e", "verl.f.g", "verl.h"} <= set(used(source))


def test_everything_listed_is_named_in_the_code() -> None:
    code = "\n".join(file.read_text(encoding="utf-8") for file in files() if file != LIST)
    unused = [
        taken.name
        for taken in TAKEN
        if not re.search(rf"\b{re.escape((taken.symbol or taken.module).rpartition('.')[2])}\b", code)
    ]
    assert unused == []


def test_every_method_of_verl_that_is_overridden_is_listed() -> None:
    pairs = [
        ("verl_prpo.trainer.mixin", "ProcessAware", "verl.trainer.ppo.v1.trainer_base", "PPOTrainer"),
        ("verl_prpo.trainer.reward_manager", "PrmRewardManager", "", ""),
        ("verl_prpo.outcome.math_verifier", "MathVerifierRewardManager", "", ""),
        ("verl_prpo.evaluation.manager", "EvaluationRewardManager", "", ""),
        ("verl_prpo.trainer.agent_loop", "StreamingAgentLoopWorker", "", ""),
        ("verl_prpo.trainer.agent_loop", "StreamingAgentLoopManager", "", ""),
    ]
    listed = {taken.symbol.rpartition(".")[2] for taken in TAKEN}
    for module, name, base_module, base_name in pairs:
        cls = getattr(importlib.import_module(module), name)
        base = getattr(importlib.import_module(base_module), base_name) if base_module else cls.__mro__[1]
        overridden = {own for own, value in vars(cls).items() if inspect.isfunction(value) and hasattr(base, own)} - {
            "__init__"
        }
        assert overridden <= listed, f"{name}: {overridden - listed}"


def test_every_hook_of_the_plugin_looks_up_its_part() -> None:
    plugin = (PACKAGE / "plugin.py").read_text(encoding="utf-8")
    assert re.findall(r'^ +_require_of_verl\("(.*)", \w+\)$', plugin, re.MULTILINE) == HOOKS
    assert all(f'("{part}", "verl' in plugin for part in HOOKS)


def test_the_installed_verl_has_all_that_the_hooks_take() -> None:
    gone, unseen = lacking(HOOKS)
    assert gone == [] and unseen == []


def test_the_page_is_what_the_list_says(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert drawn(page) == page, f"run python -m verl_prpo.trainer.checks.verl_page {PAGE}"
    assert all(f"`{taken.module}`" in page and taken.why in page for taken in TAKEN)
    changed = tmp_path / "page.md"
    changed.write_text(page.replace("`PPOTrainer._setup`", "`PPOTrainer.setup`"), encoding="utf-8")
    command = [sys.executable, "-m", "verl_prpo.trainer.checks.verl_page", str(changed)]
    subprocess.run(command, check=True, timeout=120)
    assert changed.read_text(encoding="utf-8") == page
    with pytest.raises(ValueError, match="needs the lines"):
        drawn(page.replace(BEGIN, ""))


class TestWhatIsGone:
    def test_a_method_is_named_with_why_and_what_to_install(self, monkeypatch) -> None:
        from verl.trainer.ppo.v1.trainer_base import PPOTrainer

        require(TRAINER)
        monkeypatch.delattr(PPOTrainer, "_compute_old_log_prob")
        with pytest.raises(
            VerlLacks,
            match=r"verl [\d.]+\w* \(.*\) lacks what the trainer modes of verl-prpo takes of it: "
            r"verl\.trainer\.ppo\.v1\.trainer_base\.PPOTrainer\._compute_old_log_prob \(why it is needed: the process "
            r"pass begins here.*\)\. Install a verl",
        ):
            require(TRAINER)

    def test_an_argument_is_named(self, monkeypatch) -> None:
        from verl.trainer.ppo.v1.trainer_base import PPOTrainer

        monkeypatch.setattr(PPOTrainer, "_compute_advantage", lambda self, batch, scores: batch)
        with pytest.raises(VerlLacks, match=r"the argument metrics of verl\.\S+\.PPOTrainer\._compute_advantage"):
            require(TRAINER)

    def test_an_attribute_is_named(self) -> None:
        base = "verl.trainer.ppo.v1.trainer_base"
        taken = Taken(TRAINER, base, "PPOTrainer", "to see", sets=("tokenizer", "tokeniser"))
        assert taken.faults() == [f"the attribute tokeniser of {base}.PPOTrainer"]

    def test_a_module_is_named(self) -> None:
        assert Taken(TRAINER, "verl.trainer.nowhere", "", "to see").faults() == ["the module verl.trainer.nowhere"]
        assert Taken(TRAINER, "verl.nowhere.at_all", "x", "to see").faults() == ["the module verl.nowhere"]

    def test_a_package_that_verl_itself_misses_is_no_fault_of_verls(self, monkeypatch) -> None:
        def fails(name: str) -> None:
            raise ModuleNotFoundError("No module named 'vllm'", name="vllm")

        monkeypatch.setattr(verl_symbols.importlib, "import_module", fails)
        gone, unseen = lacking([TRAINER])
        assert gone == [] and "No module named 'vllm'" in unseen[0][0]


class TestScript:
    """tests/against_verl.sh."""

    @staticmethod
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        script = ROOT / "tests" / "against_verl.sh"
        return subprocess.run(["bash", str(script), *arguments], capture_output=True, text=True, timeout=300)

    def test_a_tree_is_tried_under_its_own_version(self) -> None:
        installed = Path(importlib.import_module("verl").__file__ or "").parents[1]
        ended = self.run(str(installed), "--collect-only", "tests/unit/test_metrics.py")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert re.search(r"verl \S+ of .*\n(.*\n)*.*symbols are taken, 0 gone", ended.stdout)
        assert "test_metrics.py::" in ended.stdout and "passed with verl" in ended.stdout

    def test_what_is_no_tree_is_refused(self, tmp_path: Path) -> None:
        for arguments, said in (
            ((), "usage: bash tests/against_verl.sh PATH_TO_VERL"),
            ((str(tmp_path / "gone"),), "there is no such folder"),
            ((str(tmp_path),), "holds no verl/__init__.py: give the root of a checkout of verl"),
        ):
            ended = self.run(*arguments)
            assert ended.returncode == 2 and said in ended.stderr
