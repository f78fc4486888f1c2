# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Replicas and client on a real Ray: what is started, what fails, and that nothing hangs."""

import asyncio
import dataclasses
import threading
import time

import pytest
import ray
import torch
from fault_server import FaultServer, asking, rows
from ray.util.placement_group import placement_group_table
from tiny_models import instruct_model, qwen_math_prm

from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.families.qwen_math import QwenMathPrm
from verl_prpo.prm.in_process.engine import InProcessEngine
from verl_prpo.prm.replicas import start as replicas_module
from verl_prpo.prm.replicas.actor import PrmReplica, compile_models
from verl_prpo.prm.replicas.client import PrmClient
from verl_prpo.prm.replicas.start import lookup_replicas, start_replicas, stop_replicas
from verl_prpo.prm.results import PrmFailure, PrmRequest
from verl_prpo.settings.prpo import CustomFamily, PrmConfig

pytestmark = pytest.mark.ray

QUESTION = [{"role": "user", "content": "1 + 1?"}]

# A forward pass that waits for as long as the text says: no sound model can be made to hang.
SLOW = """
import time

from verl_prpo.prm.families.qwen_math import QwenMathPrm


class Unknown(Exception):
    def __str__(self):
        return self.args[0]()

    def __reduce__(self):
        raise TypeError("not to be sent")


class Slow(QwenMathPrm):
    name = "slow"

    def forward(self, batch):
        for row in batch:
            text = self.dialogue.tokenizer.decode(row.input_ids)
            if "wait" in text:
                time.sleep(float(text.split("wait ")[1].split(";")[0]))
            if "break" in text:
                raise ZeroDivisionError("a fault of this family")
            if "unknown" in text:
                raise Unknown(lambda: "a fault that only this process knows")
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
        overlong="raise",
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


def wait_until_gone(name: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            ray.get_actor(name)
        except ValueError:
            return
        time.sleep(0.1)
    raise TimeoutError(f"{name} is still there")


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
                "engine": "in_process",
                "servers": (),
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
        assert all(result.failure is None for result in score_all(config, [[f"So {i}."] for i in range(40)]))
        assert sum(count for _, count in calls) == 40 and len(calls) <= 4
        assert {name for name, _ in calls} == {"prm_replica_0", "prm_replica_1"}

    def test_a_slow_call_leaves_the_rest_to_the_other_replica(self, config):
        async def main():
            client = PrmClient(config, lambda: lookup_replicas(config))
            slow = asyncio.create_task(client.score(QUESTION, ["wait 12; So 2."]))
            await asyncio.sleep(0.5)
            quick = [await client.score(QUESTION, ["So 2."]) for _ in range(10)]
            return quick, slow.done(), await slow

        quick, done, slow = asyncio.run(main())
        assert all(result.failure is None for result in [*quick, slow])
        assert not done

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
        assert "ZeroDivisionError: a fault of this family" in broken.detail and "prm_replica_" in broken.detail

    def test_a_fault_that_cannot_be_sent_comes_back_as_text(self, config):
        (broken,) = score_all(config, [["unknown"]])
        assert broken.failure is PrmFailure.ENGINE_ERROR
        assert broken.detail.endswith("Unknown: a fault that only this process knows")

    def test_a_replica_that_is_not_there_leaves_its_share_to_the_others(self, config):
        config = dataclasses.replace(config, num_replicas=3)
        assert [replica is None for replica in lookup_replicas(config)] == [False, False, True]
        assert [result.failure for result in score_all(config, [["So 2."]] * 9)] == [None] * 9

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
        assert 2 <= first < 7
        assert following.failure is PrmFailure.TIMEOUT and second < 1.9  # at once, not after a wait of its own
        assert back.failure is None  # the call is back, and so is the replica

    def test_a_second_prm_in_the_same_job_is_refused_and_the_first_goes_on(self, config):
        with pytest.raises(PrmError, match="another PRM"):
            start_replicas(config, "cpu")
        assert score_all(config, [["So 2."]])[0].failure is None


def test_the_only_replica_killed_during_a_call_is_a_failure_not_a_hang(config):
    config = one_of(config)
    (replica,) = start_replicas(config, "cpu")

    async def main():
        client = PrmClient(config, lambda: lookup_replicas(config))
        call = asyncio.create_task(client.score(QUESTION, ["wait 50; So 2."]))
        await asyncio.sleep(1)
        ray.kill(replica)
        began = time.monotonic()
        during = await call
        nobody = await client.score(QUESTION, ["So 2."])
        return during, nobody, time.monotonic() - began

    during, nobody, seconds = asyncio.run(main())
    stop_replicas()
    assert (during.scores, during.failure) == (None, PrmFailure.REPLICA_DIED)
    assert "prm_replica_0" in during.detail
    assert nobody.failure is PrmFailure.REPLICA_DIED and "no replica is left" in nobody.detail
    assert seconds < 20


def test_a_prm_can_be_started_as_soon_as_another_was_stopped(config):
    for _ in range(2):
        (replica,) = start_replicas(one_of(config), "cpu")
        assert ray.get(replica.describe.remote(), timeout=30).family == "slow"
        stop_replicas()


def test_a_client_that_comes_late_counts_a_missing_replica_among_the_dead(config):
    first, second = start_replicas(config, "cpu")
    ray.kill(first)
    wait_until_gone("prm_replica_0")

    async def main():
        client = PrmClient(config, lambda: lookup_replicas(config))
        alive = await client.score(QUESTION, ["So 2."])
        ray.kill(second)
        await client.score(QUESTION, ["So 3."])
        return alive, await client.score(QUESTION, ["So 4."])

    alive, nobody = asyncio.run(main())
    stop_replicas()
    assert alive.failure is None
    assert nobody.failure is PrmFailure.REPLICA_DIED
    assert "prm_replica_0: it is not there: it died or was never started; prm_replica_1: " in nobody.detail


def test_with_all_replicas_gone_a_late_client_says_so(config):
    for i, replica in enumerate(start_replicas(config, "cpu")):
        ray.kill(replica)
        wait_until_gone(f"prm_replica_{i}")
    with pytest.raises(PrmError, match=r"none of its replicas \(reward\.prm\.num_replicas=2\) is there\. They died"):
        score_all(config, [["So 2."]])
    stop_replicas()


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


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise KeyError('hidden_size')", "KeyError: 'hidden_size'"),
        ("raise type('Own', (PrmError,), {})('in its own words')", "in its own words"),
        ("return None", "load returned NoneType"),
        ("loaded = super().load(*args, **kw); loaded.prior_std = 0; return loaded", "Slow.prior_std must be"),
    ],
)
def test_a_custom_family_that_fails_to_load_is_told_as_text_with_its_setting(config, tmp_path, body, message):
    load = f"    @classmethod\n    def load(cls, *args, **kw):\n        {body}\n"
    (tmp_path / "mine.py").write_text(f"from verl_prpo.prm.families.base import PrmError\n{SLOW}\n{load}")
    config = one_of(config, custom_family=CustomFamily(str(tmp_path / "mine.py"), "Slow"))
    with pytest.raises(PrmError) as caught:
        PrmReplica().load(config, "cpu")
    assert type(caught.value) is PrmError and message in str(caught.value)
    assert "own words" in message or "reward.prm.custom_family (path=" in str(caught.value)


def test_a_fault_of_loading_that_cannot_be_sent_comes_back_as_text(config, tmp_path):
    load = "    @classmethod\n    def load(cls, *args, **kw):\n        raise Unknown(lambda: 'only here')\n"
    (tmp_path / "mine.py").write_text(f"{SLOW}\n{load}")
    config = one_of(config, custom_family=CustomFamily(str(tmp_path / "mine.py"), "Slow"))
    with pytest.raises(PrmError, match=r"reward\.prm\.custom_family.*: Unknown: only here$"):
        start_replicas(config, "cpu")
    assert groups_left() == []


def test_a_fault_of_ray_itself_while_loading_is_told_as_such(config, monkeypatch):
    class Sealed:
        def load(self, config, device_type):
            raise RuntimeError(threading.Lock())  # cannot be serialised

    monkeypatch.setattr(replicas_module, "PrmReplica", Sealed)
    with pytest.raises(PrmError, match=r"prm_replica_0 failed to load reward\.prm\.model_path="):
        start_replicas(one_of(config), "cpu")
    assert groups_left() == []


def test_an_amount_below_rays_precision_is_refused_with_the_keys(config):
    small = one_of(config)
    small.num_cpus_per_replica = 1e-5  # which the settings refuse already
    with pytest.raises(PrmError, match=r"Ray cannot reserve 1e-05 CPU.*reward\.prm\.num_cpus_per_replica"):
        start_replicas(small, "cpu")
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


class TestServedReplicas:
    """Replicas that hold no weights and ask servers."""

    @pytest.fixture(scope="class")
    def family(self, folder):
        return QwenMathPrm.open(str(folder))

    @pytest.fixture
    def served(self, config):
        yield dataclasses.replace(asking(config, retries=1), custom_family=CustomFamily())
        stop_replicas()

    def test_they_take_no_gpu_and_give_the_servers_scores(self, served, family):
        segment_lists = [[f"We add {i}. ", "So 2."] for i in range(60)]
        with FaultServer(family.separator_id, lambda number, ids: "slow") as server:
            config = dataclasses.replace(asking(served, urls=[server.url]), num_gpus_per_replica=1)
            replicas = start_replicas(config, "cuda")
            assert ray.available_resources()["GPU"] == 1
            described = ray.get([replica.describe.remote() for replica in replicas], timeout=30)
            results = score_all(config, segment_lists)
        assert [(d.engine, d.servers, d.device) for d in described] == [("server", (server.url,), "")] * 2
        for texts, result in zip(segment_lists, results, strict=True):
            ids = family.encode(QUESTION, texts).input_ids
            assert result.scores == [right for _, right in rows(ids, family.separator_id)]
        assert server.most_in_flight > 1

    def test_the_reward_models_router_is_handed_in(self, served, family):
        with FaultServer(family.separator_id, health=404) as server:
            config = one_of(served, engine="reward_model")
            (replica,) = start_replicas(config, "cpu", server_urls=[server.url])
            described = ray.get(replica.describe.remote(), timeout=30)
        stop_replicas()
        assert (described.engine, described.servers) == ("reward_model", (server.url,))
        with pytest.raises(PrmError, match="no server of the PRM is known"):
            start_replicas(config, "cpu")

    def test_a_dead_server_stops_the_start_with_its_url_and_the_reason(self, served, family):
        with FaultServer(family.separator_id) as server:
            pass
        began = time.monotonic()
        with pytest.raises(PrmError, match=f"{server.url}/health: connection refused.*prm.server.urls") as caught:
            start_replicas(asking(served, urls=[server.url]), "cpu")
        assert time.monotonic() - began < 30
        assert str(caught.value).startswith("1 of the PRM's 1 servers cannot be used") and groups_left() == []

    def test_a_server_that_dies_is_a_failure_of_each_response(self, served, family):
        with FaultServer(family.separator_id) as server:
            config = one_of(asking(served, urls=[server.url]))
            replicas = start_replicas(config, "cpu")  # they live as long as somebody holds them
        results = score_all(config, [["So 2."], ["We add."], ["So 2."]])
        assert len(replicas) == 1
        assert [result.failure for result in results] == [PrmFailure.REFUSED] * 3

    def test_a_fault_of_opening_names_the_model_and_the_family(self, served, tmp_path):
        with FaultServer(0) as server:
            path = instruct_model(tmp_path / "lm")
            config = one_of(asking(served, urls=[server.url]), model_path=str(path))
            with pytest.raises(PrmError, match=r"the family of the PRM .* cannot be detected"):
                start_replicas(config, "cpu")
        assert groups_left() == []


class TestCompiling:
    def test_a_compiled_prm_gives_the_same_scores(self, folder, monkeypatch):
        def load():
            return QwenMathPrm.load(str(folder), device=torch.device("cpu"), dtype=torch.float32)

        compiled = []
        monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **options: compiled.append((self, options)))
        family = load()
        compile_models(family)
        assert compiled == [(family.model.model, {"dynamic": True})]
        monkeypatch.undo()
        family.model.model.compile(dynamic=True, backend="eager")
        requests = [PrmRequest(QUESTION, ["We add. " * i, "So 2."]) for i in (1, 4, 9)]
        results, expected = (InProcessEngine(prm, 256).score(requests) for prm in (family, load()))
        for result, wanted in zip(results, expected, strict=True):
            assert result.scores == pytest.approx(wanted.scores, abs=1e-5)

    def test_a_family_without_a_transformers_model_is_refused(self, folder):
        with pytest.raises(PrmError, match=r"reward\.prm\.compile=true.*qwen_math_prm.*Unset"):
            compile_models(QwenMathPrm.open(str(folder)))
