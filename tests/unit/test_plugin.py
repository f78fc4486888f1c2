# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What `import verl` does with the plugin installed, seen from fresh interpreters."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from verl_prpo.trainer.checks.config_check import TRAINER_MODES

TIMEOUT = 300

REGISTRIES = """
import json, sys
import verl
imported = sorted(sys.modules)

def name_of(part):
    return f"{part.__module__}.{part.__qualname__}"

from verl.trainer.ppo import core_algos
import verl.experimental.reward_loop.reward_manager
from verl.experimental.reward_loop.reward_manager.registry import REWARD_MANAGER
from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY, PPOTrainer
import verl.trainer.ppo.v1
from verl.utils.config import validate_config

trainers = dict(TRAINER_REGISTRY)
if "verl_prpo.trainer.mixin" in sys.modules:
    sys.modules["verl_prpo.trainer.mixin"].make_process_aware(TRAINER_REGISTRY)

print(json.dumps({
    "imported": imported,
    "estimators": {name: name_of(fn) for name, fn in core_algos.ADV_ESTIMATOR_REGISTRY.items()},
    "managers": {name: name_of(cls) for name, cls in REWARD_MANAGER.items()},
    "trainers": {name: [name_of(cls) for cls in cls.__mro__] for name, cls in TRAINER_REGISTRY.items()},
    "grpo_is_verls_own": core_algos.get_adv_estimator_fn("grpo") is core_algos.compute_grpo_outcome_advantage,
    "validate_config": hasattr(validate_config, "__wrapped__"),
    "unchanged_by_a_second_time": trainers == TRAINER_REGISTRY,
}))
"""

TRAINER_FIRST = """
import json
import verl_prpo.trainer.mixin
from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY
print(json.dumps({name: [c.__name__ for c in cls.__mro__] for name, cls in TRAINER_REGISTRY.items()}))
"""

IN_A_RAY_WORKER = """
import json, ray
ray.init(address="local", num_cpus=1, include_dashboard=False)

@ray.remote
def registered():
    import os, verl
    from verl.experimental.reward_loop.reward_manager import get_reward_manager_cls
    from verl.trainer.ppo.core_algos import get_adv_estimator_fn
    parts = [get_adv_estimator_fn("prpo"), get_reward_manager_cls("prm")]
    return [part.__module__ for part in parts], [name for name in os.environ if name.startswith("VERL_USE_EXTERNAL")]

print(json.dumps(ray.get(registered.remote(), timeout=240)))
"""

FAILING = """
import sys
from importlib.abc import MetaPathFinder

class Blocker(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "{blocked}":
            raise ImportError("blocked on purpose")

sys.meta_path.insert(0, Blocker())
import verl
from verl.trainer.ppo import core_algos
print(sorted(core_algos.ADV_ESTIMATOR_REGISTRY))
"""

GONE = """
import verl
from verl_prpo.trainer.checks import verl_symbols as symbols
gone = symbols.Taken(symbols.ESTIMATOR, "verl.trainer.ppo.core_algos", "nothing_of_the_kind", "to see")
symbols.TAKEN = (*symbols.TAKEN, gone)
from verl.trainer.ppo import core_algos
print(sorted(core_algos.ADV_ESTIMATOR_REGISTRY))
"""

VERSIONS = """
import json, sys, warnings
import verl

def warning_for(version):
    verl.__version__ = version
    sys.modules.pop("verl_prpo.plugin", None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import verl_prpo.plugin
    return [str(w.message) for w in caught]

versions = ("0.9.0", "0.9.1", "0.9.2.dev1", "0.10.0.dev0", "0.10.0")
print(json.dumps({version: warning_for(version) for version in versions}))
"""


@pytest.fixture(scope="module")
def without_plugin() -> dict[str, Any]:
    return _registries("none")


@pytest.fixture(scope="module")
def with_plugin() -> dict[str, Any]:
    return _registries("auto")


def test_import_verl_loads_the_plugin_and_nothing_heavy(with_plugin: dict, without_plugin: dict) -> None:
    more = set(with_plugin["imported"]) - set(without_plugin["imported"])
    assert {"verl_prpo", "verl_prpo.plugin"} <= more
    assert not [name for name in more if name.split(".")[0] not in ("verl_prpo", "wrapt")]
    assert not [name for name in more if name.startswith("verl_prpo.") and name != "verl_prpo.plugin"]


def test_the_three_parts_are_registered_once_verl_imports_their_modules(with_plugin: dict) -> None:
    assert with_plugin["estimators"]["prpo"] == "verl_prpo.trainer.estimator.compute_prpo_advantage"
    assert with_plugin["managers"]["prm"] == "verl_prpo.trainer.reward_manager.PrmRewardManager"
    assert with_plugin["managers"]["math_verifier"] == "verl_prpo.outcome.math_verifier.MathVerifierRewardManager"
    assert all("verl_prpo.trainer.mixin.ProcessAware" in lineage for lineage in with_plugin["trainers"].values())
    assert with_plugin["validate_config"]


def test_what_verl_registers_itself_is_as_without_the_plugin(with_plugin: dict, without_plugin: dict) -> None:
    for registry, ours in (("estimators", {"prpo"}), ("managers", {"prm", "math_verifier"})):
        assert ours.isdisjoint(without_plugin[registry])
        assert {name: p for name, p in with_plugin[registry].items() if name not in ours} == without_plugin[registry]
    assert with_plugin["grpo_is_verls_own"]


def test_every_trainer_mode_is_a_subclass_of_verls_own(with_plugin: dict, without_plugin: dict) -> None:
    assert set(with_plugin["trainers"]) == set(without_plugin["trainers"]) == set(TRAINER_MODES)
    for mode, lineage in with_plugin["trainers"].items():
        assert lineage[1:] == ["verl_prpo.trainer.mixin.ProcessAware", *without_plugin["trainers"][mode]]
    assert with_plugin["unchanged_by_a_second_time"]


def test_the_trainer_modes_are_registered_whichever_module_is_imported_first() -> None:
    run = _run(TRAINER_FIRST)
    assert "could not register" not in run.stderr
    lineages = json.loads(run.stdout.splitlines()[-1])
    assert set(lineages) == set(TRAINER_MODES)
    assert all(lineage.count("ProcessAware") == 1 for lineage in lineages.values())


@pytest.mark.ray
def test_a_ray_worker_has_the_parts_without_an_environment_variable() -> None:
    modules, variables = json.loads(_run(IN_A_RAY_WORKER).stdout.splitlines()[-1])
    assert modules == ["verl_prpo.trainer.estimator", "verl_prpo.trainer.reward_manager"]
    assert variables == []


def test_a_part_that_cannot_be_registered_is_a_visible_warning_with_the_reason() -> None:
    run = _run(FAILING.format(blocked="verl_prpo.trainer.estimator"))
    assert "RuntimeWarning: verl-prpo could not register its advantage estimator prpo" in run.stderr
    assert "ImportError: blocked on purpose" in run.stderr
    assert "'grpo'" in run.stdout
    assert "'prpo'" not in run.stdout


def test_a_symbol_that_verl_no_longer_has_is_a_visible_warning_before_anything_is_registered() -> None:
    run = _run(GONE)
    assert "RuntimeWarning: verl-prpo could not register its advantage estimator prpo: VerlLacks: verl " in run.stderr
    assert "verl.trainer.ppo.core_algos.nothing_of_the_kind (why it is needed: to see)" in run.stderr
    assert "docs/verl.md lists what is taken" in run.stderr
    assert "'grpo'" in run.stdout
    assert "'prpo'" not in run.stdout


def test_a_plugin_that_cannot_load_is_a_visible_warning_with_the_reason() -> None:
    run = _run(FAILING.format(blocked="wrapt"))
    assert "RuntimeWarning: verl-prpo failed to load: ImportError: blocked on purpose" in run.stderr
    assert "'grpo'" in run.stdout


def test_a_verl_that_was_never_tested_is_named_in_a_warning() -> None:
    warned = json.loads(_run(VERSIONS, VERL_USE_EXTERNAL_PLUGINS="none").stdout.splitlines()[-1])
    assert {version for version, messages in warned.items() if messages} == {"0.9.0", "0.10.0"}
    assert "verl-prpo is made for verl >=0.9.1,<=0.10.0.dev0 and finds 0.10.0" in warned["0.10.0"][0]


def _registries(plugins: str) -> dict[str, Any]:
    return json.loads(_run(REGISTRIES, VERL_USE_EXTERNAL_PLUGINS=plugins).stdout.splitlines()[-1])


def _run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter outside the checkout, so that the installed package answers."""
    unset = ("VERL_USE_EXTERNAL_PLUGINS", "VERL_USE_EXTERNAL_MODULES", "VERL_PLATFORM", "PYTHONWARNINGS", "PYTHONPATH")
    env = {name: value for name, value in os.environ.items() if name not in unset} | variables
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env=env,
        cwd=os.path.expanduser("~"),
    )
    assert run.returncode == 0, run.stderr
    return run
