# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The study's policies: Qwen2 with 0.3 million parameters, taught demonstrations until groups of rollouts are mixed."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from study.decoding import generate
from study.tasks import Task, training_problem
from study.vocabulary import ASK, EOS, PAD, Vocabulary, padded
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM

BATCH = 64
LEARNING_RATE = 3e-3
LOOK_EVERY = 10
LOOKED_AT = 256
MOST_STEPS = 900
NEAR, NEAR_PACE, NEAR_LOOK_EVERY = 0.6, 0.3, 5
"""From this share of the target on, learning is slowed by this factor and looked at more often: these models learn in
leaps."""

Example = tuple[list[int], list[bool]]


def new_model(vocabulary: Vocabulary, hidden: int = 96, layers: int = 3) -> Qwen2ForCausalLM:
    """An untrained causal LM in fp32. A spread of 0.045 suits its width; Qwen2's own 0.02 trains slowly."""
    config = Qwen2Config(
        vocab_size=len(vocabulary),
        hidden_size=hidden,
        intermediate_size=hidden * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=hidden // 32,
        max_position_embeddings=256,
        initializer_range=0.045,
        tie_word_embeddings=True,
        use_sliding_window=False,
        bos_token_id=None,
        eos_token_id=EOS,
        pad_token_id=PAD,
        dtype="float32",
    )
    return Qwen2ForCausalLM(config)


def prompt_ids(vocabulary: Vocabulary, problem: Any) -> list[int]:
    """The question and the mark after which the response begins."""
    return [*vocabulary.encode(problem.question), ASK]


def demonstrated(vocabulary: Vocabulary, task: Task, rng: random.Random) -> Example:
    """A prompt with a demonstration: token ids, and which of them the policy learns to write."""
    problem = training_problem(task, rng)
    prompt = prompt_ids(vocabulary, problem)
    response = [*vocabulary.encode(task.demonstration(problem, rng)), EOS]
    return prompt + response, [False] * len(prompt) + [True] * len(response)


def teach(
    model: Qwen2ForCausalLM,
    make: Callable[[], Example],
    steps: int,
    stop: Callable[[int], bool],
    pace: Callable[[], float] = lambda: 1.0,
) -> int:
    """Train on examples made as it goes, `BATCH` a step, until `stop(steps done)` says so; returns the steps done.

    `pace` is a factor of the learning rate, asked at every step.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01, betas=(0.9, 0.98))
    for step in range(1, steps + 1):
        model.train()
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * pace() * min(1.0, step / 30)
        examples = [make() for _ in range(BATCH)]
        ids = padded([ids for ids, _ in examples])
        taught = padded([mask for _, mask in examples]).bool()
        labels = ids.masked_fill(~taught, -100)[:, 1:]
        logits = model(input_ids=ids[:, :-1]).logits
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if stop(step):
            return step
    return steps


def accuracy(
    model: Qwen2ForCausalLM, vocabulary: Vocabulary, task: Task, problems: Sequence[Any], temperature: float
) -> float:
    """Share of the problems that one response each solves."""
    prompts = [prompt_ids(vocabulary, problem) for problem in problems]
    responses = generate(model, prompts, task.MAX_NEW_TOKENS, temperature)
    right = [task.correct(p, vocabulary.decode(ids)) for p, ids in zip(problems, responses, strict=True)]
    return sum(right) / len(right)


def starting_policy(
    task: Task, vocabulary: Vocabulary, seed: int, target: float, most_steps: int = MOST_STEPS
) -> tuple[Qwen2ForCausalLM, float, int]:
    """A policy that solves about a share `target` of the training problems at temperature 1.

    Returns:
        The policy, the share it solves and the steps it was taught.

    Raises:
        RuntimeError: the target was not reached in `most_steps`.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    model = new_model(vocabulary)
    looked_at = [training_problem(task, rng) for _ in range(LOOKED_AT)]
    reached, near = 0.0, False

    def pace() -> float:
        return NEAR_PACE if near else 1.0

    def stop(step: int) -> bool:
        nonlocal reached, near
        if step % (LOOK_EVERY if not near else NEAR_LOOK_EVERY):
            return False
        reached = accuracy(model, vocabulary, task, looked_at, 1.0)
        near = near or reached >= NEAR * target
        if reached >= target:  # one lucky measurement in many must not end the training
            reached = (reached + accuracy(model, vocabulary, task, looked_at, 1.0)) / 2
        return reached >= target

    steps = teach(model, lambda: demonstrated(vocabulary, task, rng), most_steps, stop, pace)
    if reached < target:
        raise RuntimeError(f"{task.NAME}: {reached:.2f} right after {steps} steps, {target:.2f} were asked for")
    return model.eval(), reached, steps


def log_probs_and_entropy(model: Qwen2ForCausalLM, ids: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Of each token of `ids` `[bs, T]` after the first: its log-probability and the entropy it was drawn from, nats."""
    logits = model(input_ids=ids[:, :-1]).logits.float() / temperature
    log_p = logits.log_softmax(-1)
    return log_p.gather(-1, ids[:, 1:, None])[..., 0], -(log_p.exp() * log_p).sum(-1)
