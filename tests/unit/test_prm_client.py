# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The client on a real Ray: who is asked, what is asked once, and what becomes of requests whose replica dies."""

import asyncio
import time
from collections import Counter

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import qwen_math_prm

from verl_prpo.prm.cache import content_digest
from verl_prpo.prm.replicas.client import PrmClient, call_limits
from verl_prpo.prm.replicas.routing import Asked, Replica, plan_calls
from verl_prpo.prm.replicas.start import start_replicas, stop_replicas
from verl_prpo.prm.results import PrmFailure, PrmRequest
from verl_prpo.settings.prpo import CustomFamily, PrmConfig, PrmServers

QUESTION = [{"role": "user", "content": "1 + 1?"}]
CONFIG = PrmConfig(timeout=120)


def asked(*names) -> list[Asked]:
    return [Asked(PrmRequest(QUESTION, [str(name)]), content_digest(name)) for name in names]


def replicas(count: int) -> list[Replica]:
    return [Replica(f"prm_replica_{i}", None) for i in range(count)]


def destinations(calls) -> dict[bytes, str]:
    return {request.digest: replica.name for replica, chunk in calls for request in chunk}


class TestPlan:
    def test_a_response_goes_to_the_same_replica_whoever_asks_and_whenever(self):
        responses = asked(*range(60))
        together = destinations(plan_calls(responses, replicas(3), 9, 32))
        for response in responses:
            alone = destinations(plan_calls([response], replicas(3), 9, 32))
            assert alone.items() <= together.items()
        assert set(together.values()) == {"prm_replica_0", "prm_replica_1", "prm_replica_2"}

    def test_the_death_of_a_replica_moves_its_own_responses_only(self):
        responses = asked(*range(30))
        crew = replicas(3)
        before = {d: n for r in responses for d, n in destinations(plan_calls([r], crew, 9, 32)).items()}
        crew[1].death = "killed"
        after = {d: n for r in responses for d, n in destinations(plan_calls([r], crew, 9, 32)).items()}
        assert "prm_replica_1" not in after.values()
        assert all(after[digest] == name for digest, name in before.items() if name != "prm_replica_1")

    def test_the_death_of_the_one_it_belongs_to_leaves_a_response_to_another(self):
        for response in asked(*range(10)):
            crew = replicas(2)
            (response.died_at,) = [r for r, _ in plan_calls([response], crew, 2, 32)]
            ((second, _),) = plan_calls([response], crew, 2, 32)
            assert second is not response.died_at
            second.death = "killed"  # then better the first one than none
            assert [replica for replica, _ in plan_calls([response], crew, 2, 32)] == [response.died_at]

    def test_an_idle_replica_takes_what_belongs_to_a_busy_one(self):
        crew = replicas(2)
        crew[0].calls = crew[0].requests = 1
        assert set(destinations(plan_calls(asked(*range(20)), crew, 2, 32)).values()) >= {"prm_replica_1"}
        for response in asked(*range(20)):
            assert destinations(plan_calls([response], crew, 2, 32)) == {response.digest: "prm_replica_1"}

    def test_responses_that_all_belong_to_one_replica_are_shared(self):
        crew = replicas(2)
        one = [r for r in asked(*range(200)) if destinations(plan_calls([r], crew, 2, 32))[r.digest] == "prm_replica_0"]
        counts = Counter(destinations(plan_calls(one[:40], crew, 2, 32)).values())
        assert counts == {"prm_replica_0": 25, "prm_replica_1": 15}  # 1.25 times the mean at most

    @given(
        names=st.lists(st.integers(), max_size=80, unique=True),
        states=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.booleans()), min_size=1, max_size=4),
        max_calls=st.integers(1, 3),
        max_requests=st.integers(1, 9),
    )
    def test_every_bound_holds_and_nobody_is_left_waiting_while_a_call_is_free(
        self, names, states, max_calls, max_requests
    ):
        crew = [
            Replica(f"prm_replica_{i}", None, min(calls, max_calls), calls * requests, "dead" if dead else "")
            for i, (calls, requests, dead) in enumerate(states)
        ]
        if not any(replica.usable for replica in crew):
            crew[0].death = ""
        responses = asked(*names)
        calls = plan_calls(responses, crew, max_calls, max_requests)
        planned = [response for _, chunk in calls for response in chunk]
        assert len(planned) == len(set(planned)) and set(planned) <= set(responses)
        made = Counter(replica.name for replica, _ in calls)
        room = {r.name: max_calls - r.calls if r.usable else 0 for r in crew}
        assert all(made[name] <= room[name] for name in made)
        assert all(1 <= len(chunk) <= max_requests for _, chunk in calls)
        assert len(planned) == min(len(responses), max_requests * sum(room.values()))


def test_a_replica_in_process_gets_few_large_calls_and_one_with_servers_as_many_as_they_take():
    assert call_limits(PrmConfig()) == (32, 2)
    served = PrmConfig(server=PrmServers(urls=["http://a", "http://b"], concurrency=5, prompts_per_request=7))
    requests, calls = call_limits(served)
    assert requests == 7 and calls >= 10
    requests, calls = call_limits(
        PrmConfig(engine="reward_model", server=PrmServers(concurrency=5, prompts_per_request=7))
    )
    assert requests == 7 and calls >= 5


def copy_of_a_prm():
    """An actor with the surface of a replica; the text of a request tells what happens to it."""

    @ray.remote(num_cpus=0, max_restarts=0)
    class Copy:
        def __init__(self):
            self.requests = []
            self.calls = []

        def score(self, requests):
            import os
            import time

            from verl_prpo.prm.results import PrmFailure, PrmResult

            self.calls.append(len(requests))
            for request in requests:
                self.requests.append("".join(request.segments))
                word, _, what = request.segments[0].partition(" ")
                if word == "wait":
                    time.sleep(float(what))
                elif word == "die" or (word == "die-once" and not os.path.exists(what)):
                    open(what or os.devnull, "a").close()
                    os._exit(1)
                elif word == "raise":
                    raise ZeroDivisionError(what)
            return [
                PrmResult(None, PrmFailure.ENGINE_ERROR, "no scores")
                if request.segments[0] == "fail"
                else PrmResult([0.5] * len(request.segments), tokens=len("".join(request.segments)))
                for request in requests
            ]

        def seen(self):
            return self.requests, self.calls

    return Copy


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def copies():
    """Starts as many actors as asked for, and ends them with the test."""
    started = []

    def start(count: int) -> list:
        started.extend(copy_of_a_prm().remote() for _ in range(count))
        ray.get([copy.seen.remote() for copy in started], timeout=300)
        return started

    yield start
    for copy in started:
        ray.kill(copy)


def ask(handles, texts, config: PrmConfig = CONFIG) -> list:
    """What one client makes of responses of one segment that arrive at once."""

    async def main():
        client = PrmClient(config, lambda: handles)
        return await asyncio.gather(*(client.score(QUESTION, [text]) for text in texts))

    return asyncio.run(asyncio.wait_for(main(), 400))


def kinds(results) -> Counter:
    return Counter(result.failure for result in results)


@pytest.mark.ray
class TestOnce:
    def test_equal_requests_in_flight_are_asked_once(self, copies):
        handles = copies(2)

        async def main():
            client = PrmClient(CONFIG, lambda: handles)
            first = [asyncio.create_task(client.score(QUESTION, [text])) for text in ("wait 1.5", "a", "a", "a")]
            await asyncio.sleep(0.5)  # the call is under way
            late = asyncio.create_task(client.score(list(QUESTION), ("wait 1.5",)))
            results = await asyncio.gather(*first, late)
            return results, await client.score(QUESTION, ["a"])

        results, afterwards = asyncio.run(main())
        assert [result.scores for result in [*results, afterwards]] == [[0.5]] * 6
        assert [result.cached for result in results] == [False, False, True, True, True]
        assert afterwards.cached is False  # what is back is the replica's cache's to remember
        seen = [text for requests, _ in ray.get([h.seen.remote() for h in handles], timeout=60) for text in requests]
        assert Counter(seen) == {"wait 1.5": 1, "a": 2}

    def test_equal_requests_of_several_clients_meet_at_one_replica(self, copies):
        handles = copies(2)
        texts = [f"response {i}" for i in range(10)]
        for _ in range(3):
            ask(handles, texts)
        one, other = (set(requests) for requests, _ in ray.get([h.seen.remote() for h in handles], timeout=60))
        assert one and other and one.isdisjoint(other)

    def test_a_failure_is_shared_and_not_called_remembered(self, copies):
        results = ask(copies(1), ["fail"] * 3)
        assert [(r.failure, r.cached) for r in results] == [(PrmFailure.ENGINE_ERROR, False)] * 3
        assert results[0].detail == "prm_replica_0: no scores"

    def test_a_request_given_up_leaves_its_scores_to_the_equal_ones(self, copies):
        handles = copies(1)

        async def main():
            client = PrmClient(CONFIG, lambda: handles)
            first, second = (asyncio.create_task(client.score(QUESTION, ["wait 1"])) for _ in range(2))
            await asyncio.sleep(0.3)
            first.cancel()
            return await second

        assert asyncio.run(main()).scores == [0.5]

    def test_a_request_that_nobody_waits_for_is_not_sent(self, copies):
        handles = copies(1)

        async def main():
            client = PrmClient(CONFIG, lambda: handles)
            first = asyncio.create_task(client.score(QUESTION, ["a"]))
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.sleep(0.1)
            return await client.score(QUESTION, ["b"]), await client.score(QUESTION, ["a"])

        assert [result.failure for result in asyncio.run(main())] == [None, None]
        assert ray.get(handles[0].seen.remote(), timeout=60)[0] == ["b", "a"]

    def test_a_lone_surrogate_disturbs_nobody(self, copies):
        assert len(ask(copies(1), ["a\ud800", "b"])) == 2


@pytest.mark.ray
class TestCalls:
    def test_many_responses_travel_in_few_calls(self, copies):
        handles = copies(1)
        assert kinds(ask(handles, map(str, range(100)))) == {None: 100}
        calls = ray.get(handles[0].seen.remote(), timeout=60)[1]
        assert sum(calls) == 100 and max(calls) <= 32 and len(calls) <= 5

    def test_a_served_engine_has_as_many_calls_at_once_as_its_servers_take(self, copies):
        config = PrmConfig(server=PrmServers(urls=["http://a"], concurrency=3, prompts_per_request=2), timeout=60)
        handles = copies(1)
        assert kinds(ask(handles, map(str, range(12)), config)) == {None: 12}
        assert ray.get(handles[0].seen.remote(), timeout=60)[1] == [2] * 6

    def test_a_fault_of_a_call_is_told_with_its_replica(self, copies):
        (result,) = ask(copies(1), ["raise not today"])
        assert result.failure is PrmFailure.ENGINE_ERROR
        assert result.detail == "prm_replica_0: ZeroDivisionError: not today"


@pytest.mark.ray
class TestDeath:
    def test_requests_whose_replica_died_are_scored_by_another(self, copies, tmp_path):
        texts = [f"die-once {tmp_path / 'died'}", *map(str, range(40))]
        results = ask(copies(2), texts)
        assert (tmp_path / "died").exists()
        assert kinds(results) == {None: 41}

    def test_a_response_that_kills_replicas_is_tried_twice_and_no_more(self, copies):
        handles = copies(3)

        async def main():
            client = PrmClient(CONFIG, lambda: handles)
            deadly = await client.score(QUESTION, ["die"])
            return deadly, await asyncio.gather(*(client.score(QUESTION, [str(i)]) for i in range(20)))

        deadly, others = asyncio.run(main())
        assert (deadly.scores, deadly.failure) == (None, PrmFailure.REPLICA_DIED)
        assert "prm_replica_" in deadly.detail
        assert kinds(others) == {None: 20}

    def test_with_no_other_replica_each_request_is_a_failure(self, copies):
        handles = copies(1)

        async def main():
            client = PrmClient(CONFIG, lambda: handles)
            first = await asyncio.gather(*(client.score(QUESTION, [text]) for text in ("die", *map(str, range(99)))))
            return first, await client.score(QUESTION, ["a"])

        first, afterwards = asyncio.run(main())
        assert kinds(first) == {PrmFailure.REPLICA_DIED: 100}
        assert afterwards.failure is PrmFailure.REPLICA_DIED and "no replica is left" in afterwards.detail

    def test_a_replica_killed_from_outside_in_mid_call_costs_no_scores(self, copies):
        handles = copies(2)

        async def main():
            client = PrmClient(CONFIG, lambda: handles)
            tasks = [asyncio.create_task(client.score(QUESTION, [t])) for t in ("wait 2", *map(str, range(60)))]
            await asyncio.sleep(0.5)
            ray.kill(handles[0])
            return await asyncio.gather(*tasks)

        assert kinds(asyncio.run(main())) == {None: 61}

    def test_a_second_try_ends_with_the_time_of_the_first(self, copies, tmp_path):
        handles = copies(2)
        config = PrmConfig(timeout=3)

        async def main():
            client = PrmClient(config, lambda: handles)
            blocked = [asyncio.create_task(client.score(QUESTION, [f"wait 2{i}"])) for i in range(2)]
            await asyncio.sleep(1)
            ray.kill(handles[0])
            began = time.monotonic()
            return await asyncio.gather(*blocked), time.monotonic() - began

        results, seconds = asyncio.run(main())
        assert kinds(results) == {PrmFailure.TIMEOUT: 2}
        assert seconds < 15


# A PRM whose process ends in the middle of a forward pass, as one that the system kills for its memory.
DEADLY = """
import os

from verl_prpo.prm.families.qwen_math import QwenMathPrm


class Deadly(QwenMathPrm):
    name = "deadly"

    def forward(self, batch):
        for row in batch:
            if "die" in self.dialogue.tokenizer.decode(row.input_ids):
                os._exit(9)
        return super().forward(batch)
"""


@pytest.mark.ray
def test_a_prm_that_dies_in_a_forward_pass_is_counted_for_each_response_and_hangs_nobody(tmp_path):
    qwen_math_prm(tmp_path)
    (tmp_path / "deadly.py").write_text(DEADLY)
    config = PrmConfig(
        model_path=str(tmp_path),
        custom_family=CustomFamily(str(tmp_path / "deadly.py"), "Deadly"),
        num_replicas=2,
        num_cpus_per_replica=0.5,
        timeout=120,
        startup_timeout=400,
    )
    handles = start_replicas(config, "cpu")
    try:

        async def main():
            client = PrmClient(config, lambda: handles)
            sound = await asyncio.gather(*(client.score(QUESTION, ["So", str(i)]) for i in range(20)))
            deadly = await client.score(QUESTION, ["die"])
            return sound, deadly, await asyncio.gather(*(client.score(QUESTION, [str(i)]) for i in range(20)))

        sound, deadly, afterwards = asyncio.run(asyncio.wait_for(main(), 400))
    finally:
        stop_replicas()
    assert kinds(sound) == {None: 20} and all(len(result.scores) == 2 for result in sound)
    assert deadly.failure is PrmFailure.REPLICA_DIED
    assert kinds(afterwards) == {PrmFailure.REPLICA_DIED: 20}  # it took both: a second try is all it gets
