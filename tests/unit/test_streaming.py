# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""verl's agent loop worker with what streaming adds: which responses are marked for the reward manager, and where the
scores that come back go. Only the reward-loop worker is left out, so that what it is sent can be seen."""

import asyncio
import subprocess
import sys
from types import SimpleNamespace

import pytest
import ray
import verl.trainer.ppo.v1.agent_loop_tq as agent_loop_tq
from ray import cloudpickle
from verl.experimental.agent_loop import AgentLoopOutput
from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics

from verl_prpo.step.messages import SCORES, TO_SCORE_BESIDE, FinishedSession
from verl_prpo.trainer.agent_loop import StreamingAgentLoopManager, StreamingAgentLoopWorker

QUESTION = [{"role": "user", "content": "1 + 1?"}]
KWARGS = {"uid": "u7", "session_id": 2, "raw_prompt": QUESTION, "data_source": "d", "global_steps": 1}
SCORED = {"starts": [0], "result": {"texts": ["a"]}, "fingerprint": "f"}


class Seen:
    """A worker whose responses are scored at once, and what the TransferQueue and the reward manager got."""

    def __init__(self, monkeypatch):
        self.sent, self.put = [], []
        self.worker = StreamingAgentLoopWorker.__new__(StreamingAgentLoopWorker)
        self.worker.processor, self.worker.distillation_enabled = None, False
        self.worker.tokenizer = None
        self.worker.mm_processor_kwargs = {}
        self.worker.reward_loop_worker_handles = [SimpleNamespace(compute_score=SimpleNamespace(remote=self.score))]

        async def put(**given):
            self.put.append(given)

        monkeypatch.setattr(agent_loop_tq.tq, "async_kv_batch_put", put)

    async def score(self, data):
        marked = data.non_tensor_batch.get(TO_SCORE_BESIDE)
        self.sent.append(marked[0] if marked is not None else None)
        await asyncio.sleep(0.01)  # sessions of training and validation take turns here
        scores = SCORED
        if marked is not None and isinstance(marked[0], FinishedSession):
            scores = [SCORED, *(SCORED | {"fingerprint": str(i)} for i in range(1, len(marked[0].outputs)))]
        return {
            "reward_score": 1.0,
            "reward_extra_info": {"acc": 1.0, **({SCORES: scores} if marked is not None else {})},
        }

    def extra_fields(self) -> list[dict]:
        return [getattr(row, "data", row) for given in self.put for row in given["fields"]["extra_fields"]]


def output(**fields) -> AgentLoopOutput:
    """What verl's agent loops return."""
    return AgentLoopOutput(
        prompt_ids=[1, 2],
        response_ids=[3, 4, 5],
        response_mask=[1, 0, 1],
        response_logprobs=[-0.5, 0.0, -0.25],
        num_turns=2,
        metrics=AgentLoopMetrics(),
        **fields,
    )


@pytest.fixture
def seen(monkeypatch):
    return Seen(monkeypatch)


def test_a_response_of_training_tells_where_its_own_tokens_are(seen):
    asyncio.run(seen.worker._agent_loop_postprocess(output(), False, **KWARGS))
    (response,) = seen.sent
    assert (response.key, response.messages) == ("u7_2_0", QUESTION)
    assert (response.response_ids, response.response_mask) == ([3, 4, 5], [1, 0, 1])
    assert response.log_probs == [-0.5, 0.0, -0.25]
    assert seen.put[0]["keys"] == ["u7_2_0"] and seen.put[0]["partition_id"] == "train"


def test_scores_lie_beside_verls_own_reward_information(seen):
    asyncio.run(seen.worker._agent_loop_postprocess(output(), False, **KWARGS))
    (extra,) = seen.extra_fields()
    assert extra["reward_extra_info"] == {"acc": 1.0} and extra[SCORES] == SCORED
    assert TO_SCORE_BESIDE not in seen.put[0]["fields"].keys()


def test_validation_is_outcome_only_even_while_training_responses_finish(seen):
    async def both():
        await asyncio.gather(
            *(
                seen.worker._agent_loop_postprocess(output(), bool(i % 2), **{**KWARGS, "uid": f"u{i}"})
                for i in range(6)
            )
        )

    asyncio.run(both())
    assert {marked.key for marked in seen.sent if marked} == {"u0_2_0", "u2_2_0", "u4_2_0"}
    assert seen.sent.count(None) == 3
    for given in seen.put:
        (extra,) = [getattr(row, "data", row) for row in given["fields"]["extra_fields"]]
        assert (SCORES in extra) == (given["partition_id"] == "train")
        assert extra["reward_extra_info"] == {"acc": 1.0}


def test_each_output_of_a_session_goes_with_its_own_prompt_and_gets_its_own_scores(seen):
    from tiny_models import qwen_tokenizer  # not above: the last test sends what stands there to another process

    tokenizer = qwen_tokenizer(separator=None)
    seen.worker.tokenizer = tokenizer
    later = output()
    later.prompt_ids = tokenizer.encode(
        "<|im_start|>user\nSummary: 1 + 1 is asked.<|im_end|>\n<|im_start|>assistant\n", add_special_tokens=False
    )
    asyncio.run(seen.worker._agent_loop_postprocess([output(), later], False, **KWARGS))
    (session,) = seen.sent
    first, second = session.outputs
    assert (first.key, second.key) == ("u7_2_0", "u7_2_1") and first.messages == QUESTION
    assert second.messages == [{"role": "user", "content": "Summary: 1 + 1 is asked."}]
    assert second.prompt_length == len(later.prompt_ids)
    assert [extra[SCORES] for extra in seen.extra_fields()] == [SCORED, SCORED | {"fingerprint": "1"}]
    assert all(extra["reward_extra_info"] == {"acc": 1.0} for extra in seen.extra_fields())
    assert seen.put[0]["keys"] == ["u7_2_0", "u7_2_1"]


def test_rewards_of_the_loop_itself_are_verls_affair(seen):
    rewarded = output(reward_score=0.5, extra_fields={"reward_extra_info": {"acc": 0.5}})
    asyncio.run(seen.worker._agent_loop_postprocess(rewarded, False, **KWARGS))
    assert seen.sent == [] and len(seen.put) == 1


def test_ray_makes_actors_of_these_workers():
    manager = StreamingAgentLoopManager(
        SimpleNamespace(actor_rollout_ref=SimpleNamespace(rollout=None, model=None)), llm_client=None
    )
    assert manager.agent_loop_workers_class.__ray_actor_class__ is StreamingAgentLoopWorker
    assert issubclass(StreamingAgentLoopWorker, agent_loop_tq.AgentLoopWorkerTQ.__ray_actor_class__)


ARRIVED = """
import inspect
import sys

from ray import cloudpickle

arrived = cloudpickle.load(open(sys.argv[1], "rb"))
cells = [cell.cell_contents for cell in inspect.unwrap(arrived.__init__).__closure__ or ()]
assert cells and all(cell in arrived.__mro__ for cell in cells), cells
"""


def test_the_actor_can_be_made_in_another_process(tmp_path):
    """Ray sends a class of its own making; what `super()` in its `__init__` means must be the same there."""
    actor = ray.remote(StreamingAgentLoopWorker)
    (tmp_path / "actor.pkl").write_bytes(cloudpickle.dumps(actor.__ray_metadata__.modified_class))
    command = [sys.executable, "-c", ARRIVED, str(tmp_path / "actor.pkl")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
