# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The served engine against servers that misbehave: no hang, no invented score, and a result for every request."""

import asyncio
import contextlib
import dataclasses
import math
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from fault_server import FaultServer, asking, rows, share
from tiny_models import instruct_model, qwen_math_prm

from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.families.qwen_math import QwenMathPrm
from verl_prpo.prm.replicas.actor import AsyncReplica
from verl_prpo.prm.results import PrmFailure, PrmRequest, PrmResult
from verl_prpo.prm.server import connection, protocol, servers
from verl_prpo.prm.server import engine as served
from verl_prpo.prm.server.engine import ServedEngine, open_served_engine
from verl_prpo.prm.server.servers import ServedModel, ServerPool
from verl_prpo.settings.prpo import PrmConfig, PrmServers

QUESTION = [{"role": "user", "content": "1 + 1?"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return qwen_math_prm(tmp_path_factory.mktemp("prm"))


@pytest.fixture(scope="module")
def family(folder):
    return QwenMathPrm.open(str(folder))


@pytest.fixture(scope="module")
def settings(folder):
    return PrmConfig(
        model_path=str(folder),
        timeout=60,
        server=PrmServers(request_timeout=20, prompts_per_request=4, concurrency=4),
    )


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(servers, "BACKOFF", 0.02)
    monkeypatch.setattr(servers, "REST", 0.02)
    monkeypatch.setattr(servers, "MAX_REST", 0.5)


@contextlib.contextmanager
def serving(family, count=1, script=None, **options):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(FaultServer(family.separator_id, script, **options)) for _ in range(count)]


def requests_of(count: int, first: int = 0) -> list[PrmRequest]:
    return [PrmRequest(QUESTION, [f"We add {i}. ", "So 2."]) for i in range(first, first + count)]


def engine_for(family, config, urls) -> ServedEngine:
    family = QwenMathPrm(family.dialogue, family.separator_id, family.max_context)
    return ServedEngine(family, ServerPool(config, urls), ServedModel("prm", None), config)


def score(family, config, urls, requests):
    """Results of one call, and the seconds it took."""

    async def main():
        engine = engine_for(family, config, urls)
        began = time.monotonic()
        results = await engine.score(requests)
        await engine.close()
        return results, time.monotonic() - began

    return asyncio.run(main())


def require_true_scores(family, requests, results):
    """Whoever has scores has those that the server gave."""
    assert len(results) == len(requests)
    for request, result in zip(requests, results, strict=True):
        assert (result.scores is None) == (result.failure is not None)
        if result.scores is not None:
            ids = family.encode(request.messages, request.segments).input_ids
            assert result.scores == [right for _, right in rows(ids, family.separator_id)]


def failures(results) -> Counter:
    return Counter(result.failure for result in results)


class TestSoundServers:
    def test_every_response_gets_its_own_scores_in_few_requests(self, family, settings):
        requests = requests_of(40)
        with serving(family, 2) as (one, two):
            results, _ = score(family, settings, [one.url, two.url], requests)
        require_true_scores(family, requests, results)
        assert failures(results) == {None: 40}
        sizes = [len(ids) for ids in one.requests + two.requests]
        assert sorted(sizes) == [4] * 10
        assert one.requests and two.requests

    def test_no_server_has_more_requests_in_flight_than_set(self, family, settings):
        config = asking(settings, concurrency=2, prompts_per_request=1)
        with serving(family, 2, lambda number, ids: "slow") as both:
            results, _ = score(family, config, [server.url for server in both], requests_of(20))
        assert failures(results) == {None: 20}
        assert [server.most_in_flight for server in both] == [2, 2]

    def test_the_load_follows_the_work_in_flight(self, family, settings):
        config = asking(settings, prompts_per_request=1)
        with serving(family, script=lambda number, ids: "slow") as (slow,), serving(family) as (quick,):
            results, _ = score(family, config, [slow.url, quick.url], requests_of(60))
        assert failures(results) == {None: 60}
        assert len(quick.requests) > len(slow.requests)

    def test_equal_dialogues_are_asked_once_in_a_call_and_remembered_by_later_ones(self, family, settings):
        async def main(url):
            engine = engine_for(family, settings, [url])
            together = [await engine.score(requests_of(3) * 2)]
            together += await asyncio.gather(*(engine.score(requests_of(3) * 2) for _ in range(5)))
            later = await engine.score(requests_of(3))
            await engine.close()
            return together, later

        with serving(family, script=lambda number, ids: "slow") as (server,):
            together, later = asyncio.run(main(server.url))
        assert sum(len(ids) for ids in server.requests) == 3
        for results in together:
            require_true_scores(family, requests_of(3) * 2, results)
        assert all(result.cached for result in later)

    def test_a_caller_that_gives_up_takes_nothing_from_another(self, family, settings):
        async def main(url):
            engine = engine_for(family, settings, [url])
            first = asyncio.create_task(engine.score(requests_of(3)))
            await asyncio.sleep(0.05)
            second = asyncio.create_task(engine.score(requests_of(3)))
            await asyncio.sleep(0.05)
            first.cancel()
            results = await second
            await engine.close()
            return results

        with serving(family, script=lambda number, ids: "slow") as (server,):
            results = asyncio.run(main(server.url))
        require_true_scores(family, requests_of(3), results)
        assert failures(results) == {None: 3}

    def test_answers_are_taken_while_texts_are_tokenised(self, family, settings):
        """The event loop, on which the answers of all calls arrive, runs on meanwhile."""
        runs = threading.Event()

        async def main(url):
            engine = engine_for(family, settings, [url])
            encode = engine.family.encode
            waits = []

            def slow(messages, segments):
                waits.append(runs.wait(30))
                return encode(messages, segments)

            engine.family.encode = slow
            scoring = asyncio.create_task(engine.score(requests_of(2)))
            await asyncio.sleep(0.05)
            runs.set()
            results = await scoring
            await engine.close()
            return results, waits

        with serving(family) as (server,):
            results, waits = asyncio.run(main(server.url))
        require_true_scores(family, requests_of(2), results)
        assert waits == [True, True] and failures(results) == {None: 2}

    def test_closing_ends_what_is_under_way_and_opens_nothing_anew(self, family, settings):
        async def main(server):
            engine = engine_for(family, settings, [server.url])
            scoring = asyncio.create_task(engine.score(requests_of(8)))
            while not server.in_flight:
                await asyncio.sleep(0.01)
            await engine.close()
            return await scoring, engine.pool._session

        with serving(family, script=lambda number, ids: "hang") as (server,):
            results, session = asyncio.run(main(server))
        assert failures(results) == {PrmFailure.ENGINE_ERROR: 8} and session is None

    def test_what_cannot_be_encoded_is_not_sent(self, family, settings):
        requests = [PrmRequest(QUESTION, [""]), *requests_of(1)]
        with serving(family) as (server,):
            results, _ = score(family, settings, [server.url], requests)
        assert [result.failure for result in results] == [PrmFailure.BAD_INPUT, None]
        assert sum(len(ids) for ids in server.requests) == 1


class TestFaultsThatPass:
    @pytest.mark.parametrize("act", ["500", "429", "truncated", "html", "broken"])
    def test_a_fault_in_three_of_ten_requests_costs_no_response(self, family, settings, act):
        config = asking(settings, retries=12)
        requests = requests_of(60)
        with serving(family, script=share(0.3, act)) as (server,):
            results, _ = score(family, config, [server.url], requests)
        require_true_scores(family, requests, results)
        assert failures(results) == {None: 60}
        assert len(server.requests) > 15

    @pytest.mark.parametrize(
        ("act", "kind", "told"),
        [
            ("500", PrmFailure.SERVER_ERROR, "HTTP 500: scripted 500"),
            ("429", PrmFailure.SERVER_ERROR, "HTTP 429: scripted 429"),
            ("truncated", PrmFailure.BAD_OUTPUT, "is no JSON"),
            ("html", PrmFailure.BAD_OUTPUT, "is no JSON"),
            ("broken", PrmFailure.REFUSED, "connection lost"),
        ],
    )
    def test_one_that_does_not_pass_is_a_failure_after_as_many_tries_as_set(self, family, settings, act, kind, told):
        requests = requests_of(6)
        with serving(family, script=lambda number, ids: act) as (server,):
            results, _ = score(family, asking(settings, retries=2), [server.url], requests)
        assert failures(results) == {kind: 6}
        assert all(told in r.detail and "tried 3 times" in r.detail and server.url in r.detail for r in results)
        assert len(server.requests) == 6  # two parts, three tries each

    @pytest.mark.parametrize("act", ["hang", "trickle"])
    def test_no_answer_in_time_is_a_timeout(self, family, settings, act):
        config = asking(settings, request_timeout=0.5, retries=1)
        with serving(family, script=lambda number, ids: act) as (server,):
            results, seconds = score(family, config, [server.url], requests_of(6))
        assert failures(results) == {PrmFailure.TIMEOUT: 6}
        assert "within 0.5 s" in results[0].detail
        assert seconds < 20

    @pytest.mark.parametrize("act", ["hang", "trickle"])
    def test_a_request_that_hangs_once_is_asked_again(self, family, settings, act):
        config = asking(settings, request_timeout=3)
        requests = requests_of(6)
        with serving(family, script=lambda number, ids: act if number == 0 else "ok") as (server,):
            results, _ = score(family, config, [server.url], requests)
        require_true_scores(family, requests, results)
        assert failures(results) == {None: 6}

    def test_nothing_lasts_longer_than_the_timeout_of_the_step(self, family, settings):
        config = dataclasses.replace(asking(settings, request_timeout=100, retries=50, concurrency=1), timeout=2)
        with serving(family, script=lambda number, ids: "hang") as (server,):
            results, seconds = score(family, config, [server.url], requests_of(40))
        assert failures(results) == {PrmFailure.TIMEOUT: 40}
        assert any("reward.prm.timeout=2 s" in result.detail for result in results)
        assert seconds < 20

    def test_scores_that_came_are_kept_when_time_runs_out_for_others(self, family, settings):
        config = dataclasses.replace(asking(settings, request_timeout=100), timeout=2)
        requests = requests_of(12)
        with serving(family, script=lambda number, ids: "hang" if number == 1 else "ok") as (server,):
            results, seconds = score(family, config, [server.url], requests)
        require_true_scores(family, requests, results)
        assert failures(results) == {None: 8, PrmFailure.TIMEOUT: 4}
        assert served.SHARE_OF_TIMEOUT < 1 and seconds < 20

    def test_two_of_three_servers_gone(self, family, settings):
        requests = requests_of(60)
        with serving(family, 3) as three:
            urls = [server.url for server in three]
            three[0].stop()
            three[2].stop()
            results, _ = score(family, settings, urls, requests)
        require_true_scores(family, requests, results)
        assert failures(results) == {None: 60}
        assert len(three[1].requests) == 15

    @pytest.mark.parametrize("act", ["404", "401"])
    def test_a_server_that_refuses_all_costs_no_response_while_another_takes_them(self, family, settings, act):
        requests = requests_of(80)
        with serving(family, script=lambda number, ids: act) as (bad,), serving(family) as (good,):
            results, _ = score(family, settings, [bad.url, good.url], requests)
        require_true_scores(family, requests, results)
        assert failures(results) == {None: 80}
        assert 0 < len(bad.requests) < len(good.requests) == 20

    def test_faults_without_end_keep_their_kind(self, family, settings):
        async def main():
            engine = engine_for(family, settings, ["http://127.0.0.1:9"])
            engine.pool.servers[0].faults = 3000
            results = await engine.score(requests_of(2))
            await engine.close()
            return results

        assert failures(asyncio.run(main())) == {PrmFailure.REFUSED: 2}

    def test_a_server_that_is_back_gets_work_again(self, family, settings):
        async def main(servers):
            engine = engine_for(family, settings, [server.url for server in servers])
            servers[0].stop()
            without = await engine.score(requests_of(20))
            servers[0].start()
            count = len(servers[0].requests)
            deadline = time.monotonic() + 30
            results = []
            while len(servers[0].requests) < count + 3 and time.monotonic() < deadline:
                results += await engine.score(requests_of(20, 20 + len(results)))
            await engine.close()
            return without, results, len(servers[0].requests) - count

        with serving(family, 2) as both:
            without, results, back = asyncio.run(main(both))
        assert failures(without) == {None: 20} and set(failures(results)) == {None}
        assert back >= 3

    def test_all_servers_gone_is_a_refusal_without_delay(self, family, settings):
        with serving(family, 2) as both:
            urls = [server.url for server in both]
        results, seconds = score(family, settings, urls, requests_of(40))
        assert failures(results) == {PrmFailure.REFUSED: 40}
        assert "connection refused" in results[0].detail
        assert seconds < 20

    def test_a_server_killed_in_mid_batch_and_started_again(self, family, settings):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        program = [sys.executable, str(Path(__file__).with_name("fault_server.py")), str(port)]

        def start():
            process = subprocess.Popen([*program, str(family.separator_id), "0.1"], stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            return process, process.stdout.readline().strip()

        async def main():
            process, url = start()
            engine = engine_for(family, asking(settings, retries=400), [url])
            running = asyncio.create_task(engine.score(requests))
            try:
                await asyncio.sleep(0.5)
                early = running.done()
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                await asyncio.sleep(0.3)
                process, _ = await asyncio.to_thread(start)
                results = await running
            finally:
                process.kill()
                process.wait()
                await engine.close()
            return early, results

        requests = requests_of(120)
        early, results = asyncio.run(main())
        assert not early
        require_true_scores(family, requests, results)
        assert failures(results) == {None: 120}


class TestAnswersThatCannotBeUsed:
    @pytest.mark.parametrize(
        ("act", "kind", "struck"),
        [
            ("short", PrmFailure.WRONG_COUNT, 4),
            ("twice", PrmFailure.WRONG_COUNT, 4),
            ("nan", PrmFailure.NON_FINITE, 1),
            ("null", PrmFailure.NON_FINITE, 1),
            ("huge", PrmFailure.BAD_OUTPUT, 1),
            ("logits", PrmFailure.BAD_OUTPUT, 1),
            ("401", PrmFailure.REFUSED, 4),
        ],
    )
    def test_they_fail_their_own_responses_and_are_not_asked_again(self, family, settings, act, kind, struck):
        requests = requests_of(12)
        with serving(family, script=lambda number, ids: act if number == 1 else "ok") as (server,):
            results, _ = score(family, settings, [server.url], requests)
        require_true_scores(family, requests, results)
        assert failures(results) == {None: 12 - struck, kind: struck}
        assert len(server.requests) == 3

    def test_a_failure_is_not_remembered(self, family, settings):
        async def main(url):
            engine = engine_for(family, settings, [url])
            results = [(await engine.score(requests_of(1)))[0] for _ in range(3)]
            await engine.close()
            return results

        with serving(family, script=lambda number, ids: "nan" if number == 0 else "ok") as (server,):
            first, second, third = asyncio.run(main(server.url))
        assert (first.failure, second.failure, third.failure) == (PrmFailure.NON_FINITE, None, None)
        assert (second.cached, third.cached) == (False, True)

    def test_one_dialogue_that_the_server_refuses_costs_only_itself(self, family, settings):
        requests = requests_of(16)
        bad = family.encode(requests[6].messages, requests[6].segments).input_ids
        config = asking(settings, prompts_per_request=16)
        with serving(family, script=lambda number, ids: "400" if bad in ids else "ok") as (server,):
            results, _ = score(family, config, [server.url], requests)
        require_true_scores(family, requests, results)
        assert [i for i, result in enumerate(results) if result.failure is PrmFailure.BAD_INPUT] == [6]
        assert "HTTP 400: scripted 400" in results[6].detail
        assert len(server.requests) == 9  # halves of halves


class TestAnswers:
    """The rows of `/v1/completions` and `/pooling`, from JSON."""

    def test_log_probabilities_are_numbers_by_token_id(self):
        tokens = [None, {"5": {"logprob": -0.5, "rank": 1, "decoded_token": "a"}, "7": {"logprob": -2}}]
        choices = [{"index": 1, "prompt_logprobs": [None]}, {"index": 0, "prompt_logprobs": tokens}]
        first, second = protocol.answer_rows("prompt_logprobs", {"choices": choices}, 2)
        assert list(first) == [None, {5: -0.5, 7: -2.0}] == first[0:] and list(second) == [None]

    @pytest.mark.parametrize("logprob", [1e9, float("inf"), 0.5])
    def test_what_is_no_log_probability_becomes_no_score(self, logprob):
        choices = [{"index": 0, "prompt_logprobs": [None, {"5": {"logprob": logprob}, "7": {"logprob": -1.0}}]}]
        (row,) = protocol.answer_rows("prompt_logprobs", {"choices": choices}, 1)
        with pytest.raises(ValueError, match="is no log-probability"):
            row[1]

    def test_log_probabilities_of_another_prompt_are_told(self):
        row = protocol.PromptLogprobs([None, {"5": {"logprob": -0.5}, "7": {"logprob": -2}}])
        row.require_prompt([1, 7])
        with pytest.raises(ValueError, match="of another prompt: token 1 is 6"):
            row.require_prompt([1, 6])
        with pytest.raises(ValueError, match="of 2 tokens for 3"):
            row.require_prompt([1, 7, 8])

    def test_an_answer_without_end_is_not_read_to_the_end(self, family, settings, monkeypatch):
        monkeypatch.setattr(connection, "MAX_ANSWER", 100)
        with serving(family) as (server,):
            results, _ = score(family, settings, [server.url], requests_of(2))
        assert failures(results) == {PrmFailure.BAD_OUTPUT: 2}
        assert "more than 100 bytes" in results[0].detail

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            ([], PrmFailure.BAD_OUTPUT),
            ({}, PrmFailure.BAD_OUTPUT),
            ({"choices": None}, PrmFailure.BAD_OUTPUT),
            ({"choices": [{"index": 0, "text": "no log-probabilities"}]}, PrmFailure.BAD_OUTPUT),
            ({"choices": [{"index": 0, "prompt_logprobs": None}]}, PrmFailure.BAD_OUTPUT),
            ({"choices": [{"index": "x", "prompt_logprobs": []}]}, PrmFailure.BAD_OUTPUT),
            ({"choices": [{"index": math.inf, "prompt_logprobs": []}]}, PrmFailure.BAD_OUTPUT),
            ({"choices": [{"index": 1, "prompt_logprobs": []}]}, PrmFailure.WRONG_COUNT),
            ({"choices": []}, PrmFailure.WRONG_COUNT),
        ],
    )
    def test_what_has_another_shape_is_one_failure(self, answer, kind):
        found = protocol.answer_rows("prompt_logprobs", answer, 1)
        assert isinstance(found, PrmResult) and (found.scores, found.failure) == (None, kind)

    def test_rows_that_a_family_cannot_read_are_bad_output(self, family, settings):
        engine = engine_for(family, settings, ["http://127.0.0.1:9"])
        encoded = family.encode(QUESTION, ["So 2."])
        for row in ([7], [["a", "b"]], [[0.5]], [None], []):
            assert engine._scores(encoded, row).failure is PrmFailure.BAD_OUTPUT


class TestStart:
    """`open_served_engine` as the actor calls it."""

    def open(self, config, urls):
        async def main():
            engine = await open_served_engine(config, urls)
            await engine.close()
            return engine

        return asyncio.run(main())

    def test_it_finds_the_model_and_the_lesser_context(self, family, settings):
        with serving(family, 2, max_model_len=150) as both:
            engine = self.open(settings, [both[0].url, both[1].url + "/v1/"])
        assert engine.model == ServedModel("prm", 150)
        assert engine.family.max_context == 150
        assert [len(server.requests) for server in both] == [1, 1]  # the trial

    def test_the_models_own_context_counts_where_it_is_less(self, family, settings):
        with serving(family) as (server,):
            assert self.open(settings, [server.url]).family.max_context == 256

    @pytest.mark.parametrize("health", [200, 404, 405])
    def test_a_router_needs_no_health_route(self, family, settings, health):
        with serving(family, health=health) as (server,):
            assert self.open(settings, [server.url]).model.name == "prm"

    def test_every_server_must_be_up_and_each_that_is_not_is_named_with_its_reason(self, family, settings):
        with serving(family, 3) as (up, down, ill):
            ill.health = 503
            down.stop()
            unknown = "http://no-such-host.invalid:8000"
            with pytest.raises(PrmError) as caught:
                self.open(settings, [up.url, down.url, ill.url, unknown])
        message = str(caught.value)
        assert message.startswith("3 of the PRM's 4 servers cannot be used: ")
        assert f"{down.url}/health: connection refused" in message
        assert f"{ill.url}/health: HTTP 503" in message
        assert f"{unknown}/health: name resolution failed" in message
        assert "reward.prm.server.urls" in message and up.url not in message

    def test_a_server_that_does_not_answer_is_given_up_within_half_a_minute(self, family, settings, monkeypatch):
        assert servers.CHECK_TIMEOUT <= 20 and connection.CONNECT_TIMEOUT <= servers.CHECK_TIMEOUT
        monkeypatch.setattr(servers, "CHECK_TIMEOUT", 0.5)
        with serving(family, health=0) as (server,):
            with pytest.raises(PrmError, match=f"{server.url}.*: timeout, no .* within 0.5 s"):
                self.open(settings, [server.url])

    def test_several_models_need_a_name(self, family, settings):
        with serving(family, models=["prm", "other"]) as (server,):
            with pytest.raises(PrmError, match=r"serves 2 models \(prm, other\)\. Set reward\.prm\.server\.model"):
                self.open(settings, [server.url])
            named = asking(settings, model="other")
            assert self.open(named, [server.url]).model.name == "other"
            wrong = asking(settings, model="third")
            with pytest.raises(PrmError, match=r"does not serve reward\.prm\.server\.model=third, but prm, other"):
                self.open(wrong, [server.url])

    def test_servers_of_different_models_are_refused(self, family, settings):
        with serving(family) as (one,), serving(family, models=["other"]) as (two,):
            with pytest.raises(PrmError, match=r"different models .*: prm; .*: other.*--served-model-name"):
                self.open(settings, [one.url, two.url])

    def test_the_api_key_comes_from_the_environment_and_is_in_no_message(self, family, settings, monkeypatch):
        config = asking(settings, api_key_env="PRM_KEY")
        with serving(family, api_key="secret-1") as (server,):
            with pytest.raises(PrmError, match=r"^reward\.prm\.server\.api_key_env=PRM_KEY: .* not set"):
                self.open(config, [server.url])
            monkeypatch.setenv("PRM_KEY", "secret-2")
            with pytest.raises(PrmError, match=r"HTTP 401: Unauthorized.*server\.api_key_env") as caught:
                self.open(config, [server.url])
            assert "secret" not in str(caught.value)
            monkeypatch.setenv("PRM_KEY", "secret\n1")
            with pytest.raises(PrmError, match=r"server\.api_key_env=PRM_KEY: .* not printable ASCII") as caught:
                self.open(config, [server.url])
            assert "secret" not in str(caught.value)
            monkeypatch.setenv("PRM_KEY", "secret-1")
            assert self.open(config, [server.url]).model.name == "prm"

    def test_certificates_are_verified(self, family, settings, tmp_path):
        certificate, context = self_signed(tmp_path)
        with serving(family, tls=context) as (server,):
            with pytest.raises(PrmError, match=r"TLS: .*reward\.prm\.server\.ca_file"):
                self.open(settings, [server.url])
            trusting = asking(settings, ca_file=str(certificate))
            assert self.open(trusting, [server.url]).model.name == "prm"
        missing = asking(settings, ca_file=str(tmp_path / "none.pem"))
        with pytest.raises(PrmError, match=r"server\.ca_file=.*none\.pem cannot be read"):
            self.open(missing, [server.url])

    def test_https_to_a_server_that_speaks_none_is_told(self, family, settings):
        with serving(family) as (server,):
            with pytest.raises(PrmError, match=r"TLS: .*write http://"):
                self.open(settings, [server.url.replace("http://", "https://")])

    def test_more_log_probabilities_than_tokens_are_refused_before_a_server_is_asked(self, settings, family, tmp_path):
        judge = dataclasses.replace(settings, model_path=str(instruct_model(tmp_path)), family="zero_shot_judge")
        with serving(family) as (server,):
            with pytest.raises(PrmError, match=r"server\.prompt_logprobs=1000000 is more than the \d+ tokens"):
                self.open(asking(judge, prompt_logprobs=1_000_000), [server.url])
            assert not server.requests

    @pytest.mark.parametrize(
        "url", ["http://me:secret@127.0.0.1:9", "http://me:secret@127:port", "http://127.0.0.1:9/?key=secret"]
    )
    def test_a_password_in_a_url_is_in_no_message(self, settings, url):
        with pytest.raises(PrmError, match="127") as caught:
            self.open(settings, [url])
        assert "secret" not in str(caught.value)

    def test_a_server_that_cannot_score_the_trial_dialogue_is_told(self, family, settings):
        with serving(family, script=lambda number, ids: "404") as (server,):
            with pytest.raises(
                PrmError, match=r"is up, but does not score.*qwen_math_prm.*/pooling.*HTTP 404.*--runner pooling"
            ):
                self.open(settings, [server.url])
        with serving(family, script=lambda number, ids: "ok") as (server,):
            server.separator_id = -1  # as where vLLM pools at another token
            with pytest.raises(PrmError, match=r"is up, but does not score.*0 rows of \[\] numbers.*step_tag_id"):
                self.open(settings, [server.url])

    def test_one_that_hangs_on_the_trial_dialogue_is_told_after_one_request_timeout(self, family, settings):
        config = asking(settings, request_timeout=0.5, retries=50)
        with serving(family, script=lambda number, ids: "hang") as (server,):
            with pytest.raises(PrmError, match=r"is up, but does not score.*timeout, no whole answer within 0.5 s"):
                self.open(config, [server.url])

    def test_servers_of_different_weights_under_one_name_are_refused(self, family, settings):
        with serving(family) as (one,), serving(family, weights=1) as (two,):
            with pytest.raises(PrmError, match=f"{one.url} and {two.url} give different scores"):
                self.open(settings, [one.url, two.url])

    def test_a_context_too_short_for_any_dialogue_is_told(self, family, settings):
        with serving(family, max_model_len=8) as (server,):
            with pytest.raises(PrmError, match=r"reads at most 8 tokens.*--max-model-len"):
                self.open(settings, [server.url])

    @pytest.mark.parametrize("url", ["http://", "http://host:port"])
    def test_what_is_no_url_is_told(self, settings, url):
        with pytest.raises(PrmError, match=r"reward\.prm\.server\.urls: .* is no URL"):
            self.open(settings, [url])

    def test_the_actor_describes_the_servers(self, family, settings):
        config = asking(settings, urls=["unused"])

        async def main(url):
            replica = AsyncReplica()
            described = await replica.load(config, [url])
            assert described == await replica.describe()
            results = await asyncio.gather(*(replica.score(requests_of(3, i)) for i in range(4)))
            await replica._engine.close()
            return described, results

        with serving(family) as (server,):
            described, results = asyncio.run(main(server.url))
        assert (described.engine, described.servers) == ("server", (server.url,))
        assert (described.family, described.max_context, described.device) == ("qwen_math_prm", 256, "")
        for i, scored in enumerate(results):
            require_true_scores(family, requests_of(3, i), scored)


def self_signed(folder: Path):
    """A certificate for 127.0.0.1 and the context of a server that has it."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context
