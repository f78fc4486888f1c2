# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The toy policy: a Qwen2 of 360,000 parameters that has seen enough worked solutions to be right now and then.

Supervised training stops as soon as the policy solves about a quarter of the problems at temperature 1. From there
reinforcement learning has something to learn and groups of rollouts hold both right and wrong answers.
Everything is fp32: a CPU without bf16 units is fifty times slower in bf16.
"""

import random
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from reward import compute_score
from task import Problem, make_problem, solution
from tokenizer import MAX_LENGTH, prompt_text
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Qwen2Config, Qwen2ForCausalLM

BATCH_SIZE = 32
LEARNING_RATE = 3e-3
MAX_NEW_TOKENS = 64
FIRST_LOOK = 160

Example = tuple[list[int], list[bool]]


def make_policy(tokenizer: PreTrainedTokenizerBase) -> Qwen2ForCausalLM:
    """An untrained policy, fp32. The initial spread of 0.045 suits its width; Qwen2's 0.02 trains much slower."""
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=3,
        num_key_value_heads=3,
        max_position_embeddings=MAX_LENGTH,
        initializer_range=0.045,
        tie_word_embeddings=True,
        use_sliding_window=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    return Qwen2ForCausalLM(config)


def encode_example(
    tokenizer: PreTrainedTokenizerBase, problem: Problem, response: str, faults: Sequence[int] = ()
) -> Example:
    """Prompt, response and EOS as token ids, and which of the tokens the model is to learn.

    Args:
        tokenizer: the toy tokenizer.
        problem: what the prompt asks.
        response: the text of the reply.
        faults: offsets of the response's wrong characters, as `task.faults` gives them.

    Returns:
        Token ids `[tokens]`, and `[tokens]` booleans: true on the tokens of response and EOS that hold no fault.
    """
    prompt = tokenizer(prompt_text(tokenizer, problem.question), add_special_tokens=False).input_ids
    encoded = tokenizer(response, add_special_tokens=False, return_offsets_mapping=True)
    spans = [*encoded.offset_mapping, (len(response), len(response) + 1)]
    taught = [not any(begin <= fault < end for fault in faults) for begin, end in spans]
    return prompt + encoded.input_ids + [tokenizer.eos_token_id], [False] * len(prompt) + taught


def teach(
    model: PreTrainedModel,
    make_example: Callable[[], Example],
    steps: int,
    stop: Callable[[int], bool],
    progress: tqdm,
    decay: bool = False,
) -> None:
    """Train a causal LM on examples made as it goes.

    Args:
        model: the model, trained in place.
        make_example: makes the next example.
        steps: number of optimiser steps at most; 32 examples each.
        stop: called with the number of steps done, after each; training ends when it says so.
        progress: bar to advance by one each step.
        decay: whether the learning rate falls linearly to 0 over the second half of `steps`.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01, betas=(0.9, 0.98))
    pad = model.config.pad_token_id
    for step in range(steps):
        model.train()
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 30, 2 * (1 - step / steps) if decay else 1.0)
        examples = [make_example() for _ in range(BATCH_SIZE)]
        length = max(len(ids) for ids, _ in examples)
        ids = torch.tensor([ids + [pad] * (length - len(ids)) for ids, _ in examples])
        taught = torch.tensor([mask + [False] * (length - len(mask)) for _, mask in examples])
        labels = ids.masked_fill(~taught, -100)[:, 1:]
        logits = model(input_ids=ids[:, :-1]).logits
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        progress.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        progress.update()
        if stop(step + 1):
            return


@torch.inference_mode()
def sample(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    problems: Sequence[Problem],
    n: int = 1,
    temperature: float = 1.0,
) -> list[list[str]]:
    """`n` responses to each problem, sampled at a temperature from the whole vocabulary, or greedy at temperature 0.

    A response that reaches 64 tokens is cut there.
    """
    model.eval()
    prompts = [prompt_text(tokenizer, problem.question) for problem in problems for _ in range(n)]
    sampling = {"temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}
    texts: list[str] = []
    for i in range(0, len(prompts), 512):
        batch = tokenizer(prompts[i : i + 512], return_tensors="pt", padding=True, add_special_tokens=False)
        ids = model.generate(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            max_new_tokens=MAX_NEW_TOKENS,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            do_sample=bool(temperature),
            **sampling,
        )
        texts += tokenizer.batch_decode(ids[:, batch.input_ids.shape[1] :], skip_special_tokens=True)
    return [texts[i * n : (i + 1) * n] for i in range(len(problems))]


def outcomes(problems: Sequence[Problem], responses: Sequence[Sequence[str]]) -> list[list[float]]:
    """The outcome reward of every response, problem by problem."""
    return [
        [compute_score("toy", response, problem.answer)["score"] for response in group]
        for problem, group in zip(problems, responses, strict=True)
    ]


def accuracy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    problems: Sequence[Problem],
    n: int = 1,
    temperature: float = 1.0,
) -> float:
    """Share of right answers among `n` responses to each problem."""
    groups = outcomes(problems, sample(model, tokenizer, problems, n, temperature))
    return sum(map(sum, groups)) / (n * len(problems))


def train_policy(
    tokenizer: PreTrainedTokenizerBase, seed: int, target: float, max_steps: int, held_out: frozenset[str]
) -> Qwen2ForCausalLM:
    """Teach a new policy worked solutions until it answers a share `target` of the problems right at temperature 1.

    Args:
        tokenizer: the toy tokenizer.
        seed: of the weights, the examples and the sampling.
        target: accuracy at which to stop, in (0, 1).
        max_steps: give up after so many steps.
        held_out: questions to keep out of the training and of the measurements.

    Returns:
        The policy, in evaluation mode.

    Raises:
        RuntimeError: if the target is not reached in `max_steps`.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    policy = make_policy(tokenizer)
    problems = [make_problem(rng, held_out) for _ in range(200)]
    reached = 0.0

    def make_example() -> Example:
        problem = make_problem(rng, held_out)
        return encode_example(tokenizer, problem, solution(problem, rng))

    def stop(step: int) -> bool:
        nonlocal reached
        # Accuracy climbs steeply once it has left the ground: look more often from there on.
        if step < FIRST_LOOK or step % (40 if reached < target / 2 else 10):
            return False
        reached = accuracy(policy, tokenizer, problems)
        if reached >= target:  # one lucky measurement in many must not end the training
            reached = accuracy(policy, tokenizer, problems, n=4)
        progress.set_description(f"policy (accuracy {reached:.2f})")
        return reached >= target

    with tqdm(total=max_steps, desc="policy", unit="step") as progress:
        teach(policy, make_example, max_steps, stop, progress)
    if reached < target:
        raise RuntimeError(
            f"the policy solves {reached:.2f} of the problems after {max_steps} steps, {target:.2f} were asked for: "
            "raise max_steps, or lower the target, in build.py's settings"
        )
    return policy.eval()
