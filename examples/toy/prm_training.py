# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Make the toy PRM from the toy policy: teach it the task, fit the score, measure what slips past it.

The PRM must know more than the policy it judges, and it must know what is right after something wrong, or everything
behind a slip looks wrong. So the policy's weights are trained further, on solutions with slips put in (slips.py), where
the tokens at fault (task.check) are left out of the loss: the model learns the faithful continuation of any text and
never the slip itself.

Accuracy over segments says little about a PRM, since most segments are right. `PrmReport` therefore gives the recall on
wrong segments, and the share of slips of each kind that are caught.
"""

import copy
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from policy import Example, encode_example, sample, teach
from prm import CONFIG_KEY, Link, ToyLikelihoodFamily
from slips import SLIPS, random_plan, single_slip, slipped_solution
from task import CONNECTIVES, Problem, faults, make_problem
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase, Qwen2ForCausalLM

SLIP_RATE = 0.2
UNFITTED = Link(1.0, 0.0)


def train_trunk(
    policy: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerBase, seed: int, steps: int, held_out: frozenset[str]
) -> Qwen2ForCausalLM:
    """A copy of the policy, trained further until it knows the task, also behind slips.

    Args:
        policy: the policy to start from; it stays as it is.
        tokenizer: the toy tokenizer.
        seed: of the examples.
        steps: optimiser steps of 32 examples.
        held_out: questions to keep out of the training.
    """
    trunk, rng = copy.deepcopy(policy), random.Random(seed)

    def make_example() -> Example:
        problem = make_problem(rng, held_out)
        text = slipped_solution(problem, rng, random_plan(problem, rng, SLIP_RATE))
        return encode_example(tokenizer, problem, text, faults(problem, text))

    with tqdm(total=steps, desc="PRM", unit="step") as progress:
        teach(trunk, make_example, steps, lambda step: False, progress, decay=True)
    return trunk.eval()


def make_family(trunk: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerBase, link: Link) -> ToyLikelihoodFamily:
    """The PRM as a family, its settings noted in the trunk's config so that `save_pretrained` keeps them."""
    settings = {"slope": link.slope, "offset": link.offset, "interchangeable": list(CONNECTIVES)}
    setattr(trunk.config, CONFIG_KEY, settings)
    return ToyLikelihoodFamily(trunk, tokenizer, link, tokenizer.convert_tokens_to_ids(list(CONNECTIVES)))


@dataclass(frozen=True)
class Judged:
    """A response cut into segments, with the verdict of the exact checker on each."""

    problem: Problem
    segments: list[str]
    right: list[bool]


def cut(problem: Problem, response: str, tokenizer: PreTrainedTokenizerBase, rng: random.Random) -> Judged:
    """Cut a response between tokens at random places, up to five of them, and let the exact checker judge the segments.

    A segment is wrong when a fault lies in it; stopping is part of the last one.
    """
    offsets = tokenizer(response, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
    inner = [begin for begin, _ in offsets[1:]]
    cuts = sorted(rng.sample(inner, min(rng.randint(0, 5), len(inner))))
    bounds = list(zip([0, *cuts], [*cuts, len(response) + 1], strict=True))
    wrong = faults(problem, response)
    right = [not any(begin <= fault < end for fault in wrong) for begin, end in bounds]
    return Judged(problem, [response[begin:end] for begin, end in bounds], right)


def evidence(family: ToyLikelihoodFamily, responses: Sequence[Judged], batch_size: int = 200) -> list[list[float]]:
    """Evidence of every segment of every response, in nats."""
    encoded = [family.encode([{"role": "user", "content": j.problem.question}], j.segments) for j in responses]
    values: list[list[float]] = []
    for i in range(0, len(encoded), batch_size):
        values += family.evidence(encoded[i : i + batch_size])
    return values


def fit_link(family: ToyLikelihoodFamily, responses: Sequence[Judged]) -> Link:
    """Fit the two numbers of the logistic link to the checker's verdicts by maximum likelihood."""
    x = torch.tensor([v for row in evidence(family, responses) for v in row], dtype=torch.float64)
    y = torch.tensor([right for judged in responses for right in judged.right], dtype=torch.float64)
    numbers = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([numbers], lr=0.5, max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = F.binary_cross_entropy_with_logits(numbers[0] * x + numbers[1], y)
        value.backward()
        return value

    optimizer.step(loss)
    slope, offset = numbers.tolist()
    return Link(slope, offset)


@dataclass(frozen=True)
class PrmReport:
    """How a PRM fares against the exact checker, a score above 0.5 being read as "right".

    Attributes:
        accuracy: share of the policy's segments judged as the checker judges them.
        recall_on_wrong: share of the policy's wrong segments judged wrong.
        recall_on_right: share of the policy's right segments judged right.
        mean_score_wrong, mean_score_right: mean score of the policy's wrong and right segments.
        caught: by kind of slip, the share of planted slips whose segment is judged wrong.
        mean_score_slip: by kind of slip, the mean score of the segments at fault.
        mean_score_beside: by kind of slip, the mean score of the same responses' other segments.
    """

    accuracy: float
    recall_on_wrong: float
    recall_on_right: float
    mean_score_wrong: float
    mean_score_right: float
    caught: dict[str, float]
    mean_score_slip: dict[str, float]
    mean_score_beside: dict[str, float]


def measure(family: ToyLikelihoodFamily, sampled: Sequence[Judged], slipped: dict[str, list[Judged]]) -> PrmReport:
    """Compare scores with the checker's verdicts, on the policy's responses and on planted slips."""
    wrong, right = _split_scores(family, sampled)
    by_kind = {kind: _split_scores(family, responses) for kind, responses in slipped.items()}
    hits = sum(s <= 0.5 for s in wrong) + sum(s > 0.5 for s in right)
    return PrmReport(
        accuracy=hits / (len(wrong) + len(right)),
        recall_on_wrong=_share(s <= 0.5 for s in wrong),
        recall_on_right=_share(s > 0.5 for s in right),
        mean_score_wrong=_share(wrong),
        mean_score_right=_share(right),
        caught={kind: _share(s <= 0.5 for s in bad) for kind, (bad, _) in by_kind.items()},
        mean_score_slip={kind: _share(bad) for kind, (bad, _) in by_kind.items()},
        mean_score_beside={kind: _share(good) for kind, (_, good) in by_kind.items()},
    )


def train_prm(
    policy: Qwen2ForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    seed: int,
    steps: int,
    num_responses: int,
    held_out: frozenset[str],
) -> tuple[ToyLikelihoodFamily, PrmReport]:
    """Make the PRM of a policy and measure it on responses it was not fitted to.

    Args:
        policy: the policy whose responses the PRM will judge.
        tokenizer: the toy tokenizer.
        seed: of everything random.
        steps: of the trunk's training.
        num_responses: policy responses, and as many slipped solutions, to fit the link to; as many again to measure on.
        held_out: questions to keep out of the trunk's training.
    """
    torch.manual_seed(seed)
    trunk = train_trunk(policy, tokenizer, seed, steps, held_out)
    family = make_family(trunk, tokenizer, UNFITTED)
    rng = random.Random(seed + 1)
    fitted_on = sampled_responses(policy, tokenizer, rng, num_responses)
    for kind in SLIPS:
        fitted_on += slipped_responses(tokenizer, rng, kind, num_responses // len(SLIPS))
    family = make_family(trunk, tokenizer, fit_link(family, fitted_on))
    sampled = sampled_responses(policy, tokenizer, rng, num_responses)
    slipped = {kind: slipped_responses(tokenizer, rng, kind, num_responses // len(SLIPS)) for kind in SLIPS}
    return family, measure(family, sampled, slipped)


def sampled_responses(
    policy: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerBase, rng: random.Random, n: int
) -> list[Judged]:
    """Responses of the policy to `n` new problems, at temperature 1, cut at random."""
    problems = [make_problem(rng) for _ in range(n)]
    responses = sample(policy, tokenizer, problems)
    return [cut(p, group[0], tokenizer, rng) for p, group in zip(problems, responses, strict=True) if group[0]]


def slipped_responses(tokenizer: PreTrainedTokenizerBase, rng: random.Random, kind: str, n: int) -> list[Judged]:
    """Solutions of `n` new problems with one slip of the given kind in each, cut at random."""
    problems = [make_problem(rng) for _ in range(n)]
    texts = [slipped_solution(p, rng, single_slip(p, rng, kind)) for p in problems]
    return [cut(p, text, tokenizer, rng) for p, text in zip(problems, texts, strict=True) if text]


def _split_scores(family: ToyLikelihoodFamily, responses: Sequence[Judged]) -> tuple[list[float], list[float]]:
    """Scores of wrong and of right segments."""
    wrong: list[float] = []
    right: list[float] = []
    for judged, row in zip(responses, evidence(family, responses), strict=True):
        for verdict, value in zip(judged.right, row, strict=True):
            (right if verdict else wrong).append(family.link(value))
    return wrong, right


def _share(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values) if values else float("nan")
