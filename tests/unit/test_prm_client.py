# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The client on a real Ray: which replica is asked, and what becomes of requests whose replica dies."""

import asyncio
import time
from collections import Counter

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import qwen_math_prm

from verl_prpo.prm.replicas.client import PrmClient, call_limits
from verl_prpo.prm.replicas.routing import Asked, Replica, plan_calls
from verl_prpo.prm.replicas.start import start_replicas, stop_replicas
from verl_prpo.prm.results import PrmFailure, PrmRequest
from verl_prpo.settings.prpo import CustomFamily, PrmConfig, PrmServers

QUESTION = [{"role": "user", "content": "1 + 1?"}]
CONFIG = PrmConfig(timeout=120)


def asked(count: int) -> list[Asked]:
    return [Asked(PrmRequest(QUESTION, [str(i)]), asyncio.Future(loop=LOOP)) for i in range(count)]


LOOP = asyncio.new_event_loop()  # never run: a future needs one


def replicas(count: int) -> list[Replica]:
    return [Replica(f"prm_replica_{i}", None) for i in range(count)]


def shares(calls) -> Counter:
    return Counter({replica.name: len(chunk) for replica, chunk in calls})


class TestPlan:
    def test_responses_are_shared_equally(self):
        assert shares(plan_calls(asked(40), replicas(2), 2, 32)) == {"prm_replica_0": 20, "prm_replica_1": 20}

    def test_the_least_busy_replica_is_asked(self):
        crew = replicas(3)
        crew[0].calls = crew[1].calls = 1
        crew[0].requests, crew[1].requests = 7, 3
        assert shares(plan_calls(asked(2), crew, 2, 32)) == {"prm_replica_2": 2}
        assert shares(plan_calls(asked(7), crew, 2, 32)) == {"prm_replica_1": 2, "prm_replica_2": 5}

    def test_responses_that_come_one_at_a_time_take_turns(self):
        crew = replicas(3)
        for _ in range(6):
            ((replica, _),) = plan_calls(asked(1), crew, 2, 32)
            replica.sent += 1
        assert [replica.sent for replica in crew] == [2, 2, 2]

    def test_the_death_of_a_replica_over_a_response_leaves_it_to_another(self):
        crew = replicas(2)
        (response,) = asked(1)
        response.died_at, crew[1].requests = crew[0], 9
        assert [replica for replica, _ in plan_calls([response], crew, 2, 32)] == [crew[1]]
        crew[1].death = "killed"  # then better the first one than none
        assert [replica for replica, _ in plan_calls([response], crew, 2, 32)] == [crew[0]]

    @given(
        count=st.integers(0, 80),
        states=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.booleans()), min_size=1, max_size=4),
        max_calls=st.integers(1, 3),
        max_requests=st.integers(1, 9),
    )
    def test_every_bound_holds_and_nobody_is_left_waiting_while_a_call_is_free(
        self, count, states, max_calls, max_requests
    ):
        crew = [
            Replica(f"prm_replica_{i}", None, min(calls, max_calls), calls * requests, death="dead" if dead else "")
            for i, (calls, requests, dead) in enumerate(states)
        ]
        if not any(replica.usable for replica in crew):
            crew[0].death = ""
        responses = asked(count)
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
class TestRequests:
    def test_a_failure_names_its_replica(self, copies):
        (result,) = ask(copies(1), ["fail"])
        assert (result.failure, result.detail) == (PrmFailure.ENGINE_ERROR, "prm_replica_0: no scores")

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
