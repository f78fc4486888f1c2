# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A light trainer: sample, score, cut, one policy-gradient update; transformers alone, fp32, no Ray and no vLLM.

Segments and advantages are the package's own (`verl_prpo.method.segmentation`, `verl_prpo.method.advantage`). With one
update per batch PPO's clipped surrogate has the gradient of A * log p, which is what is taken here, as the mean over
the tokens of the batch (verl's token-mean). There is no KL term. Runs of one seed are paired: they see the same
problems in the same order, draw from the same random numbers at each step, and so share their first batch to the token.
"""

import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from study.arms import ARMS
from study.credit import CUTS, Arm, Run, Signals, advantages
from study.decoding import generate
from study.policy import accuracy, log_probs_and_entropy, prompt_ids
from study.prms import Prm, Response, line_spans, read, right
from study.tasks import Task, held_out_problems, training_problem
from study.vocabulary import EOS, Vocabulary, padded
from torch import Tensor
from transformers import Qwen2ForCausalLM

from verl_prpo.method.groups import all_equal_groups
from verl_prpo.method.segmentation import segment_bounds

HELD_OUT, HELD_OUT_SEED = 256, 987_654
SAMPLES = 512
"""Sampled responses to the held-out problems, at the beginning and the end of a run."""
Row = dict[str, float]


@dataclass(frozen=True)
class Settings:
    """A run.

    Attributes:
        arm: name in `study.arms.ARMS`.
        seed: of the problems and the sampling.
        steps: updates.
        lr: of Adam.
        prompts, rollouts: problems per step and responses to each.
        look_every: steps between measurements on held-out problems.
        weight: of the process advantage, for an arm that otherwise lets the PRM earn it.
    """

    arm: str
    seed: int
    steps: int = 40
    lr: float = 3e-4
    prompts: int = 16
    rollouts: int = 8
    look_every: int = 8
    weight: float | None = None


@dataclass
class Batch:
    """Responses with what the policy thinks of their tokens.

    Attributes:
        responses: grouped by prompt, in order.
        log_p: float `[bs, L]`, log-probabilities of response tokens, with gradients; 0 behind a response.
        entropy: float `[bs, L]`, of the distribution that each token was drawn from, nats.
        mask: bool `[bs, L]`.
    """

    responses: list[Response]
    log_p: Tensor
    entropy: Tensor
    mask: Tensor


def train(
    policy: Qwen2ForCausalLM,
    task: Task,
    prm: Prm,
    vocabulary: Vocabulary,
    settings: Settings,
    start: Row | None = None,
) -> Iterator[Row]:
    """Train a copy of a policy and tell of every step; `start` is its `look_at_start` where it is known already.

    Yields:
        What happened in the step, see `measures` and `study.credit.Run.observe`; `advantage_mean`, over its tokens;
        `greedy`, the accuracy on held-out problems, where it was measured, step 0 included; `sampled`, the same at
        temperature 1, first and last.
    """
    arm = ARMS[settings.arm]
    rng = random.Random(settings.seed)
    generator = torch.Generator().manual_seed(settings.seed)  # of random cuts
    policy = copy.deepcopy(policy)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=settings.lr, weight_decay=0.0)
    held_out = held_out_problems(task, HELD_OUT_SEED, HELD_OUT)
    run = Run(weight=settings.weight)
    yield start or look_at_start(policy, task, vocabulary)
    for step in range(1, settings.steps + 1):
        torch.manual_seed(settings.seed * 100_003 + step)  # whatever was drawn before does not matter
        problems = [training_problem(task, rng) for _ in range(settings.prompts)]
        batch = roll_out(policy, task, vocabulary, problems, settings.rollouts)
        signals = judge(batch, arm, task, prm, problems, settings.rollouts, generator)
        told = run.observe(step, signals)
        advantage = advantages(arm, signals, run)
        update(policy, optimizer, batch, advantage)
        row = {
            "step": step,
            **measures(batch, signals, task),
            **told,
            "advantage_mean": advantage[batch.mask].mean().item(),
        }
        last = step == settings.steps
        if last or step % settings.look_every == 0:
            row |= look(policy, task, vocabulary, held_out, sample=last)
        yield row


def look_at_start(policy: Qwen2ForCausalLM, task: Task, vocabulary: Vocabulary) -> Row:
    """The row of step 0."""
    held_out = held_out_problems(task, HELD_OUT_SEED, HELD_OUT)
    return {"step": 0, **look(policy, task, vocabulary, held_out, sample=True)}


def look(policy: Qwen2ForCausalLM, task: Task, vocabulary: Vocabulary, problems: list[Any], sample: bool) -> Row:
    """Accuracy on problems: greedy, and over `SAMPLES` sampled responses."""
    found = {"greedy": accuracy(policy, vocabulary, task, problems, 0.0)}
    if sample:
        torch.manual_seed(HELD_OUT_SEED)
        asked = [problems[i % len(problems)] for i in range(SAMPLES)]
        found["sampled"] = accuracy(policy, vocabulary, task, asked, 1.0)
    return found


def roll_out(policy: Qwen2ForCausalLM, task: Task, vocabulary: Vocabulary, problems: list[Any], rollouts: int) -> Batch:
    """Sample responses at temperature 1 and read off what the policy thinks of their tokens."""
    asked = [problem for problem in problems for _ in range(rollouts)]
    prompts = [prompt_ids(vocabulary, problem) for problem in asked]
    made = generate(policy, prompts, task.MAX_NEW_TOKENS)
    responses = [read(task, vocabulary, p, ids) for p, ids in zip(asked, made, strict=True)]
    log_p, entropy = log_probs_and_entropy(policy, padded([p + r for p, r in zip(prompts, made, strict=True)]))
    lengths = torch.tensor([len(ids) for ids in made])[:, None]
    column = torch.arange(int(lengths.max()))[None]
    mask = column < lengths
    first = torch.tensor([len(prompt) - 1 for prompt in prompts])[:, None]  # what precedes a token tells of it
    at = torch.where(mask, first + column, 0)
    return Batch(responses, log_p.gather(1, at) * mask, entropy.detach().gather(1, at) * mask, mask)


def judge(
    batch: Batch, arm: Arm, task: Task, prm: Prm, problems: list[Any], rollouts: int, generator: torch.Generator
) -> Signals:
    """Cut the responses, score the segments, verify the answers."""
    responses, mask = batch.responses, batch.mask
    line_starts = torch.zeros_like(mask)
    for row, response in enumerate(responses):
        for begin, _ in line_spans(response):
            line_starts[row, begin] = True
    starts = CUTS[arm.cut](line_starts, batch.entropy, -batch.log_p.detach(), mask, generator)
    spans = [segment_bounds(starts[row], len(r.ids)) for row, r in enumerate(responses)]
    scores, labels = torch.zeros(mask.shape), torch.zeros(mask.shape)
    for row, (cut, found) in enumerate(zip(spans, prm.scores(responses, spans), strict=True)):
        for (begin, end), score in zip(cut, found, strict=True):
            scores[row, begin:end] = score
            labels[row, begin:end] = right(responses[row], begin, end)
    solved = [task.correct(r.problem, r.text) for r in responses]
    tiled = [problems[row % len(problems)] for row in range(len(responses))]
    mistiled = [task.correct(other, r.text) for other, r in zip(tiled, responses, strict=True)]
    index = [row // rollouts for row in range(len(responses))]
    cut_off = torch.tensor([EOS not in r.ids[-1:] for r in responses])
    return Signals(scores, labels, starts, _signed(solved), _signed(mistiled), mask, index, cut_off)


def update(policy: Qwen2ForCausalLM, optimizer: torch.optim.Optimizer, batch: Batch, advantage: Tensor) -> None:
    """One step up the gradient of the mean of A * log p over the batch's tokens, its norm clipped at 1."""
    loss = -(advantage * batch.log_p).sum() / batch.mask.sum()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
    optimizer.step()


def measures(batch: Batch, signals: Signals, task: Task) -> Row:
    """What a step's batch was like.

    Returns:
        `accuracy` of its responses; `length` in tokens; `entropy` in nats a token; `prm_mean`, the mean over responses
        of their mean segment score, and `label_mean`, the same of the exact labels; `segments` a response; shares of
        `mixed_groups` and of groups that are `all_wrong`; shares of responses that `ended_early` (`Task.ended_early`)
        and that were `cut_off` by the limit.
    """
    mask, responses = batch.mask, batch.responses
    mixed = ~all_equal_groups(signals.outcome_rewards, signals.index)
    return {
        "accuracy": ((signals.outcome_rewards + 1) / 2).mean().item(),
        "length": mask.sum(1).float().mean().item(),
        "entropy": batch.entropy[mask].mean().item(),
        "prm_mean": signals.segment_means(signals.process_scores).mean().item(),
        "label_mean": signals.segment_means(signals.labels).mean().item(),
        "segments": (signals.segment_starts & mask).sum(1).float().mean().item(),
        "mixed_groups": mixed.float().mean().item(),
        "all_wrong": (~mixed & (signals.outcome_rewards < 0)).float().mean().item(),
        "ended_early": sum(task.ended_early(r.problem, r.text) for r in responses) / len(responses),
        "cut_off": signals.cut_off.float().mean().item(),
    }


def _signed(solved: list[bool]) -> Tensor:
    return torch.tensor([1.0 if fine else -1.0 for fine in solved])
