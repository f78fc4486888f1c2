# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The study's arms, PRMs and trainer."""

import copy
import random
from collections import defaultdict

import numpy as np
import pytest
import torch
from study.arms import ARMS
from study.behaviour import behaviour
from study.controls import CONTROLS
from study.credit import CUTS, Run, Signals, advantages
from study.decoding import generate
from study.plan import HEADLINE
from study.policy import log_probs_and_entropy, new_model, prompt_ids
from study.prms import EXACT, Leaning, Learned, Oracle, line_spans, read, recall, train_learned
from study.tasks import TASKS, early
from study.trainer import Settings, judge, roll_out, train
from study.vocabulary import EOS, PAD, Vocabulary, padded

torch.set_num_threads(1)
VOCABULARY = Vocabulary(early.WORDS)


@pytest.fixture(scope="module")
def policy():
    torch.manual_seed(0)
    return new_model(VOCABULARY, hidden=32, layers=1).eval()


@pytest.fixture
def signals():
    random_scores = torch.Generator().manual_seed(5)
    mask = torch.arange(7) < torch.tensor([7, 3, 5, 4, 6, 2])[:, None]
    starts = (torch.arange(7) % 3 == 0) & mask
    scores = torch.rand(6, 7, generator=random_scores) * mask
    scores = scores.gather(1, (torch.arange(7) // 3 * 3).expand(6, 7)) * mask
    rewards = torch.tensor([1.0, -1.0, 1.0, -1.0, -1.0, -1.0])
    return Signals(
        scores, (scores > 0.5).float(), starts, rewards, -rewards, mask, [0, 0, 0, 1, 1, 1], torch.zeros(6).bool()
    )


def test_the_grpo_arm_is_verls_grpo(signals):
    from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage

    at_the_end = torch.zeros(6, 7)
    at_the_end[torch.arange(6), signals.response_mask.sum(1) - 1] = signals.outcome_rewards
    theirs, _ = compute_grpo_outcome_advantage(at_the_end, signals.response_mask.float(), np.array(signals.index))
    assert torch.equal(advantages(ARMS["grpo"], signals, Run()), theirs)


def test_dr_grpo_takes_off_the_mean_alone(signals):
    shift = torch.tensor([2 / 3, -4 / 3, 2 / 3, 0, 0, 0])
    torch.testing.assert_close(advantages(ARMS["dr_grpo"], signals, Run()), shift[:, None] * signals.response_mask)


def test_the_mean_score_arm_knows_the_scores_and_not_the_verdict(signals):
    found = advantages(ARMS["grpo_mean_score"], signals, Run())
    signals.outcome_rewards = -signals.outcome_rewards
    assert torch.equal(advantages(ARMS["grpo_mean_score"], signals, Run()), found)
    mean = signals.segment_means(signals.process_scores)[:3]
    torch.testing.assert_close(found[:3, 0], (mean - mean.mean()) / (mean.std() + 1e-6))


def test_skipping_takes_whole_groups_and_leaves_the_others(signals):
    found, all_of_it = (advantages(ARMS[arm], signals, Run()) for arm in ("prpo_skip", "prpo"))
    assert torch.equal(found[:3], all_of_it[:3])
    assert not found[3:].any()


def test_a_calibrated_prior_standardises_the_process_scores(signals):
    scores = signals.process_scores[signals.response_mask]
    prior = (scores.mean().item(), scores.std().item())
    process = advantages(ARMS["prpo_calibrated"], signals, Run(prior)) - advantages(ARMS["dr_grpo"], signals, Run())
    assert process[signals.response_mask].mean().item() == pytest.approx(0, abs=1e-5)
    assert process[signals.response_mask].std().item() == pytest.approx(1, abs=1e-5)


def test_the_raw_defect_touches_the_last_token_alone(signals):
    ours, theirs = (advantages(ARMS[arm], signals, Run()) for arm in ("prpo", "defect_raw_last"))
    last = signals.response_mask.sum(1) - 1
    differs = (ours - theirs).abs() > 1e-6
    assert differs.sum(1).le(1).all()
    assert differs[torch.arange(6), last].any()


def test_the_trust_arm_is_grpo_until_the_prm_has_earned_a_weight(signals):
    grpo, trust = advantages(ARMS["grpo"], signals, Run()), advantages(ARMS["trust"], signals, Run())
    assert torch.equal(grpo, trust)
    fixed = advantages(ARMS["trust"], signals, Run(weight=0.5))
    assert torch.equal(fixed[:3], grpo[:3]) and (fixed[3:] - grpo[3:]).abs().max() > 0.1


def test_an_arm_is_known_by_what_it_does(monkeypatch):
    alike = {behaviour(arm) for arm in ("prpo", "prpo_slow")}
    assert len(alike) == 1
    differing = ("grpo", "dr_grpo", "prpo", "pure", "trust", "prpo_random", "prpo_zero_one", "prpo_calibrated")
    assert len({behaviour(arm) for arm in differing}) == len(differing)
    before = behaviour("trust")
    behaviour.cache_clear()
    monkeypatch.setattr("verl_prpo.method.trust.STANDARD_ERRORS", 1.0)
    assert behaviour("trust") != before
    behaviour.cache_clear()


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_gives_finite_advantages_within_the_mask(arm, signals):
    found = advantages(ARMS[arm], signals, Run((0.4, 0.2), weight=0.3))
    assert found.isfinite().all()
    assert not found[~signals.response_mask].any()


def test_every_cut_opens_each_response():
    mask = torch.arange(20) < torch.tensor([20, 9])[:, None]
    entropy, lines = torch.rand(2, 20), torch.zeros(2, 20, dtype=torch.bool)
    lines[:, ::5] = True
    for cut in CUTS.values():
        starts = cut(lines, entropy * mask, entropy * mask, mask, torch.Generator().manual_seed(0))
        assert starts[:, 0].all()
        assert not starts[~mask].any()


def sampled(policy, count=4, rollouts=4, task=early):
    rng = random.Random(0)
    torch.manual_seed(0)
    problems = [task.problem(rng) for _ in range(count)]
    return problems, roll_out(policy, task, VOCABULARY, problems, rollouts)


def test_decoding_writes_what_transformers_own_would(policy):
    rng = random.Random(3)
    prompts = [prompt_ids(VOCABULARY, early.problem(rng)) for _ in range(6)] * 2  # of several lengths
    ids = padded(prompts, left=True)
    theirs = policy.generate(input_ids=ids, attention_mask=(ids != PAD).long(), max_new_tokens=12, do_sample=False)
    rows = theirs[:, ids.shape[1] :].tolist()
    assert generate(policy, prompts, 12, 0.0) == [row[: row.index(EOS) + 1] if EOS in row else row for row in rows]


def test_sampling_follows_the_policys_probabilities(policy):
    prompt = prompt_ids(VOCABULARY, early.Problem((1, 2, 3, 4)))
    torch.manual_seed(0)
    first = torch.tensor([ids[0] for ids in generate(policy, [prompt] * 4000, 1)])
    with torch.inference_mode():
        wanted = policy(input_ids=torch.tensor([prompt])).logits[0, -1].softmax(-1)
    seen = torch.bincount(first, minlength=len(VOCABULARY)) / 4000
    assert (seen - wanted).abs().sum() < 0.25  # about 0.12 by chance with 83 tokens


def test_rows_that_end_early_leave_the_others_alone(policy):
    rng = random.Random(4)
    prompts = [prompt_ids(VOCABULARY, early.problem(rng)) for _ in range(12)]
    ended = copy.deepcopy(policy)
    with torch.no_grad():  # most rows end within a few tokens
        ended.model.embed_tokens.weight[EOS] *= 30
    together = generate(ended, prompts, 20, 0.0)
    assert together == [generate(ended, [prompt], 20, 0.0)[0] for prompt in prompts]


def test_log_probabilities_and_entropy_are_those_of_the_response_tokens(policy):
    problems, batch = sampled(policy)
    for row in (0, 5, 15):
        response = batch.responses[row]
        assert response.problem == problems[row // 4]
        prompt = prompt_ids(VOCABULARY, response.problem)
        log_p, entropy = log_probs_and_entropy(policy, torch.tensor([prompt + response.ids]))
        length = len(response.ids)
        assert batch.mask[row].tolist() == [i < length for i in range(batch.mask.shape[1])]
        torch.testing.assert_close(batch.log_p[row, :length], log_p[0, len(prompt) - 1 :], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(batch.entropy[row, :length], entropy[0, len(prompt) - 1 :], atol=1e-4, rtol=1e-4)
        assert not batch.log_p[row, length:].any()


def test_an_oracle_scores_each_segment_by_the_faults_in_it(policy):
    problems, batch = sampled(policy)
    signals = judge(batch, ARMS["prpo_steps"], early, Oracle(), problems, 4, torch.Generator())
    for row, response in enumerate(batch.responses):
        for begin, end in line_spans(response):
            fine = float(not any(response.faulty[begin:end]))
            assert signals.process_scores[row, begin:end].tolist() == [fine] * (end - begin)
    assert torch.equal(signals.labels, signals.process_scores)


def test_a_noisy_oracle_is_wrong_as_often_as_it_should_be_and_keeps_to_its_word():
    rng, responses = random.Random(0), []
    for _ in range(400):
        problem = early.problem(rng)
        responses.append(read(early, VOCABULARY, problem, [*VOCABULARY.encode(early.flawed(problem, rng)), EOS]))
    found = recall(Leaning(0.2, 0.1), responses)
    assert found.on_wrong == pytest.approx(0.8, abs=0.05)
    assert found.on_right == pytest.approx(0.9, abs=0.04)
    assert recall(Leaning(0.2, 0.1), responses) == found
    assert recall(Oracle(), responses).on_wrong == recall(Oracle(), responses).on_right == 1


@pytest.mark.parametrize("name", EXACT)
def test_scores_of_every_prm_are_shares(name, policy):
    _, batch = sampled(policy)
    spans = [line_spans(response) for response in batch.responses]
    for row, cut in zip(EXACT[name](early).scores(batch.responses, spans), spans, strict=True):
        assert len(row) == len(cut)
        assert all(0 <= score <= 1 for score in row)


def test_a_learned_prm_takes_a_segments_worst_token_and_is_restored(policy):
    torch.manual_seed(1)
    prm = train_learned(policy, early, VOCABULARY, seed=0, steps=2, batch=4)
    _, batch = sampled(policy)
    response = batch.responses[0]
    tokens = prm.judge(batch.responses[:2])[0].sigmoid().tolist()[: len(response.ids)]
    whole = prm.scores([response], [[(0, len(response.ids))]])
    assert whole[0][0] == pytest.approx(min(tokens), abs=1e-5)
    again = Learned(new_model(VOCABULARY, hidden=32, layers=1), VOCABULARY)
    again.load_state_dict(prm.state_dict())
    assert again.scores([response], [[(0, len(response.ids))]]) == whole


def test_a_run_repeated_gives_the_same_rows(policy):
    settings = Settings("prpo_random", 1, steps=2, prompts=3, rollouts=4, look_every=1)
    once, again = (list(train(policy, early, Oracle(), VOCABULARY, settings)) for _ in range(2))
    assert once == again
    assert [row["step"] for row in once] == [0, 1, 2]
    assert all("greedy" in row for row in once)
    assert "sampled" in once[0] and "sampled" in once[2]


def test_runs_of_one_seed_see_the_same_problems_and_share_their_first_batch(policy, monkeypatch):
    seen = defaultdict(list)

    class Watching(Oracle):
        def scores(self, responses, spans):
            seen[arm].append([(response.problem, tuple(response.ids)) for response in responses])
            return super().scores(responses, spans)

    for arm in ("grpo", "prpo_random", "process"):
        list(train(policy, early, Watching(), VOCABULARY, Settings(arm, 7, steps=2, prompts=3, rollouts=2, lr=1e-2)))
    problems = {arm: [[problem for problem, _ in batch] for batch in batches] for arm, batches in seen.items()}
    assert problems["grpo"] == problems["prpo_random"] == problems["process"]
    assert seen["grpo"][0] == seen["process"][0]
    assert seen["grpo"][1] != seen["process"][1]  # trained differently since


def test_training_leaves_the_policy_it_started_from_alone(policy):
    before = [weight.clone() for weight in policy.parameters()]
    list(train(policy, early, Oracle(), VOCABULARY, Settings("process", 1, steps=1, prompts=2, rollouts=2, lr=1e-2)))
    assert all(torch.equal(a, b) for a, b in zip(before, policy.parameters(), strict=True))


def test_the_headline_is_made_of_arms_and_every_task_has_a_name():
    assert set(HEADLINE) <= set(ARMS)
    assert all(TASKS[name].NAME == name for name in TASKS)


def test_controls_know_nothing_and_the_reverse_of_the_truth(policy):
    torch.manual_seed(3)
    problems = [early.problem(random.Random(1)) for _ in range(8)]
    responses = roll_out(policy, early, VOCABULARY, problems, 4).responses
    spans = [line_spans(response) for response in responses]
    exact, turned = (prm.scores(responses, spans) for prm in (Oracle(), CONTROLS["reversed"](early)))
    assert [[1 - score for score in row] for row in exact] == turned
    chance = CONTROLS["random"](early)
    found = chance.scores(responses, spans)
    assert found == chance.scores(responses, spans)
    flat = [score for row in found for score in row]
    assert 0 <= min(flat) and max(flat) < 1 and len(set(flat)) > len(flat) / 2
