# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""PRPO (Process Relative Policy Optimization, arXiv 2601.07182) for verl: process rewards without a critic and without
a fork.

The names of `__all__` are the public API. Each is imported when it is first used, so `import verl_prpo` loads nothing
heavy. `verl_prpo.plugin` is what `import verl` loads.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verl_prpo.method.advantage import prpo_advantage
    from verl_prpo.method.segmentation import entropy_segments, random_segments, uniform_segments
    from verl_prpo.method.turns import turn_segments
    from verl_prpo.outcome.scorer import score_answer
    from verl_prpo.prm.load import load_prm
    from verl_prpo.telemetry.rollouts.read import read_rollouts

__version__ = "0.2.0.dev0"

__all__ = [
    "entropy_segments",
    "load_prm",
    "prpo_advantage",
    "random_segments",
    "read_rollouts",
    "score_answer",
    "turn_segments",
    "uniform_segments",
]

_MODULES = {
    "entropy_segments": "verl_prpo.method.segmentation",
    "load_prm": "verl_prpo.prm.load",
    "prpo_advantage": "verl_prpo.method.advantage",
    "random_segments": "verl_prpo.method.segmentation",
    "read_rollouts": "verl_prpo.telemetry.rollouts.read",
    "score_answer": "verl_prpo.outcome.scorer",
    "turn_segments": "verl_prpo.method.turns",
    "uniform_segments": "verl_prpo.method.segmentation",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'verl_prpo' has no attribute {name!r}; it offers {', '.join(__all__)}")
    found = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
