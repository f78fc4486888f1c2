# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Put a response to the judge, whole or step by step, and again where an answer holds no verdicts."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from verl_prpo.prm.families.generated import GeneratedVerdicts
from verl_prpo.prm.families.options import OPTIONS
from verl_prpo.prm.generated.answers import AnswerFault, answer_text
from verl_prpo.prm.generated.chat import ChatServers, TooLong
from verl_prpo.prm.generated.verdicts import read_verdicts, verdict_schema
from verl_prpo.prm.server.servers import Server

_KEPT = 0.75
"""Share of a solution's characters that is shown next when the judge's context was too short for all of it."""


@dataclass
class Question:
    """One response before the judge.

    Attributes:
        problem: what was asked of the policy.
        steps: the steps of its response.
        deadline: time of the event loop's clock after which nothing is sent or waited for.
        cut: whether steps past the judge's context get no score. Otherwise they are a fault.
        only: the server to ask, when it must be that one.
        counts: what was spent and what went wrong, see `verl_prpo.prm.generated.counts`.
    """

    problem: str
    steps: Sequence[str]
    deadline: float
    cut: bool = False
    only: Server | None = None
    counts: Counter[str] = field(default_factory=Counter)


class Judge:
    """A judge at its servers, with a family's prompt and its way of reading answers."""

    def __init__(self, family: GeneratedVerdicts, servers: ChatServers):
        self.servers = servers
        self._family = family
        self._options = family.options

    async def scores(self, question: Question) -> list[float | None]:
        """Return the score of each step. It is None for a step past the judge's context, where the question allows it.

        Raises:
            AnswerFault: the judge's last answer held no verdict for each step.
            ServerFault: no server answered.
        """
        return await (self._by_response(question) if self._options.ask == "response" else self._by_step(question))

    async def _by_response(self, question: Question) -> list[float | None]:
        steps = question.steps
        shown = len(steps)
        while shown:
            try:
                found = await self._again(lambda shown=shown: self._verdicts(question, steps[:shown]), question)  # type: ignore[misc]
            except TooLong:
                if not question.cut:
                    raise
                shown = _fewer(steps[:shown])
            else:
                return [*found, *[None] * (len(steps) - shown)]
        return [None] * len(steps)

    async def _by_step(self, question: Question) -> list[float | None]:
        async def score(number: int) -> float | None:
            try:
                return await self._again(lambda: self._verdict(question, question.steps[:number]), question)
            except TooLong:
                if not question.cut:
                    raise
                return None

        found = await _all_or_none([score(number) for number in range(1, len(question.steps) + 1)])
        if None not in found:
            return found
        read = found.index(None)  # a later step's question is longer still
        return [*found[:read], *[None] * (len(found) - read)]

    async def _again(self, ask: Callable[[], Awaitable[Any]], question: Question) -> Any:
        tries = 1 if self._options.temperature == 0 else 1 + self._options.asks_again
        for tried in range(1, tries + 1):
            try:
                return await ask()
            except AnswerFault as fault:
                question.counts[fault.count] += 1
                if tried == tries:
                    fault.detail += f" (asked {tries} times)" if tries > 1 else ""
                    raise
        raise AssertionError("unreachable")

    async def _verdicts(self, question: Question, steps: Sequence[str]) -> list[float]:
        options = self._options
        prompt = self._family.prompt.for_response(question.problem, steps)
        form: dict[str, Any] = {"type": options.structured}
        if options.structured == "json_schema":
            schema = verdict_schema(len(steps), list(options.verdicts), options.explain)
            form["json_schema"] = {"name": "verdicts", "schema": schema, "strict": True}
        body = {} if options.structured == "none" else {"response_format": form}
        (choice, *_) = await self._choices(question, prompt, body)
        return read_verdicts(answer_text(choice, options.max_tokens), len(steps), self._family.worth)

    async def _verdict(self, question: Question, steps: Sequence[str]) -> float:
        """Return the score of the last of these steps: the mean over the samples with a verdict, if half have one."""
        options = self._options
        prompt = self._family.prompt.for_step(question.problem, steps)
        body: dict[str, Any] = {"n": options.samples} if options.samples > 1 else {}
        if options.score == "logprobs":
            body |= {"logprobs": True, "top_logprobs": options.top_logprobs}
        choices = await self._choices(question, prompt, body)
        scores: list[float] = []
        faults: list[AnswerFault] = []
        for choice in choices:
            try:
                scores.append(self._score(choice))
            except AnswerFault as found:
                faults.append(found)
        if 2 * len(scores) < options.samples:
            if not faults:
                raise AnswerFault(
                    "unreadable",
                    f"the server gave {len(choices)} of {OPTIONS}.samples={options.samples} answers. It may not know "
                    "the key n, so ask for one sample",
                )
            first = faults[0]
            first.detail = f"step {len(steps)}: {first.detail}"
            raise first
        question.counts.update(fault.count for fault in faults)
        return sum(scores) / len(scores)

    def _score(self, choice: Any) -> float:
        right = self._family.reader.verdict(answer_text(choice, self._options.max_tokens))
        if self._options.score == "samples":
            return float(right)
        return self._family.reader.probability(getattr(choice, "logprobs", None), right)

    async def _choices(self, question: Question, prompt: str, body: dict[str, Any]) -> list[Any]:
        options = self._options
        system = [] if options.system_prompt is None else [{"role": "system", "content": options.system_prompt}]
        body["messages"] = [*system, {"role": "user", "content": prompt}]
        if "max_completion_tokens" not in options.extra_body:
            body["max_tokens"] = options.max_tokens
        if options.temperature is not None:
            body["temperature"] = options.temperature
        body["extra_body"] = options.extra_body
        completion = await self.servers.complete(body, question.deadline, question.counts, question.only)
        return list(completion.choices)


async def _all_or_none(questions: Sequence[Coroutine[Any, Any, float | None]]) -> list[float | None]:
    """Return all answers, or raise the first fault. Then open questions are cancelled, to save their cost."""
    tasks = [asyncio.ensure_future(question) for question in questions]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _fewer(steps: Sequence[str]) -> int:
    """Return how many of these steps to show next, when they are too long together."""
    ends = list(accumulate(map(len, steps)))
    return min(len(steps) - 1, sum(end <= _KEPT * ends[-1] for end in ends))
