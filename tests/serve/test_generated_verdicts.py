# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A judge that writes, at a real `vllm serve` on the CPU: guided JSON, log-probabilities, and what vLLM refuses."""

import asyncio
import json
import urllib.request

import pytest
import tiny_models
import torch
from fault_server import asking
from test_vllm_serve import ENGLISH, QUESTION
from transformers import AutoModelForCausalLM, AutoTokenizer
from vllm_server import vllm_servers

from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.results import PrmFailure, PrmRequest
from verl_prpo.prm.served import open_served, require_servers
from verl_prpo.settings.prm import PrmConfig

pytestmark = pytest.mark.e2e

CONTEXT = 4096
FORM = {"structured_outputs": {"regex": r"So \\boxed\{(Yes|No)\}"}}
"""What has random weights write a verdict."""

RESPONSE = PrmRequest(QUESTION, ENGLISH)


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """A judge of random weights, its folder and its server."""
    folder = tmp_path_factory.mktemp("judge")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_models, "tiny_config", tiny_models.wide_heads_config)
        model = tiny_models.instruct_model(folder / "judge", context=CONTEXT)
    arguments = ["--max-logprobs", "409", "--served-model-name", "judge"]
    # A model of random weights would write white space between two keys for ever.
    arguments += ["--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}']
    with vllm_servers(folder, judge=(model, arguments)) as servers:
        yield model, servers["judge"].url


def judged(url, options, *requests, **settings):
    config = PrmConfig(model_path="judge", family="generated_verdicts", family_options=options, timeout=120, **settings)
    config = asking(config, urls=[url])

    async def main():
        engine = await open_served(config, config.server.urls)
        results = await engine.score(requests)
        await engine.close()
        return engine, results

    return asyncio.run(main())


def completion(url, body):
    request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def test_guided_json_gives_the_verdict_that_the_server_wrote_on_each_step(judge):
    _, url = judge
    options = {"explain": False, "temperature": 0, "max_tokens": 600}
    long = PrmRequest(QUESTION, [f"Step {i}: {i} + {i} = {2 * i}.\n" for i in range(12)])
    engine, (few, many) = judged(url, options, RESPONSE, long)
    assert engine.model.max_model_len == CONTEXT and engine.model.name == "judge"
    assert few.failure is None and len(few.scores) == 3 and len(many.scores) == 12
    for request, result in ((RESPONSE, few), (long, many)):
        prompt = engine.family.prompt.for_response(QUESTION[0]["content"], request.segments)
        step = {
            "type": "object",
            "properties": {"verdict": {"type": "string", "enum": ["right", "wrong"]}},
            "required": ["verdict"],
            "additionalProperties": False,
        }
        names = [str(i) for i in range(1, len(request.segments) + 1)]
        schema = {
            "type": "object",
            "properties": dict.fromkeys(names, step),
            "required": names,
            "additionalProperties": False,
        }
        form = {"type": "json_schema", "json_schema": {"name": "verdicts", "schema": schema, "strict": True}}
        body = {"model": "judge", "temperature": 0, "max_tokens": 600, "response_format": form}
        plain = completion(url, body | {"messages": [{"role": "user", "content": prompt}]})
        written = json.loads(plain["choices"][0]["message"]["content"])
        assert result.scores == [{"right": 1.0, "wrong": 0.0}[written[name]["verdict"]] for name in names]
        assert result.tokens == plain["usage"]["prompt_tokens"] > 100
        assert result.counts["completion_tokens"] == plain["usage"]["completion_tokens"]
        assert (result.counts["requests"], result.counts["retries"]) == (1, 0)


def test_the_score_of_a_step_is_the_probability_of_the_verdicts_token(judge):
    folder, url = judge
    options = {"ask": "step", "temperature": 0, "max_tokens": 64, "top_logprobs": 400, "extra_body": FORM}
    engine, (result,) = judged(url, options, RESPONSE)
    assert result.failure is None and result.counts["requests"] == 3

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    texts = [tokenizer.decode([i]) for i in range(model.config.vocab_size)]
    for number, score in enumerate(result.scores, 1):
        prompt = engine.family.prompt.for_step(QUESTION[0]["content"], ENGLISH[:number])
        messages = [{"role": "user", "content": prompt}]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        body = {"model": "judge", "messages": messages, "temperature": 0, "max_tokens": 64, **FORM}
        answer = completion(url, body | {"return_token_ids": True})["choices"][0]
        written = answer["token_ids"]
        before = next(n for n in range(len(written)) if tokenizer.decode(written[: n + 1]).endswith("{"))
        with torch.inference_mode():
            shares = model(torch.tensor([ids + written[: before + 1]])).logits[0, -1].softmax(-1)
        found = [
            sum(share for share, text in zip(shares.tolist(), texts, strict=True) if text and label.startswith(text))
            for label in ("Yes", "No")  # the form leaves no other tokens there
        ]
        assert score == pytest.approx(found[0] / sum(found), abs=2e-3)
    assert max(result.scores) - min(result.scores) > 0.001  # else agreement would say little


def test_the_share_of_samples(judge):
    _, url = judge
    options = {"ask": "step", "score": "samples", "samples": 4, "temperature": 2, "max_tokens": 64, "extra_body": FORM}
    _, (result,) = judged(url, options, RESPONSE)
    assert result.failure is None and set(result.scores) <= {0.0, 0.25, 0.5, 0.75, 1.0}


def test_a_response_longer_than_the_servers_context(judge):
    _, url = judge
    long = PrmRequest(QUESTION, [f"Then we add {i} to it and look at the sum.\n\n" for i in range(400)])
    options = {"explain": False, "temperature": 0, "max_tokens": 1500}
    _, (result,) = judged(url, options, long)
    assert result.failure is None and result.overlong
    read = result.scores.index(None)
    assert read > 10 and result.scores[read:] == [None] * (400 - read)
    _, (result,) = judged(url, options, long, overlong="raise")
    assert result.failure is PrmFailure.OVERLONG and "--max-model-len" in result.detail


def test_an_answer_that_random_weights_never_end_is_cut_off(judge):
    _, url = judge
    with pytest.raises(PrmError, match=r"gives no verdicts on a trial.*cut off after .*max_tokens=32"):
        judged(url, {"max_tokens": 32}, RESPONSE)


def test_more_log_probabilities_than_the_server_gives(judge):
    _, url = judge
    with pytest.raises(PrmError, match=r"HTTP 400.*score=samples or top_logprobs"):
        judged(url, {"ask": "step", "top_logprobs": 410, "max_tokens": 64, "extra_body": FORM}, RESPONSE)


def test_another_model_than_the_one_that_is_served(judge):
    folder, url = judge
    config = PrmConfig(model_path=str(folder), family="generated_verdicts")
    with pytest.raises(PrmError, match=r"does not serve reward\.prm\.model_path=.*, but judge"):
        require_servers(asking(config, urls=[url]))
