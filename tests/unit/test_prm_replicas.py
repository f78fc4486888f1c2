# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Replicas and client on a real Ray: what is started, what fails, and that nothing hangs."""

import asyncio
import dataclasses
import time

import pytest
import ray
import torch
from ray.util.placement_group import placement_group_table
from tiny_models import instruct_model, qwen_math_prm

from verl_prpo.config import CustomFamily, PrmConfig
from verl_prpo.prm import replicas as replicas_module
from verl_prpo.prm.client import PrmClient
from verl_prpo.prm.engine import InProcessEngine, PrmFailure, PrmRequest
from verl_prpo.prm.families.qwen_math import QwenMathPrm
from verl_prpo.prm.family import PrmError
from verl_prpo.prm.replicas import lookup_replicas, start_replicas, stop_replicas

pytestmark = pytest.mark.ray

QUESTION = [{"role": "user", "content": "1 + 1?"}]

# A forward pass that waits for as long as the text says: no sound model can be made to hang.
SLOW = """
import time

from verl_prpo.prm.families.qwen_math import QwenMathPrm


class Slow(QwenMathPrm):
    name = "slow"

    def forward(self, batch):
        for row in batch:
            text = self.dialogue.tokenizer.decode(row.input_ids)
            if "wait" in text:
                time.sleep(float(text.split("wait ")[1].split(";")[0]))
            if "break" in text:
                raise ZeroDivisionError("a fault of this family")
        return super().forward(batch)
"""


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray.init(num_cpus=4, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return qwen_math_prm(tmp_path_factory.mktemp("prm"))


@pytest.fixture(scope="module")
def config(folder):
    (folder / "slow.py").write_text(SLOW)
    return PrmConfig(
        model_path=str(folder),
        custom_family=CustomFamily(str(folder / "slow.py"), "Slow"),
        num_replicas=2,
        num_cpus_per_replica=0.5,
        timeout=60,
        startup_timeout=400,
    )


@pytest.fixture(scope="class")
def running(config):
    """Two replicas on the CPU."""
    yield start_replicas(config, "cpu")
    stop_replicas()


def one_of(config: PrmConfig, **changes) -> PrmConfig:
    """The same PRM, of which a client sees the first replica alone."""
    return dataclasses.replace(config, num_replicas=1, **changes)


def groups_left() -> list[str]:
    return [group["state"] for group in placement_group_table().values() if group["state"] != "REMOVED"]


def score_all(config, segment_lists):
    """What one client, as a reward-loop worker would hold it, makes of responses that arrive at once."""

    async def main():
        client = PrmClient(config, lambda: lookup_replicas(config))
        return await asyncio.gather(*(client.score(QUESTION, segments) for segments in segment_lists))

    return asyncio.run(main())


@pytest.mark.usefixtures("running")
class TestRunningReplicas:
    def test_they_describe_what_they_loaded(self, running, folder):
        for replica in running:
            assert dataclasses.asdict(ray.get(replica.describe.remote(), timeout=30)) == {
                "family": "slow",
                "score_range": (0.0, 1.0),
                "prior_mean": 0.5,
                "prior_std": pytest.approx(12**-0.5),
                "max_context": 256,
                "model_path": str(folder),
                "device": "cpu",
                "dtype": "float32",
            }

    def test_many_responses_get_the_scores_of_one_process(self, config, folder):
        segment_lists = [["We add. " * (i % 7 + 1), "So 2."] for i in range(150)]
        results = score_all(config, segment_lists)
        family = QwenMathPrm.load(str(folder), device=torch.device("cpu"), dtype=torch.float32)
        expected = InProcessEngine(family, 4096).score([PrmRequest(QUESTION, texts) for texts in segment_lists])
        for result, wanted in zip(results, expected, strict=True):
            assert result.failure is None and result.tokens == wanted.tokens
            assert result.scores == pytest.approx(wanted.scores, abs=1e-5)

    def test_responses_that_arrive_together_travel_in_few_calls_over_all_replicas(self, config, monkeypatch):
        calls = []
        whole_call = PrmClient._call

        async def noted(self, replica, chunk):
            calls.append((replica.name, len(chunk)))
            await whole_call(self, replica, chunk)

        monkeypatch.setattr(PrmClient, "_call", noted)
        assert all(result.failure is None for result in score_all(config, [["So 2."]] * 40))
        assert sorted(calls) == [("prm_replica_0", 20), ("prm_replica_1", 20)]

    def test_a_slow_call_leaves_the_rest_to_the_other_replica(self, config):
        async def main():
            client = PrmClient(config, lambda: lookup_replicas(config))
            slow = asyncio.create_task(client.score(QUESTION, ["wait 6; So 2."]))
            await asyncio.sleep(0.5)
            began = time.monotonic()
            quick = [await client.score(QUESTION, ["So 2."]) for _ in range(10)]
            return quick, time.monotonic() - began, await slow

        quick, seconds, slow = asyncio.run(main())
        assert all(result.failure is None for result in [*quick, slow])
        assert seconds < 4

    def test_a_client_works_in_an_async_actor(self, config):
        @ray.remote(num_cpus=0)
        class Worker:
            def __init__(self, config):
                self.client = PrmClient(config, lambda: lookup_replicas(config))

            async def score(self, segments):
                return await self.client.score(QUESTION, segments)

        worker = Worker.remote(config)
        results = ray.get([worker.score.remote(["We add.", "So 2."]) for _ in range(10)], timeout=120)
        assert all(len(result.scores) == 2 for result in results)
        ray.kill(worker)

    def test_failures_of_single_responses_come_back_as_such(self, config):
        good, long = score_all(config, [["So 2."], ["We add. " * 200]])
        assert good.failure is None
        assert long.failure is PrmFailure.OVERLONG

    def test_a_fault_of_the_family_comes_back_with_its_message(self, config):
        (broken,) = score_all(config, [["break"]])
        assert broken.failure is PrmFailure.ENGINE_ERROR
        assert "prm_replica_0: ZeroDivisionError: a fault of this family" in broken.detail

    def test_a_cancelled_request_disturbs_no_other(self, config):
        config = one_of(config)

        async def main():
            client = PrmClient(config, lambda: lookup_replicas(config))
            first = asyncio.create_task(client.score(QUESTION, ["wait 1; So 2."]))
            second = asyncio.create_task(client.score(QUESTION, ["So 2."]))
            await asyncio.sleep(0.3)
            first.cancel()
            return await second

        assert asyncio.run(main()).failure is None

    def test_a_hanging_replica_is_a_timeout_and_nothing_queues_behind_it(self, config):
        config = one_of(config, timeout=2)

        async def main():
            client = PrmClient(config, lambda: lookup_replicas(config))
            began = time.monotonic()
            hanging = await client.score(QUESTION, ["wait 8; So 2."])
            first = time.monotonic() - began
            await asyncio.sleep(0.1)
            began = time.monotonic()
            following = await client.score(QUESTION, ["So 2."])
            second = time.monotonic() - began
            await asyncio.sleep(8)
            back = await client.score(QUESTION, ["So 2."])
            return hanging, first, following, second, back

        hanging, first, following, second, back = asyncio.run(main())
        assert (hanging.scores, hanging.failure) == (None, PrmFailure.TIMEOUT)
        assert "reward.prm.timeout" in hanging.detail
        assert 2 <= first < 4
        assert following.failure is PrmFailure.TIMEOUT and second < 1
        assert back.failure is None  # the call is back, and so is the replica

    def test_a_second_prm_in_the_same_job_is_refused_and_the_first_goes_on(self, config):
        with pytest.raises(PrmError, match="another PRM"):
            start_replicas(config, "cpu")
        assert score_all(config, [["So 2."]])[0].failure is None


def test_a_replica_killed_during_a_call_is_a_failure_not_a_hang(config):
    first, second = start_replicas(config, "cpu")

    async def main():
        client = PrmClient(config, lambda: lookup_replicas(config))
        call = asyncio.create_task(client.score(QUESTION, ["wait 50; So 2."]))
        await asyncio.sleep(1)
        ray.kill(first)
        began = time.monotonic()
        during = await call
        others = [await client.score(QUESTION, ["So 2."]) for _ in range(4)]
        ray.kill(second)
        call = await client.score(QUESTION, ["So 2."])
        nobody = await client.score(QUESTION, ["So 2."])
        return during, others, call, nobody, time.monotonic() - began

    during, others, call, nobody, seconds = asyncio.run(main())
    stop_replicas()
    assert (during.scores, during.failure) == (None, PrmFailure.REPLICA_DIED)
    assert "prm_replica_0" in during.detail
    assert [result.failure for result in others] == [None] * 4
    assert call.failure is PrmFailure.REPLICA_DIED
    assert nobody.failure is PrmFailure.REPLICA_DIED and "no replica is left" in nobody.detail
    assert seconds < 20


def test_too_many_gpus_are_refused_in_time_with_the_keys(config, monkeypatch):
    assert replicas_module.PLACEMENT_TIMEOUT < 60
    monkeypatch.setattr(replicas_module, "PLACEMENT_TIMEOUT", 2.0)
    with pytest.raises(PrmError) as caught:
        start_replicas(config, "cuda")
    message = str(caught.value)
    assert "2 x (1 GPU and 0.5 CPU)" in message and "has 1 GPU, 4 CPU" in message
    keys = ("reward.prm.num_gpus_per_replica", "reward.prm.num_replicas", "trainer.n_gpus_per_node", "trainer.nnodes")
    assert all(key in message for key in keys)
    assert groups_left() == []


def test_a_model_that_is_no_prm_is_told_in_its_own_words(config, tmp_path):
    path = instruct_model(tmp_path / "lm")
    config = one_of(config, model_path=str(path), custom_family=CustomFamily(), family="qwen_math_prm")
    with pytest.raises(PrmError, match="no process-reward head") as caught:
        start_replicas(config, "cpu")
    assert "Traceback" not in str(caught.value) and caught.value.__suppress_context__
    assert groups_left() == []


def test_weights_that_do_not_load_in_time_are_told_apart_from_no_room(config, tmp_path):
    (tmp_path / "slow.py").write_text(SLOW + "\ntime.sleep(30)\n")
    config = one_of(config, startup_timeout=1.0, custom_family=CustomFamily(str(tmp_path / "slow.py"), "Slow"))
    with pytest.raises(PrmError, match=r"reward\.prm\.startup_timeout=1 s"):
        start_replicas(config, "cpu")
    assert groups_left() == []


def test_replicas_that_were_never_started_are_named_with_what_starts_them(config):
    with pytest.raises(PrmError, match=r"not running.*trainer\.use_v1"):
        score_all(config, [["So 2."]])
