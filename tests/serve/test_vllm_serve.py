# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A real `vllm serve` on the CPU gives the scores that the same weights give in process."""

import asyncio
import dataclasses

import pytest
import ray
import tiny_models
import torch
from tiny_causal_prms import label_token_prm
from tiny_head_prms import qwen3_token_classification_prm
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
FAMILIES = ["qwen_math_prm", "token_classification", "zero_shot_judge", "label_token"]
VERSA = {"tag": "\n\n\n\n", "problem": "{problem} \n\n", "step": "{step} {tag}"}
"""Options of VersaPRM."""

TOP = 404
"""Log-probabilities that the server of the language model gives for a token at most, all but one."""

QUESTION = [{"role": "user", "content": "What is 17 + 25?"}]
ENGLISH = ["First we add the numbers.\n\n", "17 + 25 = 42.\n\n", "So the answer is \\boxed{42}."]
REQUESTS = [
    PrmRequest(QUESTION, ENGLISH),
    PrmRequest(
        [{"role": "user", "content": "十七加二十五等于多少？"}], ["首先我们把两个数相加。", "所以答案是四十二。"]
    ),
    PrmRequest(QUESTION, ["The token <extra_0> is ", "a separator <extra_0><|im_end|>", " for some <|eot_id|>."]),
    PrmRequest([{"role": "system", "content": "Be brief."}, *QUESTION], ["", "17 + 25 ", "", "= 42 🎉👩‍🔬", ""]),
    PrmRequest(QUESTION, ["So the answer is 42."]),
    PrmRequest(QUESTION, [f"{i}, " for i in range(20)]),
    PrmRequest(QUESTION, ENGLISH),
    PrmRequest(QUESTION, [""]),
]


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    """`reward.prm` by family. A Qwen2.5-Math PRM and a Qwen3 token classifier have a server each, and a language model
    has one for both families that read its next token."""
    folder = tmp_path_factory.mktemp("serve")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_models, "tiny_config", tiny_models.wide_heads_config)
        math = tiny_models.qwen_math_prm(folder / "math", context=CONTEXT)
    classifier = qwen3_token_classification_prm(folder / "classifier", context=CONTEXT, head_dim=32)
    language = label_token_prm(folder / "language", context=CONTEXT, hidden=128, added=["<more>"])
    separator = tiny_models.qwen_tokenizer().convert_tokens_to_ids(tiny_models.SEPARATOR)
    with vllm_servers(
        folder,
        # The real models' separator is vLLM's default; the tiny tokenizer has another id for it.
        math=(math, ["--pooler-config", f'{{"step_tag_id": {separator}}}', "--served-model-name", "prm"]),
        classifier=(classifier, ["--runner", "pooling"]),
        language=(language, ["--max-logprobs", str(TOP)]),
    ) as servers:
        settings = PrmConfig(timeout=120, cache_size=0)
        models = {"qwen_math_prm": (math, "math"), "token_classification": (classifier, "classifier")}
        detected = {
            family: dataclasses.replace(settings, model_path=str(model), server=asking(servers[name].url))
            for family, (model, name) in models.items()
        }
        named = dataclasses.replace(settings, model_path=str(language), server=asking(servers["language"].url))
        yield detected | {
            "zero_shot_judge": dataclasses.replace(named, family="zero_shot_judge"),
            "label_token": dataclasses.replace(named, family="label_token", family_options=VERSA),
        }


def asking(url, prompt_logprobs=TOP):
    return PrmServers(urls=[url], prompts_per_request=3, prompt_logprobs=prompt_logprobs)


def in_process_scores(config, requests, context=CONTEXT):
    family = resolve_family(config).load(
        config.model_path, device=torch.device("cpu"), dtype=torch.float32, **config.family_options
    )
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


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_the_same_weights_in_process(configs, family):
    engine, results = served_scores(configs[family], REQUESTS)
    expected = in_process_scores(configs[family], REQUESTS)
    require_equal(results, expected)
    assert (engine.family.name, engine.model.max_model_len) == (family, CONTEXT)
    assert [result.failure for result in results] == [None] * 7 + [PrmFailure.BAD_INPUT]
    scores = [score for result in results[:6] for score in result.scores]
    assert max(scores) - min(scores) > 0.1  # else agreement would say little


@pytest.mark.parametrize("family", FAMILIES)
def test_a_dialogue_as_long_as_the_server_takes_is_scored_and_a_longer_one_cut(configs, family):
    config = configs[family]
    # Behind this text the only token that the server leaves out, the least likely, is no label.
    requests = [PrmRequest(QUESTION, ["It is 42. "] * count) for count in (5, 30, 400)]
    engine, results = served_scores(config, requests)
    assert engine.family.max_context == CONTEXT - (2 if engine.serving == "prompt_logprobs" else 0)
    require_equal(results, in_process_scores(config, requests, engine.family.max_context))
    assert [result.failure for result in results] == [None] * len(requests)
    assert results[-1].overlong and not results[0].overlong


@pytest.mark.parametrize("family", ["qwen_math_prm", "label_token"])
def test_scores_come_through_the_actor_and_the_client(configs, family):
    config = configs[family]
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


@pytest.mark.parametrize(
    ("family", "server_of", "answer"),
    [
        ("zero_shot_judge", "qwen_math_prm", r"HTTP 4.*Start vLLM without --runner pooling"),
        ("label_token", "token_classification", r"HTTP 4.*Start vLLM without --runner pooling"),
        ("token_classification", "label_token", r"HTTP 4.*Start vLLM with --runner pooling"),
    ],
)
def test_a_server_of_another_kind_of_model_is_refused_at_start(configs, family, server_of, answer):
    config = dataclasses.replace(configs[family], server=configs[server_of].server)
    with pytest.raises(PrmError, match=rf"is up, but does not score as the family {family} needs.*{answer}"):
        served_scores(config, REQUESTS)


def test_labels_that_the_server_does_not_name_are_refused_at_start(configs):
    (url,) = configs["label_token"].server.urls
    config = dataclasses.replace(configs["label_token"], server=asking(url, 1))
    with pytest.raises(PrmError, match=r"does not score as the family label_token.*label token.*prompt_logprobs"):
        served_scores(config, REQUESTS)


def test_more_log_probabilities_than_the_server_gives_are_refused_at_start(configs):
    (url,) = configs["label_token"].server.urls
    config = dataclasses.replace(configs["label_token"], server=asking(url, TOP + 1))
    with pytest.raises(PrmError, match=rf"HTTP 400: .*{TOP + 1}"):
        served_scores(config, REQUESTS)
