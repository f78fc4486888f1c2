# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The public names at the top of the package: what they are, that they cost nothing until used, that examples hold."""

import doctest
import inspect
import subprocess
import sys
from typing import Any

import pytest
import tiny_models
from report_dumps import rollout, write

import verl_prpo

NAMES = [
    "entropy_segments",
    "load_prm",
    "prpo_advantage",
    "random_segments",
    "read_rollouts",
    "score_answer",
    "turn_segments",
    "uniform_segments",
]


def test_the_public_names_are_these_functions_and_dir_lists_them():
    assert verl_prpo.__all__ == NAMES and set(NAMES) <= set(dir(verl_prpo))
    assert all(inspect.isfunction(getattr(verl_prpo, name)) for name in NAMES)


def test_an_unknown_name_is_an_attribute_error_that_lists_the_known_ones():
    with pytest.raises(AttributeError, match=r"no attribute 'prm_advantage'.*load_prm"):
        verl_prpo.prm_advantage  # noqa: B018


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, verl_prpo; print(*{'torch', 'numpy', 'transformers', 'ray', 'verl'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == ""


@pytest.mark.parametrize("name", NAMES)
def test_the_example_in_its_docstring_runs_and_prints_what_it_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {}
    if name == "read_rollouts":
        write(tmp_path / "rollouts", [rollout("Add 1 and 2. So it is 3.", scores=(0.75, 0.25))])
    if name == "load_prm":
        folder = tiny_models.qwen_math_prm(tmp_path / "prm")
        known["load_prm"] = lambda _: verl_prpo.load_prm(folder)
    function = getattr(verl_prpo, name)
    (example,) = doctest.DocTestFinder(recurse=False).find(function, name, globs=known)
    assert example.examples, f"{name} has no example"
    said: list[str] = []
    results = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=said.append)
    assert results.failed == 0, "".join(said)


def test_the_estimator_brings_no_prm_into_a_process_that_computes_advantages():
    code = "import sys, verl_prpo.trainer.estimator; print(*(m for m in sys.modules if m.startswith('verl_prpo.prm')))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert found.stdout.strip() == ""
