# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A judge that writes, where its users meet it: checks before a run, replicas in Ray, metrics, calibrate, load_prm, the
page that describes it."""

import asyncio
import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
import ray
from chat_server import arithmetic, chat_server, fails, says
from plumbing import local_ray
from verl_configs import prpo

from verl_prpo.cli.main import main
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.generated.counts import NAMES
from verl_prpo.prm.generated.options import GeneratedOptions
from verl_prpo.prm.generated.prompts import PLACEHOLDERS
from verl_prpo.prm.load import load_prm
from verl_prpo.prm.replicas.client import PrmClient
from verl_prpo.prm.replicas.start import lookup_replicas, start_replicas, stop_replicas
from verl_prpo.prm.results import PrmFailure, PrmResult
from verl_prpo.settings.prm import PrmConfig, PrmServers
from verl_prpo.settings.prpo import ConfigError
from verl_prpo.step.messages import Scores
from verl_prpo.telemetry.judge import judge_metrics
from verl_prpo.trainer.checks.config_check import check_config

PAGE = Path(__file__).parents[2] / "docs" / "generated_verdicts.md"
QUESTION = [{"role": "user", "content": "What is 17 + 25?"}]
WRONG = ["17 + 25 = 43.\n", "43 - 1 = 42.\n", "It is 42."]


class TestChecksBeforeTheRun:
    JUDGE = ("+reward.prm.family=generated_verdicts", "+reward.prm.server.urls=[http://judge-0:8000]")

    def test_options_and_the_prompt_are_read_before_ray_starts(self, tmp_path):
        check_config(prpo(*self.JUDGE))
        (tmp_path / "prompt").write_text("{{ problem }}")
        for override, says_ in (
            ("+reward.prm.family_options.asks=step", r"did you mean reward\.prm\.family_options\.ask"),
            (f"+reward.prm.family_options.prompt_path={tmp_path}/none", "cannot be read"),
            (f"+reward.prm.family_options.prompt_path={tmp_path}/prompt", r"does not show the judge \{\{ steps \}\}"),
        ):
            with pytest.raises(ConfigError, match=says_):
                check_config(prpo(*self.JUDGE, override))

    def test_without_servers(self):
        with pytest.raises(ConfigError, match=r"generated_verdicts asks a judge at a server.*server\.urls="):
            check_config(prpo(self.JUDGE[0]))

    def test_the_mark_of_a_verdict_keeps_its_backslash(self):
        from verl_prpo.settings.prm import prm_config

        config = prm_config(prpo(*self.JUDGE, r"+reward.prm.family_options.verdict_after='\boxed{'").reward)
        assert config.family_options["verdict_after"] == GeneratedOptions().verdict_after == "\\boxed{"


def test_scores_counts_and_failures_come_through_the_actor_and_the_client():
    def script(number, body):
        return fails(500, "oops") if "unlucky" in body["messages"][0]["content"] else arithmetic(number, body)

    with chat_server(script) as server, local_ray("judge"):
        config = PrmConfig(model_path="judge", family="generated_verdicts", timeout=60)
        config = replace(config, server=PrmServers(urls=[server.url], retries=0))
        (replica,) = start_replicas(config, "cpu")
        described = ray.get(replica.describe.remote(), timeout=60)

        async def ask():
            client = PrmClient(config, lambda: lookup_replicas(config))
            return await asyncio.gather(
                client.score(QUESTION, WRONG),
                client.score(QUESTION, ["1 + 1 = 2."]),
                client.score(QUESTION, ["unlucky"]),
            )

        wrong, right, failed = asyncio.run(ask())
        stop_replicas()
    assert (described.family, described.engine, described.prior_mean, described.prior_std) == (
        "generated_verdicts", "server", 0.5, 0.5,
    )  # fmt: skip
    assert (wrong.scores, right.scores) == ([0.0, 1.0, 1.0], [1.0])
    assert failed.failure is PrmFailure.SERVER_ERROR and "HTTP 500" in failed.detail
    sent = [Scores.from_dict(Scores.of(r).as_dict()) for r in (wrong, right, failed)]
    found = judge_metrics(sent)
    assert found["prpo/prm/judge/requests"] == 3 and found["prpo/prm/judge/prompt_tokens"] == 200
    assert found["prpo/prm/judge/completion_tokens"] == 14 and set(found) == {f"prpo/prm/judge/{n}" for n in NAMES}


def test_another_prm_has_no_such_metrics():
    assert judge_metrics([Scores.of(PrmResult([1.0]))]) == {} == judge_metrics([])


class TestInPython:
    def test_scores_or_an_error_that_says_what_to_do(self):
        with chat_server(arithmetic) as server:
            judge = load_prm("judge", family="generated_verdicts", server={"urls": [server.url]})
            assert judge.score(QUESTION, WRONG) == [0.0, 1.0, 1.0]
            assert judge.max_model_len is None
            with pytest.raises(PrmError, match="max_model_len=9 is not read"):
                load_prm("judge", family="generated_verdicts", server={"urls": [server.url]}, max_model_len=9)
            assert (judge.family, judge.score_range, judge.prior_std) == ("generated_verdicts", (0.0, 1.0), 0.5)
            judge.close()
            judge.close()
        with chat_server(lambda n, body: says("hm") if n else arithmetic(n, body)) as server:
            judge = load_prm("judge", family="generated_verdicts", server={"urls": [server.url]})
            with pytest.raises(PrmError, match=r"bad_output.*does not end with a JSON object") as error:
                judge.score(QUESTION, WRONG)
            assert error.value.kind is PrmFailure.BAD_OUTPUT
            judge.close()

    def test_in_a_notebook_whose_event_loop_runs(self):
        async def cell(url):
            judge = load_prm("judge", family="generated_verdicts", server={"urls": [url]}, timeout=60)
            scores = judge.score(QUESTION, WRONG)
            judge.close()
            return scores

        with chat_server(arithmetic) as server:
            assert asyncio.run(cell(server.url)) == [0.0, 1.0, 1.0]

    @pytest.mark.parametrize(
        ("arguments", "says_"),
        [
            ({}, r"generated_verdicts asks a judge at a server"),
            ({"server": "http://judge"}, "server must be a dict with urls"),
            ({"server": {"url": ["http://judge"]}}, r"did you mean reward\.prm\.server\.urls"),
            ({"server": {"urls": []}}, "needs servers"),
            ({"server": {"urls": ["http://127.0.0.1:9"]}}, "connection refused"),
        ],
    )
    def test_servers_that_cannot_be_asked(self, arguments, says_):
        with pytest.raises(PrmError, match=says_):
            load_prm("judge", family="generated_verdicts", **arguments)


def test_calibrate_asks_the_judge(tmp_path, capsys):
    rows = [
        {"prompt": f"{i}. What is 17 + 25?", "steps": steps, "correct": right}
        for i in range(12)
        for steps, right in ((WRONG, False), (["17 + 25 = 42.\n", "It is 42."], True))
    ]
    source = tmp_path / "responses.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with chat_server(arithmetic) as server:
        judge = ["--prm", "judge", "++reward.prm.family=generated_verdicts", f"++reward.prm.server.urls=[{server.url}]"]
        status = main(["calibrate", str(source), *judge, "--json"])
    said = capsys.readouterr()
    assert status in (0, 3, 4), said.err
    found = json.loads(said.out)
    assert (found["responses"], found["segments"], found["failures"]) == (24, 60, {})
    assert (found["mean"], found["std"]) == (pytest.approx(0.8), pytest.approx(0.4))


class TestThePage:
    def test_has_every_option_placeholder_and_counter(self):
        text = PAGE.read_text()
        options = text.split("## Options")[1].split("## ")[0]
        assert re.findall(r"^\| `(\w+)` \|", options, re.MULTILINE) == [f.name for f in fields(GeneratedOptions)]
        prompts = text.split("## Prompts")[1].split("## ")[0]
        assert all(f"`{name}`" in prompts for names in PLACEHOLDERS.values() for name in names)
        costs = text.split("## What it costs")[1].split("## ")[0]
        assert all(f"`{name}`" in costs for name in NAMES)

    def test_its_worked_example_follows_from_its_formula(self):
        text = PAGE.read_text()
        responses, c, q, T, S, w = 128 * 8, 250, 100, 600, 6, 1500
        assert (
            f"| `ask=response` | {responses:,} | {responses * (c + q + T) / 1e6:.2f} million | 1.5 million | 128 |"
            in text
        )
        step = responses * S
        tokens = step * (c + q + T * (S + 1) / (2 * S))
        assert f"| `ask=step` | {step:,} | {tokens / 1e6:.1f} million | {step * w / 1e6:.1f} million | 768 |" in text
        assert (responses * w / 12_000, step * w / 12_000) == (128, 768)
