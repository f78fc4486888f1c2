# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Which answers of a problem's samples count as the same in a majority vote."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from verl_prpo.settings.timeouts import VOTE_TIMEOUT

RIGHT = "right"
"""The vote of every right answer: all of them equal the ground truth."""

MOST_COMPARISONS = 200
"""Of wrong answers of one problem; what is left then votes by its text."""

Equality = Callable[[str, str], bool]


def cast_votes(
    answers: Sequence[str | None], correct: Sequence[bool], same: Equality | None = None
) -> list[str | None] | None:
    """The vote of each sample.

    Equal answers vote as one, whatever their form and whether they are right or wrong. If only right ones did, wrong
    votes would scatter and the right answer would win too often.

    Args:
        answers: as extracted; None for none.
        correct: the verdicts, of the same length.
        same: whether two wrong answers are equal; by default the verifier's `same_answer`.

    Returns:
        A vote a sample, None for one without answer; None in place of all where a right sample has no known answer, so
        that wrong ones without answer cannot be told from those that gave none.
    """
    if any(is_right and answer is None for answer, is_right in zip(answers, correct, strict=True)):
        return None
    wrong = [answer for answer, is_right in zip(answers, correct, strict=True) if answer is not None and not is_right]
    named = _names(wrong, same)
    votes: list[str | None] = []
    for answer, is_right in zip(answers, correct, strict=True):
        votes.append(None if answer is None else RIGHT if is_right else f"wrong {named[answer]}")
    return votes


def _names(answers: Sequence[str], same: Equality | None) -> dict[str, str]:
    """For each answer the most frequent spelling among those that equal it."""
    if same is None:
        from verl_prpo.outcome.scorer import same_answer

        same = partial(same_answer, timeout=VOTE_TIMEOUT)
    names: dict[str, str] = {}
    groups: list[str] = []
    comparisons = 0
    for answer, _ in Counter(answers).most_common():
        name = answer
        for group in groups:
            if comparisons == MOST_COMPARISONS:
                break
            comparisons += 1
            if same(answer, group):
                name = group
                break
        if name is answer:
            groups.append(answer)
        names[answer] = name
    return names
