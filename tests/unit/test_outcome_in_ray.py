# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The scorer in a fresh actor of a real Ray on which imports are slow: none of them falls into a time limit."""

from pathlib import Path

import pytest
import ray

SLOW_IMPORTS = '''
import importlib.abc
import sys
import time


class Slow(importlib.abc.MetaPathFinder):
    """Makes the first import of what the scorer and its workers may need take longer than the time limit."""

    def find_spec(self, name, path, target=None):
        if name in ("sympy", "math_verify", "latex2sympy2_extended"):
            time.sleep(1.5)


sys.meta_path.insert(0, Slow())
'''
LIMIT = 1.0


@pytest.fixture
def slow_machine(tmp_path: Path):
    """A Ray whose processes and their children import slowly: Python runs `sitecustomize` of its path at its start."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_IMPORTS)
    ray.init(num_cpus=1, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": str(tmp_path)}})
    yield
    ray.shutdown()


@ray.remote(num_cpus=1)
class Scoring:
    """A process of its own in which nothing is imported yet."""

    def verdicts(self, pairs: list[tuple[str, str]], limit: float) -> list[tuple[bool, str]]:
        """Correct and method of each pair."""
        from verl_prpo.outcome.scorer import score_answer

        found = [score_answer("lighteval/MATH", f"\\boxed{{{a}}}", t, timeout=limit) for a, t in pairs]
        return [(verdict.correct, verdict.method) for verdict in found]

    def kill_workers(self) -> int:
        """Kill all workers while they are idle, as a machine without memory does."""
        import os
        import signal

        from verl_prpo.outcome.pool import shared_pool

        for pid in (pids := shared_pool().pids()):
            os.kill(pid, signal.SIGKILL)
        return len(pids)


def test_the_first_answers_of_an_actor_have_their_whole_time_limit(slow_machine) -> None:
    actor = Scoring.remote()
    pairs = [(r"\sqrt{12}", r"2\sqrt{3}"), ("x^2-1", "(x-1)(x+1)"), (r"\sqrt{12}", r"3\sqrt{2}")]
    found = ray.get(actor.verdicts.remote(pairs, LIMIT), timeout=300)
    assert found == [(True, "compared"), (True, "compared"), (False, "compared")]
    assert ray.get(actor.kill_workers.remote(), timeout=60) >= 1
    assert ray.get(actor.verdicts.remote(pairs[:1], LIMIT), timeout=300) == [(True, "compared")]
