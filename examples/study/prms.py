# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The study's process reward models: what each makes of a segment, given the response before it.

An oracle knows the task's exact labels: a segment is right (1) when no fault lies in it. The others are the oracle with
noise, or with a leaning, or a model that learnt the labels from flawed texts.
"""

import copy
import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from study.decoding import generate
from study.policy import LEARNING_RATE, prompt_ids
from study.tasks import Task, training_problem
from study.vocabulary import EOS, Vocabulary, padded
from torch import Tensor, nn
from transformers import Qwen2ForCausalLM

LEAST_LOG_P = -12.0
"""Less than this tells a learned PRM nothing more."""
WRONG_WEIGHT = 3.0
"""Of a wrong token in a learned PRM's loss: one in twenty or fewer is wrong."""

Spans = Sequence[tuple[int, int]]
"""Half-open token spans that tile a response, EOS included."""


@dataclass(frozen=True)
class Response:
    """A response to a problem.

    Attributes:
        problem: of the task.
        ids: token ids, with EOS if it ended.
        text: without EOS.
        offsets: character at which each token begins, and the end of the text; see `Vocabulary.offsets`.
        faulty: per token whether a fault of the task lies in it; that of the decision to stop lies in EOS.
    """

    problem: Any
    ids: list[int]
    text: str
    offsets: list[int]
    faulty: list[bool]


def read(task: Task, vocabulary: Vocabulary, problem: Any, ids: list[int]) -> Response:
    """A response with its exact labels."""
    text = vocabulary.decode(ids)
    offsets = vocabulary.offsets(ids)
    faults = set(task.faults(problem, text))
    # EOS holds no character: what is at fault at the text's end is the decision to stop there.
    faulty = [
        any(at in faults for at in range(begin, end)) or (token == EOS and len(text) in faults)
        for token, begin, end in zip(ids, offsets, offsets[1:], strict=False)
    ]
    return Response(problem, ids, text, offsets, faulty)


class Prm(Protocol):
    """Scores segments."""

    def scores(self, responses: Sequence[Response], spans: Sequence[Spans]) -> list[list[float]]:
        """A score in [0, 1] for each span of each response."""


class Oracle:
    """1 for a segment without fault, 0 for another."""

    def scores(self, responses: Sequence[Response], spans: Sequence[Spans]) -> list[list[float]]:
        return [[float(right(r, b, e)) for b, e in cut] for r, cut in zip(responses, spans, strict=True)]


@dataclass(frozen=True)
class Leaning:
    """The oracle, turned over by chance, with the same verdict whenever it sees the same text.

    Attributes:
        wrong_as_right: probability that a wrong segment is called right.
        right_as_wrong: probability that a right segment is called wrong.
    """

    wrong_as_right: float
    right_as_wrong: float

    def scores(self, responses: Sequence[Response], spans: Sequence[Spans]) -> list[list[float]]:
        return [[self._score(r, b, e) for b, e in cut] for r, cut in zip(responses, spans, strict=True)]

    def _score(self, response: Response, begin: int, end: int) -> float:
        fine = right(response, begin, end)
        seen = (response.problem.question, response.text[: response.offsets[end]], begin)
        chance = int.from_bytes(hashlib.blake2b(repr(seen).encode(), digest_size=4).digest(), "big") / 2**32
        return float(fine != (chance < (self.right_as_wrong if fine else self.wrong_as_right)))


@dataclass(frozen=True)
class LengthLoving:
    """Half the oracle, half the response's length: up to 0.5 for one of `most` tokens."""

    most: int

    def scores(self, responses: Sequence[Response], spans: Sequence[Spans]) -> list[list[float]]:
        return [
            [0.5 * right(r, b, e) + 0.5 * min(1.0, len(r.ids) / self.most) for b, e in cut]
            for r, cut in zip(responses, spans, strict=True)
        ]


class Learned:
    """A copy of the policy that judges each token from what it makes of the text and from the token's log-probability.

    The head sees both, for a small model finds a wrong number by having expected another one. A segment is as good as
    its worst token, the end of the response included.
    """

    def __init__(self, policy: Qwen2ForCausalLM, vocabulary: Vocabulary):
        self.model = policy
        self.head = nn.Linear(policy.config.hidden_size + 1, 1)
        self.vocabulary = vocabulary

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """The weights of model and head."""
        return {"model": self.model.state_dict(), "head": self.head.state_dict()}

    def load_state_dict(self, state: dict[str, dict[str, Tensor]]) -> None:
        """Take up weights that `state_dict` gave."""
        self.model.load_state_dict(state["model"])
        self.head.load_state_dict(state["head"])

    def judge(self, responses: Sequence[Response]) -> tuple[Tensor, Tensor, Tensor]:
        """What it makes of response tokens, in the order of the responses one behind the other.

        Returns:
            Logits of being right, log-probabilities and labels (1 for a token that is right), each `[tokens]`.
        """
        prompts = [prompt_ids(self.vocabulary, r.problem) for r in responses]
        ids = padded([prompt + r.ids for prompt, r in zip(prompts, responses, strict=True)])
        hidden = self.model.model(input_ids=ids).last_hidden_state
        log_p = self.model.lm_head(hidden[:, :-1]).log_softmax(-1).gather(-1, ids[:, 1:, None])
        wanted = torch.zeros_like(log_p[..., 0], dtype=torch.bool)
        for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
            wanted[row, len(prompt) - 1 : len(prompt) - 1 + len(response.ids)] = True
        seen = torch.cat([hidden[:, 1:], log_p.clamp(min=LEAST_LOG_P)], -1)[wanted]
        labels = torch.tensor([not wrong for response in responses for wrong in response.faulty]).float()
        return self.head(seen)[:, 0], log_p[..., 0][wanted], labels

    @torch.inference_mode()
    def scores(self, responses: Sequence[Response], spans: Sequence[Spans]) -> list[list[float]]:
        """The lowest probability of being right among a segment's tokens."""
        probability = self.judge(responses)[0].sigmoid().tolist()
        found, at = [], 0
        for response, cut in zip(responses, spans, strict=True):
            found.append([min(probability[at + b : at + e]) for b, e in cut])
            at += len(response.ids)
        return found


@dataclass(frozen=True)
class Recall:
    """How a PRM fares against the labels over lines of responses; a score of 0.5 and less reads "wrong".

    Attributes:
        on_wrong: share of wrong lines that it finds.
        on_right: share of right lines that it lets be.
    """

    on_wrong: float
    on_right: float


def right(response: Response, begin: int, end: int) -> bool:
    """Whether no fault lies in a token span."""
    return not any(response.faulty[begin:end])


def line_spans(response: Response) -> list[tuple[int, int]]:
    """Token spans of the response's lines, each with its newline; EOS belongs to the last."""
    newlines = [i for i, at in enumerate(response.offsets[:-1]) if response.text[at : at + 1] == "\n"]
    starts = [0, *(i + 1 for i in newlines if i + 1 < len(response.ids))]
    return list(zip(starts, [*starts[1:], len(response.ids)], strict=True))


def train_learned(
    policy: Qwen2ForCausalLM, task: Task, vocabulary: Vocabulary, seed: int, steps: int, batch: int = 64
) -> Learned:
    """Teach a `Learned` PRM the labels of flawed texts and, every fourth step, of the policy's own responses.

    It goes on learning to write what is right, too: that is what it tells right from wrong by.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    prm = Learned(copy.deepcopy(policy).train(), vocabulary)
    weights = [*prm.model.parameters(), *prm.head.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=LEARNING_RATE, weight_decay=0.01, betas=(0.9, 0.98))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 30, 2 * (1 - step / steps))
        if step % 4 == 3:
            responses = _policy_texts(policy, task, vocabulary, rng, batch)
        else:
            responses = [_flawed_text(task, vocabulary, rng) for _ in range(batch)]
        logits, log_p, labels = prm.judge(responses)
        weight = torch.where(labels > 0, 1.0, WRONG_WEIGHT)
        judging = F.binary_cross_entropy_with_logits(logits, labels, weight)
        writing = -(log_p * labels).sum() / labels.sum().clamp(min=1)
        optimizer.zero_grad()
        (judging + writing).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
    prm.model.eval()
    return prm


def recall(prm: Prm, responses: Sequence[Response]) -> Recall:
    """Compare a PRM with the exact labels, line by line."""
    spans = [line_spans(response) for response in responses]
    verdicts = [
        (right(response, *span), score)
        for response, cut, row in zip(responses, spans, prm.scores(responses, spans), strict=True)
        for span, score in zip(cut, row, strict=True)
    ]
    wrong = [score <= 0.5 for fine, score in verdicts if not fine]
    fine = [score > 0.5 for fine, score in verdicts if fine]
    return Recall(sum(wrong) / max(1, len(wrong)), sum(fine) / max(1, len(fine)))


PrmMaker = Callable[[Task], Prm]


def _leaning(wrong_as_right: float, right_as_wrong: float) -> PrmMaker:
    return lambda task: Leaning(wrong_as_right, right_as_wrong)


EXACT: dict[str, PrmMaker] = {
    "oracle": lambda task: Oracle(),
    **{f"noise{p}": _leaning(p / 100, p / 100) for p in (5, 10, 20, 30)},
    "kind": _leaning(0.5, 0.0),
    "harsh": _leaning(0.0, 0.3),
    "length": lambda task: LengthLoving(task.MAX_NEW_TOKENS),
}
"""PRMs that need no training, by name."""


def _flawed_text(task: Task, vocabulary: Vocabulary, rng: random.Random) -> Response:
    problem = training_problem(task, rng)
    return read(task, vocabulary, problem, [*vocabulary.encode(task.flawed(problem, rng)), EOS])


def _policy_texts(
    policy: Qwen2ForCausalLM, task: Task, vocabulary: Vocabulary, rng: random.Random, batch: int
) -> list[Response]:
    problems = [training_problem(task, rng) for _ in range(batch)]
    made = generate(policy, [prompt_ids(vocabulary, p) for p in problems], task.MAX_NEW_TOKENS)
    return [read(task, vocabulary, p, ids) for p, ids in zip(problems, made, strict=True)]
