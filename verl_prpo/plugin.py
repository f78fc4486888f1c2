# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What `import verl` loads, in every process: hooks that register each part when verl imports the module it belongs to.

verl imports this module through the entry point `verl.plugins` while its own `__init__` is still running, and in
processes that never train. So nothing of the trainer, of vLLM or of transformers is imported here. verl logs a plugin
that fails to load at DEBUG only. Here a failure is a warning with its reason, because all that would follow is "unknown
estimator".
"""

import functools
import importlib
import os
import sys
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

_TESTED_VERL = ("0.9.1", "0.10.0.dev0")
"""First and last version with which the fast end-to-end test passed (docs/verl.md)."""


def _loudly(part: str, action: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    """Turn a failure to register `part`, or a verl that lacks what the part takes, into a warning: it must not break
    runs that do without it."""

    @functools.wraps(action)
    def guarded(module: ModuleType) -> None:
        try:
            action(module)
        except Exception as error:
            warnings.warn(
                f"verl-prpo could not register its {part}: {type(error).__name__}: {error}. "
                "Runs that use it will not work; check that the installed verl is >=0.9.1,<=0.10.0.dev0.",
                RuntimeWarning,
                stacklevel=2,
            )

    return guarded


def _require_of_verl(part: str, module: ModuleType) -> None:
    # Once verl is at the module of a hook, the others that the part takes from are imported for it anyway.
    from verl_prpo.trainer.checks.verl_symbols import require

    require(part, module.__name__)


def _register_estimator(core_algos: ModuleType) -> None:
    _require_of_verl("advantage estimator prpo", core_algos)
    from verl_prpo.trainer.estimator import compute_prpo_advantage

    core_algos.register_adv_est("prpo")(compute_prpo_advantage)


def _register_reward_manager(module: ModuleType) -> None:
    _require_of_verl("reward manager prm", module)
    # It registers itself. Its import may be what brought verl's module here.
    importlib.import_module("verl_prpo.trainer.reward_manager")


def _register_math_verifier(module: ModuleType) -> None:
    _require_of_verl("reward manager math_verifier", module)
    importlib.import_module("verl_prpo.outcome.math_verifier")  # registers itself


def _make_trainers_process_aware(module: ModuleType) -> None:
    _require_of_verl("trainer modes", module)
    # It does so at its end. Its import may be what brought verl's module here.
    importlib.import_module("verl_prpo.trainer.mixin")


def _check_settings_with_verl(config_module: ModuleType) -> None:
    import wrapt

    if not hasattr(config_module, "validate_config"):  # `import verl` comes here, and is to load no more than needed
        _require_of_verl("settings check", config_module)

    def validate_config(wrapped: Callable[..., Any], instance: Any, args: tuple, kwargs: dict) -> Any:
        from verl_prpo.trainer.checks.config_check import check_config, notices

        config = kwargs["config"] if "config" in kwargs else args[0]
        check_config(config)
        for notice in notices(config):
            print(f"[verl-prpo] {notice}")
        return wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper(config_module, "validate_config", validate_config)


def _warn_of_untested_verl() -> None:
    from packaging.version import Version

    verl = Version(sys.modules["verl"].__version__)
    if not Version(_TESTED_VERL[0]) <= verl <= Version(_TESTED_VERL[1]):
        warnings.warn(
            f"verl-prpo is made for verl >={_TESTED_VERL[0]},<={_TESTED_VERL[1]} and finds {verl}; PRPO may not work.",
            RuntimeWarning,
            stacklevel=2,
        )


def _install() -> None:
    # Imported here rather than above, so that even its absence is the warning below.
    import wrapt

    for part, module, action in (
        ("advantage estimator prpo", "verl.trainer.ppo.core_algos", _register_estimator),
        ("reward manager prm", "verl.experimental.reward_loop.reward_manager", _register_reward_manager),
        ("reward manager math_verifier", "verl.experimental.reward_loop.reward_manager", _register_math_verifier),
        ("trainer modes", "verl.trainer.ppo.v1", _make_trainers_process_aware),
        ("settings check", "verl.utils.config", _check_settings_with_verl),
    ):
        wrapt.register_post_import_hook(_loudly(part, action), module)
    if os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu":
        from verl_prpo.cpu import activate

        activate()


try:
    _warn_of_untested_verl()
    _install()
except Exception as error:
    warnings.warn(f"verl-prpo failed to load: {type(error).__name__}: {error}", RuntimeWarning, stacklevel=2)
    raise
