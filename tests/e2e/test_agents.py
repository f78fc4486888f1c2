# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`main_ppo` with verl's own tool agent loop and a real tool: the calculator of examples/calculator."""

import importlib.util
import re
import sys
from itertools import pairwise
from pathlib import Path
from statistics import mean

import pytest

from verl_prpo.cli.main import main

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parent.parent.parent
CALCULATOR = ROOT / "examples" / "calculator"
ROLLOUT = "actor_rollout_ref.rollout"
SIGMA = 12**-0.5


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that has learned to call, and problems."""
    spec = importlib.util.spec_from_file_location("build_calculator", CALCULATOR / "build.py")
    assert spec is not None and spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    folder = tmp_path_factory.mktemp("calculator")
    build.build(folder, steps=160)
    return folder


def test_each_turn_is_cut_judged_by_what_the_tool_said_and_paid(main_ppo, task, tmp_path, capsys):
    sys.path.insert(0, str(CALCULATOR))
    from talk import judge
    from task import Problem
    from tool import evaluate

    run = main_ppo(
        "prpo_laptop",
        "trainer.total_training_steps=1",
        f"actor_rollout_ref.model.path={task / 'policy'}",
        f"data.train_files={task / 'train.parquet'}",
        f"data.val_files={task / 'val.parquet'}",
        f"reward.custom_reward_function.path={ROOT / 'examples/toy/reward.py'}",
        *("data.max_response_length=128", f"{ROLLOUT}.max_model_len=256", f"{ROLLOUT}.n=4"),
        *("data.train_batch_size=4", "actor_rollout_ref.actor.ppo_mini_batch_size=4"),
        f"{ROLLOUT}.multi_turn.enable=True",
        f"{ROLLOUT}.multi_turn.function_tool_path={CALCULATOR / 'tool.py'}",
        f"{ROLLOUT}.agent.default_agent_loop=tool_agent",
        "++algorithm.prpo.segmenter=turns",
        f"reward.prm.custom_family.path={CALCULATOR / 'prm.py'}",
        "reward.prm.custom_family.name=CalculatorChecker",
        f"reward.prm.model_path={task / 'policy'}",
    )
    assert "each response is cut and scored as it finishes" in run.log
    assert len(run.metrics()) == 1
    for step, metrics in enumerate(run.metrics(), 1):
        rollouts = run.dump(step)
        assert len(rollouts) == 16 and any(one.interludes for one in rollouts)
        turns = [len(one.turns) for one in rollouts]
        assert metrics["prpo/segments/turns/max"] == metrics["prpo/segments/max"] == max(turns) > 1
        assert metrics["prpo/segments/turns/mean"] == pytest.approx(mean(turns))
        assert metrics["prpo/segments/turns/unrecognised"] == metrics["prpo/prm/bad_mask"] == 0
        assert metrics["prpo/prm/not_streamed"] == metrics["prpo/prm/failed"] == 0
        for one in rollouts:
            assert [segment.begin for segment in one.segments] == [begin for begin, _ in one.turns]
            check_calls(one, evaluate)
            check_scores(one, judge(Problem.parse(one.messages[-1]["content"]), said_and_heard(one)))
    assert main(["report", str(run.folder / "rollouts"), "--terminal", "--limit", "16"]) == 0
    assert re.search(r"tool > -?\d+", capsys.readouterr().out)


def own_text(rollout, begin: int, end: int) -> str:
    ends = [*rollout.token_offsets[1:], len(rollout.response)]
    return rollout.response[rollout.token_offsets[begin] : ends[end - 1]]


def said_and_heard(rollout) -> list[tuple[str | None, str]]:
    heard = {one.end: one.messages[-1][1] for one in rollout.interludes if one.messages}
    return [(heard.get(begin), own_text(rollout, begin, end)) for begin, end in rollout.turns]


def check_calls(rollout, evaluate) -> None:
    """What the tool said is what it says of the call before it."""
    turns = said_and_heard(rollout)
    for (_, said), (heard, _) in pairwise(turns):
        expression = re.search(r'"expression": "([^"]*)"', said)
        if expression is not None and heard is not None and not heard.startswith("Error"):
            assert heard == evaluate(expression[1])


def check_scores(rollout, verdicts: list[bool]) -> None:
    """The verdict of each turn, z on its tokens, the outcome in addition, and nothing on the tool's tokens."""
    for segment, (begin, end), right in zip(rollout.segments, rollout.turns, verdicts, strict=True):
        if segment.score is None or not segment.text.strip():  # cut off within it, or without words
            continue
        assert segment.score == pytest.approx(0.95 if right else 0.05)
        for t in range(begin, end):
            z = (segment.score - 0.5) / SIGMA
            assert rollout.process_advantage[t] == pytest.approx(z, abs=1e-4)
            assert rollout.advantages[t] == pytest.approx(z + rollout.outcome_advantage[t], abs=1e-4)
    for one in rollout.interludes:
        assert set(rollout.advantages[one.begin : one.end]) == {0.0}
