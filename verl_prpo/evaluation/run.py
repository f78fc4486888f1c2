# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Generate, score and keep: scoring goes on beside generation, and a problem is kept as soon as it is scored."""

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from verl_prpo.evaluation import EvaluationError
from verl_prpo.evaluation.folder import Record
from verl_prpo.evaluation.generation import Request, Response
from verl_prpo.evaluation.problems import EvaluationProblem
from verl_prpo.evaluation.scoring import Scorer
from verl_prpo.settings.timeouts import SCORING_TIMEOUT

AT_ONCE = 64
"""Responses from which on no further problem is scored together with them."""

TOO_LONG = "prompt_too_long"
"""The finish reason of a problem whose prompt leaves no room for a response."""


@dataclass(frozen=True)
class Job:
    """A problem of a set, and the request that answers it."""

    set_name: str
    problem: EvaluationProblem
    request: Request


Finished = tuple[Job, list[Response]]
Keep = Callable[[Job, Record], None]


def evaluate(batches: Iterable[Sequence[Finished]], scorer: Scorer, keep: Keep) -> None:
    """Score what is generated and keep it. What was generated when something stops it, such as Ctrl-C, is still kept.

    Args:
        batches: what generation finished, step by step, empty where it finished nothing.
        scorer: runs in a thread of its own.
        keep: called here, with each scored problem.

    Raises:
        EvaluationError: generation fails, or scoring fails or hangs.
    """
    to_score: queue.SimpleQueue[Finished | None] = queue.SimpleQueue()
    scored: queue.SimpleQueue[tuple[Job, Record] | Exception] = queue.SimpleQueue()
    threading.Thread(target=_score, args=(to_score, scored, scorer), daemon=True).start()
    pending = 0

    def receive(timeout: float | None) -> None:
        nonlocal pending
        found = scored.get(block=timeout is not None, timeout=timeout)
        pending -= 1
        if isinstance(found, Exception):
            pending = 0  # the thread has ended
            raise found
        keep(*found)

    try:
        for batch in batches:
            for finished in batch:
                to_score.put(finished)
                pending += 1
            while not scored.empty():
                receive(None)
    finally:
        to_score.put(None)
        while pending:
            try:
                receive(SCORING_TIMEOUT)
            except queue.Empty as error:
                raise EvaluationError(
                    f"no verdict for {SCORING_TIMEOUT:g} s on the {pending} problems generated last; they are not kept"
                ) from error


def record_of(job: Job, responses: Sequence[Response], verdicts: Sequence) -> Record:
    """What is kept of a finished problem."""
    problem = job.problem
    return {
        "index": problem.index,
        "question": problem.question,
        "ground_truth": problem.ground_truth,
        "data_source": problem.data_source,
        "level": problem.group("level"),
        "subject": problem.group("subject"),
        "prompt_tokens": len(job.request.tokens),
        "samples": [
            {
                "text": response.text,
                "tokens": response.tokens,
                "finish_reason": response.finish_reason,
                "answer": verdict.answer,
                "correct": verdict.correct,
                "method": verdict.method,
            }
            for response, verdict in zip(responses, verdicts, strict=True)
        ],
    }


def unanswered(job: Job) -> Record:
    """The record of a problem whose prompt is too long: no response, hence wrong."""
    from verl_prpo.outcome.scorer import Verdict

    samples = job.request.sampling.samples
    return record_of(job, [Response("", 0, TOO_LONG)] * samples, [Verdict(False, None, TOO_LONG)] * samples)


def _score(
    to_score: "queue.SimpleQueue[Finished | None]",
    scored: "queue.SimpleQueue[tuple[Job, Record] | Exception]",
    scorer: Scorer,
) -> None:
    try:
        while True:
            batch = [to_score.get()]
            # What has come meanwhile is scored together, but not so much that all of it timing out would look hung.
            while not to_score.empty() and sum(len(entry[1]) for entry in batch if entry) < AT_ONCE:
                batch.append(to_score.get())
            finished = [entry for entry in batch if entry is not None]
            verdicts = iter(scorer([(job.problem, r.text) for job, responses in finished for r in responses]))
            for job, responses in finished:
                scored.put((job, record_of(job, responses, [next(verdicts) for _ in responses])))
            if len(finished) < len(batch):
                return
    except Exception as error:
        scored.put(error)
