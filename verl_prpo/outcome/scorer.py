# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Decide whether the final answer of a response is the ground truth: verl's scorer, then numbers, then algebra."""

import logging
import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from verl_prpo.outcome.compare import LONGEST
from verl_prpo.outcome.extract import final_answer
from verl_prpo.outcome.latex import Unread, clean
from verl_prpo.outcome.numbers import read_number
from verl_prpo.outcome.pool import TimedOut, WorkerFailed, shared_pool
from verl_prpo.settings.timeouts import COMPARISON_TIMEOUT, TRIAL_TIMEOUT

UNDECIDED = ("timeout", "error", "unread")
"""Methods of verdicts that no comparison led to. They count as wrong."""

_TRIAL = (r"\sqrt{12}", r"2\sqrt{3}")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """What was found out about one response.

    Attributes:
        correct: whether its final answer equals the ground truth.
        answer: the final answer as extracted, or None where the response gives none in the asked form.
        method: what decided: "verl" (verl's scorer says yes), "number" (exact arithmetic) or "compared" (part by part,
            by `verl_prpo.outcome.compare`). Other methods belong to a response that counts as wrong: "no_answer",
            "too_long" (an answer of more than 1000 characters), "unread" (the answer or the ground truth is in a
            notation that is not understood), "timeout" and "error".
    """

    correct: bool
    answer: str | None
    method: str


def score_answer(data_source: str, response: str, ground_truth: str, timeout: float = COMPARISON_TIMEOUT) -> Verdict:
    """Judge one response. It raises nothing, and any thread may call it.

    Args:
        data_source: data source of the row. verl chooses its scorer by it. Where it holds `gsm8k`, a response may
            answer after `####`.
        response: decoded, without special tokens.
        ground_truth: LaTeX or a number, or a list or array of just one. The verdict on any other type is "error".
        timeout: longest comparison in a worker, in seconds. The start of the worker does not count.

    Example:
        >>> from verl_prpo import score_answer
        >>> verdict = score_answer("math", r"So it is \\boxed{0.5}.", r"\\frac{1}{2}")
        >>> verdict.correct, verdict.answer
        (True, '0.5')
    """
    answer = None
    try:
        data_source, truth = str(data_source), _truth_text(ground_truth)
        answer = final_answer(data_source, str(response))
        if answer is None:
            return Verdict(False, None, "no_answer")
        if len(answer) > LONGEST:
            return Verdict(False, answer, "too_long")
        if _verl_accepts(data_source, answer, truth):
            return Verdict(True, answer, "verl")
        number, true_number = read_number(clean(answer)), read_number(clean(truth))
        if number is not None and true_number is not None:
            return Verdict(number.equals(true_number), answer, "number")
        return Verdict(shared_pool().equal(answer, truth, timeout), answer, "compared")
    except Unread as error:
        _undecided("unread", f"not understood: {error}", answer, ground_truth)
        return Verdict(False, answer, "unread")
    except TimedOut:
        _undecided("timeout", f"not compared within {timeout:g} s", answer, ground_truth)
        return Verdict(False, answer, "timeout")
    except WorkerFailed as error:
        _undecided("error", str(error), answer, ground_truth)
        return Verdict(False, answer, "error")
    except Exception as error:  # the trainer must not stop for one answer
        _undecided("error", f"{type(error).__name__}: {error}", answer, ground_truth)
        return Verdict(False, answer, "error")


def same_answer(one: str, other: str, timeout: float = COMPARISON_TIMEOUT) -> bool:
    """Decide whether two answers are the same, each as the other's ground truth.

    It raises nothing, and any thread may call it.

    Args:
        one, other: the answers as extracted.
        timeout: longest comparison in a worker, in seconds. Answers that take longer, or are not understood, are not
            the same.
    """
    if one.split() == other.split():
        return True
    if max(len(one), len(other)) > LONGEST:
        return False
    numbers = [read_number(clean(text)) for text in (one, other)]
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0].equals(numbers[1])
    try:
        return shared_pool().equal(one, other, timeout) or shared_pool().equal(other, one, timeout)
    except (TimedOut, Unread, WorkerFailed):
        return False


def require_working() -> None:
    """Compare one pair of formulas as a run begins.

    A machine on which no formulas can be compared would count all responses as wrong.

    Raises:
        RuntimeError: the workers do not start here, or do not answer.
    """
    try:
        equal = shared_pool().equal(*_TRIAL, TRIAL_TIMEOUT)
    except (TimedOut, Unread, WorkerFailed) as error:
        reason = str(error) or type(error).__name__
    else:
        if equal:
            return
        reason = f"it takes {_TRIAL[0]} and {_TRIAL[1]} for different"
    raise RuntimeError(
        f"formulas cannot be compared on this node: {reason}. Every answer that is no plain number would count as "
        'wrong. Try python -c "import verl_prpo.outcome.symbolic" there; pip install sympy adds a missing package'
    )


def _truth_text(truth: object) -> str:
    """Return the ground truth as text, whatever a parquet file held.

    Raises:
        TypeError: it is neither text nor a number, such as a missing cell or several answers.
    """
    import numpy as np

    if isinstance(truth, np.ndarray):
        truth = truth.tolist()
    if isinstance(truth, (list, tuple)) and len(truth) == 1:
        truth = truth[0]
    number = isinstance(truth, (int, float, np.number)) and not isinstance(truth, bool) and truth == truth
    if not isinstance(truth, str) and not number:
        raise TypeError(
            f"reward_model.ground_truth of the row is {truth!r:.80}, a {type(truth).__name__}. Give text or a number"
        )
    return str(truth)


def score_answers(triples: Sequence[tuple[str, str, str]], timeout: float = COMPARISON_TIMEOUT) -> list[Verdict]:
    """Judge many responses: data source, response and ground truth of each, as for `score_answer`."""
    if not triples:
        return []
    with ThreadPoolExecutor(max_workers=shared_pool().size, thread_name_prefix="score_answers") as threads:
        return list(threads.map(lambda triple: score_answer(triple[0], triple[1], triple[2], timeout), triples))


_SURE = re.compile(
    r"(?:[A-Za-z0-9+\-*/^(){}\[\],.|<>_$%]|(?<!\d)\s|\s(?!\s*\d)|\\(?:[dt]?frac|sqrt|left|right|pi|cdot|infty|cup)(?![A-Za-z])|\\[!$%,{}])*"
)
"""Texts on which verl's normalisation of MATH answers can be trusted. In others it drops what matters: what follows
`\\text{ `, spaces between digits, what stands before an equals sign (9 = 5), degrees (cos 6), half of `\\leftarrow`."""


def _verl_accepts(data_source: str, answer: str, truth: str) -> bool:
    """Say whether verl's scorer for this source accepts the answer, and its yes can be trusted."""
    from verl.utils.reward_score.math_reward import is_equiv

    if answer.split() == truth.split():
        return bool(answer)
    if not answer or "gsm8k" in data_source.lower():  # verl compares the number after #### as text
        return False
    return all(map(_SURE.fullmatch, (answer, truth))) and bool(is_equiv(answer, truth))


_counts = {"timeout": 0, "error": 0, "unread": 0}
_counts_lock = threading.Lock()
_next_line = 0.0
_LINE_EVERY = 60.0


def _undecided(method: str, why: str, answer: str | None, truth: str) -> None:
    """Count an answer that could not be compared, and log it at most once a minute."""
    global _next_line
    with _counts_lock:
        _counts[method] += 1
        if time.monotonic() < _next_line:
            return
        _next_line = time.monotonic() + _LINE_EVERY
        counts = dict(_counts)
    logger.warning(
        "an answer counts as wrong because it could not be compared (%s): %.80r and the ground truth %.80r. So far "
        "%d timed out (reward.math_verifier.timeout), %d failed and %d were not understood in this process",
        why,
        answer,
        str(truth),
        counts["timeout"],
        counts["error"],
        counts["unread"],
    )
