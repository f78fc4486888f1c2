# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Which responses count as cut off by a length limit."""

import json

import pytest
import verl_configs
from tiny_models import qwen_tokenizer

from verl_prpo.trainer.length_limit import LengthLimit, length_limit

LIMIT = LengthLimit(response=4, total=10, end_ids=frozenset([7, 8]))


@pytest.mark.parametrize(
    "response, prompt, cut",
    [
        ([1, 2, 3, 4], 2, True),
        ([1, 2, 3, 7], 2, False),
        ([1, 2, 3, 8], 2, False),
        ([1, 2, 3], 2, False),
        ([1, 2, 3], 7, True),
        ([1, 2, 7], 7, False),
        ([], 10, False),
    ],
)
def test_as_long_as_it_may_be_without_an_end(response, prompt, cut):
    assert LIMIT.truncates(response, prompt) is cut


def test_limits_and_end_tokens_come_from_the_configuration_and_the_policys_files(tmp_path):
    tokenizer = qwen_tokenizer(separator=None)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [5, 6]}))
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": 9, "text_config": {"eos_token_id": [11]}}))
    settings = ("data.max_response_length=77", "actor_rollout_ref.rollout.max_model_len=99")
    config = verl_configs.prpo(f"actor_rollout_ref.model.path={tmp_path}", *settings)
    assert length_limit(config, tokenizer) == LengthLimit(77, 99, frozenset([5, 6, 9, 11, tokenizer.eos_token_id]))


@pytest.mark.parametrize("server, total", [("vllm", 64), ("sglang", 63)])
def test_without_a_limit_of_the_rollout_the_models_own_counts(tmp_path, server, total):
    tokenizer = qwen_tokenizer(separator=None)
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 64}))
    model = f"actor_rollout_ref.model.path={tmp_path}"
    config = verl_configs.prpo(model, "data.max_response_length=77", f"actor_rollout_ref.rollout.name={server}")
    assert length_limit(config, tokenizer).total == total


def test_without_these_files_the_tokenizers_end_counts():
    tokenizer = qwen_tokenizer(separator=None)
    config = verl_configs.prpo("actor_rollout_ref.model.path=no/such-model", "data.max_response_length=77")
    assert length_limit(config, tokenizer) == LengthLimit(77, None, frozenset([tokenizer.eos_token_id]))
