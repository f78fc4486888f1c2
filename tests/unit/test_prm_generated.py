# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A judge that writes, asked over HTTP: what is sent, what it costs, and every way in which it fails."""

import asyncio
import email.utils
import re
import time
import traceback

import pytest
from aiohttp import web
from chat_server import all_right, asked_for, chat_server, fails, says, token, verdicts
from fault_server import asking

from verl_prpo.prm.conversation import Heard
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.generated.chat import retry_after
from verl_prpo.prm.generated.counts import NAMES
from verl_prpo.prm.results import PrmFailure, PrmRequest
from verl_prpo.prm.served import open_served, require_servers
from verl_prpo.settings.prm import PrmConfig, PrmServers

QUESTION = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 17 + 25?"}]
STEPS = ["First we add.\n\n", "17 + 25 = 42.\n\n", "\n", "So the answer is 42."]
"""Three steps: the third segment has no words and joins the second."""
RESPONSE = PrmRequest(QUESTION, STEPS)
KEY = "sk-secret-4711"


def judge_at(*urls, options=None, **settings):
    server = {name: settings.pop(name) for name in list(settings) if name in PrmServers.__dataclass_fields__}
    config = PrmConfig(model_path="judge", family="generated_verdicts", family_options=options or {}, **settings)
    return asking(config, urls=list(urls), **server)


def judged(config, *requests):
    """The results, and the engine that gave them."""

    async def main():
        engine = await open_served(config, config.server.urls)
        try:
            return await engine.score(requests or [RESPONSE])
        finally:
            await engine.close()

    return asyncio.run(main())


def after_trial(answer):
    """A script whose first request, the trial at the start, is answered well; `answer` counts from the next."""
    return lambda number, body: all_right(number, body) if number == 0 else answer(number - 1, body)


def step_answer(text="\\boxed{Yes}", **more):
    return lambda number, body: says(*[text] * body.get("n", 1), **more)


LOGPROBS = {"content": [token("\\boxed", 1.0), token("{", 1.0), token("Yes", 0.75, No=0.25), token("}", 1.0)]}


class TestAskedForAResponse:
    def test_one_request_with_the_form_of_the_answer_and_a_score_for_each_segment(self):
        with chat_server(after_trial(lambda n, body: says(verdicts("right", "wrong", "right")))) as server:
            (result,) = judged(judge_at(server.url))
        assert result.scores == [1.0, 0.0, 0.0, 1.0] and result.failure is None
        assert result.counts == {**dict.fromkeys(NAMES, 0), "requests": 1, "prompt_tokens": 100, "completion_tokens": 7}
        assert result.tokens == 100
        trial, body = server.bodies
        assert (asked_for(trial), asked_for(body)) == (2, 3)
        assert body["model"] == "judge" and body["max_tokens"] == 4096 and "temperature" not in body
        assert [message["role"] for message in body["messages"]] == ["user"]
        assert "What is 17 + 25?" in body["messages"][0]["content"] and "Be brief" not in body["messages"][0]["content"]
        form = body["response_format"]
        assert form["type"] == "json_schema" and form["json_schema"]["schema"]["required"] == ["1", "2", "3"]

    def test_what_the_options_send(self, tmp_path):
        prompt = tmp_path / "mine.jinja"
        prompt.write_text("{{ problem }}{% for step in steps %}<step number={{ step }}{% endfor %} MINE")
        options = {
            "prompt_path": str(prompt),
            "system_prompt": "Judge.",
            "structured": "none",
            "temperature": 0.5,
            "extra_body": {"max_completion_tokens": 9, "chat_template_kwargs": {"enable_thinking": False}},
        }
        with chat_server(all_right) as server:
            judged(judge_at(server.url, options=options))
        body = server.bodies[-1]
        assert (
            body["messages"][0] == {"role": "system", "content": "Judge."} and "MINE" in body["messages"][1]["content"]
        )
        assert body["max_completion_tokens"] == 9 and "max_tokens" not in body and "response_format" not in body
        assert body["chat_template_kwargs"] == {"enable_thinking": False} and body["temperature"] == 0.5

    def test_the_unfinished_last_step_is_not_shown(self):
        with chat_server(all_right) as server:
            (result,) = judged(judge_at(server.url), PrmRequest(QUESTION, STEPS, truncated=True))
        assert result.scores == [1.0, 1.0, 1.0, None] and asked_for(server.bodies[-1]) == 2

    def test_a_hidden_thought_is_not_shown(self):
        with chat_server(all_right) as server:
            request = PrmRequest(QUESTION, STEPS, hidden=[True, False, False, False])
            (result,) = judged(judge_at(server.url), request)
        assert result.scores is not None and result.scores[0] is None and None not in result.scores[1:]
        assert STEPS[0].strip() not in str(server.bodies[-1])

    def test_what_a_tool_said_stands_in_the_step_behind_it_and_tells_equal_words_apart(self):
        asked = [PrmRequest(QUESTION, STEPS, heard=[Heard(1, 0, "tool", said)]) for said in ("42", "43")]
        with chat_server(all_right) as server:
            results = judged(judge_at(server.url), *asked)
        assert [result.cached for result in results] == [False, False]
        shown = [body["messages"][0]["content"] for body in server.bodies[1:]]
        assert len(shown) == 2
        for said in ("42", "43"):
            step = f'<step number="2">\nTool output:\n{said}\n\n17 + 25 = 42.\n</step>'
            assert sum(step in text for text in shown) == 1

    def test_equal_responses_are_judged_and_paid_once_and_remembered(self):
        with chat_server(all_right) as server:
            config = judge_at(server.url)

            async def main():
                engine = await open_served(config, config.server.urls)
                first = await engine.score([RESPONSE, RESPONSE, PrmRequest(QUESTION, ["Other."])])
                second = await engine.score([RESPONSE])
                await engine.close()
                return [*first, *second]

            results = asyncio.run(main())
        assert len(server.bodies) == 3  # the trial among them
        assert [result.cached for result in results] == [False, True, False, True]
        assert [result.counts.get("requests") for result in results] == [1, None, 1, None]
        assert [result.scores for result in results] == [[1.0] * 4, [1.0] * 4, [1.0], [1.0] * 4]

    def test_no_more_requests_in_flight_than_allowed(self):
        with chat_server(all_right) as server:
            requests = [PrmRequest(QUESTION, [f"Step {i}."]) for i in range(20)]
            results = judged(judge_at(server.url, concurrency=3), *requests)
        assert [r.scores for r in results] == [[1.0]] * 20 and server.most_in_flight == 3

    def test_servers_share_the_work(self):
        with chat_server(all_right) as one, chat_server(all_right) as other:
            requests = [PrmRequest(QUESTION, [f"Step {i}."]) for i in range(10)]
            judged(judge_at(one.url, other.url, concurrency=2), *requests)
        assert len(one.bodies) > 3 and len(other.bodies) > 3 and len(one.bodies) + len(other.bodies) == 12


class TestAskedForEachStep:
    def test_one_request_a_step_with_what_came_before_and_the_probability_of_the_verdict(self):
        with chat_server(step_answer(logprobs=LOGPROBS)) as server:
            (result,) = judged(judge_at(server.url, options={"ask": "step"}))
        assert result.scores == pytest.approx([0.75] * 4)
        assert result.counts["requests"] == 3 and result.counts["completion_tokens"] == 21
        bodies = sorted(server.bodies[2:], key=asked_for)
        assert [asked_for(body) for body in bodies] == [1, 2, 3]
        assert (
            "42" not in bodies[0]["messages"][0]["content"] and "So the answer" in bodies[2]["messages"][0]["content"]
        )
        assert bodies[0]["logprobs"] is True and bodies[0]["top_logprobs"] == 20 and "n" not in bodies[0]
        assert "response_format" not in bodies[0]

    def test_a_step_is_judged_without_what_a_tool_said_behind_it(self):
        options = {"ask": "step", "score": "samples"}
        request = PrmRequest(QUESTION, STEPS, heard=[Heard(1, 0, "tool", "42")])
        with chat_server(step_answer()) as server:
            judged(judge_at(server.url, options=options), request)
        shown = [body["messages"][0]["content"] for body in server.bodies]
        assert sum("First we add." in text for text in shown) == 3  # the trial has words of its own
        assert sum("Tool output:\n42\n\n17 + 25" in text for text in shown) == 2

    def test_the_share_of_the_samples(self):
        texts = ["\\boxed{Yes}", "\\boxed{No}", "So \\boxed{Yes}", "\\boxed{Yes}"]
        with chat_server(lambda n, body: says(*texts)) as server:
            options = {"ask": "step", "score": "samples", "samples": 4}
            (result,) = judged(judge_at(server.url, options=options))
        assert result.scores == [0.75] * 4
        assert server.bodies[0]["n"] == 4 and "logprobs" not in server.bodies[0]

    def test_samples_without_a_verdict_are_left_out_and_counted_as_long_as_half_have_one(self):
        options = {"ask": "step", "score": "samples", "samples": 4, "asks_again": 0}
        texts = ["\\boxed{Yes}", "\\boxed{No}", "hm", "hm"]
        with chat_server(lambda n, body: says(*texts)) as server:
            (result,) = judged(judge_at(server.url, options=options), PrmRequest(QUESTION, ["One."]))
        assert result.scores == [0.5] and result.counts["unreadable"] == 2
        good = ["\\boxed{Yes}"] * 4
        with chat_server(lambda n, body: says(*(good if n < 2 else [*texts[1:], "hm"]))) as server:
            (result,) = judged(judge_at(server.url, options=options), PrmRequest(QUESTION, ["One."]))
        assert result.scores is None and result.failure is PrmFailure.BAD_OUTPUT and "no verdict" in result.detail

    def test_a_server_that_gives_one_of_four_samples(self):
        options = {"ask": "step", "score": "samples", "samples": 4}
        with chat_server(lambda n, body: says("\\boxed{Yes}")) as server:
            with pytest.raises(PrmError, match=r"1 of reward\.prm\.family_options\.samples=4 answers"):
                judged(judge_at(server.url, options=options))

    def test_one_step_without_a_verdict_fails_the_response_and_calls_the_others_off(self):
        def answer(number, body):
            return says("\\boxed{Yes}" if number < 2 else "hm", logprobs=LOGPROBS)

        request = PrmRequest(QUESTION, [f"Step {i}.\n" for i in range(30)])
        with chat_server(answer) as server:
            options = {"ask": "step", "asks_again": 0}
            (result,) = judged(judge_at(server.url, options=options, concurrency=1), request)
        assert result.failure is PrmFailure.BAD_OUTPUT and result.detail.startswith("step ")
        assert len(server.bodies) < 2 + 5


class TestAnswersThatAreNone:
    """Bad input, each with its kind of failure, its counter and the setting in its message."""

    FAULTS = (
        ("prose", says("They all look fine."), "unreadable", "bad_output", r"family_options\.structured"),
        ("half a JSON", says(verdicts("right", "wrong", "right")[:-9]), "unreadable", "bad_output", r"prompt_path"),
        (
            "other steps",
            says('{"2": "right", "3": "right", "4": "right"}'),
            "wrong_steps",
            "wrong_count",
            "no verdict for step 1",
        ),
        (
            "duplicates",
            says('{"1": "right", "1": "wrong", "2": "right", "3": "right"}'),
            "wrong_steps",
            "wrong_count",
            "several for step 1",
        ),
        ("too few", says(verdicts("right", "wrong")), "wrong_steps", "wrong_count", "no verdict for step 3"),
        (
            "a refusal",
            says(None, refusal="I cannot help with that."),
            "refused",
            "bad_output",
            r"\.prompt_path.*help",
        ),
        (
            "a filter",
            says("", reason="content_filter"),
            "refused",
            "bad_output",
            r"content_filter.*model_path",
        ),
        ("empty content", says(""), "empty", "bad_output", "empty text"),
        ("no content", says(None), "empty", "bad_output", "empty text"),
        (
            "cut off",
            says('{"1": {"check": "17', reason="length"),
            "cut_off",
            "bad_output",
            r"family_options\.max_tokens=4096",
        ),
    )

    @pytest.mark.parametrize(("what", "answer", "count", "kind", "setting"), FAULTS, ids=[fault[0] for fault in FAULTS])
    def test_is_a_failure_after_it_was_asked_again(self, what, answer, count, kind, setting):
        text, status = answer.text, answer.status

        def again(n, body):

            return web.Response(text=text, status=status, content_type="application/json")

        with chat_server(after_trial(again)) as server:
            (result,) = judged(judge_at(server.url))
        assert (result.scores, result.failure) == (None, PrmFailure(kind))
        assert result.counts[count] == 2 and result.counts["requests"] == 2 and result.counts["prompt_tokens"] == 200
        assert re.search(setting, result.detail) and "(asked 2 times)" in result.detail

    def test_a_second_answer_that_is_right_counts(self):
        def script(n, body):
            return says("hm") if n == 0 else all_right(n, body)

        with chat_server(after_trial(script)) as server:
            (result,) = judged(judge_at(server.url))
        assert result.scores == [1.0] * 4 and result.counts["unreadable"] == 1 and result.counts["requests"] == 2

    def test_at_temperature_0_the_same_question_has_the_same_answer(self):
        with chat_server(after_trial(lambda n, body: says("hm"))) as server:
            (result,) = judged(judge_at(server.url, options={"temperature": 0}))
        assert result.counts["requests"] == 1 and "asked" not in result.detail.split(":")[-1]

    def test_no_log_probabilities(self):
        with chat_server(step_answer()) as server:
            with pytest.raises(
                PrmError, match=r"gives no verdicts on a trial.*no log-probabilities\. Set \+\+.*score=samples"
            ):
                judged(judge_at(server.url, options={"ask": "step"}))

        def script(n, body):
            return says("\\boxed{Yes}", logprobs=LOGPROBS if n < 2 else None)

        with chat_server(script) as server:
            (result,) = judged(judge_at(server.url, options={"ask": "step"}), PrmRequest(QUESTION, ["One."]))
        assert result.failure is PrmFailure.BAD_OUTPUT and result.counts["no_logprobs"] == 2

    def test_an_answer_that_is_no_completion(self):
        for text, kind in (
            ("<html>It works!</html>", "text/html"),
            ("{", "application/json"),
            ("{}", "application/json"),
        ):

            def script(n, body, text=text, kind=kind):
                return web.Response(text=text, content_type=kind)

            with chat_server(after_trial(script)) as server:
                (result,) = judged(judge_at(server.url, retries=1))
            assert result.failure is PrmFailure.BAD_OUTPUT and server.url in result.detail
            assert "(tried 2 times)" in result.detail


class TestServersThatFail:
    def test_rate_limited_with_retry_after_waits_as_long_as_asked(self):
        times = []

        def script(number, body):
            times.append(time.monotonic())
            return fails(429, "slow down", Retry_After="1") if number == 0 else all_right(number, body)

        with chat_server(after_trial(script)) as server:
            (result,) = judged(judge_at(server.url, retries=1))
        assert result.scores == [1.0] * 4 and times[1] - times[0] >= 1.0
        assert result.counts["rate_limited"] == 1 and result.counts["retries"] == 1 and result.counts["requests"] == 2

    def test_a_server_that_asked_for_quiet_gets_no_other_request_either(self):
        times = []

        def script(number, body):
            times.append(time.monotonic())
            return fails(429, "slow down", Retry_After="1") if number == 0 else all_right(number, body)

        requests = [PrmRequest(QUESTION, [f"Step {i}."]) for i in range(4)]
        with chat_server(after_trial(script)) as server:
            results = judged(judge_at(server.url, concurrency=1), *requests)
        assert [r.scores for r in results] == [[1.0]] * 4 and min(times[1:]) - times[0] >= 1.0

    def test_rate_limited_for_longer_than_the_step_waits_fails_at_once(self):
        began = time.monotonic()
        with chat_server(after_trial(lambda n, body: fails(429, "slow down", Retry_After="3600"))) as server:
            (result,) = judged(judge_at(server.url, timeout=60))
        assert result.failure is PrmFailure.SERVER_ERROR and time.monotonic() - began < 30
        assert "asks to wait 3600 s, past reward.prm.timeout=60 s" in result.detail

    def test_rate_limited_without_retry_after_is_tried_a_bounded_number_of_times(self):
        with chat_server(after_trial(lambda n, body: fails(429, "slow down"))) as server:
            (result,) = judged(judge_at(server.url, retries=2))
        assert result.failure is PrmFailure.SERVER_ERROR and result.counts["rate_limited"] == 3
        assert "HTTP 429: slow down" in result.detail and "reward.prm.server.concurrency" in result.detail

    def test_no_credit_is_not_waited_for(self):
        script = after_trial(lambda n, body: fails(429, "quota", code="insufficient_quota"))
        with chat_server(script) as server:
            (result,) = judged(judge_at(server.url))
        assert result.counts["requests"] == 1 and "reward.prm.server.api_key_env) has no more credit" in result.detail

    def test_500_is_tried_again(self):
        def script(n, body):
            return fails(500, "oops") if n < 2 else all_right(n, body)

        with chat_server(after_trial(script)) as server:
            (result,) = judged(judge_at(server.url))
        assert result.scores == [1.0] * 4 and result.counts["retries"] == 2
        with chat_server(after_trial(lambda n, body: fails(500, "oops"))) as server:
            (result,) = judged(judge_at(server.url, retries=1))
        assert result.failure is PrmFailure.SERVER_ERROR and "HTTP 500: oops (tried 2 times)" in result.detail

    def test_another_server_helps(self):
        with chat_server(all_right) as good, chat_server(after_trial(lambda n, body: fails(500, "oops"))) as bad:
            requests = [PrmRequest(QUESTION, [f"Step {i}."]) for i in range(8)]
            results = judged(judge_at(bad.url, good.url), *requests)
        assert [r.scores for r in results] == [[1.0]] * 8

    def test_no_answer_in_time(self):
        with chat_server(after_trial(lambda n, body: 30.0)) as server:
            (result,) = judged(judge_at(server.url, retries=0, request_timeout=1))
        assert (
            result.failure is PrmFailure.TIMEOUT and "within 1 s (reward.prm.server.request_timeout)" in result.detail
        )

    def test_a_server_that_died(self):
        with chat_server(all_right) as server:
            config = judge_at(server.url, retries=1)

            async def main(stop):
                engine = await open_served(config, config.server.urls)
                stop()
                results = await engine.score([RESPONSE])
                await engine.close()
                return results

            server_gone = []
            context = chat_server(all_right)
            other = context.__enter__()
            config = judge_at(other.url, retries=1)
            (result,) = asyncio.run(main(lambda: server_gone.append(context.__exit__(None, None, None))))
        assert result.failure is PrmFailure.REFUSED and "connection refused" in result.detail
        assert result.counts["retries"] == 1

    def test_a_dead_server_at_the_start(self):
        with chat_server(all_right) as server:
            url = server.url
        for start in (lambda c: judged(c), require_servers):
            with pytest.raises(PrmError, match=r"connection refused.*Start them, or correct reward\.prm\.server\.urls"):
                start(judge_at(url))

    def test_a_wrong_model_name(self):
        with chat_server(all_right, models=["other", "more"]) as server:
            with pytest.raises(PrmError, match=r"does not serve reward\.prm\.model_path=judge, but other, more"):
                require_servers(judge_at(server.url))
            with pytest.raises(PrmError, match=r"does not serve reward\.prm\.server\.model=mine, but other"):
                require_servers(judge_at(server.url, model="mine"))

        def script(n, body):
            return fails(404, "The model `judge` does not exist.")

        with chat_server(script, models=None) as server:  # nothing lists them
            with pytest.raises(
                PrmError, match=r"404: The model `judge` does not exist\. The server must have .*=judge$"
            ):
                judged(judge_at(server.url))

    def test_the_name_at_the_server_may_be_another(self):
        with chat_server(all_right, models=["other", "more"]) as server:
            assert judged(judge_at(server.url, model="more"))[0].scores == [1.0] * 4
        assert server.bodies[-1]["model"] == "more"

    def test_a_request_that_the_server_does_not_know(self):
        def script(n, body):
            return fails(400, "unknown key response_format")

        with chat_server(script) as server:
            with pytest.raises(PrmError, match=r"unknown key response_format.*structured=none"):
                judged(judge_at(server.url))
        with chat_server(after_trial(script)) as server:
            (result,) = judged(judge_at(server.url))
        assert result.failure is PrmFailure.BAD_INPUT and result.counts["requests"] == 1

    def test_roots_of_other_providers(self):
        with chat_server(all_right, root="/v1beta/openai") as server:
            assert judged(judge_at(f"{server.url}/v1beta/openai"))[0].scores == [1.0] * 4
        with chat_server(all_right) as server:
            assert judged(judge_at(f"{server.url}/v1/"))[0].scores == [1.0] * 4


class TestKeys:
    def test_the_key_is_sent_and_the_environments_own_is_not(self, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-this-server")
        monkeypatch.setenv("JUDGE_KEY", KEY)
        with chat_server(all_right, key=KEY) as server:
            assert judged(judge_at(server.url, api_key_env="JUDGE_KEY"))[0].scores == [1.0] * 4
        assert set(server.keys) == {f"Bearer {KEY}"}
        with chat_server(all_right) as server:
            judged(judge_at(server.url))
        assert "sk-not-for-this-server" not in str(server.keys)

    def test_a_missing_key(self, monkeypatch):
        monkeypatch.delenv("JUDGE_KEY", raising=False)
        with chat_server(all_right, key=KEY) as server:
            with pytest.raises(PrmError, match=r"api_key_env=JUDGE_KEY: this environment variable is not set"):
                judged(judge_at(server.url, api_key_env="JUDGE_KEY"))
            with pytest.raises(PrmError, match=r"HTTP 401.*reward\.prm\.server\.api_key_env names"):
                require_servers(judge_at(server.url))

    @pytest.mark.parametrize("models", [("judge",), None])
    def test_a_wrong_key_is_refused_and_shown_nowhere(self, monkeypatch, caplog, capfd, models):
        monkeypatch.setenv("JUDGE_KEY", "sk-wrong-0815")
        caplog.set_level("DEBUG")
        with chat_server(all_right, key=KEY, models=models) as server:
            with pytest.raises(PrmError, match=r"HTTP 401: Incorrect API key provided: \*\*\*.*api_key_env") as error:
                judged(judge_at(server.url, api_key_env="JUDGE_KEY"))
        told = "".join(traceback.format_exception(error.value)) + caplog.text + "".join(capfd.readouterr())
        assert "sk-wrong" not in told


class TestLongResponses:
    """The judge reads 12 words of a solution."""

    @staticmethod
    def short(number, body):
        words = body["messages"][0]["content"].count("word")
        if words > 12:
            return fails(400, "This model's maximum context length is 12 tokens. However, you requested more")
        if "logprobs" in body:
            return says("\\boxed{Yes}", logprobs=LOGPROBS)
        return all_right(number, body)

    LONG = PrmRequest(QUESTION, ["word " * 4 + "\n"] * 6)

    def test_neutral_shows_the_judge_what_fits(self):
        with chat_server(self.short) as server:
            (result,) = judged(judge_at(server.url), self.LONG)
        assert result.scores == [1.0, 1.0, 1.0, None, None, None] and result.overlong and result.failure is None

    def test_neutral_step_by_step(self):
        with chat_server(self.short) as server:
            (result,) = judged(judge_at(server.url, options={"ask": "step"}), self.LONG)
        assert result.scores == pytest.approx([0.75, 0.75, 0.75, None, None, None]) and result.overlong

    def test_not_even_one_step_fits(self):
        with chat_server(self.short) as server:
            (result,) = judged(judge_at(server.url), PrmRequest(QUESTION, ["word " * 20]))
        assert result.scores == [None] and result.overlong

    def test_raise_is_a_failure(self):
        with chat_server(self.short) as server:
            (result,) = judged(judge_at(server.url, overlong="raise"), self.LONG)
        assert result.failure is PrmFailure.OVERLONG and result.overlong
        assert "family_options.max_tokens" in result.detail and "--max-model-len" in result.detail


def test_retry_after_is_a_number_or_a_date_and_never_in_the_past():
    assert retry_after({"retry-after": "2.5"}) == 2.5
    assert 8 < retry_after({"retry-after": email.utils.formatdate(time.time() + 10, usegmt=True)}) <= 10
    assert retry_after({"retry-after": "-3"}) == 0 and retry_after({"retry-after": email.utils.formatdate(0)}) == 0
    assert [retry_after({"retry-after": value}) for value in ("soon", "nan", "inf", "")] == [None] * 4
    assert retry_after({}) is None


def test_without_servers_the_setting_is_named():
    from verl_prpo.prm.open_prm import load_here

    with pytest.raises(PrmError, match=r"generated_verdicts asks a judge at a server.*\+\+reward\.prm\.server\.urls="):
        load_here(PrmConfig(model_path="judge", family="generated_verdicts"))
