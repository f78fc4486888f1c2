# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A real `vllm serve` on the CPU gives the scores that the same weights give in process."""

import asyncio
import dataclasses

import pytest
import ray
import tiny_models
import torch
from vllm_server import vllm_servers

from verl_prpo.prm.families import resolve_family
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.in_process.engine import InProcessEngine
from verl_prpo.prm.replicas.client import PrmClient
from verl_prpo.prm.replicas.start import lookup_replicas, start_replicas, stop_replicas
from verl_prpo.prm.results import PrmFailure, PrmRequest
from verl_prpo.prm.server.engine import open_served_engine
from verl_prpo.settings.prpo import PrmConfig, PrmServers

pytestmark = pytest.mark.e2e

CONTEXT = 512
KINDS = ["pooling", "completions"]
QUESTION = [{"role": "user", "content": "What is 17 + 25?"}]
ENGLISH = ["First we add the numbers.\n\n", "17 + 25 = 42.\n\n", "So the answer is \\boxed{42}."]
REQUESTS = [
    PrmRequest(QUESTION, ENGLISH),
    PrmRequest(
        [{"role": "user", "content": "十七加二十五等于多少？"}], ["首先我们把两个数相加。", "所以答案是四十二。"]
    ),
    PrmRequest(QUESTION, ["The token <extra_0> is ", "a separator <extra_0><|im_end|>", " for some."]),
    PrmRequest([{"role": "system", "content": "Be brief."}, *QUESTION], ["", "17 + 25 ", "", "= 42 🎉👩‍🔬", ""]),
    PrmRequest(QUESTION, ["So the answer is 42."]),
    PrmRequest(QUESTION, [f"{i}, " for i in range(20)]),
    PrmRequest(QUESTION, ENGLISH),
    PrmRequest(QUESTION, [""]),
]


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    """`reward.prm` of a Qwen2.5-Math PRM and of a judge, each with a server."""
    folder = tmp_path_factory.mktemp("serve")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_models, "tiny_config", tiny_models.wide_heads_config)
        prm = tiny_models.qwen_math_prm(folder / "prm", context=CONTEXT)
        judge = tiny_models.instruct_model(folder / "judge", context=CONTEXT)
    separator = tiny_models.qwen_tokenizer().convert_tokens_to_ids(tiny_models.SEPARATOR)
    with vllm_servers(
        folder,
        # The real models' separator is vLLM's default; the tiny tokenizer has another id for it.
        pooling=(prm, ["--pooler-config", f'{{"step_tag_id": {separator}}}', "--served-model-name", "prm"]),
        completions=(judge, ["--max-logprobs", "409"]),
    ) as servers:
        settings = PrmConfig(timeout=120, cache_size=0)
        yield {
            "pooling": dataclasses.replace(settings, model_path=str(prm), server=asking(servers["pooling"].url)),
            "completions": dataclasses.replace(
                settings,
                model_path=str(judge),
                family="zero_shot_judge",
                server=asking(servers["completions"].url),
            ),
        }


def asking(url, prompt_logprobs=409):
    return PrmServers(urls=[url], prompts_per_request=3, prompt_logprobs=prompt_logprobs)


def in_process_scores(config, requests, context=CONTEXT):
    family = resolve_family(config).load(config.model_path, device=torch.device("cpu"), dtype=torch.float32)
    family.max_context = min(family.max_context, context)
    return InProcessEngine(family, 4096, config.overlong).score(requests)


def served_scores(config, requests):
    async def main():
        engine = await open_served_engine(config, config.server.urls)
        results = await engine.score(requests)
        await engine.close()
        return engine, results

    return asyncio.run(main())


def require_equal(results, expected):
    assert [result.failure for result in results] == [result.failure for result in expected]
    for result, wanted in zip(results, expected, strict=True):
        assert (result.tokens, result.overlong) == (wanted.tokens, wanted.overlong)
        assert result.scores == (None if wanted.scores is None else pytest.approx(wanted.scores, abs=1e-3))


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_the_same_weights_in_process(configs, kind):
    engine, results = served_scores(configs[kind], REQUESTS)
    expected = in_process_scores(configs[kind], REQUESTS)
    require_equal(results, expected)
    assert engine.model.max_model_len == CONTEXT
    assert [result.failure for result in results] == [None] * 7 + [PrmFailure.BAD_INPUT]
    scores = [score for result in results[:6] for score in result.scores]
    assert max(scores) - min(scores) > 0.1  # else agreement would say little


@pytest.mark.parametrize("kind", KINDS)
def test_a_dialogue_as_long_as_the_server_takes_is_scored_and_a_longer_one_cut(configs, kind):
    config = configs[kind]
    requests = [PrmRequest(QUESTION, ["We add. "] * count) for count in (5, 30, 400)]
    engine, results = served_scores(config, requests)
    assert engine.family.max_context == CONTEXT - (2 if kind == "completions" else 0)
    require_equal(results, in_process_scores(config, requests, engine.family.max_context))
    assert [result.failure for result in results] == [None] * len(requests)
    assert results[-1].overlong and not results[0].overlong


@pytest.mark.parametrize("kind", KINDS)
def test_scores_come_through_the_actor_and_the_client(configs, kind):
    config = configs[kind]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        (replica,) = start_replicas(config, "cpu")
        described = ray.get(replica.describe.remote(), timeout=60)

        async def main():
            client = PrmClient(config, lambda: lookup_replicas(config))
            return await asyncio.gather(*(client.score(r.messages, r.segments) for r in REQUESTS))

        results = asyncio.run(main())
        stop_replicas()
    finally:
        ray.shutdown()
    assert (described.engine, described.servers) == ("server", tuple(config.server.urls))
    require_equal(results, in_process_scores(config, REQUESTS))


def test_a_server_of_another_kind_of_model_is_refused_at_start(configs):
    judge_at_prm = dataclasses.replace(configs["completions"], server=configs["pooling"].server)
    with pytest.raises(PrmError, match=r"is up, but does not score as the family zero_shot_judge.*HTTP 4"):
        served_scores(judge_at_prm, REQUESTS)


def test_more_log_probabilities_than_the_server_gives_are_refused_at_start(configs):
    config = dataclasses.replace(configs["completions"], server=asking(*configs["completions"].server.urls, 410))
    with pytest.raises(PrmError, match=r"HTTP 400: .*410"):
        served_scores(config, REQUESTS)
