# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The study's pair of arms on the full stack: what verl, vLLM and the plugin get is what the light trainer has."""

import json
import random
from itertools import pairwise

import pandas as pd
import pytest
import torch
from study.full_stack.export import write_models
from study.full_stack.learned_family import LearnedFamily
from study.full_stack.metrics import is_whole, rows_of
from study.full_stack.problems import problem_of, write_problems
from study.full_stack.reward import compute_score
from study.full_stack.table import Trained, markdown
from study.full_stack.train import RECIPES, ROOT, Exported, overrides
from study.plan import Run
from study.policy import new_model, prompt_ids
from study.prms import Learned, read
from study.tasks import TASKS, held_out_problems
from study.trainer import HELD_OUT, HELD_OUT_SEED, Settings, train
from study.vocabulary import EOS, Vocabulary
from transformers import AutoModelForCausalLM, AutoTokenizer
from verl_configs import compose, validate

from verl_prpo.prm.families import resolve_family
from verl_prpo.settings.prpo import prm_config, prpo_config
from verl_prpo.text.decoding import segment_texts

torch.set_num_threads(1)


@pytest.fixture(scope="module", params=sorted(TASKS))
def models(request, tmp_path_factory):
    """A task with an untrained policy and PRM, and the folder they are exported to."""
    task = TASKS[request.param]
    vocabulary = Vocabulary(task.WORDS)
    torch.manual_seed(0)
    policy = new_model(vocabulary, hidden=32, layers=1).eval()
    prm = Learned(new_model(vocabulary, hidden=32, layers=1).eval(), vocabulary)
    torch.nn.init.normal_(prm.head.weight)
    folder = tmp_path_factory.mktemp(task.NAME)
    write_models(task.NAME, policy, prm, vocabulary, folder)
    return task, vocabulary, policy, prm, folder


def test_the_tokenizer_is_the_vocabulary(models):
    task, vocabulary, _, _, folder = models
    rng = random.Random(1)
    tokenizer = AutoTokenizer.from_pretrained(folder / "policy")
    assert (len(tokenizer), tokenizer.eos_token_id) == (len(vocabulary), EOS)
    for problem in (task.problem(rng) for _ in range(100)):
        asked = [{"role": "user", "content": problem.question}]
        prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=True, return_dict=False)
        assert prompt == prompt_ids(vocabulary, problem)
        for text in (task.flawed(problem, rng), task.demonstration(problem, rng)):
            assert tokenizer(text, add_special_tokens=False).input_ids == vocabulary.encode(text)
            assert tokenizer.decode([*vocabulary.encode(text), EOS], skip_special_tokens=True) == text


def test_the_policy_comes_back_with_its_tokens_in_place(models):
    _, vocabulary, policy, _, folder = models
    reloaded = AutoModelForCausalLM.from_pretrained(folder / "policy", dtype=torch.float32)
    ids = torch.arange(len(vocabulary))[None]
    with torch.inference_mode():
        torch.testing.assert_close(reloaded(ids).logits, policy(ids).logits)


def test_the_family_gives_the_learned_prms_scores(models):
    """Of whole and cut-off responses, cut anywhere but before EOS."""
    task, vocabulary, _, prm, folder = models
    rng = random.Random(2)
    tokenizer = AutoTokenizer.from_pretrained(folder / "policy")
    responses, spans = [], []
    for problem in (task.problem(rng) for _ in range(40)):
        line = vocabulary.encode(task.flawed(problem, rng) + "\n")
        for ids in ([*line[:20], EOS], (line * task.MAX_NEW_TOKENS)[: task.MAX_NEW_TOKENS]):
            cuts = sorted({0, *rng.choices(range(len(ids) - 1), k=4), len(ids)})
            responses.append(read(task, vocabulary, problem, ids))
            spans.append(list(pairwise(cuts)))
    family = LearnedFamily.load(str(folder / "prm"), device=torch.device("cpu"), dtype=torch.float32)
    encoded = [
        family.encode([{"role": "user", "content": r.problem.question}], segment_texts(tokenizer, r.ids, cut))
        for r, cut in zip(responses, spans, strict=True)
    ]
    assert [row.input_ids for row in encoded] == [prompt_ids(vocabulary, r.problem) + r.ids for r in responses]
    for ours, theirs in zip(family.forward(encoded), prm.scores(responses, spans), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)


class Listener:
    """A PRM that remembers whose responses it is shown."""

    def __init__(self):
        self.problems = []

    def scores(self, responses, spans):
        self.problems += [response.problem for response in responses]
        return [[0.5] * len(cut) for cut in spans]


def test_the_rows_are_the_light_trainers_problems_in_order(tmp_path):
    task = TASKS["early"]
    vocabulary = Vocabulary(task.WORDS)
    listener, settings = Listener(), Settings("prpo", seed=3, steps=2, prompts=4, rollouts=2)
    start = {"step": 0, "greedy": 0.0}
    list(train(new_model(vocabulary, hidden=32, layers=1), task, listener, vocabulary, settings, start))
    write_problems("early", "train", 3, 8, tmp_path / "train.parquet")
    rows = pd.read_parquet(tmp_path / "train.parquet")
    assert [row[0]["content"] for row in rows.prompt] == [p.question for p in listener.problems[::2]]
    assert [problem_of(info) for info in rows.extra_info] == listener.problems[::2]


@pytest.mark.parametrize("name", sorted(TASKS))
def test_the_reward_is_the_tasks_verdict(name, tmp_path):
    task, rng = TASKS[name], random.Random(4)
    write_problems(name, "held_out", HELD_OUT_SEED, HELD_OUT, tmp_path / "held_out.parquet")
    rows = pd.read_parquet(tmp_path / "held_out.parquet")
    problems = held_out_problems(task, HELD_OUT_SEED, HELD_OUT)
    assert [row[0]["content"] for row in rows.prompt] == [problem.question for problem in problems]
    seen = set()
    for row, problem in zip(rows.itertuples(), problems, strict=True):
        for text in (task.demonstration(problem, rng), task.flawed(problem, rng)):
            right = task.correct(problem, text)
            given = compute_score(row.data_source, text, row.reward_model["ground_truth"], extra_info=row.extra_info)
            assert given == {"score": 1.0 if right else -1.0, "acc": float(right)}
            seen.add(right)
    assert seen == {True, False}


@pytest.mark.parametrize("arm", ["grpo", "prpo", "trust"])
def test_the_recipe_becomes_the_light_trainers_run(arm, tmp_path):
    exported = Exported(tmp_path, tmp_path, tmp_path / "train", tmp_path / "held_out", longest_prompt=20)
    run = Run("early", "learned", Settings(arm, seed=1, lr=1e-4))
    config = compose(RECIPES[arm], overrides(run, exported, tmp_path), ROOT / "recipes")
    validate(config)
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    assert (config.data.train_batch_size, actor.ppo_mini_batch_size, rollout.n) == (16, 16, 8)
    assert (actor.optim.lr, actor.optim.weight_decay, actor.optim.lr_scheduler_type) == (1e-4, 0.0, "constant")
    assert list(actor.optim.betas) == [0.9, 0.999]
    assert not actor.use_kl_loss and not config.algorithm.use_kl_in_reward
    assert config.algorithm.norm_adv_by_std_in_grpo
    if arm != "grpo":
        prpo = prpo_config(config.algorithm)
        assert (prpo.credit, prpo.segmenter, prpo.anchor_rule) == (arm, "entropy", "paper")
        assert (prpo.max_anchors, prpo.min_gap, prpo.outcome_weight) == (5, 6, 1.0)
        assert prpo.process_weight == "auto"
        assert (prpo.process_norm, prpo.outcome_norm) == ("prior", "mean")
        assert (prpo.prior_mean, prpo.prior_std) in ((None, None), (0.5, 12**-0.5))
        assert resolve_family(prm_config(config.reward)).__name__ == LearnedFamily.__name__


def logged(step, **data):
    return json.dumps({"step": step, "data": {name.replace("__", "/"): value for name, value in data.items()}}) + "\n"


def test_a_run_is_whole_when_every_step_and_both_ends_are_there(tmp_path):
    look = {"val-core/study_early/acc/mean@1": 0.25}
    step = {"critic__score__mean": -0.5, "response_length__mean": 20.0, "timing_s__step": 3.0}
    lines = [logged(0, **look), logged(1, **step), logged(2, **step, **look)]
    metrics = tmp_path / "metrics.jsonl"
    assert not is_whole(metrics, "early", 2)
    for part in (lines[:2], lines[1:], [*lines[:2], lines[2][:-1]], [*lines[:2], logged(2, **step)]):
        metrics.write_text("".join(part))
        assert not is_whole(metrics, "early", 2)
    metrics.write_text("".join(lines))
    assert is_whole(metrics, "early", 2) and not is_whole(metrics, "early", 3)
    rows = rows_of(metrics, tmp_path / "rollouts", "early")
    assert [row.get("greedy") for row in rows] == [0.25, None, 0.25]
    assert rows[1] == {"step": 1, "accuracy": 0.25, "length": 20.0, "seconds": 3.0}


def test_the_table_sets_the_trainers_side_by_side():
    def trained(trainer, arm, end):
        step = {"accuracy": 0.5, "length": 20.0}
        rows = [{"step": 0, "greedy": 0.25}, {"step": 1, **step}, {"step": 2, "greedy": end, **step}]
        return Trained(trainer, Run("early", "learned", Settings(arm, 1, steps=2)), rows)

    text = markdown(
        [
            *(trained("light", "grpo", 0.375), trained("light", "prpo", 0.5)),
            *(trained("full stack", "grpo", 0.5), trained("full stack", "prpo", 0.75)),
        ]
    )
    assert "| 1 | prpo | 0.0003 | full stack | 25.0 | 75.0 | 50.0 | 20.0 |  |" in text
    assert "after the last step, full stack: +25.0 points, mean +25.0" in text
    assert "after the last step, light: +12.5 points, mean +12.5" in text
    assert "training accuracy, last quarter, light: +0.0 points" in text
